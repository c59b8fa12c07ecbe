//go:build linux

package download

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
	"github.com/purserhq/purser/internal/telemetry"
)

// patience bounds what must happen. It is long because the machine may be busy with other things.
const patience = 3 * time.Minute

// world is a downloader with a real Chromium, the demo portal, and real clients on local services.
type world struct {
	*Downloader
	t       testing.TB
	portal  *demo.Portal
	sqs     *sqs.Client
	log     *lines
	session *portal.Session
	jobs    int

	notified  []string // jobs that people were told are blocked
	finalized []string
	onFinal   error // what Finalize answers

	mu     sync.Mutex
	onPage func(w http.ResponseWriter, r *http.Request, digits string) bool // sees each request for a PO's page first; true answers it
}

// lines is the log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func chromium(t testing.TB) string {
	t.Helper()
	path, err := browser.Find(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func newWorld(t testing.TB, change ...func(*config.Settings)) *world {
	t.Helper()
	return newWorldOf(t, demo.Options{BulkPOs: true}, change...)
}

func newWorldOf(t testing.TB, o demo.Options, change ...func(*config.Settings)) *world {
	t.Helper()
	w := &world{t: t, log: &lines{}, portal: demo.New(o)}
	w.session = &portal.Session{Username: demo.DefaultLogin, Password: demo.DefaultPassword}
	front := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(front.Close)
	profile, err := portal.Load("demo")
	require.NoError(t, err)
	profile, err = profile.WithBaseURL(front.URL)
	require.NoError(t, err)

	services, err := local.OpenServices(local.ServicesOptions{Data: t.TempDir(), AccessKey: "test", SecretKey: "secret"})
	require.NoError(t, err)
	server := httptest.NewServer(services.Handler())
	t.Cleanup(func() {
		server.Close()
		assert.NoError(t, services.Close())
	})
	clients := cloud.New(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "secret", ""),
	})
	w.sqs = clients.SQS
	ctx := t.Context()
	_, err = clients.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("purser")})
	require.NoError(t, err)
	_, err = clients.DynamoDB.CreateTable(ctx, ledger.CreateTableInput("purser"))
	require.NoError(t, err)
	require.NoError(t, dynamodb.NewTableExistsWaiter(clients.DynamoDB).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("purser")}, time.Minute))

	settings, err := config.FromEnviron([]string{
		"BUCKET_NAME=purser", "TABLE_NAME=purser", "QUEUE_URL=" + w.queue("queue"), "DEAD_LETTER_QUEUE_URL=" + w.queue("dead"),
		"CHROMIUM_PATH=" + chromium(t), "WORKER_COUNT=2", "RETRY_DELAY=0", "LOG_LEVEL=debug",
	})
	require.NoError(t, err)
	for _, c := range change {
		c(&settings)
	}
	log, secrets := telemetry.NewLogger(telemetry.LogOptions{Out: w.log, Level: settings.LogLevel})
	w.Downloader, err = New(Options{
		Settings: settings, Archive: archive.New(clients.S3, "purser"), Queue: clients.SQS, Profile: profile,
		Ledger:  ledger.New(clients.DynamoDB, "purser", ledger.WithCircuitWait(time.Millisecond)),
		Session: func(context.Context) (*portal.Session, error) { return w.session, nil },
		Finalize: func(_ context.Context, job string) error {
			w.finalized = append(w.finalized, job)
			return w.onFinal
		},
		Notify: func(_ context.Context, j ledger.Job) error {
			w.notified = append(w.notified, j.ID)
			return nil
		},
		Log: log, Secrets: secrets, Metrics: telemetry.NewMetrics(io.Discard, "Purser", "test"), TempDir: t.TempDir(),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, w.shutdown())
		assert.Empty(t, w.chromiums(), "processes are left of Chromium")
		if t.Failed() {
			t.Log(w.log)
		}
	})
	return w
}

func (w *world) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.Shutdown(ctx)
}

func (w *world) queue(name string) string {
	out, err := w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	require.NoError(w.t, err)
	return *out.QueueUrl
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	look := w.onPage
	w.mu.Unlock()
	digits, page := strings.CutPrefix(r.URL.Path, "/order_headers/")
	if page && look != nil && !strings.Contains(digits, "/") && look(rw, r, digits) {
		return
	}
	w.portal.ServeHTTP(rw, r)
}

func (w *world) watchPages(f func(w http.ResponseWriter, r *http.Request, digits string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onPage = f
}

// bulk are n POs of the demo portal, each with two PDFs.
func bulk(n int) []po.Number {
	list := make([]po.Number, n)
	for i := range list {
		list[i] = po.Number(fmt.Sprintf("PO%d", demo.BulkFirst+i))
	}
	return list
}

// job records a job of the POs and returns their tasks.
func (w *world) job(numbers ...po.Number) (string, []po.Task) {
	w.t.Helper()
	ctx := w.t.Context()
	w.jobs++
	id := fmt.Sprintf("job-%d", w.jobs)
	_, _, err := w.Ledger.CreateJob(ctx, ledger.Job{ID: id, Name: "pos.csv", Bucket: "purser", Key: "input/pos.csv", Created: time.Now()})
	require.NoError(w.t, err)
	tasks := make([]po.Task, len(numbers))
	for i, n := range numbers {
		tasks[i] = po.Task{Kind: po.KindPO, Job: id, Row: i + 2, PO: n}
	}
	for some := range slices.Chunk(tasks, 100) {
		require.NoError(w.t, w.Ledger.PutRows(ctx, id, some))
	}
	_, err = w.Ledger.SetTotal(ctx, id, int64(len(tasks)))
	require.NoError(w.t, err)
	return id, tasks
}

// event sends the bodies through the queue, and is what the event source mapping makes of them. What came back to the queue
// before is taken away.
func (w *world) event(bodies ...string) events.SQSEvent {
	w.t.Helper()
	w.receive(w.Settings.QueueURL)
	for _, body := range bodies {
		_, err := w.sqs.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: &w.Settings.QueueURL, MessageBody: &body})
		require.NoError(w.t, err)
	}
	var e events.SQSEvent
	for _, m := range w.receive(w.Settings.QueueURL) {
		e.Records = append(e.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes, EventSource: "aws:sqs",
		})
	}
	require.Len(w.t, e.Records, len(bodies))
	return e
}

