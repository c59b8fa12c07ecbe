package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
)

// spool is a file on disk that takes a body as it comes, and knows its size and SHA-256.
type spool struct {
	file  *os.File
	limit int64 // bytes; 0 is none
	size  int64
	sum   hash.Hash
	head  []byte // the first bytes, for inspect
}

func newSpool(dir string, limit int64) (*spool, error) {
	file, err := os.CreateTemp(dir, "attachment-*")
	if err != nil {
		return nil, diskError(err)
	}
	return &spool{file: file, limit: limit, sum: sha256.New()}, nil
}

// diskWriteError parts trouble with the disk from trouble with the body that io.Copy reads.
type diskWriteError struct{ err error }

func (e diskWriteError) Error() string { return e.err.Error() }
func (e diskWriteError) Unwrap() error { return e.err }

// Write appends to the file. It fails with errTooLarge, or a diskWriteError.
func (s *spool) Write(p []byte) (int, error) {
	if s.limit > 0 && s.size+int64(len(p)) > s.limit {
		return 0, errTooLarge
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	s.sum.Write(p[:n])
	s.head = append(s.head, p[:min(n, headSize-len(s.head))]...)
	if err != nil {
		return n, diskWriteError{err}
	}
	return n, nil
}

// readFrom copies a body. An error is errTooLarge, the disk's as a *po.Error, or the body's own.
func (s *spool) readFrom(body io.Reader) error {
	_, err := io.Copy(s, body)
	var disk diskWriteError
	if errors.As(err, &disk) {
		return diskError(disk.err)
	}
	return err
}

// restart forgets all that was written.
func (s *spool) restart() error {
	if s.size == 0 {
		return nil
	}
	if err := s.file.Truncate(0); err != nil {
		return diskError(err)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return diskError(err)
	}
	s.size, s.head = 0, nil
	s.sum.Reset()
	return nil
}

func (s *spool) hexSum() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// keep closes the file and leaves it on disk.
func (s *spool) keep() (path string, err error) {
	if err := s.file.Close(); err != nil {
		os.Remove(s.file.Name())
		return "", diskError(err)
	}
	return s.file.Name(), nil
}

// discard removes the file.
func (s *spool) discard() {
	s.file.Close()
	os.Remove(s.file.Name())
}
