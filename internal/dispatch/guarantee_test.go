package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/sirupsen/logrus"
	"pgregory.net/rapid"

	"github.com/purserhq/purser/internal/ledger"
	localsqs "github.com/purserhq/purser/internal/local/sqs"
	"github.com/purserhq/purser/internal/po"
)

const (
	flowLease      = time.Minute // of a worker, and for so long a message it has is hidden
	flowReceives   = 3           // then the queue gives a message up
	flowVisibility = "60"
)

// TestAnyScheduleOfTheWholeFlowEndsWithEveryFileOnce runs random schedules of the whole flow: S3 events that come again,
// dispatchers, workers, sweepers and redrives that die before any of their calls, workers that are overtaken by their lease's end,
// messages that come twice, are lost, or are given up. Ledger, queues and dispatcher are the real ones; workers do with them and
// with a bucket in memory, step by step, what internal/download does. Whatever happened, the job ends when the troubles do:
// counters equal rows, every row is final, the bucket holds the files that the rows name and no others, and the job was finished
// once for each time that it was opened.
func TestAnyScheduleOfTheWholeFlowEndsWithEveryFileOnce(t *testing.T) {
	const each = 100 // schedules that rapid runs at once
	want := 100
	if n, err := strconv.Atoi(os.Getenv("PURSER_SCHEDULES")); err == nil { // CI runs 2,000
		want = n
	}
	w := newWorld(t)
	w.clockedQueues()
	schedules := 0
	for range (want + each - 1) / each {
		rapid.Check(t, func(t *rapid.T) {
			schedules++
			runFlow(t, w)
		})
	}
	if !testing.Short() && schedules < want {
		t.Errorf("only %d of %d schedules were run", schedules, want)
	}
}

