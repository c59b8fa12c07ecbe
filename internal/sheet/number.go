package sheet

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/purserhq/purser/internal/po"
)

// A PO number is an optional PO or PM and so many digits. Coupa's have eight; the upper bound only keeps out what is no number.
const (
	minDigits      = 6
	maxDigits      = 20
	maxNumberBytes = 200 // bytes, of a number that PO_PATTERN allows: it becomes part of a key
)

// flaw is the kind of a cell that is no PO number.
type flaw int

const (
	flawNone flaw = iota
	flawBlank
	flawPlaceholder // stands for "none": "-", "N/A", "#REF!"
	flawDamaged     // was a number once: "1.6E+07"
	flawSeveral
	flawOther
)

// numberRule tells PO numbers from what is none.
type numberRule struct {
	pattern *regexp.Regexp // nil: the built-in rule; else the whole number matches it
}

func newNumberRule(pattern *regexp.Regexp) numberRule {
	if pattern == nil {
		return numberRule{}
	}
	return numberRule{pattern: regexp.MustCompile(`^(?:` + pattern.String() + `)$`)}
}

// read is the number in the cell, or why there is none. What is repaired is certain: no digit is added, dropped or guessed.
func (r numberRule) read(cell []byte) (po.Number, flaw, string) {
	if r.pattern == nil && isPlainNumber(cell) {
		return po.Number(cell), flawNone, ""
	}
	text := clean(string(cell))
	number, ok := r.repair(text)
	if ok {
		return po.Number(number), flawNone, ""
	}
	kind, reason := explain(text, number)
	if r.pattern != nil && (kind == flawOther || kind == flawSeveral) {
		return "", flawOther, fmt.Sprintf("%s does not match PO_PATTERN", quote(text))
	}
	return "", kind, reason
}

// holds tells whether the cell has a PO number.
func (r numberRule) holds(cell string) bool {
	_, ok := r.repair(clean(cell))
	return ok
}

// repair takes away what is not the number's. It is not ok when what is left is no PO number.
func (r numberRule) repair(text string) (number string, ok bool) {
	number = unwrap(text)
	if r.pattern != nil {
		for _, candidate := range []string{text, number, wholeNumber.ReplaceAllString(number, "$1")} {
			if candidate != "" && len(candidate) <= maxNumberBytes && r.pattern.MatchString(candidate) {
				return candidate, true
			}
		}
		return number, false
	}
	if !strings.ContainsAny(number, digits) { // most cells that hold none
		return number, false
	}
	number = wholeNumber.ReplaceAllString(number, "$1") // 16928033.0
	if grouped.MatchString(number) {
		number = groupMarks.ReplaceAllString(number, "")
	}
	if m := prefixed.FindStringSubmatch(number); m != nil {
		number = strings.ToUpper(m[1]) + m[2] // "po 16928033", "PO-16928033"
	}
	return number, isPlainNumber([]byte(number))
}

// isPlainNumber tells whether the cell is a PO number as it stands. Every row of a clean sheet comes by here.
func isPlainNumber(cell []byte) bool {
	digits := cell
	if len(cell) > 2 && cell[0] == 'P' && (cell[1] == 'O' || cell[1] == 'M') {
		digits = cell[2:]
	}
	if len(digits) < minDigits || len(digits) > maxDigits {
		return false
	}
	zeros := true
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		zeros = zeros && c == '0'
	}
	return !zeros
}

var (
	prefixed    = regexp.MustCompile(`^(?i:(P[OM]))[ \-_#:]{0,3}([0-9]+)$`)
	wholeNumber = regexp.MustCompile(`^((?i:P[OM])?[0-9]+)[.,]0{1,10}$`)
	scientific  = regexp.MustCompile(`^[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+$`)
	grouped     = regexp.MustCompile(`^[1-9][0-9]{0,2}(?:(?:\.[0-9]{3}){2,}|(?:,[0-9]{3}){2,}|(?: [0-9]{3}){2,}|(?:'[0-9]{3}){2,})$`)
	groupMarks  = regexp.MustCompile(`[., ']`)
	longDigits  = regexp.MustCompile(`[0-9]{6,}`)
	otherPrefix = regexp.MustCompile(`^(\p{L}{1,6})[ \-_#:.]{0,3}[0-9]{3,}$`)
	date        = regexp.MustCompile(`^[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}(?:[ T].*)?$`)
	onlyZeros   = regexp.MustCompile(`^(?i:P[OM])?0+$`)
	onlyDigits  = regexp.MustCompile(`^(?i:P[OM])?[0-9]+$`)
)

