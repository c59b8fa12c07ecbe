package sheet

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/purserhq/purser/internal/po"
)

// rowsOf reads a sheet that can be read.
func rowsOf(t *testing.T, input io.Reader) []Row {
	t.Helper()
	_, rows, err := readRows(input, "test.csv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// summary is what became of each row, in few words.
func summary(rows []Row) string {
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "%d:%s ", row.Line, row.Verdict)
	}
	return strings.TrimSpace(b.String())
}

func TestHugeCellsAndLinesAreRejectedAndTheRestIsRead(t *testing.T) {
	const tenMB = 10 << 20
	huge := strings.Repeat("x", tenMB)
	hugeLines := strings.Repeat(strings.Repeat("text ", 20)[:99]+"\n", tenMB/100)
	for name, c := range map[string]struct{ row, want, reason string }{
		"a plain cell":           {"16928034," + huge + ",n", "2:accepted 3:rejected 4:accepted", "longer than 1024 KiB"},
		"a quoted cell":          {`16928034,"` + huge + `",n`, "2:accepted 3:rejected 4:accepted", "longer than 1024 KiB"},
		"a cell in two bytes":    {"16928034," + strings.Repeat("é", tenMB/2), "2:accepted 3:rejected 4:accepted", "longer than 1024 KiB"},
		"the cell of the number": {huge + ",a,b", "2:accepted 3:rejected 4:accepted", "longer than 1024 KiB"},
		"10,000 columns":         {"16928034" + strings.Repeat(",", 9999), "2:accepted 3:rejected 4:accepted", "more than 4096 columns"},
		"10,000 quoted columns":  {"16928034" + strings.Repeat(`,"a"`, 9999), "2:accepted 3:rejected 4:accepted", "more than 4096 columns"},
	} {
		t.Run(name, func(t *testing.T) {
			rows := rowsOf(t, strings.NewReader("PO_NUMBER,A,B\n16928033,a,b\n"+c.row+"\n16928035,a,b\n"))
			if got := summary(rows); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
			if !strings.Contains(rows[1].Reason, c.reason) || rows[1].Column == "" {
				t.Errorf("the reason is %q in column %q", rows[1].Reason, rows[1].Column)
			}
			if len(rows[1].Value) > 1000 {
				t.Errorf("%d bytes of the PO cell are kept", len(rows[1].Value))
			}
		})
	}
	t.Run("a quote that is not closed for 10 MB", func(t *testing.T) {
		rows := rowsOf(t, strings.NewReader("PO_NUMBER,A,B\n16928033,a,b\n16928034,\"a,b\n"+hugeLines+"16928035,a,b\n"))
		last := rows[len(rows)-1]
		if rows[1].Verdict != Rejected || !strings.Contains(rows[1].Reason, "not closed") {
			t.Errorf("the row with the quote is %+v", rows[1])
		}
		if last.Verdict != Accepted || last.PO != "16928035" || last.Line != tenMB/100+4 {
			t.Errorf("the last row is %+v", last)
		}
	})
}

func TestAHeaderThatCannotBeReadIsRefused(t *testing.T) {
	for want, input := range map[string]string{
		"begins with a line of more than 256 KiB": strings.Repeat("x", 1<<20) + "\nPO_NUMBER\n16928033\n",
		"more than 4096 columns":                  "PO_NUMBER" + strings.Repeat(",", 9999) + "\n16928033\n",
	} {
		_, err := Open(strings.NewReader(input), "test.csv", Options{})
		var unreadable *Unreadable
		if !errors.As(err, &unreadable) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an Unreadable with %q", err, want)
		}
	}
}

// repeated is a header and then the same line over and over, made as it is read.
type repeated struct {
	header string
	row    func(i int) []byte // valid until the next call
	rows   int

	next []byte
	made int
}

func (g *repeated) Read(p []byte) (int, error) {
	for len(g.next) == 0 {
		if g.made > g.rows {
			return 0, io.EOF
		}
		if g.made == 0 {
			g.next = []byte(g.header)
		} else {
			g.next = g.row(g.made)
		}
		g.made++
	}
	n := copy(p, g.next)
	g.next = g.next[n:]
	return n, nil
}

