package portal

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// pageScript waits until a page is ready, reads it, and says what it is: a function of a question that returns an answer.
//
//go:embed page.js
var pageScript string

// The kinds of pages that only ProbeSession and SignIn ask for.
const (
	kindSignedIn PageKind = "signed-in" // it shows that someone is signed in
	kindForm     PageKind = "form"      // it has the sign-in form
	kindRefused  PageKind = "refused"   // it says that what was entered was not accepted
)

// question is what the page script gets.
type question struct {
	Kind     PageKind         `json:"kind"`   // what the page ought to be
	Wanted   string           `json:"wanted"` // the number it ought to show
	Status   int              `json:"status"` // of the document, 0 when unknown
	Is       []Text           `json:"is"`
	Late     []lateQuestion   `json:"late"`
	Markers  Markers          `json:"markers"`
	SignedIn []Marker         `json:"signed_in,omitempty"`
	Form     *formQuestion    `json:"form,omitempty"` // only when someone is to be signed in
	Rules    []AttachmentRule `json:"attachments"`
	Mentions []Mention        `json:"mentions"`
	Supplier []Text           `json:"supplier"`
	Links    []Text           `json:"requisition_links"`
	Origin   string           `json:"origin"`  // the base URL's
	Origins  []string         `json:"origins"` // patterns of all that are allowed

	// In milliseconds, as Patience has them.
	UnknownAfter int64 `json:"unknown_after"`
	LoadGrace    int64 `json:"load_grace"`
	FrameTimeout int64 `json:"frame_timeout"`
}

type formQuestion struct {
	User     string   `json:"user"`
	Password string   `json:"password"`
	Refused  []Marker `json:"refused"`
	Sent     bool     `json:"sent"` // a form was sent before
}

type lateQuestion struct {
	Late
	SettleMillis  int64 `json:"settle"`
	TimeoutMillis int64 `json:"timeout"`
}

// ask is what every question has.
func (p *Profile) ask(kind PageKind, wanted string) question {
	q := question{
		Kind: kind, Wanted: wanted, Markers: p.Markers, Origins: p.origins(p.Hosts),
		Is: []Text{}, Late: []lateQuestion{}, Rules: []AttachmentRule{}, Mentions: []Mention{}, Supplier: []Text{}, Links: []Text{},
		UnknownAfter: p.Patience.Unknown.Milliseconds(), LoadGrace: p.Patience.Load.Milliseconds(),
		FrameTimeout: p.Patience.Frame.Milliseconds(),
	}
	if base, err := url.Parse(p.Base); err == nil {
		q.Origin = origin(base)
	}
	return q
}

// askDocument is the question about a PO's or a requisition's page.
func (p *Profile) askDocument(kind PageKind, wanted string, d Document) question {
	q := p.ask(kind, wanted)
	q.Is = d.Is
	q.Rules = p.Attachments
	q.Mentions = append(q.Mentions, p.Mentions...)
	for _, l := range d.Late {
		q.Late = append(q.Late, lateQuestion{l, l.Settle.Milliseconds(), l.Timeout.Milliseconds()})
	}
	if kind == PagePO {
		q.Supplier = append(q.Supplier, p.Supplier...)
		q.Links = append(q.Links, p.RequisitionLinks...)
	}
	return q
}

// expression is the question put to the page script.
func (q question) expression() (string, error) {
	argument, err := json.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("encoding the profile's rules: %w", err)
	}
	return "(" + strings.TrimRight(pageScript, "; \n") + ")(" + string(argument) + ")", nil
}

// answer is what the page script returns.
type answer struct {
	Kind        PageKind `json:"kind"`
	Number      string   `json:"number"`
	Reason      string   `json:"reason"`
	URL         string   `json:"url"`
	Title       string   `json:"title"`
	Status      int      `json:"status"`
	Supplier    string   `json:"supplier"`
	Attachments []struct {
		URL   string `json:"url"`
		Click *int   `json:"click"`
		Label string `json:"label"`
		Rule  string `json:"rule"`
		Frame string `json:"frame"`
	} `json:"attachments"`
	Requisitions []struct {
		ID  string `json:"id"`
		URL string `json:"url"`
	} `json:"requisitions"`
	Incomplete string `json:"incomplete"`
	Unreadable string `json:"unreadable"`
	Fields     struct {
		User     bool `json:"user"`
		Password bool `json:"password"`
	} `json:"fields"` // of the sign-in form

	retryAfter time.Duration // said by the document's response
}

// What a page may say is cut or refused beyond these limits: it is foreign input.
const (
	maxAttachments = 5000
	maxText        = 1000  // characters of a title, a label or a reason
	maxURL         = 16384 // bytes
)

// readAnswer reads what the page script returned.
func readAnswer(data []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return answer{}, fmt.Errorf("the page script's answer cannot be read: %w", err)
	}
	switch a.Kind {
	case PagePO, PageRequisition, PageNotFound, PageNoAccess, PageSignIn, PageError, PageOther, PageUnknown,
		kindSignedIn, kindForm, kindRefused:
	default:
		return answer{}, fmt.Errorf("the page script answered with the unknown kind %q", cut(string(a.Kind)))
	}
	return a, nil
}

// page is the answer as a Page. The script ran inside the page, so nothing of the answer is trusted.
func (a answer) page() Page {
	page := Page{
		Kind: a.Kind, Number: cut(a.Number), URL: a.URL, Title: cut(a.Title), Supplier: cut(a.Supplier),
		Incomplete: cut(a.Incomplete), Unreadable: cut(a.Unreadable), Status: a.Status,
		RetryAfter: a.retryAfter, Reason: cut(a.Reason),
	}
	if len(a.Attachments) > maxAttachments {
		page.Unreadable = join(page.Unreadable, fmt.Sprintf("the page has %d attachments, at most %d are read", len(a.Attachments), maxAttachments))
		a.Attachments = a.Attachments[:maxAttachments]
	}
	for _, found := range a.Attachments {
		attachment := Attachment{Label: cut(found.Label), Rule: found.Rule, Frame: found.Frame}
		switch {
		case found.URL != "":
			if u, err := url.Parse(found.URL); err != nil || !u.IsAbs() || len(found.URL) > maxURL {
				page.Unreadable = join(page.Unreadable, fmt.Sprintf("the address of %q cannot be read", attachment.Label))
				continue
			}
			attachment.URL = found.URL
		case found.Click != nil && *found.Click >= 0:
			attachment.Click = &ClickTarget{Script: clickScript(*found.Click)}
		default:
			page.Unreadable = join(page.Unreadable, fmt.Sprintf("%q has no address", attachment.Label))
			continue
		}
		page.Attachments = append(page.Attachments, attachment)
	}
	for _, l := range a.Requisitions {
		if l.ID != "" && len(l.URL) <= maxURL {
			page.Requisitions = append(page.Requisitions, Link{ID: l.ID, URL: l.URL})
		}
	}
	return page
}

// clickScript clicks the element that the page script put aside under the number.
func clickScript(n int) string {
	return `(() => {
  const el = (window[Symbol.for("purser.clicks")] || [])[` + strconv.Itoa(n) + `];
  if (!el || !el.isConnected) throw new Error("the attachment's link is no longer part of the page");
  el.click();
})()`
}

func cut(s string) string {
	runes := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(runes) > maxText {
		return string(runes[:maxText])
	}
	return string(runes)
}

func join(list, text string) string {
	if list == "" {
		return text
	}
	return list + "; " + text
}
