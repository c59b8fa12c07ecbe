// Package browser keeps one Chromium warm: it starts lazily, outlives the invocation that started it, is probed before it is
// given work, and is replaced when it died, hangs or has grown too large. Each PO gets a tab of its own. A browser's death is
// never a PO's failure: its errors are RESOURCE_ERROR and marked as this environment's own.
package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/po"
)

const (
	// startTimeout bounds one start. A cold Lambda loads 200 MB of binary first; a warm machine needs half a second.
	startTimeout = 30 * time.Second
	// closeTimeout is how long Chromium may take to leave by itself. Its profile is thrown away, so nothing is lost by a kill.
	closeTimeout = 5 * time.Second
)

var (
	// ErrLost happens when the browser ended while it was in use: it crashed, was killed, or was shut down. Another one is started by
	// Ensure, and the work can be done again.
	ErrLost = errors.New("the browser ended")
	// ErrNotRunning happens when a tab is asked for before Ensure, or after the browser died.
	ErrNotRunning = errors.New("the browser is not running")

	errShutdown = errors.New("the browser is being shut down")
)

// Options is what a Browser is made of. The zero value of a field means what its comment says.
type Options struct {
	Path        string             // Chromium's binary; "" = Find
	Headless    bool               // false opens windows, which needs a display
	TempDir     string             // holds the profile while the browser runs; "" = os.TempDir()
	Log         logrus.FieldLogger // nil = silent
	BlockedURLs []string           // what no page loads; "*" stands for anything, as in "*://*.example.com/*"
	MemoryLimit int64              // bytes of the process tree over which NeedsRecycle says so; 0 = none
	MaxUses     int                // tabs opened before NeedsRecycle says so; 0 = no limit
}

// Browser is one warm Chromium. Its methods may be called at any time from any goroutine.
type Browser struct {
	o   Options
	log logrus.FieldLogger

	// turn is held by whoever starts, probes, replaces or ends the browser. It is a channel, not a mutex, so that a caller whose
	// time is up can stop waiting.
	turn chan struct{}

	mu         sync.Mutex // guards what follows; never held while waiting
	proc       *process   // the present browser, perhaps dead; nil when none was started or the last one was shut down
	interrupt  context.CancelCauseFunc
	generation int
	launches   int
	restarts   int
	replacing  bool // the next start replaces a browser that did not end by Shutdown
	peak       int64
	seen       sight
}

// New makes a Browser that is not started yet: Ensure does that.
func New(o Options) *Browser {
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = silent
	}
	return &Browser{o: o, log: o.Log.WithField("category", "browser"), turn: make(chan struct{}, 1)}
}

// Ensure starts the browser, or probes the one that runs and replaces it when it is dead or does not answer. The browser outlives
// ctx, which only bounds this call. An error is a RESOURCE_ERROR of ours; the next Ensure tries again.
func (b *Browser) Ensure(ctx context.Context) error {
	ctx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()

	if p := b.current(); p != nil {
		err := p.probe(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return resourceError("probing the browser: %w", context.Cause(ctx))
		}
		b.log.WithError(err).Warn("the browser is gone or does not answer, so another one is started")
		b.end(ctx, p, 0)
	}
	return b.start(ctx)
}

// Recycle replaces the browser by a new one. The caller has drained its tabs: those that are still open end.
func (b *Browser) Recycle(ctx context.Context, reason string) error {
	ctx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()

	if p := b.current(); p != nil {
		b.log.WithField("reason", reason).Info("recycling the browser")
		b.end(ctx, p, closeTimeout)
	}
	return b.start(ctx)
}

// Shutdown ends the browser: it is asked first, then killed, within ctx; its processes are reaped and its files removed. A start
// that is under way is broken off. Ensure may start another browser later.
func (b *Browser) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	if b.interrupt != nil {
		b.interrupt(errShutdown)
	}
	b.mu.Unlock()

	ctx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()

	if p := b.current(); p != nil {
		grace := closeTimeout
		if deadline, ok := ctx.Deadline(); ok {
			grace = min(grace, time.Until(deadline)/2) // the other half is for the kill
		}
		b.end(ctx, p, grace)
	}
	b.mu.Lock()
	b.proc, b.replacing = nil, false
	b.mu.Unlock()
	return nil
}

// begin takes the turn to change the browser's life, and returns a context that Shutdown can break off.
func (b *Browser) begin(ctx context.Context) (context.Context, func(), error) {
	select {
	case b.turn <- struct{}{}: // also when ctx is over: Shutdown then kills at once
	default:
		select {
		case b.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, resourceError("waiting for the browser to start or end: %w", context.Cause(ctx))
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	b.mu.Lock()
	b.interrupt = cancel
	b.mu.Unlock()
	return ctx, func() {
		b.mu.Lock()
		b.interrupt = nil
		b.mu.Unlock()
		cancel(nil)
		<-b.turn
	}, nil
}

// start launches a browser, and tries a second time when the first start fails: it does now and then on a loaded machine, for no
// lasting reason (https://github.com/chromedp/chromedp/issues/1484). The caller has the turn.
func (b *Browser) start(ctx context.Context) error {
	p, err := b.launch(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errNoChromium) {
		b.log.WithError(err).Warn("the browser did not start; trying once more")
		p, err = b.launch(ctx)
	}
	if err != nil {
		return resourceError("the browser did not start: %w", err)
	}

	b.mu.Lock()
	b.proc = p
	b.generation++
	b.launches++
	if b.replacing {
		b.restarts++
	}
	b.replacing = true // unless Shutdown ends it
	generation := b.generation
	b.mu.Unlock()
	go b.watch(p)
	b.log.WithFields(logrus.Fields{"pid": p.pid, "product": p.version.Product, "generation": generation}).Info("the browser runs")
	return nil
}

// launch is one try to start.
func (b *Browser) launch(ctx context.Context) (*process, error) {
	path := b.o.Path
	if path == "" {
		var err error
		if path, err = Find(os.Getenv); err != nil {
			return nil, err
		}
	}
	sweep(b.o.TempDir, b.log)
	return launch(ctx, path, b.o, b.log)
}

// end ends p: Chromium is asked and given the grace to leave; then, or without any grace, it is killed.
func (b *Browser) end(ctx context.Context, p *process, grace time.Duration) {
	b.measure(p) // the last look at what it cost
	if grace > 0 {
		p.close(ctx, grace)
	}
	p.kill()
}

// current is the present browser, perhaps dead; nil = none.
func (b *Browser) current() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proc
}

// alive is the present browser, or the error to give to whoever wanted to use it.
func (b *Browser) alive() (*process, error) {
	if p := b.current(); p != nil && !p.dead() {
		return p, nil
	}
	return nil, resourceError("%w: start it with Ensure", ErrNotRunning)
}

// Lost is closed when the present browser dies, however it dies. It is nil, which blocks for ever, while none was started.
func (b *Browser) Lost() <-chan struct{} {
	if p := b.current(); p != nil {
		return p.lost()
	}
	return nil
}

// UserAgent is the header that the browser's pages send; "" before the first start.
func (b *Browser) UserAgent() string {
	if p := b.current(); p != nil {
		return p.version.UserAgent
	}
	return ""
}

// Generation counts the starts that succeeded: 0 = never started. A new generation has no session and no cookies.
func (b *Browser) Generation() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.generation
}

// resourceError is trouble of this environment, never of a PO.
func resourceError(format string, args ...any) error {
	err := po.Errorf(po.CodeResource, format, args...)
	err.Retry, err.Ours = true, true
	return err
}

// megabytes is a size for a person.
func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes>>20) }
