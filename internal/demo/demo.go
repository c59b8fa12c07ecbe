// Package demo is a stand-in for a procurement portal, for trying Purser out and for testing it: an http.Handler with a
// sign-in form, purchase orders in every shape that real portals show, requisitions, comments that a script loads late,
// attachments of every kind, missing pages, and switches for faults. It knows what a downloader ought to bring home from it:
// see Truth.
package demo

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
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

// Options are the portal's settings. The zero value is a light portal.
type Options struct {
	Weight Weight
	// Load overrides what Weight gives, field by field; zero fields keep it.
	Load Load
	// BulkPOs makes every PO from BulkFirst to BulkLast exist, each with two PDFs. A heavy portal has them always.
	BulkPOs bool
	// Users who may sign in; none: DefaultLogin with DefaultPassword.
	Users []User
	Log   logrus.FieldLogger // every request at debug level; nil: silent
}

// User may sign in to the portal.
type User struct{ Login, Password, Name string }

// Portal is the portal. It is safe for concurrent use.
type Portal struct {
	options   Options
	load      Load
	catalogue *catalogue
	assets    map[string]asset
	filler    string // what makes a heavy page heavy
	routes    http.Handler
	sessions  sessions
	faults    faults
	stats     stats
	tickets   sync.Map // attachments by the names of their one-time addresses
}

// New makes a portal.
func New(o Options) *Portal {
	if o.Weight == "" {
		o.Weight = Light
	}
	if len(o.Users) == 0 {
		o.Users = []User{{Login: DefaultLogin, Password: DefaultPassword, Name: "Demo Buyer"}}
	}
	p := &Portal{options: o, load: o.Load.over(loads[o.Weight]), catalogue: newCatalogue(orders())}
	p.assets = newAssets(p.load)
	p.filler = filler(p.load.PageBytes - 8000) // a page without it has some 8 KB
	p.sessions.live = map[string]*session{}
	p.stats.clear()
	p.routes = p.newRoutes()
	return p
}

func (p *Portal) newRoutes() http.Handler {
	mux := http.NewServeMux()
	// For everyone.
	mux.HandleFunc("GET /sessions/new", p.signInForm)
	mux.HandleFunc("POST /sessions/create", p.signIn)
	mux.HandleFunc("GET /assets/{name}", p.asset)
	mux.HandleFunc("GET /{$}", p.home)
	// For who is signed in.
	for pattern, show := range map[string]func(http.ResponseWriter, *http.Request, *session){
		"POST /sessions/destroy":                             p.signOut,
		"GET /order_headers":                                 p.orderList,
		"GET /order_headers/{digits}":                        p.orderPage,
		"GET /order_headers/{digits}/documents":              p.framePage,
		"GET /requisition_headers":                           p.requisitionList,
		"GET /requisition_headers/{id}":                      p.requisitionPage,
		"GET /comments":                                      p.commentList,
		"GET /attachments/{id}":                              p.showRoute,
		"GET /attachment/attachment_file/{form}/{id}/{name}": p.file,
		"GET /documents/{id}":                                p.file,
		"GET /download":                                      p.file,
		"GET /blobs/{id}/{name}":                             p.file,
		"POST /tickets/{id}":                                 p.newTicket,
		"GET /tickets/{ticket}":                              p.redeemTicket,
		"/":                                                  p.nothing,
	} {
		mux.HandleFunc(pattern, p.signedIn(show))
	}
	return mux
}

// ServeHTTP answers as the portal.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/_faults":
		p.serveFaults(w, r)
	case path == "/_stats":
		writeJSON(w, p.Stats())
	case path == "/_truth":
		p.serveTruth(w, r)
	case path == "/analytics/collect":
		analytics(w, r)
	case strings.HasPrefix(path, "/elsewhere/"):
		p.elsewhere(w, r)
	default:
		p.serve(w, r)
	}
}

func (p *Portal) serve(w http.ResponseWriter, r *http.Request) {
	p.stats.count(func(s *Stats) { s.Requests++; s.Outstanding++ })
	defer p.stats.count(func(s *Stats) { s.Outstanding-- })
	if p.options.Log != nil {
		p.options.Log.WithFields(logrus.Fields{"method": r.Method, "url": r.URL.RequestURI()}).Debug("asked")
	}
	delay := p.load.Latency
	if r.URL.Path == "/comments" {
		delay = Range{} // has its own
	}
	if p.fault(w, r) || !pause(r.Context(), delay.of(r.URL.RequestURI())) {
		return
	}
	p.routes.ServeHTTP(w, r)
}

// analytics answers the beacons that pages send, one after the other, for ever: the network is never idle.
func analytics(w http.ResponseWriter, r *http.Request) {
	if pause(r.Context(), 300*time.Millisecond) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.WriteHeader(http.StatusNoContent)
	}
}

// elsewhere is what a redirect to a foreign host leads to. Who comes here has followed a link that must not be followed.
func (p *Portal) elsewhere(w http.ResponseWriter, r *http.Request) {
	p.stats.count(func(s *Stats) { s.Leaks++ })
	w.Header().Set("Content-Type", "application/pdf")
	_, _ = w.Write(pdfOf("This file is not the portal's "+r.URL.Path, 0))
}

// otherHost is a host that is not the one asked, but leads here all the same: localhost for 127.0.0.1, and the other way round.
func otherHost(r *http.Request) string {
	name, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		name, port = r.Host, ""
	}
	switch name {
	case "127.0.0.1":
		name = "localhost"
	case "localhost":
		name = "127.0.0.1"
	default:
		name, port = "files.elsewhere.example", ""
	}
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}

// base is the portal's address as the client knows it.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // fails when the client has gone
}
