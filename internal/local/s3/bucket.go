package s3

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rclone/gofakes3"
	"go.etcd.io/bbolt"
)

// ListBuckets lists the buckets.
func (s *Store) ListBuckets(context.Context) (buckets []gofakes3.BucketInfo, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketsBucket).ForEach(func(name, made []byte) error {
			t, err := time.Parse(time.RFC3339Nano, string(made))
			buckets = append(buckets, gofakes3.BucketInfo{Name: string(name), CreationDate: gofakes3.NewContentTime(t)})
			return err
		})
	})
	return buckets, err
}

// CreateBucket makes a bucket, and its folder.
func (s *Store) CreateBucket(_ context.Context, name string) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(objectsBucket(name)) != nil {
			return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
		}
		if _, err := tx.CreateBucket(objectsBucket(name)); err != nil {
			return err
		}
		if err := tx.Bucket(bucketsBucket).Put([]byte(name), []byte(s.options.Now().UTC().Format(time.RFC3339Nano))); err != nil {
			return err
		}
		return os.MkdirAll(s.folder(name), 0o755)
	})
}

// BucketExists tells whether there is such a bucket.
func (s *Store) BucketExists(_ context.Context, name string) (exists bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		exists = tx.Bucket(objectsBucket(name)) != nil
		return nil
	})
	return exists, err
}

// DeleteBucket removes an empty bucket and its folder. A file in it that is no object keeps it, too.
func (s *Store) DeleteBucket(ctx context.Context, name string) error {
	left, err := s.ListBucket(ctx, name, nil, gofakes3.ListBucketPage{MaxKeys: 1})
	if err != nil {
		return err
	}
	if len(left.Contents) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(objectsBucket(name)); err != nil {
			return err
		}
		if err := tx.Bucket(bucketsBucket).Delete([]byte(name)); err != nil {
			return err
		}
		if err := removeEmptyFolders(s.folder(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
		}
		return nil
	})
}

// removeEmptyFolders removes a folder that holds nothing but empty folders.
func removeEmptyFolders(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeEmptyFolders(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}
