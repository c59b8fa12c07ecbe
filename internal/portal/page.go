package portal

import "time"

// PageKind says what a page that came back is.
type PageKind string

// The kinds of pages. Only PagePO and PageRequisition are harvested.
const (
	PagePO          PageKind = "po"          // the page of the PO that was asked for
	PageRequisition PageKind = "requisition" // the page of the requisition that was asked for
	PageNotFound    PageKind = "not-found"   // also what an expired session shows: believe it only after ProbeSession
	PageNoAccess    PageKind = "no-access"
	PageSignIn      PageKind = "sign-in"
	PageError       PageKind = "error"   // the portal says that something went wrong, with a status below 500
	PageOther       PageKind = "other"   // another PO's or requisition's page
	PageUnknown     PageKind = "unknown" // nothing that the profile knows
)

// Page is what was read of one page, in one evaluation.
type Page struct {
	Kind     PageKind
	Number   string // the PO's number or the requisition's id, as the page shows it
	URL      string // where the browser ended up
	Title    string
	Supplier string

	Attachments  []Attachment
	Requisitions []Link

	// Incomplete says why Attachments may lack some that another try would find: "comments did not load". Empty when the list
	// is whole.
	Incomplete string
	// Unreadable says which attachments the page speaks of that no rule of the profile could read. Such a page is
	// LAYOUT_UNKNOWN, never "no attachments".
	Unreadable string

	Status     int           // HTTP status of the document, 0 when unknown
	RetryAfter time.Duration // how long the portal asked to be left alone, 0 when it said nothing
	Reason     string        // the marker that decided Kind, for a person
}

// Attachment is one file that the page offers. Of URL and Click exactly one is set.
type Attachment struct {
	URL   string       // absolute, without fragment; it may lead to a host from which nothing may be fetched
	Click *ClickTarget // how to get the file when it has no such URL: blob:, script, a new tab
	Label string       // the best name that the page gives it
	Rule  string       // the profile's rule that found it
	Frame string       // URL of the frame it was found in, "" for the page itself
}

// ClickTarget is an element that starts a download when it is clicked.
type ClickTarget struct {
	// Script is a JavaScript expression that clicks exactly this element, in the page on which it was found. It throws when
	// the element is no longer part of the page.
	Script string
}

// Link leads to a requisition.
type Link struct{ ID, URL string }
