package download

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/fetch"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
	"github.com/purserhq/purser/internal/telemetry"
)

// process takes one PO's message to its end: claim, work, and then commit, retry or hand back.
func (b *batch) process(t task) {
	begun := sync.OnceFunc(func() { b.todo.Add(-1) })
	defer begun()
	log := b.log.WithFields(logrus.Fields{telemetry.FieldJob: t.Job, telemetry.FieldPO: t.PO})
	if b.trouble() != nil {
		b.handBack(t.message, b.waitForPortal())
		return
	}
	slot, ok := b.slot()
	if !ok {
		b.handBack(t.message, 0)
		return
	}
	held := true
	free := func() {
		if held {
			held = false
			b.d.board.end(slot)
			b.d.board.free <- slot
		}
	}
	defer free()
	switch {
	case b.trouble() != nil:
		b.handBack(t.message, b.waitForPortal())
		return
	case b.worn():
		log.WithField(telemetry.FieldErrorCode, po.CodeResource).Warn("no browser is left for the PO; it goes back to the queue")
		b.handBack(t.message, b.d.Settings.RetryDelay)
		return
	}
	begun()
	b.d.board.begin(slot, string(t.PO))
	b.show(b.ctx, t.Job, false)

	// A claim that is cut off may hold, and cost a try: it is not cut off by the batch's end.
	claim, err := b.d.Ledger.Claim(b.late, t.Task, b.d.environment, b.end, receives(t.message) == 1)
	if err != nil {
		log.WithError(err).Warn("claiming the PO failed; it comes again")
		b.handBack(t.message, b.d.Settings.RetryDelay)
		return
	}
	switch claim.State {
	case ledger.Done:
		b.repeat(t, claim)
		return
	case ledger.Held:
		b.handBack(t.message, claim.Wait)
		return
	case ledger.Stopped:
		log.Info("the job was cancelled, or has failed; the message is done with")
		if claim.Last {
			b.sendFinalize(t.Job)
		}
		return
	case ledger.NoJob:
		log.Error("the ledger knows no such job; the message goes to the dead-letter queue")
		b.bury(t.message, "the ledger knows no job "+t.Job)
		return
	}
	fault("claimed", string(t.PO))

	b.asked.Store(true)
	began := time.Now()
	ctx, cancel := context.WithTimeout(b.ctx, b.longest(claim.Lease))
	defer cancel()
	result, err := b.attempt(ctx, t, claim.Lease, free)
	result.Duration = time.Since(began)
	b.conclude(t, claim.Lease, result, err)
}

// slot waits for a free worker. It is false when the PO would not fit any more into the invocation.
func (b *batch) slot() (int, bool) {
	if b.late.Err() != nil || !b.fits() {
		return 0, false
	}
	select {
	case i := <-b.d.board.free:
		if !b.fits() {
			b.d.board.free <- i
			return 0, false
		}
		return i, true
	case <-b.ctx.Done():
		return 0, false
	}
}

// fits tells whether a PO begun now would likely end before the batch must: twice the average so far, and never less than two
// seconds.
func (b *batch) fits() bool {
	need := 2 * time.Second
	if n := b.pos.Load(); n > 0 {
		need = max(need, 2*time.Duration(b.poTime.Load()/n))
	}
	return b.ctx.Err() == nil && time.Until(b.deadline) > min(need, b.d.Settings.WorkerTimeout)
}

// longest is how much time a PO gets: WORKER_TIMEOUT. One that was handed back again and again gets less than the whole invocation:
// if it hangs from the start to the end, it would be handed back as one that did not fit, for ever.
func (b *batch) longest(l ledger.Lease) time.Duration {
	if l.Claims-l.Attempt < manyRefunds {
		return b.d.Settings.WorkerTimeout
	}
	return min(b.d.Settings.WorkerTimeout, b.deadline.Sub(b.began)*9/10)
}

// repeat ends a message whose row is final already: it was delivered twice, or the process died between commit and answer. It
// does again what may have been left undone then.
func (b *batch) repeat(t task, c ledger.Claim) {
	r := c.Result
	if err := b.settle(t, r); err != nil {
		b.log.WithError(err).Warn("clearing what earlier tries left failed; the message comes again to do it")
		b.again(t.message, b.d.Settings.RetryDelay)
		return
	}
	if r.InDLQ {
		b.bury(t.message, r.ErrorMessage())
	}
	if c.Last {
		b.sendFinalize(t.Job)
	}
}

