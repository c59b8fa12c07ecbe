package sheet

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// The limits of one record. They keep memory bounded whatever the sheet holds; a record beyond them is rejected, and the rest of
// the sheet is read. Excel's own limit for a cell is 32,767 characters.
const (
	maxRecordBytes = 1 << 20
	maxColumns     = 4096
)

// record is one record of the sheet. Its cells are valid until the next one is read.
type record struct {
	line    int // the physical line on which it starts, from 1
	lines   int // physical lines that it spans
	cells   [][]byte
	trouble *trouble // nil when all is well; else the cells are what could be read
}

// trouble is why a record's cells cannot be relied on.
type trouble struct {
	column int // where, from 0
	reason string
}

// scanner splits text into records as spreadsheets write them (RFC 4180), and bears with what people make of it: any line end,
// lines of any length, quotes that are not escaped. Where a quote is never closed, only the line that opens it is lost.
type scanner struct {
	source func() ([]byte, error) // the next piece of text, io.EOF at the end
	delim  byte

	buf   []byte
	pos   int // where the next record starts
	start int // where the present one started
	line  int // the physical line at pos
	end   bool
	skip  bool // what is left of a line that was too long is still to be skipped

	lf int // where in buf the next line feed at or after pos is, len(buf) when there is none; below pos: not known

	cells     [][]byte
	unescaped []byte // the cells whose doubled quotes were taken out
	trouble   *trouble
}

func newScanner(source func() ([]byte, error), delim byte) *scanner {
	return &scanner{source: source, delim: delim, line: 1}
}

// next reads the next record; io.EOF at the end.
func (s *scanner) next() (record, error) {
	if s.skip {
		if err := s.skipLine(); err != nil {
			return record{}, err
		}
	}
	for {
		if s.pos < len(s.buf) {
			if rec, ok := s.parse(); ok {
				return rec, nil
			}
		}
		if s.end {
			return record{}, io.EOF
		}
		if err := s.fill(); err != nil {
			return record{}, err
		}
	}
}

// fill adds text to the window, dropping what was read.
func (s *scanner) fill() error {
	s.lf = -1 // what was found behind a record that is now read again does not hold for its beginning
	text, err := s.source()
	if err == io.EOF {
		s.end = true
		return nil
	}
	if err != nil {
		return err
	}
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.pos:])], text...)
	s.pos, s.start = 0, 0
	return nil
}

