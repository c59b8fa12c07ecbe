package download

import (
	"context"
	"path"
	"time"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/telemetry"
)

// commitMany is how many rows one transaction takes at most.
const commitMany = 25

// pending is an outcome that waits for its commit.
type pending struct {
	task    task
	outcome ledger.Outcome
	bury    bool // the message belongs into the dead-letter queue
}

// commits writes outcomes as they come, many in one transaction when many wait: the job's counter item takes a limited number
// of writes a second, whatever the number of rows in each.
func (b *batch) commits(in <-chan pending) {
	for first := range in {
		group := []pending{first}
	more:
		for len(group) < commitMany {
			select {
			case next, open := <-in:
				if !open {
					break more
				}
				group = append(group, next)
			default:
				break more
			}
		}
		byJob := map[string][]pending{}
		for _, p := range group {
			byJob[p.outcome.Lease.Job] = append(byJob[p.outcome.Lease.Job], p)
		}
		for job, some := range byJob {
			b.commit(job, some)
		}
	}
}

// commit writes one job's outcomes. Rows whose lease was lost belong to another environment by now: theirs is the last word.
func (b *batch) commit(job string, group []pending) {
	outcomes := make([]ledger.Outcome, len(group))
	for i, p := range group {
		outcomes[i] = p.outcome
	}
	fault("committing", job)
	committed, last, err := b.d.Ledger.Commit(b.late, outcomes)
	if err != nil {
		b.log.WithError(err).WithField(telemetry.FieldJob, job).Error("committing outcomes failed; their POs come again")
		for _, p := range group {
			b.release(b.late, p.outcome.Lease, true) // the ledger's trouble is no fault of theirs
			b.handBack(p.task.message, b.d.Settings.RetryDelay)
		}
		return
	}
	fault("committed", job)
	done := map[int]bool{}
	for _, r := range committed {
		done[r.Row] = true
	}
	for _, p := range group {
		r := p.outcome.Result
		if !done[r.Row] {
			b.log.WithField(telemetry.FieldJob, job).WithField(telemetry.FieldPO, r.PO).
				Warn("another environment has taken the row over; its outcome counts")
			b.handBack(p.task.message, b.d.Settings.RetryDelay)
			continue
		}
		b.count(r)
		if p.repeated() {
			if err := b.settle(p.task, r); err != nil {
				b.log.WithError(err).WithField(telemetry.FieldPO, r.PO).
					Warn("clearing what earlier tries left failed; the message comes again to do it")
				b.again(p.task.message, b.d.Settings.RetryDelay)
				continue
			}
		}
		if p.bury {
			b.bury(p.task.message, r.ErrorMessage())
		}
	}
	if last {
		b.sendFinalize(job)
	}
}

// count adds a committed result to the metrics and says it in the log.
func (b *batch) count(r po.Result) {
	m := b.d.Metrics
	m.Add(telemetry.ForStatus(r.Status), 1)
	m.Observe(telemetry.POSeconds, r.Duration.Seconds())
	m.Add(telemetry.Files, float64(len(r.Files)))
	m.Add(telemetry.Bytes, float64(r.Bytes()))
	b.d.board.finished(r.Status.Success(), r.Duration)
	b.poTime.Add(int64(r.Duration))
	b.pos.Add(1)
	entry := b.log.WithFields(map[string]any{
		telemetry.FieldJob: r.Job, telemetry.FieldPO: r.PO, telemetry.FieldAttempt: r.Attempt,
		telemetry.FieldDuration: r.Duration.Milliseconds(), "status": r.Status, "files": len(r.Files), "bytes": r.Bytes(),
	})
	if r.Code != "" {
		entry = entry.WithField(telemetry.FieldErrorCode, r.Code)
	}
	if r.Message != "" {
		entry = entry.WithField("reason", r.Message)
	}
	entry.Info("PO done")
}

// sendFinalize asks for the job's results. If it cannot be sent, the sweeper does it.
func (b *batch) sendFinalize(job string) {
	body := po.Task{Kind: po.KindFinalize, Job: job}.Encode()
	if err := b.send(body); err != nil {
		b.log.WithError(err).WithField(telemetry.FieldJob, job).Error("asking for the job's results failed; the sweeper will")
	}
}

// release gives a row back. A try that is refunded does not count.
func (b *batch) release(ctx context.Context, lease ledger.Lease, refund bool) {
	if err := b.d.Ledger.Release(ctx, lease, refund); err != nil {
		b.log.WithError(err).WithField(telemetry.FieldJob, lease.Job).
			Warnf("releasing row %d failed; it is free again at %s", lease.Row, lease.Until.Format(time.TimeOnly))
	}
}

// repeated tells whether an earlier try may have left files: a first try has nothing to clear, and is spared the listing. Tries
// that were given back, and those before a redrive, are no attempts any more, but have left their files all the same.
func (p pending) repeated() bool { return p.outcome.Lease.Claims > 1 }

// settle removes what earlier tries of the PO left in the bucket and the result does not name.
func (b *batch) settle(t task, r po.Result) error {
	if r.Folder == "" && r.Supplier == "" && len(t.Levels) == 0 && b.d.Settings.DownloadLayout != config.LayoutFlat {
		// An earlier try may have known the supplier from the page, and filed under it.
		return b.purge(t)
	}
	folder := r.Folder
	if folder == "" {
		folder = b.d.folder(t.Task, r.Supplier, r.Status)
	}
	return b.d.Archive.Settle(b.late, folder, keysOf(r))
}

// purge removes the PO's folders wherever in the job they lie.
func (b *batch) purge(t task) error {
	mine := map[string]bool{}
	for _, s := range po.Statuses {
		mine[path.Base(archive.Folder(t.Job, nil, "", t.PO, s))] = true
	}
	folders := map[string]bool{}
	for o, err := range b.d.Archive.List(b.late, "download/"+t.Job+"/") {
		if err != nil {
			return err
		}
		if folder := path.Dir(o.Key); mine[path.Base(folder)] {
			folders[folder] = true
		}
	}
	for folder := range folders {
		if err := b.d.Archive.Settle(b.late, folder, nil); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(r po.Result) []string {
	keys := make([]string, len(r.Files))
	for i, f := range r.Files {
		keys[i] = f.Key
	}
	return keys
}
