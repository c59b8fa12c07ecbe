package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
)

// TestAShortChaosRunEndsAsAnUndisturbedRun is the chaos run in the size of a test.
func TestAShortChaosRunEndsAsAnUndisturbedRun(t *testing.T) {
	t.Parallel()
	chaos(t, 30, 9, 1)
}

// TestALongChaosRunEndsAsAnUndisturbedRun is what `make chaos` runs: PURSER_CHAOS says how many POs, PURSER_SEED which troubles.
func TestALongChaosRunEndsAsAnUndisturbedRun(t *testing.T) {
	pos, err := strconv.Atoi(os.Getenv("PURSER_CHAOS"))
	if err != nil {
		t.Skip("run it with make chaos")
	}
	seed, _ := strconv.ParseUint(os.Getenv("PURSER_SEED"), 10, 64)
	chaos(t, pos, pos/6, seed)
}

// chaos runs a sheet of so many POs through so many troubles, drawn by the seed: function processes, Chromium and the stack itself
// are killed, the portal misbehaves, and all the while a few of a hundred AWS calls fail. Files, result CSV and counters must be
// those of an undisturbed run. The seed repeats the kinds of trouble and their order, not the moment at which each meets the work.
func chaos(t *testing.T, pos, troubles int, seed uint64) {
	if runtime.GOOS != "linux" {
		t.Skip("finds the stack's processes in /proc")
	}
	var numbers []po.Number
	for i := range pos {
		numbers = append(numbers, po.Number("PO"+strconv.Itoa(demo.BulkFirst+i)))
	}
	var (
		undisturbed outcome
		calm        sync.WaitGroup
	)
	calm.Go(func() {
		t.Run("undisturbed", func(t *testing.T) {
			p := newPortal(t, demo.Options{BulkPOs: true})
			o := options(t, p)
			o.DownloaderTimeout, o.Visibility = time.Minute, 0
			w := start(t, p, o)
			id := w.drop(numbers...)
			w.ended(id)
			undisturbed = w.outcome(id)
			w.wantTruth(undisturbed, numbers...)
		})
	})
	if pos > 100 { // the time of either is worth knowing
		calm.Wait()
	}
	var disturbed outcome
	t.Run("disturbed", func(t *testing.T) {
		p := newPortal(t, demo.Options{BulkPOs: true})
		o := options(t, p, "PURSER_AWS_FAULTS=0.03", fmt.Sprintf("PURSER_AWS_SEED=%d", seed))
		o.Environments, o.SweepEvery = 2, 5*time.Second
		s := newStorm(t, p, o, seed)
		id := s.w.drop(numbers...)
		s.rage(id, troubles)
		disturbed = s.w.outcome(id)
		job := s.w.job(id)
		t.Logf("seed %d: %d POs in %s, troubles %v, %d redriven; %d tries in %d invocations of %d browsers", seed, pos,
			time.Since(s.began).Round(time.Second), s.done, s.redriven, job.Pool.POs, job.Pool.Invocations, job.Pool.Launches)
	})
	calm.Wait()
	if t.Failed() {
		return
	}
	if diff := cmp.Diff(undisturbed, disturbed); diff != "" {
		t.Errorf("undisturbed (-) and disturbed (+):\n%s", diff)
	}
}

// storm is a stack in a process of its own, and what troubles it.
type storm struct {
	t        *testing.T
	w        *world
	options  local.Options
	dice     *rand.Rand
	began    time.Time
	done     map[string]int // troubles, by kind
	redriven int

	stack *exec.Cmd
	stdin io.Closer // the stack ends when it is closed
}

func newStorm(t *testing.T, p *portal, o local.Options, seed uint64) *storm {
	t.Helper()
	s := &storm{
		t: t, options: o, dice: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), done: map[string]int{},
		w: &world{t: t, portal: p, data: o.Data},
	}
	s.start()
	t.Cleanup(func() {
		_ = s.stdin.Close()
		_ = s.stack.Wait()
		if left := processes(t, o.Data); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
		if t.Failed() {
			showLogs(t, filepath.Join(o.Data, "logs"))
		}
	})
	return s
}

// hostVariable makes a process of this test's binary host a stack with the options that it holds.
const hostVariable = "PURSER_E2E_HOST"

// hosted is what the host says when the stack runs.
type hosted struct {
	Endpoint string
	Names    local.Names
}

