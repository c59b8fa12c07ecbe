package demo

import (
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// order is a row of the table: a PO, what its page shows, and what must come of it.
type order struct {
	number      po.Number
	shape       string
	supplier    string
	vendor      string
	status      po.Status
	code        po.ErrorCode
	page        pageShape
	comments    []comment
	trouble     commentsTrouble
	attachments []*attachment
	requisition *requisition
}

func (o *order) digits() string { return o.number.Digits() }

// pageShape is what the PO's URL shows.
type pageShape string

const (
	usual           pageShape = ""                // the PO's page
	slow            pageShape = "slow"            // the PO's page, after Load.SlowPage
	decoyed         pageShape = "decoyed"         // the PO's page with what looks like attachments and is none
	otherOrder      pageShape = "other order"     // the table's first PO's page
	unknownLayout   pageShape = "unknown layout"  // speaks of attachments in a markup that nobody knows
	oops            pageShape = "oops"            // "Oops!", with status 200
	oopsLocalised   pageShape = "oops localised"  // the same in Portuguese
	missing         pageShape = "missing"         // a plain 404
	forbidden       pageShape = "forbidden"       // "not authorized", with status 403
	forbiddenAtHome pageShape = "forbidden, home" // a redirect to the landing page with a message on it
)

// commentsTrouble is what becomes of the comments' request.
type commentsTrouble string

const (
	commentsFine     commentsTrouble = ""
	commentsLate     commentsTrouble = "late"      // well after the page
	commentsSlow     commentsTrouble = "slow"      // seconds after the page
	commentsFail     commentsTrouble = "fail"      // always a 500
	commentsFailOnce commentsTrouble = "fail once" // a 500, then fine
)

// Delays of late and slow comments, on top of nothing: Load.Comments does not count for them.
const (
	lateComments = 1500 * time.Millisecond
	slowComments = 4 * time.Second
)

// comment stands under a PO. Its attachments are those of place inComment.
type comment struct {
	author, text string
	requisition  string // id of a requisition that the text links to
}

// requisition is where a PO comes from.
type requisition struct {
	id          string
	closed      bool // nobody may open it
	attachments []*attachment
}

// place is where on the page an attachment is.
type place string

const (
	inHeader   place = "header"    // the list at the page's head
	inComment  place = "comment"   // under a comment
	plainLink  place = "link"      // an ordinary link
	inFrame    place = "frame"     // a link in a frame
	inShadow   place = "shadow"    // a link in an open shadow root
	blobLink   place = "blob"      // a link to blob:, made by script
	byScript   place = "script"    // a button whose script starts the download
	inNewTab   place = "new tab"   // a button whose script opens the file in a new tab
	outsideURL place = "elsewhere" // a link to another host, or to no host at all
)

// attachment is a file that a page offers.
type attachment struct {
	label   string // its name on the page
	place   place
	id      string // in the portal's URLs
	owner   string // digits of the PO
	kind    kind
	stored  string // the name it must be stored under; "" when it cannot be had
	twin    string // label of the attachment whose bytes this one has too; "" for bytes of its own
	form    linkForm
	shown   int    // how often the page links to it; 0 is once
	href    string // of an outsideURL
	answer  answer // what becomes of the request for it
	headers headers
	bytes   func() []byte
}

// linkForm is what the URL of a plain link looks like.
type linkForm string

const (
	attachmentForm  linkForm = ""            // /attachment/attachment_file/file/<id>/<name>
	downloadForm    linkForm = "download"    // /documents/<id> with a download attribute
	filenameForm    linkForm = "filename"    // /download?id=<id>&filename=<name>
	dispositionForm linkForm = "disposition" // /blobs/<id>/<name>?disposition=attachment
)

// headers are what an answer says in place of what is usual.
type headers struct {
	disposition *string // Content-Disposition, byte by byte; "" leaves the header out
	contentType string
}

// answer is what becomes of a request for a file.
type answer string

const (
	whole           answer = ""                 // the file; ranges too
	signInPage      answer = "sign-in page"     // an HTML page with status 200, the session being fine
	empty           answer = "empty"            // nothing, and Content-Length says so
	cutOnce         answer = "cut once"         // the first answer breaks off half-way
	cutAlways       answer = "cut always"       // every answer breaks off half-way, and ranges are not known
	tooLarge        answer = "too large"        // Content-Length says 8 GiB
	unavailableOnce answer = "unavailable once" // a 503, then the file
	elsewhere       answer = "elsewhere"        // a redirect to another host
	oneTimeURL      answer = "one-time URL"     // a redirect to an address of this portal that works once
	wrongBytes      answer = "wrong bytes"      // a picture that the name and the type call a PDF
)

// url is the attachment's address on the portal, or where it points when it is outside.
func (a *attachment) url() string {
	name := url.PathEscape(a.label)
	switch {
	case a.place == outsideURL:
		return a.href
	case a.form == downloadForm:
		return "/documents/" + a.id
	case a.form == filenameForm:
		return "/download?id=" + a.id + "&filename=" + url.QueryEscape(a.label)
	case a.form == dispositionForm:
		return "/blobs/" + a.id + "/" + name + "?disposition=attachment"
	case a.place == inHeader:
		return "/attachment/attachment_file/type/" + a.id + "/" + name
	}
	return "/attachment/attachment_file/file/" + a.id + "/" + name
}

// The table's words. Each makes an attachment, or changes one.

func header(label string) *attachment { return newAttachment(inHeader, label) }
func comm(label string) *attachment   { return newAttachment(inComment, label) }
func link(label string) *attachment   { return newAttachment(plainLink, label) }
func framed(label string) *attachment { return newAttachment(inFrame, label) }
func shadow(label string) *attachment { return newAttachment(inShadow, label) }
func blob(label string) *attachment   { return newAttachment(blobLink, label) }
func script(label string) *attachment { return newAttachment(byScript, label) }
func newTab(label string) *attachment { return newAttachment(inNewTab, label) }

// outside is a link that must not be followed.
func outside(label, href string) *attachment {
	a := newAttachment(outsideURL, label)
	a.href, a.stored = href, ""
	return a
}

func newAttachment(p place, label string) *attachment {
	return &attachment{place: p, label: label, kind: kindOf(label), stored: label}
}

// as is the name under which it must be stored, where that is not the label.
func (a *attachment) as(stored string) *attachment { a.stored = stored; return a }

// named is the server's Content-Disposition, byte by byte; "" sends none.
func (a *attachment) named(disposition string) *attachment {
	a.headers.disposition = &disposition
	return a
}

// typed is the server's Content-Type.
func (a *attachment) typed(contentType string) *attachment {
	a.headers.contentType = contentType
	return a
}

// answered is what becomes of a request for it.
func (a *attachment) answered(with answer) *attachment { a.answer = with; return a }

// lost says that it cannot be had.
func (a *attachment) lost() *attachment { a.stored = ""; return a }

// linkedAs is the form of its link.
func (a *attachment) linkedAs(f linkForm) *attachment { a.form = f; return a }

// twice puts two links to it on the page.
func (a *attachment) twice() *attachment { a.shown = 2; return a }

// like gives it the bytes of the attachment with that label.
func (a *attachment) like(label string) *attachment { a.twin = label; return a }

// catalogue is the table with ids and bytes filled in, found by what the portal's URLs name.
type catalogue struct {
	orders       []*order
	byDigits     map[string]*order
	requisitions map[string]*requisition
	attachments  map[string]*attachment
}

func newCatalogue(orders []*order) *catalogue {
	c := &catalogue{
		orders:       orders,
		byDigits:     map[string]*order{},
		requisitions: map[string]*requisition{},
		attachments:  map[string]*attachment{},
	}
	for _, o := range orders {
		c.byDigits[o.digits()] = o
		c.add(o.digits(), "PO"+o.digits(), o.digits()+"0", o.attachments)
		if o.requisition != nil {
			c.addRequisition(o.digits(), o.requisition)
		}
	}
	c.addRequisition("", &requisition{id: foreignRequisition, attachments: []*attachment{header("Foreign requisition.pdf")}})
	return c
}

func (c *catalogue) addRequisition(owner string, r *requisition) {
	c.requisitions[r.id] = r
	c.add(owner, "Requisition "+r.id, r.id+"1", r.attachments)
}

// add gives the attachments ids that begin with prefix, and bytes made from the document that they belong to and their label.
func (c *catalogue) add(owner, document, prefix string, attachments []*attachment) {
	for i, a := range attachments {
		a.owner = owner
		a.id = fmt.Sprintf("%s%02d", prefix, i+1)
		title := document + " " + a.label
		if a.twin != "" {
			title = document + " " + a.twin
		}
		k := a.kind
		if a.answer == wrongBytes {
			k = pngs
		}
		a.bytes = sync.OnceValue(func() []byte {
			if a.answer == empty {
				return nil
			}
			return content(k, title)
		})
		c.attachments[a.id] = a
	}
}
