package portal

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watch follows what the tab's main frame loads: which document it shows, in which script context, how the portal answered it,
// and which requests its scripts have under way. It only listens, so it costs no round trip.
type watch struct {
	mu       sync.Mutex
	changed  chan struct{}         // closed and replaced with each change
	main     cdp.FrameID           // the main frame
	loader   cdp.LoaderID          // the document that the main frame shows
	shown    map[cdp.LoaderID]bool // those that it has shown, however briefly
	contexts map[cdp.FrameID]string
	answers  map[cdp.LoaderID]*network.Response
	requests map[network.RequestID]string // the scripts' requests under way, by URL
}

// document is what the main frame shows.
type document struct {
	context string            // its script context
	answer  *network.Response // nil when it did not come over the network
}

// watchTab follows the tab until the context ends.
func watchTab(ctx context.Context) (*watch, error) {
	w := &watch{
		changed: make(chan struct{}), shown: map[cdp.LoaderID]bool{}, contexts: map[cdp.FrameID]string{},
		answers: map[cdp.LoaderID]*network.Response{}, requests: map[network.RequestID]string{},
	}
	return w, chromedp.Listen(ctx, func(ev any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch ev := ev.(type) {
		case *page.EventFrameNavigated:
			if ev.Frame.ParentID == "" {
				w.main, w.loader = ev.Frame.ID, ev.Frame.LoaderID
				w.shown[w.loader] = true
				clear(w.requests)
			}
		case *runtime.EventExecutionContextCreated:
			var aux struct {
				FrameID   cdp.FrameID `json:"frameId"`
				IsDefault bool        `json:"isDefault"`
			}
			if json.Unmarshal(ev.Context.AuxData, &aux) == nil && aux.IsDefault {
				w.contexts[aux.FrameID] = ev.Context.UniqueID
			}
		case *network.EventResponseReceived:
			if ev.Type == network.ResourceTypeDocument {
				w.answers[ev.LoaderID] = ev.Response
			}
		case *network.EventRequestWillBeSent:
			if ev.Type == network.ResourceTypeXHR || ev.Type == network.ResourceTypeFetch {
				w.requests[ev.RequestID] = ev.Request.URL
			}
		case *network.EventLoadingFinished:
			delete(w.requests, ev.RequestID)
		case *network.EventLoadingFailed:
			delete(w.requests, ev.RequestID)
		case *page.EventJavascriptDialogOpening:
			go closeDialog(ctx)
			return
		default:
			return
		}
		close(w.changed)
		w.changed = make(chan struct{})
	})
}

// closeDialog closes an alert of the page: while it stands, it holds up every script, the one that reads the page too.
func closeDialog(ctx context.Context) {
	_, err := chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
	_ = err // it is gone already, or the tab is
}

// until waits until the condition, which is called under the lock, holds.
func (w *watch) until(ctx context.Context, holds func() bool) error {
	for {
		w.mu.Lock()
		ok, changed := holds(), w.changed
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// document waits until the main frame shows the document of the loader, or a later one, and scripts can run in it: in another
// context than gone.
func (w *watch) document(ctx context.Context, loader cdp.LoaderID, gone string) (document, error) {
	var d document
	err := w.until(ctx, func() bool {
		d = document{context: w.contexts[w.main], answer: w.answers[w.loader]}
		return w.shown[loader] && d.context != "" && d.context != gone
	})
	return d, err
}

// answer is how the portal answered the document of the loader; it need not be shown.
func (w *watch) answer(loader cdp.LoaderID) document {
	w.mu.Lock()
	defer w.mu.Unlock()
	return document{answer: w.answers[loader]}
}

// requestsDone waits until no script's request to one of the URLs is under way.
func (w *watch) requestsDone(ctx context.Context, match func(url string) bool) (waited bool, err error) {
	err = w.until(ctx, func() bool {
		for _, u := range w.requests {
			if match(u) {
				waited = true
				return false
			}
		}
		return true
	})
	return waited, err
}

// status is the document's HTTP status, 0 when it is not known.
func (d document) status() int {
	if d.answer == nil {
		return 0
	}
	return int(d.answer.Status)
}

// retryAfter is how long the portal asked to be left alone.
func (d document) retryAfter() time.Duration {
	if d.answer == nil {
		return 0
	}
	var after, date string
	for name, value := range d.answer.Headers {
		text, _ := value.(string)
		switch strings.ToLower(name) {
		case "retry-after":
			after = text
		case "date":
			date = text
		}
	}
	return parseRetryAfter(after, date)
}

// parseRetryAfter reads a Retry-After header, seconds or a date; a date is taken relative to the portal's own clock.
func parseRetryAfter(after, date string) time.Duration {
	after = strings.TrimSpace(after)
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(after)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(date)
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now))
}
