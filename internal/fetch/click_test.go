package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/chromedp"

	warm "github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/po"
)

// startBrowser starts the Chromium of this machine. It is stopped with the test, or before.
func startBrowser(t *testing.T) (browser context.Context, stop func()) {
	t.Helper()
	binary, err := warm.Find(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox,
		chromedp.Env("LD_LIBRARY_PATH="+filepath.Join(filepath.Dir(binary), "lib"))) // the layer's tree brings its libraries
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stopAllocator)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	stop = sync.OnceFunc(func() { // chromedp.Cancel panics when it is called twice
		// It waits for Chromium, which may still write where it downloaded to.
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		closeBrowser()
	})
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, stop
}

// openTab opens a page in a tab of its own, whose context has a generous deadline.
func openTab(t *testing.T, browser context.Context, address string) context.Context {
	t.Helper()
	tab, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	for _, domain := range []cdp.Command[cdp.Empty, cdp.Empty]{css.Disable, dom.Disable} {
		if _, err := chromedp.Call(tab, domain, cdp.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(tab, time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// clickPage has a link of every sort, each with an id.
const clickPage = `<!DOCTYPE html><title>PO</title>
<a id="plain" href="/files/plain.pdf">plain</a>
<a id="blank" href="/files/blank.pdf" target="_blank">new tab</a>
<a id="latin" href="/latin">Latin-1</a>
<a id="broken" href="/broken">broken</a>
<a id="stuck" href="/stuck">stuck</a>
<a id="never" href="/never">never answers</a>
<a id="large" href="/files/large.pdf?size=200000">large</a>
<a id="empty" href="/empty">empty</a>
<a id="login" href="/login">signed out</a>
<a id="loginblank" href="/users/sign_in" target="_blank">signed out, new tab</a>
<a id="saved" href="/login" download="invoice.pdf">sign-in page as a file</a>
<a id="elsewhere" href="ELSEWHERE/files/elsewhere.pdf">another host</a>
<button id="window" onclick="window.open('/files/window.pdf')">window.open</button>
<button id="hidden">hidden frame</button>
<button id="confirm">asks first</button>
<button id="blob">blob</button>
<button id="nameless">blob without a name</button>
<button id="script">script</button>
<button id="second">works at the second click</button>
<button id="nothing">does nothing</button>
<iframe src="/frame"></iframe>
<script>
const on = (id, f) => document.getElementById(id).addEventListener('click', f);
const save = (blob, name) => { const a = document.createElement('a'); a.href = URL.createObjectURL(blob); a.download = name; a.click(); };
on('hidden', () => { const f = document.createElement('iframe'); f.style.display = 'none'; f.src = '/files/hidden.pdf'; document.body.append(f); });
on('confirm', () => { if (confirm('Download?')) location = '/files/confirm.pdf'; });
on('blob', () => save(new Blob(['%PDF-1.7 blob']), 'blob.pdf'));
on('nameless', () => save(new Blob(['%PDF-1.7 nameless']), ''));
on('script', async () => { const r = await fetch('/files/script.pdf'); save(await r.blob(), 'script.pdf'); });
let clicks = 0;
on('second', () => { if (++clicks > 1) location = '/files/second.pdf'; });
</script>`

// clickPortal serves clickPage and what its links lead to. A file's body says which file it is.
func clickPortal(t *testing.T) http.HandlerFunc {
	attach := func(w http.ResponseWriter, name string) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/files/"):
			name := strings.TrimPrefix(path, "/files/")
			attach(w, name)
			size, _ := strconv.Atoi(r.URL.Query().Get("size"))
			w.Write(clickedBody(name, size))
		case path == "/latin":
			attach(w, "Rechnung M\xe4rz.pdf")
			w.Write(clickedBody("latin", 0))
		case path == "/broken":
			attach(w, "broken.pdf")
			breakOff(w, r, document(100_000), 50_000)
		case path == "/stuck":
			attach(w, "stuck.pdf")
			w.Header().Set("Content-Length", "100000")
			w.Write(document(50_000))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case path == "/never":
			<-r.Context().Done()
		case path == "/empty":
			attach(w, "empty.pdf")
		case path == "/frame":
			io.WriteString(w, `<a id="inner" href="/files/inner.pdf">inner</a>`)
		case path == "/login", path == "/users/sign_in":
			io.WriteString(w, signInPage)
		default:
			io.WriteString(w, strings.ReplaceAll(clickPage, "ELSEWHERE", "http://"+strings.Replace(r.Host, "127.0.0.1", "localhost", 1)))
		}
	}
}

func clickedBody(name string, size int) []byte {
	return append([]byte("%PDF-1.7 "+name+"\n"), document(max(size, 100))...)
}

func TestClicksBecomeFiles(t *testing.T) {
	p := newPortal(t, clickPortal(t), func(o *Options) { o.MaxBytes = 150_000 })
	browser, _ := startBrowser(t)
	p.client.clickWaits = []time.Duration{50 * time.Second}

	byID := func(id string) string { return "document.getElementById('" + id + "').click()" }
	for _, c := range []struct {
		id, script string
		labels     []string
		name, url  string
		body       []byte
	}{
		{id: "plain", name: "plain.pdf", url: "/files/plain.pdf"},
		{id: "blank", name: "blank.pdf", url: "/files/blank.pdf"},
		{id: "window", name: "window.pdf", url: "/files/window.pdf"},
		{id: "hidden", name: "hidden.pdf", url: "/files/hidden.pdf"},
		{id: "inner", script: "frames[0].document.getElementById('inner').click()", name: "inner.pdf", url: "/files/inner.pdf"},
		{id: "script", name: "script.pdf"},
		{id: "confirm", name: "confirm.pdf", url: "/files/confirm.pdf"},
		{id: "blob", name: "blob.pdf", body: []byte("%PDF-1.7 blob")},
		{id: "nameless", labels: []string{"Offer 7.pdf"}, name: "Offer 7.pdf", body: []byte("%PDF-1.7 nameless")},
		{id: "latin", labels: []string{"Rechnung März.pdf"}, name: "Rechnung März.pdf", body: clickedBody("latin", 0), url: "/latin"},
	} {
		t.Run(c.id, func(t *testing.T) {
			tab := openTab(t, browser, p.URL)
			script := c.script
			if script == "" {
				script = byID(c.id)
			}
			dir := t.TempDir()
			f, err := p.client.Click(tab, script, c.labels, dir)
			if err != nil {
				t.Fatal(err)
			}
			want := c.body
			if want == nil {
				want = clickedBody(c.name, 0)
			}
			onDisk, err := os.ReadFile(f.Path)
			if err != nil || !bytes.Equal(onDisk, want) || f.Bytes != int64(len(want)) || f.SHA256 != digest(want) || filepath.Dir(f.Path) != dir {
				t.Errorf("got %+v (%v), %d bytes on disk: %.60q; want %.60q", f, err, len(onDisk), onDisk, want)
			}
			if f.Name != c.name || f.ContentType != "application/pdf" {
				t.Errorf("got the name %q and the type %s", f.Name, f.ContentType)
			}
			if c.url != "" && f.URL != p.URL+c.url || c.url == "" && !strings.HasPrefix(f.URL, "blob:"+p.URL) {
				t.Errorf("got the address %s", f.URL)
			}
			wantNothingLeft(t, p, tab)
		})
	}
}

// wantNothingLeft checks that no tab and no download of a click remains.
func wantNothingLeft(t *testing.T, p *portal, tab context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tab), 30*time.Second)
	defer cancel()
	own := chromedp.FromContext(tab).Target.TargetID
	for {
		var left []string
		targets, err := chromedp.Targets(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range targets {
			if info.TargetID != own && strings.HasPrefix(info.URL, p.URL) {
				left = append(left, info.URL)
			}
		}
		files, err := filepath.Glob(filepath.Join(p.client.clicks.parent, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if left = append(left, files...); len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("left behind: %v", left)
		case <-time.After(20 * time.Millisecond): // a tab closes and a cancelled download goes a little later
		}
	}
}

func TestASwallowedClickIsRepeated(t *testing.T) {
	p := newPortal(t, clickPortal(t), nil)
	browser, _ := startBrowser(t)
	p.client.clickWaits = []time.Duration{50 * time.Millisecond, 50 * time.Second}
	tab := openTab(t, browser, p.URL)
	f, err := p.client.Click(tab, "document.getElementById('second').click()", nil, t.TempDir())
	if err != nil || f.Name != "second.pdf" {
		t.Errorf("got %+v, %v", f, err)
	}
	if !strings.Contains(p.log.String(), "clicking again") {
		t.Errorf("the log does not say that it was clicked again: %s", p.log)
	}
}

func TestClicksThatGiveNoFile(t *testing.T) {
	temp := t.TempDir() // outlives the browser
	browser, stopBrowser := startBrowser(t)
	short := []time.Duration{50 * time.Millisecond, 50 * time.Millisecond}
	for _, c := range []struct {
		id, script string
		waits      []time.Duration
		code       po.ErrorCode
		text       string
		session    bool
	}{
		{id: "broken", code: po.CodeNetwork, text: "broke off after"},
		{id: "stuck", code: po.CodeNetwork, text: "no byte came for too long"},
		{id: "large", code: po.CodeFileTooLarge, text: "more than the 150000 bytes"},
		{id: "empty", code: po.CodeFileInvalid, text: "empty.pdf is empty"},
		{id: "login", code: po.CodeFileInvalid, text: "asked to sign in", session: true},
		{id: "loginblank", code: po.CodeFileInvalid, text: "asked to sign in", session: true},
		{id: "saved", code: po.CodeFileInvalid, text: "a sign-in page instead of invoice.pdf", session: true},
		{id: "elsewhere", code: po.CodeFileInvalid, text: "does not allow"},
		{id: "nothing", code: po.CodeFileInvalid, text: "no download began after 2 clicks", waits: short},
		{id: "gone", code: po.CodeLayout, text: "cannot be clicked any more"},
		{id: "not found", script: "false", code: po.CodeLayout, text: "cannot be clicked any more"},
	} {
		t.Run(c.id, func(t *testing.T) {
			p := newPortal(t, clickPortal(t), func(o *Options) {
				o.MaxBytes = 150_000
				o.Stall = 2 * time.Second
				o.TempDir = temp
			})
			p.client.clickWaits = []time.Duration{50 * time.Second}
			if c.waits != nil {
				p.client.clickWaits = c.waits
			}
			tab := openTab(t, browser, p.URL+"/?token=secret")
			script := c.script
			if script == "" {
				script = "document.getElementById('" + c.id + "').click()"
			}
			f, err := p.client.Click(tab, script, nil, p.dir)
			p.wantError(t, f, err, c.code, c.text)
			if SessionSuspect(err) != c.session {
				t.Errorf("the session is suspected: %t", !c.session)
			}
			wantNothingLeft(t, p, tab)
		})
	}

	t.Run("the deadline comes first", func(t *testing.T) {
		p := newPortal(t, clickPortal(t), nil)
		tab := openTab(t, browser, p.URL)
		ctx, cancel := context.WithTimeout(tab, 300*time.Millisecond)
		defer cancel()
		f, err := p.client.Click(ctx, "document.getElementById('never').click()", nil, p.dir)
		p.wantError(t, f, err, po.CodeTimeout, "no time was left")
	})

	t.Run("the browser is gone", func(t *testing.T) {
		p := newPortal(t, clickPortal(t), nil)
		tab := openTab(t, browser, p.URL)
		stopBrowser()
		_, err := p.client.Click(tab, "document.getElementById('plain').click()", nil, p.dir)
		var e *po.Error
		if !errors.As(err, &e) || !e.Ours {
			t.Errorf("got %v, which is not our own trouble", err)
		}
	})
}

func TestTabsThatDownloadAtTheSameTimeGetTheirOwnFiles(t *testing.T) {
	const tabs, downloads = 4, 4
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		if number, ok := strings.CutPrefix(r.URL.Path, "/po/"); ok {
			w.Header().Set("Content-Type", "text/html")
			for i := range downloads {
				fmt.Fprintf(w, `<a id="f%d" href="/same.pdf?po=%s&i=%d" %s>same.pdf</a>`, i, number, i, []string{"", "target=_blank"}[i%2])
			}
			return
		}
		w.Header().Set("Content-Disposition", `attachment; filename="same.pdf"`)
		w.Write(clickedBody(r.URL.RawQuery, 50_000))
	}, func(o *Options) { o.Allowed = func(*url.URL) bool { return true } })
	p.client.clickWaits = []time.Duration{50 * time.Second}
	browser, _ := startBrowser(t)
	var wg sync.WaitGroup
	for number := range tabs {
		tab := openTab(t, browser, p.URL+"/po/"+strconv.Itoa(number))
		dir := t.TempDir()
		wg.Go(func() {
			for i := range downloads {
				f, err := p.client.Click(tab, fmt.Sprintf("document.getElementById('f%d').click()", i), nil, dir)
				want := digest(clickedBody(fmt.Sprintf("po=%d&i=%d", number, i), 50_000))
				if err != nil || f.SHA256 != want {
					t.Errorf("PO %d, file %d: got %+v, %v", number, i, f, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestChromiumsNamesAreBetteredByThePage(t *testing.T) {
	for _, c := range []struct {
		suggested string
		labels    []string
		want      string
	}{
		{"invoice.pdf", []string{"Invoice"}, "invoice.pdf"},
		{"Rechnung M_rz.pdf", []string{"Download", "Rechnung März.pdf"}, "Rechnung März.pdf"},
		{"Rechnung_.pdf", []string{"Rechnung März.pdf"}, "Rechnung März.pdf"},
		{"Rechnung M_rz.pdf", []string{"Rechnung Äpril.pdf"}, "Rechnung M_rz.pdf"},
		{"plain_name.pdf", []string{"plain name.pdf"}, "plain_name.pdf"},
		{"e8ed5a7c-19e4-4dc1-9dae-e110f6aa9d4b.txt", []string{"Notes"}, "e8ed5a7c-19e4-4dc1-9dae-e110f6aa9d4b.txt"},
		{"e8ed5a7c-19e4-4dc1-9dae-e110f6aa9d4b.txt", []string{"Notes.txt"}, "Notes.txt"},
		{"e8ed5a7c-19e4-4dc1-9dae-e110f6aa9d4b", []string{"Notes"}, "Notes"},
		{"download", []string{"Offer.pdf"}, "Offer.pdf"},
		{"download.pdf", nil, "download.pdf"},
		{"", nil, "attachment"},
	} {
		if got := clickedName(c.suggested, c.labels); got != c.want {
			t.Errorf("%q with %q: got %q, want %q", c.suggested, c.labels, got, c.want)
		}
	}
}
