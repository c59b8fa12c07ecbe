// Package portal knows what a procurement portal looks like. A Profile, written in YAML, says where a PO's page is, how to
// prove that a page is the one asked for, where its attachments stand, and how a missing page, a sign-in page or an error
// looks. The package visits a page in a browser tab, waits until it is ready, reads it in one evaluation, and says what it
// is. It never guesses: a page that speaks of attachments which no rule can read is reported as such.
package portal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/purserhq/purser/internal/po"
)

// VisitPO opens the PO's page in the tab, a chromedp context with a deadline, and reads it. What the portal answered, also "not
// found" or "sign in", is the Page's Kind; an error means that no answer was had: a NETWORK_ERROR when the portal could not be
// reached or answered 429 or 5xx, a TIMEOUT when the tab's deadline passed, an error that wraps the cause of the tab's end when
// it ended otherwise. 429, a Retry-After and a portal that cannot be reached concern the whole portal; any other such error does when
// the page of ProbeSession fails as well, else it is this PO's own.
func (p *Profile) VisitPO(tab context.Context, n po.Number) (Page, error) {
	return p.visitDocument(tab, p.POURL(n), p.askDocument(PagePO, n.Digits(), p.PO))
}

// VisitRequisition opens and reads a requisition's page as VisitPO does a PO's.
func (p *Profile) VisitRequisition(tab context.Context, l Link) (Page, error) {
	if u, err := url.Parse(l.URL); err != nil || !p.Allowed(u) {
		return Page{}, &po.Error{Code: po.CodePRNotAccessible, Text: fmt.Sprintf("the link to requisition %s leads away from the portal", l.ID)}
	}
	return p.visitDocument(tab, l.URL, p.askDocument(PageRequisition, l.ID, p.Requisition))
}

// ProbeSession opens a page that exists for everyone who is signed in, and tells whether it shows the signed-in marker.
func (p *Profile) ProbeSession(tab context.Context) (bool, error) {
	v, err := p.open(tab, p.Base+p.Session.URL)
	if err != nil {
		return false, everyone(err)
	}
	defer v.close()
	q := p.ask(kindSignedIn, "")
	q.SignedIn = p.Session.SignedIn
	a, err := v.ask(q)
	if err != nil {
		return false, everyone(err)
	}
	return a.Kind == kindSignedIn, nil
}

// everyone is the error of a page that exists for everyone: when the network fails it, it fails the portal.
func everyone(err error) error {
	var e *po.Error
	if errors.As(err, &e) && e.Code == po.CodeNetwork {
		e.Wide = true
	}
	return err
}

// visitDocument visits a page that may be broken for itself alone: when it fails, the probe's page tells whether the portal does.
func (p *Profile) visitDocument(tab context.Context, address string, q question) (Page, error) {
	page, err := p.read(tab, address, q)
	var e *po.Error
	if errors.As(err, &e) && e.Code == po.CodeNetwork && !e.Wide {
		_, probe := p.ProbeSession(tab)
		e.Wide = po.PortalWide(probe)
	}
	return page, err
}

// read opens the page and puts the question to it, again when a script of the page turns out to have asked for more meanwhile.
func (p *Profile) read(tab context.Context, address string, q question) (Page, error) {
	start := time.Now()
	v, err := p.open(tab, address)
	if err != nil {
		return Page{}, err
	}
	defer v.close()
	patience := time.Duration(0)
	for _, l := range q.Late {
		patience = max(patience, l.Timeout.Duration)
	}
	limited, stop := context.WithDeadline(v.ctx, start.Add(patience))
	defer stop()
	for {
		a, err := v.ask(q)
		if err != nil {
			return Page{}, err
		}
		page := a.page()
		if a.Kind != q.Kind {
			return page, nil
		}
		waited, err := v.watch.requestsDone(limited, q.late)
		switch {
		case err != nil && v.ctx.Err() != nil:
			return Page{}, v.failed(err)
		case err != nil:
			page.Incomplete = cmp.Or(page.Incomplete, fmt.Sprintf("the page was still loading parts after %s", patience))
			return page, nil
		case !waited:
			return page, nil
		}
	}
}

// late tells whether a part that is waited for asks for the URL.
func (q question) late(address string) bool {
	for _, l := range q.Late {
		if l.Requests != "" && regexp.MustCompile("(?i)"+l.Requests).MatchString(address) {
			return true
		}
	}
	return false
}

// visit is one navigation of a tab and whatever the tab shows after it, until it is closed.
type visit struct {
	profile *Profile
	tab     context.Context // ends when the caller's does
	ctx     context.Context // ends with the visit too
	close   context.CancelFunc
	address string
	watch   *watch
	loader  cdp.LoaderID
	context string // the script context of the last answer
	bare    int    // the HTTP status, when the answer came without a page
}

// open sends the tab to the address.
func (p *Profile) open(tab context.Context, address string) (*visit, error) {
	if p.Base == "" {
		e := po.Errorf(po.CodeProfile, "the profile %s has no base URL: set PORTAL_BASE_URL to the portal's address", p.Name)
		e.Wide = true
		return nil, e
	}
	ctx, stop := context.WithCancel(tab)
	v := &visit{profile: p, tab: tab, ctx: ctx, close: stop, address: address}
	err := v.navigate()
	if err != nil {
		stop()
		return nil, err
	}
	return v, nil
}

