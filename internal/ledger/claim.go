package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/purserhq/purser/internal/po"
)

// Lease is the right to commit one row, until the invocation that took it must have ended.
type Lease struct {
	Job     string
	Row     int
	Owner   string // the invocation, for a person who reads the table
	Token   string // this claim and no other
	Until   time.Time
	Attempt int // from 1; tries that were given back do not count, and a redrive begins anew
	Claims  int // from 1; every claim counts, for ever
}

// ClaimState is the answer to a claim.
type ClaimState int

// The answers to a claim.
const (
	Claimed ClaimState = iota // the lease is yours: work the row, then Commit or Release
	Done                      // the row is final already: acknowledge the message
	Held                      // somebody else works on it: look again after Wait
	Stopped                   // the job was cancelled or has failed; the row is settled: acknowledge the message
	NoJob                     // the ledger knows no such job or row: the message is foreign
)

// Claim is what a worker learns when it asks for a row.
type Claim struct {
	State  ClaimState
	Lease  Lease         // when Claimed
	Result po.Result     // when Done or Stopped
	Wait   time.Duration // when Held
	Last   bool          // when Done or Stopped: every row is final but the job has not ended, so send finalize (again)
}

// Outcome is the result of a leased row.
type Outcome struct {
	Lease  Lease
	Result po.Result
}

// pendingFree is the condition that nobody works on a row. It needs :pending and :now.
const pendingFree = "#status = :pending AND (attribute_not_exists(#until) OR #until <= :now)"

// Claim asks for a row. redriven says that the message was received for the first time (again): if the row FAILED with its
// message in the dead-letter queue, somebody moved it back, and the row is opened again.
func (l *Ledger) Claim(ctx context.Context, t po.Task, owner string, until time.Time, redriven bool) (Claim, error) {
	c, err := l.claim(ctx, t, owner, until, redriven)
	if err != nil {
		return Claim{}, fmt.Errorf("claiming row %d of job %s: %w", t.Row, t.Job, err)
	}
	return c, nil
}

func (l *Ledger) claim(ctx context.Context, t po.Task, owner string, until time.Time, redriven bool) (Claim, error) {
	token := rand.Text()
	for {
		it, err := l.get(ctx, key(jobPK(t.Job), jobSK))
		if err != nil {
			return Claim{}, err
		}
		if it == nil {
			return Claim{State: NoJob}, nil
		}
		job, now := jobOf(it), l.now()
		if job.Stopped() {
			return l.claimStopped(ctx, job, t.Row, now)
		}
		it, ok, err := l.update(
			ctx, rowKey(t.Job, t.Row),
			"SET #owner = :owner, #token = :token, #until = :until, #updated = :now, "+
				"#attempt = if_not_exists(#attempt, :nought) + :one, #claims = if_not_exists(#claims, :nought) + :one",
			pendingFree,
			item{
				":pending": text(string(po.Pending)), ":now": instant(now), ":owner": text(owner),
				":token": text(token), ":until": instant(until), ":nought": number(0), ":one": number(1),
			},
		)
		if err != nil {
			return Claim{}, err
		}
		if it == nil {
			return Claim{State: NoJob}, nil
		}
		row, err := rowOf(t.Job, it)
		if err != nil {
			return Claim{}, err
		}
		switch {
		case ok, row.Status == po.Pending && row.Lease.Token == token: // the latter: our own claim, whose answer was lost
			return Claim{State: Claimed, Lease: row.Lease}, nil
		case row.Status == po.Pending:
			return Claim{State: Held, Wait: max(row.Lease.Until.Sub(now), 0)}, nil
		case row.Task.Job == "" || !row.Status.Redrivable() || !row.Lost && (!row.InDLQ || !redriven):
			return Claim{State: Done, Result: row.Result, Last: job.Complete() && !job.Ended()}, nil
		}
		if _, err := l.reopen(ctx, job, row); err != nil { // then claim it like any other, if nobody was faster
			return Claim{}, err
		}
	}
}

// claimStopped settles the row of a job that is not to be worked any more.
func (l *Ledger) claimStopped(ctx context.Context, job Job, line int, now time.Time) (Claim, error) {
	row, ok, err := l.Row(ctx, job.ID, line)
	if err != nil {
		return Claim{}, err
	}
	if !ok {
		return Claim{State: NoJob}, nil
	}
	if row.Leased(now) {
		return Claim{State: Held, Wait: row.Lease.Until.Sub(now)}, nil
	}
	if row.Status == po.Pending {
		if _, err = l.Settle(ctx, job.ID, []po.Result{job.CancelledResult(row)}, false); err != nil {
			return Claim{}, err
		}
		if row, _, err = l.Row(ctx, job.ID, line); err != nil {
			return Claim{}, err
		}
	}
	if job, err = l.Job(ctx, job.ID); err != nil {
		return Claim{}, err
	}
	return Claim{State: Stopped, Result: row.Result, Last: job.Complete() && !job.Ended()}, nil
}

