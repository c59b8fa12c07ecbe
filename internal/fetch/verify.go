package fetch

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/purserhq/purser/internal/po"
)

// Verify tells whether a file is what its name and its Content-Type claim, and which type its bytes show. It refuses only what
// is surely wrong: nothing at all, a web page or a message where a document should be, or bytes of another kind than both the
// name and the server say. What it does not know, and what people rename every day (a PNG called .jpg, a spreadsheet called
// .csv, a web page that Excel saved as .xls), passes. The error is a *po.Error.
func Verify(path, name, contentType string) (detected string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", diskError(err)
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", diskError(err)
	}
	if n == 0 {
		return "", po.Errorf(po.CodeFileInvalid, "%s is empty", name)
	}
	v := inspect(head[:n], contentType)
	return v.contentType, v.check(name)
}

// headSize is how much of a file is looked at. The types are told from the first 4 KB; a sign-in form may come later.
const headSize = 64 << 10

// kind is what a file is, as far as its first bytes, its extension or its Content-Type tell.
type kind string

const (
	kindUnknown kind = ""
	kindPDF     kind = "a PDF"
	kindImage   kind = "an image"
	kindOOXML   kind = "an Office document" // a ZIP inside; OLE when it has a password
	kindOffice  kind = "an older Office document"
	kindOLE     kind = "an OLE document"
	kindZIP     kind = "a ZIP archive"
	kindArchive kind = "an archive"
	kindMedia   kind = "audio or video"
	kindProgram kind = "a program"
	kindHTML    kind = "a web page"
	kindJSON    kind = "a JSON message"
	kindText    kind = "text"
)

// extensions lists what an extension promises. The unknown kind promises nothing that can be checked.
var extensions = func() map[string]kind {
	kinds := map[string]kind{}
	for k, list := range map[kind]string{
		kindPDF:     "pdf",
		kindImage:   "png jpg jpeg jpe jfif gif bmp dib tif tiff webp heic heif avif jp2 psd",
		kindOOXML:   "docx docm dotx dotm xlsx xlsm xltx xltm xlsb pptx pptm potx ppsx vsdx",
		kindOffice:  "doc dot xls xlt ppt pps pot msg mpp vsd pub",
		kindZIP:     "zip odt ods odp odg ott ots epub jar kmz",
		kindArchive: "rar 7z",
		kindMedia:   "mp3 mp4 m4a m4v mov avi mkv wav webm wmv mpg mpeg ogg flac",
		kindHTML:    "html htm xhtml shtml mht mhtml",
		kindUnknown: "txt csv tsv xml json eml rtf log md svg ics vcf dwg dxf step stp igs p7m p7s gz tgz tar bz2 xz ai eps ps",
	} {
		for extension := range strings.FieldsSeq(list) {
			kinds[extension] = k
		}
	}
	return kinds
}()

// passes lists what else an extension's kind may hold.
var passes = map[kind][]kind{
	kindImage:   {kindMedia}, // HEIF and MP4 share their container
	kindMedia:   {kindImage},
	kindOOXML:   {kindZIP, kindOLE},
	kindOffice:  {kindOLE, kindZIP, kindOOXML, kindText}, // .doc with RTF, .xls with tab-separated values or XML
	kindZIP:     {kindArchive, kindOOXML},
	kindArchive: {kindZIP},
}

// extensionOf is what follows the last dot, in lower case.
func extensionOf(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return ""
	}
	return strings.ToLower(name[dot+1:])
}

// hasKnownExtension tells whether the name ends in an extension that documents have.
func hasKnownExtension(name string) bool {
	_, known := extensions[extensionOf(name)]
	return known
}

// verdict is what the bytes say.
type verdict struct {
	contentType string // as detected; the server's where it says more
	extension   string // that files of this type have, with its dot; "" when the type is too general
	kind        kind
	claimed     kind // by the server's Content-Type
	claimsPage  bool // the server says it is a web page, or says nothing
	signIn      bool // it has a field for a password
}

var passwordField = regexp.MustCompile(`(?i)<input[^>]{1,500}type\s*=\s*["']?password`)

