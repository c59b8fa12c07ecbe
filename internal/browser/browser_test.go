//go:build linux

package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/purserhq/purser/internal/po"
)

// patience is how long a test waits for what must happen. It is long because the machine may be busy with other things.
const patience = 60 * time.Second

// parentVariable makes this test binary play the process that is killed: see TestNothingOutlivesAKilledParent.
const parentVariable = "PURSER_TEST_PARENT_TEMPDIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		playParent(dir)
	}
	code := m.Run()
	if warm.b != nil {
		if err := errors.Join(warm.b.Shutdown(context.Background()), os.Remove(warm.b.o.TempDir)); err != nil {
			fmt.Fprintln(os.Stderr, "ending the shared browser:", err)
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// warm is the browser that the tests share which do not harm it.
var warm struct{ b *Browser }

// blocked are the patterns that the shared browser blocks.
var blocked = []string{"*/tracker.js", "*://analytics.example.com/*"}

// warmBrowser is the shared browser, as good as new.
func warmBrowser(t *testing.T) *Browser {
	t.Helper()
	path := chromium(t)
	if warm.b == nil {
		dir, err := os.MkdirTemp("", "warm")
		require.NoError(t, err)
		warm.b = New(Options{Path: path, Headless: true, TempDir: dir, BlockedURLs: blocked})
	}
	require.NoError(t, warm.b.Ensure(t.Context()))
	require.NoError(t, warm.b.ClearCookies(t.Context()))
	require.Empty(t, pages(t, warm.b), "a test before this one left a page open")
	return warm.b
}

func TestManyCallersStartOneBrowser(t *testing.T) {
	b := newBrowser(t, Options{})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() { assert.NoError(t, b.Ensure(t.Context())) })
	}
	callers.Wait()

	assert.Equal(t, 1, b.Generation())
	s := b.Status()
	assert.True(t, s.Running)
	assert.Equal(t, 1, s.Launches)
	assert.Equal(t, 0, s.Restarts)
	assert.Positive(t, s.MemoryBytes)
	assert.GreaterOrEqual(t, s.MemoryPeak, s.MemoryBytes)
	assert.Positive(t, s.PIDs)
	assert.Contains(t, b.UserAgent(), "Chrom")
	assert.Len(t, dirEntries(t, b.o.TempDir), 1)
}

func TestNothingRunsBeforeTheFirstEnsure(t *testing.T) {
	b := New(Options{TempDir: t.TempDir()})
	assert.Zero(t, b.Status())
	assert.Zero(t, b.Generation())
	assert.Nil(t, b.Lost())
	_, err := b.Tab(t.Context())
	require.ErrorIs(t, err, ErrNotRunning)
	assertOurs(t, err)
	_, recycle := b.NeedsRecycle()
	assert.False(t, recycle)
	require.NoError(t, b.Shutdown(t.Context()))
	assert.Empty(t, dirEntries(t, b.o.TempDir))
}

func TestTheBrowserOutlivesTheInvocationThatStartedIt(t *testing.T) {
	b := newBrowser(t, Options{})
	invocation, end := context.WithCancel(t.Context())
	require.NoError(t, b.Ensure(invocation))
	end()

	require.NoError(t, b.Ensure(t.Context()))
	assert.Equal(t, 1, b.Generation())
	assertWorks(t, b)
}

func TestAKilledBrowserIsReplaced(t *testing.T) {
	b := start(t, Options{})
	tab := openTab(t, b)
	lost := b.Lost()
	leader := b.current().pid

	kill(t, mainProcess(t, leader))
	wait(t, lost, "Lost to be closed")
	err := chromedp.Do(tab.Context(), chromedp.Navigate("about:blank"))
	require.Error(t, err)
	err = tab.Explain(err)
	require.ErrorIs(t, err, ErrLost)
	assertOurs(t, err)
	tab.Close()
	_, err = b.Tab(t.Context())
	require.ErrorIs(t, err, ErrNotRunning)

	require.NoError(t, b.Ensure(t.Context()))
	assert.Equal(t, 2, b.Generation())
	assert.Equal(t, 1, b.Status().Restarts)
	assertWorks(t, b)
	assert.Empty(t, group(leader), "the old browser's processes, zombies included")
	assert.Len(t, dirEntries(t, b.o.TempDir), 1, "the old profile is gone")
}

