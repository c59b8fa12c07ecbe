package sheet

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// sampleBytes is how much text is read ahead to tell the delimiter and the columns.
const sampleBytes = 4 * chunkBytes

// delimiters are the ones that are told apart; a line "sep=" may name another.
var delimiters = []byte{',', ';', '\t', '|'}

// separatorLine is the first line by which Excel is told the delimiter.
var separatorLine = regexp.MustCompile(`^"?(?i:sep)=([!#-/:-@\[-^{-~]|\t)"?[,;\t| ]*(?:\r|\n|$)`)

// source is what the sheet is read from. It remembers its own error, so that a broken connection is never called a broken file.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// blame makes the error that a reader shows of one that came up while reading: the source's own, or the content's.
func (s *source) blame(name string, err error) error {
	var unreadable *Unreadable
	switch {
	case errors.As(err, &unreadable):
		return err
	case s.err != nil:
		return fmt.Errorf("reading %s: %w", name, s.err)
	}
	return &Unreadable{Name: name, Text: "is damaged or cut off (" + err.Error() + "); upload it again", Err: err}
}

// Open begins to read a sheet; name is what people call it. The source may be a stream: text is read as it comes, a workbook is
// kept in the temporary directory. The error is an *Unreadable when the content is to blame, and any other error is the source's
// own.
func Open(r io.Reader, name string, o Options) (*Reader, error) {
	reader, err := open(r, name, o)
	if err != nil {
		return nil, err
	}
	reader.seen = newSeen()
	return reader, nil
}

// open is Open without a memory for duplicates.
func open(r io.Reader, name string, o Options) (*Reader, error) {
	reader := &Reader{
		name:    name,
		src:     &source{r: r},
		rule:    newNumberRule(o.Pattern),
		lineEnd: "\r\n",
		words:   map[string]string{},
	}
	if err := reader.open(o); err != nil {
		var why refusal
		if errors.As(err, &why) {
			return nil, &Unreadable{Name: name, Text: string(why)}
		}
		return nil, reader.src.blame(name, err)
	}
	return reader, nil
}

func (r *Reader) open(o Options) error {
	in := bufio.NewReaderSize(r.src, chunkBytes)
	head, err := peek(in)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(head, magicGzip) {
		r.format.Gzip = true
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = bufio.NewReaderSize(unpacked, chunkBytes)
		if head, err = peek(in); err != nil {
			return err
		}
		if bytes.HasPrefix(head, magicGzip) {
			return refusal("is compressed twice (gzip in gzip); unpack it once")
		}
	}
	if len(head) == 0 {
		return refusal("is empty; upload the sheet again")
	}
	if bytes.HasPrefix(head, magicZip) {
		return r.openWorkbook(in, o)
	}
	if why := refuse(head); why != "" {
		return refusal(why)
	}
	return r.openText(newDecoder(in, head), o)
}

// peek looks at the beginning of the stream.
func peek(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(headBytes)
	if err == io.EOF {
		err = nil
	}
	return head, err
}

// textRecords are the records of a text, with the decoder behind them.
type textRecords struct {
	*scanner
	decoder *decoder
}

func (textRecords) close() error { return nil }

// openText reads the beginning of a text, and tells from it the delimiter and the columns.
func (r *Reader) openText(d *decoder, o Options) error {
	var beginning []byte
	whole := false // the beginning is all there is
	for len(beginning) < sampleBytes && !whole {
		text, err := d.next()
		if err == io.EOF {
			whole = true
		} else if err != nil {
			return err
		}
		beginning = append(beginning, text...)
	}
	delim, l, sample, err := sniff(beginning, whole, o, r.rule)
	if err != nil {
		return err
	}
	if err := checkLayout(l, sample, whole); err != nil {
		return err
	}
	r.layout, r.width = l, width(l, sample)
	r.format.Format, r.format.Delimiter = "CSV", rune(delim)
	if lf := bytes.IndexByte(beginning, '\n'); lf == 0 || lf > 0 && beginning[lf-1] != '\r' {
		r.lineEnd = "\n"
	}
	scan := newScanner(func() ([]byte, error) {
		if text := beginning; text != nil {
			beginning = nil
			return text, nil
		}
		return d.next()
	}, delim)
	r.records = &textRecords{scanner: scan, decoder: d}
	return nil
}

