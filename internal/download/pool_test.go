//go:build linux

package download

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

func TestOneBrowserServesManyInvocations(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job(bulk(5)...)
	for some := range slices.Chunk(tasks, 2) {
		assert.Empty(t, w.handle(w.tasks(some...)))
	}
	w.assertCompleted(job)
	pool := w.state(job).Pool
	assert.EqualValues(t, 1, pool.Launches)
	assert.EqualValues(t, 0, pool.Restarts)
	assert.EqualValues(t, 3, pool.Invocations)
	assert.EqualValues(t, 5, pool.POs)
	assert.Positive(t, pool.MemoryPeak)
	assert.EqualValues(t, 1, w.portal.Stats().SignIns, "the session is kept")
	entries, err := os.ReadDir(w.spool)
	require.NoError(t, err)
	assert.Empty(t, entries, "files are left in the spool")
}

func TestABrowserThatIsKilledUnderItsPOsIsReplacedOnceAndCostsNoTry(t *testing.T) {
	const tabs = 5 // more than an invocation may have restarts
	w := newWorld(t, func(s *config.Settings) { s.WorkerCount = tabs })
	var open sync.WaitGroup
	open.Add(tabs)
	var once sync.Once
	seen := map[string]bool{}
	w.watchPages(func(_ http.ResponseWriter, r *http.Request, digits string) bool {
		w.mu.Lock()
		first := !seen[digits]
		seen[digits] = true
		w.mu.Unlock()
		if !first {
			return false
		}
		open.Done()
		open.Wait() // every tab waits for its page
		once.Do(w.kill)
		<-r.Context().Done()
		return true
	})
	job, tasks := w.job(bulk(tabs)...)
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	w.assertCompleted(job)
	pool := w.state(job).Pool
	assert.EqualValues(t, 2, pool.Launches)
	assert.EqualValues(t, 1, pool.Restarts)
}

func TestABrowserThatHangsUnderItsPOsIsReplacedAndCostsNoTry(t *testing.T) {
	w := newWorld(t)
	var once sync.Once
	w.watchPages(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		hang := false
		once.Do(func() { hang = true })
		if hang {
			w.signal(syscall.SIGSTOP)
			<-r.Context().Done()
		}
		return hang
	})
	job, tasks := w.job(bulk(2)...) // both are under way: nobody else comes and finds it hanging
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	w.assertCompleted(job)
	assert.EqualValues(t, 1, w.state(job).Pool.Restarts)
}

func TestABrowserThatDiesAgainAndAgainGivesItsPOsBackAfterThreeRestarts(t *testing.T) {
	w := newWorld(t)
	w.watchPages(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		w.kill()
		<-r.Context().Done()
		return true
	})
	numbers := bulk(6)
	job, tasks := w.job(numbers...)
	assert.Equal(t, numbers, w.handle(w.tasks(tasks...)))
	w.assertUntouched(job)
	pool := w.state(job).Pool
	assert.EqualValues(t, 1+maxRestarts, pool.Launches)
	assert.EqualValues(t, maxRestarts, pool.Restarts)
	assert.NotEmpty(t, w.logged(`"error_code":"RESOURCE_ERROR"`))

	w.watchPages(nil)
	again := w.receive(w.Settings.QueueURL)
	assert.Len(t, again, len(numbers), "messages that came back")
	assert.Empty(t, w.handle(w.tasks(tasks...)), "the next invocation starts a browser again")
	w.assertCompleted(job)
}

