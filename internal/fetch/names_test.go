package fetch

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// goldenNames are the headers of testdata/names.txt with the names that they must give.
func goldenNames(t testing.TB) (pairs [][2]string) {
	t.Helper()
	f, err := os.Open("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var pair [2]string
		for i := range pair {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if pair[i], err = strconv.Unquote(quoted); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			line = strings.TrimSpace(line[len(quoted):])
		}
		pairs = append(pairs, pair)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return pairs
}

func TestHeadersGiveTheNamesThatPeopleExpect(t *testing.T) {
	pairs := goldenNames(t)
	if len(pairs) < 60 {
		t.Errorf("the golden table has %d headers; it must have 60", len(pairs))
	}
	for _, pair := range pairs {
		if got := Name(pair[0], nil, ""); got != pair[1] {
			t.Errorf("%q\n got %q\nwant %q", pair[0], got, pair[1])
		}
	}
}

func TestTheBestSourceOfANameWins(t *testing.T) {
	for _, c := range []struct {
		what, header string
		labels       []string
		url, want    string
	}{
		{"the header before all", `attachment; filename=a.pdf`, []string{"b.pdf"}, "https://p/c.pdf", "a.pdf"},
		{"a label before the address", "", []string{"b.pdf"}, "https://p/c.pdf", "b.pdf"},
		{"labels in their order", "attachment", []string{"b.pdf", "c.pdf"}, "https://p/d.pdf", "b.pdf"},
		{"an address with an extension before a bare label", "", []string{"Invoice March"}, "https://p/file/7/invoice.pdf?x=1", "invoice.pdf"},
		{"a version is no extension", "", []string{"Invoice v1.2"}, "https://p/i.pdf", "i.pdf"},
		{"a bare label before a bare address", "", []string{"", "Invoice March"}, "https://p/file/7", "Invoice March"},
		{"an extension that is not known", "", []string{"Drawing"}, "https://p/drawing.skp", "drawing.skp"},
		{"a label with a slash", "", []string{"Invoice 3/2026.pdf"}, "", "Invoice 3_2026.pdf"},
		{"a parameter made for it", "", nil, "https://p/download?filename=Rechnung%20M%C3%A4rz.pdf", "Rechnung März.pdf"},
		{"a signed link of S3", "", nil, "https://p/k/1?response-content-disposition=attachment%3B%20filename%3D%22a%20b.pdf%22", "a b.pdf"},
		{"an encoded address", "", nil, "https://p/files/Rechnung%20M%C3%A4rz.pdf", "Rechnung März.pdf"},
		{"an encoded slash", "", nil, "https://p/files/a%2Fb.pdf", "a_b.pdf"},
		{"a Latin-1 address", "", nil, "https://p/files/M%E4rz.pdf", "März.pdf"},
		{"a blob has no name", "", nil, "blob:https://p/0b0e3f5e-0000-0000-0000-000000000000", "attachment"},
		{"data has no name", "", nil, "data:application/pdf;base64,JVBERi0=", "attachment"},
		{"nothing at all", "", nil, "", "attachment"},
		{"an address that is none", "", nil, "http://[::1", "attachment"},
	} {
		if got := Name(c.header, c.labels, c.url); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestLongNamesKeepTheirExtension(t *testing.T) {
	for _, c := range []struct{ name, wantEnd string }{
		{strings.Repeat("a", 300) + ".pdf", "aaaa.pdf"},
		{strings.Repeat("ä", 300) + ".xlsx", "ää.xlsx"},
		{strings.Repeat("請", 300) + ".tar.gz", "請.tar.gz"},
		{strings.Repeat("😀", 300) + ".pdf", "😀.pdf"},
		{strings.Repeat("a", 300), "aaaa"},
		{"a." + strings.Repeat("b", 300), "bbbb"},
		{strings.Repeat("a b ", 100) + ".pdf", "a.pdf"},
	} {
		got := Sanitise(c.name)
		if !strings.HasSuffix(got, c.wantEnd) {
			t.Errorf("%.20q…: got %q, want it to end in %q", c.name, got, c.wantEnd)
		}
		if problem := illegal(got); problem != "" {
			t.Errorf("%.20q…: %q %s", c.name, got, problem)
		}
		if runes, size := utf8.RuneCountInString(got), len(got); runes < 40 || size < 140 {
			t.Errorf("%.20q…: %d characters and %d bytes are left, which is fewer than need be", c.name, runes, size)
		}
	}
}

func TestFilesOfOneNameAreNumbered(t *testing.T) {
	var names Names
	long := strings.Repeat("x", 300) + ".pdf"
	for _, c := range []struct{ name, want string }{
		{"a.pdf", "a.pdf"},
		{"a.pdf", "a_2.pdf"},
		{"A.PDF", "A_3.PDF"},
		{"a_2.pdf", "a_2_2.pdf"},
		{"a", "a"},
		{"a", "a_2"},
		{"b.tar.gz", "b.tar.gz"},
		{"b.tar.gz", "b_2.tar.gz"},
		{"ÄRGER.pdf", "ÄRGER.pdf"},
		{"ärger.pdf", "ärger_2.pdf"},
		{"../a.pdf", "_a.pdf"},
		{long, strings.Repeat("x", 146) + ".pdf"},
		{long, strings.Repeat("x", 144) + "_2.pdf"},
	} {
		if got := names.Unique(c.name); got != c.want {
			t.Errorf("%.20q: got %q, want %q", c.name, got, c.want)
		}
	}
	for i := range 1000 {
		if got := names.Unique(long); illegal(got) != "" {
			t.Fatalf("the %dth of one name is %q, which %s", i, got, illegal(got))
		}
	}
}

// illegal says why a name cannot be a file's name everywhere, "" when it can.
func illegal(name string) string {
	device := strings.ToUpper(strings.TrimSpace(strings.SplitN(name, ".", 2)[0]))
	switch {
	case name == "":
		return "is empty"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case !norm.NFC.IsNormalString(name):
		return "is not normalised"
	case utf8.RuneCountInString(name) > 150 || len(name) > 200:
		return "is too long"
	case strings.ContainsAny(name, `<>:"/\|?*`):
		return "has a separator or a reserved character"
	case strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0xfffe || r == 0xffff
	}):
		return "has an invisible character"
	case strings.Trim(name, ". ") != name:
		return "has a dot or a space at an end"
	case strings.Join(strings.Fields(name), " ") != name:
		return "has odd spaces"
	case strings.Contains(" CON PRN AUX NUL COM1 COM9 LPT1 LPT9 ", " "+device+" "):
		return "is a device"
	}
	return ""
}

func FuzzName(f *testing.F) {
	for _, pair := range goldenNames(f) {
		f.Add(pair[0], "label.pdf", "https://p/x.pdf")
		f.Add("", pair[1], pair[0])
	}
	f.Add("", strings.Repeat("a", 180)+".. .b", "")
	f.Add("", strings.Repeat("é. ", 70), "?filename=x")
	f.Fuzz(func(t *testing.T, header, label, url string) {
		name := Name(header, []string{label}, url)
		if problem := illegal(name); problem != "" {
			t.Errorf("%q %s", name, problem)
		}
		if again := Sanitise(name); again != name {
			t.Errorf("%q changes to %q when it is sanitised again", name, again)
		}
		var names Names
		first, second := names.Unique(name), names.Unique(name)
		if first != name || second == first || illegal(second) != "" || Sanitise(second) != second {
			t.Errorf("%q twice is %q and %q", name, first, second)
		}
	})
}
