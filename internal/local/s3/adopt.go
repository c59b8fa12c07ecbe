package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // ETags are MD5
	"errors"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
	"go.etcd.io/bbolt"
)

// adopt enters a file into the index as it is now, unless the index knows it so. What a client said of an earlier file of that
// name no longer counts.
func (s *Store) adopt(bucket, key string) error {
	path, info, err := s.find(bucket, key)
	if err != nil {
		return err
	}
	e, err := read(path)
	if err != nil {
		return ignoreMissing(err)
	}
	kind := mime.TypeByExtension(filepath.Ext(path))
	if kind == "" {
		kind = "binary/octet-stream" // what S3 says when nobody told it
	}
	e.Metadata = map[string]string{"Content-Type": kind, "Last-Modified": httpTime(info.ModTime())}
	return s.db.Update(func(tx *bbolt.Tx) error {
		known, err := indexed(tx, bucket, key)
		if err != nil || known != nil && known.stamp == e.stamp {
			return err
		}
		_, info, err := s.find(bucket, key)
		if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) || err == nil && stampOf(info) != e.stamp {
			return nil // it changed meanwhile; the next look sees that
		}
		if err != nil {
			return err
		}
		return enter(tx, bucket, key, e)
	})
}

// read makes the entry of a file.
func read(path string) (*entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	sum := md5.New() //nolint:gosec // see the import
	info, err := f.Stat()
	if err == nil {
		_, err = io.Copy(sum, f)
	}
	if err := first(err, f.Close()); err != nil {
		return nil, err
	}
	return &entry{stamp: stampOf(info), MD5: sum.Sum(nil)}, nil
}

// adoptAll enters what was put or changed by hand under the prefix.
func (s *Store) adoptAll(bucket, prefix string) error {
	var keys []string
	err := s.db.View(func(tx *bbolt.Tx) error {
		return s.walk(bucket, prefix, func(key string, info fs.FileInfo) error {
			e, err := indexed(tx, bucket, key)
			if err == nil && (e == nil || e.stamp != stampOf(info)) {
				keys = append(keys, key)
			}
			return err
		})
	})
	for _, key := range keys {
		if e := s.adopt(bucket, key); !gofakes3.HasErrorCode(e, gofakes3.ErrNoSuchKey) {
			err = first(err, e)
		}
	}
	return err
}

// walk visits the files whose keys have the prefix.
func (s *Store) walk(bucket, prefix string, visit func(key string, info fs.FileInfo) error) error {
	dir, base := s.folder(bucket), ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir, base = filepath.Join(dir, pathOf(prefix[:i])), prefix[:i+1]
	}
	return walkFolder(dir, base, prefix, visit)
}

func walkFolder(dir, base, prefix string, visit func(key string, info fs.FileInfo) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if info, e := os.Stat(dir); e != nil || !info.IsDir() {
			return nil // nothing there
		}
		return err
	}
	for _, e := range entries {
		if foreign(e.Name()) {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // gone meanwhile, or a dead link
		}
		if info.IsDir() {
			key, ok := folderKey(base, e.Name())
			if ok && (strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key)) {
				if err := walkFolder(filepath.Join(dir, e.Name()), key, prefix, visit); err != nil {
					return err
				}
			}
			continue
		}
		key, ok := fileKey(base, e.Name())
		if ok && info.Mode().IsRegular() && strings.HasPrefix(key, prefix) {
			if err := visit(key, info); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch looks at the inbox again and again.
func (s *Store) watch() {
	ticker := time.NewTicker(scanEvery)
	defer ticker.Stop()
	for {
		if err := s.scan(); err != nil && s.options.Log != nil {
			s.options.Log.WithError(err).Warn("local S3 could not look for files dropped by hand")
		}
		select {
		case <-s.closed:
			return
		case <-ticker.C:
		}
	}
}

// scan announces the inbox's files that were dropped or changed by hand, once two scans saw them alike: a file that is still
// being copied grows.
func (s *Store) scan() error {
	buckets, err := s.ListBuckets(context.Background())
	if err != nil {
		return err
	}
	waiting := map[string]stamp{}
	for _, bucket := range buckets {
		err = errors.Join(err, s.scanBucket(bucket.Name, waiting))
	}
	s.unstable = waiting
	return err
}

func (s *Store) scanBucket(bucket string, waiting map[string]stamp) error {
	if err := s.forgetGone(bucket, s.options.Inbox); err != nil {
		return err
	}
	var stable []string
	err := s.db.View(func(tx *bbolt.Tx) error {
		return s.walk(bucket, s.options.Inbox, func(key string, info fs.FileInfo) error {
			e, err := indexed(tx, bucket, key)
			now := stampOf(info)
			if err != nil || e != nil && e.stamp == now && e.Announced {
				return err
			}
			waiting[bucket+"/"+key] = now
			if s.unstable[bucket+"/"+key] == now {
				stable = append(stable, key)
			}
			return nil
		})
	})
	for _, key := range stable {
		err = errors.Join(err, s.announce(bucket, key, waiting[bucket+"/"+key]))
	}
	return err
}

// announce tells of a file, if it is still as it was seen.
func (s *Store) announce(bucket, key string, seen stamp) error {
	if err := s.adopt(bucket, key); err != nil {
		return err
	}
	var told *entry
	err := s.db.Update(func(tx *bbolt.Tx) error {
		e, err := indexed(tx, bucket, key)
		if err != nil || e == nil || e.stamp != seen || e.Announced {
			return err
		}
		e.Announced, told = true, e
		b, err := objects(tx, bucket)
		if err != nil {
			return err
		}
		return rewrite(b, key, e)
	})
	if err == nil && told != nil {
		s.options.Created(told.created(bucket, key))
	}
	return err
}

// forgetGone drops the entries under the prefix whose files were removed by hand, so that the same file may come again.
func (s *Store) forgetGone(bucket, prefix string) error {
	var gone [][]byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		b, err := objects(tx, bucket)
		if err != nil {
			return err
		}
		c := b.Cursor()
		for key, _ := c.Seek([]byte(prefix)); key != nil && bytes.HasPrefix(key, []byte(prefix)); key, _ = c.Next() {
			if _, _, err := s.find(bucket, string(key)); err != nil {
				gone = append(gone, bytes.Clone(key))
			}
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b, err := objects(tx, bucket)
		if err != nil {
			return err
		}
		for _, key := range gone {
			if _, _, e := s.find(bucket, string(key)); e != nil {
				err = errors.Join(err, b.Delete(key))
			}
		}
		return err
	})
}