func TestAKilledRendererCostsItsTabOnly(t *testing.T) {
	b := start(t, Options{})
	eventually(t, "the renderer of the first page", func() bool { return len(renderers(b)) == 1 })
	before := renderers(b)
	tab := openTab(t, b)
	var own []int
	for pid := range renderers(b) {
		if !before[pid] {
			own = append(own, pid)
		}
	}
	require.Len(t, own, 1)
	other := openTab(t, b)

	kill(t, own[0])
	wait(t, tab.Context().Done(), "the tab's context to end")
	err := tab.Explain(tab.Context().Err())
	assert.Equal(t, po.CodeResource, po.AsError(err).Code)
	assert.True(t, po.Retryable(err))
	assert.False(t, po.AsError(err).Ours, "the page may be to blame, so the PO pays with a try")
	tab.Close()

	require.NoError(t, chromedp.Do(other.Context(), chromedp.Navigate("about:blank")))
	other.Close()
	require.NoError(t, b.Ensure(t.Context()))
	assert.Equal(t, 1, b.Generation())
	assertNoSuspicion(t, b)
}

func TestABrowserThatWasFrozenWorksOn(t *testing.T) {
	b := start(t, Options{})
	tab := openTab(t, b)
	leader := b.current().pid

	freeze(t, leader)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, b.Ensure(short), "nobody answers now, and the caller's time is shorter than the probe's")
	require.NoError(t, syscall.Kill(-leader, syscall.SIGCONT))

	require.NoError(t, b.Ensure(t.Context()))
	assert.Equal(t, 1, b.Generation(), "a caller that goes away is no reason to replace the browser")
	require.NoError(t, chromedp.Do(tab.Context(), chromedp.Navigate("about:blank")), "a tab from before the freeze")
	tab.Close()
	assertWorks(t, b)
}

func TestAWedgedBrowserIsReplaced(t *testing.T) {
	b := start(t, Options{})
	leader, lost := b.current().pid, b.Lost()
	tab := openTab(t, b)

	freeze(t, leader)
	began := time.Now()
	require.NoError(t, b.Ensure(t.Context()))
	assert.Less(t, time.Since(began), firstProbeTimeout+secondProbeTimeout+killTimeout+startTimeout)
	wait(t, lost, "Lost of the wedged browser to be closed")
	assert.Equal(t, 2, b.Generation())
	assert.Equal(t, 1, b.Status().Restarts)
	assert.Empty(t, group(leader))
	tab.Close()
	assertWorks(t, b)
}

func TestRecycleReplacesABrowserThatNeedsIt(t *testing.T) {
	b := start(t, Options{MaxUses: 2})
	require.NoError(t, b.SetCookies(t.Context(), []*http.Cookie{{Name: "session", Value: "1", Domain: "127.0.0.1"}}))
	assertWorks(t, b)
	assertNoSuspicion(t, b)
	assertWorks(t, b)
	reason, yes := b.NeedsRecycle()
	assert.True(t, yes)
	assert.Equal(t, "it served 2 POs", reason)

	leader := b.current().pid
	require.NoError(t, b.Recycle(t.Context(), reason))
	assert.Empty(t, group(leader))
	assert.Equal(t, 2, b.Generation())
	assert.Equal(t, 1, b.Status().Restarts)
	assertNoSuspicion(t, b)
	cookies, err := b.Cookies(t.Context())
	require.NoError(t, err)
	assert.Empty(t, cookies, "a new generation has no session")
}

func TestMemoryOverItsLimitAsksForARecycle(t *testing.T) {
	b := start(t, Options{MemoryLimit: 1 << 20})
	reason, yes := b.NeedsRecycle()
	assert.True(t, yes)
	assert.Regexp(t, `^it takes \d+ MB of memory, more than 1 MB$`, reason)
}

func TestShutdownLeavesNothingBehind(t *testing.T) {
	b := start(t, Options{})
	tab := openTab(t, b)
	leader, lost := b.current().pid, b.Lost()

	require.NoError(t, b.Shutdown(t.Context()))
	wait(t, lost, "Lost to be closed")
	assert.Empty(t, group(leader))
	assert.Empty(t, dirEntries(t, b.o.TempDir))
	assert.False(t, b.Status().Running)
	tab.Close()

	require.NoError(t, b.Ensure(t.Context()), "Ensure starts another one")
	assert.Equal(t, 2, b.Generation())
	assert.Zero(t, b.Status().Restarts, "a start after Shutdown replaces nothing")
}

func TestShutdownKillsABrowserThatDoesNotLeave(t *testing.T) {
	b := start(t, Options{})
	leader := b.current().pid
	freeze(t, leader)
	hurry, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, b.Shutdown(hurry), "even when there is no time at all")
	assert.Empty(t, group(leader))
	assert.Empty(t, dirEntries(t, b.o.TempDir))
}

