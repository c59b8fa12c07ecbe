package download

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/telemetry"
)

// maxRestarts is how often a browser that dies is replaced in one invocation; then its POs go back to the queue.
const maxRestarts = 3

// probeEvery is how often a browser that has POs under way is asked whether it lives.
const probeEvery = 10 * time.Second

// boardEvery is how often `purser watch` hears of this environment at most.
const boardEvery = 2 * time.Second

// batch is one invocation's work.
type batch struct {
	d     *Downloader
	log   *logrus.Entry
	event events.SQSEvent

	ctx      context.Context // ends when POs must be handed back: before the invocation does, or at Shutdown
	cancel   context.CancelFunc
	late     context.Context // for committing and handing back
	lateStop context.CancelFunc
	began    time.Time
	deadline time.Time // of ctx
	end      time.Time // of the invocation: nobody works on its POs any more

	mu       sync.Mutex
	failures []events.SQSBatchItemFailure
	blocked  *po.Error     // portal-wide trouble: nothing more is begun
	wait     time.Duration // until the portal may be asked again
	shown    time.Time     // when the board was written
	ended    map[life]bool // browsers that ended under POs
	restarts int           // browsers that were replaced, or could not start, for that

	asked    atomic.Bool              // a PO's work was begun
	wide     atomic.Pointer[po.Error] // why the portal gives no session
	todo     atomic.Int32             // POs that are not begun
	pos      atomic.Int64
	poTime   atomic.Int64 // nanoseconds
	oneShots atomic.Int64 // browsers that one-shot mode started
	outcomes chan pending
}

func (d *Downloader) newBatch(ctx context.Context, event events.SQSEvent) *batch {
	fields := logrus.Fields{telemetry.FieldColdStart: d.cold}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		fields[telemetry.FieldRequestID] = lc.AwsRequestID
	}
	b := &batch{
		d: d, log: d.Log.WithFields(fields), event: event,
		outcomes: make(chan pending, len(event.Records)), ended: map[life]bool{},
	}
	total := 15 * time.Minute
	if end, ok := ctx.Deadline(); ok {
		total = time.Until(end)
	}
	b.began = time.Now()
	b.end = b.began.Add(total)
	b.deadline = b.end.Add(-reserve(total))
	b.ctx, b.cancel = context.WithDeadline(ctx, b.deadline)
	b.late, b.lateStop = detached(ctx, total-reserve(total)/4)
	if d.cold {
		d.Metrics.Add(telemetry.ColdStarts, 1)
	}
	return b
}

// task is a message that asks for a PO.
type task struct {
	po.Task
	message events.SQSMessage
}

// run works every message to its end: acknowledged, or named in the answer.
func (b *batch) run() {
	defer b.lateStop()
	defer b.cancel()
	go func() {
		select {
		case <-b.d.stop:
			b.cancel()
		case <-b.ctx.Done():
		}
	}()
	var before struct{ launches, restarts int }
	if warm := b.d.warm.Load(); warm != nil {
		s := warm.browser.Status()
		before.launches, before.restarts = s.Launches, s.Restarts
	}

	var tasks []task
	var finals []task
	for _, m := range b.event.Records {
		t, err := po.DecodeTask(m.Body)
		switch {
		case err != nil:
			b.log.WithField("message_id", m.MessageId).WithError(err).Error("the message cannot be read; it goes to the dead-letter queue")
			b.bury(m, "unreadable message: "+err.Error())
		case t.Kind == po.KindFinalize:
			finals = append(finals, task{t, m})
		default:
			tasks = append(tasks, task{t, m})
		}
	}

	if len(tasks) > 0 {
		b.work(tasks)
	}
	for _, t := range finals {
		b.finalize(t)
	}
	b.account(tasks, before.launches, before.restarts)
}

// answer names the messages that must come again. An empty list, not null, says that all succeeded.
func (b *batch) answer() events.SQSEventResponse {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == nil {
		b.failures = []events.SQSBatchItemFailure{}
	}
	return events.SQSEventResponse{BatchItemFailures: b.failures}
}

func (b *batch) fail(m events.SQSMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
}

