package portal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/purserhq/purser/internal/portal"
)

func TestAPageIsReadOnceItsCommentsAreThere(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!DOCTYPE html><html data-controller="order_headers" data-action="show" data-id="16900001"><title>Purchase Order #PO16900001</title>
<body><div id="s-mountCommentsApp"></div><a href="/attachment/attachment_file/file/1/a.pdf">a</a><script>setTimeout(()=>{document.querySelector("#s-mountCommentsApp").innerHTML="<p>x</p>"},100)</script>`)
	}))
	defer srv.Close()
	p, err := portal.Load("coupa")
	if err != nil {
		t.Fatal(err)
	}
	p, err = p.WithBaseURL(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	page, err := p.VisitPO(tab(t), "PO16900001")
	t.Logf("%+v %v", page, err)
}
