package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/po"
)

// document is a PDF of some size, as far as anybody looks.
func document(size int) []byte {
	body := []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	for i := 0; len(body) < size; i++ {
		body = append(body, strconv.Itoa(i)+" 0 obj\n"...)
	}
	return body[:size]
}

const signInPage = `<!DOCTYPE html><html><title>Sign in</title><form><input name=user><input type="password" name=pw></form></html>`

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// portal is a server with faults, and a client that may ask it.
type portal struct {
	*httptest.Server
	client *Client
	dir    string
	log    *bytes.Buffer
}

func newPortal(t *testing.T, handler http.HandlerFunc, change func(*Options)) *portal {
	t.Helper()
	p := &portal{Server: httptest.NewServer(handler), dir: t.TempDir(), log: &bytes.Buffer{}}
	log := logrus.New()
	log.SetOutput(p.log)
	log.SetLevel(logrus.DebugLevel)
	o := Options{
		Allowed:  func(u *url.URL) bool { return "http://"+u.Host == p.URL },
		MaxBytes: 1 << 20,
		TempDir:  t.TempDir(),
		Log:      log,
	}
	if change != nil {
		change(&o)
	}
	p.client = New(o)
	t.Cleanup(func() {
		if err := p.client.Close(); err != nil {
			t.Error(err)
		}
		p.CloseClientConnections()
		p.Close()
		if left, _ := filepath.Glob(filepath.Join(p.dir, "*")); t.Failed() && len(left) > 0 {
			t.Logf("spooled: %v", left)
		}
	})
	return p
}

func (p *portal) get(t *testing.T, path string) (File, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return p.client.Get(ctx, Request{URL: p.URL + path, Dir: p.dir})
}

// wantFile checks that the file is whole, on disk, and alone there.
func (p *portal) wantFile(t *testing.T, f File, err error, body []byte) {
	t.Helper()
	if err != nil {
		t.Fatalf("got %v", err)
	}
	onDisk, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(onDisk, body) || f.Bytes != int64(len(body)) || f.SHA256 != digest(body) {
		t.Errorf("the file has %d bytes on disk and says %d, %s; want %d, %s", len(onDisk), f.Bytes, f.SHA256, len(body), digest(body))
	}
	if filepath.Dir(f.Path) != p.dir {
		t.Errorf("the file lies at %s, not in %s", f.Path, p.dir)
	}
}

// wantError checks the treatment that an error asks for, and that nothing stays on disk.
func (p *portal) wantError(t *testing.T, f File, err error, code po.ErrorCode, text string) *po.Error {
	t.Helper()
	e, ok := err.(*po.Error) //nolint:errorlint // it must be one itself, not only hold one
	if !ok {
		t.Fatalf("got file %+v and error %v; want %s", f, err, code)
	}
	if e.Code != code || !strings.Contains(e.Error(), text) {
		t.Errorf("got %v; want %s: …%s…", e, code, text)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "*")); len(left) > 0 {
		t.Errorf("the spool still holds %v", left)
	}
	return e
}

