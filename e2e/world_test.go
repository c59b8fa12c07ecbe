// Package e2e holds the tests of Purser's promises end to end: real function processes and a real Chromium on the local stack,
// against a demo portal whose faults the tests switch. docs/guarantees.md says which test proves which promise.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/dispatch"
	"github.com/purserhq/purser/internal/download"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/report"
)

// patience bounds every wait: far more than anything takes on a slow machine.
const patience = 4 * time.Minute

// binaryDir is where binaries has built, "" before.
var binaryDir string

// binaries builds the functions with the points at which they can be killed, and the emulator, once.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "purser-e2e-")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	build := exec.Command("go", "build", "-tags", "faults", "-o", dir+"/", "./functions/dispatcher", "./functions/downloader",
		"github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if options := os.Getenv(hostVariable); options != "" { // this process is the stack of a chaos run
		os.Exit(host(options))
	}
	code := m.Run()
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

// portal is a demo portal that remembers when it was asked.
type portal struct {
	*demo.Portal
	URL string

	mu    sync.Mutex
	asked []time.Time
}

func newPortal(t *testing.T, o demo.Options) *portal {
	t.Helper()
	p := &portal{Portal: demo.New(o)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/analytics/") {
			p.mu.Lock()
			p.asked = append(p.asked, time.Now())
			p.mu.Unlock()
		}
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.URL = server.URL
	return p
}

// requests are the times of all requests so far.
func (p *portal) requests() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// signIn is a session that the portal's form renews.
func signIn() []byte {
	return mustMarshal(map[string]string{"username": demo.DefaultLogin, "password": demo.DefaultPassword})
}

// cookies is a session that nobody can renew but by putting another one.
func (p *portal) cookies() []byte {
	at, err := url.Parse(p.URL)
	if err != nil {
		panic(err)
	}
	c := p.NewSession()
	return mustMarshal([]map[string]string{{"name": c.Name, "value": c.Value, "domain": at.Hostname(), "path": "/"}})
}

func mustMarshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// options are those of a stack about the portal whose invocations are short, so that what a killed one had in hand comes back
// soon.
func options(t *testing.T, p *portal, env ...string) local.Options {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	o := local.Options{
		Data: t.TempDir(), Listen: "127.0.0.1:0", Environments: 1, Session: signIn(), Freeze: true, SweepEvery: -1,
		Dispatcher: filepath.Join(dir, "dispatcher"), Downloader: filepath.Join(dir, "downloader"), RIE: filepath.Join(dir, "aws-lambda-rie"),
		DownloaderTimeout: 15 * time.Second, Visibility: 16 * time.Second, RetryDelay: time.Second,
		Env: append([]string{"PORTAL_PROFILE=demo", "PORTAL_BASE_URL=" + p.URL, "RETRY_DELAY=1", "CIRCUIT_WAIT=1"}, env...),
	}
	if chromium, err := filepath.Abs("../layers/chromium/build/chromium/chromium"); os.Getenv("CHROMIUM_PATH") != "" {
		o.Env = append(o.Env, "CHROMIUM_PATH="+os.Getenv("CHROMIUM_PATH"))
	} else if _, missing := os.Stat(chromium); err == nil && missing == nil {
		o.Env = append(o.Env, "CHROMIUM_PATH="+chromium)
	}
	return o
}

// world is a stack as its operator sees it.
type world struct {
	t       *testing.T
	portal  *portal
	data    string
	names   local.Names
	clients *cloud.Clients
	ledger  *ledger.Ledger
	files   *archive.Archive
	stack   *local.Stack // nil when it is another process's
}

// start runs a stack in this process until the test ends.
func start(t *testing.T, p *portal, o local.Options) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stack, err := local.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		if err := stack.Close(now); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			showLogs(t, stack.LogDir())
		}
	})
	w := attach(t, p, o.Data, stack.AWSConfig(), stack.Names)
	w.stack = stack
	return w
}

// showLogs says what the functions had to say that was no success.
func showLogs(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Log(err)
	}
	for _, file := range logs {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Log(err)
			continue
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, `"level":"warn`) || strings.Contains(line, `"level":"err`) || strings.Contains(line, "panic") {
				t.Logf("%s: %.700s", filepath.Base(file), line)
			}
		}
	}
}