func TestAFailedStartSaysWhatChromiumPrinted(t *testing.T) {
	working := chromium(t)
	dir := t.TempDir()
	fake, tries := filepath.Join(dir, "chromium"), filepath.Join(dir, "tries")
	script(t, fake, "echo x >>"+tries, "echo 'error while loading shared libraries: libnss3.so' >&2", "exit 1")
	b := newBrowser(t, Options{Path: fake})

	err := b.Ensure(t.Context())
	require.ErrorContains(t, err, "error while loading shared libraries: libnss3.so")
	assertOurs(t, err)
	content, _ := os.ReadFile(tries)
	assert.Equal(t, "x\nx\n", string(content), "it is tried twice")
	assert.Zero(t, b.Generation())
	assert.Empty(t, dirEntries(t, b.o.TempDir))

	script(t, fake, "LD_LIBRARY_PATH="+filepath.Join(filepath.Dir(working), "lib"), "export LD_LIBRARY_PATH", "exec "+working+` "$@"`)
	require.NoError(t, b.Ensure(t.Context()), "the next Ensure tries again")
	assert.Equal(t, 1, b.Generation())
	assertWorks(t, b)
}

func TestAMissingBinaryIsNamed(t *testing.T) {
	b := newBrowser(t, Options{Path: "/nowhere/chromium"})
	err := b.Ensure(t.Context())
	require.ErrorContains(t, err, "/nowhere/chromium")
	assertOurs(t, err)
	assert.Empty(t, dirEntries(t, b.o.TempDir))
}

func TestAStartThatHangsIsBrokenOff(t *testing.T) {
	for name, breakOff := range map[string]func(b *Browser, cancel func()){
		"by its caller": func(_ *Browser, cancel func()) { cancel() },
		"by a shutdown": func(b *Browser, _ func()) { assert.NoError(t, b.Shutdown(context.Background())) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fake, started := filepath.Join(dir, "chromium"), filepath.Join(dir, "started")
			script(t, fake, "sleep 1000 & echo $$ >"+started+".new", "mv "+started+".new "+started, "wait")
			b := newBrowser(t, Options{Path: fake})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- b.Ensure(ctx) }()
			var leader int
			eventually(t, "the fake Chromium to run", func() bool {
				text, err := os.ReadFile(started)
				leader, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return err == nil
			})

			breakOff(b, cancel)
			err := wait(t, result, "Ensure to return")
			require.Error(t, err)
			assertOurs(t, err)
			assert.Empty(t, group(leader), "the fake Chromium and its child")
			assert.Empty(t, dirEntries(t, b.o.TempDir))
		})
	}
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	chromium(t)
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	ready, output, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = ready.Close() }()
	parent, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
		Env:   append(os.Environ(), parentVariable+"="+dir),
		Files: []*os.File{nil, output, os.Stderr},
	})
	require.NoError(t, err)
	require.NoError(t, output.Close())
	line := make([]byte, 100)
	n, err := ready.Read(line)
	require.NoError(t, err, "the parent's browser did not start")
	leader, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	require.NoError(t, err)
	require.NotEmpty(t, alivePIDs(leader))

	require.NoError(t, parent.Kill())
	_, err = parent.Wait()
	require.NoError(t, err)
	eventually(t, "the parent's Chromium to end", func() bool { return len(alivePIDs(leader)) == 0 })

	require.Len(t, dirEntries(t, dir), 1, "nobody could remove the profile")
	b := start(t, Options{TempDir: dir})
	assert.Len(t, dirEntries(t, dir), 1, "the next start sweeps it")
	require.NoError(t, b.Shutdown(t.Context()))
	assert.Empty(t, dirEntries(t, dir))
}

