package portal

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"kind":"po","number":"PO1","url":"https://x/order_headers/1","attachments":[{"url":"https://x/a","label":"a.pdf","rule":"r"},{"click":3,"label":"b"},{"label":"neither"},{"url":"::"}],"requisitions":[{"id":"7","url":"https://x/r/7"}]}`))
	f.Add([]byte(`{"kind":"form","fields":{"user":true}}`))
	f.Add([]byte(`{"kind":"po","attachments":[{"click":-1}],"status":1e3}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readAnswer(data)
		if err != nil {
			return
		}
		p := a.page()
		for _, at := range p.Attachments {
			if (at.URL == "") == (at.Click == nil) {
				t.Errorf("an attachment needs either an address or a click: %+v", at)
			}
			if !utf8.ValidString(at.Label) || utf8.RuneCountInString(at.Label) > maxText {
				t.Errorf("label %q", at.Label)
			}
		}
		if len(p.Attachments) < len(a.Attachments) && p.Unreadable == "" {
			t.Error("attachments were dropped without a word")
		}
		if len(p.Attachments) > maxAttachments {
			t.Errorf("%d attachments", len(p.Attachments))
		}
	})
}

func TestAnAnswerOfNoKnownKindIsRefused(t *testing.T) {
	for _, data := range []string{``, `null`, `{}`, `{"kind":"hacked"}`, `[1]`, `{"kind":"po","attachments":7}`} {
		if a, err := readAnswer([]byte(data)); err == nil {
			t.Errorf("%s was taken as %+v", data, a)
		}
	}
}

func TestAPageWithTooManyAttachmentsSaysSo(t *testing.T) {
	a, err := readAnswer([]byte(`{"kind":"po","attachments":[` + strings.Repeat(`{"url":"https://x/a"},`, maxAttachments) + `{"url":"https://x/a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := a.page()
	if len(p.Attachments) != maxAttachments || !strings.Contains(p.Unreadable, "5001") {
		t.Errorf("%d attachments, %q", len(p.Attachments), p.Unreadable)
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	const date = "Wed, 21 Oct 2026 07:28:00 GMT"
	for after, want := range map[string]time.Duration{
		"120":                           2 * time.Minute,
		" 7 ":                           7 * time.Second,
		"Wed, 21 Oct 2026 07:30:00 GMT": 2 * time.Minute,
		"Wed, 21 Oct 2026 07:00:00 GMT": 0,
		"-5":                            0,
		"soon":                          0,
		"":                              0,
		"99999999999999999999":          0,
	} {
		if got := parseRetryAfter(after, date); got != want {
			t.Errorf("%q: %s, want %s", after, got, want)
		}
	}
}

func TestRedactingTakesOutWhatLooksSecretAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		`<a href="/f?token=abcdefgh&amp;name=a.pdf">`:        `<a href="/f?token=REMOVED&amp;name=a.pdf">`,
		`{"csrf_token": "abcdefgh", "session": 7}`:           `{"csrf_token": "REMOVED", "session": 7}`,
		`var apiKey = 'abcdefgh';`:                           `var apiKey = 'REMOVED';`,
		`?X-Amz-Signature=abcdefgh&X-Amz-Date=20260101`:      `?X-Amz-Signature=REMOVED&X-Amz-Date=20260101`,
		`<a href="/issues.atom?key=abcdefgh&amp;page=2">`:    `<a href="/issues.atom?key=REMOVED&amp;page=2">`,
		`the session: it lasted an hour`:                     `the session: it lasted an hour`,
		`cookie value-of-cookie stands here, "7" stays`:      `cookie REMOVED stands here, "7" stays`,
		`<p>password must have 8 characters</p> tokens: six`: `<p>password must have 8 characters</p> tokens: six`,
	} {
		if got := redact(text, []string{"value-of-cookie", "7"}); got != want {
			t.Errorf("%s\n became %s\n    not %s", text, got, want)
		}
	}
}