// placeholders are what people write where no PO is, in lower case.
var placeholders = map[string]bool{
	"n/a": true, "na": true, "n.a.": true, "n.a": true, "n/d": true, "nd": true, "s/n": true, "k.a.": true, "tbd": true,
	"tbc": true, "tba": true, "none": true, "null": true, "nil": true, "nan": true, "undefined": true, "unknown": true,
	"pending": true, "no po": true, "nopo": true, "sem po": true, "sem pedido": true, "sin pedido": true, "ohne": true,
	"po": true, "pm": true, "x": true, "xx": true, "xxx": true, "(blank)": true, "blank": true, "vazio": true,
}

// excelErrors are what a formula shows that failed, in lower case.
var excelErrors = map[string]bool{
	"#n/a": true, "#ref!": true, "#value!": true, "#name?": true, "#null!": true, "#div/0!": true, "#num!": true, "#spill!": true,
	"#nv": true, "#bezug!": true, "#wert!": true, "#n/d": true, "#valor!": true, "#nome?": true, // German, Portuguese
}

const digits = "0123456789"

// explainWord says why a text without digits is no PO number.
func explainWord(text string) (flaw, string) {
	lower := strings.ToLower(text)
	switch {
	case text == "":
		return flawBlank, "the PO number is blank"
	case excelErrors[lower]:
		return flawPlaceholder, fmt.Sprintf("%s is an Excel error, not a PO number; repair the formula", quote(text))
	case placeholders[lower], !strings.ContainsFunc(text, unicode.IsLetter):
		return flawPlaceholder, fmt.Sprintf("%s stands for no PO", quote(text))
	}
	return flawOther, notANumber(text)
}

func notANumber(text string) string {
	return fmt.Sprintf("%s is not a PO number: PO or PM if any, then at least %d digits", quote(text), minDigits)
}

// explain says why the text is no PO number; number is the text after repair.
func explain(text, number string) (flaw, string) {
	if !strings.ContainsAny(text, digits) || excelErrors[strings.ToLower(text)] { // #DIV/0!
		return explainWord(text)
	}
	switch {
	case onlyZeros.MatchString(number):
		return flawPlaceholder, fmt.Sprintf("%s stands for no PO", quote(text))
	case scientific.MatchString(number):
		return flawDamaged, fmt.Sprintf("Excel turned the number into %s and its digits are lost; format the column as text and enter it again", quote(text))
	case date.MatchString(text):
		return flawOther, fmt.Sprintf("%s is a date, not a PO number", quote(text))
	}
	if n := len(longDigits.FindAllString(text, -1)); n > 1 {
		return flawSeveral, fmt.Sprintf("%s holds %d numbers; give each PO a row of its own", quote(text), n)
	}
	if onlyDigits.MatchString(number) {
		n := len(strings.TrimLeft(strings.ToUpper(number), "POM"))
		if n < minDigits {
			return flawOther, fmt.Sprintf("%s has %d digits; a PO number has at least %d", quote(text), n, minDigits)
		}
		return flawOther, fmt.Sprintf("%s has %d digits; a PO number has at most %d", quote(text), n, maxDigits)
	}
	if m := otherPrefix.FindStringSubmatch(text); m != nil {
		if prefix := strings.ToUpper(m[1]); prefix != "PO" && prefix != "PM" {
			return flawOther, fmt.Sprintf("%s begins with %s; a PO number begins with PO, PM or a digit", quote(text), quote(m[1]))
		}
	}
	return flawOther, notANumber(text)
}

// clean takes away what cannot be seen: surrounding spaces of every width, and characters without any width.
func clean(s string) string {
	return strings.TrimFunc(strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r): // zero-width spaces, byte-order marks, soft hyphens, directions
			return -1
		case r >= '！' && r <= '～': // full-width letters and digits
			return r - '！' + '!'
		case r == 0x1A: // the end-of-file mark of DOS
			return -1
		case unicode.IsSpace(r): // non-breaking and the like
			return ' '
		}
		return r
	}, s), unicode.IsSpace)
}

// unwrap takes a number out of the marks by which Excel is told that it is text: ="16928033", '16928033, "16928033".
func unwrap(s string) string {
	s = strings.TrimPrefix(s, "'")
	s = strings.TrimSpace(strings.TrimPrefix(s, "="))
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}

// isBlank tells whether nothing is to be seen in the cell.
func isBlank(cell []byte) bool {
	if len(cell) == 0 {
		return true
	}
	if c := cell[0]; c > ' ' && c < utf8.RuneSelf {
		return false
	}
	return clean(string(cell)) == ""
}

// quote is a cell's text as an error shows it: short, and with nothing that a terminal would obey.
func quote(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// trimmed is the cell's text without surrounding spaces.
func trimmed(cell []byte) []byte {
	if n := len(cell); n == 0 || isGraphic(cell[0]) && isGraphic(cell[n-1]) {
		return cell
	}
	return bytes.TrimFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
}

func isGraphic(c byte) bool { return c > ' ' && c < 0x7F }
