package e2e

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
)

// crashed is a PO with three files, at whose work the downloader is killed; the others end in every other way.
const crashed po.Number = "PO16900002"

var crashPOs = []po.Number{"PO16900001", crashed, "PO16900003", "PO16900021", "PO16900029", "PO16900045"}

// points are where the downloader can be killed, in the order in which work passes them. "*" is whatever comes first.
var points = []struct{ name, id string }{
	{"claimed", string(crashed)},  // a lease that nobody will use
	{"page", string(crashed)},     // the page is read
	{"fetched", string(crashed)},  // the files are in /tmp
	{"uploaded", string(crashed)}, // the files are in the bucket, and no row names them
	{"committing", "*"},           // outcomes that nobody hears of
	{"committed", "*"},            // rows are final, their messages are not acknowledged
	{"answering", "*"},            // the whole batch is done, and nobody hears of it
	{"finalizing", "*"},           // every row is final, and no results
	{"finalized", "*"},            // results are written, and the message comes again
}

// TestADownloaderKilledAtAnyPointLeavesWhatAnUndisturbedRunLeaves runs a sheet once for each point at which the downloader is
// killed (SIGKILL, as by a power cut), and once undisturbed: files, result CSV and counters are the same.
func TestADownloaderKilledAtAnyPointLeavesWhatAnUndisturbedRunLeaves(t *testing.T) {
	run := func(t *testing.T, env ...string) (outcome, []local.EnvironmentStatus) {
		p := newPortal(t, demo.Options{})
		w := start(t, p, options(t, p, env...))
		id := w.drop(crashPOs...)
		w.ended(id)
		o := w.outcome(id)
		w.wantTruth(o, crashPOs...)
		return o, w.stack.Environments()
	}
	var (
		mu        sync.Mutex
		all       = map[string]outcome{}
		runs      sync.WaitGroup
		atOnce    = make(chan struct{}, 5) // each of them mostly waits for a message to come back
		disturbed = func(point, id string) {
			runs.Go(func() {
				atOnce <- struct{}{}
				defer func() { <-atOnce }()
				t.Run(point, func(t *testing.T) {
					died := filepath.Join(t.TempDir(), "died")
					o, environments := run(t, "PURSER_FAULT="+point+":"+id+":"+died)
					if _, err := os.Stat(died); err != nil {
						t.Errorf("the downloader was never killed there: %v", err)
					}
					crashes := 0
					for _, e := range environments {
						crashes += e.Crashes
					}
					if crashes != 1 {
						t.Errorf("%d crashes, want 1", crashes)
					}
					mu.Lock()
					defer mu.Unlock()
					all[point] = o
				})
			})
		}
	)
	for _, point := range points {
		disturbed(point.name, point.id)
	}
	undisturbed, _ := run(t)
	runs.Wait()
	for point, o := range all {
		if diff := cmp.Diff(undisturbed, o); diff != "" {
			t.Errorf("killed at %q: undisturbed (-) and disturbed (+):\n%s", point, diff)
		}
	}
}

// TestACrashAfterTheUploadAndAChangedStatusLeaveOneFolder kills the downloader when a PO's files lie under PARTIAL and no row says
// so. Its message is given up; the try that a redrive brings finds all files, and leaves nothing of the first.
func TestACrashAfterTheUploadAndAChangedStatusLeaveOneFolder(t *testing.T) {
	t.Parallel()
	p := newPortal(t, demo.Options{})
	p.SetFaults(demo.Faults{Path: "/attachment/", Status: 404, Requests: 1})
	died := filepath.Join(t.TempDir(), "died")
	o := options(t, p, "PURSER_FAULT=uploaded:"+string(crashed)+":"+died)
	o.MaxReceives = 1 // a first try is the last, so what it finds stands
	w := start(t, p, o)
	id := w.drop(crashed)
	w.letters(1)
	left := w.tree(id)
	if len(left) != 2 {
		t.Fatalf("the killed try has left %v, want two files", left)
	}
	if err := w.stack.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.ended(id)
	if got := w.job(id).Counters; got.ByStatus[po.Failed] != 1 || got.Files != 0 {
		t.Errorf("given up: %+v", got)
	}
	other := w.drop(crashed) // a second job of the same sheet has folders of its own
	w.ended(other)
	w.wantTruth(w.outcome(other), crashed)
	if diff := cmp.Diff(left, w.tree(id)); diff != "" {
		t.Errorf("another job has changed the first one's files:\n%s", diff)
	}
	if n, err := w.dispatcher(time.Now).Redrive(t.Context(), id); err != nil || n != 1 {
		t.Fatalf("%d rows, %v", n, err)
	}
	w.ended(id)
	w.wantTruth(w.outcome(id), crashed)
}
