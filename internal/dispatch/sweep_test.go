package dispatch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

func TestTheSweeperGoesOnWhereADispatcherDied(t *testing.T) {
	w := newWorld(t)
	w.Dispatcher.window, w.o.Senders = 10, 1
	w.fuse.arm(12)
	if err := w.HandleS3(t.Context(), w.drop("input/pos.csv", pos(100))); err == nil {
		t.Fatal("it did not die")
	}
	w.fuse.mend()
	if got := w.sweep(); got.Resumed != 0 || got.Jobs != 1 {
		t.Fatalf("the dispatcher may still live: %+v", got)
	}
	w.advance(rightTime)
	if got := w.sweep(); got.Resumed != 1 {
		t.Fatalf("%+v", got)
	}
	if job := w.job(); job.State != ledger.Running || job.Total != 100 {
		t.Fatalf("%+v", job)
	}
	got, _ := w.messages()
	if got = slices.Compact(got); !slices.Equal(got, lines(2, 101)) {
		t.Fatalf("messages for %v", got)
	}
}

func TestARowWhoseMessageIsBuriedFailsAndSaysSo(t *testing.T) {
	w := newWorld(t)
	job := w.dispatched(w.drop("input/pos.csv", pos(15)))
	w.bury()
	tasks := w.tasksOf(job.ID)
	c, err := w.ledger.Claim(t.Context(), tasks[0], "env", w.now().Add(time.Minute), false)
	if err != nil || c.State != ledger.Claimed {
		t.Fatalf("%+v, %v", c, err)
	}
	w.work(po.Failed, tasks[1])
	w.work(po.Completed, tasks[2])
	w.cutOff(tasks[3:]...)
	if got := w.sweep(); got.Buried != 13 || got.Lost != 0 { // one is leased, one COMPLETED
		t.Fatalf("%+v", got)
	}
	job = w.job()
	if job.Counters.Done != 14 || job.Counters.ByStatus[po.Failed] != 13 {
		t.Fatalf("%+v", job.Counters)
	}
	for _, r := range w.rows(job.ID)[1:] {
		if r.InDLQ != (r.Status == po.Failed) {
			t.Errorf("row %d is %s, in DLQ %v", r.Row, r.Status, r.InDLQ)
		}
	}
	if got := w.sweep(); got.Buried != 0 {
		t.Fatalf("again: %+v", got)
	}
	w.advance(time.Minute)
	if got := w.sweep(); got.Buried != 1 || got.Finalized != 1 {
		t.Fatalf("after the lease ran out: %+v", got)
	}
	if letters := w.take(w.o.DLQURL, true); len(letters) != 14 { // that of the COMPLETED row went back, to clear what is left
		t.Fatalf("%d of 14 dead letters can be received", len(letters))
	}
}

// TestAMessageThatTheQueueGaveUpBeforeItsPOWasTriedIsSentAnew: the queue counts receives, of which a PO need not have had a try
// at all, since the portal was in trouble or the process died over another PO of its batch.
func TestAMessageThatTheQueueGaveUpBeforeItsPOWasTriedIsSentAnew(t *testing.T) {
	w := newWorld(t)
	w.o.MaxTries = 2
	job := w.dispatched(w.drop("input/pos.csv", pos(3)))
	w.bury()
	tasks := w.tasksOf(job.ID)
	w.cutOff(tasks[1], tasks[2], tasks[2])
	if got := w.sweep(); got.Revived != 2 || got.Buried != 1 || got.Lost != 0 {
		t.Fatalf("%+v", got)
	}
	if letters := w.take(w.o.DLQURL, true); len(letters) != 1 || letters[0].Row != tasks[2].Row {
		t.Fatalf("dead letters %+v", letters)
	}
	if got, _ := w.messages(); !slices.Equal(got, []int{tasks[0].Row, tasks[1].Row}) {
		t.Fatalf("messages for %v", got)
	}
	w.work(po.Completed, tasks[:2]...)
	if job = w.job(); !job.Complete() || job.Counters.ByStatus[po.Completed] != 2 {
		t.Fatalf("%+v", job)
	}
}

func TestADeadLetterOfAnEarlierTryDoesNotEndARedrivenRow(t *testing.T) {
	w := newWorld(t)
	job := w.dispatched(w.drop("input/pos.csv", pos(2)))
	w.bury()
	w.cutOff(w.tasksOf(job.ID)...)
	if got := w.sweep(); got.Buried != 2 {
		t.Fatalf("%+v", got)
	}
	w.ns.Store(time.Now().Add(time.Hour).UnixNano()) // SQS has its own clock
	task := w.tasksOf(job.ID)[0]
	if ok, err := w.ledger.Reopen(t.Context(), job.ID, task.Row); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if err := w.sendTasks(t.Context(), []po.Task{task}); err != nil { // and then the one who redrives is cut off
		t.Fatal(err)
	}
	if got := w.sweep(); got.Buried != 0 || got.Lost != 0 {
		t.Fatalf("%+v", got)
	}
	w.work(po.Completed, task)
}