func attach(t *testing.T, p *portal, data string, cfg aws.Config, names local.Names) *world {
	w := &world{t: t, portal: p, data: data, names: names, clients: cloud.New(cfg)}
	w.ledger = ledger.New(w.clients.DynamoDB, names.Table)
	w.files = archive.New(w.clients.S3, names.Bucket)
	return w
}

// dispatcher is the operator's: it cancels, redrives and sweeps as of the time.
func (w *world) dispatcher(now func() time.Time) *dispatch.Dispatcher {
	quiet := logrus.New()
	quiet.SetLevel(logrus.PanicLevel)
	return dispatch.New(dispatch.Options{
		Ledger: w.ledger, Archive: w.files, SQS: w.clients.SQS, QueueURL: w.names.QueueURL, DLQURL: w.names.DLQURL, Log: quiet, Now: now,
	})
}

// wait looks again and again until it is so.
func (w *world) wait(what string, so func(context.Context) (bool, error)) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := until(ctx, so); err != nil {
		w.t.Fatalf("waiting for %s: %v", what, err)
	}
}

func until(ctx context.Context, so func(context.Context) (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := so(ctx)
		if err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drop puts a sheet of the POs into the bucket and returns its job's id.
func (w *world) drop(numbers ...po.Number) string {
	w.t.Helper()
	return w.dropFile("pos.csv", sheetOf(numbers))
}

func sheetOf(numbers []po.Number) string {
	var sheet strings.Builder
	sheet.WriteString("PO_NUMBER;Note\n")
	for i, n := range numbers {
		fmt.Fprintf(&sheet, "%s;row %d\n", n, i+1)
	}
	return sheet.String()
}

func (w *world) dropFile(name, content string) string {
	w.t.Helper()
	key := dispatch.Prefix + name
	before, err := w.ledger.Jobs(w.t.Context(), 100)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.clients.S3.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &w.names.Bucket, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		w.t.Fatal(err)
	}
	var job string
	w.wait("the sheet's job", func(ctx context.Context) (bool, error) {
		jobs, err := w.ledger.Jobs(ctx, 100)
		for _, j := range jobs {
			if !slices.ContainsFunc(before, func(known ledger.Job) bool { return known.ID == j.ID }) {
				job = j.ID
			}
		}
		return job != "", err
	})
	return job
}

// job reads the job as it is now.
func (w *world) job(id string) ledger.Job {
	w.t.Helper()
	job, err := w.ledger.Job(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// when waits until the job is so.
func (w *world) when(what, id string, so func(ledger.Job) bool) ledger.Job {
	w.t.Helper()
	var job ledger.Job
	w.wait(what, func(ctx context.Context) (_ bool, err error) {
		job, err = w.ledger.Job(ctx, id)
		return so(job), err
	})
	return job
}

// ended waits for the job's end, and for a queue in which nothing is left.
func (w *world) ended(id string) ledger.Job {
	w.t.Helper()
	job := w.when("the end of the job", id, ledger.Job.Ended)
	w.wait("an empty queue", func(ctx context.Context) (bool, error) {
		n, err := w.depth(ctx, w.names.QueueURL)
		return n == 0, err
	})
	return job
}

func (w *world) rows(job string) []ledger.Row {
	w.t.Helper()
	var rows []ledger.Row
	for row, err := range w.ledger.Rows(w.t.Context(), job) {
		if err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// depth counts a queue's messages, hidden ones too.
func (w *world) depth(ctx context.Context, queue string) (int, error) {
	out, err := w.clients.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return 0, err
	}
	total := 0
	for _, name := range []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	} {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		total += n
	}
	return total, nil
}

// letters waits for so many dead letters and returns their bodies with their reasons; they can be received again at once.
func (w *world) letters(want int) map[string]string {
	w.t.Helper()
	w.wait(fmt.Sprintf("%d dead letters", want), func(ctx context.Context) (bool, error) {
		n, err := w.depth(ctx, w.names.DLQURL)
		return n == want, err
	})
	found := map[string]string{}
	var received []types.Message
	w.wait("reading the dead letters", func(ctx context.Context) (bool, error) {
		out, err := w.clients.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &w.names.DLQURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			return false, err
		}
		for _, m := range out.Messages {
			found[aws.ToString(m.Body)] = aws.ToString(m.MessageAttributes[download.ReasonAttribute].StringValue)
		}
		received = append(received, out.Messages...)
		return len(found) == want, nil
	})
	for _, m := range received {
		_, err := w.clients.SQS.ChangeMessageVisibility(w.t.Context(), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &w.names.DLQURL, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return found
}

// outcome is what a job leaves, without what differs from run to run: its id, the portal's address, and times.
type outcome struct {
	Files    map[string]string // SHA-256 by path below download/<job>/
	Result   [][]string        // the result CSV
	Counters po.Counters
	State    ledger.JobState
}

// outcome reads what the job left, and checks what must be true of every job that has ended.
func (w *world) outcome(id string) outcome {
	w.t.Helper()
	job := w.job(id)
	o := outcome{Files: w.tree(id), Result: w.result(id, job.Name), Counters: job.Counters, State: job.State}

	var counted po.Counters
	stored := map[string]string{}
	for _, row := range w.rows(id) {
		if !row.Status.Final() {
			w.t.Errorf("row %d (%s) is %s", row.Row, row.PO, row.Status)
		}
		if row.DuplicateOf != 0 {
			continue
		}
		counted.Add(row.Result, 1)
		for _, f := range row.Files {
			stored[strings.TrimPrefix(f.Key, "download/"+id+"/")] = f.SHA256
		}
	}
	counted.ByCode, counted.ByStatus = nonZero(counted.ByCode), nonZero(counted.ByStatus)
	if diff := cmp.Diff(counted, job.Counters); diff != "" {
		w.t.Errorf("rows (-) and counters (+):\n%s", diff)
	}
	if diff := cmp.Diff(stored, o.Files); diff != "" {
		w.t.Errorf("files that rows name (-) and that are there (+):\n%s", diff)
	}
	if !job.Complete() || !job.Ended() || job.Blocked != "" {
		w.t.Errorf("the job is not at its end: %+v", job)
	}
	return o
}

func nonZero[K comparable](m map[K]int64) map[K]int64 {
	kept := map[K]int64{}
	for k, n := range m {
		if n != 0 {
			kept[k] = n
		}
	}
	return kept
}

// tree is every file of the job with its SHA-256.
func (w *world) tree(job string) map[string]string {
	w.t.Helper()
	dir := filepath.Join(w.data, w.names.Bucket, "download", job)
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		rel, err := filepath.Rel(dir, p)
		files[filepath.ToSlash(rel)] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return files
}

// result reads the job's result CSV.
func (w *world) result(job, name string) [][]string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.data, w.names.Bucket, "results", job, report.ResultName(name)))
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(bytes.TrimPrefix(data, []byte("\ufeff"))), job, "JOB")
	r := csv.NewReader(strings.NewReader(strings.ReplaceAll(text, w.portal.URL, "PORTAL")))
	r.Comma, r.FieldsPerRecord = ';', -1
	records, err := r.ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	times := slices.Index(records[0], "LAST_PROCESSED")
	for _, record := range records[1:] {
		record[times] = ""
	}
	return records
}