func TestAFileArrivesWithItsNameTypeAndDigest(t *testing.T) {
	body := document(100_000)
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename*=UTF-8''Rechnung%20M%C3%A4rz%2F26.pdf`)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(body)
	}, nil)
	f, err := p.get(t, "/attachment/7?token=secret#top")
	p.wantFile(t, f, err, body)
	want := File{
		Path: f.Path, Name: "Rechnung März_26.pdf", OriginalName: "Rechnung März/26.pdf", ContentType: "application/pdf",
		SHA256: digest(body), URL: p.URL + "/attachment/7", Bytes: 100_000,
	}
	if f != want {
		t.Errorf("got  %+v\nwant %+v", f, want)
	}
}

func TestAFileWithoutExtensionGetsTheOneOfItsBytes(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) { w.Write(document(100)) }, nil)
	f, err := p.get(t, "/attachments/12345")
	if err != nil || f.Name != "12345.pdf" || f.OriginalName != "12345" {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestTwoFilesOfOneNameDoNotMeetOnDisk(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) { w.Write(document(100)) }, nil)
	a, errA := p.get(t, "/a.pdf")
	b, errB := p.get(t, "/a.pdf")
	if errA != nil || errB != nil || a.Path == b.Path {
		t.Errorf("got %s, %v and %s, %v", a.Path, errA, b.Path, errB)
	}
}

func TestTheBrowsersSessionGoesAlong(t *testing.T) {
	var got http.Header
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Write(document(100))
	}, nil)
	host := strings.TrimPrefix(p.URL, "http://")
	host = host[:strings.Index(host, ":")]
	p.client.SetSession([]*http.Cookie{
		{Name: "_coupa_session", Value: "abc", Domain: host, Path: "/", HttpOnly: true},
		{Name: "odd", Value: `{"id":1, "x":"y"}`, Domain: host, Path: "/"},
		{Name: "by_path", Value: "1", Domain: host, Path: "/other"},
		{Name: "expired", Value: "1", Domain: host, Path: "/", Expires: time.Now().Add(-time.Hour)},
		{Name: "other_host", Value: "1", Domain: ".example.com", Path: "/"},
		{Name: "no_host", Value: "1", Path: "/"},
	}, "Mozilla/5.0 (test)")
	ctx := t.Context()
	if _, err := p.client.Get(ctx, Request{URL: p.URL + "/f.pdf", Dir: p.dir, Referer: "http://user:pw@" + strings.TrimPrefix(p.URL, "http://") + "/order_headers/1?q=secret"}); err != nil {
		t.Fatal(err)
	}
	if cookie := got.Get("Cookie"); cookie != `_coupa_session=abc; odd={"id":1, "x":"y"}` {
		t.Errorf("cookies sent: %q", cookie)
	}
	if agent := got.Get("User-Agent"); agent != "Mozilla/5.0 (test)" {
		t.Errorf("user agent sent: %q", agent)
	}
	if from := got.Get("Referer"); from != p.URL+"/order_headers/1" {
		t.Errorf("referer sent: %q", from)
	}
}

func TestCookiesReachOnlyTheHostsTheyAreFor(t *testing.T) {
	s := newSession([]*http.Cookie{
		{Name: "domain", Value: "1", Domain: ".portal.example", Path: "/"},
		{Name: "host", Value: "1", Domain: "www.portal.example", Path: "/"},
		{Name: "secure", Value: "1", Domain: ".portal.example", Path: "/", Secure: true},
		{Name: "path", Value: "1", Domain: ".portal.example", Path: "/files"},
	}, "")
	for _, c := range []struct{ url, want string }{
		{"https://www.portal.example/", "domain host secure"},
		{"http://www.portal.example/", "domain host"},
		{"https://portal.example/", "domain secure"},
		{"https://files.portal.example/", "domain secure"},
		{"https://files.portal.example/files/1", "domain path secure"},
		{"https://portal.example.evil.example/", ""},
		{"https://evilportal.example/", ""},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, cookie := range s.jar.Cookies(u) {
			names = append(names, cookie.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: sent %q, want %q", c.url, got, c.want)
		}
	}
}

func TestACookieSetOnTheWayIsSentOn(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/f.pdf" {
			http.SetCookie(w, &http.Cookie{Name: "signed", Value: "yes", Path: "/"})
			http.Redirect(w, r, "/real.pdf", http.StatusFound)
			return
		}
		if c, err := r.Cookie("signed"); err != nil || c.Value != "yes" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Write(document(10))
	}, nil)
	f, err := p.get(t, "/f.pdf")
	p.wantFile(t, f, err, document(10))
}

func TestABrokenBodyIsGoneOnWith(t *testing.T) {
	for _, c := range []struct {
		what   string
		header func(h http.Header)
	}{
		{"by ETag", func(h http.Header) { h.Set("ETag", `"v1"`) }},
		{"by Last-Modified", func(h http.Header) { h.Set("Last-Modified", "Tue, 03 Mar 2026 10:00:00 GMT") }},
	} {
		body := document(300_000)
		var ranges []string
		p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
			ranges = append(ranges, r.Header.Get("Range"))
			c.header(w.Header())
			if len(ranges) < 3 {
				breakOff(w, r, body, 100_000*len(ranges))
				return
			}
			http.ServeContent(w, r, "f.pdf", modified(w), bytes.NewReader(body))
		}, nil)
		f, err := p.get(t, "/f.pdf")
		p.wantFile(t, f, err, body)
		if len(ranges) != 3 || ranges[0] != "" || ranges[1] != "bytes=100000-" || ranges[2] != "bytes=200000-" {
			t.Errorf("%s: ranges asked for: %q", c.what, ranges)
		}
	}
}

func modified(w http.ResponseWriter) time.Time {
	at, err := http.ParseTime(w.Header().Get("Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// breakOff promises what is left of the body, sends it up to end, and cuts the connection.
func breakOff(w http.ResponseWriter, r *http.Request, body []byte, end int) {
	start := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(body)-1, len(body)))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)-start))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.Write(body[start:end])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestABrokenBodyStartsOverWhenItCannotBeGoneOnWith(t *testing.T) {
	body, other := document(200_000), bytes.Replace(document(150_000), []byte("1.7"), []byte("1.4"), 1)
	for _, c := range []struct {
		what       string
		header     func(h http.Header, request int)
		second     func(w http.ResponseWriter, r *http.Request)
		wantRange  string
		wantedBody []byte
	}{
		{
			"no validator", func(http.Header, int) {},
			func(w http.ResponseWriter, r *http.Request) { w.Write(body) }, "", body,
		},
		{
			"a weak ETag", func(h http.Header, _ int) { h.Set("ETag", `W/"v1"`) },
			func(w http.ResponseWriter, r *http.Request) { w.Write(body) }, "", body,
		},
		{
			"a server without ranges", func(h http.Header, _ int) { h.Set("ETag", `"v1"`); h.Set("Accept-Ranges", "none") },
			func(w http.ResponseWriter, r *http.Request) { w.Write(body) }, "", body,
		},
		{
			"a server that ignores Range", func(h http.Header, _ int) { h.Set("ETag", `"v1"`) },
			func(w http.ResponseWriter, r *http.Request) { w.Write(body) }, "bytes=100000-", body,
		},
		{
			"a file that changed, and If-Range kept", func(h http.Header, n int) { h.Set("ETag", `"v`+strconv.Itoa(n)+`"`) },
			func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "f.pdf", time.Time{}, bytes.NewReader(other))
			}, "bytes=100000-", other,
		},
		{
			"a file that changed, and If-Range ignored", func(h http.Header, n int) { h.Set("ETag", `"v`+strconv.Itoa(n)+`"`) },
			func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("If-Range")
				http.ServeContent(w, r, "f.pdf", time.Time{}, bytes.NewReader(other))
			}, "bytes=100000-", other,
		},
		{
			"a server that sends another range", func(h http.Header, n int) { h.Set("ETag", `"v1"`) },
			func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					r.Header.Set("Range", "bytes=5-")
				}
				http.ServeContent(w, r, "f.pdf", time.Time{}, bytes.NewReader(body))
			}, "bytes=100000-", body,
		},
		{
			"a range beyond the end", func(h http.Header, n int) { h.Set("ETag", `"v1"`) },
			func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return
				}
				w.Write(body)
			}, "bytes=100000-", body,
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			var ranges []string
			p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
				ranges = append(ranges, r.Header.Get("Range"))
				c.header(w.Header(), len(ranges))
				if len(ranges) == 1 {
					breakOff(w, r, body, 100_000)
				}
				c.second(w, r)
			}, nil)
			f, err := p.get(t, "/f.pdf")
			p.wantFile(t, f, err, c.wantedBody)
			if len(ranges) < 2 || ranges[1] != c.wantRange {
				t.Errorf("ranges asked for: %q; want the second to be %q", ranges, c.wantRange)
			}
		})
	}
}

func TestABodyThatStaysTruncatedIsNoFile(t *testing.T) {
	var requests atomic.Int32
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		breakOff(w, r, document(1000), 400)
	}, nil)
	f, err := p.get(t, "/f.pdf?token=secret")
	e := p.wantError(t, f, err, po.CodeNetwork, "broke off after 400 of 1000 bytes")
	if !e.Retry || e.Wide {
		t.Errorf("retry %t, portal-wide %t", e.Retry, e.Wide)
	}
	if n := requests.Load(); n != 4 { // the first brings bytes, the next three bring none
		t.Errorf("%d requests", n)
	}
}

func TestAChunkedBodyThatBreaksOffIsNoFile(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(document(1000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, nil)
	f, err := p.get(t, "/f.pdf")
	p.wantError(t, f, err, po.CodeNetwork, "ended early")
}

func TestATransferThatStandsStillIsGivenUpAndTriedAgain(t *testing.T) {
	body := document(200_000)
	var requests atomic.Int32
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		switch requests.Add(1) {
		case 1: // stands still in the middle
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done() // the client gives up
		case 2: // stands still before the answer
			<-r.Context().Done()
		default:
			http.ServeContent(w, r, "f.pdf", time.Time{}, bytes.NewReader(body))
		}
	}, func(o *Options) { o.Stall = 500 * time.Millisecond })
	f, err := p.get(t, "/f.pdf")
	p.wantFile(t, f, err, body)
}

func TestATransferThatKeepsStandingStillIsANetworkError(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(o *Options) { o.Stall = 50 * time.Millisecond })
	f, err := p.get(t, "/f.pdf")
	e := p.wantError(t, f, err, po.CodeNetwork, "no byte came for too long")
	if !e.Retry || e.Wide {
		t.Errorf("retry %t, portal-wide %t", e.Retry, e.Wide)
	}
}

func TestTheCallersDeadlineIsATimeout(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	f, err := p.client.Get(ctx, Request{URL: p.URL + "/f.pdf", Dir: p.dir})
	p.wantError(t, f, err, po.CodeTimeout, "no time was left")

	ctx, stop := context.WithCancel(t.Context())
	stop()
	f, err = p.client.Get(ctx, Request{URL: p.URL + "/f.pdf", Dir: p.dir})
	if e := p.wantError(t, f, err, po.CodeNetwork, "stopped"); !e.Ours {
		t.Error("a cancellation must not cost the PO a try")
	}
}

func TestTooLargeAFileIsRefused(t *testing.T) {
	for _, c := range []struct {
		what, want string
		handler    http.HandlerFunc
	}{
		{"by its length", "has 5000 bytes; MAX_FILE_BYTES allows 4000", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5000")
			w.Write(document(5000))
		}},
		{"by what comes", "more than the 4000 bytes", func(w http.ResponseWriter, r *http.Request) {
			w.Write(document(3000))
			w.(http.Flusher).Flush()
			w.Write(document(2000))
		}},
		{"unpacked", "more than the 4000 bytes", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed(document(5000)))
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := newPortal(t, c.handler, func(o *Options) { o.MaxBytes = 4000 })
			f, err := p.get(t, "/f.pdf")
			if e := p.wantError(t, f, err, po.CodeFileTooLarge, c.want); e.Retry {
				t.Error("it is as large at the next try")
			}
		})
	}
}

func packed(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(body)
	z.Close()
	return b.Bytes()
}

func TestCompressedBodiesBecomeTheFileThatWasMeant(t *testing.T) {
	plain := document(50_000)
	for _, c := range []struct {
		what, encoding, contentType, path string
		body, want                        []byte
	}{
		{"a compressed transfer", "gzip", "application/pdf", "/f.pdf", packed(plain), plain},
		{"a label that is wrong", "gzip", "application/pdf", "/f.pdf", plain, plain},
		{"a file that is gzip itself, by its name", "gzip", "application/octet-stream", "/f.tar.gz", packed(plain), packed(plain)},
		{"a file that is gzip itself, by its type", "x-gzip", "application/x-gzip", "/f", packed(plain), packed(plain)},
		{"no compression, said", "identity", "application/pdf", "/f.pdf", plain, plain},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); got != "identity" {
					t.Errorf("Accept-Encoding sent: %q", got)
				}
				w.Header().Set("Content-Encoding", c.encoding)
				w.Header().Set("Content-Type", c.contentType)
				w.Write(c.body)
			}, nil)
			f, err := p.get(t, c.path)
			p.wantFile(t, f, err, c.want)
			if left, _ := filepath.Glob(filepath.Join(p.dir, "*")); len(left) != 1 {
				t.Errorf("the spool holds %v", left)
			}
		})
	}
}

func TestAnEncodingThatNobodyAskedForIsRefused(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		w.Write(document(100))
	}, nil)
	f, err := p.get(t, "/f.pdf")
	p.wantError(t, f, err, po.CodeFileInvalid, `encoding "br"`)
}

func TestATruncatedCompressedBodyIsNoFile(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		whole := packed(document(50_000))
		w.Write(whole[:len(whole)/2])
	}, nil)
	f, err := p.get(t, "/f.pdf")
	p.wantError(t, f, err, po.CodeFileInvalid, "cannot be unpacked")
}

func TestAnEmptyFileIsKeptOnlyWhenTheServerSaysSo(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/said.pdf" {
			w.Header().Set("Content-Length", "0")
			return
		}
		w.(http.Flusher).Flush() // chunked, and nothing in it
	}, nil)
	f, err := p.get(t, "/said.pdf")
	p.wantFile(t, f, err, nil)
	if f.Note != "empty on the server" {
		t.Errorf("the note is %q", f.Note)
	}
	os.Remove(f.Path)
	f, err = p.get(t, "/unsaid.pdf")
	p.wantError(t, f, err, po.CodeFileInvalid, "unsaid.pdf is empty")
}

func TestAPageInsteadOfAFileIsAHintAboutTheSession(t *testing.T) {
	page := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		what, path, want string
		handler          http.HandlerFunc
	}{
		{"sign-in page as invoice.pdf", "/invoice.pdf", "a sign-in page instead of invoice.pdf", page(200, signInPage)},
		{"Oops page as invoice.pdf", "/invoice.pdf", "a web page instead of invoice.pdf", page(200, "<html><h1>Oops! We couldn't find what you wanted</h1>")},
		{"sign-in page without a name", "/attachments/7", "a sign-in page", page(200, signInPage)},
		{"sign-in page as report.html", "/report.html", "a sign-in page", page(200, signInPage)},
		{"401", "/invoice.pdf", "401 Unauthorized", page(401, signInPage)},
		{"403", "/invoice.pdf", "403 Forbidden", page(403, "")},
		{"404", "/invoice.pdf", "404 Not Found", page(404, "Oops")},
		{"a message as invoice.pdf", "/invoice.pdf", "a JSON message instead", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"error":"please sign in"}`)
		}},
		{"a redirect to the portal's sign-in page", "/report.html", "a web page instead", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/report.html" {
				http.Redirect(w, r, "/sessions/new?return=%2Freport.html", http.StatusFound)
				return
			}
			page(200, "<html><body>Welcome, choose how to sign in</body></html>")(w, r)
		}},
		{"a redirect to an identity provider", "/invoice.pdf", "asked to sign in", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example.com/saml2?SAMLRequest=secret", http.StatusFound)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := newPortal(t, c.handler, nil)
			f, err := p.get(t, c.path)
			p.wantError(t, f, err, po.CodeFileInvalid, c.want)
			if !SessionSuspect(err) {
				t.Errorf("the session is not suspected: %v", err)
			}
		})
	}
}

