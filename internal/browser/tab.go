package browser

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/purserhq/purser/internal/po"
)

const (
	// openTimeout is how long a new tab may take: 0.1 s is usual, some seconds on a machine that is short of everything.
	openTimeout = 20 * time.Second

	// closeTabTimeout is how long a tab may take to close before its process is crashed. Chromium itself gives a page that hangs
	// half a second.
	closeTabTimeout = 2 * time.Second
)

var (
	// errCrashed ends the context of a tab whose renderer died.
	errCrashed = errors.New("the page's process crashed")
	errClosed  = errors.New("the tab was closed")
)

// Tab is one page of the browser, for one PO.
//
// Every PO gets a new tab. Over 200 heavy POs, four at once on two cores, new tabs cost 0.28 s of CPU a PO and never took more than
// 445 MB in all; used again, they cost 0.22 s, but climbed to 1.1 GB, as a page's heap is hardly ever collected before its process
// ends. Memory is what a function pays for, and a new process carries nothing over from one PO to the next.
type Tab struct {
	b      *Browser
	p      *process
	id     target.ID
	page   context.Context         // chromedp's; it outlives ctx until Close
	end    context.CancelCauseFunc // ends page
	ctx    context.Context
	cancel func() // ends ctx
	once   sync.Once
}

// Tab opens a tab for one PO. An error is a RESOURCE_ERROR of ours, or says that ctx ended.
func (b *Browser) Tab(ctx context.Context) (*Tab, error) {
	p, err := b.alive()
	if err != nil {
		return nil, err
	}
	t := &Tab{b: b, p: p}
	if err := t.open(ctx, b.o.BlockedURLs); err != nil {
		return nil, err
	}
	t.lend(ctx)
	p.tabs(+1)
	return t, nil
}

// Context is a chromedp context of the tab. It ends with the context that was given to Browser.Tab, deadline included, with the
// browser, and when the page's process crashes.
func (t *Tab) Context() context.Context { return t.ctx }

// Explain turns the error of work in the tab into a *po.Error that says why the tab ended, if it did: the browser died
// (RESOURCE_ERROR, ours), the page's process crashed (RESOURCE_ERROR), or the time was up (TIMEOUT). Other errors are returned as
// they are. Call it before Close.
func (t *Tab) Explain(err error) error {
	var known *po.Error
	switch {
	case err == nil:
		return nil
	case t.p.dead():
		return resourceError("%w while the PO was worked on", ErrLost)
	case errors.Is(context.Cause(t.ctx), errCrashed):
		return po.Errorf(po.CodeResource, "%w: it may need more memory than there is", errCrashed)
	case errors.As(err, &known) && known.Code == po.CodeTimeout:
		return err // says what was waited for
	case errors.Is(t.ctx.Err(), context.DeadlineExceeded):
		return po.Errorf(po.CodeTimeout, "the PO's time was up: %w", err)
	}
	return err
}

// Close closes the tab and every page that it opened. It is bounded, also when the page hangs, and may be called again.
func (t *Tab) Close() {
	t.once.Do(func() {
		t.b.lately(t.p)
		t.cancel()
		t.discard()
		t.p.tabs(-1)
	})
}

// open opens the page and sets it up.
func (t *Tab) open(ctx context.Context, blocked []string) error {
	opening, stop := context.WithTimeout(ctx, openTimeout)
	defer stop()
	err := t.create(opening)
	if err == nil {
		if err = t.attach(opening, blocked); err == nil {
			return nil
		}
		t.discard()
	}
	switch {
	case t.p.dead():
		return resourceError("opening a tab: %w", ErrLost)
	case ctx.Err() != nil:
		return fmt.Errorf("opening a tab: %w", context.Cause(ctx))
	}
	// It answers, but is of no use: a worker like that fails every PO that it gets.
	t.p.distrust("a tab did not open")
	if opening.Err() != nil {
		return resourceError("a tab did not open within %v", openTimeout)
	}
	return resourceError("opening a tab: %w", err)
}

// create makes the target. chromedp would do that too, but when it is broken off it forgets the target, which then stays.
func (t *Tab) create(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	type answer struct {
		id  target.ID
		err error
	}
	created := make(chan answer, 1)
	go func() {
		call, cancel := context.WithTimeout(t.p.ctx, openTimeout)
		defer cancel()
		// In a window of its own: a tab behind another one is hidden, and a hidden page gets no animation frames.
		result, err := chromedp.CallBrowser(call, target.CreateTarget, target.CreateTargetParams{URL: "about:blank", NewWindow: new(true)})
		created <- answer{result.TargetID, err}
	}()
	select {
	case a := <-created:
		t.id = a.id
		return a.err
	case <-ctx.Done():
		go func() {
			if a := <-created; a.err == nil {
				_ = t.p.closeTargets([]target.ID{a.id})
			}
		}()
		return ctx.Err()
	}
}

// attach connects to the target and sets it up.
func (t *Tab) attach(ctx context.Context, blocked []string) error {
	var life context.Context
	life, t.end = context.WithCancelCause(t.p.ctx)
	t.page, _ = chromedp.NewContext(life, chromedp.WithTargetID(t.id), chromedp.WithListener(t.notice))

	// The connection lives as long as the context that opens it, so that one has no limit, and is ended from outside.
	attached := context.AfterFunc(ctx, func() { t.end(context.Cause(ctx)) })
	err := chromedp.Do(t.page, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		return furnish(ctx, target, blocked)
	}))
	if !attached() {
		return ctx.Err()
	}
	return err
}

