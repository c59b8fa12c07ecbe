// Package fetch gets one attachment: over HTTP with the browser's session, or by a click in the browser where a link has no
// address that a client could ask for. Either way the bytes are spooled to disk, checked against what the file claims to be,
// and given a safe name. Nothing leaves this package as a file that was not verified.
package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/po"
)

// Options say whom a Client may ask, and how hard.
type Options struct {
	// Allowed tells whether a file may be fetched from the address's host. Every redirect is asked about too. nil allows none.
	Allowed func(*url.URL) bool

	MaxBytes  int64         // of one file; 0 is no limit
	Stall     time.Duration // a transfer without a byte for so long is broken; 0 is a minute
	PerSecond float64       // requests a second, redirects included; 0 is no limit
	PerHost   int           // transfers at once from one host; 0 is 4

	HTTP *http.Client // its Transport is used instead of the built-in one, for tests
	Log  logrus.FieldLogger
}

// Client fetches attachments. It is safe for concurrent use.
type Client struct {
	options Options
}

// New makes a Client without a session.
func New(o Options) *Client {
	return &Client{options: o}
}

// SetSession replaces the session. A cookie is sent only to hosts that are allowed and that match its Domain, Path and Secure.
// A Domain with a leading dot covers the host's subdomains, one without is that host alone, as browsers and their exports
// write it; a cookie without a Domain is sent nowhere.
func (c *Client) SetSession(cookies []*http.Cookie, userAgent string) {}

// Close ends idle connections and removes the directory that clicked downloads go through.
func (c *Client) Close() error { return nil }

// Request is one attachment to fetch.
type Request struct {
	URL     string
	Labels  []string // names the page gave it, best first
	Referer string   // the page that links to it
	Dir     string   // the file is spooled here
}

// File is one attachment that was fetched and verified.
type File struct {
	Path         string // in the request's Dir, under a unique name that says nothing
	Name         string // sanitised; not yet unique among the PO's files
	OriginalName string // before it was sanitised
	ContentType  string // as detected from the bytes, else as the server said
	SHA256       string // lower-case hex
	URL          string // without user, query and fragment
	Note         string // what a person should know: "empty on the server", say
	Bytes        int64
}

// Get fetches and verifies one attachment. Its errors are *po.Error.
func (c *Client) Get(ctx context.Context, r Request) (File, error) {
	return File{}, po.Errorf(po.CodeFileInvalid, "cannot fetch %s", r.URL)
}

// Click fetches and verifies an attachment by a click: script is a JavaScript expression that clicks the link in the tab's
// page. Its errors are *po.Error.
func (c *Client) Click(tab context.Context, script string, labels []string, dir string) (File, error) {
	return File{}, po.Errorf(po.CodeFileInvalid, "cannot click")
}

// errSession marks errors that may mean that the session is gone.
var errSession = errors.New("the session may be gone")

// SessionSuspect tells whether the error may mean that the session is gone, so that it should be probed before anything is
// said about the file.
func SessionSuspect(err error) bool { return errors.Is(err, errSession) }