func TestAFileThatIsAPageIsKept(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Disposition", `attachment; filename="report.html"`)
		io.WriteString(w, "<html><body>Report</body></html>")
	}, nil)
	f, err := p.get(t, "/attachments/8")
	if err != nil || f.Name != "report.html" || SessionSuspect(err) {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestAPortalThatAsksToBeLeftAloneIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		status     int
		retryAfter string
		wide       bool
		after      time.Duration
	}{
		{429, "17", true, 17 * time.Second},
		{429, "", true, 0},
		{503, "120", true, 2 * time.Minute},
		{502, "", true, 0},
		{504, "", true, 0},
		{500, "", false, 0}, // one file that the portal cannot produce
		{500, "5", true, 5 * time.Second},
	} {
		requests := 0
		p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			if c.retryAfter != "" {
				w.Header().Set("Retry-After", c.retryAfter)
			}
			w.WriteHeader(c.status)
		}, nil)
		f, err := p.get(t, "/f.pdf?token=secret")
		e := p.wantError(t, f, err, po.CodeNetwork, strconv.Itoa(c.status))
		if e.Wide != c.wide || e.After != c.after || !e.Retry || SessionSuspect(err) {
			t.Errorf("%d, Retry-After %q: %+v", c.status, c.retryAfter, e)
		}
		if requests != 1 {
			t.Errorf("%d: asked %d times", c.status, requests)
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 3, 3, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                                0,
		"0":                               0,
		"90":                              90 * time.Second,
		" 90 ":                            90 * time.Second,
		"-5":                              0,
		"soon":                            0,
		"99999999999999999":               24 * time.Hour,
		"Tue, 03 Mar 2026 10:02:00 GMT":   2 * time.Minute,
		"Tuesday, 03-Mar-26 10:02:00 GMT": 2 * time.Minute,
		"Tue, 03 Mar 2026 09:00:00 GMT":   0,
		"Tue, 03 Mar 2099 09:00:00 GMT":   24 * time.Hour,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestOtherHostsAndSchemesAreNeverAsked(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	}, nil)
	for _, target := range []string{
		"http://169.254.169.254/latest/meta-data/?token=secret",
		"file:///etc/passwd",
		"ftp://example.com/f.pdf",
		"javascript:alert(1)",
		other.URL + "/f.pdf?token=secret",
		"//" + strings.TrimPrefix(other.URL, "http://") + "/f.pdf",
		"http://user:secret@" + strings.TrimPrefix(p.URL, "http://") + "/f.pdf",
		"http://[::1:secret",
		"",
	} {
		f, err := p.get(t, "/f.pdf?to="+url.QueryEscape(target))
		e := p.wantError(t, f, err, po.CodeFileInvalid, "")
		if e.Retry || SessionSuspect(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("redirect to %s: %+v", target, e)
		}
		f, err = p.client.Get(t.Context(), Request{URL: target, Dir: p.dir})
		e = p.wantError(t, f, err, po.CodeFileInvalid, "")
		if e.Retry || strings.Contains(err.Error(), "secret") {
			t.Errorf("link to %s: %+v", target, e)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("another host was asked")
	}
}

