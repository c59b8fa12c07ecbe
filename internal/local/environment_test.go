package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
)

// binaries holds the programs that tests run in environments.
var binaries struct {
	once         sync.Once
	dir          string
	err          error
	function     string
	emulator     string
	buildMessage []byte
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binaries.dir != "" {
		os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

// build makes the test function and AWS's emulator, once.
func build(t *testing.T) (function, emulator string) {
	t.Helper()
	b := &binaries
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "purser-local-test-"); b.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", b.dir+"/", "./testdata/function",
			"github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie")
		b.buildMessage, b.err = cmd.CombinedOutput()
		b.function, b.emulator = filepath.Join(b.dir, "function"), filepath.Join(b.dir, "aws-lambda-rie")
	})
	if b.err != nil {
		t.Fatalf("building the test's programs: %v\n%s", b.err, b.buildMessage)
	}
	return b.function, b.emulator
}

// patience is more than anything here takes on the slowest machine.
const patience = time.Minute

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

// testLog writes the stack's log into the test's.
func testLog(t *testing.T) logrus.FieldLogger {
	log := logrus.New()
	log.SetLevel(logrus.DebugLevel)
	log.SetOutput(t.Output())
	return log
}

// newTestFunction is a function whose one environment is closed at the end of the test, when nothing of it may be left.
func newTestFunction(t *testing.T, change func(*function)) (*pool, string) {
	t.Helper()
	binary, emulator := build(t)
	dir := t.TempDir()
	notes := t.TempDir()
	f := &function{
		name: "tested", binary: binary, rie: emulator, memory: 640, timeout: 20 * time.Second, freeze: true,
		env: []string{"NOTES=" + notes, "EXTRA=of the caller"}, home: dir, logs: filepath.Join(dir, "logs"),
		mark: dir + "#", log: testLog(t),
	}
	if change != nil {
		change(f)
	}
	p := newPool(f, 1)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.close(ctx); err != nil {
			t.Error(err)
		}
		if left := marked(t, f.mark); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
	})
	return p, notes
}

// marked lists the living processes that carry a mark with the prefix.
func marked(t *testing.T, prefix string) []int {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, p := range all {
		if mark, ok := markOf(p.pid); ok && strings.HasPrefix(mark, prefix) && !p.gone() {
			found = append(found, p.pid)
		}
	}
	return found
}

func invoke(t *testing.T, p *pool, event string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.invoke(ctx, []byte(event))
}

// mustInvoke is for events whose answer does not matter.
func mustInvoke(t *testing.T, p *pool, event string) {
	t.Helper()
	if _, err := invoke(t, p, event); err != nil {
		t.Fatal(err)
	}
}

type sight struct {
	PID    int    `json:"pid"`
	Tmp    string `json:"tmp"`
	Files  int    `json:"files"`
	Home   string `json:"HOME"`
	Name   string `json:"AWS_LAMBDA_FUNCTION_NAME"`
	Memory string `json:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"`
	Stream string `json:"AWS_LAMBDA_LOG_STREAM_NAME"`
	Extra  string `json:"EXTRA"`
}

