package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/telemetry"
)

const (
	// maxLook is how many dead letters one sweep reads, maxSettle how many rows it settles.
	maxLook   = 1000
	maxSettle = 5000
	// settleAtOnce is how many rows are handed to the ledger together.
	settleAtOnce = 100
	// lookTime is for how long a dead letter that is being looked at cannot be received; it is given back right after.
	lookTime = 2 * time.Minute
	// finalizeEvery is how often the results of a job are asked for that is complete and does not end.
	finalizeEvery = 10 * time.Minute
)

// SweepReport says what a sweep did.
type SweepReport struct {
	Jobs      int  // that have not ended
	Resumed   int  // jobs whose dispatcher had died
	Buried    int  // rows settled, or marked, since their message lies in the dead-letter queue
	Revived   int  // messages sent anew, since the queue gave them up though their row has not failed
	Lost      int  // rows settled since their message is gone
	Cancelled int  // rows settled since their job was cancelled or has failed
	Finalized int  // jobs whose results were asked for again
	More      bool // there was more to do than one sweep may
}

// Sweep looks after the jobs that have not ended, so that every one does:
//
//   - a message in the dead-letter queue: its row is FAILED, and says so, once its tries are used up; before that, the queue has
//     counted receives in which nobody tried (the portal was in trouble, or a process died over another PO): it is sent anew, as is
//     one whose row has succeeded, for its last worker may have died before it removed what earlier tries had left;
//   - a row without a message, since the queue is empty or was kept for less time than the row waited: FAILED;
//   - a row of a cancelled or failed job that no message will settle: FAILED;
//   - a complete job whose finalize message is gone: it gets another one;
//   - a job whose dispatcher died: it is dispatched on.
func (d *Dispatcher) Sweep(ctx context.Context) (SweepReport, error) {
	s := sweep{d: d, left: maxSettle}
	err := s.run(ctx)
	d.count(telemetry.RowsSwept, s.report.Buried+s.report.Lost+s.report.Cancelled)
	d.log.WithField("report", fmt.Sprintf("%+v", s.report)).Info("swept")
	if err != nil {
		return s.report, fmt.Errorf("sweeping: %w", err)
	}
	return s.report, nil
}

// sweep is one call of Sweep.
type sweep struct {
	d      *Dispatcher
	report SweepReport
	left   int // rows that may still be settled
	idle   bool
	queue  queueState
}

func (s *sweep) run(ctx context.Context) error {
	jobs, err := s.d.o.Ledger.OpenJobs(ctx)
	if err != nil {
		return err
	}
	s.report.Jobs = len(jobs)
	if s.queue, err = s.d.queueState(ctx, s.d.o.QueueURL); err != nil {
		return err
	}
	if err := s.bury(ctx); err != nil {
		return err
	}
	again, err := s.d.queueState(ctx, s.d.o.QueueURL)
	if err != nil {
		return err
	}
	s.idle = s.queue.messages == 0 && again.messages == 0

	var errs []error
	for _, job := range jobs {
		if s.d.outOfTime(ctx) {
			s.report.More = true
			break
		}
		if err := s.job(ctx, job); err != nil {
			errs = append(errs, fmt.Errorf("job %s: %w", job.ID, err))
		}
	}
	return errors.Join(errs...)
}

// job does for one job what is to be done.
func (s *sweep) job(ctx context.Context, job ledger.Job) error {
	l := s.d.o.Ledger
	var err error
	switch {
	case job.State == ledger.Dispatching:
		if job.DispatchUntil.After(s.d.o.Now()) {
			return nil
		}
		s.report.Resumed++
		return s.d.dispatch(ctx, job)
	case job.Stopped():
		err = s.stop(ctx, job)
	case !job.Complete():
		err = s.lose(ctx, job)
	}
	if err != nil {
		return err
	}
	needed, err := l.NeedsFinalize(ctx, job.ID, finalizeEvery)
	if err != nil || !needed {
		return err
	}
	s.report.Finalized++
	return s.d.sendFinalize(ctx, job.ID)
}

// stop settles what is open of a job that was called off, and mends one whose caller was cut off.
func (s *sweep) stop(ctx context.Context, job ledger.Job) error {
	if !job.TotalKnown {
		var err error
		if job.State == ledger.Cancelled {
			err = s.d.o.Ledger.CancelJob(ctx, job.ID)
		} else {
			err = s.d.o.Ledger.FailJob(ctx, job.ID, job.Error)
		}
		if err != nil {
			return err
		}
	} else if job.Complete() {
		return nil
	}
	n, err := s.settle(ctx, job, false, func(r ledger.Row) (po.Result, bool) { return job.CancelledResult(r), true })
	s.report.Cancelled += n
	return err
}

// lose settles the rows whose message must be gone. One that waited for longer than the queue keeps messages is settled for good:
// a portal in trouble gives POs back as new copies of their messages, which would open the row again, and keep the job from ever
// ending.
func (s *sweep) lose(ctx context.Context, job ledger.Job) error {
	now := s.d.o.Now()
	if now.Sub(job.Created) > s.queue.retention { // spares reading the rows of a younger job
		n, err := s.settle(ctx, job, false, func(r ledger.Row) (po.Result, bool) {
			return lostResult(r, "its message was in the queue for longer than the queue keeps one"), now.Sub(r.Queued) > s.queue.retention
		})
		s.report.Lost += n
		if err != nil {
			return err
		}
	}
	if !s.idle {
		return nil
	}
	n, err := s.settle(ctx, job, true, func(r ledger.Row) (po.Result, bool) {
		touched := r.Updated
		if r.Lease.Until.After(touched) {
			touched = r.Lease.Until
		}
		return lostResult(r, "its message was lost: it is in no queue any more"), now.Sub(touched) >= s.d.o.LostAfter
	})
	s.report.Lost += n
	return err
}

