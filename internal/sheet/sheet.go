// Package sheet reads the sheets of PO numbers that people upload, whatever wrote them, and gives them back with the result
// columns filled in. It reads CSV in any usual encoding, delimiter and line end, gzip of it, and .xlsx; tells the column of PO
// numbers by its header or its content; and accounts for every line: accepted, skipped or rejected, with the reason. Text is
// read as a stream, in constant memory.
package sheet

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"

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

// Dialect is how the sheet was understood.
type Dialect struct {
	Format    string // "CSV" or "Excel workbook"
	Gzip      bool
	Encoding  string // of a CSV: "UTF-8", "UTF-8 with BOM", "UTF-16 LE", "UTF-16 BE" or "Windows-1252"
	Delimiter rune   // of a CSV
	Worksheet string // of a workbook

	HeaderLine int      // the header's physical line, 0 when there is none
	POColumn   string   // the header of the column of PO numbers, or its letter
	Suppliers  []string // the columns that name the supplier: the first that is not empty counts
	Levels     []string // the columns that are folder levels
}

// Reader reads one sheet, record by record.
type Reader struct {
	name    string
	src     *source
	records records
	format  Dialect
	lineEnd string // of the sheet: "\n" or "\r\n"

	rule   numberRule
	layout *layout
	width  int // columns: as many as the header has, or the widest row of the beginning
	seen   *seen

	record record // the present one
	words  map[string]string
	levels []string // of the row before, which mostly has the same
}

// records is where the cells come from: a text or a workbook.
type records interface {
	next() (record, error)
	close() error
}

// Dialect tells how the sheet was understood.
func (r *Reader) Dialect() Dialect {
	d := r.format
	if s, ok := r.records.(*textRecords); ok {
		d.Encoding = s.decoder.encoding
	}
	d.HeaderLine = r.layout.headerLine
	d.POColumn = r.layout.column(r.layout.po)
	for _, i := range r.layout.suppliers {
		d.Suppliers = append(d.Suppliers, r.layout.column(i))
	}
	for _, i := range r.layout.levels {
		d.Levels = append(d.Levels, r.layout.column(i))
	}
	return d
}

// Close gives back what the reader holds. The source stays open.
func (r *Reader) Close() error { return r.records.close() }

// Next returns the next record, and io.EOF after the last. Every record but the header comes exactly once. The error is an
// *Unreadable when the content is to blame, and any other error is the source's own.
func (r *Reader) Next() (Row, error) {
	for {
		if err := r.nextRecord(); err != nil {
			return Row{}, err
		}
		if r.layout.headerLine == 0 || r.record.line != r.layout.headerLine {
			return r.row(), nil
		}
	}
}

// nextRecord reads the next record, the header too.
func (r *Reader) nextRecord() error {
	rec, err := r.records.next()
	if err == io.EOF {
		return err
	}
	if err != nil {
		return r.src.blame(r.name, err)
	}
	if text, ok := r.records.(*textRecords); ok && rec.lines > 1 && rec.line > r.layout.headerLine {
		if why := r.swallowed(text, rec); why != nil {
			rec = text.again(rec, *why)
		}
	}
	r.record = rec
	return nil
}

// swallowed looks for rows inside the quoted cells of a record that spans several lines: lines with as many columns as the
// header and a PO number in the right one. Those come from a quote that was never closed and met another one by chance.
func (r *Reader) swallowed(text *textRecords, rec record) *trouble {
	if r.width < 2 {
		return nil
	}
	from, to := 0, 0
	for i, line := range lines(text.buf[text.start:text.pos]) {
		cells := bytes.Split(line, []byte{text.delim})
		if i == 0 || len(cells) < r.width || r.layout.po >= len(cells) {
			continue
		}
		if r.rule.holds(string(cells[r.layout.po])) {
			if from == 0 {
				from = rec.line + i
			}
			to = rec.line + i
		}
	}
	if from == 0 {
		return nil
	}
	rows := fmt.Sprintf("line %d", from)
	if to > from {
		rows = fmt.Sprintf("lines %d to %d", from, to)
	}
	opened := slices.IndexFunc(rec.cells, func(cell []byte) bool { return bytes.ContainsAny(cell, "\r\n") })
	return &trouble{
		column: max(opened, 0),
		reason: fmt.Sprintf("the quote that opens the cell is not closed: it takes in %s", rows),
	}
}

// cell is the present record's cell in the column, nil when the row is too short.
func (r *Reader) cell(column int) []byte {
	if column < 0 || column >= len(r.record.cells) {
		return nil
	}
	return r.record.cells[column]
}