func (v *visit) navigate() error {
	var err error
	if v.watch, err = watchTab(v.ctx); err != nil {
		return v.failed(err)
	}
	result, err := chromedp.Call(v.ctx, page.Navigate, page.NavigateParams{URL: v.address})
	if err != nil {
		return v.failed(err)
	}
	v.loader = result.LoaderID
	if result.ErrorText == "" {
		return nil
	}
	// An error status with an empty body is shown as the browser's own error page.
	d := v.watch.answer(v.loader)
	if v.bare = d.status(); v.bare >= 400 {
		return v.refused(d)
	}
	e := po.Errorf(po.CodeNetwork, "opening %s failed: %s", v.address, result.ErrorText)
	for _, text := range []string{"REFUSED", "NAME_NOT_RESOLVED", "ADDRESS_UNREACHABLE", "INTERNET_DISCONNECTED", "CERT", "SSL", "PROXY", "TUNNEL"} {
		e.Wide = e.Wide || strings.Contains(result.ErrorText, text)
	}
	if strings.Contains(result.ErrorText, "BLOCKED_BY_CLIENT") {
		e = po.Errorf(po.CodeProfile, "the profile's block list keeps %s from loading", v.address)
		e.Wide = true
	}
	return e
}

// refused is the error for a document that says that the portal cannot answer now, nil when the page itself must say what it
// is. The whole portal is concerned when it asks to be left alone; another error may be this one page's own.
func (v *visit) refused(d document) error {
	status := d.status()
	if status != 429 && status < 500 {
		return nil
	}
	e := po.Errorf(po.CodeNetwork, "the portal answered %d to %s", status, v.address)
	e.After = d.retryAfter()
	e.Wide = status == 429 || e.After > 0
	return e
}

// ask puts the question to the page, again when the page is replaced meanwhile, as by a script that redirects.
func (v *visit) ask(q question) (answer, error) {
	if v.bare != 0 {
		return q.byStatus(v.bare, v.address), nil
	}
	var gone string
	for {
		d, err := v.watch.document(v.ctx, v.loader, gone)
		if err != nil {
			return answer{}, v.failed(err)
		}
		if err := v.refused(d); err != nil {
			return answer{}, err
		}
		q.Status = d.status()
		expression, err := q.expression()
		if err != nil {
			return answer{}, err
		}
		data, err := v.evaluate(d.context, expression)
		var replaced *cdproto.Error
		if errors.As(err, &replaced) && v.ctx.Err() == nil {
			gone = d.context
			continue
		}
		if err != nil {
			return answer{}, v.failed(err)
		}
		v.context = d.context
		a, err := readAnswer(data)
		if err != nil {
			return answer{}, po.Errorf(po.CodeLayout, "%s: %w", v.address, err)
		}
		a.retryAfter = d.retryAfter()
		return a, nil
	}
}

// evaluate runs the expression in the script context and returns its value, awaited, as JSON.
func (v *visit) evaluate(scriptContext, expression string) (json.RawMessage, error) {
	yes := true
	result, err := chromedp.Call(v.ctx, runtime.Evaluate, runtime.EvaluateParams{
		Expression: expression, UniqueContextID: scriptContext, AwaitPromise: &yes, ReturnByValue: &yes,
	})
	if err != nil {
		return nil, err
	}
	if details := result.ExceptionDetails; details != nil {
		text := details.Text
		if details.Exception != nil {
			text, _, _ = strings.Cut(details.Exception.Description, "\n")
		}
		if strings.Contains(text, "the profile's selector") {
			e := po.Errorf(po.CodeProfile, "%s", strings.TrimPrefix(text, "Error: "))
			e.Wide = true
			return nil, e
		}
		return nil, po.Errorf(po.CodeLayout, "reading %s failed: %s", v.address, text)
	}
	return json.RawMessage(result.Result.Value), nil
}

// failed is the error of work in the tab: a TIMEOUT when the tab's deadline passed, else as it is, for whoever owns the tab knows
// why it ended.
func (v *visit) failed(err error) error {
	var known *po.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(v.tab.Err(), context.DeadlineExceeded):
		return po.Errorf(po.CodeTimeout, "%s was not ready in time: %w", v.address, v.tab.Err())
	case v.tab.Err() != nil:
		return fmt.Errorf("the tab ended while %s was open: %w", v.address, context.Cause(v.tab))
	}
	return fmt.Errorf("visiting %s: %w", v.address, err)
}

// byStatus is the answer of a page that has nothing but a status.
func (q question) byStatus(status int, address string) answer {
	a := answer{Kind: PageUnknown, URL: address, Status: status, Reason: fmt.Sprintf("the portal answered %d without a page", status)}
	for _, group := range []struct {
		kind    PageKind
		markers []Marker
	}{
		{PageSignIn, q.Markers.SignIn},
		{PageNotFound, q.Markers.NotFound},
		{PageNoAccess, q.Markers.NoAccess},
		{PageError, q.Markers.Error},
	} {
		if slices.Contains(group.markers, Marker{Status: status}) {
			a.Kind = group.kind
			break
		}
	}
	return a
}
