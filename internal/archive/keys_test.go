package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/purserhq/purser/internal/po"
)

// TestFoldersAreAsThePeopleExpectThem compares with testdata/folders.golden: one line each of levels (joined by "|", "-" for
// none), supplier, number, status and the folder.
func TestFoldersAreAsPeopleExpectThem(t *testing.T) {
	var got strings.Builder
	for _, c := range []struct {
		levels   []string
		supplier string
		number   po.Number
		status   po.Status
	}{
		{nil, "Acme Ltd", "PO16900004", po.Completed},
		{nil, "Acme Ltd", "16900004", po.Completed},
		{nil, "Acme Ltd", "po16900004", po.Partial},
		{nil, "Acme Ltd", "PM15492200", po.NoAttachments},
		{nil, "", "PO16900004", po.NotFound},
		{nil, "   ", "PO16900004", po.Failed},
		{nil, "Société Générale S.A.", "PO16900004", po.PRNotAccessible},
		{nil, "Socie\u0301te\u0301", "PO16900004", po.Timeout},
		{nil, "株式会社サンプル", "PO16900004", po.Completed},
		{nil, `A<B>C:D"E/F\G|H?I*J&K L`, "PO16900004", po.Completed},
		{nil, "Müller & Söhne  GmbH\t(Köln)", "PO16900004", po.Completed},
		{nil, "__a____b__", "PO16900004", po.Completed},
		{nil, "..", "PO16900004", po.Completed},
		{nil, "../../etc/passwd", "PO16900004", po.Completed},
		{nil, "a\x00b\u202ec\xffd", "PO16900004", po.Completed},
		{nil, strings.Repeat("long name ", 10), "PO16900004", po.Completed},
		{[]string{"Acme", "2026", "Q1"}, "Acme", "PO16900004", po.Completed},
		{[]string{"Acme", "", "Q1"}, "Acme", "PO16900004", po.Completed},
		{[]string{"North/South"}, "Acme", "PO16900004", po.Completed},
		{nil, "Acme", "A-1/2", po.Completed},
		{nil, "Acme", "A-1_2", po.Completed},
		{nil, "Acme", "order 7", po.Completed},
	} {
		levels := "-"
		if c.levels != nil {
			levels = strings.Join(c.levels, "|")
		}
		fmt.Fprintf(&got, "%q %q %q %s\n\t%s\n", levels, c.supplier, c.number, c.status,
			Folder("pos-20260302T090000Z-0123abcd", c.levels, c.supplier, c.number, c.status))
	}
	golden := filepath.Join("testdata", "folders.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestAnyTextMakesAFolderThatIsALegalKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOfN(rapid.String(), 0, 60).Draw(t, "levels")
		number := po.Number(rapid.StringN(1, 200, 200).Draw(t, "number"))
		folder := Folder("pos-20260302T090000Z-0123abcd", levels, rapid.String().Draw(t, "supplier"), number, po.PRNotAccessible)
		if len(folder) > maxFolder || !utf8.ValidString(folder) {
			t.Fatalf("%d bytes: %q", len(folder), folder)
		}
		for _, p := range strings.Split(folder, "/") {
			if p == "" || p == "." || p == ".." || len(p) > 255 || strings.ContainsAny(p, "\x00\n\\:*?\"<>|& ") {
				t.Fatalf("%q has the part %q", folder, p)
			}
		}
		if stem, ok := stemOf(folder); !ok || !strings.HasPrefix(folder, stem) {
			t.Fatalf("%q is not known as a PO's folder", folder)
		}
	})
}

func TestLongLevelsAreCutWithoutTwoBecomingOne(t *testing.T) {
	long := make([]string, 100)
	for i := range long {
		long[i] = strings.Repeat("é", 60)
	}
	other := append([]string(nil), long...)
	other[99] = "another"
	a := Folder("j", long, "", "PO16900004", po.Completed)
	b := Folder("j", other, "", "PO16900004", po.Completed)
	if a == b || len(a) > maxFolder || len(b) > maxFolder {
		t.Fatalf("%d bytes %q\n%d bytes %q", len(a), a, len(b), b)
	}
}

func TestTwoNumbersNeverShareAFolder(t *testing.T) {
	seen := map[string]po.Number{}
	for _, n := range []po.Number{
		"A-1/2", "A-1_2", "A-1 2", "A-1__2", "123456", "PO123456", "PO_123456", "PO 123456",
		po.Number(strings.Repeat("9", 60)), po.Number(strings.Repeat("9", 61)), "..", ".", "...",
	} {
		folder := Folder("j", nil, "Acme", n, po.Completed)
		if before, ok := seen[folder]; ok && (n != "PO_123456" || before != "123456") { // one and the same PO, told by the sheet
			t.Errorf("%q and %q share %s", before, n, folder)
		}
		seen[folder] = n
	}
}

func TestResultsLieByTheirJob(t *testing.T) {
	if got := ResultKey("j", "summary.json"); got != "results/j/summary.json" {
		t.Error(got)
	}
	if got := EvidenceKey("j", "16900004", "page.html"); got != "results/j/evidence/PO_16900004/page.html" {
		t.Error(got)
	}
}
