// Package browser keeps one Chromium warm: it starts lazily, outlives the invocation that started it, is probed before it is
// given work, and is replaced when it died, hangs or has grown too large. Its tabs are lent to one PO each. A browser's death is
// never a PO's failure: its errors are RESOURCE_ERROR and marked as this environment's own.
package browser

import (
	"context"
	"errors"
	"net/http"

	"github.com/sirupsen/logrus"
)

// Options is what a Browser is made of. The zero value of a field means what its comment says.
type Options struct {
	Path        string             // Chromium's binary; "" = Find
	Headless    bool               // false opens windows, which needs a display
	TempDir     string             // holds the profile while the browser runs; "" = os.TempDir()
	Log         logrus.FieldLogger // nil = silent
	BlockedURLs []string           // patterns of Network.setBlockedURLs, in every tab
	MaxTabUses  int                // POs a tab serves before it is closed; 0 = the measured default
	MemoryLimit int64              // bytes of the process tree over which NeedsRecycle says so; 0 = none
	MaxUses     int                // tabs lent before NeedsRecycle says so; 0 = no limit
}

// Browser is one warm Chromium. Its methods may be called at any time from any goroutine.
type Browser struct {
	o Options
}

// New makes a Browser that is not started yet: Ensure does that.
func New(o Options) *Browser { return &Browser{o: o} }

var errNotStarted = errors.New("the browser is not started")

// Ensure starts the browser, or probes the one that runs and replaces it when it is dead or does not answer. The browser outlives
// ctx, which only bounds the wait. An error is a RESOURCE_ERROR of ours.
func (b *Browser) Ensure(ctx context.Context) error { return errNotStarted }

// Tab lends a tab to one PO.
func (b *Browser) Tab(ctx context.Context) (*Tab, error) { return nil, errNotStarted }

// Lost is closed when the present browser dies, however it dies. It is nil while none was ever started.
func (b *Browser) Lost() <-chan struct{} { return nil }

// SetCookies gives the cookies to the browser. All tabs share them.
func (b *Browser) SetCookies(ctx context.Context, cookies []*http.Cookie) error { return errNotStarted }

// ClearCookies forgets every cookie.
func (b *Browser) ClearCookies(ctx context.Context) error { return errNotStarted }

// Cookies returns every cookie that the browser holds.
func (b *Browser) Cookies(ctx context.Context) ([]*http.Cookie, error) { return nil, errNotStarted }

// UserAgent is the header that the browser's pages send; "" before the first start.
func (b *Browser) UserAgent() string { return "" }

// Generation counts the starts that succeeded: 0 = never started. A new generation has no session and no cookies.
func (b *Browser) Generation() int { return 0 }

// Status is what the browser costs, at this moment and at its worst.
type Status struct {
	Running     bool
	Launches    int   // starts that succeeded
	Restarts    int   // those that replaced a browser which had died, hung, or grown too large
	MemoryBytes int64 // of the process tree now
	MemoryPeak  int64 // the most that was seen, over all generations
	Tabs        int   // lent at this moment
	PIDs        int   // processes of the tree
}

// Status measures the browser. It never waits for it.
func (b *Browser) Status() Status { return Status{} }

// NeedsRecycle tells whether the browser should be replaced between two POs, and why.
func (b *Browser) NeedsRecycle() (reason string, yes bool) { return "", false }

// Recycle replaces the browser by a new one. The caller has drained its tabs: those that are still lent end.
func (b *Browser) Recycle(ctx context.Context, reason string) error { return errNotStarted }

// Shutdown ends the browser: asked first, then killed, within ctx; its processes are reaped and its files removed. Ensure may
// start another one later.
func (b *Browser) Shutdown(ctx context.Context) error { return nil }