func TestARowIsLostOnlyWhenNoQueueHasItsMessage(t *testing.T) {
	w := newWorld(t)
	w.dispatched(w.drop("input/pos.csv", pos(3)))
	w.advance(time.Hour)
	if got := w.sweep(); got.Lost != 0 {
		t.Fatalf("the messages are there: %+v", got)
	}
	tasks := w.take(w.o.QueueURL, false) // somebody emptied the queue
	c, err := w.ledger.Claim(t.Context(), tasks[0], "env", w.now().Add(10*time.Minute), false)
	if err != nil || c.State != ledger.Claimed {
		t.Fatalf("%+v, %v", c, err)
	}
	if got := w.sweep(); got.Lost != 2 {
		t.Fatalf("one is being worked: %+v", got)
	}
	w.advance(10 * time.Minute)
	if got := w.sweep(); got.Lost != 0 {
		t.Fatalf("its lease has only just run out: %+v", got)
	}
	w.advance(w.o.LostAfter)
	if got := w.sweep(); got.Lost != 1 || got.Finalized != 1 {
		t.Fatalf("%+v", got)
	}
	job := w.job()
	if !job.Complete() || job.Counters.ByStatus[po.Failed] != 3 {
		t.Fatalf("%+v", job)
	}
	for _, r := range w.rows(job.ID) {
		if !strings.Contains(r.Message, "lost") || r.Code != po.CodeResource {
			t.Errorf("%+v", r.Result)
		}
	}
}

func TestARowThatWaitedLongerThanTheQueueKeepsMessagesIsLost(t *testing.T) {
	w := newWorld(t)
	w.dispatched(w.drop("input/pos.csv", pos(3)))
	w.advance(3 * 24 * time.Hour)
	w.dispatched(w.drop("input/pos.csv", pos(2)))
	w.advance(25 * time.Hour) // four days are over for the first job, whose messages this queue still shows
	if got := w.sweep(); got.Lost != 3 {
		t.Fatalf("%+v", got)
	}
	var done int
	for _, task := range w.take(w.o.QueueURL, false) {
		c, err := w.ledger.Claim(t.Context(), task, "env", w.now().Add(time.Minute), true)
		if err != nil {
			t.Fatal(err)
		}
		if c.State == ledger.Done {
			done++
		}
	}
	if done != 3 {
		t.Errorf("the messages of %d rows that were given up are done with, want 3: else their job would never end", done)
	}
}

func TestACompleteJobGetsItsResultsHoweverOftenTheMessageIsLost(t *testing.T) {
	w := newWorld(t)
	w.dispatched(w.drop("input/pos.csv", pos(1)))
	w.work(po.Completed, w.take(w.o.QueueURL, false)...)
	for range 3 {
		if got := w.sweep(); got.Finalized != 1 {
			t.Fatalf("%+v", got)
		}
		if got := w.sweep(); got.Finalized != 0 {
			t.Fatalf("too soon: %+v", got)
		}
		if _, finalize := w.messages(); finalize != 1 {
			t.Fatalf("%d finalize messages", finalize)
		}
		w.advance(finalizeEvery)
	}
	if first, err := w.ledger.Finish(t.Context(), w.job().ID); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
	if got := w.sweep(); got != (SweepReport{}) {
		t.Fatalf("%+v", got)
	}
}

func TestTheSweeperEndsAJobThatWasCancelledHalfway(t *testing.T) {
	w := newWorld(t)
	w.dispatched(w.drop("input/pos.csv", pos(120)))
	job := w.job()
	if err := w.ledger.CancelJob(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	w.messages() // none of them will settle a row
	if got := w.sweep(); got.Cancelled != 120 || got.Finalized != 1 {
		t.Fatalf("%+v", got)
	}
	if job = w.job(); job.State != ledger.Cancelled || !job.Complete() {
		t.Fatalf("%+v", job)
	}
}

func TestOneSweepDoesABoundedPartOfTheWork(t *testing.T) {
	w := newWorld(t)
	job := w.dispatched(w.drop("input/pos.csv", pos(30)))
	if err := w.ledger.CancelJob(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{20, 10, 0} {
		s := sweep{d: w.Dispatcher, left: 20}
		if err := s.run(t.Context()); err != nil || s.report.Cancelled != want || s.report.More != (want == 20) {
			t.Fatalf("%+v, %v", s.report, err)
		}
	}
}

func TestRedrivingSendsTheMessagesAnewAndClearsTheDeadLetters(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	job := w.dispatched(w.drop("input/pos.csv", pos(13)+"n/a,Acme\nPO16000001,Acme\n"))
	w.bury()
	tasks := w.tasksOf(job.ID)
	w.work(po.Completed, tasks[0])
	w.work(po.NotFound, tasks[1])
	w.cutOff(tasks[2:]...)
	w.sweep()
	w.messages()
	if first, err := w.ledger.Finish(ctx, job.ID); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
	other := w.dispatched(w.drop("input/other.csv", pos(1)))
	w.bury()

	n, err := w.Redrive(ctx, job.ID)
	if err != nil || n != 11 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if got, _ := w.messages(); !slices.Equal(got, lines(4, 14)) {
		t.Fatalf("messages for %v", got)
	}
	letters := map[string][]int{}
	for _, l := range w.take(w.o.DLQURL, true) {
		letters[l.Job] = append(letters[l.Job], l.Row)
	}
	if len(letters[job.ID]) != 0 || len(letters[other.ID]) != 1 {
		t.Fatalf("dead letters %v", letters)
	}
	if job, err = w.ledger.Job(ctx, job.ID); err != nil || job.Ended() || job.Counters.Done != 3 {
		t.Fatalf("%+v, %v", job, err)
	}
	w.work(po.Completed, tasks[2:]...)
	if job, err = w.ledger.Job(ctx, job.ID); err != nil || !job.Complete() || job.Counters.ByStatus[po.Completed] != 12 {
		t.Fatalf("%+v, %v", job, err)
	}
	if n, err := w.Redrive(ctx, job.ID); err != nil || n != 0 {
		t.Fatalf("nothing is left to redrive: %d, %v", n, err)
	}
}

// tasksOf reads the tasks of the rows that are to be worked.
func (w *world) tasksOf(job string) []po.Task {
	w.t.Helper()
	var tasks []po.Task
	for _, r := range w.rows(job) {
		if r.Task.Job != "" {
			tasks = append(tasks, r.Task)
		}
	}
	return tasks
}