// work takes the POs through the pool. All of a batch are under way at once: tabs bound how many pages are open, and files
// are fetched while the next page loads.
func (b *batch) work(tasks []task) {
	b.todo.Store(int32(len(tasks)))
	b.d.board.setPool(poolReady)
	gate, err := b.d.Ledger.Circuit(b.ctx, b.d.portal(), b.d.environment)
	switch {
	case err != nil:
		b.log.WithError(err).Error("reading the portal's circuit failed; the batch comes again")
		for _, t := range tasks {
			b.handBack(t.message, b.d.Settings.RetryDelay)
		}
		return
	case gate.Open && !gate.Probe:
		b.stop(&po.Error{Code: po.CodeNetwork, Text: gate.Reason, Wide: true, Retry: true}, gate.Wait)
		for _, job := range jobsOf(tasks) { // it may be another job's PO that met the trouble
			b.block(job, gate.Reason)
		}
	}

	var committer sync.WaitGroup
	committer.Go(func() { b.commits(b.outcomes) })
	b.d.board.setPool(poolProcessing)
	kept, stopKeeping := context.WithCancel(b.ctx)
	defer stopKeeping()
	go b.keep(kept)
	rest := tasks
	// One PO finds out whether the portal is back; the others wait for its answer. A message whose row needs no work does not.
	for gate.Probe && !b.asked.Load() && len(rest) > 1 {
		b.one(rest[0])
		rest = rest[1:]
	}
	var workers sync.WaitGroup
	for _, t := range rest {
		workers.Go(func() { b.one(t) })
	}
	workers.Wait()
	close(b.outcomes)
	committer.Wait()
	if b.trouble() == nil && b.pos.Load() > 0 {
		b.unblock(tasks, gate.Open)
	}
	b.d.board.setPool(poolReady)
	b.show(b.late, tasks[0].Job, true)
}

// keep looks after the browser while POs are under way. One that hangs tells nobody, and its POs would wait for it until their
// time is up; here it is replaced, which they learn as they learn of a browser's death.
func (b *batch) keep(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		warm := b.d.warm.Load()
		if warm == nil || !warm.browser.Status().Running { // what is dead is replaced by whoever needs it
			continue
		}
		limited, cancel := context.WithTimeout(ctx, startTimeout)
		if err := warm.browser.Ensure(limited); err != nil && ctx.Err() == nil {
			b.log.WithError(err).Warn("the browser hangs, and another one does not start")
		}
		cancel()
	}
}

// one takes a message to its end, whatever happens: also a panic is its own message's trouble only, for it would end the
// process and Chromium with it.
func (b *batch) one(t task) {
	defer func() {
		if r := recover(); r != nil {
			b.log.WithFields(logrus.Fields{telemetry.FieldJob: t.Job, telemetry.FieldPO: t.PO, "panic": fmt.Sprint(r)}).
				Error("a PO's work panicked; it comes again")
			b.again(t.message, b.d.Settings.RetryDelay)
		}
	}()
	b.process(t)
}

// stop ends the batch for portal-wide trouble: what is not begun is handed back untouched.
func (b *batch) stop(e *po.Error, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocked == nil {
		b.blocked, b.wait = e, wait
	}
}

func (b *batch) trouble() *po.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blocked
}

// life is one browser, from its start to its end.
type life struct {
	v          *visitor
	generation int
}

// replace tells whether a PO whose browser ended may have another one. All POs that the browser had under way ask: that is one
// restart. A browser that could not even start has no life, and counts each time.
func (b *batch) replace(l life) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l == (life{}) || !b.ended[l] {
		b.ended[l] = true
		b.restarts++
	}
	return b.restarts <= maxRestarts
}

// worn tells whether this invocation may start no browser any more: what is not begun is handed back.
func (b *batch) worn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.restarts > maxRestarts
}

// waitForPortal is when a PO that the portal's trouble stopped should come again: a little later than the circuit lets the
// first one through, and not all in the same second.
func (b *batch) waitForPortal() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := max(b.wait, time.Second)
	return wait + rand.N(wait/4+time.Second)
}

// trip tells every environment that the portal is in trouble, and the job's owner why nothing moves.
func (b *batch) trip(job string, e *po.Error) {
	if b.trouble() != nil {
		return
	}
	wait := e.After
	gate, err := b.d.Ledger.Trip(b.late, b.d.portal(), e.Error(), e.After)
	if err != nil {
		b.log.WithError(err).Warn("telling the other environments of the portal's trouble failed")
	} else {
		wait = gate.Wait
	}
	b.stop(e, wait)
	b.log.WithFields(logrus.Fields{telemetry.FieldJob: job, telemetry.FieldErrorCode: e.Code, "wait": wait.String()}).
		WithError(e).Error("portal-wide trouble: the batch stops, and its POs come again without having lost a try")
	b.d.Metrics.Add(telemetry.PortalBlocked, 1)
	if e.Code == po.CodeProfile {
		b.d.Metrics.Add(telemetry.SessionRefused, 1)
	}
	b.block(job, e.Error())
}

// block tells the job's owner why nothing moves.
func (b *batch) block(job, why string) {
	changed, err := b.d.Ledger.SetBlocked(b.late, job, why)
	if err != nil {
		b.log.WithError(err).Warn("marking the job as blocked failed")
	}
	if changed && b.d.Notify != nil {
		b.notifyBlocked(job)
	}
}

func (b *batch) notifyBlocked(job string) {
	j, err := b.d.Ledger.Job(b.late, job)
	if err == nil {
		err = b.d.Notify(b.late, j)
	}
	if err != nil {
		b.log.WithError(err).WithField(telemetry.FieldJob, job).Warn("telling people that the job is blocked failed")
	}
}

