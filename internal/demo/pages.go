package demo

import (
	"bytes"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

//go:embed web/*.html
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"base64": base64.StdEncoding.EncodeToString,
	// A link to file: is what one PO is there to show; html/template would hide it.
	"url":   func(a *attachment) template.URL { return template.URL(a.url()) }, //nolint:gosec // addresses come from the table
	"times": func(a *attachment) int { return max(a.shown, 1) },
	"label": func(a *attachment) string { return a.label },
	"id":    func(a *attachment) string { return a.id },
	"bytes": func(a *attachment) []byte { return a.bytes() },
	"form":  func(a *attachment) string { return string(a.form) },
}).ParseFS(templateFiles, "web/*.html"))

// page is what the templates show.
type page struct {
	Template                   string
	Controller, Action, DataID string // on the html element
	Title                      string
	Session                    *session
	Flash                      string // a message on top of the page
	Heading, Text              string // of a page that only says something
	ReturnTo                   string // of the sign-in form
	Orders                     []*order
	Order                      *orderView
	Heavy                      heavy
}

// heavy is what makes a page weigh more.
type heavy struct {
	Filler    template.HTML
	Images    []string
	Analytics string // where beacons go
}

// orderView is a PO or a requisition as its page shows it.
type orderView struct {
	Number, Supplier, Status string
	Requisition              string // id of the requisition to link to
	Comments                 string // address of the comments
	Lines                    []orderLine
	Total                    string
	Decoys                   bool
	UnknownLayout            bool
	attachments              []*attachment
}

type orderLine struct {
	Article, Price   string
	Number, Quantity int
}

func (v *orderView) in(p place) []*attachment {
	var found []*attachment
	for _, a := range v.attachments {
		if a.place == p {
			found = append(found, a)
		}
	}
	return found
}

// The attachments by their place, for the templates.

func (v *orderView) Header() []*attachment { return v.in(inHeader) }
func (v *orderView) Links() []*attachment  { return append(v.in(plainLink), v.in(outsideURL)...) }
func (v *orderView) Framed() []*attachment { return v.in(inFrame) }
func (v *orderView) Shadow() []*attachment { return v.in(inShadow) }
func (v *orderView) Blobs() []*attachment  { return v.in(blobLink) }
func (v *orderView) Script() []*attachment { return v.in(byScript) }
func (v *orderView) NewTab() []*attachment { return v.in(inNewTab) }

// ErrorTexts is what a real page has too: the word "error" all over, with nothing wrong.
func (page) ErrorTexts() []string {
	var texts []string
	for i := range 40 {
		texts = append(texts, "form.error."+strconv.Itoa(i))
	}
	return texts
}

// Row gives the list of POs what a template cannot reach.
func (o *order) Row() struct{ Digits, Number, Supplier, Shape string } {
	return struct{ Digits, Number, Supplier, Shape string }{o.digits(), string(o.number), o.supplier, o.shape}
}

// UserName is who is signed in.
func (s *session) UserName() string { return s.user.Name }

// FormToken goes into forms.
func (s *session) FormToken() string { return s.form }

func (p *Portal) render(w http.ResponseWriter, status int, pg page) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, pg.Template+".html", pg); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// message is a page that only says something.
func (p *Portal) message(w http.ResponseWriter, s *session, status int, heading, text string) {
	p.render(w, status, page{Template: "message", Controller: "errors", Action: "show", Title: heading, Session: s, Heading: heading, Text: text})
}

func (p *Portal) oops(w http.ResponseWriter, s *session, status int) {
	p.message(w, s, status, "Oops! We couldn't find what you wanted", "It may have been moved, or you may not have access to it.")
}

func (p *Portal) nothing(w http.ResponseWriter, _ *http.Request, s *session) {
	p.message(w, s, http.StatusNotFound, "The page you were looking for doesn't exist", "You may have mistyped the address.")
}

func (p *Portal) orderList(w http.ResponseWriter, _ *http.Request, s *session) {
	p.render(w, http.StatusOK, page{Template: "orders", Controller: "order_headers", Action: "index", Title: "Purchase Orders", Session: s, Orders: p.catalogue.orders})
}

func (p *Portal) requisitionList(w http.ResponseWriter, _ *http.Request, s *session) {
	p.message(w, s, http.StatusOK, "Requisitions", "Open a requisition from its purchase order.")
}

