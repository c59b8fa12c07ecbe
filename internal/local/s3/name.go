package s3

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A key's file lies under its bucket's folder at the path that the key spells, so "input/pos.csv" is input/pos.csv. What no
// file system can hold is escaped, always with "%(" at its beginning:
//
//	%(25)     the byte 0x25: "%" itself where "(" follows, control characters, bytes that are not UTF-8, and the dots of "." and ".."
//	%(empty)  an empty part: "a//b" is a/%(empty)/b, and "a/" is a/%(empty)
//	x%(more)  a folder with the beginning of a part that is longer than file names can be
//	x%(file)  the object "x" where there is a folder x too, as the keys "x" and "x/y" together make it
const (
	escapeStart = "%("
	emptyName   = "%(empty)"
	moreSuffix  = "%(more)"
	fileSuffix  = "%(file)"

	maxName = 200 // bytes of a file name before a suffix; file systems take 255
)

// pathOf is the key's path below its bucket's folder.
func pathOf(key string) string {
	var names []string
	for part := range strings.SplitSeq(key, "/") {
		names = append(names, namesOf(part)...)
	}
	return filepath.Join(names...)
}

// namesOf is the file name of one part of a key; a long part needs several, all but the last being folders.
func namesOf(part string) []string {
	if part == "" {
		return []string{emptyName}
	}
	var names []string
	name := ""
	for rest := part; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		piece := rest[:size]
		switch {
		case r == utf8.RuneError && size == 1, r < 0x20, r == 0x7f, part == ".", part == "..", strings.HasPrefix(rest, escapeStart):
			piece = fmt.Sprintf("%%(%02X)", rest[0])
		}
		if len(name)+len(piece) > maxName {
			names = append(names, name+moreSuffix)
			name = ""
		}
		name += piece
		rest = rest[size:]
	}
	return append(names, name)
}

// partOf reads a name back. more says that the part goes on below this folder.
func partOf(name string) (part string, more, ok bool) {
	if name == emptyName {
		return "", false, true
	}
	name, more = strings.CutSuffix(name, moreSuffix)
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(name, escapeStart)
		b.WriteString(plain)
		if !found {
			return b.String(), more, true
		}
		code, after, found := strings.Cut(rest, ")")
		c, err := strconv.ParseUint(code, 16, 8)
		if !found || err != nil || len(code) != 2 {
			return "", false, false
		}
		b.WriteByte(byte(c))
		name = after
	}
}

// folderKey is the beginning of the keys in a folder of this name below base.
func folderKey(base, name string) (string, bool) {
	part, more, ok := partOf(name)
	if more {
		return base + part, ok
	}
	return base + part + "/", ok
}

// fileKey is the key of a file of this name below base.
func fileKey(base, name string) (string, bool) {
	part, more, ok := partOf(strings.TrimSuffix(name, fileSuffix))
	return base + part, ok && !more
}

// foreign tells whether a name is one that people's programs leave lying about: hidden files, locks and backups of office
// programs, downloads under way. Such a file becomes an object only when a client asks for that key.
func foreign(name string) bool {
	for _, prefix := range []string{".", "~$"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, suffix := range []string{"~", ".tmp", ".part", ".crdownload"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return name == "Thumbs.db" || name == "desktop.ini"
}