// look asks the function what it sees.
func look(t *testing.T, p *pool) sight {
	t.Helper()
	answer, err := invoke(t, p, `{"do":"look"}`)
	if err != nil {
		t.Fatal(err)
	}
	var s sight
	if err := json.Unmarshal(answer, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func status(p *pool) EnvironmentStatus { return p.statuses()[0] }

// members lists the environment's processes.
func members(t *testing.T, p *pool) []process {
	t.Helper()
	found, err := p.all[0].running.tree.list()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// counters reads how far the spawned children have counted. They count in names, not contents, of files that appear at once.
func counters(t *testing.T, notes string) [2]string {
	t.Helper()
	var counts [2]string
	for i, name := range []string{"count-child", "count-orphan"} {
		data, err := os.ReadFile(filepath.Join(notes, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		counts[i] = string(data)
	}
	return counts
}

// spawn lets the function start two children that count, one of which has left its parent, and waits until both do.
func spawn(t *testing.T, p *pool, notes string) {
	t.Helper()
	p.function.freeze = false
	mustInvoke(t, p, `{"do":"spawn"}`)
	eventually(t, "both children count", func() bool { c := counters(t, notes); return c[0] != "" && c[1] != "" })
	if found := members(t, p); len(found) != 4 {
		t.Fatalf("the tree has the processes %+v, want emulator, function, child and orphan", found)
	}
}

func processorTime(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[11] + "+" + fields[12] // user and system ticks
}

func TestFunctionRunsInAnEnvironmentOfItsOwn(t *testing.T) {
	p, _ := newTestFunction(t, nil)
	first := look(t, p)
	want := sight{
		PID: first.PID, Tmp: filepath.Join(p.function.home, "tested-1", "tmp"), Home: filepath.Join(p.function.home, "tested-1", "tmp"),
		Name: "tested", Memory: "640", Stream: "tested-1", Extra: "of the caller",
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("the function sees (-want +got):\n%s", diff)
	}
	mustInvoke(t, p, `{"do":"leave","name":"kept"}`)
	if second := look(t, p); second.PID != first.PID || second.Files != 1 {
		t.Errorf("a warm invocation saw %+v, want the same process and the file that was left", second)
	}
	if s := status(p); s.Starts != 1 || s.Invocations != 3 || s.State != EnvironmentFrozen {
		t.Errorf("status is %+v, want 1 start, 3 invocations, frozen", s)
	}
	log, err := os.ReadFile(status(p).Log)
	if err != nil || strings.Count(string(log), "looked around") != 2 {
		t.Errorf("the log file holds %q (%v), want the function's two lines", log, err)
	}
}

func TestFrozenEnvironmentUsesNoCPU(t *testing.T) {
	p, notes := newTestFunction(t, nil)
	spawn(t, p, notes)
	p.function.freeze = true
	mustInvoke(t, p, `{}`)
	if s := status(p); s.State != EnvironmentFrozen {
		t.Fatalf("the environment is %s, want frozen", s.State)
	}
	before, used := counters(t, notes), map[int]string{}
	for _, member := range members(t, p) {
		used[member.pid] = processorTime(t, member.pid)
	}
	for range 50 { // each look at all processes takes longer than a child's step
		found := members(t, p)
		if len(found) != 4 {
			t.Fatalf("the frozen tree is %+v, want 4 processes", found)
		}
		for _, member := range found {
			if !member.stopped() {
				t.Errorf("process %d is in state %c, want stopped", member.pid, member.state)
			}
			if now := processorTime(t, member.pid); now != used[member.pid] {
				t.Errorf("process %d used the processor: %s ticks, then %s", member.pid, used[member.pid], now)
			}
		}
		if now := counters(t, notes); now != before {
			t.Fatalf("children went on from %v to %v", before, now)
		}
	}
	p.function.freeze = false
	mustInvoke(t, p, `{}`)
	eventually(t, "both children count again", func() bool {
		now := counters(t, notes)
		return now[0] != before[0] && now[1] != before[1]
	})
}

func TestEnvironmentThatIsNotToBeFrozenGoesOn(t *testing.T) {
	p, notes := newTestFunction(t, nil)
	spawn(t, p, notes)
	if s := status(p); s.State != EnvironmentIdle {
		t.Errorf("the environment is %s, want idle", s.State)
	}
	before := counters(t, notes)
	eventually(t, "children count between invocations", func() bool { return counters(t, notes) != before })
}

func TestTimedOutEnvironmentIsReplaced(t *testing.T) {
	p, notes := newTestFunction(t, func(f *function) { f.timeout = 2 * time.Second })
	spawn(t, p, notes)
	mustInvoke(t, p, `{"do":"leave","name":"of the old one"}`)
	old := members(t, p)

	_, err := invoke(t, p, `{"do":"hang"}`)
	var failure *functionError
	if !errors.As(err, &failure) || failure.Type != timeoutType || failure.Message != "Task timed out after 2.00 seconds" {
		t.Fatalf("a function that hangs gave %v, want its time-out", err)
	}
	for _, was := range old {
		if now, err := readProcess(was.pid); err == nil && now.started == was.started && !now.gone() {
			t.Errorf("process %d outlived the time-out", was.pid)
		}
	}
	if s := status(p); s.State != EnvironmentCold || s.Timeouts != 1 || s.Crashes != 0 {
		t.Errorf("status is %+v, want cold after 1 time-out", s)
	}
	if s := look(t, p); s.Files != 0 {
		t.Errorf("the new environment has %d files in its /tmp, want none", s.Files)
	}
	if s := status(p); s.Starts != 2 {
		t.Errorf("there were %d starts, want 2", s.Starts)
	}
}

func TestDeadFunctionIsReplaced(t *testing.T) {
	p, _ := newTestFunction(t, nil)
	for i, event := range []string{`{"do":"exit"}`, `{"do":"panic"}`} {
		_, err := invoke(t, p, event)
		var failure *functionError
		if !errors.As(err, &failure) || failure.Type == timeoutType {
			t.Errorf("%s gave %v, want a function's error", event, err)
		}
		if s := status(p); s.State != EnvironmentCold || s.Crashes != i+1 {
			t.Errorf("status after %s is %+v, want cold, %d crashes", event, s, i+1)
		}
		look(t, p)
	}
}

func TestFunctionKilledInItsSleepIsReplaced(t *testing.T) {
	p, _ := newTestFunction(t, nil)
	before := look(t, p)
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the function is dead", func() bool {
		now, err := readProcess(before.PID)
		return err != nil || now.gone()
	})
	if after := look(t, p); after.PID == before.PID {
		t.Error("the dead function answered")
	}
	if s := status(p); s.Starts != 2 || s.Crashes != 0 {
		t.Errorf("status is %+v, want a second start and no failed invocation", s)
	}
}

func TestKilledEmulatorIsReplaced(t *testing.T) {
	p, notes := newTestFunction(t, nil)
	spawn(t, p, notes)
	tree := p.all[0].running.tree
	if err := syscall.Kill(tree.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the environment is cold", func() bool { return status(p).State == EnvironmentCold })
	look(t, p)
	if left := slices.DeleteFunc(marked(t, tree.mark), func(pid int) bool { return pid == status(p).PID }); len(left) > 1 {
		t.Errorf("processes %v carry the mark, want the new function only", left)
	}

	p.function.timeout = time.Hour
	failed := make(chan error)
	go func() {
		_, err := p.invoke(context.Background(), []byte(`{"do":"hang"}`))
		failed <- err
	}()
	eventually(t, "the function hangs", func() bool { return exists(filepath.Join(notes, "hanging.1")) })
	if err := syscall.Kill(status(p).PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var failure *functionError
	if err := <-failed; !errors.As(err, &failure) || failure.Type != exitType {
		t.Errorf("an emulator killed in an invocation gave %v, want %s", err, exitType)
	}
	look(t, p)
}

func TestHandlersErrorKeepsTheEnvironment(t *testing.T) {
	p, _ := newTestFunction(t, nil)
	before := look(t, p)
	_, err := invoke(t, p, `{"do":"error"}`)
	var failure *functionError
	if !errors.As(err, &failure) || failure.Message != "so be it" {
		t.Errorf("a handler's error came as %v", err)
	}
	if after := look(t, p); after.PID != before.PID {
		t.Error("a handler's error cost the environment")
	}
}

func TestFunctionThatDoesNotStartSaysWhere(t *testing.T) {
	p, _ := newTestFunction(t, func(f *function) { f.env = append(f.env, "REFUSE_TO_START=1") })
	_, err := invoke(t, p, `{"do":"look"}`)
	var failure *functionError
	if !errors.As(err, &failure) {
		t.Errorf("a function that ends at once gave %v, want a function's error", err)
	}
	log, _ := os.ReadFile(status(p).Log)
	if !strings.Contains(string(log), "refused to start") {
		t.Errorf("the log file holds %q, want the function's last words", log)
	}

	p, _ = newTestFunction(t, func(f *function) { f.rie = "/bin/false" })
	_, err = invoke(t, p, `{"do":"look"}`)
	if err == nil || errors.As(err, &failure) || !strings.Contains(err.Error(), "tested-1") {
		t.Errorf("an emulator that ends at once gave %v, want an error that names the environment", err)
	}
}

func TestClosingLetsABusyFunctionHandBackItsWork(t *testing.T) {
	p, notes := newTestFunction(t, nil)
	answered := make(chan string, 1)
	go func() {
		answer, err := p.invoke(context.Background(), []byte(`{"do":"until-asked"}`))
		answered <- fmt.Sprint(string(answer), err)
	}()
	eventually(t, "the function waits", func() bool { return exists(filepath.Join(notes, "waiting.1")) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.close(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != `"handed back"<nil>` {
		t.Errorf("the busy function answered %s", got)
	}
	if left, err := os.ReadDir(p.function.home); err != nil || len(left) != 1 || left[0].Name() != "logs" {
		t.Errorf("the closed environment left %v (%v), want its log only", left, err)
	}
	if _, err := invoke(t, p, `{}`); !errors.Is(err, errClosing) {
		t.Errorf("a closed environment answered with %v, want %v", err, errClosing)
	}
}

func TestClosingEndsAFunctionThatDoesNotListen(t *testing.T) {
	p, notes := newTestFunction(t, nil)
	answered := make(chan error, 1)
	go func() {
		_, err := p.invoke(context.Background(), []byte(`{"do":"hang"}`))
		answered <- err
	}()
	eventually(t, "the function hangs", func() bool { return exists(filepath.Join(notes, "hanging.1")) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no time is left
	if err := p.close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; !errors.Is(err, errClosing) {
		t.Errorf("the invocation ended with %v, want %v", err, errClosing)
	}
}

func TestLastUsedEnvironmentServesNext(t *testing.T) {
	p, _ := newTestFunction(t, nil)
	second := newEnvironment(p.function, 2)
	p.all = append(p.all, second)
	p.free = append([]*environment{second}, p.free...)
	p.slots = make(chan struct{}, 2)
	p.slots <- struct{}{}
	p.slots <- struct{}{}
	for range 3 {
		look(t, p)
	}
	if s := p.statuses(); s[0].Invocations != 3 || s[1].Starts != 0 {
		t.Errorf("three invocations in turn went to %+v, want one environment", s)
	}
}

func TestWhatAKilledStackLeftBehindIsKilled(t *testing.T) {
	mark := t.TempDir() + "#"
	sleep := exec.Command("sleep", "1000")
	sleep.Env = append(os.Environ(), markVariable+"="+mark+"downloader-1")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	eventually(t, "the process has its environment", func() bool { return len(marked(t, mark)) == 1 })
	if err := killMarked(t.Context(), mark); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := sleep.Wait(); err != nil && !errors.As(err, &exit) && !errors.Is(err, syscall.ECHILD) {
		t.Fatal(err)
	}
	if left := marked(t, mark); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process without the mark is gone: %v", err)
	}
}

func TestAnswersAreReadAsLambdaDoes(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		answer string
		keep   bool
		err    string
	}{
		{"an object", 200, `{"batchItemFailures":[]}`, `{"batchItemFailures":[]}`, true, ""},
		{"null", 200, `null`, `null`, true, ""},
		{"a text that speaks of a time-out", 200, `"Task timed out after 2.00 seconds"`, `"Task timed out after 2.00 seconds"`, true, ""},
		{"a handler's error", 200, `{"errorMessage":"no","errorType":"errorString"}`, "", true, "errorString: no"},
		{"a time-out", 200, `Task timed out after 2.00 seconds`, "", false, "Sandbox.Timedout: Task timed out after 2.00 seconds"},
		{"an exit", 502, `{"errorType":"Runtime.ExitError","errorMessage":"gone"}`, "", false, "Runtime.ExitError: gone"},
		{"an unknown failure", 500, `oops`, "", false, "Runtime.ExitError: the emulator answered with status 500: oops"},
		{"nothing", 200, ``, "", false, "Runtime.ExitError: the function gave no answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, keep, err := readAnswer(test.status, []byte(test.body), 2*time.Second)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if string(answer) != test.answer || keep != test.keep || text != test.err {
				t.Errorf("got %q, keep %v, %q; want %q, %v, %q", answer, keep, text, test.answer, test.keep, test.err)
			}
		})
	}
}

func TestLongLogIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "a.log")
	for i := range 3 {
		f, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(f, "run", strconv.Itoa(i))
		if i == 1 {
			if err := f.Truncate(maxLogBytes + 1); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	if now, _ := os.ReadFile(path); string(now) != "run 2\n" {
		t.Errorf("the log holds %q, want the last run only", now)
	}
	if before, _ := os.ReadFile(path + ".1"); !strings.HasPrefix(string(before), "run 0\nrun 1\n") {
		t.Error("the earlier runs were not put aside")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