func (p *Portal) orderPage(w http.ResponseWriter, r *http.Request, s *session) {
	digits := r.PathValue("digits")
	p.stats.count(func(c *Stats) { c.PageViews++; c.ViewsByPO[digits]++ })
	if !p.sessions.viewed(s, p.Faults().ExpireAfterViews) {
		p.signedOut(w, r)
		return
	}
	o := p.order(digits)
	if o == nil {
		p.oops(w, s, http.StatusNotFound)
		return
	}
	switch o.page {
	case oops:
		p.oops(w, s, http.StatusOK)
		return
	case oopsLocalised:
		p.message(w, s, http.StatusOK, "Desculpe, não encontramos o que você procurava", "Talvez o documento tenha sido movido.")
		return
	case missing:
		p.nothing(w, r, s)
		return
	case forbidden:
		p.message(w, s, http.StatusForbidden, "You are not authorized", "Ask the owner of this purchase order for access.")
		return
	case forbiddenAtHome:
		http.Redirect(w, r, "/?denied=1", http.StatusFound)
		return
	case otherOrder:
		o = p.catalogue.orders[0]
	case slow:
		if !pause(r.Context(), p.load.SlowPage) {
			return
		}
	}
	view := newView(o.digits(), o.attachments)
	view.Number = "PO" + o.digits()
	view.Comments = "/comments?order_header_id=" + o.digits()
	view.Decoys, view.UnknownLayout = o.page == decoyed, o.page == unknownLayout
	if o.supplier != "" {
		view.Supplier = o.supplier + "-" + o.vendor
	}
	if o.requisition != nil {
		view.Requisition = o.requisition.id
	}
	p.renderDocument(w, r, page{
		Template: "order", Controller: "order_headers", Action: "show", DataID: o.digits(),
		Title: "Purchase Order #" + view.Number, Session: s, Order: view,
	})
}

func (p *Portal) requisitionPage(w http.ResponseWriter, r *http.Request, s *session) {
	p.stats.count(func(c *Stats) { c.PageViews++ })
	if !p.sessions.viewed(s, p.Faults().ExpireAfterViews) {
		p.signedOut(w, r)
		return
	}
	req := p.catalogue.requisitions[r.PathValue("id")]
	switch {
	case req == nil:
		p.oops(w, s, http.StatusNotFound)
		return
	case req.closed:
		p.message(w, s, http.StatusForbidden, "Access denied", "You may not open this requisition.")
		return
	}
	view := newView(req.id, req.attachments)
	view.Number = req.id
	view.Comments = "/comments?requisition_header_id=" + req.id
	p.renderDocument(w, r, page{
		Template: "requisition", Controller: "requisition_headers", Action: "show", DataID: req.id,
		Title: "Requisition #" + req.id, Session: s, Order: view,
	})
}

// renderDocument renders the page of a PO or a requisition, with all its weight.
func (p *Portal) renderDocument(w http.ResponseWriter, r *http.Request, pg page) {
	pg.Heavy = heavy{Filler: template.HTML(p.filler), Analytics: strings.TrimSuffix(base(r), r.Host) + otherHost(r) + "/analytics/collect"} //nolint:gosec // the filler is ours
	for i := range p.load.Images {
		pg.Heavy.Images = append(pg.Heavy.Images, "/assets/picture-"+strconv.Itoa(i+1)+".png")
	}
	p.render(w, http.StatusOK, pg)
}

// newView invents what a page shows beside its attachments, always the same for the same document.
func newView(digits string, attachments []*attachment) *orderView {
	v := &orderView{Status: "Ordered", attachments: attachments}
	draw := random(digits)
	articles := []string{"Printer paper A4", "Cable 3x1.5", "Cement CEM II", "Cleaning, monthly", "Pump seal", "Software licence", "Transport"}
	total := 0
	for i := range 2 + draw.IntN(3) {
		line := orderLine{Number: i + 1, Article: articles[draw.IntN(len(articles))], Quantity: 1 + draw.IntN(40)}
		cents := 500 + draw.IntN(90000)
		line.Price = money(cents)
		total += cents * line.Quantity
		v.Lines = append(v.Lines, line)
	}
	v.Total = money(total)
	return v
}

func money(cents int) string {
	return strconv.Itoa(cents/100) + "." + strconv.Itoa(cents/10%10) + strconv.Itoa(cents%10)
}

// framePage is the frame in which some POs show attachments.
func (p *Portal) framePage(w http.ResponseWriter, r *http.Request, s *session) {
	o := p.order(r.PathValue("digits"))
	if o == nil {
		p.oops(w, s, http.StatusNotFound)
		return
	}
	p.render(w, http.StatusOK, page{
		Template: "documents", Controller: "documents", Action: "index", Title: "Documents", Session: s, Order: newView(o.digits(), o.attachments),
	})
}
