package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/purserhq/purser/internal/po"
)

// PutRows records rows that are to be worked. A row that is known already is left as it is. The error is ErrStopped when the
// job is not DISPATCHING any more.
func (l *Ledger) PutRows(ctx context.Context, job string, tasks []po.Task) error {
	changes := make([]change, 0, len(tasks))
	for _, t := range tasks {
		it, size := newTaskItem(job, t, l.now())
		changes = append(changes, change{write: l.newRow(it), bytes: size})
	}
	return l.record(ctx, job, changes)
}

// PutResults records rows that are final at once: rejected, COMPLETED already, or (DuplicateOf is set) repeating another
// row's PO. A row that is known already is left as it is. The error is ErrStopped when the job is not DISPATCHING any more.
func (l *Ledger) PutResults(ctx context.Context, job string, results []po.Result) error {
	changes := make([]change, 0, len(results))
	for _, r := range results {
		r.Job = job
		c := change{}
		switch {
		case r.DuplicateOf > 0:
			r.Status = statusDuplicate
			c.dupes = 1
		case r.Status.Final():
			c.counts = func(counters *po.Counters) { counters.Add(r, 1) }
		default:
			return fmt.Errorf("recording row %d of job %s: %q is no final status", r.Row, job, r.Status)
		}
		it, size := newResultItem(r, l.now())
		c.write, c.bytes = l.newRow(it), size
		changes = append(changes, c)
	}
	return l.record(ctx, job, changes)
}

func (l *Ledger) newRow(it item) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &l.table, Item: it, ConditionExpression: aws.String("attribute_not_exists(PK)"),
	}}
}

func (l *Ledger) record(ctx context.Context, job string, changes []change) error {
	_, err := l.apply(ctx, job, changes, maxRecords, jobChange{
		condition: "#state = :dispatching", values: item{":dispatching": text(string(Dispatching))},
	})
	switch {
	case errors.Is(err, errCondition):
		return fmt.Errorf("job %s: %w", job, ErrStopped)
	case err != nil:
		return fmt.Errorf("recording rows of job %s: %w", job, err)
	}
	return nil
}
