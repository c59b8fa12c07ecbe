package sheet

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// Results are a job's results, ascending by row. Next returns io.EOF at the end.
type Results interface {
	Next() (po.Result, error)
}

const timeLayout = "2006-01-02 15:04:05"

// WriteResult writes the result CSV: the sheet with its result columns filled in, in front of its other columns. It is a merge of
// the sheet and the results, one row of each in memory. What was read comes back as it was; only cells that are added here are
// guarded against being taken for formulas. An input that cannot be read is an *Unreadable.
func WriteResult(w io.Writer, input io.Reader, name string, o Options, results Results, loc *time.Location) error {
	r, err := open(input, name, o)
	if err != nil {
		return err
	}
	if loc == nil {
		loc = time.UTC
	}
	out := newResultWriter(w, r, loc)
	err = out.writeAll(&merge{results: results})
	return errors.Join(err, out.w.Flush(), r.Close())
}

// merge hands out results by row.
type merge struct {
	results Results
	next    po.Result
	held    bool
	end     bool
}

// find is the result of the row, if there is one. Rows are asked for in ascending order.
func (m *merge) find(row int) (po.Result, bool, error) {
	for !m.end && (!m.held || m.next.Row < row) {
		res, err := m.results.Next()
		switch {
		case err == io.EOF:
			m.end, m.held = true, false
		case err != nil:
			return po.Result{}, false, err
		default:
			m.next, m.held = res, true
		}
	}
	return m.next, m.held && m.next.Row == row, nil
}

// resultWriter writes the records of a reader as a CSV.
type resultWriter struct {
	w      *bufio.Writer
	r      *Reader
	loc    *time.Location
	delim  byte
	others []int // the columns of the sheet that are no result columns
	begun  bool  // something stands on the present line
	blanks int   // empty lines that are held back: at the end of a sheet nobody misses them
}

func newResultWriter(w io.Writer, r *Reader, loc *time.Location) *resultWriter {
	out := &resultWriter{w: bufio.NewWriterSize(w, chunkBytes), r: r, loc: loc, delim: ','}
	if r.format.Delimiter != 0 {
		out.delim = byte(r.format.Delimiter)
	}
	for i := range r.width {
		if !slices.Contains(r.layout.result[:], i) {
			out.others = append(out.others, i)
		}
	}
	return out
}

// writeAll writes every record. An error of the writer is seen when it is flushed.
func (out *resultWriter) writeAll(results *merge) error {
	out.w.WriteString(utf8BOM)
	l := out.r.layout
	if l.headerLine == 0 {
		out.header()
	}
	for {
		err := out.r.nextRecord()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch line := out.r.record.line; {
		case line < l.headerLine:
			out.asRead()
			continue
		case line == l.headerLine && line > 0:
			out.header()
			continue
		}
		row := out.r.row()
		if row.Blank {
			out.nothingAsked()
			continue
		}
		res, found, err := results.find(row.Line)
		switch {
		case err != nil:
			return err
		case row.Completed || found && res.Skipped:
			out.kept(row)
		case !found:
			out.filled(row, po.Result{PO: row.PO, Status: po.Pending})
		default:
			out.filled(row, res)
		}
	}
}

// header writes the header: the result columns by their own names, and the others by theirs.
func (out *resultWriter) header() {
	for _, name := range resultNames {
		out.text(name)
	}
	for _, i := range out.others {
		if i < len(out.r.layout.names) {
			out.text(out.r.layout.names[i])
		} else {
			out.text("Column " + columnLetter(i))
		}
	}
	out.endLine()
}

// asRead writes a line above the header: a title, say. A line that names the delimiter is left out, since Excel does not see the
// mark of UTF-8 where such a line is.
func (out *resultWriter) asRead() {
	cells := out.r.record.cells
	switch {
	case out.r.empty():
		out.blanks++
	case !separatorLine.Match(bytes.Join(cells, []byte{out.delim})):
		for _, cell := range cells {
			out.cell(cell)
		}
		out.endLine()
	}
}

// nothingAsked writes a blank line or a comment.
func (out *resultWriter) nothingAsked() {
	if out.r.empty() {
		out.blanks++
		return
	}
	for _, column := range out.r.layout.result {
		out.cell(out.r.cell(column))
	}
	out.rest()
}

// kept writes a row that was completed in a former run, as it was.
func (out *resultWriter) kept(row Row) {
	for i, column := range out.r.layout.result {
		switch {
		case column >= 0:
			out.cell(out.r.cell(column))
		case i == columnPO:
			out.added(string(row.PO))
		case i == columnStatus:
			out.added(string(po.Completed))
		default:
			out.added("")
		}
	}
	out.rest()
}

// filled writes a row with its result. The user's own PO number and supplier stay.
func (out *resultWriter) filled(row Row, res po.Result) {
	l := out.r.layout
	if l.result[columnPO] >= 0 {
		out.cell(out.r.cell(l.result[columnPO]))
	} else if row.PO != "" {
		out.added(string(row.PO))
	} else {
		out.added(row.Value)
	}
	out.added(string(res.Status))
	if supplier := out.r.cell(l.result[columnSupplier]); !isBlank(supplier) {
		out.cell(supplier)
	} else {
		out.added(res.Supplier)
	}
	if res.Status == po.Pending {
		out.added("")
		out.added("")
	} else {
		out.added(strconv.Itoa(res.Found))
		out.added(strconv.Itoa(res.Downloaded()))
	}
	names := make([]string, len(res.Files))
	for i, f := range res.Files {
		names[i] = f.Name
	}
	out.added(strings.Join(names, ";\n"))
	processed := ""
	if !res.ProcessedAt.IsZero() {
		processed = res.ProcessedAt.In(out.loc).Format(timeLayout)
	}
	out.added(processed)
	out.added(res.ErrorMessage())
	out.added(res.Folder)
	out.added(res.URL)
	out.rest()
}

// rest writes the sheet's other columns, and what the row has beyond them.
func (out *resultWriter) rest() {
	for _, i := range out.others {
		out.cell(out.r.cell(i))
	}
	for i := out.r.width; i < len(out.r.record.cells); i++ {
		out.cell(out.r.cell(i))
	}
	out.endLine()
}

// added writes a cell that the sheet did not have. A text that a spreadsheet would run as a formula gets an apostrophe in front:
// file names, suppliers and error texts come from elsewhere.
func (out *resultWriter) added(text string) {
	if text != "" && strings.IndexByte("=+-@\t\r\n", text[0]) >= 0 {
		text = "'" + text
	}
	out.text(text)
}

func (out *resultWriter) text(text string) { out.cell([]byte(text)) }

// cell writes one cell, quoted only when that is needed.
func (out *resultWriter) cell(cell []byte) {
	for ; out.blanks > 0; out.blanks-- {
		out.w.WriteString(out.r.lineEnd)
	}
	if out.begun {
		out.w.WriteByte(out.delim)
	}
	out.begun = true
	if out.r.record.trouble != nil {
		cell = bytes.ReplaceAll(cell, []byte{0}, []byte("\uFFFD")) // a NUL byte would end the text for some programs
	}
	if bytes.IndexByte(cell, out.delim) < 0 && !bytes.ContainsAny(cell, "\"\r\n") {
		out.w.Write(cell)
		return
	}
	out.w.WriteByte('"')
	out.w.Write(bytes.ReplaceAll(cell, []byte(`"`), []byte(`""`)))
	out.w.WriteByte('"')
}

func (out *resultWriter) endLine() {
	out.w.WriteString(out.r.lineEnd)
	out.begun = false
}
