package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/purserhq/purser/internal/po"
)

const (
	// maxRecords is how many rows PutRows records in one transaction: 100 items are allowed, one of them is the job.
	maxRecords = 99
	// maxCommits is how many results are written in one transaction. See "Throughput" in the package comment.
	maxCommits = 25
	// maxBytes bounds a transaction, of which 4 MB are allowed, by the texts in it.
	maxBytes = 3 << 20

	maxTries  = 14 // of a call that collides with others; with the waits below some 12 s on average
	firstWait = 25 * time.Millisecond
	maxWait   = 2 * time.Second
)

// errCondition says that the job's item did not meet the transaction's condition.
var errCondition = errors.New("the job's condition does not hold")

// change is what a transaction does to one row, and what the counters make of it.
type change struct {
	write  types.TransactWriteItem
	bytes  int                // of the texts in it, roughly
	counts func(*po.Counters) // nil when nothing is counted
	// dupes is what the change adds to the job's duplicates.
	dupes int64
	// mine tells, of the row that did not meet the condition, whether it shows this very change: an earlier try whose answer
	// was lost.
	mine func(item) bool
}

// jobChange is what the same transaction does to the job's item beside counting.
type jobChange struct {
	condition string
	set       string // an UpdateExpression without ADD
	values    item
	others    []types.TransactWriteItem // on the lists of jobs
}

// apply makes the changes in as few transactions as their size allows, each together with its counters. Rows that do not meet
// their condition are left as they are; applied tells which changes hold.
func (l *Ledger) apply(ctx context.Context, job string, changes []change, atOnce int, jc jobChange) (applied []bool, err error) {
	applied = make([]bool, len(changes))
	for first := 0; first < len(changes); {
		end, size := first, 0
		for end < len(changes) && end-first < atOnce && (end == first || size+changes[end].bytes <= maxBytes) {
			size += changes[end].bytes
			end++
		}
		if err := l.applyOnce(ctx, job, changes[first:end], applied[first:end], jc); err != nil {
			return applied, err
		}
		first = end
	}
	return applied, nil
}

// applyOnce is one transaction, repeated without the rows that refuse it until it succeeds.
func (l *Ledger) applyOnce(ctx context.Context, job string, changes []change, applied []bool, jc jobChange) error {
	left := make([]int, len(changes))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		input := &dynamodb.TransactWriteItemsInput{}
		var (
			counted po.Counters
			dupes   int64
		)
		for _, i := range left {
			input.TransactItems = append(input.TransactItems, changes[i].write)
			if changes[i].counts != nil {
				changes[i].counts(&counted)
			}
			dupes += changes[i].dupes
		}
		input.TransactItems = append(input.TransactItems, l.jobWrite(job, jc, counted, dupes))
		input.TransactItems = append(input.TransactItems, jc.others...)

		reasons, err := l.transact(ctx, input)
		if err != nil {
			return err
		}
		if reasons == nil {
			for _, i := range left {
				applied[i] = true
			}
			return nil
		}
		if refused(reasons[len(left)]) {
			return errCondition
		}
		var next []int
		for n, i := range left {
			switch {
			case !refused(reasons[n]):
				next = append(next, i)
			case changes[i].mine != nil && changes[i].mine(reasons[n].Item):
				applied[i] = true
			}
		}
		if len(next) == len(left) {
			return fmt.Errorf("job %s: the transaction was refused for no row's sake", job)
		}
		left = next
	}
	return nil
}

