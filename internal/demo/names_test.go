package demo

import (
	"net/http"
	"testing"

	"github.com/purserhq/purser/internal/fetch"
)

func TestTheNamesOfTheTruthAreThoseThatADownloaderGives(t *testing.T) {
	v := signedIn(t, Options{})
	for _, o := range v.portal.catalogue.orders {
		var names fetch.Names
		attachments := o.attachments
		if o.requisition != nil && !o.hasPDF() {
			attachments = append(attachments, o.requisition.attachments...)
		}
		for _, a := range attachments {
			if a.stored == "" || a.place == blobLink {
				continue
			}
			answer, err := v.http.Get(v.base + a.url())
			if err == nil && answer.StatusCode == http.StatusServiceUnavailable {
				answer.Body.Close()
				answer, err = v.http.Get(v.base + a.url())
			}
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if got := names.Unique(fetch.Name(answer.Header.Get("Content-Disposition"), []string{a.label}, a.url())); got != a.stored {
				t.Errorf("%s: %q is named %q, the truth says %q", o.number, a.label, got, a.stored)
			}
		}
	}
}
