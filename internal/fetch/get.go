package fetch

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/po"
)

const (
	maxHops       = 10 // redirects that one request follows
	maxTries      = 10 // requests for one file whose body breaks off
	maxIdleTries  = 3  // of them in a row, those that brought no byte that was not there before
	emptyOnServer = "empty on the server"
)

// Get fetches and verifies one attachment. Its errors are *po.Error.
func (c *Client) Get(ctx context.Context, r Request) (File, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return File{}, refusal("a link on the page is not an address")
	}
	if err := c.check(u); err != nil {
		return File{}, err
	}
	out, err := newSpool(r.Dir, c.options.MaxBytes)
	if err != nil {
		return File{}, err
	}
	t := transfer{client: c, url: u, page: r.Referer, out: out}
	file, err := t.run(ctx, r.Labels)
	if err != nil {
		t.out.discard()
		return File{}, po.AsError(err)
	}
	if file.Path, err = t.out.keep(); err != nil {
		return File{}, err
	}
	return file, nil
}

// refusal is an error that no other try will change.
func refusal(format string, args ...any) *po.Error {
	e := po.Errorf(po.CodeFileInvalid, format, args...)
	e.Retry = false
	return e
}

// check tells whether an address may be asked.
func (c *Client) check(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return refusal("%s is not fetched: only http and https addresses are", bare(u))
	case u.User != nil:
		return refusal("%s is not fetched: its address carries a user name", bare(u))
	case c.options.Allowed == nil || !c.options.Allowed(u):
		return refusal("%s is not fetched: the profile does not allow the host %s", bare(u), u.Host)
	}
	return nil
}

// referer is what a browser tells a server about the page that links to it: all but secrets to the page's own host, the host's
// name to others, nothing over an unprotected line.
func referer(page string, to *url.URL) string {
	from, err := url.Parse(page)
	if err != nil || from.Host == "" || from.Scheme == "https" && to.Scheme != "https" {
		return ""
	}
	if from.Host != to.Host {
		return from.Scheme + "://" + from.Host + "/"
	}
	return bare(from)
}

// transfer is one file on its way, over as many requests as it takes.
type transfer struct {
	client *Client
	url    *url.URL
	page   string // that links to it
	out    *spool

	header    http.Header // of the answer whose body was spooled
	final     *url.URL    // where redirects led
	validator string      // what If-Range can name, "" when a broken body cannot be gone on with
	encoding  string
}

// run fetches until the body is whole, then verifies it.
func (t *transfer) run(ctx context.Context, labels []string) (File, error) {
	var farthest int64
	idle := 0
	for try := 1; ; try++ {
		err := t.try(ctx)
		if err == nil {
			return t.finish(labels)
		}
		if stopped(ctx, err) {
			return File{}, contextError(ctx, bare(t.url))
		}
		if idle++; t.out.size > farthest {
			farthest, idle = t.out.size, 0
		}
		if !errors.Is(err, errBroken) || try == maxTries || idle == maxIdleTries {
			return File{}, err
		}
		t.client.options.Log.WithFields(logrus.Fields{"url": bare(t.url), "try": try, "bytes": t.out.size}).
			WithError(err).Info("a transfer broke off; trying again")
	}
}

