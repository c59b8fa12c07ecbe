package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/fetch"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

// harvest is what one try brings home of one PO.
type harvest struct {
	b    *batch
	v    *visitor
	task task
	dir  string

	serial   int // of the session that is used
	page     portal.Page
	notFound bool     // proved: the session was alive
	found    int      // attachments that the pages offer
	files    []stored // those that were had
	missed   []error  // why others were not
	prError  error    // a requisition that cannot be opened
	evidence []string
}

// stored is a file in the spool, and where it came from.
type stored struct {
	fetch.File
	source   string
	sourceID string
	order    int // in which the pages show it
}

// wanted is an attachment, and where it stands.
type wanted struct {
	portal.Attachment
	source, sourceID, referer string
	order                     int
}

// collect reads the PO's page and fetches what it offers, then the requisition's when PR_FALLBACK wants it. free gives the
// worker back as soon as no page is needed any more.
func (h *harvest) collect(ctx context.Context, free func()) error {
	tab, err := h.v.browser.Tab(ctx)
	if err != nil {
		return err
	}
	closed := false
	closeTab := func() {
		if !closed {
			closed = true
			tab.Close()
		}
	}
	defer closeTab()

	if err := h.open(ctx, tab); err != nil || h.notFound {
		return err
	}
	fault("page", string(h.task.PO))
	list, err := h.clicks(ctx, tab, h.offered(h.page, po.FromPO, h.page.Number))
	if err != nil {
		return err
	}
	pageDone := func() { closeTab(); free() }
	switch fallback := h.b.d.Settings.PRFallback; {
	case len(h.page.Requisitions) == 0 || fallback == config.PRNone || fallback == config.PRMissing && speaksOfPDF(list):
		pageDone()
		return h.fetchAll(ctx, list)
	case fallback == config.PRAlways || len(list) == 0 && !h.hasPDF():
		more, err := h.requisitions(ctx, tab)
		pageDone()
		if err != nil {
			return err
		}
		return h.fetchAll(ctx, append(list, more...))
	}
	// Only the files themselves tell whether a PDF is among them.
	if err := h.fetchAll(ctx, list); err != nil || h.hasPDF() {
		return err
	}
	list, err = h.requisitions(ctx, tab)
	pageDone()
	if err != nil {
		return err
	}
	return h.fetchAll(ctx, list)
}

// open reads the PO's page.
func (h *harvest) open(ctx context.Context, tab *browser.Tab) error {
	asked := time.Now()
	page, err := h.b.d.Profile.VisitPO(tab.Context(), h.task.PO)
	if err != nil {
		return tab.Explain(err)
	}
	h.page = page
	switch page.Kind {
	case portal.PagePO:
		h.v.sawAlive(asked)
		if page.Unreadable != "" {
			h.keepEvidence(ctx, tab)
		}
		return h.stillAlive(ctx, page)
	case portal.PageSignIn:
		h.v.expire(h.serial)
		return errSessionEnded
	case portal.PageNotFound, portal.PageNoAccess: // an expired session shows the same
		return h.proveNotFound(ctx, asked)
	case portal.PageOther:
		h.page.Reason = fmt.Sprintf("the portal shows another document in its place (%s)", cmp.Or(page.Number, "without a number"))
		return h.proveNotFound(ctx, asked)
	}
	h.keepEvidence(ctx, tab)
	return kindError(page)
}

// stillAlive asks whether the session ended between a page and its parts, when parts are missing: the page of an order is shown
// then, and its comments are not.
func (h *harvest) stillAlive(ctx context.Context, page portal.Page) error {
	if page.Incomplete == "" && page.Unreadable == "" {
		return nil
	}
	alive, err := h.v.aliveSince(ctx, h.serial, time.Now())
	if err == nil && !alive {
		h.v.expire(h.serial)
		return errSessionEnded
	}
	return err
}

// proveNotFound believes the page only when the session was alive as it was asked for.
func (h *harvest) proveNotFound(ctx context.Context, asked time.Time) error {
	alive, err := h.v.aliveSince(ctx, h.serial, asked)
	if err != nil {
		return err
	}
	if !alive {
		h.v.expire(h.serial)
		return errSessionEnded
	}
	h.notFound = true
	return nil
}