// jobWrite is the job's part of a transaction: its counters, and what else changes with them.
func (l *Ledger) jobWrite(job string, jc jobChange, counted po.Counters, dupes int64) types.TransactWriteItem {
	values := item{}
	for name, v := range jc.values {
		values[name] = v
	}
	var adds []string
	add := func(name string, n int64) {
		if n != 0 {
			adds = append(adds, "#"+name+" :"+name)
			values[":"+name] = number(n)
		}
	}
	add("done", counted.Done)
	add("files", counted.Files)
	add("bytes", counted.Bytes)
	add("duplicates", dupes)
	for status, n := range counted.ByStatus {
		add(statusPrefix+string(status), n)
	}
	for code, n := range counted.ByCode {
		add(codePrefix+string(code), n)
	}
	update := jc.set
	if len(adds) > 0 {
		update = strings.TrimSpace(update + " ADD " + strings.Join(adds, ", "))
	}
	if len(values) == 0 {
		values = nil
	}
	if update == "" {
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &l.table, Key: key(jobPK(job), jobSK),
			ConditionExpression:       aws.String(jc.condition),
			ExpressionAttributeNames:  names(jc.condition),
			ExpressionAttributeValues: values,
		}}
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &l.table, Key: key(jobPK(job), jobSK),
		UpdateExpression:          aws.String(update),
		ConditionExpression:       aws.String(jc.condition),
		ExpressionAttributeNames:  names(update, jc.condition),
		ExpressionAttributeValues: values,
	}}
}

// transact writes. It returns the reasons when a condition was not met, and tries again when the transaction met another one.
// The SDK gives every call a client token, so that its own repetitions count once.
func (l *Ledger) transact(ctx context.Context, input *dynamodb.TransactWriteItemsInput) (reasons []types.CancellationReason, err error) {
	err = l.retry(ctx, func() error {
		_, err := l.client.TransactWriteItems(ctx, input)
		return err
	})
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) && refused(cancelled.CancellationReasons...) {
		return cancelled.CancellationReasons, nil
	}
	return nil, err
}

// refused tells whether one of the reasons is a condition that was not met.
func refused(reasons ...types.CancellationReason) bool {
	for _, r := range reasons {
		if aws.ToString(r.Code) == "ConditionalCheckFailed" {
			return true
		}
	}
	return false
}

// retry repeats a call that collided with another writer, or came too fast, after a random wait that doubles.
func (l *Ledger) retry(ctx context.Context, call func() error) error {
	wait := l.firstWait
	for try := 1; ; try++ {
		err := call()
		if err == nil || try == maxTries || !collision(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting after: %w", context.Cause(ctx), err)
		case <-time.After(rand.N(wait + 1)): //nolint:gosec // jitter needs no secrecy
		}
		wait = min(2*wait, maxWait)
	}
}

// collision tells whether the same call may succeed a little later.
func collision(err error) bool {
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		passing := false
		for _, r := range cancelled.CancellationReasons {
			switch aws.ToString(r.Code) {
			case "ConditionalCheckFailed":
				return false
			case "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
				passing = true
			}
		}
		return passing
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "TransactionConflictException", "TransactionInProgressException", "ProvisionedThroughputExceededException",
		"ThrottlingException", "RequestLimitExceeded", "InternalServerError", "ServiceUnavailable":
		return true
	}
	return false
}

// update changes one item unless its condition is not met: then ok is false and the item is as it was.
func (l *Ledger) update(ctx context.Context, k item, expression, condition string, values item) (after item, ok bool, err error) {
	var out *dynamodb.UpdateItemOutput
	if len(values) == 0 {
		values = nil
	}
	err = l.retry(ctx, func() (err error) {
		out, err = l.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &l.table, Key: k,
			UpdateExpression:                    aws.String(expression),
			ConditionExpression:                 aws.String(condition),
			ExpressionAttributeNames:            names(expression, condition),
			ExpressionAttributeValues:           values,
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		return err
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed.Item, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return out.Attributes, true, nil
}

// get reads one item as it is now; nil when there is none.
func (l *Ledger) get(ctx context.Context, k item) (item, error) {
	var out *dynamodb.GetItemOutput
	err := l.retry(ctx, func() (err error) {
		out, err = l.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &l.table, Key: k, ConsistentRead: aws.Bool(true)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}
