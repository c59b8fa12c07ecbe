package portal_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/portal"
)

func TestASessionIsReadFromEveryExport(t *testing.T) {
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	own := &http.Cookie{Name: "_coupa_session", Value: "s3cr=t", Domain: "acme.coupahost.com", Path: "/", Secure: true, HttpOnly: true, Expires: expires}
	below := &http.Cookie{Name: "sso", Value: "", Domain: ".coupahost.com", Path: "/x"}
	both := []*http.Cookie{own, below}
	lax := func(c http.Cookie, s http.SameSite) *http.Cookie { c.SameSite = s; return &c }
	for name, c := range map[string]struct {
		data string
		want portal.Session
	}{
		"browser extension": {
			`[{"domain":"acme.coupahost.com","expirationDate":1893553445.25,"hostOnly":true,"httpOnly":true,"name":"_coupa_session","path":"/","sameSite":"lax","secure":true,"session":false,"storeId":"0","value":"s3cr=t"},
			  {"domain":".coupahost.com","hostOnly":false,"httpOnly":false,"name":"sso","path":"/x","sameSite":"unspecified","secure":false,"session":true,"value":""}]`,
			portal.Session{Cookies: []*http.Cookie{lax(*own, http.SameSiteLaxMode), below}},
		},
		"Playwright storage state": {
			`{"cookies":[{"name":"_coupa_session","value":"s3cr=t","domain":"acme.coupahost.com","path":"/","expires":1893553445,"httpOnly":true,"secure":true,"sameSite":"Strict"},
			  {"name":"sso","value":"","domain":".coupahost.com","path":"/x","expires":-1,"httpOnly":false,"secure":false,"sameSite":"None"}],"origins":[]}`,
			portal.Session{Cookies: []*http.Cookie{lax(*own, http.SameSiteStrictMode), lax(*below, http.SameSiteNoneMode)}},
		},
		"Netscape": {
			"# Netscape HTTP Cookie File\n\n#HttpOnly_acme.coupahost.com\tFALSE\t/\tTRUE\t1893553445\t_coupa_session\ts3cr=t\r\ncoupahost.com\tTRUE\t/x\tFALSE\t0\tsso\t\n",
			portal.Session{Cookies: both},
		},
		"Netscape with a BOM and a lost last tab": {
			"\ufeff.coupahost.com\tTRUE\t/x\tFALSE\t0\tsso",
			portal.Session{Cookies: []*http.Cookie{below}},
		},
		"user and password":          {`{"username":"me","password":"p"}`, portal.Session{Username: "me", Password: "p"}},
		"user, password and cookies": {`{"username":"me","password":"p","cookies":[{"name":"sso","domain":".coupahost.com","path":"/x"}]}`, portal.Session{Cookies: []*http.Cookie{below}, Username: "me", Password: "p"}},
		"no cookies but a user":      {`{"username":"me","password":"p","cookies":null}`, portal.Session{Username: "me", Password: "p"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := portal.ParseSession([]byte(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.CanSignIn() != (c.want.Username != "") {
				t.Errorf("CanSignIn is %t", got.CanSignIn())
			}
		})
	}
}

func TestAnUnreadableSessionIsExplainedWithoutItsSecrets(t *testing.T) {
	for name, c := range map[string]struct{ data, says string }{
		"empty":                   {" \n", "empty"},
		"broken JSON":             {`[{"value":"hunter2"`, "not valid JSON"},
		"wrong type":              {`[{"value":{"hunter2":1}}]`, "wrong type"},
		"no cookies":              {`[]`, "neither cookies nor"},
		"something else":          {"hunter2", "neither JSON nor a Netscape"},
		"user without a password": {`{"username":"hunter2"}`, "both"},
		"cookie without a name":   {`[{"value":"hunter2","domain":"x.org"}]`, "cookie 1: it has no name"},
		"cookie without a domain": {`[{"name":"a","value":"hunter2"}]`, "no domain"},
		"header in a value":       {`[{"name":"a","domain":"x.org","value":"hunter2\r\nX: y"}]`, "no cookie may have"},
		"relative path":           {`[{"name":"a","domain":"x.org","value":"hunter2","path":"x"}]`, "slash"},
		"time that is none":       {"x.org\tTRUE\t/\tFALSE\thunter2\ta\thunter2", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := portal.ParseSession([]byte(c.data))
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q, want it to say %q and not the secret", err, c.says)
			}
		})
	}
}

func TestPrintingASessionShowsNoSecret(t *testing.T) {
	s := &portal.Session{Username: "me", Password: "hunter2", Cookies: []*http.Cookie{{Name: "a", Value: "hunter2"}}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func FuzzParseSession(f *testing.F) {
	f.Add([]byte(`[{"name":"a","domain":"x.org","value":"b","expires":1e300}]`))
	f.Add([]byte(`{"cookies":[{"name":"a","domain":".x.org","expirationDate":-1}],"username":"u","password":"p"}`))
	f.Add([]byte("#HttpOnly_x.org\tFALSE\t/\tTRUE\tNaN\ta\tb\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := portal.ParseSession(data)
		if err != nil {
			return
		}
		if len(s.Cookies) == 0 && !s.CanSignIn() {
			t.Error("a session that opens nothing")
		}
		for _, c := range s.Cookies {
			if c.Name == "" || c.Domain == "" || !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Name+c.Value+c.Domain+c.Path, "\r\n\x00;") {
				t.Errorf("a cookie that no browser takes: %#v", c)
			}
		}
	})
}
