package sheet

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/purserhq/purser/internal/po"
)

// The result columns, in their order.
const (
	columnPO = iota
	columnStatus
	columnSupplier
	columnFound
	columnDownloaded
	columnNames
	columnProcessed
	columnError
	columnFolder
	columnURL
	resultColumns
)

var resultNames = [resultColumns]string{
	"PO_NUMBER", "STATUS", "SUPPLIER", "ATTACHMENTS_FOUND", "ATTACHMENTS_DOWNLOADED", "AttachmentName", "LAST_PROCESSED",
	"ERROR_MESSAGE", "DOWNLOAD_FOLDER", "COUPA_URL",
}

// sampleRecords is how many records of the beginning are looked at to tell what the columns are.
const sampleRecords = 200

// sampled is a record of the beginning, kept.
type sampled struct {
	line    int
	cells   []string
	blank   bool
	trouble *trouble
}

// layout says what each column is.
type layout struct {
	headerLine int      // 0: there is no header
	names      []string // the headers
	trouble    *trouble // the header's

	po        int
	status    int   // the first column called STATUS, -1 when there is none
	suppliers []int // the first that is not empty counts
	levels    []int
	result    [resultColumns]int // which column of the sheet is the result column; -1 when it is missing

	numbers int // PO numbers in the sample
}

// column names a column for a person: by its header, else by its letter.
func (l *layout) column(i int) string {
	if i < len(l.names) {
		if name := clean(l.names[i]); name != "" {
			return name
		}
	}
	return columnLetter(i)
}

// findLayout tells what the columns are, from the records of the sheet's beginning.
func findLayout(sample []sampled, o Options, rule numberRule, delim byte) (*layout, error) {
	if !slices.ContainsFunc(sample, func(rec sampled) bool { return !rec.blank }) {
		if len(sample) == sampleRecords {
			return nil, refusal(fmt.Sprintf("begins with %d blank lines; take them out", sampleRecords))
		}
		return nil, refusal("holds only blank lines; upload the sheet again")
	}
	l := &layout{po: -1, status: -1}
	header, err := l.findPO(sample, o.POColumn, rule)
	if err != nil {
		return nil, err
	}
	if header >= 0 {
		l.trouble = sample[header].trouble
		l.headerLine = sample[header].line
		l.names = sample[header].cells
		if delim == '|' {
			l.mergeLevelMark()
		}
	}
	for i := header + 1; i < len(sample); i++ {
		if rule.holds(cellAt(sample[i].cells, l.po)) {
			l.numbers++
		}
	}
	l.findLevels()
	if err := l.findSuppliers(o.SupplierColumn); err != nil {
		return nil, err
	}
	l.findResults(sample[header+1:])
	return l, nil
}

func cellAt(cells []string, i int) string {
	if i < 0 || i >= len(cells) {
		return ""
	}
	return cells[i]
}

// findPO sets the column of PO numbers and returns the index of the header in the sample, -1 when there is none.
func (l *layout) findPO(sample []sampled, wanted string, rule numberRule) (header int, err error) {
	if wanted != "" {
		return l.findNamedPO(sample, wanted, rule)
	}
	if header, l.po = headerByName(sample, rule); l.po >= 0 {
		return header, nil
	}
	if l.po, err = columnByContent(sample, rule); err != nil {
		return -1, err
	}
	return headerAbove(sample, l.po, rule), nil
}

// findNamedPO finds the column that the setting PO_COLUMN names: by its header, else by its letter or number.
func (l *layout) findNamedPO(sample []sampled, wanted string, rule numberRule) (header int, err error) {
	for _, same := range []func(string) bool{
		func(cell string) bool { return clean(cell) == clean(wanted) },
		func(cell string) bool { return fold(wanted) != "" && fold(cell) == fold(wanted) },
	} {
		for i, rec := range sample {
			for j, cell := range rec.cells {
				if same(cell) {
					l.po = j
					return i, nil
				}
			}
		}
	}
	if l.po = columnIndex(wanted); l.po >= 0 {
		return headerAbove(sample, l.po, rule), nil
	}
	return -1, refusal(fmt.Sprintf("has no column %q, which PO_COLUMN names; %s", wanted, describeHeader(sample)))
}

