package portal_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakePortal serves one page of testdata/pages at every PO's and requisition's address, and what the pages ask for.
type fakePortal struct {
	file     string
	status   int    // of the page, 200 when 0
	redirect string // in place of the page
	done     chan struct{}
	tries    chan struct{}
}

func (f *fakePortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch {
	case strings.HasPrefix(path, "/order_headers/"), strings.HasPrefix(path, "/requisition_headers/"):
		if f.redirect != "" {
			http.Redirect(w, r, strings.Replace(f.redirect, "PORT", r.Host[strings.LastIndex(r.Host, ":")+1:], 1), http.StatusFound)
			return
		}
		body, err := os.ReadFile(f.file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if f.status != 0 {
			w.WriteHeader(f.status)
		}
		_, _ = w.Write(body)
	case path == "/hang", path == "/comments/hang":
		select {
		case <-r.Context().Done():
		case <-f.done:
		}
	case path == "/comments/reset":
		panic(http.ErrAbortHandler)
	case path == "/comments/500":
		w.WriteHeader(http.StatusInternalServerError)
	case path == "/comments/500-once":
		select {
		case f.tries <- struct{}{}:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			fmt.Fprint(w, `<p>No comments.</p>`)
		}
	case path == "/comments/slow":
		select { // longer than what stands there already is left to settle
		case <-time.After(500 * time.Millisecond):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, `<div class="commentAttachments"><ul class="attachments__list"><li class="attachmentFile"><a href="/attachment/attachment_file/file/3/Slow.pdf" target="_blank" title="Slow.pdf">Slow.pdf</a></li></ul></div>`)
	case strings.HasPrefix(path, "/frames/"):
		http.ServeFile(w, r, "testdata"+path)
	case path == "/sessions/new", path == "/idp":
		fmt.Fprint(w, `<title>Sign In</title><form><input name="user[login]"><input type="password" name="user[password]"></form>`)
	case path == "/":
		fmt.Fprint(w, `<title>Home</title><div id="user-menu">Buyer</div>`)
	default:
		http.NotFound(w, r)
	}
}

// serve starts the portal and returns the profile for it.
func serve(t *testing.T, f *fakePortal, profile string) (*portal.Profile, string) {
	t.Helper()
	f.done, f.tries = make(chan struct{}), make(chan struct{}, 1)
	server := httptest.NewServer(f)
	t.Cleanup(func() { close(f.done); server.CloseClientConnections(); server.Close() })
	p, err := portal.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.WithBaseURL(server.URL); err != nil {
		t.Fatal(err)
	}
	return p, server.URL
}

func TestEveryPageIsReadForWhatItIs(t *testing.T) {
	special := map[string]struct {
		ask         po.Number // PO16900001 when empty
		requisition string    // its id, when a requisition is asked for
		portal      fakePortal
		profile     string
	}{
		"prefix-pm":                  {ask: "PM15492200"},
		"missing-404":                {portal: fakePortal{status: http.StatusNotFound}},
		"oops":                       {portal: fakePortal{status: http.StatusNotFound}},
		"forbidden-403":              {portal: fakePortal{status: http.StatusForbidden}},
		"redirect-to-sign-in":        {portal: fakePortal{redirect: "/sessions/new?return_to=secret"}},
		"redirect-to-a-foreign-host": {portal: fakePortal{redirect: "http://localhost:PORT/idp"}},
		"requisition":                {requisition: "7700023"},
		"requisition-shows-another":  {requisition: "7700023"},
		"comments-never-come":        {profile: "testdata/impatient.yaml"},
		"comments-second-page-hangs": {profile: "testdata/impatient.yaml"},
	}
	files, err := filepath.Glob("testdata/pages/*.html")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".html")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := special[name]
			c.portal.file = file
			if c.profile == "" {
				c.profile = "testdata/hasty.yaml"
			}
			p, base := serve(t, &c.portal, c.profile)
			var page portal.Page
			if c.requisition != "" {
				page, err = p.VisitRequisition(tab(t), portal.Link{ID: c.requisition, URL: base + "/requisition_headers/" + c.requisition})
			} else {
				if c.ask == "" {
					c.ask = "PO16900001"
				}
				page, err = p.VisitPO(tab(t), c.ask)
			}
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".html")+".json", page, base)
		})
	}
}

func TestAPageOfManyElementsIsReadLikeAnyOther(t *testing.T) {
	rows := strings.Repeat("<p>one of many<b></b></p>\n", 6000)
	p, _ := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><html data-controller="order_headers" data-action="show" data-id="16900001"><title>Purchase Order #PO16900001</title>
%s<div id="s-mountCommentsApp"></div><a href="/attachment/attachment_file/file/1/a.pdf">a.pdf</a>
<script>document.getElementById("s-mountCommentsApp").innerHTML = %q;</script>`, rows, rows)
	})
	ctx := tab(t)
	for range 3 {
		page, err := p.VisitPO(ctx, "PO16900001")
		if err != nil || page.Kind != portal.PagePO || len(page.Attachments) != 1 || page.Incomplete != "" {
			t.Fatalf("%+v, %v", page, err)
		}
	}
}

// golden compares the page with what the file holds; the server's address stands in it as http://portal.
func golden(t *testing.T, file string, page portal.Page, base string) {
	t.Helper()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(page); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(address.Host, "portal", "localhost:"+address.Port(), "elsewhere").Replace(got.String())
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("the page was read differently (-want +got):\n%s", diff)
	}
}
