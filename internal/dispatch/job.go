package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/sheet"
	"github.com/purserhq/purser/internal/telemetry"
)

const (
	// windowRows is how many rows lie between two checkpoints.
	windowRows = 1000
	// groupRows is how many rows one sender records in a transaction and then sends, in batches of ten.
	groupRows = 90
	// rightTime is how long a dispatcher may be silent until another one takes its job over. Each checkpoint renews it; a window
	// takes seconds.
	rightTime = 30 * time.Second
	// stopTime is what giving back the right may take after the invocation's context has ended.
	stopTime = 5 * time.Second

	// maxMessage bounds a message, so that ten fit into a request and a hundred rows into a transaction. Only a row whose
	// folder levels are absurdly long exceeds it.
	maxMessage = 16 << 10
	// maxValue and maxSupplier bound what is kept of the foreign cells of a row that is not worked, in characters.
	maxValue, maxSupplier = 100, 200
)

// ErrUnfinished happens when the invocation's time is over before the sheet's end: called again, the dispatcher goes on.
var ErrUnfinished = errors.New("stopped before the invocation's deadline; called again, it goes on from its checkpoint")

// dispatch brings the job as far as it can. It does nothing for a job that somebody else is at, or that is dispatched.
func (d *Dispatcher) dispatch(ctx context.Context, job ledger.Job) error {
	log, me := d.log.WithField(telemetry.FieldJob, job.ID), owner(ctx)
	job, mine, err := d.o.Ledger.BeginDispatch(ctx, job.ID, me, d.o.Now().Add(rightTime))
	if err != nil {
		return err
	}
	if !mine {
		if job.State == ledger.Dispatching {
			log.Infof("another invocation is at this job, until %s if it lives", job.DispatchUntil.Format(time.TimeOnly))
			return nil
		}
		log.Info("this job was dispatched before")
		return d.finalizeIfComplete(ctx, job)
	}
	err = d.stream(ctx, job, me, log)
	if errors.Is(err, ledger.ErrStopped) { // cancelled, or taken over by another invocation that thought this one dead
		log.Info("stopped: the job takes no more rows")
		if job, err = d.o.Ledger.Job(ctx, job.ID); err != nil {
			return err
		}
		return d.finalizeIfComplete(ctx, job)
	}
	if err != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return errors.Join(err, d.o.Ledger.EndDispatch(late, job.ID, me))
	}
	return nil
}

