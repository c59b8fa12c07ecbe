package ledger

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	localdynamodb "github.com/purserhq/purser/internal/local/dynamodb"
	"github.com/purserhq/purser/internal/po"
)

// clock is a time source that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// newClient is a client of a local DynamoDB of its own.
func newClient(t *testing.T) *dynamodb.Client {
	t.Helper()
	server, err := localdynamodb.Open(localdynamodb.Options{Path: filepath.Join(t.TempDir(), "tables"), Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", HTTPClient: direct{server},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

// direct hands requests to the server without a connection, which is most of a call's time.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// newLedger is a ledger on an empty table of the local DynamoDB, at a time that only the test moves.
func newLedger(t *testing.T) (*Ledger, *clock) {
	t.Helper()
	client, c := newClient(t), newClock()
	if _, err := client.CreateTable(t.Context(), CreateTableInput("purser")); err != nil {
		t.Fatal(err)
	}
	return New(client, "purser", WithClock(c.now)), c
}

// startJob is a job with that many rows to be worked, on the lines from 2 on.
func startJob(t *testing.T, l *Ledger, id string, rows int) []po.Task {
	t.Helper()
	ctx := t.Context()
	if _, created, err := l.CreateJob(ctx, Job{ID: id, Name: "pos.csv", Bucket: "b", Key: "input/pos.csv", Created: l.now()}); err != nil || !created {
		t.Fatalf("created %v, error %v", created, err)
	}
	var tasks []po.Task
	for n := range rows {
		tasks = append(tasks, po.Task{
			Version: po.MessageVersion, Kind: po.KindPO, Job: id, Row: n + 2, PO: po.Number(fmt.Sprintf("PO%08d", n+1)),
			Supplier: "Acme", Levels: []string{"2026", "Q1"},
		})
	}
	if err := l.PutRows(ctx, id, tasks); err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetTotal(ctx, id, int64(rows)); err != nil {
		t.Fatal(err)
	}
	return tasks
}

func claimed(t *testing.T, l *Ledger, task po.Task, owner string, until time.Time) Lease {
	t.Helper()
	c, err := l.Claim(t.Context(), task, owner, until, false)
	if err != nil || c.State != Claimed {
		t.Fatalf("claim of row %d: %+v, error %v", task.Row, c, err)
	}
	return c.Lease
}

func result(task po.Task, status po.Status, files int) po.Result {
	r := po.Result{PO: task.PO, Status: status, Supplier: task.Supplier, Found: files}
	for n := range files {
		r.Files = append(r.Files, po.File{Name: fmt.Sprintf("%d.pdf", n), Source: po.FromPO, Bytes: 100, SHA256: "00"})
	}
	if !status.Success() {
		r.Code, r.Message = po.CodeNetwork, "the portal did not answer"
	}
	return r
}

// mustMatch fails unless the job's counters are what its rows add up to.
func mustMatch(t interface {
	Helper()
	Fatalf(string, ...any)
}, ctx context.Context, l *Ledger, id string,
) Job {
	t.Helper()
	j, err := l.Job(ctx, id)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var want po.Counters
	want.ByStatus, want.ByCode = map[po.Status]int64{}, map[po.ErrorCode]int64{}
	last := 0
	for r, err := range l.Rows(ctx, id) {
		if err != nil {
			t.Fatalf("%v", err)
		}
		if r.Row <= last {
			t.Fatalf("row %d after row %d", r.Row, last)
		}
		last = r.Row
		if r.Status.Final() && r.DuplicateOf == 0 {
			want.Add(r.Result, 1)
		}
	}
	if fmt.Sprint(j.Counters) != fmt.Sprint(want) {
		t.Fatalf("job %s counts %v, its rows add up to %v", id, j.Counters, want)
	}
	return j
}
