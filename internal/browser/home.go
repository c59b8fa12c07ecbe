package browser

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"
)

// homePrefix begins the name of every browser's directory. Chromium puts a socket into it, and a socket's path may have 107 bytes,
// so the name is short.
const homePrefix = "purser-chromium-"

// home is the one directory that a Chromium writes to: profile, caches, temporary files. Each start has its own, so that nothing
// left by another can disturb it. Its owner holds a lock on it, which the kernel takes back when the owner dies, however it dies:
// that is how sweep tells a leftover from another process's browser.
type home struct {
	dir  string
	lock *os.File
}

// minFree is the free space without which Chromium is not started: it would die of a bus error in the middle of a page.
const minFree = 64 << 20

func newHome(tempDir string) (*home, error) {
	if free, err := freeBytes(tempDir); err == nil && free < minFree {
		return nil, fmt.Errorf("only %s are free in %s, and the browser needs %s", megabytes(free), tempDir, megabytes(minFree))
	}
	for range 3 { // another process's sweep can take the directory in the moment before it is locked
		dir, err := os.MkdirTemp(tempDir, homePrefix)
		if err != nil {
			return nil, fmt.Errorf("making the browser's directory: %w", err)
		}
		lock, err := lockDir(dir)
		if err != nil {
			continue
		}
		h := &home{dir: dir, lock: lock}
		if err := os.Mkdir(h.temp(), 0o700); err != nil {
			h.unlock()
			continue
		}
		return h, nil
	}
	return nil, fmt.Errorf("making the browser's directory in %s: it disappears again and again", tempDir)
}

func (h *home) profile() string { return filepath.Join(h.dir, "profile") }
func (h *home) temp() string    { return filepath.Join(h.dir, "tmp") }

func (h *home) unlock() { _ = h.lock.Close() }

// remove removes the directory. What stays is swept before the next start.
func (h *home) remove(log logrus.FieldLogger) {
	if err := removeAll(h.dir); err != nil {
		log.WithError(err).Warn("the browser's directory could not be removed now")
	}
	h.unlock()
}

// removeAll removes the directory, also when a dying process makes a file in it at the same moment.
func removeAll(dir string) error {
	var err error
	for range 3 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
	}
	return err
}

// sweep removes what browsers of dead processes left in the directory, and ends what still runs of them. In a warm environment
// nobody else ever empties /tmp (https://github.com/Sparticuz/chromium/issues/231).
func sweep(tempDir string, log logrus.FieldLogger) {
	entries, err := os.ReadDir(tempDir)
	if err != nil {
		return // the start will say what is wrong with it
	}
	for _, entry := range entries {
		path := filepath.Join(tempDir, entry.Name())
		if !leftover(path, entry) {
			continue
		}
		if err := removeAll(path); err != nil {
			log.WithError(err).Warn("a leftover of an earlier browser could not be removed")
			continue
		}
		log.WithField("path", path).Info("removed a leftover of an earlier browser")
	}
}

// leftover tells whether the entry was left by a browser that is gone.
func leftover(path string, entry os.DirEntry) bool {
	name := entry.Name()
	switch {
	case strings.HasPrefix(name, homePrefix):
		lock, err := lockDir(path)
		if err != nil {
			return false // in use, or not ours to touch
		}
		defer func() { _ = lock.Close() }()
		killUsersOf(path)
		return true
	case strings.HasPrefix(name, ".org.chromium.Chromium"):
		// A browser of somebody else may live here too; then its socket answers.
		socket, err := net.Dial("unix", filepath.Join(path, "SingletonSocket"))
		if err != nil {
			return !errors.Is(err, os.ErrPermission)
		}
		_ = socket.Close()
		return false
	case strings.HasPrefix(name, "core."):
		return entry.Type().IsRegular() && (strings.Contains(name, "chrom") || strings.Contains(name, "headless"))
	}
	return false
}