func TestRedirectsInACircleEnd(t *testing.T) {
	requests := 0
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.Redirect(w, r, "/f.pdf?n="+strconv.Itoa(requests), http.StatusFound)
	}, nil)
	f, err := p.get(t, "/f.pdf")
	if e := p.wantError(t, f, err, po.CodeFileInvalid, "in a circle"); e.Retry || requests != 10 {
		t.Errorf("retry %t after %d requests", e.Retry, requests)
	}
}

func TestSecretsDoNotFollowARedirectToAnotherHost(t *testing.T) {
	var got http.Header
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Write(document(10))
	}))
	defer cdn.Close()
	cdnURL := strings.Replace(cdn.URL, "127.0.0.1", "localhost", 1)
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, cdnURL+"/f.pdf?signature=s", http.StatusFound)
	}, func(o *Options) { o.Allowed = func(*url.URL) bool { return true } })
	p.client.SetSession([]*http.Cookie{{Name: "_coupa_session", Value: "abc", Domain: "127.0.0.1", Path: "/"}}, "agent")
	f, err := p.client.Get(t.Context(), Request{URL: p.URL + "/f.pdf", Referer: p.URL + "/order_headers/1?q=1", Dir: p.dir})
	p.wantFile(t, f, err, document(10))
	if got.Get("Cookie") != "" || got.Get("Referer") != p.URL+"/" {
		t.Errorf("the other host got the cookies %q and the referer %q", got.Get("Cookie"), got.Get("Referer"))
	}
}

