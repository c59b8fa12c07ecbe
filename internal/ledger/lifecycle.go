package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// CreateJob records the job unless it is known already; then it returns what is known.
func (l *Ledger) CreateJob(ctx context.Context, j Job) (existing Job, created bool, err error) {
	list := func(k item) types.TransactWriteItem {
		k["job"] = text(j.ID)
		return types.TransactWriteItem{Put: &types.Put{TableName: &l.table, Item: k}}
	}
	reasons, err := l.transact(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: &l.table, Item: newJobItem(j),
			ConditionExpression: aws.String("attribute_not_exists(PK)"),
		}},
		list(key(jobsPK, jobsSK(j))),
		list(key(openPK, j.ID)),
	}})
	if err != nil {
		return Job{}, false, fmt.Errorf("creating job %s: %w", j.ID, err)
	}
	existing, err = l.Job(ctx, j.ID)
	return existing, reasons == nil, err
}

// Job reads one job. The error is ErrNoJob when there is none.
func (l *Ledger) Job(ctx context.Context, id string) (Job, error) {
	var found Job
	for it, err := range l.query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("PK = :pk AND SK BETWEEN :job AND :pool"),
		ExpressionAttributeValues: item{":pk": text(jobPK(id)), ":job": text(jobSK), ":pool": text(poolSK)},
	}) {
		switch {
		case err != nil:
			return Job{}, fmt.Errorf("reading job %s: %w", id, err)
		case textOf(it, "SK") == jobSK:
			found = jobOf(it)
		default:
			found.Pool = poolOf(it)
		}
	}
	if found.ID == "" {
		return Job{}, fmt.Errorf("job %s: %w", id, ErrNoJob)
	}
	return found, nil
}

// Jobs reads the newest jobs, newest first.
func (l *Ledger) Jobs(ctx context.Context, limit int) ([]Job, error) {
	return l.list(ctx, limit, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("PK = :pk"),
		ExpressionAttributeValues: item{":pk": text(jobsPK)},
		ScanIndexForward:          aws.Bool(false),
		Limit:                     aws.Int32(int32(min(max(limit, 1), 1000))), //nolint:gosec // bounded
	})
}

// OpenJobs reads the jobs that have not ended, in the order of their ids.
func (l *Ledger) OpenJobs(ctx context.Context) ([]Job, error) {
	return l.list(ctx, 0, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("PK = :pk"),
		ExpressionAttributeValues: item{":pk": text(openPK)},
	})
}

// list reads the jobs that a list names, no more than the limit if there is one.
func (l *Ledger) list(ctx context.Context, limit int, q *dynamodb.QueryInput) ([]Job, error) {
	var jobs []Job
	for it, err := range l.query(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("listing jobs: %w", err)
		}
		j, err := l.Job(ctx, textOf(it, "job"))
		if err != nil {
			return nil, err
		}
		if jobs = append(jobs, j); len(jobs) == limit {
			break
		}
	}
	return jobs, nil
}

// BeginDispatch takes the right to dispatch the job until the given time. It is false when another dispatcher holds it, or when
// the job is not DISPATCHING any more. The right is a courtesy that spares double work: dispatching twice does no harm.
func (l *Ledger) BeginDispatch(ctx context.Context, job, owner string, until time.Time) (Job, bool, error) {
	after, ok, err := l.update(
		ctx, key(jobPK(job), jobSK),
		"SET #dispatcher = :owner, #dispatch_until = :until",
		"#state = :dispatching AND (attribute_not_exists(#dispatch_until) OR #dispatch_until <= :now OR #dispatcher = :owner)",
		item{
			":owner": text(owner), ":until": instant(until), ":now": instant(l.now()),
			":dispatching": text(string(Dispatching)),
		},
	)
	switch {
	case err != nil:
		return Job{}, false, fmt.Errorf("beginning to dispatch job %s: %w", job, err)
	case after == nil:
		return Job{}, false, fmt.Errorf("job %s: %w", job, ErrNoJob)
	}
	return jobOf(after), ok, nil
}

// EndDispatch gives the right back.
func (l *Ledger) EndDispatch(ctx context.Context, job, owner string) error {
	_, _, err := l.update(
		ctx, key(jobPK(job), jobSK),
		"REMOVE #dispatcher, #dispatch_until", "#dispatcher = :owner", item{":owner": text(owner)},
	)
	if err != nil {
		return fmt.Errorf("ending to dispatch job %s: %w", job, err)
	}
	return nil
}

