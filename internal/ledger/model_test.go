package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	"pgregory.net/rapid"

	"github.com/purserhq/purser/internal/po"
)

// modelRow is what a row is to be, in plain Go.
type modelRow struct {
	task     po.Task // zero for a row that was final at once
	repeats  int
	status   po.Status
	files    int
	code     po.ErrorCode
	inDLQ    bool
	lost     bool
	token    string
	until    time.Time
	attempts int
}

// model is what a job is to be.
type model struct {
	state    JobState
	total    int64
	known    bool
	finished bool
	rows     map[int]*modelRow
}

func (m *model) counters() po.Counters {
	c := po.Counters{ByStatus: map[po.Status]int64{}, ByCode: map[po.ErrorCode]int64{}}
	for _, r := range m.rows {
		if r.status.Final() && r.repeats == 0 {
			c.Add(po.Result{Status: r.status, Code: r.code, Files: make([]po.File, r.files)}, 1)
		}
	}
	return c
}

func (m *model) complete() bool { return m.known && m.counters().Done == m.total }

func (m *model) stopped() bool { return m.state == Cancelled || m.state == FailedJob }

// counted is how many rows the total has: all but the duplicates.
func (m *model) counted() (n int64) {
	for _, r := range m.rows {
		if r.repeats == 0 {
			n++
		}
	}
	return n
}

func (m *model) finalize(r *modelRow, result po.Result) {
	r.status, r.files, r.code, r.inDLQ = result.Status, len(result.Files), result.Code, result.InDLQ
}

func (m *model) reopen(r *modelRow) {
	*r = modelRow{task: r.task, status: po.Pending}
	m.finished = false
	if m.state != Dispatching {
		m.state = Running
	}
}

// faults lets calls collide, and answers get lost after the work was done.
type faults struct{ next atomic.Pointer[func() string] }

func (f *faults) middleware(s *middleware.Stack) error {
	return s.Initialize.Add(middleware.InitializeMiddlewareFunc("faults", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, meta middleware.Metadata, err error) {
		kind := ""
		if draw := f.next.Load(); draw != nil {
			kind = (*draw)()
		}
		transaction, isTransaction := in.Parameters.(*dynamodb.TransactWriteItemsInput)
		switch {
		case kind == "collision" && isTransaction:
			reasons := make([]types.CancellationReason, len(transaction.TransactItems))
			reasons[len(reasons)-1].Code = aws.String("TransactionConflict")
			return out, meta, &types.TransactionCanceledException{CancellationReasons: reasons}
		case kind == "collision":
			return out, meta, &types.ProvisionedThroughputExceededException{}
		case kind == "lost answer":
			if out, meta, err = next.HandleInitialize(ctx, in); err == nil {
				return middleware.InitializeOutput{}, meta, &types.InternalServerError{}
			}
			return out, meta, err
		}
		return next.HandleInitialize(ctx, in)
	}), middleware.After) // after the SDK has given the call its client token
}

// TestAnyScheduleLeavesTheLedgerAsTheModel runs random schedules of dispatchers, workers, sweepers and operators, each of which
// may stop after any step, come twice or come late, while calls collide and answers are lost. After every step the job's
// counters, state and total are what its rows say in the model; at the end each row is, too.
func TestAnyScheduleLeavesTheLedgerAsTheModel(t *testing.T) {
	l, c := newLedger(t)
	f := &faults{}
	l = New(newClientOf(l, f.middleware), l.table, WithClock(c.now))
	l.firstWait = 0
	const each = 100 // schedules that rapid runs at once
	want := 300
	if n, err := strconv.Atoi(os.Getenv("PURSER_SCHEDULES")); err == nil { // CI runs 2,000
		want = n
	}
	schedules := 0
	for range (want + each - 1) / each {
		rapid.Check(t, func(t *rapid.T) {
			schedules++
			runSchedule(t, l, c, f, fmt.Sprintf("job-%d", schedules))
		})
	}
	if !testing.Short() && schedules < want {
		t.Errorf("only %d of %d schedules were run", schedules, want)
	}
}