func TestAddressesThatNoPortalHasAreRefusedWhenDialled(t *testing.T) {
	for _, c := range []struct {
		to, host string
		refused  bool
	}{
		{"169.254.169.254", "portal.example", true},
		{"169.254.169.254", "169.254.169.254", true},
		{"::ffff:169.254.169.254", "portal.example", true},
		{"fe80::1", "portal.example", true},
		{"fd00:ec2::254", "portal.example", true},
		{"224.0.0.1", "portal.example", true},
		{"127.0.0.1", "portal.example", true},
		{"::1", "portal.example", true},
		{"0.0.0.0", "portal.example", true},
		{"127.0.0.1", "127.0.0.1", false},
		{"127.0.0.1", "localhost", false},
		{"::1", "LOCALHOST.", false},
		{"::1", "demo.localhost", false},
		{"127.0.0.1", "notlocalhost", true},
		{"10.1.2.3", "portal.intranet", false},
		{"93.184.216.34", "portal.example", false},
		{"2606:2800:220:1::1", "portal.example", false},
	} {
		addr := mustAddr(t, c.to)
		if got := refused(addr, c.host); got != c.refused {
			t.Errorf("%s for %s: refused %t, want %t", c.to, c.host, got, c.refused)
		}
	}

	client := New(Options{Allowed: func(*url.URL) bool { return true }})
	defer client.Close()
	dir := t.TempDir()
	_, err := client.Get(t.Context(), Request{URL: "http://169.254.169.254/latest/meta-data/f.pdf", Dir: dir})
	var e *po.Error
	if !errors.As(err, &e) || e.Code != po.CodeFileInvalid || e.Retry || !strings.Contains(e.Error(), "no portal has") {
		t.Errorf("the metadata service: %v", err)
	}
}