// statuses are the result CSV's, by PO.
func (o outcome) statuses() map[po.Number]po.Status {
	number, status := slices.Index(o.Result[0], "PO_NUMBER"), slices.Index(o.Result[0], "STATUS")
	found := map[po.Number]po.Status{}
	for _, record := range o.Result[1:] {
		found[po.Number(record[number])] = po.Status(record[status])
	}
	return found
}

// truth is what must come of the POs: their files, and their statuses.
func (p *portal) truth(t *testing.T, numbers []po.Number) (files map[string]string, statuses map[po.Number]po.Status) {
	t.Helper()
	files, statuses = map[string]string{}, map[po.Number]po.Status{}
	for _, n := range numbers {
		o, ok := p.Find(n)
		if !ok {
			o = demo.PO{Number: n, Status: po.NotFound}
		}
		statuses[n] = o.Status
		for _, f := range o.Files {
			folder := strings.TrimPrefix(archive.Folder("job", nil, o.Supplier, n, o.Status), "download/job/")
			files[path.Join(folder, f.Name)] = f.SHA256
		}
	}
	return files, statuses
}

// wantTruth checks the outcome against the portal's truth.
func (w *world) wantTruth(o outcome, numbers ...po.Number) {
	w.t.Helper()
	files, statuses := w.portal.truth(w.t, numbers)
	if diff := cmp.Diff(files, o.Files); diff != "" {
		w.t.Errorf("files, wanted (-) and got (+):\n%s", diff)
	}
	if diff := cmp.Diff(statuses, o.statuses()); diff != "" {
		w.t.Errorf("statuses, wanted (-) and got (+):\n%s", diff)
	}
}