// clockedQueues gives the world queues that go by its time.
func (w *world) clockedQueues() {
	w.t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	server, err := localsqs.Open(localsqs.Options{
		Path: filepath.Join(w.t.TempDir(), "queues"), Region: "us-east-1", Log: log, Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	front := httptest.NewServer(server)
	w.t.Cleanup(func() {
		front.Close()
		if err := server.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.sqs = sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &front.URL,
		Credentials: credentials.NewStaticCredentialsProvider("test", "secret", ""), APIOptions: w.sqs.Options().APIOptions,
	})
	w.o.SQS, w.o.MaxTries = w.sqs, flowReceives
	w.o.DLQURL = w.queue("flow-dlq", nil)
	arn, err := w.sqs.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &w.o.DLQURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.o.QueueURL = w.queue("flow", map[string]string{
		"VisibilityTimeout": flowVisibility,
		"RedrivePolicy":     fmt.Sprintf(`{"maxReceiveCount":"%d","deadLetterTargetArn":"%s"}`, flowReceives, arn.Attributes["QueueArn"]),
	})
}

// flow is one schedule.
type flow struct {
	*world
	r      *rapid.T
	event  events.S3Event
	job    string
	bucket map[string]po.Number // whose file lies under the key
	works  []*work              // what workers have under way
	lost   map[po.Number]bool   // POs of which a message was lost, and with it the last chance to clear what a dead worker left
	ended  bool                 // the job was finished, and not opened since
}

// work is a PO between its upload and its commit.
type work struct {
	message types.Message
	task    po.Task
	lease   ledger.Lease
	result  po.Result
}

func runFlow(t *rapid.T, w *world) {
	for _, queue := range []string{w.o.QueueURL, w.o.DLQURL} { // what the schedule before has left
		if _, err := w.sqs.PurgeQueue(context.Background(), &sqs.PurgeQueueInput{QueueUrl: &queue}); err != nil {
			t.Fatal(err)
		}
		w.advance(2 * time.Minute) // SQS takes a minute, and purges once a minute
	}
	f := &flow{world: w, r: t, bucket: map[string]po.Number{}, lost: map[po.Number]bool{}}
	f.event = w.drop("input/flow.csv", pos(4)+"PO16000001,Acme\nn/a,Acme\n")
	job, why := w.jobOf(f.event.Records[0])
	if why != "" {
		t.Fatal(why)
	}
	f.job = job.ID

	ctx := context.Background()
	t.Repeat(map[string]func(*rapid.T){
		"the S3 event comes":        func(*rapid.T) { f.mayDie(func() error { return w.HandleS3(ctx, f.event) }) },
		"a worker takes a message":  func(*rapid.T) { f.mayDie(f.take) },
		"another worker takes one":  func(*rapid.T) { f.mayDie(f.take) },
		"a worker ends what it has": func(*rapid.T) { f.mayDie(f.finish) },
		"a worker is killed": func(*rapid.T) {
			if n := len(f.works); n > 0 {
				f.works = slices.Delete(f.works, n-1, n)
			}
		},
		"time passes":     func(t *rapid.T) { w.advance(time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second) },
		"a message twice": func(*rapid.T) { f.repeatMessage() },
		"a message is lost": func(*rapid.T) {
			m, ok, err := f.receive(w.o.QueueURL)
			if err != nil {
				f.r.Fatal(err)
			}
			if ok {
				task, err := po.DecodeTask(aws.ToString(m.Body))
				if err != nil {
					f.r.Fatal(err)
				}
				f.lost[task.PO] = true
				f.ack(m)
			}
		},
		"the sweeper comes": func(*rapid.T) {
			f.mayDie(func() error { _, err := w.Sweep(ctx); return err })
		},
		"somebody redrives": func(*rapid.T) {
			if f.known() {
				f.mayDie(func() error { _, err := w.Redrive(ctx, f.job); return err })
			}
		},
		"": func(*rapid.T) { f.look() },
	})
	f.settle()
}

// mayDie lets the actor die before one of its calls, or not.
func (f *flow) mayDie(act func() error) {
	if calls := rapid.IntRange(0, 40).Draw(f.r, "calls before death"); calls < 25 {
		f.fuse.arm(calls)
	}
	err := act()
	if dead := f.fuse.mend(); err != nil && !dead {
		f.r.Fatal(err)
	}
}

// known tells whether the dispatcher has made the job yet.
func (f *flow) known() bool {
	_, err := f.ledger.Job(context.Background(), f.job)
	if err != nil && !errors.Is(err, ledger.ErrNoJob) {
		f.r.Fatal(err)
	}
	return err == nil
}

// look notes whether the job was opened again.
func (f *flow) look() {
	job, err := f.ledger.Job(context.Background(), f.job)
	switch {
	case errors.Is(err, ledger.ErrNoJob):
	case err != nil:
		f.r.Fatal(err)
	case !job.Ended():
		f.ended = false
	case job.TotalKnown && job.Counters.Done != job.Total:
		f.r.Fatalf("the job has ended with %d of %d rows", job.Counters.Done, job.Total)
	}
}

func (f *flow) receive(queue string) (types.Message, bool, error) {
	out, err := f.sqs.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{
		QueueUrl: &queue, MaxNumberOfMessages: 1, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil || len(out.Messages) == 0 {
		return types.Message{}, false, err
	}
	return out.Messages[0], true, nil
}

// ack deletes the message. One that was given to somebody else meanwhile may stay.
func (f *flow) ack(m types.Message) {
	_, _ = f.sqs.DeleteMessage(context.Background(), &sqs.DeleteMessageInput{QueueUrl: &f.o.QueueURL, ReceiptHandle: m.ReceiptHandle})
}

// again makes the message visible in a second.
func (f *flow) again(m types.Message) {
	_, _ = f.sqs.ChangeMessageVisibility(context.Background(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &f.o.QueueURL, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 1,
	})
}

// repeatMessage is SQS delivering a message twice: a copy of it.
func (f *flow) repeatMessage() {
	m, ok, err := f.receive(f.o.QueueURL)
	if err != nil {
		f.r.Fatal(err)
	}
	if !ok {
		return
	}
	if _, err := f.sqs.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &f.o.QueueURL, MessageBody: m.Body}); err != nil {
		f.r.Fatal(err)
	}
	f.again(m)
}

// take is a worker up to its commit.
func (f *flow) take() error {
	ctx := context.Background()
	m, ok, err := f.receive(f.o.QueueURL)
	if err != nil || !ok {
		return err
	}
	t, err := po.DecodeTask(aws.ToString(m.Body))
	if err != nil {
		return err
	}
	if t.Kind == po.KindFinalize {
		return f.finalize(m, t)
	}
	c, err := f.ledger.Claim(ctx, t, "env", f.now().Add(flowLease), m.Attributes["ApproximateReceiveCount"] == "1")
	if err != nil {
		return err
	}
	switch c.State {
	case ledger.Done:
		if err := f.clear(t, c.Result); err != nil {
			return err
		}
		if c.Last {
			if err := f.sendFinalize(ctx, t.Job); err != nil {
				return err
			}
		}
		f.ack(m)
		return nil
	case ledger.Held:
		f.again(m)
		return nil
	case ledger.Claimed:
	default: // no job of a schedule before, and none is cancelled
		f.ack(m)
		return nil
	}
	k := &work{message: m, task: t, lease: c.Lease, result: po.Result{Job: t.Job, Row: t.Row, PO: t.PO}}
	k.result.Status = rapid.SampledFrom([]po.Status{po.Completed, po.Completed, po.Partial, po.NotFound, po.Failed}).Draw(f.r, "status")
	files := 0
	switch k.result.Status {
	case po.Completed:
		files = 2
	case po.Partial:
		files = 1
	case po.Failed:
		k.result.Code, k.result.InDLQ = po.CodeNetwork, true
	}
	for i := range files {
		if err := f.fuse.call(); err != nil {
			return err
		}
		key := fmt.Sprintf("download/%s/%s_%s/%d.pdf", t.Job, t.PO, k.result.Status, i+1)
		f.bucket[key] = t.PO
		k.result.Files = append(k.result.Files, po.File{Key: key})
	}
	f.works = append(f.works, k)
	return nil
}

// finish is a worker from its commit on.
func (f *flow) finish() error {
	if len(f.works) == 0 {
		return nil
	}
	ctx := context.Background()
	k := f.works[0]
	f.works = f.works[1:]
	if rapid.IntRange(0, 4).Draw(f.r, "fate") == 0 { // the try failed: it comes again
		if err := f.ledger.Release(ctx, k.lease, rapid.Bool().Draw(f.r, "refund")); err != nil {
			return err
		}
		f.again(k.message)
		return nil
	}
	committed, last, err := f.ledger.Commit(ctx, []ledger.Outcome{{Lease: k.lease, Result: k.result}})
	if err != nil {
		return err
	}
	if len(committed) == 0 { // overtaken
		f.again(k.message)
		return nil
	}
	if k.lease.Claims > 1 {
		if err := f.clear(k.task, k.result); err != nil {
			return err
		}
	}
	if k.result.InDLQ {
		if _, err := f.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &f.o.DLQURL, MessageBody: k.message.Body}); err != nil {
			return err
		}
	}
	if last {
		if err := f.sendFinalize(ctx, k.task.Job); err != nil {
			return err
		}
	}
	f.ack(k.message)
	return nil
}

