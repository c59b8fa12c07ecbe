package s3

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rclone/gofakes3"
)

// upload is a multipart upload under way. It lives in memory, as gofakes3's own book of it does; its parts are files.
type upload struct {
	bucket, key string
	metadata    map[string]string

	mu      sync.Mutex
	touched time.Time
	parts   map[int]part
	over    bool // completed, aborted or dropped
}

type part struct {
	path string
	size int64
	md5  string // hex
}

// CreateMultipartUpload begins an upload, and drops those that were given up.
func (s *Store) CreateMultipartUpload(ctx context.Context, bucket, key string, metadata map[string]string) (gofakes3.UploadID, error) {
	s.dropStaleUploads(ctx)
	id := gofakes3.UploadID(uuid.NewString())
	s.uploadsMu.Lock()
	defer s.uploadsMu.Unlock()
	s.uploads[id] = &upload{bucket: bucket, key: key, metadata: metadata, touched: s.options.Now(), parts: map[int]part{}}
	return id, nil
}

func (s *Store) upload(id gofakes3.UploadID) (*upload, error) {
	s.uploadsMu.Lock()
	defer s.uploadsMu.Unlock()
	if u := s.uploads[id]; u != nil {
		return u, nil
	}
	return nil, gofakes3.ErrNoSuchUpload
}

func (s *Store) forgetUpload(id gofakes3.UploadID) {
	s.uploadsMu.Lock()
	defer s.uploadsMu.Unlock()
	delete(s.uploads, id)
}

func (s *Store) dropStaleUploads(ctx context.Context) {
	s.uploadsMu.Lock()
	stale := map[gofakes3.UploadID]*upload{}
	for id, u := range s.uploads {
		u.mu.Lock()
		if s.options.Now().Sub(u.touched) > uploadLife {
			stale[id] = u
		}
		u.mu.Unlock()
	}
	s.uploadsMu.Unlock()
	for id, u := range stale {
		err := errors.Join(s.AbortMultipartUpload(ctx, u.bucket, u.key, id), s.server.ForgetMultipartUpload(ctx, u.bucket, u.key, id))
		if err != nil && s.options.Log != nil {
			s.options.Log.WithError(err).Warnf("local S3 could not drop the stale upload of %s", u.key)
		}
	}
}

// UploadPart stores one part; the same part again replaces it.
func (s *Store) UploadPart(_ context.Context, _, _ string, id gofakes3.UploadID, number int, size int64, body io.Reader) (string, error) {
	u, err := s.upload(id)
	if err != nil {
		return "", err
	}
	path, e, err := s.spool(body, size)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return "", first(gofakes3.ErrNoSuchUpload, os.Remove(path))
	}
	before, again := u.parts[number]
	u.parts[number] = part{path: path, size: e.Size, md5: e.etag()}
	u.touched = s.options.Now()
	if again {
		err = os.Remove(before.path)
	}
	return `"` + e.etag() + `"`, err
}

// CompleteMultipartUpload makes the parts the object. Its ETag is the MD5 of the whole content, which S3's own, an MD5 of the
// parts' MD5s with their number, is not: gofakes3 has no room for the number.
func (s *Store) CompleteMultipartUpload(ctx context.Context, bucket, key string, id gofakes3.UploadID, in *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	u, err := s.upload(id)
	if err != nil {
		return "", "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return "", "", gofakes3.ErrNoSuchUpload
	}
	path, e, err := s.join(u, in)
	if err != nil {
		return "", "", err
	}
	e.Metadata = u.metadata
	if err := s.commit(ctx, bucket, key, path, e); err != nil {
		return "", "", err
	}
	u.over = true
	s.forgetUpload(id)
	return "", `"` + e.etag() + `"`, u.removeParts()
}

// join writes the wanted parts into one file.
func (s *Store) join(u *upload, in *gofakes3.CompleteMultipartUploadRequest) (path string, e *entry, err error) {
	var files []io.Reader
	var sizes []int64
	total, last := int64(0), 0
	for _, wanted := range in.Parts {
		p, ok := u.parts[wanted.PartNumber]
		if !ok || !strings.EqualFold(strings.Trim(wanted.ETag, `"`), p.md5) {
			return "", nil, gofakes3.ErrInvalidPart
		}
		if wanted.PartNumber <= last {
			return "", nil, gofakes3.ErrInvalidPartOrder
		}
		last = wanted.PartNumber
		f, err := os.Open(p.path)
		if err != nil {
			return "", nil, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		files, sizes, total = append(files, f), append(sizes, p.size), total+p.size
	}
	if len(files) == 0 {
		return "", nil, gofakes3.ErrInvalidPart
	}
	path, e, err = s.spool(io.MultiReader(files...), total)
	if err == nil {
		e.Parts = sizes
	}
	return path, e, err
}

func (u *upload) removeParts() error {
	var err error
	for _, p := range u.parts {
		err = errors.Join(err, os.Remove(p.path))
	}
	u.parts = map[int]part{}
	return err
}

// AbortMultipartUpload drops an upload and its parts.
func (s *Store) AbortMultipartUpload(_ context.Context, _, _ string, id gofakes3.UploadID) error {
	u, err := s.upload(id)
	if err != nil {
		return nil //nolint:nilerr // it is gone already
	}
	s.forgetUpload(id)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	return u.removeParts()
}
