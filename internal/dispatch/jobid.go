package dispatch

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxSlug is how many characters of the sheet's name a job id keeps.
const maxSlug = 40

// JobID names the job of one event: "<slug of the sheet's name>-<time of the event>-<hash>". The same event gives the same id
// whenever it comes; the same file dropped again gives another one.
func JobID(bucket, key, versionOrETag, sequencer string, at time.Time) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{bucket, key, versionOrETag, sequencer}, "\x00")))
	return slug(key) + "-" + at.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(sum[:4])
}

// slug is the sheet's name in lower-case letters and digits with hyphens between.
func slug(key string) string {
	name := path.Base(key)
	name = strings.TrimSuffix(name, path.Ext(name))
	var b strings.Builder
	gap := false
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		switch {
		case unicode.Is(unicode.Mn, r): // the accent of the letter before
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			gap = false
		default:
			gap = true
		}
	}
	s := b.String()
	if len(s) > maxSlug {
		s = strings.TrimRight(s[:maxSlug], "-")
	}
	if s == "" {
		return "sheet"
	}
	return s
}