func TestWithoutThePoolEachPOHasABrowserOfItsOwn(t *testing.T) {
	w := newWorld(t, func(s *config.Settings) { s.PersistentPool = false })
	var most int
	w.watchPages(func(http.ResponseWriter, *http.Request, string) bool {
		groups := map[int]bool{}
		for _, group := range w.chromiums() {
			groups[group] = true
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		most = max(most, len(groups))
		return false
	})
	job, tasks := w.job(bulk(4)...)
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	w.assertCompleted(job)
	assert.EqualValues(t, 4, w.state(job).Pool.Launches)
	assert.LessOrEqual(t, most, w.Settings.WorkerCount, "browsers at once")
	assert.Empty(t, w.chromiums(), "a browser was left open")
}

func TestAPoolThatCannotStartFallsBackAndSaysSo(t *testing.T) {
	script := filepath.Join(t.TempDir(), "chromium")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho no display >&2\nexit 1\n"), 0o755))
	w := newWorld(t, func(s *config.Settings) { s.ChromiumPath = script })
	numbers := bulk(3)
	job, tasks := w.job(numbers...)
	assert.Equal(t, numbers, w.handle(w.tasks(tasks...)))
	w.assertUntouched(job)
	assert.Len(t, w.logged("falling back to a browser for each PO (as with USE_PERSISTENT_POOL=false)"), 1)
	assert.NotEmpty(t, w.logged(`"error_code":"RESOURCE_ERROR"`))
	assert.NotEmpty(t, w.logged("no display"), "what Chromium said last")
}

func TestAPageThatNeverAnswersCostsItsOwnPOATimeOut(t *testing.T) {
	w := newWorld(t)
	_, first := w.job(bulk(1)...)
	assert.Empty(t, w.handle(w.tasks(first...))) // the browser is warm, so that only the page takes time
	w.watchPages(func(_ http.ResponseWriter, r *http.Request, digits string) bool {
		if digits != "20000000" {
			return false
		}
		<-r.Context().Done()
		return true
	})
	numbers := bulk(4)
	job, tasks := w.job(numbers...)
	w.Settings.WorkerTimeout = 8 * time.Second
	assert.Equal(t, numbers[:1], w.handle(w.tasks(tasks...)))
	rows := w.rows(job)
	assert.Equal(t, po.Pending, rows[numbers[0]].Status)
	assert.Equal(t, 1, rows[numbers[0]].Lease.Attempt, "a time-out is a try")
	for _, n := range numbers[1:] {
		assert.Equal(t, po.Completed, rows[n].Status, n)
	}
	assert.NotEmpty(t, w.logged(`"error_code":"TIMEOUT"`))
	assert.EqualValues(t, 0, w.state(job).Pool.Launches)

	w.Settings.WorkerTimeout, w.Settings.MaxReceives = time.Second, 2
	assert.Empty(t, w.handle(w.tasks(tasks[0])))
	last := w.rows(job)[numbers[0]]
	assert.Equal(t, po.Timeout, last.Status, "after the last try")
	assert.Equal(t, "TIMEOUT: "+w.Profile.POURL(numbers[0])+" was not ready in time: context deadline exceeded", last.ErrorMessage())
}

func TestPOsThatDoNotFitIntoTheInvocationAreHandedBackUntouched(t *testing.T) {
	w := newWorld(t)
	numbers := bulk(3)
	job, tasks := w.job(numbers...)
	e := w.tasks(tasks...)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	assert.Equal(t, numbers, w.handleWithin(ctx, e))
	w.assertUntouched(job)
	assert.EqualValues(t, 0, w.state(job).Pool.Launches)
	assert.Zero(t, w.portal.Stats().Requests)
	assert.Len(t, w.receive(w.Settings.QueueURL), 3, "messages that can be received again at once")
}

func TestShutdownHandsBackWhatIsUnderWayAndLeavesNothing(t *testing.T) {
	for name, persistent := range map[string]bool{"pool": true, "a browser for each PO": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(s *config.Settings) { s.PersistentPool = persistent })
			opened := make(chan struct{}, 10)
			w.watchPages(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
				opened <- struct{}{}
				<-r.Context().Done()
				return true
			})
			numbers := bulk(4)
			job, tasks := w.job(numbers...)
			e := w.tasks(tasks...)
			answered := make(chan []po.Number)
			go func() { answered <- w.handle(e) }()
			<-opened
			<-opened // both workers have a page open

			done := make(chan error)
			go func() { done <- w.shutdown() }()
			assert.Equal(t, numbers, <-answered)
			require.NoError(t, <-done)
			w.assertUntouched(job)
			assert.Empty(t, w.chromiums())
			entries, err := os.ReadDir(w.TempDir)
			require.NoError(t, err)
			assert.Empty(t, entries)
			gate, err := w.Ledger.Circuit(t.Context(), w.Profile.BaseURL(), "another")
			require.NoError(t, err)
			assert.False(t, gate.Open, "the portal is not to blame")
			_, err = w.Handle(t.Context(), e)
			assert.Error(t, err, "no more work is taken")
		})
	}
}