// CancelledResult is how a row of a stopped job ends that was not worked.
func (j Job) CancelledResult(r Row) po.Result {
	result := r.Result
	result.Status, result.Code, result.Message = po.Failed, po.CodeCancelled, "the job was cancelled before this PO's turn"
	if j.State == FailedJob {
		result.Message = "the job failed before this PO's turn: " + j.Error
	}
	return result
}

// Commit records the outcomes of leased rows, each with its counters in one transaction. Outcomes whose lease was lost are
// dropped: committed has the others. last says that every row of the job is final and its results are to be written: whoever
// hears it sends the finalize message. Two commits that end at the same moment may both hear it; Finish tells them apart.
//
// All outcomes are of one job. Commit whole batches, not single rows, where that is possible: see "Throughput".
func (l *Ledger) Commit(ctx context.Context, outcomes []Outcome) (committed []po.Result, last bool, err error) {
	if len(outcomes) == 0 {
		return nil, false, nil
	}
	job, now := outcomes[0].Lease.Job, l.now()
	changes := make([]change, 0, len(outcomes))
	results := make([]po.Result, 0, len(outcomes))
	for _, o := range outcomes {
		r := o.Result
		r.Job, r.Row, r.Attempt = o.Lease.Job, o.Lease.Row, o.Lease.Attempt
		if r.ProcessedAt.IsZero() {
			r.ProcessedAt = now
		}
		if r.Job != job || !r.Status.Final() {
			return nil, false, fmt.Errorf("committing row %d of job %s among those of job %s: %q is no outcome of it", r.Row, r.Job, job, r.Status)
		}
		changes = append(changes, l.finalize(&r, o.Lease.Token,
			"#status = :pending AND #token = :token AND #until > :now", nil, now))
		results = append(results, r)
	}
	applied, err := l.apply(ctx, job, changes, maxCommits, jobChange{condition: "attribute_exists(PK)"})
	for i, ok := range applied {
		if ok {
			committed = append(committed, results[i])
		}
	}
	if errors.Is(err, errCondition) {
		err = ErrNoJob
	}
	if err != nil {
		return committed, false, fmt.Errorf("committing %d rows of job %s: %w", len(outcomes), job, err)
	}
	if len(committed) == 0 {
		return nil, false, nil
	}
	j, err := l.Job(ctx, job)
	if err != nil {
		return committed, false, err
	}
	return committed, j.Complete() && !j.Ended(), nil
}

