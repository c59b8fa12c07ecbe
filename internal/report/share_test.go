package report

import (
	"strings"
	"testing"
)

func TestASharedReportCarriesItsLinksAndNoMarkupOfTheirs(t *testing.T) {
	page := []byte(`<body><script type="application/json" id="words">{}</script></body>`)
	got, err := Shared(page, map[string]string{"download/j/</script><b>.pdf": "https://bucket.example/x?a=1&b=2"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), `id="links">{"`) || strings.Contains(string(got), "<b>") || !strings.HasSuffix(string(got), string(page[6:])) {
		t.Errorf("%s", got)
	}
	if _, err := Shared([]byte("<html>"), nil); err == nil {
		t.Error("any page was taken for a report")
	}
}
