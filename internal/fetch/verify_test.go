package fetch

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/purserhq/purser/internal/po"
)

// zipped is a ZIP archive of empty files.
func zipped(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		if _, err := z.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRealFilesPassAndWrongOnesDoNot(t *testing.T) {
	var (
		pdf   = document(500)
		png   = append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), make([]byte, 100)...)
		jpeg  = append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), make([]byte, 100)...)
		tiff  = append([]byte("II*\x00"), make([]byte, 100)...)
		ole   = append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 1500)...)
		docx  = zipped(t, "[Content_Types].xml", "_rels/.rels", "word/document.xml")
		xlsx  = zipped(t, "[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")
		plain = zipped(t, "a.txt")
		rar   = append([]byte("Rar!\x1a\x07\x01\x00"), make([]byte, 100)...)
		exe   = append([]byte("MZ"), make([]byte, 500)...)
		mp4   = append([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), make([]byte, 100)...)
		noise = bytes.Repeat([]byte("\x01\x93\xfe\x00\x17"), 50)

		page      = []byte("<!DOCTYPE html>\n<html><body>Hello</body></html>")
		signIn    = []byte(signInPage)
		table     = []byte("<table><tr><td>1</td></tr></table>")
		xhtml     = []byte(`<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html xmlns="http://www.w3.org/1999/xhtml"><body/></html>`)
		xml       = []byte(`<?xml version="1.0"?><Invoice><ID>1</ID></Invoice>`)
		json      = []byte(`{"error": "please sign in"}`)
		csv       = []byte("a;b;c\n1;2;3\n")
		rtf       = []byte(`{\rtf1\ansi Hello}`)
		mail      = []byte("Received: from a by b\r\nFrom: a@example.com\r\nTo: b@example.com\r\nSubject: Invoice\r\n\r\nHello")
		latePDF   = append(bytes.Repeat([]byte("\n"), 20), pdf...)
		macBinary = append(append(make([]byte, 128), "junk"...), pdf...)
	)
	const (
		octets    = "application/octet-stream"
		html      = "text/html; charset=utf-8"
		docxType  = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
		sessionOK = false
		suspect   = true
	)
	for _, c := range []struct {
		what, name, contentType string
		body                    []byte
		want                    string // a part of the error, "" when the file passes
		session                 bool
	}{
		// What is what it claims.
		{"PDF", "a.pdf", "application/pdf", pdf, "", sessionOK},
		{"PDF by its name alone", "A.PDF", "", pdf, "", sessionOK},
		{"PDF after blank lines", "a.pdf", octets, latePDF, "", sessionOK},
		{"PDF behind another header", "a.pdf", octets, macBinary, "", sessionOK},
		{"PNG", "a.png", "image/png", png, "", sessionOK},
		{"TIFF", "scan.TIF", octets, tiff, "", sessionOK},
		{"DOCX", "a.docx", docxType, docx, "", sessionOK},
		{"XLSX, told as ZIP", "a.xlsx", "application/zip", xlsx, "", sessionOK},
		{"macro workbook", "a.xlsm", octets, xlsx, "", sessionOK},
		{"DOC", "a.doc", "application/msword", ole, "", sessionOK},
		{"Outlook message", "a.msg", octets, ole, "", sessionOK},
		{"mail", "a.eml", "message/rfc822", mail, "", sessionOK},
		{"CSV", "a.csv", "text/csv", csv, "", sessionOK},
		{"CSV sent as Excel", "a.csv", "application/vnd.ms-excel", csv, "", sessionOK},
		{"XML invoice", "a.xml", "text/xml", xml, "", sessionOK},
		{"XML told as HTML", "a.xml", html, xml, "", sessionOK},
		{"JSON", "a.json", "application/json", json, "", sessionOK},
		{"text told as HTML", "a.txt", html, []byte("just text"), "", sessionOK},
		{"HTML", "a.html", html, page, "", sessionOK},
		{"ZIP", "a.zip", octets, plain, "", sessionOK},
		{"video", "a.mp4", octets, mp4, "", sessionOK},

		// What people do to names.
		{"PNG called JPG", "a.jpg", "image/jpeg", png, "", sessionOK},
		{"JPEG called PNG", "a.png", octets, jpeg, "", sessionOK},
		{"XLSX called CSV", "a.csv", octets, xlsx, "", sessionOK},
		{"XLSX called XLS", "a.xls", "application/vnd.ms-excel", xlsx, "", sessionOK},
		{"DOCX with a password", "a.docx", docxType, ole, "", sessionOK},
		{"RTF called DOC", "a.doc", "application/msword", rtf, "", sessionOK},
		{"CSV called XLS", "a.xls", "application/vnd.ms-excel", csv, "", sessionOK},
		{"XML called XLS", "a.xls", "application/vnd.ms-excel", xml, "", sessionOK},
		{"HTML table called XLS", "a.xls", "application/vnd.ms-excel", table, "", sessionOK},
		{"HTML called DOC", "a.doc", octets, page, "", sessionOK},
		{"RAR called ZIP", "a.zip", octets, rar, "", sessionOK},
		{"PNG called PDF, and the server knows", "a.pdf", "image/png", png, "", sessionOK},
		{"no extension", "invoice", "", pdf, "", sessionOK},
		{"an extension of its own", "a.qbw", octets, pdf, "", sessionOK},
		{"an extension of a page's address", "Download.aspx", octets, pdf, "", sessionOK},
		{"bytes that nobody knows", "a.pdf", "application/pdf", noise, "", sessionOK},
		{"encrypted bytes called DOCX", "a.docx", docxType, noise, "", sessionOK},

		// What is surely wrong.
		{"sign-in page called PDF", "a.pdf", html, signIn, "a sign-in page instead of a.pdf", suspect},
		{"page called PDF, told as PDF", "a.pdf", "application/pdf", page, "a web page instead of a.pdf", suspect},
		{"page called DOCX", "a.docx", docxType, page, "a web page", suspect},
		{"page called ZIP", "a.zip", octets, page, "a web page", suspect},
		{"XHTML page called PDF", "a.pdf", "application/pdf", xhtml, "a web page", suspect},
		{"page after a byte order mark", "a.pdf", "application/pdf", append([]byte("\ufeff \n"), page...), "a web page", suspect},
		{"page told as page, called XLS", "a.xls", html, table, "a web page", suspect},
		{"sign-in page called XLS", "a.xls", "application/vnd.ms-excel", signIn, "a sign-in page", suspect},
		{"page called CSV", "a.csv", html, page, "a web page", suspect},
		{"page without a name", "attachment", html, page, "a web page", suspect},
		{"page of unknown type without a name", "attachment", "", page, "a web page", suspect},
		{"message called PDF", "a.pdf", "application/pdf", json, "a JSON message instead", suspect},
		{"text called PDF", "a.pdf", "text/plain", []byte("Session expired"), "text instead", suspect},
		{"text called XLSX", "a.xlsx", octets, csv, "text instead", suspect},
		{"XML called PDF", "a.pdf", octets, xml, "text instead", suspect},
		{"PNG called PDF", "a.pdf", octets, png, "its bytes are an image (image/png)", sessionOK},
		{"PNG called PDF, told as PDF", "a.pdf", "application/pdf", png, "its bytes are an image", sessionOK},
		{"PDF called PNG", "a.png", octets, pdf, "its bytes are a PDF", sessionOK},
		{"ZIP called PDF", "a.pdf", octets, plain, "its bytes are a ZIP archive", sessionOK},
		{"program called PDF", "a.pdf", octets, exe, "its bytes are a program", sessionOK},
		{"program called DOCX", "a.docx", docxType, exe, "its bytes are a program", sessionOK},
		{"nothing", "a.pdf", "application/pdf", nil, "a.pdf is empty", sessionOK},
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, c.body, 0o600); err != nil {
			t.Fatal(err)
		}
		detected, err := Verify(path, c.name, c.contentType)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q (detected %s)", c.what, err, c.want, detected)
		}
		if SessionSuspect(err) != c.session {
			t.Errorf("%s: the session is suspected: %t", c.what, !c.session)
		}
		if err != nil && po.AsError(err).Code != po.CodeFileInvalid {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
}