func runSchedule(t *rapid.T, l *Ledger, c *clock, f *faults, id string) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("%v", err)
		}
	}
	const lines = 8
	m := &model{state: Dispatching, rows: map[int]*modelRow{}}
	var leases []Lease // every lease that was ever given, the newest first: workers may come back with any of them
	f.next.Store(nil)
	_, created, err := l.CreateJob(ctx, Job{ID: id, Created: c.now()})
	must(err)
	if !created {
		t.Fatalf("job %s exists", id)
	}
	trouble := append(make([]string, 8), "collision", "lost answer")
	luck := rapid.SampledFrom(trouble)
	draw := func() string { return luck.Draw(t, "luck") }
	f.next.Store(&draw)
	defer f.next.Store(nil)

	anyLine := rapid.IntRange(1, lines)
	task := func(line int) po.Task {
		return po.Task{Version: po.MessageVersion, Kind: po.KindPO, Job: id, Row: line, PO: po.Number(fmt.Sprint(16000000 + line))}
	}
	anyResult := func(line int) po.Result {
		r := po.Result{Job: id, Row: line, Status: rapid.SampledFrom(po.Statuses).Draw(t, "status")}
		r.Files = make([]po.File, rapid.IntRange(0, 3).Draw(t, "files"))
		if !r.Status.Success() {
			r.Code = rapid.SampledFrom([]po.ErrorCode{po.CodeNetwork, po.CodeLayout}).Draw(t, "code")
			r.InDLQ = r.Status == po.Failed && rapid.Bool().Draw(t, "in the DLQ")
		}
		return r
	}
	mayRecord := func(err error) bool {
		if m.state == Dispatching {
			must(err)
			return true
		}
		if !errors.Is(err, ErrStopped) {
			t.Fatalf("rows were recorded in a job that is %s: %v", m.state, err)
		}
		return false
	}

	actions := map[string]func(*rapid.T){
		"a dispatcher records rows, maybe again": func(t *rapid.T) {
			first, last := anyLine.Draw(t, "first"), anyLine.Draw(t, "last")
			var tasks []po.Task
			for line := first; line <= last; line++ {
				if line != lines-1 && line != lines { // those are final at once
					tasks = append(tasks, task(line))
				}
			}
			if len(tasks) == 0 || !mayRecord(l.PutRows(ctx, id, tasks)) {
				return
			}
			for _, tk := range tasks {
				if m.rows[tk.Row] == nil {
					m.rows[tk.Row] = &modelRow{task: tk, status: po.Pending}
				}
			}
		},
		"a dispatcher records rejected and duplicate rows, maybe again": func(*rapid.T) {
			if !mayRecord(l.PutResults(ctx, id, []po.Result{
				{Row: lines - 1, Status: po.Failed, Code: po.CodeInput}, {Row: lines, DuplicateOf: 1},
			})) {
				return
			}
			if m.rows[lines] == nil {
				m.rows[lines-1] = &modelRow{status: po.Failed, code: po.CodeInput}
				m.rows[lines] = &modelRow{repeats: 1}
			}
		},
		"a dispatcher writes the total": func(*rapid.T) {
			j, err := l.SetTotal(ctx, id, m.counted())
			must(err)
			if m.state == Dispatching {
				m.state, m.total, m.known = Running, m.counted(), true
			}
			if j.Complete() != m.complete() {
				t.Fatalf("SetTotal says complete %v", j.Complete())
			}
		},
		"a message is delivered": func(t *rapid.T) {
			line, redriven := anyLine.Draw(t, "line"), rapid.Bool().Draw(t, "redriven")
			owner := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner")
			until := c.now().Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "minutes")) * time.Minute)
			got, err := l.Claim(ctx, task(line), owner, until, redriven)
			must(err)
			r := m.rows[line]
			want := Claimed
			switch {
			case r == nil:
				want = NoJob
			case r.status == po.Pending && r.until.After(c.now()):
				want = Held
			case m.stopped():
				want = Stopped
				if r.status == po.Pending {
					m.finalize(r, po.Result{Status: po.Failed, Code: po.CodeCancelled})
					r.token = "settled"
				}
			case r.status == po.Pending:
			case r.task.Job != "" && r.status.Redrivable() && (r.lost || r.inDLQ && redriven):
				m.reopen(r)
			default:
				want = Done
			}
			if got.State != want {
				t.Fatalf("claim of row %d: %+v, want state %d", line, got, want)
			}
			switch want {
			case Held:
				if got.Wait != r.until.Sub(c.now()) {
					t.Fatalf("held for %s, want %s", got.Wait, r.until.Sub(c.now()))
				}
			case Done, Stopped:
				if got.Last != (m.complete() && !m.finished) {
					t.Fatalf("last %v", got.Last)
				}
			case Claimed:
				r.attempts++
				r.token, r.until = got.Lease.Token, until
				if got.Lease.Attempt != r.attempts {
					t.Fatalf("attempt %d, want %d", got.Lease.Attempt, r.attempts)
				}
				leases = slices.Insert(leases, 0, got.Lease)
			}
		},
		"a worker commits, with whatever leases": func(t *rapid.T) {
			if len(leases) == 0 {
				t.Skip("nobody has a lease")
			}
			byRow := map[int]Outcome{} // a batch has a row once
			for _, lease := range rapid.SliceOfN(rapid.SampledFrom(leases), 1, 4).Draw(t, "leases") {
				byRow[lease.Row] = Outcome{lease, anyResult(lease.Row)}
			}
			outcomes := slices.Collect(maps.Values(byRow))
			committed, last, err := l.Commit(ctx, outcomes)
			must(err)
			want := map[int]bool{}
			for _, o := range outcomes {
				r := m.rows[o.Lease.Row]
				mine := r.token == o.Lease.Token
				switch {
				case r.status.Final() && mine: // committed before: once more is no harm
					want[o.Lease.Row] = true
				case r.status == po.Pending && mine && r.until.After(c.now()):
					want[o.Lease.Row] = true
					m.finalize(r, o.Result)
				}
			}
			for _, r := range committed {
				if !want[r.Row] {
					t.Fatalf("row %d was committed by a worker who lost its lease", r.Row)
				}
				delete(want, r.Row)
			}
			if len(want) > 0 {
				t.Fatalf("rows %v were not committed", want)
			}
			if last != (len(committed) > 0 && m.complete() && !m.finished) {
				t.Fatalf("last %v", last)
			}
		},
		"a worker gives a row back": func(t *rapid.T) {
			if len(leases) == 0 {
				t.Skip("nobody has a lease")
			}
			lease, refund := rapid.SampledFrom(leases).Draw(t, "lease"), rapid.Bool().Draw(t, "refund")
			must(l.Release(ctx, lease, refund))
			if r := m.rows[lease.Row]; r.status == po.Pending && r.token == lease.Token {
				r.token, r.until = "", time.Time{}
				if refund {
					r.attempts--
				}
			}
		},
		"time passes": func(t *rapid.T) {
			c.advance(time.Duration(rapid.IntRange(1, 180).Draw(t, "seconds")) * time.Second)
		},
		"the sweeper settles rows": func(t *rapid.T) {
			lost := rapid.Bool().Draw(t, "lost")
			var results []po.Result
			want := 0
			for _, line := range rapid.SliceOfNDistinct(anyLine, 1, 3, rapid.ID[int]).Draw(t, "lines") {
				result := po.Result{Row: line, Status: po.Failed, Code: po.CodeResource, InDLQ: !lost}
				results = append(results, result)
				if r := m.rows[line]; r != nil && r.status == po.Pending && !r.until.After(c.now()) {
					want++
					m.finalize(r, result)
					r.lost, r.token = lost, "settled"
				}
			}
			n, err := l.Settle(ctx, id, results, lost)
			must(err)
			if n != want {
				t.Fatalf("%d rows were settled, want %d", n, want)
			}
		},
		"an operator redrives a row": func(t *rapid.T) {
			line := anyLine.Draw(t, "line")
			ok, err := l.Reopen(ctx, id, line)
			must(err)
			r := m.rows[line]
			want := r != nil && r.task.Job != "" && r.status.Redrivable() && m.state != FailedJob
			if ok != want {
				t.Fatalf("reopening row %d: %v, want %v", line, ok, want)
			}
			if ok {
				m.reopen(r)
			}
		},
		"the results are written": func(*rapid.T) {
			first, err := l.Finish(ctx, id)
			must(err)
			if want := m.complete() && !m.finished; first != want {
				t.Fatalf("first %v, want %v", first, want)
			}
			if first {
				m.finished = true
				if m.state == Running {
					m.state = Finished
				}
			}
		},
		"an operator cancels": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "sure") > 0 { // or most schedules would be about nothing else
				t.Skip("changed their mind")
			}
			err := l.CancelJob(ctx, id)
			if m.state == Finished || m.state == FailedJob {
				if !errors.Is(err, ErrEnded) {
					t.Fatalf("%v", err)
				}
				return
			}
			must(err)
			if m.state = Cancelled; !m.known {
				m.total, m.known = m.counted(), true
			}
		},
		"the sheet turns out to be unreadable": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
				t.Skip("it is fine")
			}
			must(l.FailJob(ctx, id, "unreadable"))
			if m.state == Dispatching {
				m.state, m.total, m.known = FailedJob, m.counted(), true
			}
		},
		"": func(t *rapid.T) { // after every step
			j, err := l.Job(ctx, id)
			must(err)
			if want := m.counters(); fmt.Sprint(j.Counters) != fmt.Sprint(want) {
				t.Fatalf("the job counts %v, want %v", j.Counters, want)
			}
			if j.State != m.state || j.TotalKnown != m.known || j.Total != m.total || j.Ended() != m.finished {
				t.Fatalf("the job is %+v, want %+v", j, m)
			}
		},
	}
	t.Repeat(actions)

	f.next.Store(nil)
	seen := 0
	for r, err := range l.Rows(ctx, id) {
		must(err)
		seen++
		want := m.rows[r.Row]
		if want.repeats != 0 {
			if first := m.rows[want.repeats]; first != nil {
				want = first
			} else {
				want = &modelRow{status: po.Pending}
			}
		}
		if r.Status != want.status || len(r.Files) != want.files || r.Code != want.code || r.InDLQ != want.inDLQ {
			t.Fatalf("row %d is %+v, want %+v", r.Row, r.Result, *want)
		}
	}
	if seen != len(m.rows) {
		t.Fatalf("%d rows, want %d", seen, len(m.rows))
	}
	open, err := l.OpenJobs(ctx)
	must(err)
	if isOpen := slices.ContainsFunc(open, func(j Job) bool { return j.ID == id }); isOpen == m.finished {
		t.Fatalf("listed as open %v, finished %v", isOpen, m.finished)
	}
	if !m.finished { // keeps the list short for the schedules after this one
		must(endNow(ctx, l, id, c))
	}
}