// row judges the present record.
func (r *Reader) row() Row {
	rec := &r.record
	row := Row{Line: rec.line, Lines: rec.lines, Verdict: Skipped}
	if rec.line < r.layout.headerLine {
		row.Blank = true
		row.Reason = r.aboveHeader()
		return row
	}
	cell := r.cell(r.layout.po)
	if rec.trouble != nil {
		row.Value = short(cell)
		row.reject(r.layout.column(rec.trouble.column), rec.trouble.reason)
		return row
	}
	number, kind, reason := r.rule.read(cell)
	row.PO = number
	row.Supplier = r.supplier()
	row.Levels = r.folderLevels()
	if row.Value = string(number); row.Value != string(cell) {
		row.Value = short(cell)
	}
	switch {
	case r.completed():
		row.Completed = true
		row.Reason = "STATUS is COMPLETED already"
	case kind == flawNone:
		row.Verdict = Accepted
		if r.seen != nil {
			if row.DuplicateOf = r.seen.add(string(number), rec.line); row.DuplicateOf > 0 {
				row.Verdict = Skipped
				row.Reason = fmt.Sprintf("the same PO is on line %d", row.DuplicateOf)
			}
		}
	default:
		if row.Reason = r.nothingAsked(kind, cell); row.Reason != "" {
			row.Blank = true
			return row
		}
		row.reject(r.layout.column(r.layout.po), reason)
	}
	return row
}

func (row *Row) reject(column, reason string) {
	row.Verdict, row.Column, row.Reason = Rejected, column, reason
}

// aboveHeader says what a line above the header is.
func (r *Reader) aboveHeader() string {
	if r.record.trouble == nil && r.empty() {
		return "blank"
	}
	return fmt.Sprintf("above the header on line %d", r.layout.headerLine)
}

// completed tells whether the row was done in a former run. In a STATUS column that is not ours only our own spelling counts.
func (r *Reader) completed() bool {
	status := trimmed(r.cell(r.layout.status))
	if r.layout.result[columnStatus] >= 0 {
		return bytes.EqualFold(status, []byte(po.Completed))
	}
	return string(status) == string(po.Completed)
}

// nothingAsked says why a row without a PO number asks for none: it is empty, a comment, or the header once more.
func (r *Reader) nothingAsked(kind flaw, cell []byte) string {
	if r.empty() {
		return "blank"
	}
	if kind == flawPlaceholder { // #N/A is no comment
		return ""
	}
	for _, cell := range r.record.cells {
		if isBlank(cell) {
			continue
		}
		if text := trimmed(cell); bytes.HasPrefix(text, []byte("#")) || bytes.HasPrefix(text, []byte("//")) {
			return "comment"
		}
		break
	}
	if r.layout.headerLine > 0 && kind == flawOther && fold(string(cell)) == fold(cellAt(r.layout.names, r.layout.po)) {
		return "the header once more"
	}
	return ""
}

// empty tells whether the present record has nothing in any cell.
func (r *Reader) empty() bool {
	for _, cell := range r.record.cells {
		if !isBlank(cell) {
			return false
		}
	}
	return true
}

func (r *Reader) supplier() string {
	for _, column := range r.layout.suppliers {
		if name := trimmed(r.cell(column)); len(name) > 0 {
			return r.word(name)
		}
	}
	return ""
}

// folderLevels are the row's folder levels. Rows that follow each other share one slice when theirs are the same.
func (r *Reader) folderLevels() []string {
	if len(r.layout.levels) == 0 {
		return nil
	}
	if len(r.levels) > 0 {
		same := true
		for i, column := range r.layout.levels {
			if same = string(trimmed(r.cell(column))) == r.levels[i]; !same {
				break
			}
		}
		if same {
			return r.levels
		}
	}
	r.levels = make([]string, len(r.layout.levels))
	for i, column := range r.layout.levels {
		r.levels[i] = r.word(trimmed(r.cell(column)))
	}
	return r.levels
}

const (
	maxWords      = 1 << 12 // words that are kept
	maxWordBytes  = 400     // of a supplier or a level: far more than a folder's name shows, far less than a message holds
	maxShownBytes = 400     // of a PO cell that is no number
)

// word is the text as a string. The same few suppliers and levels come again and again, so theirs is made once.
func (r *Reader) word(text []byte) string {
	if word, ok := r.words[string(text)]; ok {
		return word
	}
	if len(text) > maxWordBytes {
		text = text[:wholeRunes(text[:maxWordBytes])]
	}
	if len(r.words) >= maxWords {
		clear(r.words)
	}
	word := string(text)
	r.words[word] = word
	return word
}

// short is the text of a cell, cut where nobody reads on.
func short(cell []byte) string {
	if len(cell) <= maxShownBytes {
		return string(cell)
	}
	return string(cell[:wholeRunes(cell[:maxShownBytes])]) + "…"
}