// Checkpoint says that every line up to this one is recorded and sent, and keeps the right to dispatch until the given time.
// The error is ErrStopped when the job is not DISPATCHING any more, or another dispatcher has taken over.
func (l *Ledger) Checkpoint(ctx context.Context, job, owner string, line int, until time.Time) error {
	_, ok, err := l.update(
		ctx, key(jobPK(job), jobSK),
		"SET #checkpoint = :line, #dispatch_until = :until",
		"#state = :dispatching AND #dispatcher = :owner AND #checkpoint <= :line",
		item{
			":line": number(int64(line)), ":owner": text(owner), ":until": instant(until),
			":dispatching": text(string(Dispatching)),
		},
	)
	switch {
	case err != nil:
		return fmt.Errorf("writing the checkpoint of job %s: %w", job, err)
	case !ok:
		return fmt.Errorf("job %s: %w", job, ErrStopped)
	}
	return nil
}

// SetTotal says how many rows the job has, after all of them were recorded: the job is RUNNING from then on. A job that left
// DISPATCHING before is returned as it is.
func (l *Ledger) SetTotal(ctx context.Context, job string, total int64) (Job, error) {
	after, _, err := l.update(
		ctx, key(jobPK(job), jobSK),
		"SET #total = :total, #state = :running REMOVE #dispatcher, #dispatch_until", "#state = :dispatching",
		item{":total": number(total), ":running": text(string(Running)), ":dispatching": text(string(Dispatching))},
	)
	switch {
	case err != nil:
		return Job{}, fmt.Errorf("writing the total of job %s: %w", job, err)
	case after == nil:
		return Job{}, fmt.Errorf("job %s: %w", job, ErrNoJob)
	}
	return jobOf(after), nil
}

// FailJob ends a job whose sheet cannot be read. Rows that are recorded already are not worked any more.
func (l *Ledger) FailJob(ctx context.Context, job, reason string) error {
	after, ok, err := l.update(
		ctx, key(jobPK(job), jobSK),
		"SET #state = :failed, #error = :reason REMOVE #dispatcher, #dispatch_until, #blocked, #blocked_since",
		"#state = :dispatching",
		item{":failed": text(string(FailedJob)), ":reason": text(reason), ":dispatching": text(string(Dispatching))},
	)
	return l.stopped(ctx, "failing", job, after, ok, err)
}

// CancelJob calls a job off: what is not final yet is not worked any more, but for rows that somebody is at. To cancel twice is
// no error; to cancel a job that has finished or failed is ErrEnded.
func (l *Ledger) CancelJob(ctx context.Context, job string) error {
	after, ok, err := l.update(
		ctx, key(jobPK(job), jobSK),
		"SET #state = :cancelled REMOVE #dispatcher, #dispatch_until, #blocked, #blocked_since",
		"#state IN (:dispatching, :running)",
		item{
			":cancelled": text(string(Cancelled)), ":dispatching": text(string(Dispatching)),
			":running": text(string(Running)),
		},
	)
	if state := JobState(textOf(after, "state")); err == nil && !ok && (state == Finished || state == FailedJob) {
		return fmt.Errorf("job %s is %s: %w", job, state, ErrEnded)
	}
	return l.stopped(ctx, "cancelling", job, after, ok, err)
}

// stopped writes the total of a job that left DISPATCHING before it was known: no row is recorded any more, so those that are
// there can be counted. A crash before that is mended by whoever calls FailJob or CancelJob again.
func (l *Ledger) stopped(ctx context.Context, doing, job string, after item, ok bool, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s job %s: %w", doing, job, err)
	case after == nil:
		return fmt.Errorf("job %s: %w", job, ErrNoJob)
	}
	if j := jobOf(after); j.TotalKnown || !ok && !j.Stopped() {
		return nil
	}
	total, err := l.countRows(ctx, job)
	if err == nil {
		_, _, err = l.update(
			ctx, key(jobPK(job), jobSK), "SET #total = :total", "attribute_not_exists(#total)", item{":total": number(total)},
		)
	}
	if err != nil {
		return fmt.Errorf("%s job %s: counting its rows: %w", doing, job, err)
	}
	return nil
}

