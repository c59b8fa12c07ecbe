package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/rclone/gofakes3"
	"go.etcd.io/bbolt"
)

// ListBucket lists a page of a bucket in the order of keys. With the first page it takes in what was done to the files by hand.
func (s *Store) ListBucket(_ context.Context, bucket string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	if !page.HasMarker {
		if err := s.adoptAll(bucket, prefix.Prefix); err != nil {
			return nil, err
		}
	}
	l := &lister{Store: s, bucket: bucket, prefix: prefix.Prefix, delimiter: prefix.Delimiter, page: page, list: gofakes3.NewObjectList()}
	return l.list, s.db.View(l.run)
}

// lister is one listing under way.
type lister struct {
	*Store
	bucket, prefix, delimiter string
	page                      gofakes3.ListBucketPage
	list                      *gofakes3.ObjectList
	last                      string // listed last
}

func (l *lister) run(tx *bbolt.Tx) error {
	b, err := objects(tx, l.bucket)
	if err != nil {
		return err
	}
	c := b.Cursor()
	key, encoded := c.Seek(l.first())
	for key != nil && bytes.HasPrefix(key, []byte(l.prefix)) {
		folder := l.folderOf(string(key))
		_, info, err := l.find(l.bucket, string(key))
		if err != nil { // removed by hand
			key, encoded = c.Next()
			continue
		}
		if l.page.MaxKeys > 0 && int64(len(l.list.Contents)+len(l.list.CommonPrefixes)) == l.page.MaxKeys {
			l.list.IsTruncated, l.list.NextMarker = true, l.last
			return nil
		}
		if folder != "" {
			l.list.AddPrefix(folder)
			l.last = folder
			key, encoded = c.Seek(behind(folder))
			continue
		}
		e := &entry{}
		if err := json.Unmarshal(encoded, e); err != nil {
			return err
		}
		l.last = string(key)
		l.list.Add(&gofakes3.Content{
			Key: l.last, ETag: `"` + e.etag() + `"`, Size: e.Size,
			LastModified: gofakes3.NewContentTime(info.ModTime().UTC()), StorageClass: gofakes3.StorageStandard,
		})
		key, encoded = c.Next()
	}
	return nil
}

// first is where the page begins: behind the marker, and behind the whole folder when the marker is in or is a folder.
func (l *lister) first() []byte {
	if !l.page.HasMarker || l.page.Marker < l.prefix {
		return []byte(l.prefix)
	}
	if folder := l.folderOf(l.page.Marker); folder != "" {
		return behind(folder)
	}
	return append([]byte(l.page.Marker), 0)
}

// folderOf is the common prefix under which the key is listed; "" when it is listed itself.
func (l *lister) folderOf(key string) string {
	if l.delimiter == "" || !strings.HasPrefix(key, l.prefix) {
		return ""
	}
	i := strings.Index(key[len(l.prefix):], l.delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(l.prefix)+i+len(l.delimiter)]
}

// behind is the first key that does not begin with the prefix any more.
func behind(prefix string) []byte {
	out := []byte(prefix)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}
