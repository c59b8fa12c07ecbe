package sheet

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/po"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenOptions are the options of the sheets that are not read with none.
var goldenOptions = map[string]Options{
	"option-po-column.csv":        {POColumn: "legacy-ref"},
	"option-po-letter.csv":        {POColumn: "B"},
	"option-po-missing.csv":       {POColumn: "Order Ref"},
	"option-supplier-column.csv":  {SupplierColumn: "Cost Center"},
	"option-supplier-missing.csv": {SupplierColumn: "Cost Center"},
	"option-pattern.csv":          {Pattern: regexp.MustCompile(`[A-Z]{3}-\d{3}`)},
}

// goldenSheets are the sheets in testdata, without their golden files.
func goldenSheets(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if name := filepath.Base(file); !strings.HasSuffix(name, ".rows") && !strings.HasSuffix(name, ".result") && name[0] != '.' {
			names = append(names, name)
		}
	}
	return names
}

// TestEverySheetIsReadAndGivenBackAsItsGoldenFilesSay compares, for each sheet in testdata, what becomes of its lines (.rows) and
// the result CSV (.result).
func TestEverySheetIsReadAndGivenBackAsItsGoldenFilesSay(t *testing.T) {
	names := goldenSheets(t)
	if len(names) < 60 {
		t.Fatalf("there are %d sheets in testdata, there should be 60 at least", len(names))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			input, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			rows, verdicts, readErr := readAll(bytes.NewReader(input), name, goldenOptions[name])
			var result bytes.Buffer
			writeErr := WriteResult(&result, bytes.NewReader(input), name, goldenOptions[name], madeUpResults(verdicts), time.UTC)
			if fmt.Sprint(readErr) != fmt.Sprint(writeErr) {
				t.Errorf("reading says %v, writing the result says %v", readErr, writeErr)
			}
			var unreadable *Unreadable
			if readErr != nil && !errors.As(readErr, &unreadable) {
				t.Errorf("the file is to blame, but the error is %T: %v", readErr, readErr)
			}
			golden(t, name+".rows", rows)
			if readErr == nil {
				golden(t, name+".result", result.Bytes())
			}

			// A source that hands out single bytes changes nothing.
			again, _, _ := readAll(iotest.OneByteReader(bytes.NewReader(input)), name, goldenOptions[name])
			if diff := cmp.Diff(string(rows), string(again)); diff != "" {
				t.Errorf("byte by byte it is read differently:\n%s", diff)
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

// readRows reads a sheet to its end.
func readRows(input io.Reader, name string, o Options) (Dialect, []Row, error) {
	r, err := Open(input, name, o)
	if err != nil {
		return Dialect{}, nil, err
	}
	defer r.Close()
	var rows []Row
	for {
		row, err := r.Next()
		if err == io.EOF {
			return r.Dialect(), rows, nil
		}
		if err != nil {
			return Dialect{}, rows, err
		}
		rows = append(rows, row)
	}
}

// readAll reads a sheet and writes down how it was understood and what becomes of each row, one JSON object a line.
func readAll(input io.Reader, name string, o Options) (text []byte, rows []Row, err error) {
	d, rows, err := readRows(input, name, o)
	if err != nil {
		return fmt.Appendf(nil, "error: %v\n", err), rows, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct {
		Format, Encoding, Delimiter, Worksheet, POColumn string
		HeaderLine                                       int
		Suppliers, Levels                                []string `json:",omitempty"`
	}{d.Format, d.Encoding, string(d.Delimiter), d.Worksheet, d.POColumn, d.HeaderLine, d.Suppliers, d.Levels})
	for _, row := range rows {
		_ = enc.Encode(struct {
			Line, Lines      int
			Verdict          string
			PO, Value        string
			Supplier         string   `json:",omitempty"`
			Levels           []string `json:",omitempty"`
			Reason, Column   string   `json:",omitempty"`
			DuplicateOf      int      `json:",omitempty"`
			Completed, Blank bool     `json:",omitempty"`
		}{
			row.Line, row.Lines, row.Verdict.String(), string(row.PO), row.Value, row.Supplier, row.Levels, row.Reason, row.Column,
			row.DuplicateOf, row.Completed, row.Blank,
		})
	}
	return out.Bytes(), rows, nil
}

// resultList hands out results from a list.
type resultList struct {
	list []po.Result
	err  error // after the last
}

func (l *resultList) Next() (po.Result, error) {
	if len(l.list) == 0 {
		if l.err != nil {
			return po.Result{}, l.err
		}
		return po.Result{}, io.EOF
	}
	next := l.list[0]
	l.list = l.list[1:]
	return next, nil
}

// madeUpResults are results such as a job's ledger holds: every fourth PO has files, has none, is not found, or is not done yet.
func madeUpResults(rows []Row) *resultList {
	at := time.Date(2024, 3, 1, 12, 30, 0, 0, time.UTC)
	byLine := map[int]po.Result{}
	var list []po.Result
	accepted := 0
	for _, row := range rows {
		res := po.Result{Row: row.Line, PO: row.PO, Supplier: row.Supplier, ProcessedAt: at.Add(time.Duration(row.Line) * time.Second)}
		switch {
		case row.Blank:
			continue
		case row.Completed:
			res.Status, res.Skipped = po.Completed, true
		case row.DuplicateOf > 0:
			first, ok := byLine[row.DuplicateOf]
			if !ok {
				continue
			}
			res = first
			res.Row, res.DuplicateOf = row.Line, row.DuplicateOf
		case row.Verdict == Rejected:
			res.Status, res.Code, res.Message = po.Failed, po.CodeInput, row.Reason
		default:
			res.URL = "https://portal.example/order_headers/" + row.PO.Digits()
			switch accepted++; accepted % 4 {
			case 1:
				res.Status, res.Found = po.Completed, 2
				res.Files = []po.File{{Name: "=offer.pdf"}, {Name: "invoice; final.pdf"}}
				res.Supplier = "+Portal's name-0001234567"
			case 2:
				res.Status, res.Code, res.Message = po.NotFound, po.CodeNotFound, "the portal does not know it"
			case 3:
				res.Status = po.NoAttachments
			case 0:
				continue
			}
			res.Folder = "download/job/PO_" + row.PO.Digits() + "_" + string(res.Status)
		}
		byLine[row.Line] = res
		list = append(list, res)
	}
	return &resultList{list: list}
}