// try sends one request and spools its body. An error that wraps errBroken is worth another try at once.
func (t *transfer) try(ctx context.Context) error {
	offset := t.out.size
	if t.validator == "" {
		offset = 0
	}
	resp, err := t.ask(ctx, offset)
	if err != nil {
		return err
	}
	defer resp.Body.Close()

	total := resp.ContentLength
	switch {
	case resp.StatusCode == http.StatusOK:
		if err := t.begin(resp); err != nil {
			return err
		}
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		start, whole, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || start != offset || validator(resp.Header) != t.validator {
			t.validator = "" // another file by now, or a server that miscounts: from the start
			return broken(po.Errorf(po.CodeNetwork, "%s changed while it was fetched", bare(t.url)))
		}
		if total = whole; total < 0 && resp.ContentLength >= 0 {
			total = offset + resp.ContentLength
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		t.validator = ""
		return broken(po.Errorf(po.CodeNetwork, "%s changed while it was fetched", bare(t.url)))
	default:
		return statusError(resp, bare(t.url))
	}
	if t.out.limit > 0 && total > t.out.limit {
		return t.tooLarge(total)
	}
	err = t.out.readFrom(resp.Body)
	var disk *po.Error
	switch {
	case errors.Is(err, errTooLarge):
		return t.tooLarge(-1)
	case errors.As(err, &disk):
		return disk
	case err != nil && total >= 0:
		return broken(po.Errorf(po.CodeNetwork, "%s broke off after %d of %d bytes: %s", bare(t.url), t.out.size, total, networkError(err, "the body").Text))
	case err != nil:
		return broken(networkError(err, bare(t.url)))
	case total >= 0 && t.out.size != total:
		return broken(po.Errorf(po.CodeNetwork, "%s has %d bytes where the server promised %d", bare(t.url), t.out.size, total))
	}
	return nil
}

// begin takes a body from its start.
func (t *transfer) begin(resp *http.Response) error {
	t.header, t.final = resp.Header, resp.Request.URL
	t.encoding = strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	t.validator = validator(resp.Header)
	return t.out.restart()
}

func broken(e *po.Error) error { return fmt.Errorf("%w: %w", errBroken, e) }

func (t *transfer) tooLarge(size int64) error {
	if size > 0 {
		return po.Errorf(po.CodeFileTooLarge, "%s has %d bytes; MAX_FILE_BYTES allows %d", bare(t.url), size, t.out.limit)
	}
	return po.Errorf(po.CodeFileTooLarge, "%s has more than the %d bytes that MAX_FILE_BYTES allows", bare(t.url), t.out.limit)
}

// ask sends a request and follows its redirects, each of which is checked like the first address. http.Client would do so too,
// but repeats addresses, their queries included, in its errors.
func (t *transfer) ask(ctx context.Context, offset int64) (*http.Response, error) {
	session := t.client.session.Load()
	u := t.url
	for range maxHops {
		req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{"Accept": {"*/*"}}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).
			WithContext(ctx)
		req.Header.Set("Accept-Encoding", "identity")
		req.Header.Set("User-Agent", session.userAgent)
		if from := referer(t.page, u); from != "" {
			req.Header.Set("Referer", from)
		}
		if offset > 0 {
			req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
			req.Header.Set("If-Range", t.validator)
		}
		if cookies := session.cookieHeader(u); cookies != "" {
			req.Header.Set("Cookie", cookies)
		}
		resp, err := t.client.limits.RoundTrip(req)
		if err != nil {
			if stopped(ctx, err) {
				return nil, err
			}
			e := networkError(err, bare(u))
			// A host that only this file's link names says nothing about the portal, whose page was just read.
			if from, err := url.Parse(t.page); err == nil && from.Host != "" && from.Host != u.Host {
				e.Wide = false
			}
			if e.Wide || !e.Retry {
				return nil, e
			}
			return nil, broken(e)
		}
		session.jar.SetCookies(u, resp.Cookies())
		next, err := t.redirect(u, resp)
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if next == nil {
			return resp, nil
		}
		resp.Body.Close()
		u = next
	}
	return nil, refusal("%s leads in a circle (%d redirects)", bare(t.url), maxHops)
}

// redirect is where the answer sends us, nil when it is an answer.
func (t *transfer) redirect(u *url.URL, resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	next, err := u.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, refusal("%s leads to an address that cannot be read", bare(t.url))
	}
	if err := t.client.check(next); err != nil {
		if signInAddress(next) {
			return nil, po.Errorf(po.CodeFileInvalid, "the portal asked to sign in instead of sending %s; %w", bare(t.url), errSession)
		}
		return nil, refusal("%s leads elsewhere: %s", bare(t.url), po.AsError(err).Text)
	}
	return next, nil
}

