package ledger

import (
	"context"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/purserhq/purser/internal/po"
)

const (
	// pageRows is how many items of a shard are read at once: with sixteen shards some 4,000 rows are in memory.
	pageRows = 256
	// lookupRows is how many items BatchGetItem reads at once.
	lookupRows = 100
)

// Row reads one row; false when there is none. A duplicate has the result of the row it repeats.
func (l *Ledger) Row(ctx context.Context, job string, row int) (Row, bool, error) {
	it, err := l.get(ctx, rowKey(job, row))
	if err != nil {
		return Row{}, false, fmt.Errorf("reading row %d of job %s: %w", row, job, err)
	}
	if it == nil {
		return Row{}, false, nil
	}
	r, err := rowOf(job, it)
	if err != nil {
		return Row{}, false, err
	}
	rows := []Row{r}
	if err := l.resolve(ctx, job, rows); err != nil {
		return Row{}, false, err
	}
	return rows[0], true, nil
}

// Rows reads all rows, ascending, in memory that does not grow with the job. A duplicate has the result of the row it repeats.
func (l *Ledger) Rows(ctx context.Context, job string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		batch := make([]Row, 0, lookupRows)
		flush := func() bool {
			if err := l.resolve(ctx, job, batch); err != nil {
				yield(Row{}, err)
				return false
			}
			for _, r := range batch {
				if !yield(r, nil) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for r, err := range l.merged(ctx, job, nil) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			if batch = append(batch, r); len(batch) == cap(batch) && !flush() {
				return
			}
		}
		flush()
	}
}

// Pending reads the rows that are not final, ascending. It reads past all others, so it costs as much as Rows.
func (l *Ledger) Pending(ctx context.Context, job string) iter.Seq2[Row, error] {
	pending := po.Pending
	return l.merged(ctx, job, &pending)
}

// merged reads a job's rows from all shards in the order of their lines; with a status only those that have it.
func (l *Ledger) merged(ctx context.Context, job string, status *po.Status) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		type shard struct {
			next func() (item, error, bool)
			head item
			row  string // its sort key; all are of one length, so they sort as their lines do
		}
		var shards []*shard
		for n := range rowShards {
			q := &dynamodb.QueryInput{
				KeyConditionExpression:    aws.String("PK = :pk"),
				ExpressionAttributeValues: item{":pk": text(shardPK(job, n))},
				Limit:                     aws.Int32(pageRows),
			}
			if status != nil {
				q.FilterExpression = aws.String("#status = :status")
				q.ExpressionAttributeValues[":status"] = text(string(*status))
				q.Limit = nil // what is filtered out takes no memory here
			}
			next, stop := iter.Pull2(l.query(ctx, q))
			defer stop()
			shards = append(shards, &shard{next: next})
		}
		advance := func(s *shard) error {
			it, err, ok := s.next()
			s.head, s.row = nil, ""
			if ok && err == nil {
				s.head, s.row = it, textOf(it, "SK")
			}
			return err
		}
		fail := func(err error) { yield(Row{}, fmt.Errorf("reading the rows of job %s: %w", job, err)) }
		for _, s := range shards {
			if err := advance(s); err != nil {
				fail(err)
				return
			}
		}
		for {
			var first *shard
			for _, s := range shards {
				if s.head != nil && (first == nil || s.row < first.row) {
					first = s
				}
			}
			if first == nil {
				return
			}
			r, err := rowOf(job, first.head)
			if err == nil {
				if !yield(r, nil) {
					return
				}
				err = advance(first)
			}
			if err != nil {
				fail(err)
				return
			}
		}
	}
}

// resolve gives the duplicates among the rows the results of the rows that they repeat.
func (l *Ledger) resolve(ctx context.Context, job string, rows []Row) error {
	firsts := map[int]Row{}
	var keys []item
	for _, r := range rows {
		if _, asked := firsts[r.DuplicateOf]; r.Status == statusDuplicate && !asked {
			firsts[r.DuplicateOf] = Row{}
			keys = append(keys, rowKey(job, r.DuplicateOf))
		}
	}
	for len(keys) > 0 {
		var out *dynamodb.BatchGetItemOutput
		err := l.retry(ctx, func() (err error) {
			out, err = l.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				l.table: {Keys: keys, ConsistentRead: aws.Bool(true)},
			}})
			return err
		})
		if err != nil {
			return fmt.Errorf("reading repeated rows of job %s: %w", job, err)
		}
		for _, it := range out.Responses[l.table] {
			r, err := rowOf(job, it)
			if err != nil {
				return err
			}
			firsts[r.Row] = r
		}
		keys = out.UnprocessedKeys[l.table].Keys // an answer holds 16 MB at most
	}
	for i, r := range rows {
		if r.Status != statusDuplicate {
			continue
		}
		first := firsts[r.DuplicateOf]
		result := first.Result
		result.Job, result.Row, result.DuplicateOf = job, r.Row, r.DuplicateOf
		if !result.Status.Final() {
			result.Status, result.PO, result.Supplier = po.Pending, r.PO, r.Supplier
		}
		rows[i].Result = result
	}
	return nil
}

// countRows counts a job's rows but for the duplicates.
func (l *Ledger) countRows(ctx context.Context, job string) (int64, error) {
	var n int64
	for shard := range rowShards {
		pages := dynamodb.NewQueryPaginator(l.client, &dynamodb.QueryInput{
			TableName: &l.table, ConsistentRead: aws.Bool(true), Select: types.SelectCount,
			KeyConditionExpression:    aws.String("PK = :pk"),
			FilterExpression:          aws.String("#status <> :duplicate"),
			ExpressionAttributeNames:  names("#status"),
			ExpressionAttributeValues: item{":pk": text(shardPK(job, shard)), ":duplicate": text(string(statusDuplicate))},
		})
		for pages.HasMorePages() {
			var page *dynamodb.QueryOutput
			err := l.retry(ctx, func() (err error) {
				page, err = pages.NextPage(ctx)
				return err
			})
			if err != nil {
				return 0, err
			}
			n += int64(page.Count)
		}
	}
	return n, nil
}

// query reads the items of a query as they are now, page after page.
func (l *Ledger) query(ctx context.Context, q *dynamodb.QueryInput) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		input := *q
		input.TableName, input.ConsistentRead = &l.table, aws.Bool(true)
		if input.FilterExpression != nil {
			input.ExpressionAttributeNames = names(*input.FilterExpression)
		}
		pages := dynamodb.NewQueryPaginator(l.client, &input)
		for pages.HasMorePages() {
			var page *dynamodb.QueryOutput
			err := l.retry(ctx, func() (err error) {
				page, err = pages.NextPage(ctx)
				return err
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, it := range page.Items {
				if !yield(it, nil) {
					return
				}
			}
		}
	}
}
