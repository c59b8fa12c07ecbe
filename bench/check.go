//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// files are the SHA-256s of a PO's files.
type files map[string]bool

// check counts the POs that have exactly their files, by content. Every contender has a folder for each PO; Purser's have the
// status in their names.
func (j *job) check(out string) (right int, err error) {
	got := map[string]files{}
	err = filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		po, _, _ := strings.Cut(filepath.Base(filepath.Dir(path)), "_")
		if _, wanted := j.truth[po]; !wanted {
			return nil // a sheet, a report, a log
		}
		sum, err := sha256Of(path)
		if got[po] == nil {
			got[po] = files{}
		}
		got[po][sum] = true
		return err
	})
	for po, want := range j.truth {
		if maps.Equal(got[po], want) {
			right++
		}
	}
	return right, err
}

func sha256Of(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
