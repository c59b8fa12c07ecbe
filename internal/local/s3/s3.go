// Package s3 is Amazon S3 on one machine: gofakes3 speaks the protocol, and this package keeps the objects as ordinary files,
// so that a person can open a bucket in a file manager. What is not in the file itself (metadata, checksums, tags) is in a
// bbolt index beside it. Files that a person puts, changes or removes by hand are seen as what they are now.
package s3

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/sirupsen/logrus"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	lockTimeout = 2 * time.Second
	scanEvery   = time.Second    // how often the inbox is looked at
	uploadLife  = 24 * time.Hour // after which a multipart upload that nobody touches is dropped
)

// Options says where the objects are kept.
type Options struct {
	Dir   string // holds one folder per bucket
	State string // a directory for the index and for what is being written; on the same file system as Dir
	Inbox string // prefix under which Watch looks for files dropped by hand
	Sync  bool   // flush each write to the disk before it is acknowledged

	AccessKey, SecretKey string // what requests must be signed with

	Created func(Created) // called after each object is stored
	Log     logrus.FieldLogger
	Now     func() time.Time // time.Now when nil
}

// Created tells of an object that was stored.
type Created struct {
	Bucket, Key, ETag string // ETag without quotes
	Size              int64
	Sequencer         string // grows with each write to the bucket
	Time              time.Time
}

// Store is the buckets and their objects. It is the backend of gofakes3.
type Store struct {
	options Options
	db      *bbolt.DB
	server  *gofakes3.GoFakeS3

	uploadsMu sync.Mutex
	uploads   map[gofakes3.UploadID]*upload

	unstable map[string]stamp // inbox files that may still be growing; of the scanning goroutine

	closed     chan struct{}
	closing    sync.Once
	watching   sync.Once
	background sync.WaitGroup
}

// Open opens the store. What an earlier process left half-written is swept: uploads do not outlive it.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Created == nil {
		o.Created = func(Created) {}
	}
	s := &Store{options: o, uploads: map[gofakes3.UploadID]*upload{}, unstable: map[string]stamp{}, closed: make(chan struct{})}
	if err := os.MkdirAll(o.State, 0o755); err != nil {
		return nil, err
	}
	var err error
	s.db, err = bbolt.Open(filepath.Join(o.State, "index.db"), 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoSync: !o.Sync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		err = errors.New("another process uses it; end that one first, or use another data directory")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the objects' index in %s: %w", o.State, err)
	}
	err = errors.Join(os.RemoveAll(s.temporary()), os.Mkdir(s.temporary(), 0o755), s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketsBucket)
		return err
	}))
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	s.server = gofakes3.New(s, gofakes3.WithV4Auth(map[string]string{o.AccessKey: o.SecretKey}), gofakes3.WithLogger(logger{o.Log}))
	return s, nil
}

// Watch begins to look for files that are dropped into the inbox by hand, until Close. Those that were dropped while nobody
// watched are found, too.
func (s *Store) Watch() {
	s.watching.Do(func() { s.background.Go(s.watch) })
}

// Close closes the index.
func (s *Store) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.background.Wait()
	return s.db.Close()
}

// Handler serves S3 by path style: /bucket/key.
func (s *Store) Handler() http.Handler { return s.server.Server() }

// temporary is where objects and parts lie until they are whole.
func (s *Store) temporary() string { return filepath.Join(s.options.State, "tmp") }

func (s *Store) folder(bucket string) string { return filepath.Join(s.options.Dir, bucket) }

// first is the first error that is one. gofakes3 tells errors by their type, so they must not be joined or wrapped.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// logger passes gofakes3's errors on; the rest of what it says is a line per request.
type logger struct{ log logrus.FieldLogger }

func (l logger) Print(level gofakes3.LogLevel, v ...any) {
	if l.log != nil && level == gofakes3.LogErr {
		l.log.Error(append([]any{"local S3: "}, v...)...)
	}
}

var (
	_ gofakes3.Backend              = (*Store)(nil)
	_ gofakes3.MultipartBackend     = (*Store)(nil)
	_ gofakes3.ObjectTaggingBackend = (*Store)(nil)
)