// playParent starts a browser with a page that never rests, says so, and waits to be killed.
func playParent(dir string) {
	b := New(Options{Headless: true, TempDir: dir})
	if err := b.Ensure(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tab, err := b.Tab(context.Background())
	if err == nil {
		_, err = chromedp.Run(tab.Context(), chromedp.Evaluate[int]("setTimeout(() => { for (;;); }, 0)"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(b.current().pid)
	select {}
}

func TestChromiumGetsNoSecretsAndNoCoreDumps(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "do-not-tell")
	b := start(t, Options{})
	pid := strconv.Itoa(mainProcess(t, b.current().pid))
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	require.NoError(t, err)
	assert.NotContains(t, string(environ), "do-not-tell")
	limits, err := os.ReadFile("/proc/" + pid + "/limits")
	require.NoError(t, err)
	assert.Regexp(t, `Max core file size +0 `, string(limits))
}

// newBrowser makes a browser that is ended with the test, after which nothing may be left.
func newBrowser(t *testing.T, o Options) *Browser {
	t.Helper()
	if o.Path == "" {
		o.Path = chromium(t)
	}
	if o.TempDir == "" {
		o.TempDir = t.TempDir()
	}
	o.Headless = true
	o.Log = testLog(t)
	b := New(o)
	t.Cleanup(func() {
		assert.NoError(t, b.Shutdown(context.Background()))
		assert.Empty(t, dirEntries(t, o.TempDir), "files are left")
		assert.Empty(t, users(o.TempDir), "processes are left")
	})
	return b
}

func start(t *testing.T, o Options) *Browser {
	t.Helper()
	b := newBrowser(t, o)
	require.NoError(t, b.Ensure(t.Context()))
	return b
}

// chromium is the binary to test with.
func chromium(t *testing.T) string {
	t.Helper()
	path, err := Find(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func testLog(t *testing.T) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(t.Output())
	return log
}

func openTab(t *testing.T, b *Browser) *Tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	tab, err := b.Tab(ctx)
	require.NoError(t, err)
	return tab
}

// assertWorks loads a page, reads it, and closes it.
func assertWorks(t *testing.T, b *Browser) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>it works</title>")
	}))
	defer server.Close()
	tab := openTab(t, b)
	defer tab.Close()
	require.NoError(t, chromedp.Do(tab.Context(), chromedp.Navigate(server.URL)))
	title, err := chromedp.Run(tab.Context(), chromedp.Evaluate[string]("document.title"))
	require.NoError(t, err)
	assert.Equal(t, "it works", title)
}

func assertOurs(t *testing.T, err error) {
	t.Helper()
	var e *po.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, po.CodeResource, e.Code)
	assert.True(t, e.Ours, "ours")
	assert.True(t, e.Retryable(), "retryable")
}

func assertNoSuspicion(t *testing.T, b *Browser) {
	t.Helper()
	reason, yes := b.NeedsRecycle()
	assert.False(t, yes, reason)
}

func dirEntries(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// wait receives from the channel, or fails.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited too long for "+what)
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, "waited too long for "+what)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

// freeze stops every process of the group, as Lambda does between two invocations, and waits until they stand.
func freeze(t *testing.T, leader int) {
	t.Helper()
	require.NoError(t, syscall.Kill(-leader, syscall.SIGSTOP))
	eventually(t, "the processes to stop", func() bool {
		for _, m := range group(leader) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.pid))
			if err == nil && !m.zombie && !bytes.Contains(stat, []byte(") T ")) {
				return false
			}
		}
		return true
	})
}

func alivePIDs(leader int) []int {
	var pids []int
	for _, m := range group(leader) {
		if !m.zombie {
			pids = append(pids, m.pid)
		}
	}
	return pids
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(line), "\x00", " ")
}

// mainProcess is the browser's own process: with a wrapper script it is not the group's leader.
func mainProcess(t *testing.T, leader int) int {
	t.Helper()
	for _, pid := range alivePIDs(leader) {
		if line := commandLine(pid); strings.Contains(line, "--remote-debugging-pipe") && !strings.Contains(line, "--type=") &&
			!strings.HasPrefix(line, "/bin/sh") {
			return pid
		}
	}
	require.FailNow(t, "the browser has no main process")
	return 0
}

func renderers(b *Browser) map[int]bool {
	pids := map[int]bool{}
	for _, pid := range alivePIDs(b.current().pid) {
		if strings.Contains(commandLine(pid), "--type=renderer") {
			pids[pid] = true
		}
	}
	return pids
}

// users are the processes that name the directory.
func users(dir string) []string {
	var lines []string
	eachProcess(func(pid int) {
		if line := commandLine(pid); pid != os.Getpid() && strings.Contains(line, "="+dir+"/") {
			lines = append(lines, line)
		}
	})
	return lines
}

func script(t *testing.T, path string, lines ...string) {
	t.Helper()
	text := "#!/bin/sh\n" + strings.Join(lines, "\n") + "\n"
	// Renamed into place: a file that is open for writing anywhere cannot be executed.
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o700)) //nolint:gosec // it is to be executed
	require.NoError(t, os.Rename(path+".new", path))
}