// stream reads the sheet to its end, window by window.
func (d *Dispatcher) stream(ctx context.Context, job ledger.Job, me string, log *logrus.Entry) error {
	body, _, err := d.o.Archive.Open(ctx, job.Key, job.VersionID, job.ETag)
	if errors.Is(err, archive.ErrGone) {
		return d.fail(ctx, job, job.Name+" was deleted or replaced before it was read to its end; drop it again", log)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	rows, err := sheet.Open(body, job.Name, d.o.Sheet)
	if err != nil {
		return d.failIfUnreadable(ctx, job, err, log)
	}
	defer rows.Close()

	var total int64
	for end := false; !end; {
		if d.outOfTime(ctx) {
			return ErrUnfinished
		}
		w, err := d.read(rows, job)
		total += w.counted
		if err != nil && !errors.Is(err, io.EOF) {
			return d.failIfUnreadable(ctx, job, err, log)
		}
		end = err != nil
		if len(w.tasks)+len(w.finals) == 0 {
			continue
		}
		if err := d.send(ctx, job.ID, w); err != nil {
			return err
		}
		if err := d.o.Ledger.Checkpoint(ctx, job.ID, me, w.last, d.o.Now().Add(rightTime)); err != nil {
			return err
		}
		d.count(telemetry.RowsAccepted, len(w.tasks))
		d.count(telemetry.RowsRejected, w.rejected)
	}
	if job, err = d.o.Ledger.SetTotal(ctx, job.ID, total); err != nil {
		return err
	}
	log.WithField("rows", total).Info("dispatched")
	return d.finalizeIfComplete(ctx, job)
}

// window is what lies between two checkpoints.
type window struct {
	tasks    []po.Task   // to be worked
	finals   []po.Result // final at once, or duplicates
	rejected int
	last     int   // line
	counted  int64 // rows that count in the total, those before the checkpoint among them
}

// read reads on to a full window, or the end: then the error is io.EOF. Rows up to the job's checkpoint are only counted.
func (d *Dispatcher) read(rows *sheet.Reader, job ledger.Job) (window, error) {
	var w window
	for len(w.tasks)+len(w.finals) < d.window {
		r, err := rows.Next()
		if err != nil {
			return w, err
		}
		if r.Blank || r.Verdict == sheet.Skipped && !r.Completed && r.DuplicateOf == 0 {
			continue
		}
		if r.DuplicateOf == 0 {
			w.counted++
		}
		if r.Line <= job.Checkpoint {
			continue
		}
		w.last = r.Line
		if r.Verdict == sheet.Accepted {
			task := po.Task{
				Version: po.MessageVersion, Kind: po.KindPO, Job: job.ID, Row: r.Line, PO: r.PO, Supplier: r.Supplier, Levels: r.Levels,
			}
			if len(task.Encode()) <= maxMessage {
				w.tasks = append(w.tasks, task)
				continue
			}
			r.Verdict, r.Reason, r.Column = sheet.Rejected, "the supplier and the folder levels are far too long", ""
		}
		if r.Verdict == sheet.Rejected {
			w.rejected++
		}
		w.finals = append(w.finals, d.resultOf(r, job.ID))
	}
	return w, nil
}

// resultOf is the result of a row that is not worked.
func (d *Dispatcher) resultOf(r sheet.Row, job string) po.Result {
	result := po.Result{Job: job, Row: r.Line, PO: r.PO, Supplier: cut(r.Supplier, maxSupplier), DuplicateOf: r.DuplicateOf}
	switch {
	case r.DuplicateOf > 0:
	case r.Completed:
		result.Status, result.Skipped = po.Completed, true
	default:
		if result.PO == "" {
			result.PO = po.Number(cut(r.Value, maxValue))
		}
		result.Status, result.Code, result.Message = po.Failed, po.CodeInput, r.Reason
		if r.Column != "" {
			result.Message = "column " + cut(r.Column, maxValue) + ": " + r.Reason
		}
		result.ProcessedAt = d.o.Now().UTC()
	}
	return result
}

// send records the window's rows and sends their messages, by several senders at once.
func (d *Dispatcher) send(ctx context.Context, job string, w window) error {
	senders, ctx := errgroup.WithContext(ctx)
	senders.SetLimit(d.o.Senders)
	for finals := range slices.Chunk(w.finals, groupRows) {
		senders.Go(func() error { return d.o.Ledger.PutResults(ctx, job, finals) })
	}
	for tasks := range slices.Chunk(w.tasks, groupRows) {
		senders.Go(func() error {
			if err := d.o.Ledger.PutRows(ctx, job, tasks); err != nil {
				return err
			}
			return d.sendTasks(ctx, tasks)
		})
	}
	return senders.Wait()
}

// failIfUnreadable ends a job whose sheet is to blame; any other error is worth another try.
func (d *Dispatcher) failIfUnreadable(ctx context.Context, job ledger.Job, err error, log *logrus.Entry) error {
	var unreadable *sheet.Unreadable
	if errors.As(err, &unreadable) {
		return d.fail(ctx, job, unreadable.Error(), log)
	}
	return fmt.Errorf("reading %s: %w", job.Key, err)
}

// fail ends the job with the one reason that its owner is to see. It gets its results, too.
func (d *Dispatcher) fail(ctx context.Context, job ledger.Job, reason string, log *logrus.Entry) error {
	log.WithField("reason", reason).Warn("the sheet cannot be read")
	if err := d.o.Ledger.FailJob(ctx, job.ID, reason); err != nil {
		return err
	}
	d.count(telemetry.JobsFailed, 1)
	job, err := d.o.Ledger.Job(ctx, job.ID)
	if err != nil {
		return err
	}
	return d.finalizeIfComplete(ctx, job)
}

// finalizeIfComplete asks for the results of a job of which no row is open: otherwise the last commit does that.
func (d *Dispatcher) finalizeIfComplete(ctx context.Context, job ledger.Job) error {
	if !job.Complete() || job.Ended() {
		return nil
	}
	return d.sendFinalize(ctx, job.ID)
}

func cut(s string, length int) string {
	n := 0
	for i := range s {
		if n == length {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
