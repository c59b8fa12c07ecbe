package demo

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Faults are the switches for trouble. The zero value is a portal in good health. POST /_faults sets them all at once (what the
// JSON does not name is switched off), GET shows them.
type Faults struct {
	// Path limits Status, Hang, Reset and SlowMillis to requests whose path starts with it; "" is every request.
	Path string `json:"path,omitempty"`

	Status            int  `json:"status,omitempty"`              // answer with this status, 429 or 503 say
	RetryAfterSeconds int  `json:"retry_after_seconds,omitempty"` // Retry-After of that answer; 0: the header is left out
	Requests          int  `json:"requests,omitempty"`            // so many requests get Status or Reset, then that ends; 0: until cleared
	Hang              bool `json:"hang,omitempty"`                // requests block until cleared
	Reset             bool `json:"reset,omitempty"`               // connections are reset
	SlowMillis        int  `json:"slow_millis,omitempty"`         // every request takes so much longer

	ExpireAfterViews int         `json:"expire_after_views,omitempty"` // a session ends after so many PO and requisition pages
	ExpiredAs        ExpiredForm `json:"expired_as,omitempty"`         // what an ended session sees; "": ExpiredRedirect
	ExpiredStatus    int         `json:"expired_status,omitempty"`     // status of the page of ExpiredOops; 0: 404
	RefuseSignIn     bool        `json:"refuse_sign_in,omitempty"`     // nobody can sign in
}

// ExpiredForm is what someone without a live session sees.
type ExpiredForm string

// The forms.
const (
	ExpiredRedirect ExpiredForm = "redirect" // a redirect to the sign-in form
	ExpiredOops     ExpiredForm = "oops"     // the page for what does not exist, at the same URL
)

// faults hold the switches, and wake up who hangs when they change.
type faults struct {
	mu      sync.Mutex
	now     Faults
	changed chan struct{} // closed at the next change; made by the first who waits
}

// SetFaults switches faults on, and off those that f leaves zero. Requests that hang go on when Hang is cleared.
func (p *Portal) SetFaults(f Faults) {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	p.faults.now = f
	if p.faults.changed != nil {
		close(p.faults.changed)
		p.faults.changed = nil
	}
}

// Faults are the faults now; Requests counts down.
func (p *Portal) Faults() Faults {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	return p.faults.now
}

// take is the faults as they are for one request, which uses up one of Requests, and the channel that the next change closes.
func (f *faults) take(path string) (Faults, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(path, f.now.Path) {
		return Faults{}, nil
	}
	taken := f.now
	if f.now.Requests > 0 && (f.now.Status != 0 || f.now.Reset) {
		f.now.Requests--
		if f.now.Requests == 0 {
			f.now.Status, f.now.Reset, f.now.RetryAfterSeconds = 0, false, 0
		}
	}
	if taken.Hang && f.changed == nil {
		f.changed = make(chan struct{})
	}
	return taken, f.changed
}

// fault answers in the portal's place when a fault says so, and tells whether it did.
func (p *Portal) fault(w http.ResponseWriter, r *http.Request) bool {
	f, changed := p.faults.take(r.URL.Path)
	for hung := false; f.Hang; f, changed = p.faults.take(r.URL.Path) {
		if !hung {
			p.stats.count(func(s *Stats) { s.Faulty++ })
			hung = true
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return true
		}
	}
	if f.Reset || f.Status != 0 {
		p.stats.count(func(s *Stats) { s.Faulty++ })
	}
	switch {
	case f.Reset:
		reset(w)
		return true
	case f.Status != 0:
		if f.RetryAfterSeconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfterSeconds))
		}
		p.message(w, nil, f.Status, http.StatusText(f.Status), "The portal cannot answer now. Please try again later.")
		return true
	}
	return !pause(r.Context(), time.Duration(f.SlowMillis)*time.Millisecond)
}

// reset ends the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // no connection of its own (HTTP/2): the stream is reset
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing then sends RST, not FIN
	}
	_ = conn.Close()
}

// serveFaults is /_faults. Beside the fields of Faults, a POST may say "expire_sessions": true, which ends all sessions now, and
// "reset_counters": true, which does what Reset does before the faults are set.
func (p *Portal) serveFaults(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		var order struct {
			Faults
			ExpireSessions bool `json:"expire_sessions"`
			ResetCounters  bool `json:"reset_counters"`
		}
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&order); err != nil {
			http.Error(w, "The body must be a JSON object of faults: "+err.Error(), http.StatusBadRequest)
			return
		}
		if order.ResetCounters {
			p.Reset()
		}
		p.SetFaults(order.Faults)
		if order.ExpireSessions {
			p.ExpireSessions()
		}
	}
	writeJSON(w, p.Faults())
}