// endNow brings a job to its end, which must always be possible.
func endNow(ctx context.Context, l *Ledger, id string, c *clock) error {
	c.advance(time.Hour) // no lease holds
	if err := l.CancelJob(ctx, id); err != nil && !errors.Is(err, ErrEnded) {
		return err
	}
	for r, err := range l.Pending(ctx, id) {
		if err != nil {
			return err
		}
		if _, err := l.Settle(ctx, id, []po.Result{{Row: r.Row, Status: po.Failed, Code: po.CodeCancelled}}, false); err != nil {
			return err
		}
	}
	first, err := l.Finish(ctx, id)
	if err == nil && !first {
		err = fmt.Errorf("job %s cannot be ended", id)
	}
	return err
}

// newClientOf is a client of the same table whose calls pass the middleware.
func newClientOf(l *Ledger, m func(*middleware.Stack) error) *dynamodb.Client {
	options := l.client.Options()
	options.APIOptions = append(options.APIOptions, m)
	return dynamodb.New(options)
}

func TestManyWorkersAtOnceCommitEachRowOnce(t *testing.T) {
	l, c := newLedger(t)
	l.firstWait = time.Millisecond
	tasks := startJob(t, l, "j", 120)
	until := c.now().Add(time.Minute)
	var (
		wg        sync.WaitGroup
		mu        sync.Mutex
		committed = map[int]int{}
		lasts     int
	)
	for n := range 6 { // each message is delivered to three workers, at about the same time
		wg.Go(func() {
			var batch []Outcome
			flush := func() {
				done, last, err := l.Commit(t.Context(), batch)
				batch = nil
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if last {
					lasts++
				}
				for _, r := range done {
					committed[r.Row]++
				}
			}
			for i, task := range tasks {
				if (i+n)%2 == 0 {
					continue
				}
				got, err := l.Claim(t.Context(), task, fmt.Sprint(n), until, false)
				if err != nil {
					t.Error(err)
					return
				}
				if got.State == Claimed {
					batch = append(batch, Outcome{got.Lease, result(task, po.Completed, 1)})
				}
				if len(batch) == 5 {
					flush()
				}
			}
			flush()
		})
	}
	wg.Wait()
	for _, task := range tasks {
		if committed[task.Row] != 1 {
			t.Errorf("row %d was committed %d times", task.Row, committed[task.Row])
		}
	}
	if lasts == 0 {
		t.Error("nobody heard that the job is complete")
	}
	mustMatch(t, t.Context(), l, "j")
}
