package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purserhq/purser/internal/po"
)

func TestTheSameJobIsCreatedOnce(t *testing.T) {
	l, _ := newLedger(t)
	ctx := t.Context()
	j := Job{
		ID: "pos-1", Name: "pos.csv", Bucket: "b", Key: "input/pos.csv", VersionID: "v", ETag: "e",
		Created: l.now(),
	}
	first, created, err := l.CreateJob(ctx, j)
	if err != nil || !created || first.State != Dispatching {
		t.Fatalf("%+v, %v, %v", first, created, err)
	}
	j.Name = "other.csv"
	again, created, err := l.CreateJob(ctx, j)
	if err != nil || created || again.Name != "pos.csv" || again.VersionID != "v" || !again.Created.Equal(j.Created) {
		t.Fatalf("%+v, %v, %v", again, created, err)
	}
	if _, err := l.Job(ctx, "pos-2"); !errors.Is(err, ErrNoJob) {
		t.Fatalf("a job that was never created: %v", err)
	}
	if open, err := l.OpenJobs(ctx); err != nil || len(open) != 1 {
		t.Fatalf("open jobs: %v, %v", open, err)
	}
}

func TestJobsAreListedNewestFirst(t *testing.T) {
	l, c := newLedger(t)
	for _, id := range []string{"b", "c", "a"} {
		startJob(t, l, id, 0)
		c.advance(time.Second)
	}
	jobs, err := l.Jobs(t.Context(), 2)
	if err != nil || len(jobs) != 2 || jobs[0].ID != "a" || jobs[1].ID != "c" {
		t.Fatalf("%v, %v", jobs, err)
	}
}

func TestAJobGoesFromRowsToFinishedOnce(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	tasks := startJob(t, l, "j", 30)
	until := c.now().Add(time.Minute)
	var outcomes []Outcome
	for i, task := range tasks {
		status := po.Completed
		if i%3 == 0 {
			status = po.Failed
		}
		outcomes = append(outcomes, Outcome{claimed(t, l, task, "env", until), result(task, status, i%2)})
	}
	committed, last, err := l.Commit(ctx, outcomes[:29])
	if err != nil || len(committed) != 29 || last {
		t.Fatalf("%d committed, last %v, %v", len(committed), last, err)
	}
	if first, err := l.Finish(ctx, "j"); err != nil || first {
		t.Fatalf("finished with a row open: %v, %v", first, err)
	}
	committed, last, err = l.Commit(ctx, outcomes[29:])
	if err != nil || len(committed) != 1 || !last {
		t.Fatalf("%d committed, last %v, %v", len(committed), last, err)
	}
	claim, err := l.Claim(ctx, tasks[3], "env2", until, false)
	if err != nil || claim.State != Done || claim.Result.Status != po.Failed || !claim.Last {
		t.Fatalf("a redelivered message: %+v, %v", claim, err)
	}
	for n := range 3 {
		if first, err := l.Finish(ctx, "j"); err != nil || first != (n == 0) {
			t.Fatalf("finish number %d: %v, %v", n+1, first, err)
		}
	}
	j := mustMatch(t, ctx, l, "j")
	if j.State != Finished || !j.Ended() || j.Counters.Done != 30 || j.Counters.ByStatus[po.Failed] != 10 || j.Counters.Files != 15 || j.Counters.Bytes != 1500 {
		t.Fatalf("%+v", j)
	}
	if open, err := l.OpenJobs(ctx); err != nil || len(open) != 0 {
		t.Fatalf("open jobs: %v, %v", open, err)
	}
}