// clear removes the PO's files that the result does not name.
func (f *flow) clear(t po.Task, r po.Result) error {
	if err := f.fuse.call(); err != nil {
		return err
	}
	maps.DeleteFunc(f.bucket, func(key string, n po.Number) bool {
		return n == t.PO && strings.HasPrefix(key, "download/"+t.Job+"/") &&
			!slices.ContainsFunc(r.Files, func(file po.File) bool { return file.Key == key })
	})
	return nil
}

// finalize is who writes the results.
func (f *flow) finalize(m types.Message, t po.Task) error {
	first, err := f.ledger.Finish(context.Background(), t.Job)
	if err != nil && !errors.Is(err, ledger.ErrNoJob) {
		return err
	}
	if first && t.Job == f.job {
		if f.ended {
			f.r.Fatal("the job was finished twice")
		}
		f.ended = true
	}
	f.ack(m)
	return nil
}

// settle ends the troubles and brings the job to its end, then checks all of it.
func (f *flow) settle() {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			f.r.Fatal(err)
		}
	}
	f.works = nil // they are killed
	must(f.HandleS3(ctx, f.event))
	var job ledger.Job
	for round := 0; ; round++ {
		for {
			before := f.counts()
			must(f.take())
			must(f.finish())
			f.look()
			if state, err := f.queueState(ctx, f.o.QueueURL); err != nil || state.visible == 0 && before == f.counts() {
				must(err)
				break
			}
		}
		var err error
		job, err = f.ledger.Job(ctx, f.job)
		must(err)
		if job.Ended() && f.counts() == 0 { // the last receive may have made a dead letter, which the next sweep sends anew
			report, err := f.Sweep(ctx)
			must(err)
			if report.Revived == 0 {
				break
			}
			continue
		}
		if round == 50 {
			f.r.Fatalf("the job does not end: %+v, %d messages", job, f.counts())
		}
		f.advance(20 * time.Minute)
		_, err = f.Sweep(ctx)
		must(err)
		f.look()
	}

	var counted po.Counters
	named := map[string]po.Number{}
	cleared := map[po.Number]bool{} // what tries that were cut off have left of the others, the try of a redrive clears
	for row, err := range f.ledger.Rows(ctx, f.job) {
		must(err)
		if !row.Status.Final() {
			f.r.Fatalf("row %d is %s", row.Row, row.Status)
		}
		if row.DuplicateOf != 0 {
			continue
		}
		counted.Add(row.Result, 1)
		cleared[row.PO] = !row.Status.Redrivable() && !f.lost[row.PO]
		for _, file := range row.Files {
			named[file.Key] = row.PO
		}
	}
	if counted.Done != job.Total || counted.Done != job.Counters.Done || counted.Files != job.Counters.Files {
		f.r.Fatalf("%d rows with %d files; the counters say %d and %d of %d", counted.Done, counted.Files, job.Counters.Done, job.Counters.Files, job.Total)
	}
	for status, n := range counted.ByStatus {
		if job.Counters.ByStatus[status] != n {
			f.r.Fatalf("%d rows are %s, %d are counted", n, status, job.Counters.ByStatus[status])
		}
	}
	for key, n := range named {
		if f.bucket[key] != n {
			f.r.Fatalf("%s is named by a row, and is not there", key)
		}
	}
	for key, n := range f.bucket {
		if named[key] == "" && cleared[n] {
			f.r.Fatalf("%s is there, and no row names it", key)
		}
	}
}