// unblock notes that the portal works again.
func (b *batch) unblock(tasks []task, circuit bool) {
	if circuit {
		if err := b.d.Ledger.Reset(b.late, b.d.portal()); err != nil {
			b.log.WithError(err).Warn("closing the portal's circuit failed")
		}
	}
	for _, id := range jobsOf(tasks) {
		job, err := b.d.Ledger.Job(b.late, id)
		if err != nil || job.Blocked == "" {
			continue
		}
		if _, err := b.d.Ledger.SetBlocked(b.late, id, ""); err != nil {
			b.log.WithError(err).Warn("marking the job as unblocked failed")
		}
	}
}

// account adds the invocation to the jobs' pool figures and writes the metrics.
func (b *batch) account(tasks []task, launchesBefore, restartsBefore int) {
	var pool ledger.Pool
	if warm := b.d.warm.Load(); warm != nil {
		s := warm.browser.Status()
		pool.Launches, pool.Restarts = int64(s.Launches-launchesBefore), int64(s.Restarts-restartsBefore)
		pool.MemoryPeak = s.MemoryPeak
		b.d.Metrics.Observe(telemetry.MemoryPeak, float64(s.MemoryPeak))
	}
	pool.Launches += b.oneShots.Load()
	b.d.Metrics.Add(telemetry.BrowserStarts, float64(pool.Launches))
	b.d.Metrics.Add(telemetry.BrowserRestarts, float64(pool.Restarts))
	pool.Invocations, pool.POs, pool.POTime = 1, b.pos.Load(), time.Duration(b.poTime.Load())
	for i, id := range jobsOf(tasks) {
		if i > 0 { // figures of the environment belong to the first job; a batch of two jobs is rare
			break
		}
		if err := b.d.Ledger.AddPool(b.late, id, pool); err != nil {
			b.log.WithError(err).Warn("adding the pool's figures to the job failed")
		}
	}
	b.log.WithFields(logrus.Fields{
		"messages": len(b.event.Records), "pos": pool.POs, "returned": len(b.answer().BatchItemFailures), "launches": pool.Launches,
		"restarts": pool.Restarts, "memory_peak": pool.MemoryPeak,
	}).Info("batch done")
	if err := b.d.Metrics.Flush(time.Now(), map[string]any{"environment": b.d.environment}); err != nil {
		b.log.WithError(err).Warn("writing metrics failed")
	}
}

// show writes the board for `purser watch`, not more often than boardEvery.
func (b *batch) show(ctx context.Context, job string, now bool) {
	b.mu.Lock()
	due := now || time.Since(b.shown) >= boardEvery
	if due {
		b.shown = time.Now()
	}
	b.mu.Unlock()
	if !due {
		return
	}
	var chromium browser.Status
	if warm := b.d.warm.Load(); warm != nil {
		chromium = warm.browser.Status()
	}
	status := b.d.board.status(b.d.environment, int(b.todo.Load()), chromium)
	if err := b.d.Ledger.PutWorkers(ctx, job, b.d.environment, status); err != nil && ctx.Err() == nil {
		b.log.WithError(err).Warn("writing the pool's status failed")
	}
	b.log.WithFields(logrus.Fields{
		"pool_status": status.Status, "pending_tasks": status.Pending, "total_memory_usage": status.TotalMemory,
	}).Debug("pool status")
}

// finalize writes a job's results.
func (b *batch) finalize(t task) {
	log := b.log.WithField(telemetry.FieldJob, t.Job)
	if b.ctx.Err() != nil {
		b.again(t.message, time.Second)
		return
	}
	fault("finalizing", t.Job)
	if err := b.d.Finalize(b.late, t.Job); err != nil {
		if errors.Is(err, ledger.ErrNoJob) {
			b.bury(t.message, "the ledger knows no job "+t.Job)
			return
		}
		log.WithError(err).Error("writing the job's results failed; it is tried again")
		if receives(t.message) < b.d.Settings.MaxReceives { // else it would end as a dead letter; the sweeper sends another
			b.again(t.message, b.d.Settings.RetryDelay)
		}
		return
	}
	fault("finalized", t.Job)
	b.d.Metrics.Add(telemetry.JobsFinished, 1)
	log.Info("the job's results are written")
}

func (b *batch) send(body string) error {
	_, err := b.d.Queue.SendMessage(b.late, &sqs.SendMessageInput{QueueUrl: &b.d.Settings.QueueURL, MessageBody: &body})
	return err
}

// jobsOf lists the tasks' jobs, each once.
func jobsOf(tasks []task) []string {
	var ids []string
	seen := map[string]bool{}
	for _, t := range tasks {
		if !seen[t.Job] {
			seen[t.Job] = true
			ids = append(ids, t.Job)
		}
	}
	return ids
}
