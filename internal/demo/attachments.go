package demo

import (
	"bytes"
	"crypto/rand"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// file answers a request for an attachment's bytes, under any of its addresses.
func (p *Portal) file(w http.ResponseWriter, r *http.Request, s *session) {
	id := r.PathValue("id")
	if id == "" {
		id = r.FormValue("id")
	}
	a := p.attachment(id)
	if a == nil || a.place == outsideURL {
		p.nothing(w, r, s)
		return
	}
	p.stats.count(func(c *Stats) { c.FileRequests++; c.FilesByPO[a.owner]++ })
	switch a.answer {
	case signInPage:
		p.renderSignIn(w, r.URL.RequestURI(), "")
	case empty:
		describe(w, a)
		w.Header().Set("Content-Length", "0")
	case cutOnce:
		if p.stats.first(a.id) {
			serveHalf(w, a)
			return
		}
		serveWhole(w, r, a)
	case cutAlways:
		serveHalf(w, a)
	case tooLarge:
		serveTooLarge(w, r, a)
	case unavailableOnce:
		if p.stats.first(a.id) {
			p.message(w, s, http.StatusServiceUnavailable, "Service Unavailable", "The file store is busy.")
			return
		}
		serveWhole(w, r, a)
	case elsewhere:
		http.Redirect(w, r, strings.TrimSuffix(base(r), r.Host)+otherHost(r)+"/elsewhere/"+a.id, http.StatusFound)
	case oneTimeURL:
		http.Redirect(w, r, p.ticket(a), http.StatusFound)
	default:
		serveWhole(w, r, a)
	}
}

// describe sets the headers that say what the file is.
func describe(w http.ResponseWriter, a *attachment) {
	contentType := a.headers.contentType
	if contentType == "" {
		contentType = mimeTypes[a.kind]
	}
	w.Header().Set("Content-Type", contentType)
	disposition := usualDisposition(a.label)
	if a.headers.disposition != nil {
		disposition = *a.headers.disposition
	}
	if disposition != "" {
		w.Header().Set("Content-Disposition", disposition)
	}
}

// usualDisposition names the file as RFC 6266 asks: twice where its name is more than ASCII.
func usualDisposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	if plain == name {
		return mime.FormatMediaType("attachment", map[string]string{"filename": name})
	}
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + url.PathEscape(name)
}

// serveWhole serves the file, or the range of it that is asked for.
func serveWhole(w http.ResponseWriter, r *http.Request, a *attachment) {
	data := a.bytes()
	describe(w, a)
	w.Header().Set("ETag", `"`+sha256Hex(data)[:16]+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// serveHalf promises the file and breaks off half-way.
func serveHalf(w http.ResponseWriter, a *attachment) {
	data := a.bytes()
	describe(w, a)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if a.answer == cutOnce {
		w.Header().Set("ETag", `"`+sha256Hex(data)[:16]+`"`)
		w.Header().Set("Accept-Ranges", "bytes")
	}
	_, _ = w.Write(data[:len(data)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // ends the connection without the rest
}

// serveTooLarge promises 8 GiB, sends their beginning, and waits until the client has had enough.
func serveTooLarge(w http.ResponseWriter, r *http.Request, a *attachment) {
	describe(w, a)
	w.Header().Set("Content-Length", strconv.Itoa(8<<30))
	_, _ = w.Write(a.bytes())
	_ = http.NewResponseController(w).Flush()
	pause(r.Context(), 10*time.Second)
	panic(http.ErrAbortHandler)
}

// showRoute is the address of an attachment that is no file: it leads back to the PO.
func (p *Portal) showRoute(w http.ResponseWriter, r *http.Request, s *session) {
	a := p.attachment(r.PathValue("id"))
	if a == nil {
		p.nothing(w, r, s)
		return
	}
	http.Redirect(w, r, "/order_headers/"+a.owner, http.StatusFound)
}

// ticket is an address that gives the attachment once.
func (p *Portal) ticket(a *attachment) string {
	name := rand.Text()
	p.tickets.Store(name, a)
	return "/tickets/" + name
}

// newTicket answers the script of a page's download button: the address is in no page, and works once.
func (p *Portal) newTicket(w http.ResponseWriter, r *http.Request, s *session) {
	a := p.attachment(r.PathValue("id"))
	if a == nil {
		p.nothing(w, r, s)
		return
	}
	writeJSON(w, map[string]string{"url": p.ticket(a)})
}

func (p *Portal) redeemTicket(w http.ResponseWriter, r *http.Request, s *session) {
	a, ok := p.tickets.LoadAndDelete(r.PathValue("ticket"))
	if !ok {
		p.nothing(w, r, s)
		return
	}
	serveWhole(w, r, a.(*attachment))
}
