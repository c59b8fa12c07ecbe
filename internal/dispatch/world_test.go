package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
)

const bucket = "purser"

// world is a dispatcher with real clients on local services, at a time that only the test moves.
type world struct {
	*Dispatcher
	t      *testing.T
	s3     *s3.Client
	sqs    *sqs.Client
	ledger *ledger.Ledger
	ns     atomic.Int64
	fuse   fuse
	drops  int // objects dropped so far

	// onSend may change what SendMessageBatch sends and answers.
	onSend func(in *sqs.SendMessageBatchInput, send func() (*sqs.SendMessageBatchOutput, error)) (*sqs.SendMessageBatchOutput, error)
}

func (w *world) now() time.Time          { return time.Unix(0, w.ns.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.ns.Add(int64(d)) }

// fuse makes every call fail after so many, as if the process had died there.
type fuse struct {
	mu    sync.Mutex
	set   bool
	left  int
	blown bool
}

var errDead = errors.New("the process is dead")

func (f *fuse) arm(calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set, f.left, f.blown = true, calls, false
}

// mend takes the fuse out, and tells whether it blew.
func (f *fuse) mend() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = false
	return f.blown
}

func (f *fuse) call() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.set {
		return nil
	}
	if f.left == 0 {
		f.blown = true
		return errDead
	}
	f.left--
	return nil
}

// before runs f before each call of a client.
func before(f func(context.Context, middleware.InitializeInput, middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error)) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("test", f), middleware.Before)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	services, err := local.OpenServices(local.ServicesOptions{Data: t.TempDir(), AccessKey: "test", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(services.Handler())
	t.Cleanup(func() {
		front.Close()
		if err := services.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t}
	w.ns.Store(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano())
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(front.URL),
		Credentials: credentials.NewStaticCredentialsProvider("test", "secret", ""),
	}
	w.s3 = s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := w.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}

	config.APIOptions = append(config.APIOptions, before(func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, meta middleware.Metadata, err error) {
		if err = w.fuse.call(); err != nil {
			return out, meta, err
		}
		batch, ok := in.Parameters.(*sqs.SendMessageBatchInput)
		if !ok || w.onSend == nil {
			return next.HandleInitialize(ctx, in)
		}
		result, err := w.onSend(batch, func() (*sqs.SendMessageBatchOutput, error) {
			out, meta, err = next.HandleInitialize(ctx, in)
			if err != nil {
				return nil, err
			}
			return out.Result.(*sqs.SendMessageBatchOutput), nil
		})
		out.Result = result
		return out, meta, err
	}))
	tables := dynamodb.NewFromConfig(config)
	if _, err := tables.CreateTable(t.Context(), ledger.CreateTableInput("purser")); err != nil {
		t.Fatal(err)
	}
	w.ledger = ledger.New(tables, "purser", ledger.WithClock(w.now))
	w.sqs = sqs.NewFromConfig(config)
	dlq := w.queue("purser-dlq", nil)
	arn, err := w.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &dlq, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	w.Dispatcher = New(Options{
		Ledger: w.ledger, Archive: archive.New(w.s3, bucket), SQS: w.sqs, Log: log, Now: w.now, DLQURL: dlq, MaxTries: 1,
		QueueURL: w.queue("purser", map[string]string{
			"RedrivePolicy": `{"maxReceiveCount":"1","deadLetterTargetArn":"` + arn.Attributes["QueueArn"] + `"}`,
		}),
	})
	return w
}

func (w *world) queue(name string, attributes map[string]string) string {
	w.t.Helper()
	out, err := w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.QueueUrl)
}

// drop puts a sheet into the bucket and returns its event.
func (w *world) drop(key, content string) events.S3Event {
	w.t.Helper()
	out, err := w.s3.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.drops++
	w.advance(time.Second) // so that the newest job is the last one
	return w.event("ObjectCreated:Put", bucket, key, strings.Trim(aws.ToString(out.ETag), `"`), fmt.Sprintf("%016X", w.drops))
}

