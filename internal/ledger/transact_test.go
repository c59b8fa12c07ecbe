package ledger

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/purserhq/purser/internal/po"
)

// TestRowsShareTransactions holds the code to the figures of "Throughput" in the package comment.
func TestRowsShareTransactions(t *testing.T) {
	plain, c := newLedger(t)
	var sizes []int
	l := New(newClientOf(plain, func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("count", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if write, ok := in.Parameters.(*dynamodb.TransactWriteItemsInput); ok {
				sizes = append(sizes, len(write.TransactItems))
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
	}), plain.table, WithClock(c.now))
	tasks := startJob(t, l, "j", 200)
	if want := []int{3, 100, 100, 3}; !slices.Equal(sizes, want) { // the job; 99 rows and the job twice; the rest
		t.Errorf("200 rows were recorded in transactions of %v items, want %v", sizes, want)
	}
	var outcomes []Outcome
	for _, task := range tasks[:60] {
		outcomes = append(outcomes, Outcome{claimed(t, l, task, "env", c.now().Add(time.Minute)), result(task, po.Completed, 2)})
	}
	sizes = nil
	if _, _, err := l.Commit(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	if want := []int{26, 26, 11}; !slices.Equal(sizes, want) {
		t.Errorf("60 rows were committed in transactions of %v items, want %v", sizes, want)
	}

	// Large results: a transaction holds 4 MB.
	outcomes, sizes = nil, nil
	for _, task := range tasks[60:80] {
		r := result(task, po.Completed, 5000)
		for i := range r.Files {
			r.Files[i].SHA256 = fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, task.Row, i)))
		}
		outcomes = append(outcomes, Outcome{claimed(t, l, task, "env", c.now().Add(time.Minute)), r})
	}
	if _, _, err := l.Commit(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	if len(sizes) < 2 {
		t.Errorf("20 rows of 5,000 files each were committed in transactions of %v items", sizes)
	}
	mustMatch(t, t.Context(), l, "j")
	j, err := l.Job(t.Context(), "j")
	if err != nil || j.Counters.Done != 80 {
		t.Fatalf("%+v, %v", j, err)
	}
}

func TestTheJobsItemStaysBelowOneWriteUnit(t *testing.T) {
	l, c := newLedger(t)
	tasks := startJob(t, l, "ordres-ete-20260302T090000Z-0123abcd", len(po.Statuses))
	var outcomes []Outcome
	for i, task := range tasks {
		outcomes = append(outcomes, Outcome{claimed(t, l, task, "env", c.now().Add(time.Minute)), result(task, po.Statuses[i], 3)})
	}
	if _, _, err := l.Commit(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetBlocked(t.Context(), tasks[0].Job, "NETWORK_ERROR: the portal answers 503 Service Unavailable"); err != nil {
		t.Fatal(err)
	}
	it, err := l.get(t.Context(), key(jobPK(tasks[0].Job), jobSK))
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for name, v := range it {
		size += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += (len(v.Value)+1)/2 + 1
		}
	}
	if size > 1024 {
		t.Errorf("the job's item has %d bytes", size)
	}
}

func TestACallThatMayNotBeRepeatedFailsAtOnce(t *testing.T) {
	l, _ := newLedger(t)
	l.table = "no-such-table"
	if _, err := l.Job(t.Context(), "j"); err == nil {
		t.Error("read from no table")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tries := 0
	err := l.retry(ctx, func() error {
		tries++
		return &types.ProvisionedThroughputExceededException{}
	})
	if err == nil || tries != 1 {
		t.Errorf("%d tries after the context had ended, %v", tries, err)
	}
}
