package demo

import "github.com/purserhq/purser/internal/po"

// PO is a purchase order of the portal and what becomes of it at a downloader that does everything right, with PR_FALLBACK
// missing (a requisition's files are added when its PO has none, or no PDF).
type PO struct {
	Number   po.Number
	Shape    string // what is special about it, for a person
	Supplier string // the name, without the vendor code that the page shows behind it
	Vendor   string // the vendor code, ten digits; "" when the page shows no supplier
	Status   po.Status
	Code     po.ErrorCode // "" for COMPLETED and NO_ATTACHMENTS
	Found    int          // attachments found, those that cannot be had among them
	Files    []File       // those that can be had, in the order in which the page shows them
}

// File is an attachment as it must be stored.
type File struct {
	Name     string // in its folder, made safe and unique
	Source   string // po.FromPO or po.FromRequisition
	SourceID string // digits of the PO, or id of the requisition
	Type     string // MIME type by its content
	Bytes    int64
	SHA256   string // lower-case hex
}

// Truth is the whole table, in ascending order of numbers.
func (p *Portal) Truth() []PO { return nil }

// The bulk POs: every number of this range exists when Options.BulkPOs is set or the portal is heavy.
const (
	BulkFirst = 20000000
	BulkLast  = 20999999
)

// Find is the truth about one PO, bulk POs too; false when neither the table nor the bulk range has it.
func (p *Portal) Find(n po.Number) (PO, bool) { return PO{}, false }
