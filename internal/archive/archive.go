// Package archive is where documents and results lie in S3: the keys, the folders, and what may be written over what.
//
// A PO's files go into its one final folder, whose name holds its status, and only after its outcome is known: nothing is ever
// renamed. Keys follow from the job, the row and the file's name, so a repeated upload overwrites the same bytes, and two jobs
// never meet. Settle then removes what an earlier try left behind, in this folder or under another status.
package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/purserhq/purser/internal/po"
)

// ErrGone happens when an object was deleted or replaced since its event was sent.
var ErrGone = errors.New("the object was deleted or replaced")

const (
	// partBytes and partsAtOnce bound what an upload of unknown size holds in memory: some 24 MB.
	partBytes   = 8 << 20
	partsAtOnce = 2
	// abortTime is what an upload that failed may take to remove its parts, even when its context has ended.
	abortTime = 10 * time.Second
	// maxDeletes is how many objects one call may delete.
	maxDeletes = 1000
)

// Archive reads and writes one bucket.
type Archive struct {
	client   *s3.Client
	transfer *transfermanager.Client
	bucket   string
}

// New returns the archive in the bucket.
func New(client *s3.Client, bucket string) *Archive {
	return &Archive{client: client, bucket: bucket, transfer: transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold = partBytes, partBytes
		o.Concurrency, o.FailTimeout = partsAtOnce, abortTime
	})}
}

// Bucket is the bucket's name.
func (a *Archive) Bucket() string { return a.bucket }

// Object is one object of a listing.
type Object struct {
	Key      string
	Bytes    int64
	ETag     string
	Modified time.Time
}

// PutFile stores a file.
func (a *Archive) PutFile(ctx context.Context, key, path, contentType string) error {
	f, err := os.Open(path) //nolint:gosec // the caller's own spool file
	if err != nil {
		return fmt.Errorf("storing %s: %w", key, err)
	}
	defer f.Close()
	return a.upload(ctx, key, contentType, f)
}

// Put stores a few bytes.
func (a *Archive) Put(ctx context.Context, key, contentType string, body []byte) error {
	return a.upload(ctx, key, contentType, bytes.NewReader(body))
}

func (a *Archive) upload(ctx context.Context, key, contentType string, body io.Reader) error {
	input := &transfermanager.UploadObjectInput{Bucket: &a.bucket, Key: &key, Body: body}
	if contentType != "" {
		input.ContentType = &contentType
	}
	if _, err := a.transfer.UploadObject(ctx, input); err != nil {
		return fmt.Errorf("storing %s in %s: %w", key, a.bucket, err)
	}
	return nil
}

// Writer streams an object of unknown size: it exists as soon as Close returned nil, and not before.
func (a *Archive) Writer(ctx context.Context, key, contentType string) (*Writer, error) {
	read, write := io.Pipe()
	w := &Writer{pipe: write, done: make(chan error, 1)}
	go func() {
		err := a.upload(ctx, key, contentType, read)
		_ = read.CloseWithError(err) // whoever writes on learns why nobody reads; a pipe's end closes without an error
		w.done <- err
	}()
	return w, nil
}

// Writer is an upload under way. One of Close and CloseWithError must be called; the calls after the first do nothing.
type Writer struct {
	pipe   *io.PipeWriter
	done   chan error
	closed bool
}

func (w *Writer) Write(p []byte) (int, error) { return w.pipe.Write(p) }

// Close stores the object.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	_ = w.pipe.Close() // never fails
	return <-w.done
}

// CloseWithError gives the upload up: nothing is stored, and what was sent is removed.
func (w *Writer) CloseWithError(err error) error {
	if w.closed {
		return nil
	}
	w.closed = true
	if err == nil || errors.Is(err, io.EOF) {
		err = errors.New("the upload was given up")
	}
	_ = w.pipe.CloseWithError(err) // never fails
	<-w.done
	return nil
}

// Open reads an object in exactly this version and with this entity tag, as far as they are known. The error is ErrGone when
// it was deleted or replaced.
func (a *Archive) Open(ctx context.Context, key, versionID, etag string) (io.ReadCloser, int64, error) {
	input := &s3.GetObjectInput{Bucket: &a.bucket, Key: &key}
	if versionID != "" && versionID != "null" {
		input.VersionId = &versionID
	}
	if etag = strings.Trim(etag, `"`); etag != "" {
		input.IfMatch = aws.String(`"` + etag + `"`)
	}
	out, err := a.client.GetObject(ctx, input)
	if err != nil {
		if gone(err) {
			err = fmt.Errorf("%w (%w)", ErrGone, err)
		}
		return nil, 0, fmt.Errorf("opening %s in %s: %w", key, a.bucket, err)
	}
	return out.Body, aws.ToInt64(out.ContentLength), nil
}

// gone tells whether the answer is that there is no such object, or no longer in this version.
func gone(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "NoSuchKey", "NoSuchVersion", "PreconditionFailed", "MethodNotAllowed": // the last: the version is a delete marker
		return true
	}
	return false
}

// Settle leaves nothing in the PO's folder but the files to keep (keys), and removes the same PO's folders of other statuses.
func (a *Archive) Settle(ctx context.Context, folder string, keep []string) error {
	stem, ok := stemOf(folder)
	if !ok {
		return fmt.Errorf("settling %s: it is no PO's folder", folder)
	}
	kept := map[string]bool{}
	for _, k := range keep {
		kept[k] = true
	}
	own := map[string]bool{}
	for _, st := range po.Statuses {
		own[stem+string(st)] = true
	}
	var left []types.ObjectIdentifier
	for o, err := range a.List(ctx, stem) { // PO1_… is not a prefix of PO12_…
		if err != nil {
			return fmt.Errorf("settling %s: %w", folder, err)
		}
		if own[path.Dir(o.Key)] && !kept[o.Key] {
			left = append(left, types.ObjectIdentifier{Key: aws.String(o.Key)})
		}
	}
	for len(left) > 0 {
		n := min(len(left), maxDeletes)
		out, err := a.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &a.bucket, Delete: &types.Delete{Objects: left[:n], Quiet: aws.Bool(true)},
		})
		if err != nil {
			return fmt.Errorf("settling %s: %w", folder, err)
		}
		if len(out.Errors) > 0 {
			e := out.Errors[0]
			return fmt.Errorf("settling %s: deleting %s: %s: %s", folder, aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message))
		}
		left = left[n:]
	}
	return nil
}

// stemOf is a PO's folder without its status, "download/j/Acme/PO1_".
func stemOf(folder string) (string, bool) {
	if !strings.HasPrefix(folder, "download/") {
		return "", false
	}
	for _, st := range po.Statuses {
		if stem, ok := strings.CutSuffix(folder, "_"+string(st)); ok && !strings.HasSuffix(stem, "/") {
			return stem + "_", true
		}
	}
	return "", false
}

// List lists the objects under a prefix, by key.
func (a *Archive) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(a.client, &s3.ListObjectsV2Input{Bucket: &a.bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Object{}, fmt.Errorf("listing %s in %s: %w", prefix, a.bucket, err))
				return
			}
			for _, o := range page.Contents {
				if !yield(Object{
					Key: aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size),
					ETag: strings.Trim(aws.ToString(o.ETag), `"`), Modified: aws.ToTime(o.LastModified),
				}, nil) {
					return
				}
			}
		}
	}
}