func TestTheTypeIsTheOneOfTheBytesUnlessTheServerSaysMore(t *testing.T) {
	docx := zipped(t, "[Content_Types].xml", "_rels/.rels", "word/document.xml")
	const docxType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	for _, c := range []struct {
		what, contentType, want string
		body                    []byte
	}{
		{"bytes that say all", "application/octet-stream", "application/pdf", document(100)},
		{"a server that is wrong", "image/png", "application/pdf", document(100)},
		{"a server that says more of a ZIP", docxType, docxType, zipped(t, "a.txt")},
		{"a DOCX by its bytes", "application/zip", docxType, docx},
		{"a server that says more of a text", "text/csv; charset=utf-8", "text/csv", []byte("just words")},
		{"a server that claims a page", "text/html", "text/plain; charset=utf-8", []byte("just words")},
		{"a malformed type", "text/csv; =;", "text/csv", []byte("just words")},
	} {
		if got := inspect(c.body, c.contentType).contentType; got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
}

func TestAFileThatWasRenamedCarriesANote(t *testing.T) {
	png := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), make([]byte, 100)...)
	for name, want := range map[string]string{
		"a.pdf": "its bytes are image/png, whatever its name says",
		"a.png": "",
		"a.jpg": "",
		"a":     "",
	} {
		if got := inspect(png, "image/png").note(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