// attempt is one try at one PO. Own trouble (the browser died) and a session that ended are no fault of the PO's: it is tried
// again at once, with a new browser or a new session, a few times.
func (b *batch) attempt(ctx context.Context, t task, lease ledger.Lease, free func()) (po.Result, error) {
	for sessions, browsers := 0, 0; ; {
		result, used, err := b.once(ctx, t, lease, free)
		var e *po.Error
		switch {
		case err == nil || ctx.Err() != nil, errors.Is(err, syscall.ENOSPC): // no new browser makes room on the disk
			return result, err
		case errors.Is(err, errSessionEnded):
			if sessions++; sessions > 1 {
				return result, refused(nil, "the portal refuses a session that it has just accepted")
			}
			b.log.WithField(telemetry.FieldPO, t.PO).Warn("the portal's session ended; it is renewed")
		case errors.As(err, &e) && e.Ours && b.replace(used) && browsers < maxRestarts:
			browsers++
			b.d.board.crash(true)
			b.log.WithError(err).WithField(telemetry.FieldPO, t.PO).Warn("the browser is gone; the PO is tried again with a new one")
		default:
			if e != nil && e.Ours {
				b.d.board.crash(false)
			}
			return result, err
		}
	}
}

// once opens the PO's page, reads it, fetches what it offers, and uploads it. used is the browser that it was done with.
func (b *batch) once(ctx context.Context, t task, lease ledger.Lease, free func()) (_ po.Result, used life, _ error) {
	result := po.Result{
		Job: t.Job, Row: t.Row, PO: t.PO, Supplier: t.Supplier, URL: b.d.Profile.POURL(t.PO), Attempt: lease.Attempt,
		ProcessedAt: time.Now().UTC(),
	}
	v, done, err := b.visitor(ctx)
	if err != nil {
		return result, used, err
	}
	defer done()
	b.d.board.restarted()
	used = life{v, v.browser.Generation()}
	if v != b.d.warm.Load() {
		free = func() {} // this PO's own browser lives until the end: it holds its worker as long
	}
	dir, remove, err := v.spool()
	if err != nil {
		return result, used, err
	}
	defer remove()
	h := &harvest{b: b, v: v, task: t, dir: dir, serial: v.session()}
	err = h.collect(ctx, free)
	h.fill(&result)
	if err != nil {
		return result, used, err
	}
	fault("fetched", string(t.PO))
	if again := h.worthAnother(lease.Attempt < b.d.Settings.MaxReceives); again != nil {
		return result, used, again
	}
	h.judge(&result)
	return result, used, b.upload(ctx, t, h, &result)
}

// upload files the PO's documents under its final folder.
func (b *batch) upload(ctx context.Context, t task, h *harvest, r *po.Result) error {
	if len(h.files) == 0 {
		return nil
	}
	r.Folder = b.d.folder(t.Task, r.Supplier, r.Status)
	slices.SortFunc(h.files, func(a, b stored) int { return a.order - b.order }) // names that are alike are told apart in this order
	var (
		wg    sync.WaitGroup
		names fetch.Names
		errs  = make([]error, len(h.files))
	)
	for i, f := range h.files {
		name := names.Unique(f.Name)
		file := po.File{
			Name: name, Key: r.Folder + "/" + name, Source: f.source, SourceID: f.sourceID, Bytes: f.Bytes, SHA256: f.SHA256,
			ContentType: f.ContentType, OriginalName: f.OriginalName, URL: f.URL, Note: f.Note,
		}
		r.Files = append(r.Files, file)
		wg.Go(func() {
			b.d.uploads <- struct{}{}
			defer func() { <-b.d.uploads }()
			errs[i] = b.d.Archive.PutFile(ctx, file.Key, f.Path, file.ContentType)
		})
	}
	wg.Wait()
	fault("uploaded", string(t.PO))
	if err := errors.Join(errs...); err != nil {
		return &po.Error{Code: po.CodeNetwork, Text: "storing the files in the bucket failed", Err: err, Retry: true}
	}
	return nil
}

// conclude decides what becomes of a PO after a try.
func (b *batch) conclude(t task, lease ledger.Lease, r po.Result, err error) {
	log := b.log.WithFields(logrus.Fields{telemetry.FieldJob: t.Job, telemetry.FieldPO: t.PO, telemetry.FieldAttempt: lease.Attempt})
	if err == nil {
		b.outcomes <- pending{task: t, outcome: ledger.Outcome{Lease: lease, Result: r}}
		return
	}
	e := po.AsError(err)
	giveBack := func(after time.Duration) {
		b.release(b.late, lease, true)
		b.handBack(t.message, after)
	}
	switch {
	case b.ctx.Err() != nil: // the invocation's end; whose fault the error is, cannot be told
		giveBack(0)
		return
	case e.Wide:
		b.trip(t.Job, e)
		giveBack(b.waitForPortal())
		return
	case e.Ours && lease.Claims-lease.Attempt < maxRefunds:
		log.WithError(err).WithField(telemetry.FieldErrorCode, e.Code).Error("trouble of this environment's own; the PO goes back to the queue")
		giveBack(b.backOff(lease.Claims - lease.Attempt))
		return
	case e.Retry && lease.Attempt < b.d.Settings.MaxReceives:
		after := b.backOff(lease.Attempt - 1)
		log.WithError(err).WithFields(logrus.Fields{telemetry.FieldErrorCode: e.Code, "again_in": after.String()}).
			Warn("the PO failed; it is tried again")
		b.release(b.late, lease, false)
		b.handBack(t.message, after)
		return
	}
	r.Files, r.Folder = nil, ""
	r.Status, r.Code, r.Message = po.Failed, e.Code, message(e)
	if e.Code == po.CodeTimeout {
		r.Status = po.Timeout
	}
	r.InDLQ = e.Retry
	log.WithError(err).WithField(telemetry.FieldErrorCode, e.Code).Error("the PO failed for good")
	b.outcomes <- pending{task: t, outcome: ledger.Outcome{Lease: lease, Result: r}, bury: r.InDLQ}
}

