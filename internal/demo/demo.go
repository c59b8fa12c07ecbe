// Package demo is a stand-in for a procurement portal, for trying Purser out and for testing it: an http.Handler with a
// sign-in form, purchase orders in every shape that real portals show, requisitions, comments that a script loads late,
// attachments of every kind, missing pages, and switches for faults. It knows what a downloader ought to bring home from it:
// see Truth.
package demo

import (
	"net/http"
	"time"

	"github.com/sirupsen/logrus"
)

// The account that the portal knows when Options names none.
const (
	DefaultLogin    = "buyer@demo.example"
	DefaultPassword = "open-sesame"
)

// Weight is how much a page weighs.
type Weight string

// The weights.
const (
	Light Weight = "light" // a few KB a page: for trying out and for tests
	Heavy Weight = "heavy" // like a real portal: see Load
)

// Options are the portal's settings. The zero value is a light portal without delays.
type Options struct {
	Weight Weight
	// Load overrides what Weight gives, field by field; zero fields keep it.
	Load Load
	// BulkPOs makes every PO from BulkFirst to BulkLast exist, each with two PDFs. A heavy portal has them always.
	BulkPOs bool
	// Users who may sign in; none: DefaultLogin with DefaultPassword.
	Users []User
	Log   logrus.FieldLogger // nil: silent
}

// User may sign in to the portal.
type User struct{ Login, Password, Name string }

// Load is what a page costs. Delays are spread evenly over their range, by a hash of the request's path: the same request
// always takes equally long. A negative value means none where zero would keep the weight's own.
type Load struct {
	Latency       Range         // before each request is answered
	Comments      Range         // before the comments' XHR is answered, in place of Latency
	SlowPage      time.Duration // before the table's slow page is answered
	PageBytes     int           // the PO page's size as rendered
	ScriptBytes   int           // the script bundle's size
	ScriptWork    int           // rounds of arithmetic that the bundle does on each page; a million cost some 1–2 ms of CPU
	StyleBytes    int           // the style sheet's size
	Images        int           // pictures on a PO page
	BulkFileBytes int           // size of a bulk PO's PDF
}

// Range is a delay from Min to Max.
type Range struct{ Min, Max time.Duration }

// Portal is the portal. It is safe for concurrent use.
type Portal struct {
	options Options
}

// New makes a portal.
func New(o Options) *Portal {
	return &Portal{options: o}
}

// ServeHTTP answers as the portal.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.NotFound(w, r)
}