// headerByName finds the record that names a column of PO numbers. A title above the table may hold such a name too, and so may
// a cell among the rows: the record right above a PO number is the likeliest header, and one that holds a PO number is none.
func headerByName(sample []sampled, rule numberRule) (header, column int) {
	header, column = -1, -1
	best := 0
	for i, rec := range sample {
		if holdsNumber(rec, rule) {
			continue
		}
		for j, cell := range rec.cells {
			rank := poNames[fold(cell)]
			if rank == 0 || strings.ContainsAny(cell, string(delimiters)) { // several cells that another delimiter parts
				continue
			}
			score := 1000 - rank
			if numberBelow(sample[i+1:], j, rule) {
				score += 4000
			}
			if hasNumber(sample[i+1:], j, rule) {
				score += 2000
			}
			if nonBlank(rec.cells) > 1 {
				score += 1000
			}
			if score > best {
				best, header, column = score, i, j
			}
		}
	}
	return header, column
}

func holdsNumber(rec sampled, rule numberRule) bool {
	return slices.ContainsFunc(rec.cells, rule.holds)
}

// numberBelow tells whether the next record that is not blank has a PO number in the column.
func numberBelow(below []sampled, column int, rule numberRule) bool {
	next := slices.IndexFunc(below, func(rec sampled) bool { return !rec.blank })
	return next >= 0 && rule.holds(cellAt(below[next].cells, column))
}

func hasNumber(below []sampled, column int, rule numberRule) bool {
	return slices.ContainsFunc(below, func(rec sampled) bool { return rule.holds(cellAt(rec.cells, column)) })
}

func nonBlank(cells []string) int {
	n := 0
	for _, cell := range cells {
		if !isBlank([]byte(cell)) {
			n++
		}
	}
	return n
}

// columnByContent finds the one column that holds PO numbers. Bare digits can be anything, so where several columns hold such
// numbers, the one whose numbers begin with PO or PM is taken, and else none.
func columnByContent(sample []sampled, rule numberRule) (int, error) {
	var filled, numbers, withPrefix []int
	for _, rec := range sample {
		for j, cell := range rec.cells {
			if j == len(filled) {
				filled, numbers, withPrefix = append(filled, 0), append(numbers, 0), append(withPrefix, 0)
			}
			if isBlank([]byte(cell)) {
				continue
			}
			filled[j]++
			if number, ok := rule.repair(clean(cell)); ok {
				numbers[j]++
				if po.Number(number).Digits() != number {
					withPrefix[j]++
				}
			}
		}
	}
	var columns, prefixed []int
	for j := range filled {
		if numbers[j] == 0 || numbers[j]*2 < filled[j] {
			continue
		}
		columns = append(columns, j)
		if withPrefix[j]*2 >= numbers[j] {
			prefixed = append(prefixed, j)
		}
	}
	switch {
	case len(columns) == 1:
		return columns[0], nil
	case len(prefixed) == 1:
		return prefixed[0], nil
	case len(columns) == 0:
		return -1, refusal("has no column of PO numbers; " + describeHeader(sample) + "; name the column PO_NUMBER, or set PO_COLUMN to its name")
	}
	letters := make([]string, len(columns))
	for i, j := range columns {
		letters[i] = columnLetter(j)
	}
	return -1, refusal("has several columns that could hold the PO numbers (" + strings.Join(letters, ", ") +
		") and no header that tells; name the column PO_NUMBER, or set PO_COLUMN to its letter")
}

// headerAbove finds the header above the first PO number of the column: the record before it, if that holds a word there.
func headerAbove(sample []sampled, column int, rule numberRule) int {
	before := -1
	for i, rec := range sample {
		if rec.blank {
			continue
		}
		if rule.holds(cellAt(rec.cells, column)) {
			break
		}
		before = i
	}
	if before < 0 {
		return -1
	}
	cell := cellAt(sample[before].cells, column)
	if _, kind, _ := rule.read([]byte(cell)); kind != flawOther || strings.ContainsFunc(cell, unicode.IsDigit) ||
		!strings.ContainsFunc(cell, unicode.IsLetter) {
		return -1
	}
	return before
}

