package s3

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"time"

	"github.com/rclone/gofakes3"
	"go.etcd.io/bbolt"
)

// The index's buckets: the buckets' names with the time of their making, and per bucket its objects by key.
var bucketsBucket = []byte("buckets")

func objectsBucket(bucket string) []byte { return []byte("objects/" + bucket) }

// stamp is how a file looks from outside; another one means that somebody changed the file.
type stamp struct {
	Size     int64
	Modified int64 // Unix nanoseconds
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }

// entry is what the index keeps of an object.
type entry struct {
	stamp
	MD5       []byte
	Metadata  map[string]string `json:",omitempty"` // headers, as gofakes3 gives them
	Parts     []int64           `json:",omitempty"` // sizes, of a multipart upload
	Announced bool              `json:",omitempty"` // its Created was told
	Sequence  uint64
}

func (e *entry) etag() string { return hex.EncodeToString(e.MD5) }

func (e *entry) modified() time.Time { return time.Unix(0, e.Modified).UTC() }

func (e *entry) created(bucket, key string) Created {
	return Created{
		Bucket: bucket, Key: key, ETag: e.etag(), Size: e.Size, Sequencer: sequencer(e.Sequence), Time: e.modified(),
	}
}

// objects is the part of the index for a bucket.
func objects(tx *bbolt.Tx, bucket string) (*bbolt.Bucket, error) {
	b := tx.Bucket(objectsBucket(bucket))
	if b == nil {
		return nil, gofakes3.BucketNotFound(bucket)
	}
	return b, nil
}

// indexed reads an object's entry; nil when there is none.
func indexed(tx *bbolt.Tx, bucket, key string) (*entry, error) {
	b, err := objects(tx, bucket)
	if err != nil {
		return nil, err
	}
	encoded := b.Get([]byte(key))
	if encoded == nil {
		return nil, nil
	}
	e := &entry{}
	return e, json.Unmarshal(encoded, e)
}

func (s *Store) lookup(bucket, key string) (e *entry, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		e, err = indexed(tx, bucket, key)
		return err
	})
	return e, err
}

// enter writes an object's entry, with the next sequence number.
func enter(tx *bbolt.Tx, bucket, key string, e *entry) error {
	b, err := objects(tx, bucket)
	if err != nil {
		return err
	}
	if e.Sequence, err = b.NextSequence(); err != nil {
		return err
	}
	return rewrite(b, key, e)
}

func rewrite(b *bbolt.Bucket, key string, e *entry) error {
	encoded, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), encoded)
}