// inspect looks at a file's first bytes.
func inspect(head []byte, contentType string) verdict {
	detected := mimetype.Detect(head)
	v := verdict{contentType: detected.String(), kind: kindOf(detected)}
	switch {
	case v.kind == kindText && startsPage(head):
		v.kind, v.contentType = kindHTML, "text/html"
	case (v.kind == kindText || v.kind == kindUnknown) && bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")):
		// Readers take a PDF whose header stands within the first KB (PDF 1.7, implementation note 13).
		v.kind, v.contentType = kindPDF, "application/pdf"
	}
	v.signIn = v.kind == kindHTML && passwordField.Match(head)
	if v.kind != kindText && v.kind != kindUnknown && v.kind != kindOLE {
		v.extension = detected.Extension()
	}

	server, _, err := mime.ParseMediaType(contentType)
	if err != nil { // a malformed parameter; the type before it is what counts
		server, _, _ = strings.Cut(contentType, ";")
		server = strings.ToLower(strings.TrimSpace(server))
	}
	if known := mimetype.Lookup(server); known != nil {
		v.claimed = kindOf(known)
	}
	v.claimsPage = server == "" || v.claimed == kindHTML
	general := v.kind == kindUnknown || v.kind == kindText || detected.Is("application/zip") || detected.Is("application/x-ole-storage")
	if general && v.claimed == v.kind && v.kind != kindUnknown {
		v.contentType = server
	}
	return v
}

// startsPage tells whether text is a web page that begins with an XML declaration.
func startsPage(head []byte) bool {
	start := bytes.ToLower(bytes.TrimLeft(head[:min(len(head), 1024)], "\ufeff \t\r\n"))
	return bytes.HasPrefix(start, []byte("<?xml")) && bytes.Contains(start, []byte("<html"))
}

// kindOf names the kind of a detected type, going from the special type to the general.
func kindOf(m *mimetype.MIME) kind {
	for ; m != nil; m = m.Parent() {
		name, _, _ := strings.Cut(m.String(), ";")
		switch name {
		case "application/pdf":
			return kindPDF
		case "application/zip":
			return kindZIP
		case "application/x-ole-storage":
			return kindOLE
		case "text/html", "application/xhtml+xml":
			return kindHTML
		case "application/json":
			return kindJSON
		case "text/plain", "image/svg+xml":
			return kindText
		case "application/vnd.rar", "application/x-7z-compressed", "application/gzip", "application/x-bzip2", "application/x-xz",
			"application/x-tar", "application/zstd", "application/vnd.ms-cab-compressed":
			return kindArchive
		case "application/vnd.microsoft.portable-executable", "application/x-elf", "application/x-mach-binary":
			return kindProgram
		}
		switch {
		case strings.HasPrefix(name, "image/"):
			return kindImage
		case strings.HasPrefix(name, "audio/"), strings.HasPrefix(name, "video/"):
			return kindMedia
		}
	}
	return kindUnknown
}

// agrees tells whether a file that is promised to be of one kind may hold the other.
func agrees(promised, held kind) bool {
	return promised == held || slices.Contains(passes[promised], held)
}

// check refuses what is surely not the file of that name.
func (v verdict) check(name string) error {
	promised := extensions[extensionOf(name)]
	if v.kind == kindHTML {
		// Excel and Word call web pages .xls and .doc, and other extensions promise nothing. Then it is a page all the same when the
		// server says so, or when it asks for a password.
		renamed := promised == kindUnknown || promised == kindOffice
		if promised == kindHTML || renamed && !v.claimsPage && !v.signIn {
			return nil
		}
		return v.pageError(name)
	}
	switch {
	case promised == kindUnknown, promised == kindHTML, v.kind == kindUnknown, agrees(promised, v.kind):
		return nil
	case v.kind == kindText, v.kind == kindJSON:
		return po.Errorf(po.CodeFileInvalid, "the portal sent %s instead of %s; %w", v.kind, name, errSession)
	case v.claimed == v.kind: // the server knows better than the name
		return nil
	}
	return po.Errorf(po.CodeFileInvalid, "%s is not what its name says: its bytes are %s (%s)", name, v.kind, v.contentType)
}

func (v verdict) pageError(name string) error {
	what := "a web page"
	if v.signIn {
		what = "a sign-in page"
	}
	return po.Errorf(po.CodeFileInvalid, "the portal sent %s instead of %s; %w", what, name, errSession)
}

// note tells a person that a file which passed is of another kind than its name says.
func (v verdict) note(name string) string {
	promised := extensions[extensionOf(name)]
	if promised == kindUnknown || v.kind == kindUnknown || agrees(promised, v.kind) {
		return ""
	}
	return "its bytes are " + v.contentType + ", whatever its name says"
}
