package download

import (
	"sync"
	"time"

	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/ledger"
)

// The pool's and the workers' states, as the older tool names them.
const (
	poolInitializing = "INITIALIZING"
	poolReady        = "READY"
	poolProcessing   = "PROCESSING"
	poolShuttingDown = "SHUTTING_DOWN"
	poolTerminated   = "TERMINATED"

	workerStarting   = "STARTING"
	workerReady      = "READY"
	workerProcessing = "PROCESSING"
	workerIdle       = "IDLE"
	workerCrashed    = "CRASHED"
	workerRestarting = "RESTARTING"
	workerTerminated = "TERMINATED"
)

// board knows what each worker, that is each tab, does at the moment.
type board struct {
	mu      sync.Mutex
	pool    string
	workers []worker
	free    chan int // indexes of the workers that have nothing to do

	done, succeeded int64
	seconds         float64
}

type worker struct {
	state     string
	task      string
	processed int
}

func newBoard(workers int) *board {
	b := &board{pool: poolInitializing, workers: make([]worker, workers), free: make(chan int, workers)}
	for i := range b.workers {
		b.workers[i].state = workerStarting
		b.free <- i
	}
	return b
}

func (b *board) setPool(state string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pool = state
	next := map[string]string{
		poolReady: workerReady, poolProcessing: workerIdle, poolShuttingDown: workerTerminated, poolTerminated: workerTerminated,
	}[state]
	for i := range b.workers {
		if w := &b.workers[i]; w.state != workerProcessing && next != "" || state == poolTerminated {
			w.state = next
		}
	}
}

// crash marks the workers: their browser is gone, and another one may be coming.
func (b *board) crash(restarting bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.workers {
		b.workers[i].state = workerCrashed
		if restarting {
			b.workers[i].state = workerRestarting
		}
	}
}

// restarted ends what crash began.
func (b *board) restarted() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.workers {
		w := &b.workers[i]
		if w.state != workerCrashed && w.state != workerRestarting {
			continue
		}
		w.state = workerIdle
		if w.task != "" {
			w.state = workerProcessing
		}
	}
}

func (b *board) begin(i int, task string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.workers[i].state, b.workers[i].task = workerProcessing, task
}

func (b *board) end(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &b.workers[i]
	w.state, w.task = workerIdle, ""
	w.processed++
}

func (b *board) finished(success bool, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if success {
		b.succeeded++
	}
	b.seconds += took.Seconds()
}

// status is the board in the names of the older tool's get_status. Chromium shares its processes among tabs: a worker's memory
// is an equal part of the whole.
func (b *board) status(environment string, pending int, s browser.Status) ledger.PoolStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := ledger.PoolStatus{
		Environment: environment, At: time.Now().UTC(), Status: b.pool, Pending: pending, TotalMemory: s.MemoryBytes,
		Stats: ledger.ProcessingStats{
			Processed: b.done, Succeeded: b.succeeded, Failed: b.done - b.succeeded,
			Launches: int64(s.Launches), Restarts: int64(s.Restarts), MemoryPeak: s.MemoryPeak,
		},
	}
	if b.done > 0 {
		p.Stats.AveragePOTime = b.seconds / float64(b.done)
	}
	for i, w := range b.workers {
		p.Workers = append(p.Workers, ledger.WorkerStatus{
			ID: i + 1, Status: w.state, Memory: s.MemoryBytes / int64(len(b.workers)), Processed: w.processed, Task: w.task,
		})
	}
	return p
}
