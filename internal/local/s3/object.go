package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // ETags are MD5
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
	"go.etcd.io/bbolt"
)

// find is the key's file: at its own path or, when a folder is there, beside it.
func (s *Store) find(bucket, key string) (path string, info fs.FileInfo, err error) {
	plain := filepath.Join(s.folder(bucket), pathOf(key))
	for _, path := range []string{plain, plain + fileSuffix} {
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() {
			return path, info, nil
		}
	}
	return "", nil, gofakes3.KeyNotFound(key)
}

// current is the object's entry as its file is now, and the open file. A file that the index does not know, or knows otherwise,
// is read first.
func (s *Store) current(bucket, key string) (*entry, *os.File, error) {
	for range 3 { // the file may be replaced between two looks
		e, err := s.lookup(bucket, key)
		if err != nil {
			return nil, nil, err
		}
		path, _, err := s.find(bucket, key)
		if err != nil {
			return nil, nil, err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		info, err := f.Stat()
		if err == nil && e != nil && e.stamp == stampOf(info) {
			return e, f, nil
		}
		if err == nil {
			err = s.adopt(bucket, key)
		}
		if err := first(err, f.Close()); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, gofakes3.ErrorMessage(gofakes3.ErrInternal, "the file of "+key+" changes all the time; try again when it is written")
}

func (e *entry) object(key string, contents io.ReadCloser) *gofakes3.Object {
	return &gofakes3.Object{Name: key, Metadata: e.Metadata, Size: e.Size, Hash: e.MD5, PartSizes: e.Parts, Contents: contents}
}

// HeadObject tells of an object without its content.
func (s *Store) HeadObject(_ context.Context, bucket, key string) (*gofakes3.Object, error) {
	e, f, err := s.current(bucket, key)
	if err != nil {
		return nil, err
	}
	return e.object(key, io.NopCloser(strings.NewReader(""))), f.Close()
}

// GetObject opens an object, or a part of it.
func (s *Store) GetObject(_ context.Context, bucket, key string, wanted *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	e, f, err := s.current(bucket, key)
	if err != nil {
		return nil, err
	}
	r, err := wanted.Range(e.Size)
	if err != nil {
		return nil, first(err, f.Close())
	}
	o := e.object(key, f)
	if r != nil {
		o.Range = r
		o.Contents = section{io.NewSectionReader(f, r.Start, r.Length), f}
	}
	return o, nil
}

// section is a part of a file, which closes the file.
type section struct {
	io.Reader
	io.Closer
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// spool writes what it reads to a temporary file. It fails when that is not size bytes, unless size is negative.
func (s *Store) spool(in io.Reader, size int64) (path string, e *entry, err error) {
	f, err := os.CreateTemp(s.temporary(), "object-")
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			err = first(err, os.Remove(f.Name()))
		}
	}()
	sum := md5.New() //nolint:gosec // see the import
	buffer := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buffer)
	n, err := io.CopyBuffer(io.MultiWriter(f, sum), struct{ io.Reader }{in}, buffer[:])
	if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && size >= 0 && n != size {
		err = gofakes3.ErrIncompleteBody
	}
	if err == nil && s.options.Sync {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return "", nil, err
	}
	// A time of its own lets a later write within the clock tick of the file system be told from this one.
	now := s.options.Now()
	if err := os.Chtimes(f.Name(), now, now); err != nil {
		return "", nil, err
	}
	info, err := os.Stat(f.Name())
	if err != nil {
		return "", nil, err
	}
	return f.Name(), &entry{stamp: stampOf(info), MD5: sum.Sum(nil)}, nil
}

