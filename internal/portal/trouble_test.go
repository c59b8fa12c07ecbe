package portal_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

// serveFunc starts a portal that answers by f, and returns the profile for it.
func serveFunc(t *testing.T, f http.HandlerFunc) (*portal.Profile, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p, err := portal.Load("testdata/hasty.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.WithBaseURL(server.URL); err != nil {
		t.Fatal(err)
	}
	return p, server
}

func TestAPortalThatCannotAnswerIsToldFromAPOThatCannot(t *testing.T) {
	home := func(w http.ResponseWriter) {
		_, _ = w.Write([]byte(`<title>Home</title><div id="user-menu">Buyer</div>`))
	}
	fail := func(status int, retryAfter, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	abort := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	for _, c := range []struct {
		name       string
		po, home   func(http.ResponseWriter)
		wide       bool
		after      time.Duration
		errorTells string
	}{
		{"429 asks to be left alone", fail(429, "120", "slow down"), home, true, 2 * time.Minute, "429"},
		{"503 with a date", fail(503, "Wed, 21 Oct 2099 07:28:00 GMT", "down"), home, true, 0, "503"},
		{"503 without a body", fail(503, "7", ""), home, true, 7 * time.Second, "503"},
		{"500 of one page alone", fail(500, "", "error"), home, false, 0, "500"},
		{"500 everywhere", fail(500, "", "error"), fail(500, "", "error"), true, 0, "500"},
		{"502 without a body, everywhere", fail(502, "", ""), fail(502, "", ""), true, 0, "502"},
		{"a connection that breaks for one page", abort, home, false, 0, "ERR_EMPTY_RESPONSE"},
		{"a connection that breaks everywhere", abort, abort, true, 0, "ERR_EMPTY_RESPONSE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, _ := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					c.home(w)
					return
				}
				c.po(w)
			})
			_, err := p.VisitPO(tab(t), "PO16900001")
			var e *po.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is not a *po.Error", err)
			}
			if e.Code != po.CodeNetwork || !e.Retry || e.Wide != c.wide {
				t.Errorf("%v: code %s, retry %t, wide %t", err, e.Code, e.Retry, e.Wide)
			}
			if c.name != "503 with a date" && e.After != c.after {
				t.Errorf("to be left alone for %s, want %s", e.After, c.after)
			}
			if c.name == "503 with a date" && e.After < 24*time.Hour {
				t.Errorf("to be left alone for %s, want decades", e.After)
			}
			if !strings.Contains(err.Error(), c.errorTells) {
				t.Errorf("%q does not tell %q", err, c.errorTells)
			}
		})
	}
}

func TestAPortalThatIsNotThereConcernsAllPOs(t *testing.T) {
	p, server := serveFunc(t, http.NotFound)
	server.Close()
	_, err := p.VisitPO(tab(t), "PO16900001")
	if !po.PortalWide(err) || !strings.Contains(err.Error(), "CONNECTION_REFUSED") {
		t.Errorf("%v", err)
	}
}

func TestAStatusWithoutAPageIsJudgedByItsMarker(t *testing.T) {
	for status, want := range map[int]portal.PageKind{
		http.StatusNotFound: portal.PageNotFound, http.StatusForbidden: portal.PageNoAccess,
		http.StatusUnauthorized: portal.PageSignIn, http.StatusTeapot: portal.PageUnknown,
	} {
		p, _ := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		page, err := p.VisitPO(tab(t), "PO16900001")
		if err != nil || page.Kind != want || page.Status != status {
			t.Errorf("%d: %+v, %v; want %s", status, page, err, want)
		}
	}
}

func TestAPageThatHangsIsATimeout(t *testing.T) {
	asked := make(chan struct{})
	release := make(chan struct{})
	defer close(release)
	p, _ := serveFunc(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	ctx, cancel := context.WithTimeout(tab(t), 2*time.Second)
	defer cancel()
	_, err := p.VisitPO(ctx, "PO16900001")
	<-asked
	var e *po.Error
	if !errors.As(err, &e) || e.Code != po.CodeTimeout || !e.Retry || e.Wide {
		t.Errorf("%v", err)
	}
}

func TestATabThatIsTakenAwayIsNoTimeout(t *testing.T) {
	ctx, cancel := context.WithCancelCause(tab(t))
	gone := errors.New("the browser died")
	p, _ := serveFunc(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(gone)
		<-r.Context().Done()
	})
	_, err := p.VisitPO(ctx, "PO16900001")
	if !errors.Is(err, gone) || po.AsError(err).Code == po.CodeTimeout {
		t.Errorf("%v", err)
	}
	if _, err := p.ProbeSession(ctx); !errors.Is(err, gone) || po.PortalWide(err) {
		t.Errorf("the portal is blamed: %v", err)
	}
}

func TestAWrongSelectorIsTheProfilesFault(t *testing.T) {
	p, err := portal.Parse([]byte("name: wrong\nextends: coupa\nbase_url: http://x\nsupplier:\n  - {selector: 'span:is-there'}\n"), "wrong.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakePortal{file: "testdata/pages/header-list.html"}
	_, base := serve(t, f, "coupa")
	if p, err = p.WithBaseURL(base); err != nil {
		t.Fatal(err)
	}
	_, err = p.VisitPO(tab(t), "PO16900001")
	if po.AsError(err).Code != po.CodeProfile || !po.PortalWide(err) || !strings.Contains(err.Error(), "span:is-there") {
		t.Errorf("%v", err)
	}
}

func TestAProfileWithoutAnAddressSaysWhatToSet(t *testing.T) {
	p, err := portal.Load("coupa")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.VisitPO(t.Context(), "PO16900001")
	if err == nil || !strings.Contains(err.Error(), "PORTAL_BASE_URL") {
		t.Errorf("%v", err)
	}
}

func TestARequisitionOnAnotherHostIsNotOpened(t *testing.T) {
	p, _ := serveFunc(t, http.NotFound)
	_, err := p.VisitRequisition(t.Context(), portal.Link{ID: "1", URL: "http://169.254.169.254/requisition_headers/1"})
	if po.AsError(err).Code != po.CodePRNotAccessible {
		t.Errorf("%v", err)
	}
}
