package download

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sirupsen/logrus"
)

// spoolPrefix begins the name of the directory in which a process keeps the files that are under way; its pid ends it.
const spoolPrefix = "purser-files-"

func spoolOf(tempDir string, pid int) string {
	return filepath.Join(tempDir, spoolPrefix+strconv.Itoa(pid))
}

// sweepSpools removes what processes left that were killed: Lambda does that when an invocation's time is over, and lets /tmp
// as it is. A directory of our own pid is such a leftover too.
func sweepSpools(tempDir string, log logrus.FieldLogger) {
	entries, err := os.ReadDir(tempDir)
	if err != nil {
		return // the first PO will say what is wrong with it
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), spoolPrefix)
		pid, err := strconv.Atoi(number)
		if !ours || err != nil || pid != os.Getpid() && lives(pid) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(tempDir, e.Name())); err != nil {
			log.WithError(err).Warn("files that a killed process left could not be removed")
		}
	}
}

func lives(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = process.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// spool makes a directory for one PO's files; remove ends it.
func (v *visitor) spool() (dir string, remove func(), err error) {
	if err = os.MkdirAll(v.d.spool, 0o700); err == nil {
		dir, err = os.MkdirTemp(v.d.spool, "po-")
	}
	if err != nil {
		return "", nil, ours(err, "no room for files in %s", v.d.spool)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}
