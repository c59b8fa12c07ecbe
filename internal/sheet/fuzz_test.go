package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzSheet reads any bytes as a sheet: it must not panic, every physical line must belong to exactly one record, and the result
// CSV must give back what was read.
func FuzzSheet(f *testing.F) {
	for _, name := range goldenSheets(f) {
		input, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(input)
	}
	f.Add([]byte("PO_NUMBER;A\n16928033;\"\"x\n16928034;\"\"\"\n16928035;\"a\"\"\n;\"\n"))
	f.Add([]byte("PO_NUMBER,A\r16928033,\"\r\"\r\n\r\n16928034,\r\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 1<<16 || bytes.HasPrefix(input, magicZip) || bytes.HasPrefix(input, magicGzip) {
			t.Skip("not what is tested here: the limits, and the libraries for ZIP and gzip")
		}
		_, rows, err := readRows(bytes.NewReader(input), "fuzz.csv", Options{})
		if err != nil {
			var unreadable *Unreadable
			if !errors.As(err, &unreadable) {
				t.Fatalf("the file is to blame, but the error is %T: %v", err, err)
			}
			return
		}
		checkLines(t, input)
		checkPieces(t, input)
		checkRows(t, rows)
		checkRoundTrip(t, input, rows)
	})
}

// checkLines checks that the records follow each other without a gap, from the first line to the last.
func checkLines(t *testing.T, input []byte) {
	t.Helper()
	var text strings.Builder
	for d := newDecoder(bytes.NewReader(input), input[:min(len(input), headBytes)]); ; {
		piece, err := d.next()
		if err == io.EOF {
			break
		}
		text.Write(piece)
	}
	unix := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text.String())
	want := strings.Count(unix, "\n") + 1
	if !strings.HasSuffix(unix, "\n") {
		want++
	}
	next := 1
	eachRecord(t, input, func(r *Reader) {
		if r.record.line != next || r.record.lines < 1 {
			t.Fatalf("a record starts on line %d and spans %d, want line %d", r.record.line, r.record.lines, next)
		}
		next += r.record.lines
	})
	if next != want {
		t.Fatalf("the records end before line %d, the sheet before line %d", next, want)
	}
}

// eachRecord reads all records, the header too.
func eachRecord(t *testing.T, input []byte, visit func(r *Reader)) {
	t.Helper()
	r, err := open(bytes.NewReader(input), "fuzz.csv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		err := r.nextRecord()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		visit(r)
	}
}

// checkPieces checks that the records do not depend on the pieces in which the text comes.
func checkPieces(t *testing.T, text []byte) {
	t.Helper()
	text = text[:min(len(text), 1024)]
	for _, delim := range []byte{',', ';'} {
		want := scanPieces(t, text, len(text), delim)
		for _, size := range []int{1, 2, 7} {
			if got := scanPieces(t, text, size, delim); !slices.Equal(got, want) {
				t.Fatalf("in pieces of %d bytes:\n%s\nat once:\n%s", size, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// scanPieces scans a text that comes in pieces and writes down each record.
func scanPieces(t *testing.T, text []byte, size int, delim byte) []string {
	t.Helper()
	scan := newScanner(func() ([]byte, error) {
		if len(text) == 0 {
			return nil, io.EOF
		}
		piece := text[:min(size, len(text))]
		text = text[len(piece):]
		return piece, nil
	}, delim)
	var all []string
	for {
		rec, err := scan.next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d %d %q %v", rec.line, rec.lines, rec.cells, rec.trouble))
	}
}

// checkRows checks that each verdict comes with what it needs.
func checkRows(t *testing.T, rows []Row) {
	t.Helper()
	accepted := map[int]bool{}
	for _, row := range rows {
		switch {
		case row.Verdict == Accepted && (row.PO == "" || row.Reason != ""),
			row.Verdict != Accepted && row.Reason == "",
			row.Verdict == Rejected && row.Column == "",
			row.DuplicateOf > 0 && !accepted[row.DuplicateOf]:
			t.Fatalf("the verdict does not fit: %+v", row)
		}
		accepted[row.Line] = row.Verdict == Accepted
	}
}

// checkRoundTrip checks that the result CSV holds every cell that was read.
func checkRoundTrip(t *testing.T, input []byte, rows []Row) {
	t.Helper()
	var result bytes.Buffer
	if err := WriteResult(&result, bytes.NewReader(input), "fuzz.csv", Options{}, madeUpResults(rows), time.UTC); err != nil {
		t.Fatal(err)
	}
	var parsed *csv.Reader
	eachRecord(t, input, func(r *Reader) {
		if parsed == nil {
			parsed = csv.NewReader(bytes.NewReader(bytes.TrimPrefix(result.Bytes(), []byte(utf8BOM))))
			parsed.Comma = r.format.Delimiter
			parsed.FieldsPerRecord = -1
			if r.layout.headerLine == 0 {
				nextParsed(t, parsed)
			}
		}
		line := r.record.line
		cells := keep(r.record).cells
		for i := range cells { // as the standard library's reader has it, and without NUL bytes
			cells[i] = strings.NewReplacer("\r\n", "\n", "\x00", "\uFFFD").Replace(cells[i])
		}
		raw := bytes.Join(r.record.cells, []byte{byte(r.format.Delimiter)})
		switch {
		case r.empty(), line < r.layout.headerLine && separatorLine.Match(raw):
			return
		case line < r.layout.headerLine:
			if got := nextParsed(t, parsed); !slices.Equal(got, cells) {
				t.Fatalf("line %d: %q came back as %q", line, cells, got)
			}
			return
		case line == r.layout.headerLine:
			if got := nextParsed(t, parsed); !slices.Equal(got[:resultColumns], resultNames[:]) {
				t.Fatalf("the header is %q", got)
			}
			return
		}
		got, others := nextParsed(t, parsed), []string{}
		row := r.row()
		for i := range max(r.width, len(cells)) {
			column := slices.Index(r.layout.result[:], i)
			switch {
			case column < 0:
				others = append(others, cellAt(cells, i))
			case row.Blank || row.Completed || column == columnPO || column == columnSupplier && !isBlank(r.cell(i)):
				if got[column] != cellAt(cells, i) {
					t.Fatalf("line %d: %q came back as %q", line, cells, got)
				}
			}
		}
		if !slices.Equal(got[resultColumns:], others) {
			t.Fatalf("line %d: %q came back as %q", line, cells, got)
		}
		if row.Blank || row.Completed {
			return
		}
		for _, column := range []int{columnStatus, columnNames, columnError, columnFolder, columnURL} {
			if strings.IndexAny(got[column], "=+-@\t\r") == 0 {
				t.Fatalf("line %d: %q would be taken for a formula", line, got[column])
			}
		}
	})
	if parsed != nil {
		if extra, err := parsed.Read(); err != io.EOF {
			t.Fatalf("the result goes on with %q (%v)", extra, err)
		}
	}
}

func nextParsed(t *testing.T, parsed *csv.Reader) []string {
	t.Helper()
	got, err := parsed.Read()
	if err != nil {
		t.Fatal(err)
	}
	return got
}