func (w *world) tasks(tasks ...po.Task) events.SQSEvent {
	w.t.Helper()
	bodies := make([]string, len(tasks))
	for i, t := range tasks {
		bodies[i] = t.Encode()
	}
	return w.event(bodies...)
}

// receive takes everything that is visible in the queue.
func (w *world) receive(queue string) (all []types.Message) {
	w.t.Helper()
	for {
		out, err := w.sqs.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: 900, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		require.NoError(w.t, err)
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
	}
}

// handle is an invocation, in which the time is no trouble; its context ends with it, as Lambda's does. The answer is the POs
// that come again.
func (w *world) handle(e events.SQSEvent) []po.Number {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	return w.handleWithin(ctx, e)
}

func (w *world) handleWithin(ctx context.Context, e events.SQSEvent) []po.Number {
	w.t.Helper()
	answer, err := w.Handle(ctx, e)
	assert.NoError(w.t, err)
	return again(e, answer)
}

// again are the POs of the messages that the answer names, in order.
func again(e events.SQSEvent, answer events.SQSEventResponse) (numbers []po.Number) {
	for _, m := range e.Records {
		for _, f := range answer.BatchItemFailures {
			if f.ItemIdentifier == m.MessageId {
				t, _ := po.DecodeTask(m.Body)
				numbers = append(numbers, t.PO)
			}
		}
	}
	return numbers
}

// rows are the job's rows by their POs.
func (w *world) rows(job string) map[po.Number]ledger.Row {
	w.t.Helper()
	rows := map[po.Number]ledger.Row{}
	for row, err := range w.Ledger.Rows(w.t.Context(), job) {
		require.NoError(w.t, err)
		rows[row.Task.PO] = row
	}
	return rows
}

func (w *world) state(job string) ledger.Job {
	w.t.Helper()
	j, err := w.Ledger.Job(w.t.Context(), job)
	require.NoError(w.t, err)
	return j
}

// assertUntouched asserts that the rows wait as if nobody had ever begun them.
func (w *world) assertUntouched(job string) {
	w.t.Helper()
	for n, row := range w.rows(job) {
		assert.Equal(w.t, po.Pending, row.Status, n)
		assert.Zero(w.t, row.Lease.Attempt, "%s lost a try", n)
		assert.False(w.t, row.Leased(time.Now()), "%s is still leased", n)
	}
	assert.Zero(w.t, w.state(job).Counters.Done)
}

// assertCompleted asserts that every row was completed in its first try, and that its files are what the portal has.
func (w *world) assertCompleted(job string) {
	w.t.Helper()
	files := map[string]int64{}
	for o, err := range w.Archive.List(w.t.Context(), "download/"+job+"/") {
		require.NoError(w.t, err)
		files[o.Key] = o.Bytes
	}
	want := map[string]int64{}
	rows := w.rows(job)
	for n, row := range rows {
		truth, ok := w.portal.Find(n)
		require.True(w.t, ok)
		assert.Equal(w.t, po.Completed, row.Status, "%s: %s", n, row.ErrorMessage())
		assert.Equal(w.t, 1, row.Attempt, "%s: tries", n)
		for _, f := range truth.Files {
			want[archive.Folder(job, nil, truth.Supplier, n, po.Completed)+"/"+f.Name] = f.Bytes
		}
	}
	assert.Equal(w.t, want, files)
	assert.EqualValues(w.t, len(rows), w.state(job).Counters.ByStatus[po.Completed])
}

// logged are the log's lines with the text in their message or fields.
func (w *world) logged(text string) (found []map[string]any) {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()) {
		if !strings.Contains(line, text) {
			continue
		}
		var fields map[string]any
		require.NoError(w.t, json.Unmarshal([]byte(line), &fields))
		found = append(found, fields)
	}
	return found
}

// chromiums are the processes of the world's browsers: their groups' leaders name the world's directory.
func (w *world) chromiums() map[int]int {
	groups, members := map[int]bool{}, map[int]int{} // pid: group
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(w.t, err)
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		// "pid (name) state parent group …"; the name may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if fields[0] == "Z" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		group, _ := strconv.Atoi(fields[2])
		members[pid] = group
		if line, err := os.ReadFile(filepath.Dir(file) + "/cmdline"); err == nil && bytes.Contains(line, []byte("="+w.TempDir+"/")) {
			groups[group] = true
		}
	}
	maps.DeleteFunc(members, func(_, group int) bool { return !groups[group] })
	return members
}

// kill ends every browser of the world at once.
func (w *world) kill() { w.signal(syscall.SIGKILL) }

// signal sends all processes of Chromium the signal.
func (w *world) signal(s syscall.Signal) {
	for _, group := range w.chromiums() {
		if err := syscall.Kill(-group, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			w.t.Errorf("sending Chromium a %v: %v", s, err)
		}
	}
}
