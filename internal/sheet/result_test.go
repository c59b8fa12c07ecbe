package sheet

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// writeResult is the result CSV without its byte-order mark and its header.
func writeResult(t *testing.T, input string, results ...po.Result) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteResult(&out, strings.NewReader(input), "test.csv", Options{}, &resultList{list: results}, nil); err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(out.String(), utf8BOM)
	if !ok {
		t.Errorf("there is no byte-order mark: %q", out.String())
	}
	_, rows, _ := strings.Cut(text, "\n")
	return rows
}

func TestTextThatIsAddedCannotBeTakenForAFormula(t *testing.T) {
	for added, want := range map[string]string{
		"=1+1.pdf":             "'=1+1.pdf",
		"+1.pdf":               "'+1.pdf",
		"-1.pdf":               "'-1.pdf",
		"@SUM(A1).pdf":         "'@SUM(A1).pdf",
		"\tx.pdf":              "'\tx.pdf",
		"a=1.pdf":              "a=1.pdf",
		"=HYPERLINK(\"x,y\")":  `"'=HYPERLINK(""x,y"")"`,
		"relatório, final.pdf": `"relatório, final.pdf"`,
	} {
		got := writeResult(t, "PO_NUMBER\n=\"16928033\"\n", po.Result{
			Row: 2, Status: po.Completed, Found: 1, Files: []po.File{{Name: added}}, Supplier: added, Folder: added,
		})
		if cells := `="16928033"`; !strings.HasPrefix(got, `"=""16928033"""`) {
			t.Errorf("the user's own cell %s did not come back: %s", cells, got)
		}
		if n := strings.Count(got, ","+want+","); n != 3 {
			t.Errorf("%q is written %d times as %s, want 3: %s", added, n, want, got)
		}
	}
}

func TestNamesOfFilesAreJoinedByASemicolonAndALineEnd(t *testing.T) {
	got := writeResult(t, "PO_NUMBER\n16928033\n", po.Result{
		Row: 2, Status: po.Partial, Found: 3, Code: po.CodeFileTooLarge, Message: "c.zip has 900 MB",
		Files: []po.File{{Name: "a.pdf"}, {Name: "b.pdf"}},
	})
	want := "16928033,PARTIAL,,3,2,\"a.pdf;\nb.pdf\",,FILE_TOO_LARGE: c.zip has 900 MB,,\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTimesAreWrittenInTheGivenZone(t *testing.T) {
	var out bytes.Buffer
	results := &resultList{list: []po.Result{{Row: 2, Status: po.Completed, ProcessedAt: time.Date(2024, 3, 1, 1, 2, 3, 0, time.UTC)}}}
	err := WriteResult(&out, strings.NewReader("PO_NUMBER\n16928033\n"), "test.csv", Options{}, results, time.FixedZone("", -3*3600))
	if err != nil || !strings.Contains(out.String(), ",2024-02-29 22:02:03,") {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestResultsAreMatchedByLine(t *testing.T) {
	got := writeResult(t, "PO_NUMBER,n\n16928031,a\n16928032,b\n\n16928033,c\n16928034,d\n",
		po.Result{Row: 1, Status: po.Failed}, // no row is there
		po.Result{Row: 3, Status: po.Completed},
		po.Result{Row: 4, Status: po.Failed}, // blank
		po.Result{Row: 5, Status: po.NotFound},
		po.Result{Row: 99, Status: po.Failed})
	want := "16928031,PENDING,,,,,,,,,a\n" +
		"16928032,COMPLETED,,0,0,,,,,,b\n" +
		"\n" +
		"16928033,PO_NOT_FOUND,,0,0,,,,,,c\n" +
		"16928034,PENDING,,,,,,,,,d\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAnErrorOfTheResultsOrTheWriterIsReturned(t *testing.T) {
	broken := errors.New("table is gone")
	var out bytes.Buffer
	err := WriteResult(&out, strings.NewReader("PO_NUMBER\n16928033\n"), "test.csv", Options{}, &resultList{err: broken}, nil)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	full := errors.New("disk is full")
	err = WriteResult(failingWriter{full}, strings.NewReader("PO_NUMBER\n16928033\n"), "test.csv", Options{}, &resultList{}, nil)
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestAResultCanBeUploadedAgain(t *testing.T) {
	input := "Fornecedor;Pedido;<|>;Ano\nAção;16928033;;2024\nÁgua;16928034;;2025\n"
	var out bytes.Buffer
	err := WriteResult(&out, strings.NewReader(input), "test.csv", Options{}, &resultList{list: []po.Result{
		{Row: 2, Status: po.Completed, Found: 2, Files: []po.File{{Name: "a.pdf"}, {Name: "b.pdf"}}},
		{Row: 3, Status: po.Failed, Code: po.CodeNetwork, Message: "was down"},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, rows, err := readRows(&out, "test_processed.csv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || !rows[0].Completed || rows[1].Verdict != Accepted || rows[1].PO != "16928034" ||
		rows[1].Supplier != "Água" || len(rows[1].Levels) != 1 || rows[1].Levels[0] != "2025" {
		t.Errorf("got %+v", rows)
	}
}