// finalize is the change that makes a PENDING row final. The token stays with the row: it names this change, so that a
// repetition finds its own work done, and a redrive can say which state it reverses.
func (l *Ledger) finalize(r *po.Result, token, condition string, flags []string, now time.Time) change {
	packed, size := packResult(r)
	result := *r
	set := "SET #status = :status, #result = :result, #updated = :now, #token = :token"
	values := item{
		":pending": text(string(po.Pending)), ":status": text(string(r.Status)), ":result": packed,
		":now": instant(now), ":token": text(token),
	}
	if result.InDLQ {
		flags = append(flags, "in_dlq")
	}
	for _, f := range flags {
		set += ", #" + f + " = :yes"
		values[":yes"] = boolean(true)
	}
	return change{
		write: types.TransactWriteItem{Update: &types.Update{
			TableName: &l.table, Key: rowKey(r.Job, r.Row),
			UpdateExpression: aws.String(set), ConditionExpression: aws.String(condition),
			ExpressionAttributeNames: names(set, condition), ExpressionAttributeValues: values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		bytes:  size,
		counts: func(c *po.Counters) { c.Add(result, 1) },
		mine: func(old item) bool {
			return textOf(old, "token") == token && po.Status(textOf(old, "status")).Final()
		},
	}
}

// Release gives a row back unfinished. refund says that this try is not to count. A lease that was lost is no error.
func (l *Ledger) Release(ctx context.Context, lease Lease, refund bool) error {
	set := "SET #updated = :now"
	values := item{":now": instant(l.now()), ":pending": text(string(po.Pending)), ":token": text(lease.Token)}
	if refund {
		set += ", #attempt = #attempt - :one"
		values[":one"] = number(1)
	}
	_, _, err := l.update(
		ctx, rowKey(lease.Job, lease.Row),
		set+" REMOVE #owner, #token, #until", "#status = :pending AND #token = :token", values,
	)
	if err != nil {
		return fmt.Errorf("releasing row %d of job %s: %w", lease.Row, lease.Job, err)
	}
	return nil
}

// Settle ends PENDING rows that nobody works on: their message was given up, or the job was called off. lost says that no
// message for them is left anywhere; should one turn up all the same, Claim opens the row again. Rows in any other state are
// left as they are; settled counts those that changed.
func (l *Ledger) Settle(ctx context.Context, job string, results []po.Result, lost bool) (settled int, err error) {
	now := l.now()
	changes := make([]change, 0, len(results))
	for _, r := range results {
		r.Job = job
		if r.ProcessedAt.IsZero() {
			r.ProcessedAt = now
		}
		if !r.Status.Final() {
			return 0, fmt.Errorf("settling row %d of job %s: %q is no final status", r.Row, job, r.Status)
		}
		var flags []string
		if lost {
			flags = []string{"lost"}
		}
		changes = append(changes, l.finalize(&r, rand.Text(), pendingFree, flags, now))
	}
	applied, err := l.apply(ctx, job, changes, maxCommits, jobChange{condition: "attribute_exists(PK)"})
	for _, ok := range applied {
		if ok {
			settled++
		}
	}
	if err != nil {
		return settled, fmt.Errorf("settling rows of job %s: %w", job, err)
	}
	return settled, nil
}

// MarkInDLQ says of a FAILED, TIMEOUT or PR_NOT_ACCESSIBLE row that its message lies in the dead-letter queue. It is false
// when the row is in no such state, or was marked before.
func (l *Ledger) MarkInDLQ(ctx context.Context, job string, row int) (bool, error) {
	_, ok, err := l.update(
		ctx, rowKey(job, row), "SET #in_dlq = :yes",
		"#status IN (:failed, :timeout, :pr) AND attribute_exists(#task) AND attribute_not_exists(#in_dlq)",
		item{
			":yes": boolean(true), ":failed": text(string(po.Failed)), ":timeout": text(string(po.Timeout)),
			":pr": text(string(po.PRNotAccessible)),
		},
	)
	if err != nil {
		return false, fmt.Errorf("marking row %d of job %s: %w", row, job, err)
	}
	return ok, nil
}

// Reopen makes a FAILED, TIMEOUT or PR_NOT_ACCESSIBLE row PENDING again, with its attempts starting anew; the caller then sends
// its message. It is false when the row is in no such state, was never to be worked, or its job has failed.
func (l *Ledger) Reopen(ctx context.Context, job string, row int) (bool, error) {
	for {
		it, err := l.get(ctx, key(jobPK(job), jobSK))
		if err != nil {
			return false, fmt.Errorf("reopening row %d of job %s: %w", row, job, err)
		}
		if it == nil {
			return false, fmt.Errorf("job %s: %w", job, ErrNoJob)
		}
		j := jobOf(it)
		if j.State == Cancelled && !j.TotalKnown { // the one who cancelled it was cut off
			if err := l.CancelJob(ctx, job); err != nil {
				return false, err
			}
			continue
		}
		r, found, err := l.Row(ctx, job, row)
		if err != nil {
			return false, err
		}
		if !found || r.Task.Job == "" || !r.Status.Redrivable() || j.State == FailedJob {
			return false, nil
		}
		ok, err := l.reopen(ctx, j, r)
		if err != nil {
			return false, fmt.Errorf("reopening row %d of job %s: %w", row, job, err)
		}
		if ok {
			return true, nil
		}
	}
}

// reopen takes a final row back. It is false when the row or its job is not in that state any more.
func (l *Ledger) reopen(ctx context.Context, j Job, r Row) (bool, error) {
	state := j.State
	if state != Dispatching {
		state = Running
	}
	const (
		set       = "SET #status = :pending, #queued = :now, #updated = :now REMOVE #result, #owner, #token, #until, #attempt, #in_dlq, #lost"
		condition = "#status = :status AND #token = :token"
	)
	now := instant(l.now())
	c := change{
		write: types.TransactWriteItem{Update: &types.Update{
			TableName: &l.table, Key: rowKey(j.ID, r.Row),
			UpdateExpression: aws.String(set), ConditionExpression: aws.String(condition),
			ExpressionAttributeNames: names(set, condition),
			ExpressionAttributeValues: item{
				":pending": text(string(po.Pending)), ":now": now, ":status": text(string(r.Status)),
				":token": text(r.Lease.Token),
			},
		}},
		counts: func(counters *po.Counters) { counters.Add(r.Result, -1) },
	}
	open := key(openPK, j.ID)
	open["job"] = text(j.ID)
	applied, err := l.apply(ctx, j.ID, []change{c}, 1, jobChange{
		condition: "#state = :was",
		set:       "SET #state = :state REMOVE #finished, #reported, #finalize_sent",
		values:    item{":was": text(string(j.State)), ":state": text(string(state))},
		others:    []types.TransactWriteItem{{Put: &types.Put{TableName: &l.table, Item: open}}},
	})
	if errors.Is(err, errCondition) {
		return false, nil
	}
	return err == nil && applied[0], err
}