// Finish ends a job whose results are written: RUNNING becomes FINISHED, a FAILED or CANCELLED job keeps its state. first is
// true exactly once, until a redrive opens the job again; it is false while a row is open.
func (l *Ledger) Finish(ctx context.Context, job string) (first bool, err error) {
	for {
		it, err := l.get(ctx, key(jobPK(job), jobSK))
		if err != nil {
			return false, fmt.Errorf("finishing job %s: %w", job, err)
		}
		if it == nil {
			return false, fmt.Errorf("job %s: %w", job, ErrNoJob)
		}
		was := jobOf(it)
		if !was.Complete() || was.Ended() {
			return false, nil
		}
		state := was.State
		if state == Running {
			state = Finished
		}
		const condition = "#state = :was AND #done = #total AND attribute_not_exists(#finished)"
		const set = "SET #state = :state, #finished = :now REMOVE #blocked, #blocked_since"
		reasons, err := l.transact(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Update: &types.Update{
				TableName: &l.table, Key: key(jobPK(job), jobSK),
				UpdateExpression: aws.String(set), ConditionExpression: aws.String(condition),
				ExpressionAttributeNames: names(set, condition),
				ExpressionAttributeValues: item{
					":was": text(string(was.State)), ":state": text(string(state)), ":now": instant(l.now()),
				},
			}},
			{Delete: &types.Delete{TableName: &l.table, Key: key(openPK, job)}},
		}})
		if err != nil {
			return false, fmt.Errorf("finishing job %s: %w", job, err)
		}
		if reasons == nil {
			return true, nil
		}
	}
}

// NeedsFinalize tells, at most once in that time, that the job is complete but has not ended: its finalize message is to be
// sent again.
func (l *Ledger) NeedsFinalize(ctx context.Context, job string, every time.Duration) (bool, error) {
	now := l.now()
	_, ok, err := l.update(
		ctx, key(jobPK(job), jobSK), "SET #finalize_sent = :now",
		"#done = #total AND attribute_not_exists(#finished) AND "+
			"(attribute_not_exists(#finalize_sent) OR #finalize_sent <= :before)",
		item{":now": instant(now), ":before": instant(now.Add(-every))},
	)
	if err != nil {
		return false, fmt.Errorf("asking for the results of job %s: %w", job, err)
	}
	return ok, nil
}

// MarkReported says that somebody was told about the job's end.
func (l *Ledger) MarkReported(ctx context.Context, job string) error {
	_, _, err := l.update(
		ctx, key(jobPK(job), jobSK), "SET #reported = :now", "attribute_exists(#finished)", item{":now": instant(l.now())},
	)
	if err != nil {
		return fmt.Errorf("marking job %s as reported: %w", job, err)
	}
	return nil
}

// SetBlocked says why the portal gives nothing now; "" clears it. changed is true for the one who blocked or cleared the job,
// false when only the reason changed.
func (l *Ledger) SetBlocked(ctx context.Context, job, why string) (changed bool, err error) {
	it, err := l.get(ctx, key(jobPK(job), jobSK))
	if err != nil {
		return false, fmt.Errorf("blocking job %s: %w", job, err)
	}
	was := textOf(it, "blocked")
	if it == nil || was == why {
		return false, nil
	}
	k := key(jobPK(job), jobSK)
	switch {
	case why == "":
		_, changed, err = l.update(ctx, k, "REMOVE #blocked, #blocked_since", "attribute_exists(#blocked)", nil)
	case was == "":
		_, changed, err = l.update(
			ctx, k, "SET #blocked = :why, #blocked_since = :now",
			"attribute_exists(PK) AND attribute_not_exists(#blocked) AND attribute_not_exists(#finished)",
			item{":why": text(why), ":now": instant(l.now())},
		)
	default:
		_, _, err = l.update(ctx, k, "SET #blocked = :why", "attribute_exists(#blocked)", item{":why": text(why)})
	}
	if err != nil {
		return false, fmt.Errorf("blocking job %s: %w", job, err)
	}
	return changed, nil
}

// EndLeases ends every lease, of rows and of dispatchers: for the start of a stack of which no environment lives. A try that
// was cut off does not count.
func (l *Ledger) EndLeases(ctx context.Context) error {
	jobs, err := l.OpenJobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		_, _, err := l.update(
			ctx, key(jobPK(j.ID), jobSK), "REMOVE #dispatcher, #dispatch_until", "attribute_exists(#dispatch_until)", nil,
		)
		if err != nil {
			return fmt.Errorf("ending the dispatch of job %s: %w", j.ID, err)
		}
		for r, err := range l.Pending(ctx, j.ID) {
			if err == nil && r.Lease.Token != "" {
				err = l.Release(ctx, r.Lease, true)
			}
			if err != nil {
				return fmt.Errorf("ending the leases of job %s: %w", j.ID, err)
			}
		}
	}
	return nil
}
