package sheet

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// The encodings, by the names that people know.
const (
	encodingUTF8    = "UTF-8"
	encodingUTF8BOM = "UTF-8 with BOM"
	encodingUTF16LE = "UTF-16 LE"
	encodingUTF16BE = "UTF-16 BE"
	encoding1252    = "Windows-1252"
)

// chunkBytes is how much is read and decoded at once. It is a fixed size, whatever the source hands out, so that the same sheet
// is always decoded alike.
const chunkBytes = 64 << 10

// utf8BOM is what Excel wants to see in front of UTF-8.
const utf8BOM = "\uFEFF"

// decoder turns a source of any encoding into UTF-8, chunk by chunk.
type decoder struct {
	src      io.Reader
	encoding string
	sure     bool // the encoding is known: by a BOM, or since something else than ASCII was seen

	raw   []byte // one chunk, behind what was left of the one before
	left  []byte // the end of raw that is not decoded yet: a character cut in two
	out   []byte // for what is not UTF-8 already
	begun bool
	end   bool
}

// newDecoder makes a decoder for the source, which begins with the bytes of head.
func newDecoder(src io.Reader, head []byte) *decoder {
	d := &decoder{src: src, encoding: encodingUTF8, raw: make([]byte, chunkBytes+utf8.UTFMax)}
	switch {
	case bytes.HasPrefix(head, []byte(utf8BOM)):
		d.encoding, d.sure = encodingUTF8BOM, true
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		d.encoding, d.sure = encodingUTF16LE, true
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		d.encoding, d.sure = encodingUTF16BE, true
	default:
		if name := utf16WithoutBOM(head); name != "" {
			d.encoding, d.sure = name, true
		}
	}
	return d
}

// utf16WithoutBOM names the UTF-16 in which the text is written when that is evident: every other byte of most of it is zero.
func utf16WithoutBOM(head []byte) string {
	pairs := len(head) / 2
	if pairs < 4 {
		return ""
	}
	var even, odd int
	for i := 0; i < 2*pairs; i += 2 {
		if head[i] == 0 {
			even++
		}
		if head[i+1] == 0 {
			odd++
		}
	}
	switch {
	case odd*2 > pairs && even*50 < pairs:
		return encodingUTF16LE
	case even*2 > pairs && odd*50 < pairs:
		return encodingUTF16BE
	}
	return ""
}

// next is the next piece of text, valid until the call after; io.EOF comes with no text.
func (d *decoder) next() ([]byte, error) {
	for !d.end {
		n := copy(d.raw, d.left)
		for full := n + chunkBytes; n < full && !d.end; {
			m, err := d.src.Read(d.raw[n:full])
			n += m
			if err == io.EOF {
				d.end = true
			} else if err != nil {
				return nil, err
			}
		}
		text, used := d.decode(d.raw[:n])
		d.left = d.raw[used:n]
		if !d.begun {
			d.begun = true
			text = bytes.TrimPrefix(text, []byte(utf8BOM))
		}
		if len(text) > 0 {
			return text, nil
		}
	}
	return nil, io.EOF
}

// decode decodes what is whole in raw, or all of it at the end, and returns how many bytes that was.
func (d *decoder) decode(raw []byte) (text []byte, used int) {
	switch d.encoding {
	case encodingUTF16LE:
		return d.decodeUTF16(raw, func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 })
	case encodingUTF16BE:
		return d.decodeUTF16(raw, func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 })
	}
	used = len(raw)
	if !d.end {
		used = wholeRunes(raw)
	}
	if !d.sure {
		d.recognise(raw[:used])
	}
	if d.encoding != encoding1252 && utf8.Valid(raw[:used]) {
		return raw[:used], used // out is not needed, and the decoder does not touch raw before the next call
	}
	d.out = d.out[:0]
	for i := 0; i < used; {
		c, size := rune(raw[i]), 1
		if d.encoding != encoding1252 {
			c, size = utf8.DecodeRune(raw[i:used])
		}
		if size == 1 { // also what is not UTF-8 in a file that mostly is: two files were put together
			c = charmap.Windows1252.DecodeByte(raw[i])
		}
		d.out = utf8.AppendRune(d.out, c)
		i += size
	}
	return d.out, used
}

// recognise tells UTF-8 from Windows-1252 by the first chunk that is not plain ASCII: by whether more of it is valid or not.
func (d *decoder) recognise(raw []byte) {
	var valid, invalid int
	for i := 0; i < len(raw); {
		if raw[i] < utf8.RuneSelf {
			i++
			continue
		}
		_, size := utf8.DecodeRune(raw[i:])
		if size > 1 {
			valid++
		} else {
			invalid++
		}
		i += size
	}
	d.sure = valid+invalid > 0
	if invalid > valid {
		d.encoding = encoding1252
	}
}

// wholeRunes is the length of b without a UTF-8 sequence that its end cuts.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if utf8.FullRune(b[i:]) {
				break
			}
			return i
		}
	}
	return len(b)
}

// decodeUTF16 decodes whole characters, both halves of a surrogate pair together.
func (d *decoder) decodeUTF16(raw []byte, unit func([]byte) uint16) (text []byte, used int) {
	d.out = d.out[:0]
	for used+2 <= len(raw) {
		c := rune(unit(raw[used:]))
		size := 2
		if utf16.IsSurrogate(c) {
			if used+4 > len(raw) && !d.end {
				break
			}
			c2 := rune(utf8.RuneError)
			if used+4 <= len(raw) {
				c2 = rune(unit(raw[used+2:]))
			}
			if c = utf16.DecodeRune(c, c2); c != utf8.RuneError {
				size = 4
			}
		}
		d.out = utf8.AppendRune(d.out, c)
		used += size
	}
	if d.end && used < len(raw) { // half a character: the file was cut
		d.out = utf8.AppendRune(d.out, utf8.RuneError)
		used = len(raw)
	}
	return d.out, used
}