func TestAHostThatCannotBeReachedConcernsTheWholePortal(t *testing.T) {
	p := newPortal(t, nil, nil)
	p.Close()
	f, err := p.get(t, "/f.pdf?token=secret")
	if e := p.wantError(t, f, err, po.CodeNetwork, "cannot be reached"); !e.Wide || !e.Retry {
		t.Errorf("got %+v", e)
	}
	f, err = p.client.Get(t.Context(), Request{URL: p.URL + "/f.pdf", Referer: "http://portal.example/order_headers/1", Dir: p.dir})
	if e := p.wantError(t, f, err, po.CodeNetwork, "cannot be reached"); e.Wide || !e.Retry {
		t.Errorf("a host that is not the page's: %+v", e)
	}
}

func TestNoMoreThanPerHostAreFetchedAtOnce(t *testing.T) {
	const perHost = 3
	var (
		mu        sync.Mutex
		now, most int
	)
	arrived := make(chan struct{}, 100)
	release := make(chan struct{})
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		arrived <- struct{}{}
		<-release
		mu.Lock()
		now--
		mu.Unlock()
		w.Write(document(10))
	}, func(o *Options) { o.PerHost = perHost })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := p.get(t, "/f.pdf"); err != nil {
				t.Error(err)
			}
		})
	}
	for range perHost {
		<-arrived
	}
	close(release)
	wg.Wait()
	if most != perHost {
		t.Errorf("%d transfers at once, want %d", most, perHost)
	}
}