// offered lists what a page offers.
func (h *harvest) offered(p portal.Page, source, id string) []wanted {
	list := make([]wanted, len(p.Attachments))
	for i, a := range p.Attachments {
		list[i] = wanted{Attachment: a, source: source, sourceID: id, referer: p.URL, order: h.found + i}
	}
	h.found += len(list)
	return list
}

// requisitions reads the pages of the PO's requisitions. One that cannot be opened costs no PO file.
func (h *harvest) requisitions(ctx context.Context, tab *browser.Tab) ([]wanted, error) {
	var list []wanted
	for _, link := range h.page.Requisitions {
		page, err := h.b.d.Profile.VisitRequisition(tab.Context(), link)
		if err != nil {
			err = tab.Explain(err)
			var e *po.Error
			if po.PortalWide(err) || ctx.Err() != nil || errors.As(err, &e) && e.Ours {
				return nil, err
			}
			h.prError = err
			continue
		}
		if page.Kind == portal.PageSignIn {
			h.v.expire(h.serial)
			return nil, errSessionEnded
		}
		if page.Kind != portal.PageRequisition {
			h.prError = fmt.Errorf("requisition %s cannot be opened: %s", link.ID, page.Reason)
			continue
		}
		if err := h.stillAlive(ctx, page); err != nil {
			return nil, err
		}
		if page.Incomplete != "" {
			h.missed = append(h.missed, incomplete("requisition "+link.ID+": "+page.Incomplete))
		}
		more, err := h.clicks(ctx, tab, h.offered(page, po.FromRequisition, link.ID))
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// fetchAll gets the attachments over HTTP, all at once; the client bounds how many the portal sees.
func (h *harvest) fetchAll(ctx context.Context, list []wanted) error {
	type answer struct {
		file fetch.File
		err  error
	}
	answers := make([]answer, len(list))
	var wg sync.WaitGroup
	for i, w := range list {
		wg.Go(func() {
			select {
			case h.b.d.transfers <- struct{}{}:
				defer func() { <-h.b.d.transfers }()
			case <-ctx.Done():
				answers[i].err = ctx.Err()
				return
			}
			f, err := h.v.fetch.Get(ctx, fetch.Request{URL: w.URL, Labels: labels(w), Referer: w.referer, Dir: h.dir})
			answers[i] = answer{f, err}
		})
	}
	wg.Wait()
	for i, a := range answers {
		if a.err == nil {
			h.v.fileCame()
			h.files = append(h.files, list[i].had(a.file))
			continue
		}
		if err := h.miss(ctx, a.err); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// clicks gets the attachments that have no URL, while their page is open, and returns the others.
func (h *harvest) clicks(ctx context.Context, tab *browser.Tab, list []wanted) ([]wanted, error) {
	var rest []wanted
	for _, w := range list {
		if w.Click == nil {
			rest = append(rest, w)
			continue
		}
		f, err := h.v.fetch.Click(tab.Context(), w.Click.Script, labels(w), h.dir)
		if err == nil {
			h.files = append(h.files, w.had(f))
			continue
		}
		if err := h.miss(ctx, tab.Explain(err)); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// miss notes why a file was not had. Portal-wide trouble ends the try, and so does a session that ended.
func (h *harvest) miss(ctx context.Context, err error) error {
	var e *po.Error
	if err = h.v.fileFailed(h.task.PO, err); po.PortalWide(err) || ctx.Err() != nil || errors.As(err, &e) && e.Ours {
		return err
	}
	if fetch.SessionSuspect(err) {
		alive, probeErr := h.v.aliveSince(ctx, h.serial, time.Now())
		if probeErr != nil {
			return probeErr
		}
		if !alive {
			h.v.expire(h.serial)
			return errSessionEnded
		}
	}
	h.missed = append(h.missed, err)
	return nil
}

// had is the attachment once it lies in the spool.
func (w wanted) had(f fetch.File) stored {
	return stored{File: f, source: w.source, sourceID: w.sourceID, order: w.order}
}

func labels(w wanted) []string {
	if w.Label == "" {
		return nil
	}
	return []string{w.Label}
}

// speaksOfPDF tells from labels and addresses whether a PDF is among the attachments, before any is fetched.
func speaksOfPDF(list []wanted) bool {
	for _, w := range list {
		address, _, _ := strings.Cut(w.URL, "?")
		if isPDF(w.Label) || isPDF(address) {
			return true
		}
	}
	return false
}

func (h *harvest) hasPDF() bool {
	for _, f := range h.files {
		if isPDF(f.Name) || f.ContentType == "application/pdf" {
			return true
		}
	}
	return false
}

func isPDF(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".pdf") }

// incomplete is a list of attachments that may lack some, since a part of the page did not load.
func incomplete(reason string) error {
	return &po.Error{Code: po.CodeNetwork, Text: reason, Retry: true}
}

// worthAnother is the reason for which another try may bring more, nil when this one's outcome is to stand: all is here, or
// nothing more can come. In the last try, what is here stands; a PO of which nothing is here has failed by that reason.
func (h *harvest) worthAnother(left bool) error {
	if h.notFound || !left && len(h.files) > 0 {
		return nil
	}
	if h.page.Unreadable != "" {
		return &po.Error{Code: po.CodeLayout, Text: h.page.Unreadable, Retry: true}
	}
	if h.page.Incomplete != "" {
		return incomplete(h.page.Incomplete)
	}
	for _, err := range h.missed {
		if po.Retryable(err) {
			return err
		}
	}
	if left && po.Retryable(h.prError) {
		return h.prError
	}
	return nil
}

// judge gives the try its final status.
func (h *harvest) judge(r *po.Result) {
	var why []string
	code := po.ErrorCode("")
	note := func(c po.ErrorCode, text string) {
		if code == "" {
			code = c
		}
		why = append(why, text)
	}
	if h.notFound {
		r.Status, r.Code, r.Message = po.NotFound, po.CodeNotFound, h.page.Reason
		return
	}
	for _, err := range h.missed {
		e := po.AsError(err)
		note(e.Code, message(e))
	}
	if h.page.Incomplete != "" {
		note(po.CodeNetwork, h.page.Incomplete)
	}
	if h.page.Unreadable != "" {
		note(po.CodeLayout, h.page.Unreadable)
	}
	if h.prError != nil {
		note(po.CodePRNotAccessible, strings.TrimPrefix(h.prError.Error(), string(po.CodePRNotAccessible)+": "))
	}
	r.Code, r.Message = code, cut(strings.Join(why, "; "), 500)
	switch {
	case len(why) == 0 && len(h.files) == 0:
		r.Status = po.NoAttachments
	case len(why) == 0:
		r.Status = po.Completed
	case len(h.files) > 0:
		r.Status = po.Partial
	case code == po.CodePRNotAccessible:
		r.Status = po.PRNotAccessible
	default:
		r.Status = po.Failed
	}
}

// fill puts what the page said into the result.
func (h *harvest) fill(r *po.Result) {
	if r.Supplier == "" {
		r.Supplier = h.page.Supplier
	}
	r.Found = h.found
	r.Evidence = h.evidence
}

// keepEvidence stores the page as it is: whoever mends the profile needs to see it.
func (h *harvest) keepEvidence(ctx context.Context, tab *browser.Tab) {
	html, png, err := h.b.d.Profile.Evidence(tab.Context())
	if err != nil {
		h.b.log.WithError(err).Warn("keeping the page as evidence failed")
		return
	}
	for _, e := range []struct {
		name, contentType string
		body              []byte
	}{{"page.html", "text/html; charset=utf-8", html}, {"page.png", "image/png", png}} {
		if len(e.body) == 0 {
			continue
		}
		key := archive.EvidenceKey(h.task.Job, h.task.PO, e.name)
		if err := h.b.d.Archive.Put(ctx, key, e.contentType, e.body); err != nil {
			h.b.log.WithError(err).Warn("keeping the page as evidence failed")
			continue
		}
		h.evidence = append(h.evidence, key)
	}
}