// furnish sets a new page up.
func furnish(ctx context.Context, t *chromedp.Target, blocked []string) error {
	// chromedp puts the DOM and CSS domains on. Each element of a page is then an event, and a page with thousands of them floods
	// chromedp's queue until it hangs. Pages are read by Runtime.evaluate, which needs neither.
	if _, err := cdp.Call(ctx, t, dom.Disable, cdp.Empty{}); err != nil {
		return fmt.Errorf("putting the DOM domain off: %w", err)
	}
	if _, err := cdp.Call(ctx, t, css.Disable, cdp.Empty{}); err != nil {
		return fmt.Errorf("putting the CSS domain off: %w", err)
	}
	// A service worker answers from its own store, past the list of blocked URLs, and stays when the page is gone.
	if _, err := cdp.Call(ctx, t, network.SetBypassServiceWorker, network.SetBypassServiceWorkerParams{Bypass: true}); err != nil {
		return fmt.Errorf("bypassing service workers: %w", err)
	}
	if len(blocked) > 0 {
		// cdproto's typed command knows only the newer kind of pattern, which has no "anything" across the parts of a URL.
		params := struct {
			URLs []string `json:"urls"`
		}{blocked}
		if err := t.Call(ctx, network.CommandSetBlockedURLs, params, nil); err != nil {
			return fmt.Errorf("blocking URLs: %w", err)
		}
	}
	return nil
}

// lend makes the context that the PO's work gets, which ends with ctx.
func (t *Tab) lend(ctx context.Context) {
	lent, cancel := context.WithCancelCause(t.page)
	stopTimer := func() {}
	t.ctx = lent
	if deadline, ok := ctx.Deadline(); ok {
		t.ctx, stopTimer = context.WithDeadline(lent, deadline)
	}
	stop := context.AfterFunc(ctx, func() {
		// A deadline is left to the timer above: work that ends for it must see DeadlineExceeded, not Canceled.
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel(context.Cause(ctx))
		}
	})
	t.cancel = func() {
		stop()
		stopTimer()
		cancel(errClosed)
	}
}

// notice is called with every event of the page, and must not wait: chromedp reads the next message only then
// (https://github.com/chromedp/chromedp/issues/805).
func (t *Tab) notice(event any) {
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		go t.answer(e.Type)
	case *inspector.EventTargetCrashed:
		t.end(errCrashed)
	}
}

// answer closes a dialog, which stops the page until somebody does: "no" to the page's own questions, "yes" to leaving it.
func (t *Tab) answer(kind page.DialogType) {
	ctx, cancel := context.WithTimeout(t.page, commandTimeout)
	defer cancel()
	// An error means that the page is gone, and the dialog with it.
	_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{
		Accept: kind == page.DialogTypeBeforeunload,
	})
}

// discard closes the page and those that it opened. If it does not close, its process is crashed: seen with a page that is closed
// in the middle of a navigation to about:blank, which stays for ever otherwise. What even that does not remove is left to Recycle.
func (t *Tab) discard() {
	defer t.end(errClosed)
	targets := append(t.p.openedBy(t.id), t.id)
	if t.p.closeTargets(targets) == nil || t.p.dead() {
		return
	}
	crash, cancel := context.WithTimeout(t.page, closeTabTimeout)
	defer cancel()
	_, _ = chromedp.Call(crash, page.Crash, cdp.Empty{}) // answered by the crash, not by a reply
	if t.p.closeTargets(targets) != nil && !t.p.dead() {
		t.p.distrust("a tab does not close")
	}
}

// openedBy lists the pages that the page opened, and those that these opened.
func (p *process) openedBy(opener target.ID) []target.ID {
	ctx, cancel := context.WithTimeout(p.ctx, closeTabTimeout)
	defer cancel()
	all, err := chromedp.CallBrowser(ctx, target.GetTargets, target.GetTargetsParams{})
	if err != nil {
		return nil
	}
	family := []target.ID{opener}
	for i := 0; i < len(family); i++ {
		for _, t := range all.TargetInfos {
			if t.OpenerID == family[i] && !slices.Contains(family, t.TargetID) {
				family = append(family, t.TargetID)
			}
		}
	}
	return family[1:]
}

// closeTargets closes the targets and waits, within closeTabTimeout, until the browser does not list them any more, which is some
// time after it answered the command.
func (p *process) closeTargets(ids []target.ID) error {
	ctx, cancel := context.WithTimeout(p.ctx, closeTabTimeout)
	defer cancel()
	for _, id := range ids {
		// An error means that the target is gone already, or else shows below.
		_, _ = chromedp.CallBrowser(ctx, target.CloseTarget, target.CloseTargetParams{TargetID: id})
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		all, err := chromedp.CallBrowser(ctx, target.GetTargets, target.GetTargetsParams{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all.TargetInfos, func(t *target.Info) bool { return slices.Contains(ids, t.TargetID) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause): // the event of the end can be missed when it comes before the answer
		}
	}
}
