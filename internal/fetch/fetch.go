// Package fetch gets one attachment: over HTTP with the browser's session, or by a click in the browser where a link has no
// address that a client could ask for. Either way the bytes are spooled to disk, checked against what the file claims to be,
// and given a safe name. Nothing leaves this package as a file that was not verified.
package fetch

import (
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Options say whom a Client may ask, and how hard.
type Options struct {
	// Allowed tells whether a file may be fetched from the address's host. Every redirect is asked about too. nil allows none.
	Allowed func(*url.URL) bool

	MaxBytes  int64         // of one file; 0 is no limit
	Stall     time.Duration // a transfer without a byte for so long is broken; 0 is a minute
	PerSecond float64       // requests a second, redirects included; 0 is no limit
	PerHost   int           // transfers at once from one host; 0 is 4

	TempDir string // clicked downloads pass through a directory made here; "" is os.TempDir()

	HTTP *http.Client // its Transport is used instead of the built-in one, for tests
	Log  logrus.FieldLogger
}

// Client fetches attachments. It is safe for concurrent use.
type Client struct {
	options Options
	limits  *limits
	session atomic.Pointer[session]
	clicks  clicks

	clickWaits []time.Duration // how long each click may take to start a download
}

// New makes a Client without a session.
func New(o Options) *Client {
	if o.Stall <= 0 {
		o.Stall = time.Minute
	}
	if o.PerHost <= 0 {
		o.PerHost = 4
	}
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = silent
	}
	perSecond, burst := rate.Inf, 0
	if o.PerSecond > 0 {
		perSecond, burst = rate.Limit(o.PerSecond), max(1, int(o.PerSecond))
	}
	c := &Client{options: o, clicks: clicks{parent: o.TempDir}, clickWaits: defaultClickWaits, limits: &limits{
		base:    newTransport(o.PerHost),
		rate:    rate.NewLimiter(perSecond, burst),
		perHost: o.PerHost,
		stall:   o.Stall,
		hosts:   map[string]*semaphore.Weighted{},
	}}
	if o.HTTP != nil && o.HTTP.Transport != nil {
		c.limits.base = o.HTTP.Transport
	}
	c.SetSession(nil, "")
	return c
}

// SetSession replaces the session. A cookie is sent only to hosts that are allowed and that match its Domain, Path and Secure.
// A Domain with a leading dot covers the host's subdomains, one without is that host alone, as browsers and their exports
// write it; a cookie without a Domain is sent nowhere.
func (c *Client) SetSession(cookies []*http.Cookie, userAgent string) {
	c.session.Store(newSession(cookies, userAgent))
}

// Close ends idle connections, and removes the directory that clicked downloads go through. The browser should be gone by then:
// it makes the directory anew for a download that still runs.
func (c *Client) Close() error {
	if idle, ok := c.limits.base.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	return c.clicks.close()
}

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