// sniff tells the delimiter: the one by which the beginning falls into the most regular table with a column of PO numbers.
func sniff(beginning []byte, whole bool, o Options, rule numberRule) (delim byte, l *layout, sample []sampled, err error) {
	candidates := delimiters
	if m := separatorLine.FindSubmatch(beginning); m != nil {
		candidates = []byte{m[1][0]}
	}
	best := -1.0
	for _, candidate := range candidates {
		records := sampleText(beginning, whole, candidate)
		layout, layoutErr := findLayout(records, o, rule, candidate)
		score := regularity(records)
		if layoutErr == nil {
			score += 10
			if layout.numbers > 0 {
				score += 10
			}
		}
		if score > best {
			best, delim, l, sample, err = score, candidate, layout, records, layoutErr
		}
	}
	if len(sample) == 0 && !whole {
		return 0, nil, nil, refusal(fmt.Sprintf("begins with a line of more than %d KiB, so it is no sheet", sampleBytes>>10))
	}
	return delim, l, sample, err
}

var errEndOfSample = errors.New("end of the sample")

// sampleText reads the first records of a text as if it had that delimiter.
func sampleText(beginning []byte, whole bool, delim byte) []sampled {
	given := false
	scan := newScanner(func() ([]byte, error) {
		if given {
			if whole {
				return nil, io.EOF
			}
			return nil, errEndOfSample
		}
		given = true
		return beginning, nil
	}, delim)
	var sample []sampled
	for len(sample) < sampleRecords {
		rec, err := scan.next()
		if err != nil {
			break
		}
		sample = append(sample, keep(rec))
	}
	return sample
}

// keep copies a record for the sample.
func keep(rec record) sampled {
	s := sampled{line: rec.line, trouble: rec.trouble, cells: make([]string, len(rec.cells)), blank: true}
	for i, cell := range rec.cells {
		s.cells[i] = string(cell)
		s.blank = s.blank && isBlank(cell)
	}
	return s
}

// regularity is how much of the sample has the same number of columns, if that is more than one: 0 to 1, and a little more for
// more columns.
func regularity(sample []sampled) float64 {
	widths := map[int]int{}
	filled, most := 0, 0
	for _, rec := range sample {
		if rec.blank {
			continue
		}
		filled++
		n := len(rec.cells)
		if widths[n]++; n > 1 && (most == 0 || widths[n] > widths[most] || widths[n] == widths[most] && n > most) {
			most = n
		}
	}
	if most == 0 {
		return 0
	}
	return float64(widths[most])/float64(filled) + float64(most)/(100*maxColumns)
}

// checkLayout refuses a sheet whose header cannot be read, and one without any row, as far as the sample shows.
func checkLayout(l *layout, sample []sampled, whole bool) error {
	if l.trouble != nil {
		return refusal(fmt.Sprintf("has a header (line %d) that cannot be read: %s", l.headerLine, l.trouble.reason))
	}
	if !whole || len(sample) == sampleRecords {
		return nil
	}
	for _, rec := range sample {
		if !rec.blank && rec.line > l.headerLine {
			return nil
		}
	}
	return refusal(fmt.Sprintf("has a header (line %d) and no rows below it; add the PO numbers", l.headerLine))
}

// width is how many columns the sheet has.
func width(l *layout, sample []sampled) int {
	if l.headerLine > 0 {
		return len(l.names)
	}
	most := 0
	for _, rec := range sample {
		most = max(most, len(rec.cells))
	}
	return most
}
