package browser

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var errLocked = errors.New("another process uses the directory")

// lockDir opens and locks the directory. The lock ends with the file, so at the latest with this process.
func lockDir(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, errLocked
	}
	// Between the two steps somebody may have removed it, or made another of the same name.
	locked, err := file.Stat()
	if err == nil {
		var present os.FileInfo
		if present, err = os.Stat(dir); err == nil && !os.SameFile(locked, present) {
			err = errLocked
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func freeBytes(dir string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}