func millionRows(n int) *repeated {
	var row []byte
	return &repeated{
		header: "PO_NUMBER;STATUS;<|>;SUPPLIER;Year;Quarter\n",
		rows:   n,
		row: func(i int) []byte {
			row = strconv.AppendInt(append(row[:0], "PO"...), int64(10_000_000+i), 10)
			row = strconv.AppendInt(append(row, ";;;Supplier "...), int64(i%50), 10)
			return append(row, ";2024;Q1\n"...)
		},
	}
}

// heapNow is what is in use after a collection.
func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAMillionRowsAreReadInLessThan64MBWithEveryDuplicateFound(t *testing.T) {
	const rows = 1_000_000
	before := heapNow()
	input := millionRows(rows)
	plain := input.row
	input.row = func(i int) []byte {
		if i%100_000 == 0 { // ten duplicates: each of the row 50,000 lines before
			return plain(i - 50_000)
		}
		return plain(i)
	}
	r, err := Open(input, "million.csv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var accepted, duplicates int
	var most uint64
	for {
		row, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case row.Verdict == Accepted:
			accepted++
		case row.DuplicateOf == row.Line-50_000:
			duplicates++
		default:
			t.Fatalf("line %d: %+v", row.Line, row)
		}
		if row.Line%200_000 == 0 {
			most = max(most, heapNow()-before)
		}
	}
	if accepted != rows-10 || duplicates != 10 {
		t.Errorf("%d rows were accepted and %d were duplicates, want %d and 10", accepted, duplicates, rows-10)
	}
	if most > 64<<20 {
		t.Errorf("the heap grew by %d MB, want less than 64", most>>20)
	}
	t.Logf("the heap grew by %.1f MB", float64(most)/(1<<20))
}

func TestTheSourcesOwnErrorIsNotCalledADamagedFile(t *testing.T) {
	broken := errors.New("connection reset")
	for name, input := range map[string]io.Reader{
		"at once":     iotest.ErrReader(broken),
		"later":       io.MultiReader(millionRows(50_000), iotest.ErrReader(broken)),
		"in gzip":     io.MultiReader(strings.NewReader("\x1f\x8b\x08\x00\x00\x00"), iotest.ErrReader(broken)),
		"in workbook": io.MultiReader(strings.NewReader("PK\x03\x04"), iotest.ErrReader(broken)),
	} {
		_, _, err := readRows(input, "test.csv", Options{})
		var unreadable *Unreadable
		if !errors.Is(err, broken) || errors.As(err, &unreadable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDuplicatesAreKnownExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s, want := newSeen(), map[string]int{}
	for line := 1; line <= 50_000; line++ {
		number := fmt.Sprintf("%s%0*d", []string{"", "PM", "Ж-"}[random.IntN(3)], 6+random.IntN(4), random.IntN(20_000)+1)
		if got := s.add(number, line); got != want[number] {
			t.Fatalf("%s on line %d was seen on line %d, want %d", number, line, got, want[number])
		}
		if want[number] == 0 {
			want[number] = line
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	for cell, want := range map[string]po.Number{
		"16928033":        "16928033",
		"po16928033":      "PO16928033",
		"pm - 16928033":   "PM16928033",
		"PO:0016928033":   "PO0016928033",
		"PO16928033.0":    "PO16928033",
		"=\"PO 1234567\"": "PO1234567",
		"123456":          "123456",
		"1,234,567":       "1234567",
		"234,567":         "", // may be a decimal comma
		"12,34,56,789":    "",
		"1.234,567":       "",
		"16928033e0":      "",
		"PO PO16928033":   "",
		"PO----16928033":  "",
		"16928033 ":       "16928033",
		"16928033\n":      "16928033",
		"\u202a16928033":  "16928033",
		"16928033,0000":   "16928033",
		"16928033.01":     "",
		"０００００１":          "000001",
	} {
		got, _, reason := numberRule{}.read([]byte(cell))
		if got != want || (got == "") != (reason != "") {
			t.Errorf("%q is read as %q (%s), want %q", cell, got, reason, want)
		}
	}
}