func TestTheBrowserIsRecycledBetweenPOsWhenItTakesTooMuchMemory(t *testing.T) {
	w := newWorld(t, func(s *config.Settings) { s.WorkerCount = 1 })
	job, tasks := w.job(bulk(3)...)
	assert.Empty(t, w.handle(w.tasks(tasks[0])))
	atRest := w.warm.Load().browser.Status().MemoryBytes

	require.NoError(t, w.shutdown())
	o := w.Options
	o.Settings.MemoryThreshold = 0.5
	o.Settings.FunctionMemory = int(atRest * 9 / 10 >> 20 * 2)
	d, err := New(o)
	require.NoError(t, err)
	w.Downloader = d
	// So small a limit may also end a page that takes more than half of it; then its PO comes again.
	for range o.Settings.MaxReceives {
		rows := w.rows(job)
		open := slices.DeleteFunc(slices.Clone(tasks), func(t po.Task) bool { return rows[t.PO].Status.Final() })
		if len(open) == 0 {
			break
		}
		w.handle(w.tasks(open...))
	}
	for n, row := range w.rows(job) {
		assert.Equal(t, po.Completed, row.Status, n)
	}
	assert.NotEmpty(t, w.logged("the browser is recycled"))
	assert.Positive(t, w.state(job).Pool.Restarts)
}

func TestThePoolsStatusHasTheFieldsOfGetStatus(t *testing.T) {
	w := newWorld(t)
	working := make(chan ledger.PoolStatus, 1)
	var once sync.Once
	job, tasks := w.job(bulk(3)...)
	w.watchPages(func(http.ResponseWriter, *http.Request, string) bool {
		once.Do(func() {
			pools, err := w.Ledger.Workers(t.Context(), job)
			if assert.NoError(t, err) && assert.Len(t, pools, 1) {
				working <- pools[0]
			}
		})
		return false
	})
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	during := <-working
	assert.Equal(t, "PROCESSING", during.Status)
	busy := slices.IndexFunc(during.Workers, func(s ledger.WorkerStatus) bool { return s.Status == "PROCESSING" })
	require.GreaterOrEqual(t, busy, 0, "%+v", during.Workers)
	assert.Contains(t, during.Workers[busy].Task, "PO2000000")
	assert.Positive(t, during.Pending)

	pools, err := w.Ledger.Workers(t.Context(), job)
	require.NoError(t, err)
	require.Len(t, pools, 1)
	after := pools[0]
	assert.Equal(t, "READY", after.Status)
	assert.Zero(t, after.Pending)
	assert.Positive(t, after.TotalMemory)
	assert.EqualValues(t, 3, after.Stats.Processed)
	assert.EqualValues(t, 3, after.Stats.Succeeded)
	assert.Positive(t, after.Stats.AveragePOTime)
	processed := 0
	for _, worker := range after.Workers {
		assert.Empty(t, worker.Task)
		assert.Positive(t, worker.Memory)
		processed += worker.Processed
	}
	assert.Equal(t, 3, processed)

	data, err := json.Marshal(after)
	require.NoError(t, err)
	var fields struct {
		Pool    map[string]json.RawMessage
		Workers []map[string]json.RawMessage `json:"workers"`
	}
	require.NoError(t, json.Unmarshal(data, &fields.Pool))
	require.NoError(t, json.Unmarshal(data, &fields))
	assert.Subset(t, slices.Collect(maps.Keys(fields.Pool)), []string{"pool_status", "workers", "pending_tasks", "total_memory_usage", "processing_stats"})
	require.Len(t, fields.Workers, w.Settings.WorkerCount)
	assert.Subset(t, slices.Collect(maps.Keys(fields.Workers[0])), []string{"worker_id", "status", "memory_usage", "processed_count", "current_task"})
}
