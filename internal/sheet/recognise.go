package sheet

import (
	"bytes"
	"unicode"
)

// headBytes is how much of a file is looked at to tell what it is.
const headBytes = 4096

var (
	magicGzip = []byte{0x1F, 0x8B}
	magicZip  = []byte("PK\x03\x04")
	magicOLE  = []byte{0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1}
)

// foreign are files that are no sheet, by their first bytes, with what to do about each.
var foreign = []struct{ magic, text string }{
	{"PK\x05\x06", "is an empty ZIP archive; upload the sheet itself"},
	{"%PDF-", "is a PDF document, not a sheet; export the list as CSV or .xlsx"},
	{`{\rtf`, "is a text document (RTF), not a sheet; save the list as CSV or .xlsx"},
	{"7z\xBC\xAF\x27\x1C", "is a 7z archive; unpack it and upload the sheet inside"},
	{"Rar!\x1A\x07", "is a RAR archive; unpack it and upload the sheet inside"},
	{"BZh91AY&SY", "is compressed with bzip2; unpack it and upload the sheet inside"},
	{"\xFD7zXZ\x00", "is compressed with xz; unpack it and upload the sheet inside"},
	{"\x28\xB5\x2F\xFD", "is compressed with zstd; unpack it and upload the sheet inside"},
	{"\x89PNG", "is a picture (PNG), not a sheet; type the PO numbers into a CSV"},
	{"\xFF\xD8\xFF", "is a picture (JPEG), not a sheet; type the PO numbers into a CSV"},
	{"GIF89a", "is a picture (GIF), not a sheet; type the PO numbers into a CSV"},
	{"PAR1\x15", "is a Parquet file; export the list as CSV or .xlsx"},
	{"SQLite format 3", "is a SQLite database; export the list as CSV or .xlsx"},
	{"\xFF\xFE\x00\x00", "is written in UTF-32; save it as UTF-8"},
	{"\x00\x00\xFE\xFF", "is written in UTF-32; save it as UTF-8"},
}

// refuse says what a file is that is no sheet, judged by its first bytes; "" lets it pass.
func refuse(head []byte) string {
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.text
		}
	}
	if bytes.HasPrefix(head, magicOLE) {
		return "is an old Excel workbook (.xls) or one with a password; save it as .xlsx without a password, or as CSV"
	}
	text, err := newDecoder(bytes.NewReader(head), head).next()
	if err != nil { // there is none
		return ""
	}
	return refuseText(text)
}

// refuseText does the same for what is written as text.
func refuseText(text []byte) string {
	text = bytes.TrimLeft(text, " \t\r\n")
	lower := bytes.ToLower(text)
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<body", "<table", "<script", "<meta", "<div", "<style", "<title", "<!--"} {
		if bytes.HasPrefix(lower, []byte(tag)) {
			return refuseHTML(lower)
		}
	}
	switch {
	case bytes.HasPrefix(lower, []byte("mime-version:")):
		return "is a web archive (MHTML) that Excel made; open it in Excel and save it as .xlsx or CSV"
	case bytes.HasPrefix(lower, []byte("<?xml")):
		switch {
		case bytes.Contains(lower, []byte("urn:schemas-microsoft-com:office:spreadsheet")):
			return "is an XML spreadsheet of Excel 2003; open it in Excel and save it as .xlsx or CSV"
		case bytes.Contains(lower, []byte("<html")):
			return refuseHTML(lower)
		}
		return "is an XML document, not a sheet; export the list as CSV or .xlsx"
	case looksLikeJSON(text):
		return "is JSON, not a sheet; export the list as CSV or .xlsx"
	case looksBinary(text):
		return "is not text and no kind of sheet that is known; export the list as CSV or .xlsx"
	}
	return ""
}

func refuseHTML(lower []byte) string {
	what := "is a web page (HTML), not a sheet"
	if bytes.Contains(lower, []byte("password")) || bytes.Contains(lower, []byte("sign in")) || bytes.Contains(lower, []byte("login")) {
		return what + ", it seems a sign-in page; sign in, download the list again, and save it as CSV or .xlsx"
	}
	return what + "; open it in Excel and save the list as CSV or .xlsx"
}

func looksLikeJSON(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	rest := bytes.TrimLeft(text[1:], " \t\r\n")
	if len(rest) == 0 {
		return false
	}
	switch text[0] {
	case '{':
		return rest[0] == '"' || rest[0] == '}'
	case '[':
		return bytes.IndexByte([]byte(`{["]`), rest[0]) >= 0
	}
	return false
}

// looksBinary tells whether more than a twentieth of the text is control characters, which no program writes into a sheet.
func looksBinary(text []byte) bool {
	control, all := 0, 0
	for _, r := range string(text) {
		all++
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			control++
		}
	}
	return control > 16 && control*20 > all
}