// skipLine moves past the end of the present line.
func (s *scanner) skipLine() error {
	for {
		if _, next, ok := s.lineEnd(s.pos); ok {
			s.pos, s.skip = next, false
			return nil
		}
		s.pos = len(s.buf)
		if n := len(s.buf); n > 0 && s.buf[n-1] == '\r' {
			s.pos-- // its line feed may follow
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// lineEnd finds the end of the physical line that goes through from, and where the next line starts. It is not ok when more
// text is needed to tell.
func (s *scanner) lineEnd(from int) (end, next int, ok bool) {
	if s.lf < from {
		s.lf = len(s.buf)
		if i := bytes.IndexByte(s.buf[from:], '\n'); i >= 0 {
			s.lf = from + i
		}
	}
	if i := bytes.IndexByte(s.buf[from:s.lf], '\r'); i >= 0 {
		end = from + i
		switch {
		case end+1 < len(s.buf) && s.buf[end+1] == '\n':
			return end, end + 2, true
		case end+1 < len(s.buf) || s.end:
			return end, end + 1, true
		}
		return 0, 0, false
	}
	if s.lf < len(s.buf) {
		return s.lf, s.lf + 1, true
	}
	return len(s.buf), len(s.buf), s.end
}

// parse reads the record at pos. It is not ok when the window does not hold all of it yet.
func (s *scanner) parse() (record, bool) {
	s.start = s.pos
	s.cells, s.unescaped, s.trouble = s.cells[:0], s.unescaped[:0], nil
	end, next, ok := s.lineEnd(s.pos)
	if !ok || end-s.pos > maxRecordBytes {
		if len(s.buf)-s.pos <= maxRecordBytes {
			return record{}, false
		}
		return s.parseTooLong(), true
	}
	if bytes.IndexByte(s.buf[s.pos:end], '"') < 0 {
		s.split(s.pos, end)
		return s.finish(next, 1), true
	}
	return s.parseQuoted(end, next, false)
}

// finish makes the record of the cells that were read; next is where the text goes on.
func (s *scanner) finish(next, lines int) record {
	if raw := s.buf[s.start:next]; bytes.IndexByte(raw, 0) >= 0 {
		for i, cell := range s.cells {
			if bytes.IndexByte(cell, 0) >= 0 {
				s.report(i, "the cell holds a NUL byte; it comes from a damaged file or a faulty export")
				break
			}
		}
	}
	rec := record{line: s.line, lines: lines, cells: s.cells, trouble: s.trouble}
	s.pos = next
	s.line += lines
	return rec
}

// report notes the record's first trouble.
func (s *scanner) report(column int, reason string) {
	if s.trouble == nil {
		s.trouble = &trouble{column: column, reason: reason}
	}
}

// add adds a cell, if the record may have one more.
func (s *scanner) add(cell []byte) {
	if len(s.cells) == maxColumns {
		s.report(maxColumns, fmt.Sprintf("the row has more than %d columns", maxColumns))
		return
	}
	s.cells = append(s.cells, cell)
}

// split adds the cells of a text without quotes.
func (s *scanner) split(from, to int) {
	line := s.buf[from:to]
	for {
		i := bytes.IndexByte(line, s.delim)
		if i < 0 {
			s.add(line)
			return
		}
		s.add(line[:i])
		line = line[i+1:]
	}
}

// parseTooLong reads the beginning of a line that is too long. The rest of the line is skipped before the next record.
func (s *scanner) parseTooLong() record {
	to := s.pos + maxRecordBytes
	for !utf8.RuneStart(s.buf[to]) {
		to--
	}
	rec, _ := s.parseQuoted(to, to, true)
	longest := 0
	for i, cell := range rec.cells {
		if len(cell) > len(rec.cells[longest]) {
			longest = i
		}
	}
	rec.trouble = &trouble{longest, fmt.Sprintf("the line is longer than %d KiB, most of it in this cell, and was cut", maxRecordBytes>>10)}
	s.skip = true
	return rec
}

// parseQuoted reads a record that has a quote in its first line, which ends at end; next is where the line after it starts. A
// quote that is never closed makes it start again with firstLineOnly, since no other line can be relied on to belong to it.
func (s *scanner) parseQuoted(end, next int, firstLineOnly bool) (record, bool) {
	firstEnd, firstNext, lines := end, next, 1
	for at := s.pos; ; at++ { // at a cell's first byte, then at the delimiter after it
		open := at + countBlanks(s.buf[at:end], s.delim)
		if open == end || s.buf[open] != '"' {
			at = s.addPlain(at, end)
		} else {
			limit, final := len(s.buf), s.end
			if firstLineOnly {
				limit, final = end, true
			}
			closed, after, state := s.quoted(open, end, limit, final)
			if state == quoteClosed && after > end { // the cell holds line ends: the record goes on with another line
				lines += countLines(s.buf[end:after])
				var ok bool
				if end, next, ok = s.lineEnd(after); !ok {
					state = quoteMore
				}
			}
			if state == quoteMore {
				if len(s.buf)-s.pos <= maxRecordBytes {
					return record{}, false
				}
				state = quoteOpen
			}
			switch {
			case state == quoteClosed:
				s.addQuoted(open+1, closed)
				at = after
			case state == quoteStray:
				at = s.addStray(at, open, end)
			case firstLineOnly:
				s.report(len(s.cells), "the quote that opens the cell is not closed")
				at = s.addPlain(at, end)
			default:
				s.cells, s.unescaped, s.trouble, s.lf = s.cells[:0], s.unescaped[:0], nil, -1
				return s.parseQuoted(firstEnd, firstNext, true)
			}
		}
		if at >= end {
			return s.finish(next, lines), true
		}
	}
}

// addPlain adds the cell that reaches from at to the next delimiter, or to the end of the line, and returns where that is.
func (s *scanner) addPlain(at, end int) int {
	to := end
	if i := bytes.IndexByte(s.buf[at:end], s.delim); i >= 0 {
		to = at + i
	}
	s.add(s.buf[at:to])
	return to
}

// What a cell that begins with a quote turns out to be.
type quoteState int

const (
	quoteClosed quoteState = iota
	quoteStray             // there is a quote inside it that is not doubled
	quoteOpen              // it is not closed, or only by what must be another cell's quote
	quoteMore              // more text is needed to tell
)

// quoted looks for the quote that closes the one at open, and for the delimiter or line end after it, up to limit; final says
// that the text ends there.
func (s *scanner) quoted(open, lineEnd, limit int, final bool) (closed, after int, state quoteState) {
	for at := open + 1; ; at = closed + 2 {
		i := bytes.IndexByte(s.buf[at:limit], '"')
		if i < 0 {
			if final {
				return 0, 0, quoteOpen
			}
			return 0, 0, quoteMore
		}
		closed = at + i
		if closed+1 < limit && s.buf[closed+1] == '"' {
			continue
		}
		after = closed + 1 + countBlanks(s.buf[closed+1:limit], s.delim)
		switch {
		case after == limit && !final:
			return 0, 0, quoteMore
		case after == limit, s.buf[after] == s.delim, s.buf[after] == '\n', s.buf[after] == '\r':
			return closed, after, quoteClosed
		case closed > lineEnd: // on a later line, a quote that is not doubled opens another cell
			return 0, 0, quoteOpen
		}
		return 0, 0, quoteStray
	}
}

// addStray adds a cell that begins with a quote and has another inside that is not doubled: "Acme "Best" Ltd", or "Acme" Ltd.
// It ends on this line. Where it also holds a delimiter, nobody can tell where it ends. The result is where it does.
func (s *scanner) addStray(at, open, end int) int {
	for i := open + 1; i < end; i++ {
		if s.buf[i] != '"' {
			continue
		}
		if i+1 < end && s.buf[i+1] == '"' {
			i++
			continue
		}
		after := i + 1 + countBlanks(s.buf[i+1:end], s.delim)
		if after < end && s.buf[after] != s.delim {
			continue
		}
		if bytes.IndexByte(s.buf[open:i], s.delim) < 0 {
			s.addQuoted(open+1, i)
			return after
		}
		s.report(len(s.cells), "the quotes inside the cell are not doubled, so nobody can tell where it ends")
		break
	}
	return s.addPlain(at, end)
}

// addQuoted adds what stands between two quotes, its doubled quotes made single.
func (s *scanner) addQuoted(from, to int) {
	text := s.buf[from:to]
	if bytes.IndexByte(text, '"') < 0 {
		s.add(text)
		return
	}
	begin := len(s.unescaped)
	for i := 0; i < len(text); i++ {
		s.unescaped = append(s.unescaped, text[i])
		if text[i] == '"' && i+1 < len(text) && text[i+1] == '"' {
			i++
		}
	}
	s.add(s.unescaped[begin:len(s.unescaped):len(s.unescaped)])
}

// again reads the record that was just returned once more, as if it ended with its first line.
func (s *scanner) again(rec record, why trouble) record {
	s.pos, s.line, s.lf = s.start, rec.line, -1
	s.cells, s.unescaped, s.trouble = s.cells[:0], s.unescaped[:0], nil
	end, next, _ := s.lineEnd(s.pos)
	first, _ := s.parseQuoted(end, next, true)
	first.trouble = &why
	return first
}

// countBlanks counts the blanks that b begins with. A tab is none when it is the delimiter.
func countBlanks(b []byte, delim byte) int {
	for i, c := range b {
		if c != ' ' && (c != '\t' || delim == '\t') {
			return i
		}
	}
	return len(b)
}

// countLines counts the line ends in b.
func countLines(b []byte) int {
	n := 0
	for i, c := range b {
		if c == '\n' || c == '\r' && (i+1 == len(b) || b[i+1] != '\n') {
			n++
		}
	}
	return n
}

// lines splits a text into its physical lines.
func lines(text []byte) [][]byte {
	var all [][]byte
	for len(text) > 0 {
		end, next := len(text), len(text)
		if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
			end, next = i, i+1
			if bytes.HasPrefix(text[i:], []byte("\r\n")) {
				next++
			}
		}
		all = append(all, text[:end])
		text = text[next:]
	}
	return all
}
