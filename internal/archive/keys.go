package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/purserhq/purser/internal/po"
)

const (
	// maxPart is the length of one part of a folder's path, in characters. Even of four bytes each, with the status after a
	// PO's number, they fit the 255 bytes that file systems allow.
	maxPart = 50
	// maxFolder leaves room for a file's name of 200 bytes in the 1,024 that S3 allows for a key.
	maxFolder = 800 // bytes

	unknown         = "Unknown"
	unknownSupplier = "Unknown_Supplier"
)

// Folder is the one folder of a PO: "download/<job>/<levels, or the supplier>/<PO>_<STATUS>", without a slash at its end and of
// at most 800 bytes. "PO_" is put before a number that does not begin with "po".
func Folder(job string, levels []string, supplier string, n po.Number, st po.Status) string {
	root := "download/" + job + "/"
	leaf := poPart(n) + "_" + string(st)
	return root + levelPath(levels, supplier, maxFolder-len(root)-len(leaf)) + leaf
}

// levelPath is the way from the job's folder to the PO's, with a slash at its end. One that does not fit is cut, and what is
// missing is named by its hash, so that two ways stay two.
func levelPath(levels []string, supplier string, room int) string {
	parts := make([]string, 0, len(levels))
	for _, l := range levels {
		parts = append(parts, Part(l))
	}
	if len(parts) == 0 {
		if parts = append(parts, Part(supplier)); strings.TrimSpace(supplier) == "" {
			parts[0] = unknownSupplier
		}
	}
	whole := strings.Join(parts, "/") + "/"
	if len(whole) <= room {
		return whole
	}
	rest := "more_" + hash(whole) + "/"
	var cut strings.Builder
	for _, p := range parts {
		if cut.Len()+len(p)+1+len(rest) > room {
			break
		}
		cut.WriteString(p + "/")
	}
	return cut.String() + rest
}

// poPart is the PO's number as a folder's name. Numbers of the usual kind stay as they are; what had to be changed gets its
// hash, for two POs must never share a folder.
func poPart(n po.Number) string {
	part := Part(string(n))
	if part != string(n) {
		part += "_" + hash(string(n))
	}
	if strings.HasPrefix(strings.ToLower(part), "po") {
		return part
	}
	return "PO_" + part
}

// Part makes one part of a folder's path of any text: what file systems, URLs or people stumble over becomes "_", runs of it
// one, and at most 50 characters stay. Nothing at all is "Unknown".
func Part(s string) string {
	var b strings.Builder
	length, under := 0, false
	for _, r := range norm.NFC.String(strings.TrimSpace(s)) {
		if r == '_' || r == utf8.RuneError || strings.ContainsRune(`<>:"/\|?*&`, r) || unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) {
			if under {
				continue
			}
			r = '_'
		}
		under = r == '_'
		if length++; length > maxPart {
			break
		}
		b.WriteRune(r)
	}
	part := b.String()
	if strings.Trim(part, ".") == "" { // "." and ".." would be other folders
		return unknown
	}
	return part
}

// ResultKey is the key of one of the job's results.
func ResultKey(job, name string) string { return "results/" + job + "/" + name }

// EvidenceKey is the key of a kept page or screenshot.
func EvidenceKey(job string, n po.Number, name string) string {
	return "results/" + job + "/evidence/" + poPart(n) + "/" + name
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