// event is an event as it comes over the wire, with its key encoded.
func (w *world) event(name, bucket, key, etag, sequencer string) events.S3Event {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"eventName": name, "eventTime": w.now().Format(time.RFC3339),
		"s3": map[string]any{
			"bucket": map[string]any{"name": bucket},
			"object": map[string]any{"key": strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"), "eTag": etag, "sequencer": sequencer},
		},
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
	var e events.S3Event
	if err := json.Unmarshal(body, &e); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// dispatched dispatches the event's sheet and returns its job.
func (w *world) dispatched(e events.S3Event) ledger.Job {
	w.t.Helper()
	if err := w.HandleS3(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
	return w.job()
}

// job is the newest job.
func (w *world) job() ledger.Job {
	w.t.Helper()
	jobs, err := w.ledger.Jobs(w.t.Context(), 1)
	if err != nil || len(jobs) != 1 {
		w.t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	return jobs[0]
}

// take receives all messages of a queue; keep leaves them there.
func (w *world) take(queue string, keep bool) []po.Task {
	w.t.Helper()
	var tasks []po.Task
	for {
		out, err := w.sqs.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: 600})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return tasks
		}
		for _, m := range out.Messages {
			t, err := po.DecodeTask(aws.ToString(m.Body))
			if err != nil {
				w.t.Fatal(err)
			}
			tasks = append(tasks, t)
			if keep {
				continue
			}
			if _, err := w.sqs.DeleteMessage(w.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// messages takes what lies in the queue: the lines of the POs, sorted, and how many finalize messages.
func (w *world) messages() (lines []int, finalize int) {
	w.t.Helper()
	for _, t := range w.take(w.o.QueueURL, false) {
		if t.Kind == po.KindFinalize {
			finalize++
		} else {
			lines = append(lines, t.Row)
		}
	}
	slices.Sort(lines)
	return lines, finalize
}

// bury puts the messages of the queue into the dead-letter queue, as SQS does after their last try.
func (w *world) bury() {
	w.t.Helper()
	for range 2 { // received once, and again: then it was too often
		for range w.counts() + 1 {
			out, err := w.sqs.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &w.o.QueueURL, MaxNumberOfMessages: 10})
			if err != nil {
				w.t.Fatal(err)
			}
			for _, m := range out.Messages {
				if _, err := w.sqs.ChangeMessageVisibility(w.t.Context(), &sqs.ChangeMessageVisibilityInput{
					QueueUrl: &w.o.QueueURL, ReceiptHandle: m.ReceiptHandle,
				}); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
}

func (w *world) counts() int {
	w.t.Helper()
	s, err := w.queueState(w.t.Context(), w.o.QueueURL)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.messages
}

// work commits the row of each task with the status.
func (w *world) work(status po.Status, tasks ...po.Task) {
	w.t.Helper()
	for _, t := range tasks {
		c, err := w.ledger.Claim(w.t.Context(), t, "env", w.now().Add(time.Minute), false)
		if err != nil || c.State != ledger.Claimed {
			w.t.Fatalf("claim of row %d: %+v, %v", t.Row, c, err)
		}
		r := po.Result{PO: t.PO, Status: status}
		if !status.Success() {
			r.Code, r.Message = po.CodeNetwork, "the portal did not answer"
		}
		if _, _, err := w.ledger.Commit(w.t.Context(), []ledger.Outcome{{Lease: c.Lease, Result: r}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// cutOff lets a try of each row be cut off.
func (w *world) cutOff(tasks ...po.Task) {
	w.t.Helper()
	for _, t := range tasks {
		if c, err := w.ledger.Claim(w.t.Context(), t, "env", w.now(), false); err != nil || c.State != ledger.Claimed {
			w.t.Fatalf("claim of row %d: %+v, %v", t.Row, c, err)
		}
	}
}

// rows reads the job's rows.
func (w *world) rows(job string) []ledger.Row {
	w.t.Helper()
	var all []ledger.Row
	for r, err := range w.ledger.Rows(w.t.Context(), job) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func (w *world) sweep() SweepReport {
	w.t.Helper()
	report, err := w.Sweep(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// pos is a sheet of that many POs, on the lines from 2 on.
func pos(n int) string {
	var b strings.Builder
	b.WriteString("PO_NUMBER,SUPPLIER\n")
	for i := range n {
		fmt.Fprintf(&b, "PO%08d,Acme\n", 16000001+i)
	}
	return b.String()
}

// lines are the numbers from first to last.
func lines(first, last int) []int {
	var all []int
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}
