package portal_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

// signedIn starts the demo portal and returns its profile and a tab in which the demo's user is signed in.
func signedIn(t *testing.T) (*demo.Portal, *portal.Profile, context.Context) {
	t.Helper()
	d := demo.New(demo.Options{})
	server := httptest.NewServer(d)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p, err := portal.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.WithBaseURL(server.URL); err != nil {
		t.Fatal(err)
	}
	ctx := tab(t)
	if alive, err := p.ProbeSession(ctx); err != nil || alive {
		t.Fatalf("before the sign-in: alive %t, %v", alive, err)
	}
	if err := p.SignIn(ctx, demo.DefaultLogin, demo.DefaultPassword); err != nil {
		t.Fatal(err)
	}
	return d, p, ctx
}

func TestTheDemoPortalIsReadAsItsTruthSays(t *testing.T) {
	t.Parallel()
	d, p, ctx := signedIn(t)
	for _, want := range d.Truth() {
		page, err := p.VisitPO(ctx, want.Number)
		if err != nil {
			t.Errorf("%s (%s): %v", want.Number, want.Shape, err)
			continue
		}
		if page.Incomplete != "" && want.Code != po.CodeNetwork { // comments that fail once
			page, err = p.VisitPO(ctx, want.Number)
			if err != nil {
				t.Errorf("%s (%s), once more: %v", want.Number, want.Shape, err)
				continue
			}
		}
		if want.Status == po.NotFound {
			if page.Kind == portal.PagePO || page.Kind == portal.PageUnknown || len(page.Attachments) > 0 {
				t.Errorf("%s (%s): %+v", want.Number, want.Shape, page)
			}
			continue
		}
		found := want.Found
		for _, f := range want.Files {
			if f.Source == po.FromRequisition {
				found--
			}
		}
		if page.Kind != portal.PagePO || len(page.Attachments) != found || page.Supplier != want.Supplier {
			t.Errorf("%s (%s): want %d attachments, supplier %q: %+v", want.Number, want.Shape, found, want.Supplier, page)
		}
		if unreadable := page.Unreadable != ""; unreadable != (want.Code == po.CodeLayout) {
			t.Errorf("%s (%s): unreadable %q", want.Number, want.Shape, page.Unreadable)
		}
		commentsFail := want.Code == po.CodeNetwork && found == len(want.Files)
		if incomplete := page.Incomplete != ""; incomplete != commentsFail {
			t.Errorf("%s (%s): incomplete %q", want.Number, want.Shape, page.Incomplete)
		}
		for _, l := range page.Requisitions {
			requisition, err := p.VisitRequisition(ctx, l)
			switch {
			case err != nil:
				t.Errorf("%s (%s): %v", want.Number, want.Shape, err)
			case want.Code == po.CodePRNotAccessible && requisition.Kind != portal.PageNoAccess,
				want.Code == "" && requisition.Kind != portal.PageRequisition:
				t.Errorf("%s (%s): the requisition is %+v", want.Number, want.Shape, requisition)
			case found < want.Found && len(requisition.Attachments) != want.Found-found:
				t.Errorf("%s (%s): %d attachments of the requisition, want %d", want.Number, want.Shape, len(requisition.Attachments), want.Found-found)
			}
		}
	}
}

func TestAnEndedSessionIsNoticedInBothForms(t *testing.T) {
	t.Parallel()
	d, p, ctx := signedIn(t)
	for form, want := range map[demo.ExpiredForm]portal.PageKind{
		demo.ExpiredRedirect: portal.PageSignIn,
		demo.ExpiredOops:     portal.PageNotFound, // as for a PO that is not there: the probe tells them apart
	} {
		d.SetFaults(demo.Faults{ExpiredAs: form})
		d.ExpireSessions()
		page, err := p.VisitPO(ctx, "PO16900001")
		if err != nil || page.Kind != want {
			t.Errorf("%s: %+v, %v", form, page, err)
		}
		if alive, err := p.ProbeSession(ctx); err != nil || alive {
			t.Errorf("%s: the session is said to live: %v", form, err)
		}
		if err := p.SignIn(ctx, demo.DefaultLogin, demo.DefaultPassword); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		if alive, err := p.ProbeSession(ctx); err != nil || !alive {
			t.Errorf("%s: the session was not renewed: %v", form, err)
		}
		if page, err := p.VisitPO(ctx, "PO16900001"); err != nil || page.Kind != portal.PagePO {
			t.Errorf("%s: after the session was renewed: %+v, %v", form, page, err)
		}
	}
	d.SetFaults(demo.Faults{RefuseSignIn: true})
	d.ExpireSessions()
	if err := p.SignIn(ctx, demo.DefaultLogin, demo.DefaultPassword); po.AsError(err).Code != po.CodeProfile {
		t.Errorf("a refused sign-in: %v", err)
	}
}