func TestARowHasOneOwnerAtATime(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	task := startJob(t, l, "j", 1)[0]
	late := claimed(t, l, task, "slow", c.now().Add(time.Minute))
	held, err := l.Claim(ctx, task, "other", c.now().Add(time.Hour), false)
	if err != nil || held.State != Held || held.Wait != time.Minute {
		t.Fatalf("%+v, %v", held, err)
	}
	c.advance(time.Minute)
	if committed, _, err := l.Commit(ctx, []Outcome{{late, result(task, po.Failed, 0)}}); err != nil || len(committed) != 0 {
		t.Fatalf("a lease that ran out committed %v, %v", committed, err)
	}
	next := claimed(t, l, task, "other", c.now().Add(time.Minute))
	if next.Attempt != 2 {
		t.Fatalf("attempt %d", next.Attempt)
	}
	if err := l.Release(ctx, late, true); err != nil { // the late one has nothing to give back
		t.Fatal(err)
	}
	committed, last, err := l.Commit(ctx, []Outcome{{next, result(task, po.Completed, 2)}})
	if err != nil || len(committed) != 1 || !last || committed[0].Attempt != 2 {
		t.Fatalf("%+v, %v, %v", committed, last, err)
	}
	// The same commit again, as after an answer that was lost, counts once.
	if again, _, err := l.Commit(ctx, []Outcome{{next, result(task, po.Completed, 2)}}); err != nil || len(again) != 1 {
		t.Fatalf("%+v, %v", again, err)
	}
	if j := mustMatch(t, ctx, l, "j"); j.Counters.Done != 1 || j.Counters.Files != 2 {
		t.Fatalf("%+v", j.Counters)
	}
}

func TestALostLeaseDoesNotSpoilTheBatch(t *testing.T) {
	l, c := newLedger(t)
	tasks := startJob(t, l, "j", 3)
	until := c.now().Add(time.Minute)
	var outcomes []Outcome
	for _, task := range tasks {
		outcomes = append(outcomes, Outcome{claimed(t, l, task, "env", until), result(task, po.Completed, 1)})
	}
	if err := l.Release(t.Context(), outcomes[1].Lease, false); err != nil {
		t.Fatal(err)
	}
	committed, last, err := l.Commit(t.Context(), outcomes)
	if err != nil || last || len(committed) != 2 || committed[0].Row != 2 || committed[1].Row != 4 {
		t.Fatalf("%+v, %v, %v", committed, last, err)
	}
	mustMatch(t, t.Context(), l, "j")
}