// validator is what a later request can name to go on with this body: a strong ETag, else the time of the last change.
func validator(h http.Header) string {
	if h.Get("Accept-Ranges") == "none" {
		return ""
	}
	if etag := h.Get("ETag"); etag != "" && !strings.HasPrefix(etag, "W/") {
		return etag
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes 5-9/10". whole is -1 when the server does not say it.
func contentRange(value string) (start, whole int64, ok bool) {
	rest, found := strings.CutPrefix(value, "bytes ")
	span, size, found2 := strings.Cut(rest, "/")
	first, _, found3 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if !found || !found2 || !found3 || err != nil {
		return 0, 0, false
	}
	if size == "*" {
		return start, -1, true
	}
	whole, err = strconv.ParseInt(size, 10, 64)
	return start, whole, err == nil
}

// finish makes a File of the spooled body, if it is one.
func (t *transfer) finish(labels []string) (File, error) {
	disposition := t.header.Get("Content-Disposition")
	contentType := t.header.Get("Content-Type")
	original := originalName(disposition, labels, t.url.String())
	if err := t.decode(original, contentType); err != nil {
		return File{}, err
	}
	redirected := t.final.String() != t.url.String()
	return verified(t.out.head, File{
		OriginalName: original,
		Bytes:        t.out.size,
		SHA256:       t.out.hexSum(),
		URL:          bare(t.url),
	}, evidence{
		contentType: contentType,
		saidEmpty:   t.header.Get("Content-Length") == "0",
		signIn:      redirected && signInAddress(t.final),
		asPage:      disposition == "",
	})
}

// evidence is what is known about a file beside its bytes and its name.
type evidence struct {
	contentType string
	saidEmpty   bool // the server said that it has no bytes
	signIn      bool // it came from a sign-in address
	asPage      bool // nothing says that it is to be saved, not shown
}

// verified checks a file, and fills in what its bytes tell.
func verified(head []byte, f File, e evidence) (File, error) {
	f.Name = Sanitise(f.OriginalName)
	if f.Bytes == 0 {
		if !e.saidEmpty {
			return File{}, po.Errorf(po.CodeFileInvalid, "%s is empty, though the server did not say so", f.Name)
		}
		f.ContentType, f.Note = e.contentType, emptyOnServer
		return f, nil
	}
	v := inspect(head, e.contentType)
	if v.kind == kindHTML && (e.signIn || e.asPage && v.signIn) {
		return File{}, v.pageError(f.Name)
	}
	if err := v.check(f.Name); err != nil {
		return File{}, err
	}
	if !hasExtension(f.Name) && v.extension != "" {
		f.Name = Sanitise(f.Name + v.extension)
	}
	f.ContentType, f.Note = v.contentType, v.note(f.Name)
	return f, nil
}

// decode undoes a Content-Encoding that the server used without being asked. A file that is gzip itself stays as it is:
// servers label those so by mistake, and browsers know it.
func (t *transfer) decode(name, contentType string) error {
	switch t.encoding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
	default:
		return po.Errorf(po.CodeFileInvalid, "%s came in the encoding %.20q, which was not asked for", bare(t.url), t.encoding)
	}
	extension := extensionOf(name)
	if extension == "gz" || extension == "tgz" || strings.Contains(contentType, "gzip") || t.out.size == 0 {
		return nil
	}
	if _, err := t.out.file.Seek(0, io.SeekStart); err != nil {
		return diskError(err)
	}
	plain, err := gzip.NewReader(t.out.file)
	if err != nil { // not gzip at all: then the bytes are the file
		return nil
	}
	packed := t.out
	unpacked, err := newSpool(filepath.Dir(packed.file.Name()), packed.limit)
	if err != nil {
		return err
	}
	t.out = unpacked
	defer packed.discard()
	err = unpacked.readFrom(plain)
	var disk *po.Error
	switch {
	case errors.As(err, &disk):
		return disk
	case errors.Is(err, errTooLarge):
		return t.tooLarge(-1)
	case err != nil:
		return po.Errorf(po.CodeFileInvalid, "%s cannot be unpacked: %w", bare(t.url), err)
	}
	return nil
}
