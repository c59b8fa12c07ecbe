package demo

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/purserhq/purser/internal/po"
)

// PO is a purchase order of the portal and what becomes of it at a downloader that does everything right, with PR_FALLBACK
// missing (a requisition's files are added when its PO has none, or no PDF).
type PO struct {
	Number   po.Number    `json:"number"`
	Shape    string       `json:"shape"`              // what is special about it, for a person
	Supplier string       `json:"supplier,omitempty"` // the name, without the vendor code that the page shows behind it
	Vendor   string       `json:"vendor,omitempty"`   // the vendor code, ten digits; "" when the page shows no supplier
	Status   po.Status    `json:"status"`
	Code     po.ErrorCode `json:"code,omitempty"` // "" for COMPLETED and NO_ATTACHMENTS
	Found    int          `json:"found"`          // attachments found, those that cannot be had among them
	Files    []File       `json:"files"`          // those that can be had, in the order in which the page shows them
}

// File is an attachment as it must be stored.
type File struct {
	Name     string `json:"name"`      // in its folder, made safe and unique
	Source   string `json:"source"`    // po.FromPO or po.FromRequisition
	SourceID string `json:"source_id"` // digits of the PO, or id of the requisition
	Type     string `json:"type"`      // MIME type by its content
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"` // lower-case hex
}

// The bulk POs: every number of this range exists when Options.BulkPOs is set or the portal is heavy.
const (
	BulkFirst = 20000000
	BulkLast  = 20999999
)

// Truth is the whole table, in the order in which it is written down; bulk POs are not part of it.
func (p *Portal) Truth() []PO {
	all := make([]PO, len(p.catalogue.orders))
	for i, o := range p.catalogue.orders {
		all[i] = o.truth()
	}
	return all
}

// Find is the truth about one PO, bulk POs too; false when neither the table nor the bulk range has it.
func (p *Portal) Find(n po.Number) (PO, bool) {
	o := p.order(n.Digits())
	if o == nil {
		return PO{}, false
	}
	truth := o.truth()
	truth.Number = n
	return truth, true
}

// serveTruth answers /_truth with the whole table, and /_truth?po=PO20000000&po=… with those POs, bulk POs too.
func (p *Portal) serveTruth(w http.ResponseWriter, r *http.Request) {
	asked, some := r.URL.Query()["po"]
	if !some {
		writeJSON(w, p.Truth())
		return
	}
	known := []PO{}
	for _, number := range asked {
		if truth, ok := p.Find(po.Number(number)); ok {
			known = append(known, truth)
		}
	}
	writeJSON(w, known)
}

// truth is the row without what only the portal needs.
func (o *order) truth() PO {
	t := PO{Number: o.number, Shape: o.shape, Supplier: o.supplier, Vendor: o.vendor, Status: o.status, Code: o.code}
	t.Found = len(o.attachments)
	t.addFiles(o.attachments, po.FromPO, o.digits())
	if o.requisition != nil && !o.hasPDF() {
		t.Found += len(o.requisition.attachments)
		t.addFiles(o.requisition.attachments, po.FromRequisition, o.requisition.id)
	}
	return t
}

func (t *PO) addFiles(attachments []*attachment, source, id string) {
	for _, a := range attachments {
		if a.stored == "" {
			continue
		}
		data := a.bytes()
		t.Files = append(t.Files, File{
			Name: a.stored, Source: source, SourceID: id,
			Type: mimeTypes[a.kind], Bytes: int64(len(data)), SHA256: sha256Hex(data),
		})
	}
}

func (o *order) hasPDF() bool {
	for _, a := range o.attachments {
		if a.kind == pdf {
			return true
		}
	}
	return false
}

// order is the table's row or the bulk PO with that number, nil when there is none.
func (p *Portal) order(digits string) *order {
	if o, ok := p.catalogue.byDigits[digits]; ok {
		return o
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < BulkFirst || n > BulkLast || !p.bulk() {
		return nil
	}
	return p.bulkOrder(digits)
}

func (p *Portal) bulk() bool { return p.options.BulkPOs || p.options.Weight == Heavy }

// bulkOrder makes a PO with two PDFs under its comments, like the page that was captured of a real portal.
func (p *Portal) bulkOrder(digits string) *order {
	draw := random(digits)
	o := &order{
		number:   po.Number("PO" + digits),
		shape:    "one of many: two PDFs under comments",
		supplier: fmt.Sprintf("Bulk Supplier %d", draw.IntN(40)+1),
		vendor:   fmt.Sprintf("%010d", 4800000+draw.IntN(1000)),
		status:   po.Completed,
		comments: []comment{{author: "Supplier", text: "Order confirmation and invoice."}},
	}
	for i, label := range []string{"Confirmation " + digits + ".pdf", "Invoice " + strconv.Itoa(draw.IntN(1e6)) + ".pdf"} {
		a := comm(label)
		a.owner, a.id = digits, fmt.Sprintf("%s0%02d", digits, i+1)
		a.bytes = func() []byte { return pdfOf("PO"+digits+" "+label, p.load.BulkFileBytes) }
		o.attachments = append(o.attachments, a)
	}
	return o
}

// attachment is the one with that id, a bulk PO's too; nil when there is none.
func (p *Portal) attachment(id string) *attachment {
	if a, ok := p.catalogue.attachments[id]; ok {
		return a
	}
	if len(id) < 3 {
		return nil
	}
	o := p.order(id[:len(id)-3])
	if o == nil {
		return nil
	}
	for _, a := range o.attachments {
		if a.id == id {
			return a
		}
	}
	return nil
}
