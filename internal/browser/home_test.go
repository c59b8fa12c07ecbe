//go:build linux

package browser

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSweepRemovesWhatDeadBrowsersLeft(t *testing.T) {
	dir, err := os.MkdirTemp("", "sweep") // short, for the socket
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	alive, err := newHome(dir)
	require.NoError(t, err)
	defer alive.remove(testLog(t))
	leave := func(parts ...string) {
		path := filepath.Join(append([]string{dir}, parts...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	leave(homePrefix+"123", "profile", "Default", "Cookies")
	leave(".org.chromium.Chromium.dead", "SingletonSocket")
	leave(".org.chromium.Chromium.file")
	leave("core.chromium.4711")
	leave("core.headless_shell.4712")
	leave("core.md")
	leave("purser-chromium.log")
	leave("files", "invoice.pdf")
	leave(".org.chromium.Chromium.live", "cookie")
	socket, err := net.Listen("unix", filepath.Join(dir, ".org.chromium.Chromium.live", "SingletonSocket"))
	require.NoError(t, err)
	defer func() { _ = socket.Close() }()

	sweep(dir, testLog(t))
	assert.ElementsMatch(t, []string{
		filepath.Base(alive.dir), "core.md", "files", "purser-chromium.log", ".org.chromium.Chromium.live",
	}, dirEntries(t, dir))
	assert.FileExists(t, filepath.Join(dir, "files", "invoice.pdf"))

	sweep(filepath.Join(dir, "none"), testLog(t)) // no such directory is no trouble
}

func TestAFullDiskIsSaidBeforeTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("a small disk needs root: ", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, 0)) }()
	b := newBrowser(t, Options{TempDir: dir})
	err := b.Ensure(t.Context())
	require.ErrorContains(t, err, "only 8 MB are free in "+dir+", and the browser needs 64 MB")
	assertOurs(t, err)
	assert.Empty(t, dirEntries(t, dir))
	b.o.TempDir = t.TempDir() // the disk is unmounted before the last look into it
}

func TestAHomeNeedsAPlaceWhereItCanBe(t *testing.T) {
	_, err := newHome(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "making the browser's directory")
}