func lostResult(r ledger.Row, why string) po.Result {
	result := r.Result
	result.Status, result.Code, result.Message = po.Failed, po.CodeResource, why+"; redrive the job to try again"
	return result
}

// settle ends the open rows of the job for which there is a verdict.
func (s *sweep) settle(ctx context.Context, job ledger.Job, lost bool, verdict func(ledger.Row) (po.Result, bool)) (int, error) {
	settled := 0
	batch := make([]po.Result, 0, settleAtOnce)
	flush := func() error {
		n, err := s.d.o.Ledger.Settle(ctx, job.ID, batch, lost)
		settled += n
		batch = batch[:0]
		return err
	}
	now := s.d.o.Now()
	for r, err := range s.d.o.Ledger.Pending(ctx, job.ID) {
		if err != nil {
			return settled, err
		}
		if r.Leased(now) {
			continue
		}
		result, ok := verdict(r)
		if !ok {
			continue
		}
		if s.left == 0 || s.d.outOfTime(ctx) {
			s.report.More = true
			break
		}
		s.left--
		if batch = append(batch, result); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return settled, err
			}
		}
	}
	return settled, flush()
}

// bury settles the rows whose message lies in the dead-letter queue, and marks those that are final.
func (s *sweep) bury(ctx context.Context) error {
	letters, more, err := s.d.deadLetters(ctx)
	if err != nil {
		return err
	}
	s.report.More = s.report.More || more
	defer s.d.giveBack(ctx, letters)
	now := s.d.o.Now()
	for _, m := range letters {
		t, err := po.DecodeTask(aws.ToString(m.Body))
		if err != nil || t.Kind != po.KindPO { // unreadable ones lie there for a person, finalize ones are sent again
			continue
		}
		row, found, err := s.d.o.Ledger.Row(ctx, t.Job, t.Row)
		if err != nil {
			return err
		}
		switch {
		case !found || row.Leased(now) || stale(m, row):
		case row.Status == po.Pending && row.Lease.Attempt < s.d.o.MaxTries, row.Status.Final() && !row.Status.Redrivable():
			if err := s.revive(ctx, m); err != nil {
				return err
			}
		case row.Status == po.Pending:
			result := row.Result
			result.Status, result.Code, result.InDLQ = po.Failed, po.CodeResource, true
			result.Message = "every try was cut off before its end, and its message lies in the dead-letter queue; redrive it to try again"
			n, err := s.d.o.Ledger.Settle(ctx, t.Job, []po.Result{result}, false)
			if err != nil {
				return err
			}
			s.report.Buried += n
		case row.Status.Redrivable() && !row.InDLQ:
			ok, err := s.d.o.Ledger.MarkInDLQ(ctx, t.Job, t.Row)
			if err != nil {
				return err
			}
			if ok {
				s.report.Buried++
			}
		}
	}
	return nil
}

// revive sends a dead letter anew. When it is cut off in between there are two messages, of which one finds the row final.
func (s *sweep) revive(ctx context.Context, letter types.Message) error {
	_, err := s.d.o.SQS.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &s.d.o.QueueURL, MessageBody: letter.Body})
	if err == nil {
		s.report.Revived++
		_, err = s.d.o.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &s.d.o.DLQURL, ReceiptHandle: letter.ReceiptHandle})
	}
	if err != nil {
		return fmt.Errorf("sending a dead letter anew: %w", err)
	}
	return nil
}

// stale tells whether the row was redriven after the dead letter was sent: then it waits for a newer message. A minute is left
// for clocks that differ.
func stale(letter types.Message, row ledger.Row) bool {
	ms, err := strconv.ParseInt(letter.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	return err == nil && row.Status == po.Pending && time.UnixMilli(ms).Add(time.Minute).Before(row.Queued)
}

// deadLetters receives what lies in the dead-letter queue; more tells that it was not all. SQS has no way to look at a message
// without receiving it: they are to be given back.
func (d *Dispatcher) deadLetters(ctx context.Context) (letters []types.Message, more bool, err error) {
	if d.o.DLQURL == "" {
		return nil, false, nil
	}
	state, err := d.queueState(ctx, d.o.DLQURL)
	if err != nil {
		return nil, false, err
	}
	for len(letters) < state.visible {
		if len(letters) >= maxLook || d.outOfTime(ctx) {
			return letters, true, nil
		}
		out, err := d.o.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &d.o.DLQURL, MaxNumberOfMessages: batchSize, VisibilityTimeout: int32(lookTime / time.Second),
			WaitTimeSeconds:             1, // a long poll asks all of SQS's servers
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp},
		})
		if err != nil {
			d.giveBack(ctx, letters)
			return nil, false, fmt.Errorf("looking into the dead-letter queue: %w", err)
		}
		if len(out.Messages) == 0 {
			break
		}
		letters = append(letters, out.Messages...)
	}
	return letters, false, nil
}

// giveBack lets dead letters be received again. One that cannot be given back is free after two minutes.
func (d *Dispatcher) giveBack(ctx context.Context, letters []types.Message) {
	for first := 0; first < len(letters); first += batchSize {
		batch := letters[first:min(first+batchSize, len(letters))]
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(batch))
		for i, m := range batch {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
			}
		}
		_, err := d.o.SQS.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &d.o.DLQURL, Entries: entries})
		if err != nil {
			d.log.WithError(err).WithFields(logrus.Fields{"messages": len(letters) - first}).
				Warn("giving back dead letters failed; they can be received again after two minutes")
			return
		}
	}
}
