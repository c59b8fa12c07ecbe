package demo

import (
	"archive/zip"
	"bytes"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gabriel-vasile/mimetype"
	"github.com/richardlehane/mscfb"
	"github.com/xuri/excelize/v2"
)

func TestEveryKindOfFileIsWhatItsTypeSays(t *testing.T) {
	for k, want := range mimeTypes {
		data := content(k, "PO16900001 Größe (1) 🚀.x")
		got := mimetype.Detect(data)
		if !got.Is(want) && (k != eml || !got.Is("text/plain")) {
			t.Errorf("%s: its bytes say %s, want %s", k, got, want)
		}
		if !bytes.Equal(data, content(k, "PO16900001 Größe (1) 🚀.x")) {
			t.Errorf("%s: the same title gives other bytes", k)
		}
		if bytes.Equal(data, content(k, "PO16900002 Größe (1) 🚀.x")) {
			t.Errorf("%s: another title gives the same bytes", k)
		}
		if len(data) > 10_000 {
			t.Errorf("%s: %d bytes are not small", k, len(data))
		}
	}
}

func TestAPDFHasItsObjectsWhereItsTableSays(t *testing.T) {
	for _, size := range []int{0, 150_000} {
		data := pdfOf("a (b) \\ c ü 🚀", size)
		if size > 0 && (len(data) < size*95/100 || len(data) > size*105/100) {
			t.Errorf("%d bytes, want about %d", len(data), size)
		}
		start := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(data)
		if start == nil {
			t.Fatal("the file does not end with startxref")
		}
		at, _ := strconv.Atoi(string(start[1]))
		lines := strings.Split(string(data[at:]), "\n")
		if lines[0] != "xref" {
			t.Fatalf("startxref leads to %q", lines[0])
		}
		count, _ := strconv.Atoi(strings.Fields(lines[1])[1])
		for i := 1; i < count; i++ {
			offset, _ := strconv.Atoi(lines[2+i][:10])
			if want := strconv.Itoa(i) + " 0 obj\n"; !bytes.HasPrefix(data[offset:], []byte(want)) {
				t.Errorf("object %d is not at %d", i, offset)
			}
			if len(lines[2+i]) != 19 { // with its newline 20, as the format asks
				t.Errorf("table line %q has not 20 bytes", lines[2+i])
			}
		}
	}
}

func TestAWorkbookOpensAndSaysItsTitle(t *testing.T) {
	f, err := excelize.OpenReader(bytes.NewReader(content(xlsx, "A <b> & c")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := f.GetCellValue("Sheet1", "A1"); err != nil || got != "A <b> & c" {
		t.Errorf("A1 is %q (%v)", got, err)
	}
}

func TestPicturesDecode(t *testing.T) {
	for _, k := range []kind{pngs, jpg} {
		if _, _, err := image.Decode(bytes.NewReader(content(k, "t"))); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestAnEMailParses(t *testing.T) {
	m, err := mail.ReadMessage(bytes.NewReader(content(eml, "Größe")))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Header.Get("Subject"); got != "=?UTF-8?Q?Gr=C3=B6=C3=9Fe?=" {
		t.Errorf("subject %q", got)
	}
}

func TestAnOutlookMessageHasItsProperties(t *testing.T) {
	doc, err := mscfb.New(bytes.NewReader(content(msg, "Größe 🚀")))
	if err != nil {
		t.Fatal(err)
	}
	streams := map[string]string{}
	for entry, err := doc.Next(); err == nil; entry, err = doc.Next() {
		data := make([]byte, entry.Size)
		if _, err := entry.Read(data); err != nil && entry.Size > 0 {
			t.Fatalf("%s: %v", entry.Name, err)
		}
		streams[entry.Name] = string(data)
	}
	if got, want := streams["__substg1.0_0037001F"], string(utf16le("Größe 🚀")); got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	if got := len(streams["__properties_version1.0"]); got != 32+3*16 {
		t.Errorf("the properties take %d bytes", got)
	}
}

func TestAZipHoldsItsFiles(t *testing.T) {
	data := content(zips, "t")
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(z.File) != 2 {
		t.Fatalf("%v, %d files", err, len(z.File))
	}
}