const (
	// manyRefunds is after how many tries that were given back a PO may not take a whole invocation any more.
	manyRefunds = 3
	// maxRefunds is how many tries of a PO are given back before trouble that looks like the environment's own counts as the PO's:
	// files that no disk here can hold, say, would be tried for ever.
	maxRefunds = 50
)

// backOff is how long a PO waits after so many tries before the one that failed: twice as long after each, up to SQS's longest
// delay, or RETRY_DELAY if that is longer.
func (b *batch) backOff(tries int) time.Duration {
	first := b.d.Settings.RetryDelay
	return max(first, min(first<<min(tries, 10), maxDelay))
}

// message is an error's text for ERROR_MESSAGE: one line, short, without its code.
func message(e *po.Error) string {
	text := strings.TrimPrefix(e.Error(), string(e.Code)+": ")
	return cut(strings.Join(strings.Fields(text), " "), 300)
}

// folder is where the PO's files go.
func (d *Downloader) folder(t po.Task, supplier string, status po.Status) string {
	levels := t.Levels
	if d.Settings.DownloadLayout != config.LayoutLevels {
		levels = nil
	}
	folder := archive.Folder(t.Job, levels, supplier, t.PO, status)
	if d.Settings.DownloadLayout == config.LayoutFlat {
		return "download/" + t.Job + "/" + path.Base(folder)
	}
	return folder
}

// visitor gives the warm visitor, or one of the PO's own in one-shot mode.
func (b *batch) visitor(ctx context.Context) (v *visitor, done func(), err error) {
	if v, err = b.d.pool(ctx, b); err != nil {
		return nil, nil, err
	}
	if v != nil {
		return v, v.inUse.RUnlock, nil
	}
	v = b.d.newVisitor()
	b.oneShots.Add(1)
	done = func() {
		if err := v.close(b.late); err != nil {
			b.log.WithError(err).Warn("closing a PO's browser failed")
		}
	}
	if err := v.ready(ctx); err != nil {
		done()
		return nil, nil, err
	}
	return v, done, nil
}

// pool makes the warm visitor ready and holds it, for reading, against being recycled; nil in one-shot mode. A pool that cannot start is given up: a browser for each PO is
// slower, and needs less.
func (d *Downloader) pool(ctx context.Context, b *batch) (*visitor, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.oneShot {
		return nil, nil
	}
	if d.stopping.Load() {
		return nil, ours(nil, "this environment is shutting down")
	}
	if e := b.wide.Load(); e != nil { // who waited here need not ask the portal what the one before has just heard
		return nil, e
	}
	warm := d.warm.Load()
	if warm == nil {
		warm = d.newVisitor()
		d.warm.Store(warm)
	}
	err := warm.recycle(ctx)
	if err == nil {
		err = warm.ready(ctx)
	}
	if err == nil {
		warm.inUse.RLock() // here, where nobody can recycle it between its being ready and its being used
		return warm, nil
	}
	var e *po.Error
	if errors.As(err, &e) && e.Wide {
		b.wide.Store(e)
	}
	if errors.As(err, &e) && e.Ours && warm.browser.Generation() == 0 && ctx.Err() == nil {
		b.log.WithError(err).Warn("the browser pool cannot start; falling back to a browser for each PO (as with USE_PERSISTENT_POOL=false)")
		d.oneShot = true
		return nil, nil
	}
	return nil, err
}

// errSessionEnded happens when a page or a file shows that the portal does not know the session any more.
var errSessionEnded = errors.New("the portal's session ended")

// kindError is what a page means that answers nothing.
func kindError(p portal.Page) error {
	if p.Kind == portal.PageError {
		return &po.Error{Code: po.CodeNetwork, Text: "the portal showed an error page: " + p.Reason, Retry: true}
	}
	return &po.Error{Code: po.CodeLayout, Text: "the page is none that the profile knows: " + p.Reason, Retry: true}
}
