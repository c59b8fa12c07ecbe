package fetch

import (
	"io"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

// longestHeader is how much of a header is read, in bytes: nobody needs more, and a hostile one must not cost time.
const longestHeader = 4 << 10

// dispositionNames are the file names that a Content-Disposition header (RFC 6266) offers, best first, without directories.
//
// The header is read as tolerantly as browsers do it, because mime.ParseMediaType refuses what real servers send: a missing
// type (golang/go #69551), a parameter twice (#28618), unquoted special characters (#75942).
func dispositionNames(header string) []string {
	var (
		extended, plain, other []string
		parts                  = map[int]parameter{} // RFC 2231: one value in several parameters
	)
	header = header[:min(len(header), longestHeader)]
	for _, p := range parameters(header) {
		switch {
		case p.key == "filename*":
			extended = append(extended, decodeExtended(p.value))
		case p.key == "filename":
			plain = append(plain, decodePlain(p.value))
		case strings.HasPrefix(p.key, "filename*"):
			if i, err := strconv.Atoi(strings.TrimSuffix(p.key[len("filename*"):], "*")); err == nil {
				if _, twice := parts[i]; !twice {
					parts[i] = p
				}
			}
		case p.key == "name":
			other = append(other, decodePlain(p.value))
		}
	}
	if joined := joinParts(parts); joined != "" {
		extended = append(extended, joined)
	}
	names := append(append(extended, plain...), other...)
	for i := range names {
		names[i] = withoutPath(names[i])
	}
	return names
}

// parameter is one key=value of a header. The key is in lower case.
type parameter struct{ key, value string }

// parameters reads what a header holds in the way of key=value, and passes over the rest.
func parameters(header string) []parameter {
	var found []parameter
	for {
		i := strings.IndexAny(header, "=;")
		if i < 0 {
			return found
		}
		before, after := header[:i], header[i+1:]
		if header[i] == ';' {
			header = after
			continue
		}
		words := strings.FieldsFunc(before, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
		var value string
		value, header = parameterValue(strings.TrimLeft(after, " \t"))
		if len(words) > 0 { // "attachment filename" is a type that lost its semicolon
			found = append(found, parameter{strings.ToLower(words[len(words)-1]), value})
		}
	}
}

// afterQuote is what follows a quote that ends a value: nothing, a separator, or the next parameter.
var afterQuote = regexp.MustCompile(`^[ \t]*($|[;,]|[A-Za-z0-9*._-]+[ \t]*=)`)

// parameterValue takes one value, quoted or not, from the start of s.
func parameterValue(s string) (value, rest string) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
				i++
				b.WriteByte(s[i])
			case s[i] == '"' && afterQuote.MatchString(s[i+1:]):
				return b.String(), s[i+1:]
			default: // a lone backslash is one of a Windows path, a quote in the middle is part of the name
				b.WriteByte(s[i])
			}
		}
		s = s[1:] // the quote that should end it is missing
	}
	value, rest, _ = strings.Cut(s, ";")
	value = strings.TrimSpace(value)
	if len(value) > 1 && value[0] == '\'' && value[len(value)-1] == '\'' {
		value = value[1 : len(value)-1]
	}
	return value, rest
}

// joinParts puts the parts of an RFC 2231 continuation together, up to the first that is missing.
func joinParts(parts map[int]parameter) string {
	var (
		charset string
		raw     strings.Builder
	)
	for i := 0; ; i++ {
		p, found := parts[i]
		if !found {
			return decodeText(raw.String(), charset)
		}
		value := p.value
		if strings.HasSuffix(p.key, "*") {
			if i == 0 {
				charset, value = splitCharset(value)
			}
			value = unescapePercent(value)
		}
		raw.WriteString(value)
	}
}

// decodeExtended reads a value of RFC 5987, UTF-8'en'na%C3%AFve.pdf, also one that lacks the charset.
func decodeExtended(value string) string {
	charset, value := splitCharset(value)
	return decodeText(unescapePercent(value), charset)
}

func splitCharset(value string) (charset, rest string) {
	if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
		return parts[0], parts[2]
	}
	return "", value
}

// decodePlain reads a plain value. By the standard it is Latin-1; in practice it is UTF-8, Latin-1, RFC 2047 or percent-encoded.
func decodePlain(value string) string {
	value = decodeText(value, "")
	if strings.Contains(value, "=?") {
		words := mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
			encoding, err := htmlindex.Get(charset)
			if err != nil {
				return nil, err
			}
			return encoding.NewDecoder().Reader(input), nil
		}}
		if decoded, err := words.DecodeHeader(value); err == nil {
			value = decoded
		}
	}
	if decoded := unescapePercent(value); utf8.ValidString(decoded) { // as Chromium does
		value = decoded
	}
	return value
}

// decodeText makes UTF-8 of bytes in the charset. Where none is said, or it is unknown, bytes that are not UTF-8 are
// Windows-1252, which is Latin-1 as browsers read it.
func decodeText(raw, charset string) string {
	if encoding, err := htmlindex.Get(charset); err == nil && !strings.EqualFold(charset, "utf-8") {
		if text, err := encoding.NewDecoder().String(raw); err == nil {
			return text
		}
	}
	if utf8.ValidString(raw) {
		return raw
	}
	text, err := charmap.Windows1252.NewDecoder().String(raw)
	if err != nil { // a single-byte charset has no errors
		return raw
	}
	return text
}

// unescapePercent decodes %41, and leaves what is not a whole escape as it is.
func unescapePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(code))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
