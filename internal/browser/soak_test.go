//go:build linux

package browser

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSoak works heavy pages through one browser, ten an invocation, four at once, and freezes the browser between two invocations
// as Lambda does. Then everything must be as flat as after the first hundred. It takes minutes, so it runs only when asked for:
// PURSER_SOAK=1 for 1,000 pages, or PURSER_SOAK=<pages>.
func TestSoak(t *testing.T) {
	total, _ := strconv.Atoi(os.Getenv("PURSER_SOAK"))
	switch {
	case total == 0:
		t.Skip("PURSER_SOAK is not set")
	case total == 1:
		total = 1000
	}
	s := newSite(t, map[string]string{"/": strings.Repeat("<p class=line>a line of an order, with some text in it</p>", 3000) +
		"<script>window.kept = Array.from({length: 100000}, (_, i) => ({i, text: 'x' + i})); document.title = 'ready'</script>"})
	b := start(t, Options{})
	leader := b.current().pid
	eventually(t, "the first page", func() bool { return len(renderers(b)) == 1 })
	atRest := len(group(leader))

	var early, late footprint
	for done := 0; done < total; done += 10 {
		require.NoError(t, b.Ensure(t.Context()))
		invocation(t, b, s.URL, 10)
		eventually(t, "the pages' processes to end", func() bool { return len(group(leader)) <= atRest })
		seen := takeFootprint(t, b)
		if done < 100 {
			early.max(seen)
		}
		if done >= total-100 {
			late.max(seen)
		}
		if (done+10)%100 == 0 {
			t.Logf("%4d pages: %v", done+10, seen)
		}
		freeze(t, leader)
		require.NoError(t, syscall.Kill(-leader, syscall.SIGCONT))
	}
	assert.Equal(t, 1, b.Generation(), "the browser was replaced")
	assert.LessOrEqual(t, float64(late.memory), 1.1*float64(early.memory), "memory")
	assert.LessOrEqual(t, late.descriptors, early.descriptors+2, "descriptors")
	assert.LessOrEqual(t, late.goroutines, early.goroutines+5, "goroutines")
	assert.LessOrEqual(t, late.files, early.files+10, "files in the temporary directory")
	t.Logf("peak of the memory: %s", megabytes(b.Status().MemoryPeak))
}

// invocation works n pages, four at once.
func invocation(t *testing.T, b *Browser, url string, n int) {
	free := make(chan struct{}, 4)
	var all sync.WaitGroup
	for range n {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tab, err := b.Tab(ctx)
			if !assert.NoError(t, err) {
				return
			}
			defer tab.Close()
			assert.NoError(t, tab.Explain(chromedp.Do(tab.Context(), chromedp.Navigate(url))))
			title, err := chromedp.Run(tab.Context(), chromedp.Evaluate[string]("document.title"))
			assert.NoError(t, tab.Explain(err))
			assert.Equal(t, "ready", title)
		})
	}
	all.Wait()
}

// footprint is what the browser holds between two invocations.
type footprint struct {
	memory                                    int64
	processes, descriptors, goroutines, files int
}

func takeFootprint(t *testing.T, b *Browser) footprint {
	status := b.Status()
	descriptors, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	f := footprint{
		memory: status.MemoryBytes, processes: len(group(b.current().pid)), descriptors: len(descriptors), goroutines: runtime.NumGoroutine(),
	}
	f.files = countFiles(b.o.TempDir)
	return f
}

func (f *footprint) max(g footprint) {
	f.memory = max(f.memory, g.memory)
	f.processes = max(f.processes, g.processes)
	f.descriptors = max(f.descriptors, g.descriptors)
	f.goroutines = max(f.goroutines, g.goroutines)
	f.files = max(f.files, g.files)
}

func (f footprint) String() string {
	return fmt.Sprintf("%s, %d processes, %d descriptors, %d goroutines, %d files",
		megabytes(f.memory), f.processes, f.descriptors, f.goroutines, f.files)
}

func countFiles(dir string) (n int) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		n++
		if e.IsDir() {
			n += countFiles(dir + "/" + e.Name())
		}
	}
	return n
}