// PutObject stores an object. Until it is whole, the one before stays.
func (s *Store) PutObject(ctx context.Context, bucket, key string, metadata map[string]string, in io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	path, e, err := s.spool(in, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	e.Metadata = metadata
	return gofakes3.PutObjectResult{}, s.commit(ctx, bucket, key, path, e)
}

// commit makes a spooled file the object, if the request's If-Match and If-None-Match allow it.
func (s *Store) commit(ctx context.Context, bucket, key, path string, e *entry) error {
	e.Announced = true
	err := s.db.Update(func(tx *bbolt.Tx) error { // one at a time: the check and the move are one step
		if gofakes3.HasWriteConditions(ctx) {
			before, err := s.unchanged(tx, bucket, key)
			if err != nil {
				return err
			}
			etag := ""
			if before != nil {
				etag = before.etag()
			}
			if err := gofakes3.CheckWriteConditions(ctx, before != nil, etag); err != nil {
				return err
			}
		}
		if err := enter(tx, bucket, key, e); err != nil {
			return err
		}
		return s.moveIn(bucket, key, path)
	})
	if err != nil {
		return first(err, ignoreMissing(os.Remove(path)))
	}
	s.options.Created(e.created(bucket, key))
	return nil
}

// unchanged is the object's entry, nil when there is no object. An object that was changed by hand since gofakes3 looked, which
// is moments ago, has an empty ETag.
func (s *Store) unchanged(tx *bbolt.Tx, bucket, key string) (*entry, error) {
	e, err := indexed(tx, bucket, key)
	if err != nil {
		return nil, err
	}
	_, info, err := s.find(bucket, key)
	if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if e == nil || e.stamp != stampOf(info) {
		return &entry{}, nil
	}
	return e, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// moveIn moves a file to where the key has it. It runs inside a write transaction, which keeps others from the folders.
func (s *Store) moveIn(bucket, key, from string) error {
	to := filepath.Join(s.folder(bucket), pathOf(key))
	if err := makeFolders(s.folder(bucket), filepath.Dir(to)); err != nil {
		return err
	}
	beside := to + fileSuffix
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to, beside = beside, ""
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if beside != "" { // the folder that it stood beside is gone
		if err := ignoreMissing(os.Remove(beside)); err != nil {
			return err
		}
	}
	if s.options.Sync {
		return syncFolder(filepath.Dir(to))
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeFolders makes dir and what is missing above it, down from the bucket's folder. An object that has the name of a folder
// moves beside it.
func makeFolders(bucket, dir string) error {
	info, err := os.Stat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if dir != bucket {
		if err := makeFolders(bucket, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		if err := os.Rename(dir, dir+fileSuffix); err != nil {
			return err
		}
	}
	return os.MkdirAll(dir, 0o755)
}

// CopyObject copies an object; metadata is all that the new one has.
func (s *Store) CopyObject(ctx context.Context, fromBucket, fromKey, bucket, key string, metadata map[string]string) (gofakes3.CopyObjectResult, error) {
	e, f, err := s.current(fromBucket, fromKey)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	_, err = s.PutObject(ctx, bucket, key, metadata, f, e.Size)
	if err := first(err, f.Close()); err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	return gofakes3.CopyObjectResult{ETag: `"` + e.etag() + `"`, LastModified: gofakes3.NewContentTime(s.options.Now().UTC())}, nil
}

// DeleteObject removes an object; one that is not there is no error.
func (s *Store) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	return gofakes3.ObjectDeleteResult{}, s.db.Update(func(tx *bbolt.Tx) error { return s.remove(tx, bucket, key) })
}

// DeleteMulti removes several objects in one step.
func (s *Store) DeleteMulti(_ context.Context, bucket string, keys ...string) (result gofakes3.MultiDeleteResult, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			if err := s.remove(tx, bucket, key); err != nil {
				failed := gofakes3.ErrorResultFromError(err)
				failed.Key = key
				result.Error = append(result.Error, failed)
				continue
			}
			result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
		}
		return nil
	})
	return result, err
}

func (s *Store) remove(tx *bbolt.Tx, bucket, key string) error {
	b, err := objects(tx, bucket)
	if err != nil {
		return err
	}
	if err := b.Delete([]byte(key)); err != nil {
		return err
	}
	path, _, err := s.find(bucket, key)
	if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(path)); err != nil {
		return err
	}
	s.pruneFolders(bucket, filepath.Dir(path))
	return nil
}

// pruneFolders removes the folders that became empty, but not the outermost one: people keep input/ open to drop files there.
func (s *Store) pruneFolders(bucket, dir string) {
	for filepath.Dir(dir) != s.folder(bucket) && dir != s.folder(bucket) {
		if os.Remove(dir) != nil { // it is not empty
			return
		}
		dir = filepath.Dir(dir)
	}
}

// SetObjectTagging changes an object's tags.
func (s *Store) SetObjectTagging(_ context.Context, bucket, key, tagging string) error {
	_, f, err := s.current(bucket, key)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		e, err := indexed(tx, bucket, key)
		if err != nil {
			return err
		}
		if e == nil {
			return gofakes3.KeyNotFound(key)
		}
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		if e.Metadata[gofakes3.TaggingMetadataKey] = tagging; tagging == "" {
			delete(e.Metadata, gofakes3.TaggingMetadataKey)
		}
		b, err := objects(tx, bucket)
		if err != nil {
			return err
		}
		return rewrite(b, key, e)
	})
}

// sequencer is a sequence number as S3's events write it: hexadecimal, of one length, so that text order is its order.
func sequencer(n uint64) string { return fmt.Sprintf("%016X", n) }

// httpTime is how gofakes3 wants a time in metadata.
func httpTime(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") }
