package report

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

const bucket = "purser"

// world is a finalizer with real clients on local services, at a time that only the test moves.
type world struct {
	*Finalizer
	t  *testing.T
	s3 *s3.Client
	ns atomic.Int64

	mu      sync.Mutex
	notices []string // subjects
	stored  []string // keys of the results that were uploaded
	refused string   // the key of which no upload is taken

	// onStore is called before each upload of a result.
	onStore func(key string)
	// onPublish is what publishing answers.
	onPublish error
}

func (w *world) now() time.Time          { return time.Unix(0, w.ns.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.ns.Add(int64(d)) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.ns.Store(started.UnixNano())
	services, err := local.OpenServices(local.ServicesOptions{Data: t.TempDir(), AccessKey: "test", SecretKey: "secret"})
	require.NoError(t, err)
	front := httptest.NewServer(w.watch(services.Handler()))
	t.Cleanup(func() {
		front.Close()
		assert.NoError(t, services.Close())
	})
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(front.URL),
		Credentials: credentials.NewStaticCredentialsProvider("test", "secret", ""),
	}
	w.s3 = s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = w.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	tables := dynamodb.NewFromConfig(config)
	_, err = tables.CreateTable(t.Context(), ledger.CreateTableInput("purser"))
	require.NoError(t, err)
	log := logrus.New()
	log.SetOutput(io.Discard)
	w.Finalizer = &Finalizer{
		Ledger: ledger.New(tables, "purser", ledger.WithClock(w.now)), Archive: archive.New(w.s3, bucket), Log: log, Now: w.now,
		Publish: func(_ context.Context, subject, _ string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.notices = append(w.notices, subject)
			return w.onPublish
		},
	}
	return w
}

// watch sees every upload of a result.
func (w *world) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.URL.Path, "/"+bucket+"/results/")
		if !ok || r.Method != http.MethodPut {
			next.ServeHTTP(rw, r)
			return
		}
		w.mu.Lock()
		_, name, _ := strings.Cut(key, "/")
		w.stored = append(w.stored, name)
		refused, onStore := w.refused == name, w.onStore
		w.mu.Unlock()
		if onStore != nil {
			onStore(name)
		}
		if refused {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// job drops a sheet and records its rows; those that have a result are final at once.
func (w *world) job(id, content string, tasks []po.Task, results ...po.Result) ledger.Job {
	w.t.Helper()
	ctx, key := w.t.Context(), "input/"+id+".csv"
	out, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(content)})
	require.NoError(w.t, err)
	_, created, err := w.Ledger.CreateJob(ctx, ledger.Job{
		ID: id, Name: id + ".csv", Bucket: bucket, Key: key, ETag: strings.Trim(aws.ToString(out.ETag), `"`), Created: w.now(),
	})
	require.NoError(w.t, err)
	require.True(w.t, created)
	for i := range tasks {
		tasks[i].Version, tasks[i].Kind, tasks[i].Job = po.MessageVersion, po.KindPO, id
	}
	total := int64(len(tasks))
	for i := range results {
		results[i].Job = id
		if results[i].DuplicateOf == 0 {
			total++
		}
	}
	require.NoError(w.t, w.Ledger.PutRows(ctx, id, tasks))
	require.NoError(w.t, w.Ledger.PutResults(ctx, id, results))
	job, err := w.Ledger.SetTotal(ctx, id, total)
	require.NoError(w.t, err)
	return job
}

const sheetOfFour = "PO_NUMBER,SUPPLIER,Year\nPO16900001,Acme,2026\nPO16900002,Acme,2026\nPO16900001,Acme,2026\nTBD,,2026\n"

// jobOfFour has two POs to be worked, on the lines 2 and 3, one that is repeated, and a line that was rejected.
func (w *world) jobOfFour(id string) []po.Task {
	w.t.Helper()
	tasks := []po.Task{{Row: 2, PO: "PO16900001", Supplier: "Acme"}, {Row: 3, PO: "PO16900002", Supplier: "Acme"}}
	w.job(
		id, sheetOfFour, tasks,
		po.Result{Row: 4, PO: "PO16900001", DuplicateOf: 2},
		po.Result{Row: 5, PO: "TBD", Status: po.Failed, Code: po.CodeInput, Message: "TBD is no PO number", ProcessedAt: w.now()},
	)
	return tasks
}

// work commits the row of the task with the status and that many files.
func (w *world) work(t po.Task, status po.Status, files int) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	c, err := w.Ledger.Claim(ctx, t, "env", w.now().Add(time.Minute), false)
	require.NoError(w.t, err)
	require.Equal(w.t, ledger.Claimed, c.State)
	r := po.Result{
		Job: t.Job, Row: t.Row, PO: t.PO, Status: status, Supplier: t.Supplier, Found: files, ProcessedAt: w.now(),
		URL: "https://portal.test/order_headers/" + t.PO.Digits(), Duration: 750 * time.Millisecond,
	}
	if !status.Success() {
		r.Code, r.Message, r.InDLQ = po.CodeNetwork, "the portal did not answer", true
	}
	if files > 0 {
		r.Folder = archive.Folder(t.Job, t.Levels, t.Supplier, t.PO, status)
	}
	for n := range files {
		name := fmt.Sprintf("invoice %d.pdf", n+1)
		r.Files = append(r.Files, po.File{
			Name: name, Key: r.Folder + "/" + name, Source: po.FromPO, SourceID: t.PO.Digits(), Bytes: 1000, SHA256: strings.Repeat("0f", 32),
			ContentType: "application/pdf", OriginalName: "invoice: " + name, URL: "https://portal.test/attachment/attachment_file/file/" + name,
		})
	}
	committed, _, err := w.Ledger.Commit(ctx, []ledger.Outcome{{Lease: c.Lease, Result: r}})
	require.NoError(w.t, err)
	require.Len(w.t, committed, 1)
}

func (w *world) finalize(id string) {
	w.t.Helper()
	require.NoError(w.t, w.Finalize(w.t.Context(), id))
}

func (w *world) state(id string) ledger.Job {
	w.t.Helper()
	job, err := w.Ledger.Job(w.t.Context(), id)
	require.NoError(w.t, err)
	return job
}

// results are the job's results by their names.
func (w *world) results(id string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for o, err := range w.Archive.List(w.t.Context(), archive.ResultKey(id, "")) {
		require.NoError(w.t, err)
		body, _, err := w.Archive.Open(w.t.Context(), o.Key, "", "")
		require.NoError(w.t, err)
		content, err := io.ReadAll(body)
		require.NoError(w.t, err)
		require.NoError(w.t, body.Close())
		all[strings.TrimPrefix(o.Key, archive.ResultKey(id, ""))] = string(content)
	}
	return all
}

func names(results map[string]string) []string { return slices.Sorted(maps.Keys(results)) }

func summaryIn(t *testing.T, results map[string]string) Summary {
	t.Helper()
	var s Summary
	require.NoError(t, json.Unmarshal([]byte(results[SummaryName]), &s))
	return s
}
