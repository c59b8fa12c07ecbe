//go:build linux

package download

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/demo"
)

// BenchmarkPool measures a PO of the demo portal's heavy pages, from message to committed row: with the persistent pool, and with a
// browser for each PO. An operation is a PO; invocations have ten. `make bench-pool` runs it, docs/pool.md tells what came out.
func BenchmarkPool(b *testing.B) {
	for _, mode := range []struct {
		name       string
		persistent bool
	}{{"persistent", true}, {"one-shot", false}} {
		b.Run(mode.name, func(b *testing.B) {
			w := newHeavyWorld(b, func(s *config.Settings) {
				s.PersistentPool, s.WorkerCount, s.LogLevel = mode.persistent, 4, "info"
			})
			_, tasks := w.job(bulk(b.N)...)
			peak := w.samplePeak()
			self, children := cpu()
			b.ResetTimer()
			for some := range slices.Chunk(tasks, 10) {
				require.Empty(b, w.handle(w.tasks(some...)))
			}
			b.StopTimer()
			most := peak()
			require.NoError(b, w.shutdown()) // Chromium's time is known when it has ended
			selfAfter, childrenAfter := cpu()
			chromium := childrenAfter - children
			pos := float64(b.N)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(pos/b.Elapsed().Minutes(), "POs/min")
			b.ReportMetric(b.Elapsed().Seconds()/pos, "s/PO")
			b.ReportMetric((selfAfter-self+chromium).Seconds()/pos, "CPU-s/PO")
			b.ReportMetric(chromium.Seconds()/pos, "Chromium-CPU-s/PO")
			b.ReportMetric(float64(most>>20), "peak-MB")
		})
	}
}

// TestSoak works a thousand heavy POs through one downloader, ten an invocation. What it holds at rest must not grow after the first
// hundred. It takes minutes, so it runs only when asked for: PURSER_SOAK=1 for 1,000 POs, or PURSER_SOAK=<POs>.
func TestSoak(t *testing.T) {
	total, _ := strconv.Atoi(os.Getenv("PURSER_SOAK"))
	switch {
	case total == 0:
		t.Skip("PURSER_SOAK is not set")
	case total == 1:
		total = 1000
	}
	w := newHeavyWorld(t, func(s *config.Settings) { s.WorkerCount, s.LogLevel = 4, "warning" })
	job, tasks := w.job(bulk(total)...)
	var early, late footprint
	done := 0
	for some := range slices.Chunk(tasks, 10) {
		require.Empty(t, w.handle(w.tasks(some...)))
		done += len(some)
		seen := w.footprint()
		if done <= 100 {
			early.max(seen)
		}
		if done > total-100 {
			late.max(seen)
		}
		if done%100 == 0 {
			t.Logf("%4d POs: %+v", done, seen)
		}
	}
	w.assertCompleted(job)
	assert.EqualValues(t, 1, w.state(job).Pool.Launches)
	assert.LessOrEqual(t, float64(late.megabytes), 1.1*float64(early.megabytes), "memory")
	assert.LessOrEqual(t, late.processes, early.processes, "processes")
	assert.LessOrEqual(t, late.goroutines, early.goroutines+5, "goroutines")
	assert.LessOrEqual(t, late.descriptors, early.descriptors+5, "descriptors")
	assert.LessOrEqual(t, late.spooled, early.spooled, "files in the spool")
	t.Logf("the first 100: %+v; the last 100: %+v; peak of the memory %d MB", early, late, w.state(job).Pool.MemoryPeak>>20)
}

// footprint is what the downloader holds between two invocations.
type footprint struct {
	megabytes                                   int64 // of Chromium's processes
	processes, goroutines, descriptors, spooled int
}

func (f *footprint) max(g footprint) {
	f.megabytes = max(f.megabytes, g.megabytes)
	f.processes, f.goroutines = max(f.processes, g.processes), max(f.goroutines, g.goroutines)
	f.descriptors, f.spooled = max(f.descriptors, g.descriptors), max(f.spooled, g.spooled)
}

func (w *world) footprint() footprint {
	descriptors, err := os.ReadDir("/proc/self/fd")
	require.NoError(w.t, err)
	spooled, err := os.ReadDir(w.spool)
	require.NoError(w.t, err)
	status := w.warm.Load().browser.Status()
	return footprint{
		megabytes: status.MemoryBytes >> 20, processes: status.PIDs,
		goroutines: runtime.NumGoroutine(), descriptors: len(descriptors), spooled: len(spooled),
	}
}

func newHeavyWorld(t testing.TB, change func(*config.Settings)) *world {
	return newWorldOf(t, demo.Options{Weight: demo.Heavy}, change)
}

// cpu is the time used so far by this process, with the portal and the services in it, and by its children that have ended:
// Chromium's processes.
func cpu() (self, children time.Duration) {
	used := func(who int) time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return used(syscall.RUSAGE_SELF), used(syscall.RUSAGE_CHILDREN)
}

// samplePeak looks at the memory of all the world's Chromium processes, once a second, until the function that it returns is
// called for the largest sum.
func (w *world) samplePeak() func() int64 {
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			var sum int64
			for pid := range w.chromiums() {
				sum += pss(pid)
			}
			most.Store(max(most.Load(), sum))
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-stopped
		return most.Load()
	}
}

// pss is a process's memory, with its part of what it shares.
func pss(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0 // it has ended
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "Pss:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
