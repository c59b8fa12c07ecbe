package portal_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/purserhq/purser/internal/po"
)

// signInPortal is a portal that a user can sign in to, in the ways in which portals let them.
type signInPortal struct {
	steps   string // "one page", "two pages", "by script", "second factor", "elsewhere", "message"
	entered []string
}

func (s *signInPortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	const user, password = `<input name="user[login]">`, `<input type="password" name="user[password]">`
	form := func(flash, fields string) {
		fmt.Fprintf(w, `<title>Sign In</title><div class="flash_error">%s</div><form method="post" action="/sessions/create">%s<button>Go</button></form>`, flash, fields)
	}
	cookie, err := r.Cookie("_coupa_session")
	alive := err == nil && cookie.Value == "alive"
	switch {
	case r.URL.Path == "/" && alive:
		fmt.Fprint(w, `<title>Home</title><div id="user-menu">Buyer</div>`)
	case r.URL.Path == "/" && s.steps == "elsewhere":
		_, port, _ := strings.Cut(r.Host, ":")
		http.Redirect(w, r, "http://localhost:"+port+"/sessions/new", http.StatusFound)
	case r.URL.Path == "/":
		http.Redirect(w, r, "/sessions/new", http.StatusFound)
	case r.URL.Path == "/sessions/new" && s.steps == "two pages":
		form("", user)
	case r.URL.Path == "/sessions/new" && s.steps == "by script":
		fmt.Fprint(w, `<title>Sign In</title><div id="app"></div><script>
setTimeout(() => {
  document.getElementById("app").innerHTML = '<form>`+user+password+`</form><div class="flash_error"></div>';
  const form = document.querySelector("form");
  let typed = {};
  form.addEventListener("input", (e) => { typed[e.target.name] = e.target.value; });
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const answer = await fetch("/sessions/create", { method: "POST", body: new URLSearchParams(typed) });
    if (answer.url.endsWith("/")) document.getElementById("app").innerHTML = '<div id="user-menu">Buyer</div>';
    else document.querySelector(".flash_error").textContent = "No such user.";
  });
}, 100);
</script>`)
	case r.URL.Path == "/sessions/new":
		form("", user+password)
	case r.URL.Path == "/sessions/create":
		s.entered = append(s.entered, r.FormValue("user[login]")+"/"+r.FormValue("user[password]"))
		right := r.FormValue("user[password]") == `pass "word"`
		switch {
		case s.steps == "two pages" && r.FormValue("user[password]") == "":
			form("", password)
		case !right && s.steps == "message":
			form("Invalid login or password.", user+password)
		case !right:
			form("", user+password)
		case s.steps == "second factor":
			fmt.Fprint(w, `<title>Enter the code</title><input name="otp">`)
		default:
			http.SetCookie(w, &http.Cookie{Name: "_coupa_session", Value: "alive", Path: "/", HttpOnly: true})
			http.Redirect(w, r, "/", http.StatusFound)
		}
	default:
		http.NotFound(w, r)
	}
}

func TestTheFormSignsIn(t *testing.T) {
	for _, steps := range []string{"one page", "two pages", "by script"} {
		t.Run(steps, func(t *testing.T) {
			p, _ := serveFunc(t, (&signInPortal{steps: steps}).ServeHTTP)
			ctx := tab(t)
			if alive, err := p.ProbeSession(ctx); err != nil || alive {
				t.Fatalf("before: alive %t, %v", alive, err)
			}
			if err := p.SignIn(ctx, "buyer", `pass "word"`); err != nil {
				t.Fatal(err)
			}
			if alive, err := p.ProbeSession(ctx); err != nil || !alive {
				t.Fatalf("after: alive %t, %v", alive, err)
			}
			if err := p.SignIn(ctx, "buyer", "not needed: the session lives"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestARefusedSignInConcernsThePortalAndIsTriedOnce(t *testing.T) {
	for steps, tells := range map[string]string{
		"one page":      "sign-in form again",
		"message":       "Invalid login or password.",
		"two pages":     "",
		"by script":     "No such user.",
		"second factor": "Enter the code",
		"elsewhere":     "sign_in.hosts",
	} {
		t.Run(steps, func(t *testing.T) {
			t.Parallel()
			s := &signInPortal{steps: steps}
			p, _ := serveFunc(t, s.ServeHTTP)
			password := "wrong-secret"
			if steps == "second factor" {
				password = `pass "word"`
			}
			err := p.SignIn(tab(t), "buyer", password)
			if err == nil {
				t.Fatal("someone was signed in")
			}
			if po.AsError(err).Code != po.CodeProfile || !po.PortalWide(err) || !strings.Contains(err.Error(), tells) {
				t.Errorf("%v, want it to tell %q", err, tells)
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("the error tells the password: %v", err)
			}
			sent := 0
			for _, e := range s.entered {
				if strings.HasSuffix(e, "/"+password) {
					sent++
				}
			}
			if want := map[bool]int{true: 0, false: 1}[steps == "elsewhere"]; sent != want {
				t.Errorf("the password was sent %d times, want %d", sent, want)
			}
		})
	}
}

func TestEvidenceHoldsNoSecrets(t *testing.T) {
	const secret = "Zm9vYmFyYmF6cXV4"
	p, server := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "_coupa_session", Value: secret + "-cookie", Path: "/", HttpOnly: true})
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><html><head><title>Page</title><meta name="csrf-token" content="%[1]s"></head>
<body style="height: 30000px"><h1>What is shown stays</h1>
<form><input type="hidden" name="authenticity_token" value="%[1]s"><input type="password" value="%[1]s"></form>
<a href="/x?access_token=%[1]s&amp;page=7">link</a>
<script nonce="%[1]s">var config = {"apiKey": "%[1]s", "page": 7}; var cookie = "%[1]s-cookie";</script></body></html>`, secret)
	})
	ctx := tab(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL)); err != nil {
		t.Fatal(err)
	}
	html, png, err := p.Evidence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(html), secret) {
		t.Errorf("the secret stands in the kept page:\n%s", html)
	}
	for _, stays := range []string{"What is shown stays", "page=7", `"page": 7`} {
		if !strings.Contains(string(html), stays) {
			t.Errorf("%q is gone from the kept page:\n%s", stays, html)
		}
	}
	if !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("the screenshot is no PNG: %d bytes", len(png))
	}
}

func TestAClickHitsTheLinkThatWasFound(t *testing.T) {
	f := &fakePortal{file: "testdata/pages/clicks.html"}
	p, _ := serve(t, f, "coupa")
	ctx := tab(t)
	page, err := p.VisitPO(ctx, "PO16900001")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range page.Attachments {
		if a.Click == nil {
			t.Fatalf("%q is not clicked", a.Label)
		}
		hit, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => {
  let hit = "";
  addEventListener("click", (e) => { e.preventDefault(); hit = e.target.title + e.target.ariaLabel + e.target.download; }, { capture: true, once: true });
  `+a.Click.Script+`;
  return hit;
})()`))
		if err != nil || !strings.Contains(hit, a.Label) {
			t.Errorf("the click for %q hit %q, %v", a.Label, hit, err)
		}
	}
	gone := `document.body.replaceChildren(); ` + page.Attachments[0].Click.Script
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](gone)); err == nil || !strings.Contains(err.Error(), "no longer part") {
		t.Errorf("a click on a link that is gone: %v", err)
	}
}
