package download

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFilesThatAKilledProcessLeftAreSwept(t *testing.T) {
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	dir := t.TempDir()
	dead, before, alive := spoolOf(dir, gone.Process.Pid), spoolOf(dir, os.Getpid()), spoolOf(dir, os.Getppid())
	foreign := filepath.Join(dir, spoolPrefix+"of-somebody")
	for _, d := range []string{dead, before, alive, foreign} {
		require.NoError(t, os.MkdirAll(filepath.Join(d, "po-1"), 0o700))
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	sweepSpools(dir, log)
	assert.NoDirExists(t, dead)
	assert.NoDirExists(t, before, "a process that had our pid left it")
	assert.DirExists(t, alive)
	assert.DirExists(t, foreign)
}