func TestAReleaseMayRefundTheAttempt(t *testing.T) {
	l, c := newLedger(t)
	task := startJob(t, l, "j", 1)[0]
	for n, refund := range []bool{false, true, true, false} {
		lease := claimed(t, l, task, "env", c.now().Add(time.Minute))
		if want := []int{1, 2, 2, 2}[n]; lease.Attempt != want {
			t.Fatalf("claim %d is attempt %d, want %d", n+1, lease.Attempt, want)
		}
		if lease.Claims != n+1 {
			t.Fatalf("claim %d is counted as claim %d", n+1, lease.Claims)
		}
		for range 2 { // the second one finds nothing to give back
			if err := l.Release(t.Context(), lease, refund); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRecordingRowsAgainChangesNothing(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	if _, _, err := l.CreateJob(ctx, Job{ID: "j", Created: l.now()}); err != nil {
		t.Fatal(err)
	}
	var tasks []po.Task
	for row := range 250 {
		tasks = append(tasks, po.Task{Version: 1, Kind: po.KindPO, Job: "j", Row: row + 1, PO: "PO16000001"})
	}
	results := []po.Result{
		{Row: 300, Status: po.Failed, Code: po.CodeInput, Message: "is not a PO number"},
		{Row: 301, Status: po.Completed, Skipped: true},
		{Row: 302, DuplicateOf: 7, PO: "PO16000001"},
	}
	for round := range 2 {
		if err := errors.Join(l.PutRows(ctx, "j", tasks), l.PutResults(ctx, "j", results)); err != nil {
			t.Fatal(err)
		}
		if round > 0 {
			continue
		}
		lease := claimed(t, l, tasks[6], "env", c.now().Add(time.Minute))
		if _, _, err := l.Commit(ctx, []Outcome{{lease, result(tasks[6], po.Partial, 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	j := mustMatch(t, ctx, l, "j")
	if j.Counters.Done != 3 || j.Duplicates != 1 || j.Counters.ByCode[po.CodeInput] != 1 {
		t.Fatalf("%+v", j)
	}
	if err := l.PutRows(ctx, "k", tasks[:1]); !errors.Is(err, ErrStopped) {
		t.Fatalf("rows of an unknown job: %v", err)
	}
}

func TestADuplicateHasTheResultOfTheRowItRepeats(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	if _, _, err := l.CreateJob(ctx, Job{ID: "j", Created: l.now()}); err != nil {
		t.Fatal(err)
	}
	task := po.Task{Version: 1, Kind: po.KindPO, Job: "j", Row: 2, PO: "PO16000001", Supplier: "Acme"}
	if err := errors.Join(l.PutRows(ctx, "j", []po.Task{task}), l.PutResults(ctx, "j", []po.Result{{Row: 5, DuplicateOf: 2, PO: "PO16000001"}})); err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetTotal(ctx, "j", 1); err != nil {
		t.Fatal(err)
	}
	if r, ok, err := l.Row(ctx, "j", 5); err != nil || !ok || r.Status != po.Pending || r.DuplicateOf != 2 || r.PO != "PO16000001" {
		t.Fatalf("%+v, %v, %v", r, ok, err)
	}
	lease := claimed(t, l, task, "env", c.now().Add(time.Minute))
	if _, last, err := l.Commit(ctx, []Outcome{{lease, result(task, po.Completed, 2)}}); err != nil || !last {
		t.Fatalf("last %v, %v: a duplicate must not keep the job open", last, err)
	}
	r, _, err := l.Row(ctx, "j", 5)
	if err != nil || r.Status != po.Completed || r.Row != 5 || r.DuplicateOf != 2 || len(r.Files) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if ok, err := l.Reopen(ctx, "j", 5); err != nil || ok {
		t.Fatalf("a duplicate was reopened: %v, %v", ok, err)
	}
	mustMatch(t, ctx, l, "j")
}

func TestRedrivingOpensARowAndItsJobAgain(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	tasks := startJob(t, l, "j", 2)
	commit := func(task po.Task, r po.Result) bool {
		t.Helper()
		lease := claimed(t, l, task, "env", c.now().Add(time.Minute))
		committed, last, err := l.Commit(ctx, []Outcome{{lease, r}})
		if err != nil || len(committed) != 1 {
			t.Fatalf("%v, %v", committed, err)
		}
		return last
	}
	buried := result(tasks[0], po.Failed, 1)
	buried.InDLQ = true
	commit(tasks[0], buried)
	commit(tasks[1], result(tasks[1], po.Completed, 1))
	if first, err := l.Finish(ctx, "j"); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
	if ok, err := l.Reopen(ctx, "j", tasks[1].Row); err != nil || ok {
		t.Fatalf("a COMPLETED row was reopened: %v, %v", ok, err)
	}

	// A second delivery of the old message is not a redrive.
	if got, err := l.Claim(ctx, tasks[0], "env", c.now().Add(time.Minute), false); err != nil || got.State != Done || !got.Result.InDLQ {
		t.Fatalf("%+v, %v", got, err)
	}
	got, err := l.Claim(ctx, tasks[0], "env", c.now().Add(time.Minute), true)
	if err != nil || got.State != Claimed || got.Lease.Attempt != 1 || got.Lease.Claims != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	j := mustMatch(t, ctx, l, "j")
	if j.State != Running || j.Ended() || j.Counters.Done != 1 || j.Counters.Files != 1 || len(j.Counters.ByCode) != 0 {
		t.Fatalf("%+v", j)
	}
	if open, err := l.OpenJobs(ctx); err != nil || len(open) != 1 {
		t.Fatalf("open jobs: %v, %v", open, err)
	}
	if _, last, err := l.Commit(ctx, []Outcome{{got.Lease, result(tasks[0], po.Timeout, 0)}}); err != nil || !last {
		t.Fatalf("%v, %v", last, err)
	}
	if first, err := l.Finish(ctx, "j"); err != nil || !first {
		t.Fatalf("the job ends anew: %v, %v", first, err)
	}
	for n := range 2 {
		if ok, err := l.Reopen(ctx, "j", tasks[0].Row); err != nil || ok != (n == 0) {
			t.Fatalf("reopening for the %d. time: %v, %v", n+1, ok, err)
		}
	}
	if last := commit(tasks[0], result(tasks[0], po.Completed, 3)); !last {
		t.Fatal("the redriven row was not the last")
	}
	mustMatch(t, ctx, l, "j")
}

func TestALostRowIsOpenedAgainByAMessageThatTurnsUpAfterAll(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	tasks := startJob(t, l, "j", 2)
	lease := claimed(t, l, tasks[0], "env", c.now().Add(time.Minute))
	var lost []po.Result
	for _, task := range tasks {
		r := result(task, po.Failed, 0)
		r.Row = task.Row
		lost = append(lost, r)
	}
	if n, err := l.Settle(ctx, "j", lost, true); err != nil || n != 1 {
		t.Fatalf("%d settled, %v: a leased row must be left alone", n, err)
	}
	if _, last, err := l.Commit(ctx, []Outcome{{lease, result(tasks[0], po.Completed, 0)}}); err != nil || !last {
		t.Fatalf("%v, %v", last, err)
	}
	again := claimed(t, l, tasks[1], "env", c.now().Add(time.Minute))
	if _, last, err := l.Commit(ctx, []Outcome{{again, result(tasks[1], po.Completed, 1)}}); err != nil || !last {
		t.Fatalf("%v, %v", last, err)
	}
	if j := mustMatch(t, ctx, l, "j"); j.Counters.ByStatus[po.Completed] != 2 {
		t.Fatalf("%+v", j.Counters)
	}
}

func TestACancelledJobEndsWithEveryRowFinal(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	if _, _, err := l.CreateJob(ctx, Job{ID: "j", Created: l.now()}); err != nil {
		t.Fatal(err)
	}
	var tasks []po.Task
	for row := range 40 {
		tasks = append(tasks, po.Task{Version: 1, Kind: po.KindPO, Job: "j", Row: row + 2, PO: po.Number(fmt.Sprint(16000000 + row))})
	}
	if err := errors.Join(
		l.PutRows(ctx, "j", tasks),
		l.PutResults(ctx, "j", []po.Result{{Row: 50, Status: po.Failed, Code: po.CodeInput}, {Row: 51, DuplicateOf: 3}}),
	); err != nil {
		t.Fatal(err)
	}
	working := claimed(t, l, tasks[0], "env", c.now().Add(time.Minute))
	for range 2 {
		if err := l.CancelJob(ctx, "j"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.PutRows(ctx, "j", []po.Task{{Job: "j", Row: 60}}); !errors.Is(err, ErrStopped) {
		t.Fatalf("a row was recorded after the job was cancelled: %v", err)
	}
	j, err := l.SetTotal(ctx, "j", 1000)
	if err != nil || j.State != Cancelled || j.Total != 41 {
		t.Fatalf("%+v, %v", j, err)
	}
	if got, err := l.Claim(ctx, tasks[0], "other", c.now().Add(time.Minute), false); err != nil || got.State != Held {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, last, err := l.Commit(ctx, []Outcome{{working, result(tasks[0], po.Completed, 1)}}); err != nil || last {
		t.Fatalf("%v, %v", last, err)
	}
	for i, task := range tasks[1:] {
		got, err := l.Claim(ctx, task, "env", c.now().Add(time.Minute), false)
		if err != nil || got.State != Stopped || got.Result.Code != po.CodeCancelled || got.Last != (i == 38) {
			t.Fatalf("claim %d: %+v, %v", i, got, err)
		}
	}
	if first, err := l.Finish(ctx, "j"); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
	j = mustMatch(t, ctx, l, "j")
	if j.State != Cancelled || !j.Ended() {
		t.Fatalf("%+v", j)
	}
}

func TestAFinishedJobCannotBeCancelled(t *testing.T) {
	l, _ := newLedger(t)
	startJob(t, l, "j", 0)
	if first, err := l.Finish(t.Context(), "j"); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
	if err := l.CancelJob(t.Context(), "j"); !errors.Is(err, ErrEnded) {
		t.Fatalf("%v", err)
	}
	if err := l.CancelJob(t.Context(), "k"); !errors.Is(err, ErrNoJob) {
		t.Fatalf("%v", err)
	}
}

func TestAFailedJobKeepsItsReasonAndEnds(t *testing.T) {
	l, _ := newLedger(t)
	ctx := t.Context()
	if _, _, err := l.CreateJob(ctx, Job{ID: "j", Created: l.now()}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.FailJob(ctx, "j", "the sheet has no column of PO numbers"); err != nil {
			t.Fatal(err)
		}
	}
	j, err := l.Job(ctx, "j")
	if err != nil || j.State != FailedJob || !strings.Contains(j.Error, "no column") || !j.Complete() {
		t.Fatalf("%+v, %v", j, err)
	}
	if first, err := l.Finish(ctx, "j"); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
}

func TestOneDispatcherWorksAtATime(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	if _, _, err := l.CreateJob(ctx, Job{ID: "j", Created: l.now()}); err != nil {
		t.Fatal(err)
	}
	begin := func(owner string) bool {
		t.Helper()
		_, ok, err := l.BeginDispatch(ctx, "j", owner, c.now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !begin("a") || begin("b") || !begin("a") {
		t.Fatal("the right to dispatch is not exclusive")
	}
	if err := l.Checkpoint(ctx, "j", "a", 100, c.now().Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	if begin("b") {
		t.Fatal("a checkpoint must keep the right")
	}
	c.advance(time.Minute)
	if !begin("b") {
		t.Fatal("a dispatcher that died must not keep the right")
	}
	if err := l.Checkpoint(ctx, "j", "a", 200, c.now().Add(time.Minute)); !errors.Is(err, ErrStopped) {
		t.Fatalf("%v", err)
	}
	if err := l.EndDispatch(ctx, "j", "b"); err != nil || !begin("c") {
		t.Fatalf("%v", err)
	}
	if j, err := l.Job(ctx, "j"); err != nil || j.Checkpoint != 100 {
		t.Fatalf("%+v, %v", j, err)
	}
}

func TestFinalizeIsAskedForOncePerInterval(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	task := startJob(t, l, "j", 1)[0]
	needs := func() bool {
		t.Helper()
		ok, err := l.NeedsFinalize(ctx, "j", 10*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if needs() {
		t.Fatal("a row is open")
	}
	if _, _, err := l.Commit(ctx, []Outcome{{claimed(t, l, task, "env", c.now().Add(time.Minute)), result(task, po.Completed, 0)}}); err != nil {
		t.Fatal(err)
	}
	if !needs() || needs() {
		t.Fatal("want one message for each interval")
	}
	c.advance(10 * time.Minute)
	if !needs() {
		t.Fatal("the finalize message is lost and was not sent again")
	}
	if _, err := l.Finish(ctx, "j"); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Hour)
	if needs() {
		t.Fatal("the job has ended")
	}
}

func TestRowsComeInTheOrderOfTheSheet(t *testing.T) {
	l, _ := newLedger(t)
	startJob(t, l, "j", 1200)
	var lines []int
	for r, err := range l.Rows(t.Context(), "j") {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, r.Row)
		if r.Task.Levels[1] != "Q1" || r.PO == "" || r.Queued.IsZero() {
			t.Fatalf("%+v", r)
		}
	}
	if len(lines) != 1200 || !slices.IsSorted(lines) {
		t.Fatalf("%d rows, sorted %v", len(lines), slices.IsSorted(lines))
	}
	n := 0
	for _, err := range l.Rows(t.Context(), "j") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
}

func TestAnyNumberOfFilesCanBeCommitted(t *testing.T) {
	l, c := newLedger(t)
	tasks := startJob(t, l, "j", 2)
	many := func(task po.Task, n int) po.Result {
		r := result(task, po.Completed, n)
		for i := range r.Files {
			r.Files[i].SHA256 = fmt.Sprintf("%x", sha256.Sum256([]byte(r.Files[i].Name)))
			r.Files[i].Key = "download/j/" + r.Files[i].Name
			r.Files[i].URL = fmt.Sprintf("https://portal.example/attachment/attachment_file/file/%d", i)
		}
		return r
	}
	for n, files := range []int{2000, 60000} {
		lease := claimed(t, l, tasks[n], "env", c.now().Add(time.Minute))
		if committed, _, err := l.Commit(t.Context(), []Outcome{{lease, many(tasks[n], files)}}); err != nil || len(committed) != 1 {
			t.Fatalf("%d files: %v", files, err)
		}
	}
	r, _, err := l.Row(t.Context(), "j", tasks[0].Row)
	if err != nil || len(r.Files) != 2000 || r.Files[1999].Name != "1999.pdf" {
		t.Fatalf("%d files, %v", len(r.Files), err)
	}
	r, _, err = l.Row(t.Context(), "j", tasks[1].Row)
	if err != nil || r.Status != po.Failed || r.Code != po.CodeResource {
		t.Fatalf("%+v, %v", r.Status, err)
	}
	mustMatch(t, t.Context(), l, "j")
}

func TestBlockingIsToldOnce(t *testing.T) {
	l, c := newLedger(t)
	startJob(t, l, "j", 1)
	for n, step := range []struct {
		why     string
		changed bool
	}{{"", false}, {"503", true}, {"503", false}, {"429", false}, {"", true}, {"", false}} {
		changed, err := l.SetBlocked(t.Context(), "j", step.why)
		if err != nil || changed != step.changed {
			t.Fatalf("step %d: %v, %v", n, changed, err)
		}
		c.advance(time.Second)
		if j, err := l.Job(t.Context(), "j"); err != nil || j.Blocked != step.why || j.BlockedSince.IsZero() != (step.why == "") {
			t.Fatalf("step %d: %+v, %v", n, j, err)
		}
	}
}

func TestPoolSumsAndWorkersAreKeptPerJob(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	startJob(t, l, "j", 1)
	for _, p := range []Pool{
		{Launches: 1, Invocations: 1, POs: 10, MemoryPeak: 700, POTime: 3 * time.Second},
		{Restarts: 2, Invocations: 1, POs: 5, MemoryPeak: 600, POTime: time.Second},
	} {
		if err := l.AddPool(ctx, "j", p); err != nil {
			t.Fatal(err)
		}
	}
	j, err := l.Job(ctx, "j")
	if want := (Pool{Launches: 1, Restarts: 2, Invocations: 2, POs: 15, MemoryPeak: 700, POTime: 4 * time.Second}); err != nil || j.Pool != want {
		t.Fatalf("%+v, %v", j.Pool, err)
	}
	for _, env := range []string{"e1", "e2", "e1"} {
		if err := l.PutWorkers(ctx, "j", env, PoolStatus{Status: "PROCESSING", Workers: []WorkerStatus{{ID: 1, Task: "PO1"}}}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := l.Workers(ctx, "j")
	if err != nil || len(all) != 2 || all[0].Environment != "e1" || all[1].Workers[0].Task != "PO1" {
		t.Fatalf("%+v, %v", all, err)
	}
	c.advance(2 * time.Hour)
	if all, err := l.Workers(ctx, "j"); err != nil || len(all) != 0 {
		t.Fatalf("%+v, %v", all, err)
	}
}

func TestEndLeasesFreesEveryRowAndDispatcher(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	task := startJob(t, l, "j", 2)[0]
	old := claimed(t, l, task, "killed", c.now().Add(15*time.Minute))
	if _, _, err := l.CreateJob(ctx, Job{ID: "k", Created: l.now()}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.BeginDispatch(ctx, "k", "killed", c.now().Add(15*time.Minute)); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if err := l.EndLeases(ctx); err != nil {
		t.Fatal(err)
	}
	if lease := claimed(t, l, task, "new", c.now().Add(time.Minute)); lease.Attempt != 1 {
		t.Fatalf("attempt %d", lease.Attempt)
	}
	if committed, _, err := l.Commit(ctx, []Outcome{{old, result(task, po.Completed, 0)}}); err != nil || len(committed) != 0 {
		t.Fatalf("%v, %v", committed, err)
	}
	if _, ok, err := l.BeginDispatch(ctx, "k", "new", c.now().Add(time.Minute)); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
}

func TestAForeignMessageIsToldApart(t *testing.T) {
	l, c := newLedger(t)
	startJob(t, l, "j", 1)
	for _, task := range []po.Task{{Job: "nobody", Row: 2, PO: "1"}, {Job: "j", Row: 99, PO: "1"}} {
		got, err := l.Claim(t.Context(), task, "env", c.now().Add(time.Minute), true)
		if err != nil || got.State != NoJob {
			t.Fatalf("%+v: %+v, %v", task, got, err)
		}
	}
}

func TestARowIsMarkedAsInTheDeadLetterQueueOnlyWhenItFailed(t *testing.T) {
	l, c := newLedger(t)
	ctx := t.Context()
	tasks := startJob(t, l, "j", 2)
	for i, status := range []po.Status{po.Failed, po.Completed} {
		lease := claimed(t, l, tasks[i], "env", c.now().Add(time.Minute))
		if _, _, err := l.Commit(ctx, []Outcome{{lease, result(tasks[i], status, 0)}}); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			if ok, err := l.MarkInDLQ(ctx, "j", tasks[i].Row); err != nil || ok != (status == po.Failed && n == 0) {
				t.Fatalf("%s, %d. time: %v, %v", status, n+1, ok, err)
			}
		}
	}
	if r, _, err := l.Row(ctx, "j", tasks[0].Row); err != nil || !r.InDLQ {
		t.Fatalf("%+v, %v", r, err)
	}
	if got, err := l.Claim(ctx, tasks[0], "env", c.now().Add(time.Minute), true); err != nil || got.State != Claimed {
		t.Fatalf("%+v, %v", got, err)
	}
	mustMatch(t, ctx, l, "j")
}