// host runs a stack until the standard input ends.
func host(options string) int {
	var o local.Options
	err := json.Unmarshal([]byte(options), &o)
	if err == nil {
		var stack *local.Stack
		if stack, err = local.Start(context.Background(), o); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(hosted{stack.Endpoint(), stack.Names})
			_, _ = io.Copy(io.Discard, os.Stdin)
			now, cancel := context.WithCancel(context.Background())
			cancel()
			_ = stack.Close(now)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start starts the stack, again on what an earlier one has left.
func (s *storm) start() {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.stack = exec.Command(self)
	s.stack.Env = append(os.Environ(), hostVariable+"="+string(mustMarshal(s.options)))
	s.stack.Stderr = os.Stderr
	stdin, err := s.stack.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := s.stack.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.stack.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stdin = stdin
	var h hosted
	if err := json.NewDecoder(stdout).Decode(&h); err != nil {
		s.t.Fatalf("the stack does not start: %v", err)
	}
	*s.w = *attach(s.t, s.w.portal, s.w.data, aws.Config{
		Region: local.DefaultRegion, BaseEndpoint: &h.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(local.DefaultAccessKey, local.DefaultSecretKey, ""),
	}, h.Names)
}

// rage makes so much trouble, one after the other as the work goes on, and then waits for the job's end. What failed for good in
// the storm is redriven, as an operator would.
func (s *storm) rage(job string, troubles int) {
	kinds := map[string]func(){
		"function killed": func() { s.kill("downloader") },
		"Chromium killed": func() { s.kill("chromium") },
		"stack killed":    s.killStack,
		"session ended":   s.w.portal.ExpireSessions,
		"503":             func() { s.fault(demo.Faults{Status: 503, Requests: 6}) },
		"429":             func() { s.fault(demo.Faults{Status: 429, RetryAfterSeconds: 1, Requests: 3}) },
		"files fail":      func() { s.fault(demo.Faults{Path: "/attachment/", Status: 500, Requests: 2}) },
		"connections cut": func() { s.fault(demo.Faults{Reset: true, Requests: 3}) },
		"slow":            func() { s.fault(demo.Faults{SlowMillis: 300}) },
	}
	names := slices.Sorted(maps.Keys(kinds))
	s.dice.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	total := s.w.when("the job's total", job, func(j ledger.Job) bool { return j.TotalKnown }).Total
	for i := range troubles {
		// Spread over the job: each waits for its share of the work, or for a while in which nothing moves.
		s.progress(job, total*int64(i)/int64(troubles))
		kind := names[i%len(names)]
		s.done[kind]++
		kinds[kind]()
	}
	s.w.portal.SetFaults(demo.Faults{})
	for range 3 {
		s.w.when("the end of the job", job, ledger.Job.Ended)
		for _, row := range s.w.rows(job) {
			if row.Status != po.Completed {
				s.t.Logf("redriven: %s, %s after %d tries: %s", row.PO, row.Status, row.Attempt, row.ErrorMessage())
			}
		}
		n, err := s.w.dispatcher(time.Now).Redrive(s.t.Context(), job)
		if err != nil {
			s.t.Fatal(err)
		}
		if s.redriven += n; n == 0 {
			break
		}
	}
	s.w.ended(job)
}

// progress waits until so many rows are final, but a few seconds at most.
func (s *storm) progress(job string, rows int64) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = until(ctx, func(ctx context.Context) (bool, error) {
		j, err := s.w.ledger.Job(ctx, job)
		return err == nil && (j.Counters.Done > rows || j.Ended()), nil
	})
}

func (s *storm) fault(f demo.Faults) { s.w.portal.SetFaults(f) }

// kill ends one of the stack's processes of that name, if there is one.
func (s *storm) kill(program string) {
	var pids []int
	for pid, name := range processes(s.t, s.w.data) {
		if name == program {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return
	}
	slices.Sort(pids)
	_ = syscall.Kill(pids[s.dice.IntN(len(pids))], syscall.SIGKILL)
}

// killStack ends the stack's own process, as a power cut would, and starts it again.
func (s *storm) killStack() {
	_ = s.stack.Process.Kill()
	_ = s.stack.Wait()
	s.start()
}

// processes are those that work in the data directory, with the names of their programs.
func processes(t *testing.T, data string) map[int]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		program, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil { // it is gone, or another user's
			continue
		}
		for _, file := range []string{"environ", "cmdline"} {
			if text, err := os.ReadFile(filepath.Join("/proc", e.Name(), file)); err == nil && bytes.Contains(text, []byte(data+"/")) {
				found[pid] = filepath.Base(program)
			}
		}
	}
	return found
}