// describeHeader says what the sheet's first line with something in it holds.
func describeHeader(sample []sampled) string {
	const most = 12
	for _, rec := range sample {
		if rec.blank {
			continue
		}
		var names []string
		for _, cell := range rec.cells {
			if len(names) == most {
				names = append(names, "…")
				break
			}
			names = append(names, quote(clean(cell)))
		}
		return fmt.Sprintf("line %d holds %s", rec.line, strings.Join(names, ", "))
	}
	return ""
}

// mergeLevelMark puts the header <|> together again where | is the delimiter. The rows have one cell there.
func (l *layout) mergeLevelMark() {
	for i := 0; i+1 < len(l.names); i++ {
		if strings.TrimSpace(l.names[i]) == "<" && strings.TrimSpace(l.names[i+1]) == ">" {
			l.names = append(append(append([]string{}, l.names[:i]...), levelMark), l.names[i+2:]...)
			return
		}
	}
}

// findLevels takes every column right of the mark as a folder level, but for nameless ones at the end.
func (l *layout) findLevels() {
	last := len(l.names)
	for last > 0 && isBlank([]byte(l.names[last-1])) {
		last--
	}
	for i, name := range l.names[:last] {
		if clean(name) == levelMark {
			for j := i + 1; j < last; j++ {
				l.levels = append(l.levels, j)
			}
			return
		}
	}
}

// findSuppliers finds the columns that name the supplier, best first.
func (l *layout) findSuppliers(wanted string) error {
	if wanted != "" {
		for i, name := range l.names {
			if clean(name) == clean(wanted) || fold(wanted) != "" && fold(name) == fold(wanted) {
				l.suppliers = append(l.suppliers, i)
			}
		}
		if i := columnIndex(wanted); len(l.suppliers) == 0 && i >= 0 {
			l.suppliers = []int{i}
		}
		if len(l.suppliers) == 0 {
			return refusal(fmt.Sprintf("has no column %q, which SUPPLIER_COLUMN names; its header is %s", wanted,
				quote(strings.Join(l.names, ", "))))
		}
		return nil
	}
	ranks := make([]int, len(l.names))
	for i, name := range l.names {
		ranks[i] = supplierNames[fold(name)]
	}
	for rank := 1; rank <= len(supplierNames); rank++ {
		for i := range ranks {
			if ranks[i] == rank && i != l.po {
				l.suppliers = append(l.suppliers, i)
			}
		}
	}
	return nil
}

// findResults finds the result columns that the sheet has already, in whatever case it writes them. A STATUS column that holds
// other words than ours is the user's own and stays, unless more of the result columns show that the sheet is a former result.
func (l *layout) findResults(rows []sampled) {
	former := false
	for i := range l.result {
		l.result[i] = -1
		for j, name := range l.names {
			if clean(name) == levelMark { // what is right of it is the user's
				break
			}
			if fold(name) == fold(resultNames[i]) {
				l.result[i] = j
				former = former || i >= columnFound
				break
			}
		}
	}
	if l.headerLine == 0 {
		l.result[columnPO] = l.po
	}
	if l.result[columnPO] != l.po { // the numbers are in another column: the one called PO_NUMBER is the user's
		l.result[columnPO] = -1
	}
	l.status = l.result[columnStatus]
	if l.status < 0 || former {
		return
	}
	for _, rec := range rows {
		if cell := clean(cellAt(rec.cells, l.status)); cell != "" && !ourStatus(cell) {
			l.result[columnStatus] = -1
			return
		}
	}
}

func ourStatus(cell string) bool {
	status := po.Status(strings.ToUpper(cell))
	for _, s := range po.Statuses {
		if status == s {
			return true
		}
	}
	return status == po.Pending
}
