package demo

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"time"
)

// kind is what an attachment's bytes are, named after the usual extension.
type kind string

const (
	pdf  kind = "pdf"
	docx kind = "docx"
	xlsx kind = "xlsx"
	pptx kind = "pptx"
	pngs kind = "png"
	jpg  kind = "jpg"
	eml  kind = "eml"
	msg  kind = "msg"
	zips kind = "zip"
	csvs kind = "csv"
	txt  kind = "txt"
)

// mimeTypes are what the portal says of each kind, and what its bytes are.
var mimeTypes = map[kind]string{
	pdf:  "application/pdf",
	docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	pngs: "image/png",
	jpg:  "image/jpeg",
	eml:  "message/rfc822",
	msg:  "application/vnd.ms-outlook",
	zips: "application/zip",
	csvs: "text/csv",
	txt:  "text/plain",
}

// kindOf goes by the name's extension; a name without one is a PDF's.
func kindOf(name string) kind {
	k := kind(strings.ToLower(strings.TrimPrefix(path.Ext(name), ".")))
	if k == "jpeg" {
		return jpg
	}
	if _, ok := mimeTypes[k]; !ok {
		return pdf
	}
	return k
}

// content makes a small, valid file of the kind that says title. The same arguments give the same bytes, on every machine and
// for ever; other titles give other bytes.
func content(k kind, title string) []byte {
	switch k {
	case docx, xlsx, pptx:
		return office(k, title)
	case pngs, jpg:
		return picture(k, title)
	case eml:
		return email(title)
	case msg:
		return outlookMessage(title)
	case zips:
		return zipped([]entry{{"readme.txt", []byte(title + "\n")}, {"copy/data.csv", table(title)}})
	case csvs:
		return table(title)
	case txt:
		return []byte(title + "\n\nThis text came from the demo portal.\n")
	}
	return pdfOf(title, 0)
}

// pdfOf is a PDF of one page with the title on it, padded with noise to some size in bytes.
func pdfOf(title string, size int) []byte {
	drawing := fmt.Sprintf("BT /F1 18 Tf 72 760 Td (%s) Tj ET", pdfText(title))
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(drawing), drawing),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
	}
	if padding := size - 1000; padding > 0 {
		objects = append(objects, fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", padding, noise(title, padding)))
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objects))
	for i, object := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return b.Bytes()
}

// pdfText writes a title as a PDF string in Latin-1; what Latin-1 lacks becomes its code point, so that no two titles look
// alike.
func pdfText(title string) string {
	var b strings.Builder
	for _, r := range title {
		switch {
		case r == '(' || r == ')' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r >= 0xa0 && r <= 0xff:
			fmt.Fprintf(&b, "\\%03o", r)
		default:
			fmt.Fprintf(&b, "<%04X>", r)
		}
	}
	return b.String()
}

// officeParts are the parts of minimal OOXML documents, one folder a kind; TEXT stands where the title goes.
//
//go:embed all:office
var officeParts embed.FS

func office(k kind, title string) []byte {
	var text bytes.Buffer
	if err := xml.EscapeText(&text, []byte(title)); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	root := path.Join("office", string(k))
	var entries []entry
	err := fs.WalkDir(officeParts, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		part, err := officeParts.ReadFile(name)
		entries = append(entries, entry{strings.TrimPrefix(name, root+"/"), bytes.ReplaceAll(part, []byte("TEXT"), text.Bytes())})
		return err
	})
	if err != nil {
		panic(err) // the parts are embedded
	}
	return zipped(entries)
}

type entry struct {
	name string
	data []byte
}

// zipped packs the entries, all with one date: the archive's bytes depend on nothing else.
func zipped(entries []entry) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Store, Modified: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = w.Write(e.data)
		}
		if err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// picture is a pattern of squares whose colours come from the title.
func picture(k kind, title string) []byte {
	colours := random(title)
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := 0; y < 48; y += 8 {
		for x := 0; x < 64; x += 8 {
			c := color.RGBA{uint8(colours.IntN(256)), uint8(colours.IntN(256)), uint8(colours.IntN(256)), 255}
			for i := range 64 {
				img.SetRGBA(x+i%8, y+i/8, c)
			}
		}
	}
	var b bytes.Buffer
	var err error
	if k == jpg {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	} else {
		err = png.Encode(&b, img)
	}
	if err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

func email(title string) []byte {
	return []byte("Received: from mail.demo.example by mx.demo.example; Fri, 02 Jan 2026 10:00:00 +0000\r\n" +
		"From: Supplier <sales@supplier.example>\r\n" +
		"To: Buyer <buyer@demo.example>\r\n" +
		"Date: Fri, 02 Jan 2026 10:00:00 +0000\r\n" +
		"Subject: =?UTF-8?Q?" + qEncoded(title) + "?=\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"\r\n" + title + "\r\n")
}

// qEncoded is RFC 2047's Q encoding of every byte but letters and digits.
func qEncoded(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

func table(title string) []byte {
	return []byte("line,article,quantity,price\n1,\"" + strings.ReplaceAll(title, `"`, `""`) + "\",10,12.50\n2,freight,1,80.00\n")
}

// noise is text that does not compress well, the same for the same seed.
func noise(seed string, n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	source := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
	b := make([]byte, n)
	_, _ = source.Read(b) // never fails
	for i, c := range b {
		b[i] = letters[c%64]
	}
	return string(b)
}

// random is a source of numbers that are the same for the same seed.
func random(seed string) *rand.Rand {
	h := hash(seed)
	return rand.New(rand.NewPCG(h, h))
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum64()
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
