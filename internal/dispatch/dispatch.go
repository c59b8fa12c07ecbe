// Package dispatch turns a sheet that was dropped into the bucket into a job: a row in the ledger and a message in the queue for
// each PO. It may be run again and again for the same sheet, after a crash too, and does each thing once. Its sweeper looks after
// jobs that nobody else would bring to their end.
//
// The order within a job is what makes that so: a row is recorded before its message is sent, the checkpoint is written after
// both, and the total after the last row. Whoever resumes reads the sheet from its start, since only that tells duplicates and
// the total, and leaves out what the checkpoint covers. A message that is sent twice meets its row's lease or its final state.
package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/sheet"
	"github.com/purserhq/purser/internal/telemetry"
)

// Prefix is where sheets are dropped. An event for any other key is refused, whatever the trigger's own filter says: results
// are written to the same bucket.
const Prefix = "input/"

// The defaults of Options.
const (
	defaultSenders   = 8
	defaultReserve   = 30 * time.Second
	defaultLostAfter = 15 * time.Minute
	defaultMaxTries  = 5
)

// Options say what a Dispatcher works with. Ledger, Archive, SQS and the queues' URLs are required.
type Options struct {
	Ledger   *ledger.Ledger
	Archive  *archive.Archive
	SQS      *sqs.Client
	QueueURL string
	DLQURL   string
	Sheet    sheet.Options
	Log      logrus.FieldLogger
	Metrics  *telemetry.Metrics // optional

	// Senders is how many groups of rows are recorded and sent at once; 8 when it is 0.
	Senders int
	// Reserve is the part of the invocation's time that is kept to stop in good order; 30 s when it is 0.
	Reserve time.Duration
	// LostAfter is for how long nothing must have happened to a row, while the queue is empty, until the sweeper calls its
	// message lost; 15 minutes when it is 0. SQS's counts of messages may be a minute behind.
	LostAfter time.Duration
	// MaxTries is how often a PO is tried, as the downloader counts it: the queue's maxReceiveCount; 5 when it is 0.
	MaxTries int
	// Now is time.Now when it is nil.
	Now func() time.Time
}

// Dispatcher turns sheets into messages.
type Dispatcher struct {
	o      Options
	log    logrus.FieldLogger
	window int // rows between two checkpoints
}

// New returns a Dispatcher.
func New(o Options) *Dispatcher {
	if o.Senders <= 0 {
		o.Senders = defaultSenders
	}
	if o.Reserve <= 0 {
		o.Reserve = defaultReserve
	}
	if o.LostAfter <= 0 {
		o.LostAfter = defaultLostAfter
	}
	if o.MaxTries <= 0 {
		o.MaxTries = defaultMaxTries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Dispatcher{o: o, log: o.Log, window: windowRows}
}

// Handle answers an event of either kind: an S3 notification, or the schedule that starts the sweeper.
func (d *Dispatcher) Handle(ctx context.Context, raw json.RawMessage) error {
	var kind struct {
		DetailType string `json:"detail-type"`
	}
	var notification events.S3Event
	err := errors.Join(json.Unmarshal(raw, &kind), json.Unmarshal(raw, &notification))
	switch {
	case err != nil:
		d.log.WithError(err).Warn("an event that is neither S3's nor the schedule's was ignored")
		return nil
	case kind.DetailType == "Scheduled Event":
		_, err = d.Sweep(ctx)
	default:
		err = d.HandleS3(ctx, notification)
	}
	if d.o.Metrics != nil {
		err = errors.Join(err, d.o.Metrics.Flush(d.o.Now(), nil))
	}
	return err
}

// HandleS3 dispatches the sheets that the event tells of. An error means that it is to be called again with the same event, as
// Lambda does twice; after that the sweeper goes on.
func (d *Dispatcher) HandleS3(ctx context.Context, e events.S3Event) error {
	if len(e.Records) == 0 { // S3 sends a test event when a notification is set up
		d.log.Info("an event without records was ignored")
		return nil
	}
	var errs []error
	for _, r := range e.Records {
		job, why := d.jobOf(r)
		if why != "" {
			d.log.WithFields(logrus.Fields{"bucket": r.S3.Bucket.Name, "key": r.S3.Object.Key, "event": r.EventName}).
				Warnf("an event was ignored: %s", why)
			continue
		}
		known, created, err := d.o.Ledger.CreateJob(ctx, job)
		if err == nil {
			if created {
				d.count(telemetry.JobsStarted, 1)
			}
			err = d.dispatch(ctx, known)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("dispatching %s: %w", job.Key, err))
		}
	}
	return errors.Join(errs...)
}

// jobOf is the job that the record asks for, or why it asks for none.
func (d *Dispatcher) jobOf(r events.S3EventRecord) (ledger.Job, string) {
	object := r.S3.Object
	key := object.URLDecodedKey
	if key == "" { // it is only set by UnmarshalJSON
		decoded, err := url.QueryUnescape(object.Key)
		if err != nil {
			return ledger.Job{}, "its key is not encoded as S3 does it: " + err.Error()
		}
		key = decoded
	}
	switch {
	case !strings.HasPrefix(strings.TrimPrefix(r.EventName, "s3:"), "ObjectCreated:"):
		return ledger.Job{}, "no object was created"
	case r.S3.Bucket.Name != d.o.Archive.Bucket():
		return ledger.Job{}, "it is about a bucket of somebody else"
	case !strings.HasPrefix(key, Prefix):
		return ledger.Job{}, "sheets are dropped under " + Prefix
	case strings.HasSuffix(key, "/"):
		return ledger.Job{}, "it is a folder"
	}
	version := object.VersionID
	if version == "" {
		version = object.ETag
	}
	return ledger.Job{
		ID:   JobID(r.S3.Bucket.Name, key, version, object.Sequencer, r.EventTime),
		Name: path.Base(key), Bucket: r.S3.Bucket.Name, Key: key, VersionID: object.VersionID, ETag: object.ETag,
		Created: r.EventTime,
	}, ""
}

// owner names the invocation. Lambda's own retry of an event has the same name, and so goes on at once with what it began.
func owner(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		return lc.AwsRequestID
	}
	return uuid.NewString()
}

// outOfTime tells whether the invocation's time is used up but for the reserve.
func (d *Dispatcher) outOfTime(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < d.o.Reserve
}

func (d *Dispatcher) count(m telemetry.Metric, n int) {
	if d.o.Metrics != nil && n > 0 {
		d.o.Metrics.Add(m, float64(n))
	}
}
