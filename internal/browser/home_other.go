//go:build !linux

package browser

import (
	"errors"
	"os"
)

// lockDir opens the directory of a new browser. Without locks a leftover cannot be told from a live one, so none is ever swept.
func lockDir(dir string) (*os.File, error) {
	if _, err := os.Stat(dir + "/tmp"); err == nil {
		return nil, errors.New("the directory may be in use")
	}
	return os.Open(dir)
}

func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
