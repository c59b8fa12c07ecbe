package fetch

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A name is at most this long, its extension included. 200 bytes leave room below the 255 of most file systems for what people
// put before a name when they file it.
const (
	maxNameRunes = 150
	maxNameBytes = 200
)

// namelessFile is the name of a file that nobody named.
const namelessFile = "attachment"

// Name is a safe file name, from the best source that has one: the Content-Disposition header, the page's labels (best first),
// the address.
func Name(contentDisposition string, labels []string, rawURL string) string {
	return Sanitise(originalName(contentDisposition, labels, rawURL))
}

// originalName is the name as it was given. Among labels and address the first with an extension wins: the page may call a
// file "Invoice March" whose address ends in invoice.pdf.
func originalName(contentDisposition string, labels []string, rawURL string) string {
	for _, name := range dispositionNames(contentDisposition) {
		if clean(name) != "" {
			return name
		}
	}
	candidates := append(append([]string{}, labels...), urlNames(rawURL)...)
	for _, good := range []func(string) bool{hasKnownExtension, hasExtension, func(name string) bool { return name != "" }} {
		for _, name := range candidates {
			if good(clean(name)) {
				return name
			}
		}
	}
	return namelessFile
}

// urlNames are the names that an address offers, best first: a query parameter made for it, then the path's last part.
func urlNames(rawURL string) []string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Opaque != "" { // blob: and data: addresses name nothing
		return nil
	}
	var names []string
	query := u.Query()
	names = append(names, dispositionNames(query.Get("response-content-disposition"))...) // S3's signed links
	for _, key := range []string{"filename", "file_name", "fileName"} {
		if value := query.Get(key); value != "" {
			names = append(names, withoutPath(value))
		}
	}
	path := u.EscapedPath()
	if last := path[strings.LastIndexByte(path, '/')+1:]; last != "" {
		names = append(names, decodeText(unescapePercent(last), ""))
	}
	return names
}

// withoutPath removes directories from what is plainly a path: it is absolute, has a drive letter, or climbs. Elsewhere a slash
// is part of a name that people chose ("Invoice 3/2024.pdf"), and is replaced later.
func withoutPath(name string) string {
	isPath := strings.HasPrefix(name, "/") || strings.HasPrefix(name, `\`) || strings.HasPrefix(name, ".") ||
		len(name) > 2 && name[1] == ':' && (name[2] == '\\' || name[2] == '/') ||
		strings.Contains(name, "../") || strings.Contains(name, `..\`)
	if isPath {
		return name[strings.LastIndexAny(name, `/\`)+1:]
	}
	return name
}

// Sanitise makes a file name that Windows, macOS, Linux and S3 take alike. It changes nothing about its own results.
func Sanitise(name string) string {
	if name = clean(name); name != "" {
		return name
	}
	return namelessFile
}

// clean is Sanitise, but nothing stays nothing.
func clean(name string) string {
	name = strings.Map(safeRune, strings.ToValidUTF8(name, "_"))
	name = norm.NFC.String(strings.Join(strings.Fields(name), " "))
	name = strings.Trim(name, ". ") // a leading dot hides a file, Windows drops dots and spaces at the end
	if isDevice(name) {
		name = "_" + name
	}
	for { // a cut may leave an extension where there was none
		shorter := fit(name, "")
		if shorter == name {
			return name
		}
		name = shorter
	}
}

// safeRune replaces what a file name must not have, and drops what nobody sees.
func safeRune(r rune) rune {
	switch {
	case strings.ContainsRune(`<>:"/\|?*`, r):
		return '_'
	case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r): // Cf: bidirectional overrides, zero-width characters, byte order marks
		return -1
	case r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef: // noncharacters, which S3's XML cannot carry
		return '_'
	}
	return r
}

// isDevice tells whether Windows takes the name for a device, which it does whatever the extension.
// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	port, found := strings.CutPrefix(stem, "COM")
	if !found {
		port, found = strings.CutPrefix(stem, "LPT")
	}
	return found && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// fit puts the suffix before the name's extension, and shortens what stands before both until the whole is short enough.
func fit(name, suffix string) string {
	stem, extension := splitExtension(name)
	end := suffix + extension
	runes, size := maxNameRunes-utf8.RuneCountInString(end), maxNameBytes-len(end)
	if len(stem) <= size && utf8.RuneCountInString(stem) <= runes {
		return strings.TrimRight(stem, " .") + end
	}
	cut := 0
	for i, r := range stem {
		if i+utf8.RuneLen(r) > size || runes == 0 {
			break
		}
		cut = i + utf8.RuneLen(r)
		runes--
	}
	return strings.TrimRight(stem[:cut], " .") + end
}

// splitExtension parts a name before its extension. A dot with much or a space behind it begins none.
func splitExtension(name string) (stem, extension string) {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || utf8.RuneCountInString(name[dot:]) > 17 || strings.ContainsRune(name[dot:], ' ') {
		return name, ""
	}
	if inner := dot - len(".tar"); inner > 0 && strings.EqualFold(name[inner:dot], ".tar") {
		dot = inner
	}
	return name[:dot], name[dot:]
}

// hasExtension tells whether the name ends in what looks like an extension: short, and not just a number.
func hasExtension(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return false
	}
	extension := name[dot+1:]
	letters := 0
	for _, r := range extension {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			letters++
		case r < '0' || r > '9':
			return false
		}
	}
	return letters > 0 && len(extension) <= 8
}

// Names gives each file of a folder a name of its own. The zero value is ready for use, by one goroutine.
type Names struct {
	taken map[string]int // by name in one case; how often it was asked for
}

// Unique is the sanitised name, with _2, _3 … before the extension when the folder has it already in whatever case: some file
// systems take A.pdf and a.pdf for one.
func (n *Names) Unique(name string) string {
	if n.taken == nil {
		n.taken = map[string]int{}
	}
	name = Sanitise(name)
	key, unique := foldCase(name), name
	for i := n.taken[key] + 1; n.taken[foldCase(unique)] > 0; i++ {
		unique = Sanitise(fit(name, "_"+strconv.Itoa(i)))
		n.taken[key] = i
	}
	n.taken[foldCase(unique)]++
	return unique
}

func foldCase(name string) string { return strings.ToLower(strings.ToUpper(name)) }
