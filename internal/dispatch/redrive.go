package dispatch

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/purserhq/purser/internal/po"
)

// Redrive tries again what FAILED, ended in TIMEOUT or PR_NOT_ACCESSIBLE: the rows are opened, their counters reversed and
// their messages sent anew, and what lies of them in the dead-letter queue is removed. The job ends again, with its results
// written anew. A crash in between leaves open rows without a message, which the sweeper settles as lost: then redrive again.
func (d *Dispatcher) Redrive(ctx context.Context, job string) (rows int, err error) {
	opened := map[int]bool{}
	batch := make([]po.Task, 0, batchSize)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := d.sendBatch(ctx, batch)
		batch = batch[:0]
		return err
	}
	for r, err := range d.o.Ledger.Rows(ctx, job) {
		if err != nil {
			return len(opened), err
		}
		if r.DuplicateOf != 0 || !r.Status.Redrivable() || r.Task.Job == "" {
			continue
		}
		ok, err := d.o.Ledger.Reopen(ctx, job, r.Row)
		if err != nil {
			return len(opened), err
		}
		if !ok {
			continue
		}
		opened[r.Row] = true
		if batch = append(batch, r.Task); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return len(opened), err
			}
		}
	}
	if err := flush(); err != nil {
		return len(opened), err
	}
	if len(opened) == 0 {
		return 0, nil
	}
	return len(opened), d.exhume(ctx, job, opened)
}

// exhume removes the dead letters of rows that have a new message.
func (d *Dispatcher) exhume(ctx context.Context, job string, rows map[int]bool) error {
	letters, _, err := d.deadLetters(ctx)
	if err != nil {
		return err
	}
	var others []types.Message
	for _, m := range letters {
		if t, err := po.DecodeTask(aws.ToString(m.Body)); err != nil || t.Job != job || !rows[t.Row] {
			others = append(others, m)
			continue
		}
		if _, err := d.o.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &d.o.DLQURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
			d.giveBack(ctx, others)
			return fmt.Errorf("removing a dead letter of job %s: %w", job, err)
		}
	}
	d.giveBack(ctx, others)
	return nil
}

// Cancel calls a job off and settles what nobody works on. POs that are being worked end as they do; the last of them leads to
// the job's results.
func (d *Dispatcher) Cancel(ctx context.Context, id string) error {
	if err := d.o.Ledger.CancelJob(ctx, id); err != nil {
		return err
	}
	job, err := d.o.Ledger.Job(ctx, id)
	if err != nil {
		return err
	}
	s := sweep{d: d, left: maxSettle}
	if err := s.stop(ctx, job); err != nil {
		return err
	}
	if job, err = d.o.Ledger.Job(ctx, id); err != nil {
		return err
	}
	return d.finalizeIfComplete(ctx, job)
}
