// Package archive is where documents and results lie in S3: the keys, the folders, and what may be written over what.
package archive

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/purserhq/purser/internal/po"
)

// ErrGone happens when an object was deleted or replaced since its event was sent.
var ErrGone = errors.New("the object was deleted or replaced")

// Archive reads and writes one bucket.
type Archive struct {
	client *s3.Client
	bucket string
}

// New returns the archive in the bucket.
func New(client *s3.Client, bucket string) *Archive { return &Archive{client: client, bucket: bucket} }

// Bucket is the bucket's name.
func (a *Archive) Bucket() string { return a.bucket }

// Object is one object of a listing.
type Object struct {
	Key      string
	Bytes    int64
	ETag     string
	Modified time.Time
}

var errLater = errors.New("not written yet")

// Folder is the one folder of a PO: "download/<job>/<levels, or the supplier>/<PO>_<STATUS>".
func Folder(job string, levels []string, supplier string, n po.Number, st po.Status) string {
	return ""
}

// Part makes one part of a folder's path of any text.
func Part(s string) string { return "" }

// ResultKey is the key of one of the job's results.
func ResultKey(job, name string) string { return "" }

// EvidenceKey is the key of a kept page or screenshot.
func EvidenceKey(job string, n po.Number, name string) string { return "" }

// PutFile stores a file.
func (a *Archive) PutFile(ctx context.Context, key, path, contentType string) error { return errLater }

// Put stores a few bytes.
func (a *Archive) Put(ctx context.Context, key, contentType string, body []byte) error {
	_ = a.client
	return errLater
}

// Writer streams an object of unknown size: it exists as soon as Close returned nil, and not before.
func (a *Archive) Writer(ctx context.Context, key, contentType string) (*Writer, error) {
	return nil, errLater
}

// Writer is an upload under way. Close stores the object; CloseWithError gives it up.
type Writer struct{}

func (w *Writer) Write(p []byte) (int, error) { return 0, errLater }

// Close stores the object.
func (w *Writer) Close() error { return errLater }

// CloseWithError gives the upload up: nothing is stored.
func (w *Writer) CloseWithError(err error) error { return errLater }

// Open reads an object in exactly this version (and with this entity tag, when they are known). The error is ErrGone when it
// was deleted or replaced.
func (a *Archive) Open(ctx context.Context, key, versionID, etag string) (io.ReadCloser, int64, error) {
	return nil, 0, errLater
}

// Settle leaves nothing in the PO's folder but the files to keep, and removes the same PO's folders of other statuses.
func (a *Archive) Settle(ctx context.Context, folder string, keep []string) error { return errLater }

// List lists the objects under a prefix, by key.
func (a *Archive) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(Object{}, errLater) }
}