func TestTheRateIsKept(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) { w.Write(document(10)) }, func(o *Options) { o.PerSecond = 0.001 })
	f, err := p.get(t, "/f.pdf")
	p.wantFile(t, f, err, document(10))
	os.Remove(f.Path)
	// The next turn comes in a quarter of an hour, which the deadline does not leave.
	f, err = p.get(t, "/f.pdf")
	p.wantError(t, f, err, po.CodeTimeout, "rate limit")
}

func TestNoSecretsAreShown(t *testing.T) {
	requests := 0
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		switch requests++; requests {
		case 1:
			breakOff(w, r, document(1000), 10)
		case 2: // an answer that is no HTTP, with a cookie in it
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nSet-Cookie secret-cookie\r\n\r\n")
			conn.Close()
		default:
			http.Redirect(w, r, "http://[secret-address", http.StatusFound)
		}
	}, nil)
	p.client.SetSession([]*http.Cookie{{Name: "s", Value: "secret-session", Domain: "127.0.0.1", Path: "/"}}, "")
	_, err := p.get(t, "/f.pdf?token=secret-token#secret-fragment")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
	if strings.Contains(p.log.String(), "secret") || !strings.Contains(p.log.String(), "/f.pdf") {
		t.Errorf("the log is %s", p.log)
	}
	if requests != 3 {
		t.Errorf("%d requests", requests)
	}
}

func TestAConnectionIsUsedAgain(t *testing.T) {
	connections := map[string]bool{}
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		w.Write(document(10))
	}, nil)
	for range 5 {
		f, err := p.get(t, "/f.pdf")
		p.wantFile(t, f, err, document(10))
	}
	if len(connections) != 1 {
		t.Errorf("%d connections for 5 files", len(connections))
	}
}

func TestADirectoryThatIsGoneIsOurOwnTrouble(t *testing.T) {
	p := newPortal(t, func(w http.ResponseWriter, r *http.Request) { w.Write(document(10)) }, nil)
	_, err := p.client.Get(t.Context(), Request{URL: p.URL + "/f.pdf", Dir: filepath.Join(p.dir, "gone")})
	var e *po.Error
	if !errors.As(err, &e) || e.Code != po.CodeResource || !e.Ours {
		t.Errorf("got %v", err)
	}
}

func mustAddr(t *testing.T, s string) netip.Addr {
	t.Helper()
	addr, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
