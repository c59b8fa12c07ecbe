package demo

// Faults are the switches for trouble. The zero value is a portal in good health. POST /_faults sets them all at once (what the
// JSON does not name is switched off), GET shows them.
type Faults struct {
	// Path limits Status, Hang, Reset and SlowMillis to requests whose path starts with it; "" is every request.
	Path string `json:"path,omitempty"`

	Status            int  `json:"status,omitempty"`              // answer with this status, 429 or 503 say
	RetryAfterSeconds int  `json:"retry_after_seconds,omitempty"` // Retry-After of that answer; 0: the header is left out
	Requests          int  `json:"requests,omitempty"`            // so many requests get Status or Reset, then it ends; 0: until cleared
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

// SetFaults switches faults on, and off those that f leaves zero. Requests that hang go on when Hang is cleared.
func (p *Portal) SetFaults(f Faults) {}

// Faults are the faults now; Requests counts down.
func (p *Portal) Faults() Faults { return Faults{} }

// ExpireSessions ends all sessions.
func (p *Portal) ExpireSessions() {}

// Reset clears faults and counters, and forgets which once-only troubles were shown; sessions stay.
func (p *Portal) Reset() {}

// Stats counts what was asked of the portal since its start or the last Reset.
type Stats struct {
	Requests     int64            `json:"requests"`              // all but those of /_faults, /_stats and /_truth
	PageViews    int64            `json:"page_views"`            // PO and requisition pages that were shown to someone signed in
	SignIns      int64            `json:"sign_ins"`              // successful ones
	FileRequests int64            `json:"file_requests"`         // for attachments' bytes
	Faulty       int64            `json:"faulty"`                // requests that a fault answered
	Leaks        int64            `json:"leaks"`                 // requests that followed a file's redirect to a foreign host
	ViewsByPO    map[string]int64 `json:"views_by_po,omitempty"` // page views by the PO's digits
	FilesByPO    map[string]int64 `json:"files_by_po,omitempty"` // file requests by the PO's digits
	Outstanding  int64            `json:"outstanding"`           // requests being answered now
}

// Stats is a snapshot of the counters.
func (p *Portal) Stats() Stats { return Stats{} }
