package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func newTestJournal(t *testing.T, path string) *journal {
	t.Helper()
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// asyncTest runs an asynchronous pump in virtual time.
type asyncTest struct {
	*asyncPump
	began time.Time
	stop  func()

	mu    sync.Mutex
	calls []string // "0s input/a.csv"
}

func newAsyncTest(t *testing.T, j *journal, invoke func(event string) error) *asyncTest {
	a := &asyncTest{began: time.Now()}
	a.asyncPump = newAsyncPump(j, &pool{all: make([]*environment, 2)}, DefaultRetryDelay, testLog(t))
	a.invoke = func(_ context.Context, event []byte) ([]byte, error) {
		a.mu.Lock()
		a.calls = append(a.calls, fmt.Sprint(time.Since(a.began), " ", string(event)))
		a.mu.Unlock()
		return []byte("null"), invoke(string(event))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.run(ctx) })
	a.stop = func() { cancel(); running.Wait() }
	return a
}

func (a *asyncTest) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

func (a *asyncTest) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := a.seen(); !slices.Equal(got, want) {
		t.Errorf("the function was invoked at %q, want %q", got, want)
	}
}

func (a *asyncTest) put(t *testing.T, event string) {
	t.Helper()
	if err := a.submit(event, []byte(`"`+event+`"`)); err != nil {
		t.Fatal(err)
	}
}

func pending(t *testing.T, j *journal) int {
	t.Helper()
	events, err := j.events()
	if err != nil {
		t.Fatal(err)
	}
	return len(events)
}

func TestEventIsTriedTwiceMoreAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newTestJournal(t, filepath.Join(t.TempDir(), "pumps.db"))
		defer j.close()
		a := newAsyncTest(t, j, func(string) error { return &functionError{Message: "no"} })
		defer a.stop()
		a.put(t, "a")
		time.Sleep(24 * time.Hour) // of virtual time
		a.expect(t, `0s "a"`, `1m0s "a"`, `3m0s "a"`)
		if n := pending(t, j); n != 0 {
			t.Errorf("%d events are left, want none", n)
		}
	})
}

func TestEventThatSucceedsIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newTestJournal(t, filepath.Join(t.TempDir(), "pumps.db"))
		defer j.close()
		tries := 0
		a := newAsyncTest(t, j, func(event string) error {
			if tries++; event == `"a"` && tries == 1 {
				return &functionError{Type: timeoutType}
			}
			return nil
		})
		defer a.stop()
		a.put(t, "a")
		synctest.Wait()
		a.put(t, "b")
		time.Sleep(time.Hour)
		a.expect(t, `0s "a"`, `0s "b"`, `1m0s "a"`)
		if n := pending(t, j); n != 0 {
			t.Errorf("%d events are left, want none", n)
		}
	})
}

func TestEventWaitsWhileNoEnvironmentStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newTestJournal(t, filepath.Join(t.TempDir(), "pumps.db"))
		defer j.close()
		tries := 0
		a := newAsyncTest(t, j, func(string) error {
			if tries++; tries <= 10 { // more often than a function may fail
				return errors.New("no memory")
			}
			return nil
		})
		defer a.stop()
		a.put(t, "a")
		time.Sleep(time.Hour)
		if n := len(a.seen()); n != 11 || pending(t, j) != 0 {
			t.Errorf("%d tries, %d events left; want 11 and none", n, pending(t, j))
		}
	})
}

func TestRestartGoesOnWithPendingEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pumps.db")
		j := newTestJournal(t, path)
		a := newAsyncTest(t, j, func(string) error { return &functionError{Message: "no"} })
		a.put(t, "failed once")
		time.Sleep(10 * time.Second)
		a.stop()
		a.put(t, "new") // while nothing runs
		if err := j.close(); err != nil {
			t.Fatal(err)
		}

		j = newTestJournal(t, path)
		defer j.close()
		a = newAsyncTest(t, j, func(string) error { return &functionError{Message: "no"} })
		defer a.stop()
		time.Sleep(time.Hour)
		a.expect(t, `0s "new"`, `50s "failed once"`, `1m0s "new"`, `2m50s "failed once"`, `3m0s "new"`)
	})
}

func TestInvocationCutOffByTheEndIsNoTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newTestJournal(t, filepath.Join(t.TempDir(), "pumps.db"))
		defer j.close()
		killed := make(chan struct{})
		a := newAsyncTest(t, j, func(string) error {
			<-killed
			return &functionError{Type: exitType}
		})
		a.put(t, "a")
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { a.stop(); close(stopped) }()
		synctest.Wait()
		close(killed)
		<-stopped
		events, err := j.events()
		if err != nil || len(events) != 1 || events[0].Failures != 0 {
			t.Errorf("the journal holds %+v (%v), want the event without a failure", events, err)
		}
	})
}

func TestNoMoreEventsRunAtOnceThanThereAreEnvironments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newTestJournal(t, filepath.Join(t.TempDir(), "pumps.db"))
		defer j.close()
		a := newAsyncTest(t, j, func(string) error { time.Sleep(time.Minute); return nil })
		defer a.stop()
		for _, event := range []string{"a", "b", "c"} {
			a.put(t, event)
		}
		time.Sleep(time.Second)
		if n := len(a.seen()); n != 2 {
			t.Errorf("%d invocations run at once, want 2", n)
		}
		time.Sleep(time.Hour)
		if seen := a.seen(); len(seen) != 3 || seen[2] != `1m0s "c"` {
			t.Errorf("the function was invoked at %q", seen)
		}
	})
}

func TestOnlyOneStackHasTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pumps.db")
	j := newTestJournal(t, path)
	defer j.close()
	if _, err := openJournal(path); !errors.Is(err, errLocked) {
		t.Errorf("a second one got %v, want %v", err, errLocked)
	}
}

// fakeQueue hands out batches and notes what is asked of it.
type fakeQueue struct {
	mu        sync.Mutex
	batches   [][]string // message ids of the answers to come
	failing   int        // receive requests that fail first
	undeleted int        // delete entries that fail first
	requests  []string
	deleted   []string
	visible   []string
}

func (q *fakeQueue) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failing > 0 {
		q.failing--
		return nil, errors.New("out of order")
	}
	q.requests = append(q.requests, fmt.Sprintf("up to %d within %ds", in.MaxNumberOfMessages, in.WaitTimeSeconds))
	if len(q.batches) == 0 {
		q.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(in.WaitTimeSeconds) * time.Second):
		}
		q.mu.Lock()
		return &sqs.ReceiveMessageOutput{}, ctx.Err()
	}
	out := &sqs.ReceiveMessageOutput{}
	for _, id := range q.batches[0] {
		out.Messages = append(out.Messages, types.Message{MessageId: aws.String(id), ReceiptHandle: aws.String("receipt of " + id)})
	}
	q.batches = q.batches[1:]
	return out, nil
}

func (q *fakeQueue) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		if q.undeleted > 0 {
			q.undeleted--
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Message: aws.String("later")})
			continue
		}
		q.deleted = append(q.deleted, strings.TrimPrefix(*e.ReceiptHandle, "receipt of "))
	}
	return out, nil
}

func (q *fakeQueue) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range in.Entries {
		if e.VisibilityTimeout == 0 {
			q.visible = append(q.visible, strings.TrimPrefix(*e.ReceiptHandle, "receipt of "))
		}
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{}, nil
}

func newTestQueuePump(t *testing.T, q *fakeQueue, invoke func() (string, error)) *queuePump {
	j := newTestJournal(t, filepath.Join(t.TempDir(), "pumps.db"))
	t.Cleanup(func() { _ = j.close() })
	return &queuePump{
		client: q, journal: j, queueURL: "the queue", batchSize: 10, concurrency: 1, log: testLog(t),
		invoke: func(context.Context, []byte) ([]byte, error) {
			answer, err := invoke()
			return []byte(answer), err
		},
	}
}

func TestWhatTheFunctionDidIsDeletedAndNothingElse(t *testing.T) {
	for _, test := range []struct {
		name    string
		answer  string
		err     error
		deleted []string
	}{
		{"all done", `{"batchItemFailures":[]}`, nil, []string{"a", "b"}},
		{"one handed back", `{"batchItemFailures":[{"itemIdentifier":"a"}]}`, nil, []string{"b"}},
		{"unusable answer", `{"batchItemFailures":[{"itemIdentifier":"z"}]}`, nil, nil},
		{"the function's error", "", &functionError{Message: "no"}, nil},
		{"time-out", "", timedOut(time.Second), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := &fakeQueue{batches: [][]string{{"a", "b"}}}
			p := newTestQueuePump(t, q, func() (string, error) { return test.answer, test.err })
			if err := p.step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(q.deleted, test.deleted) {
				t.Errorf("%v are deleted, want %v", q.deleted, test.deleted)
			}
			if err := p.giveBack(t.Context()); err != nil || len(q.visible) > 0 {
				t.Errorf("the visibility of %v was changed (%v), which Lambda does not", q.visible, err)
			}
		})
	}
}

func TestDeletionIsTriedAgain(t *testing.T) {
	q := &fakeQueue{batches: [][]string{{"a", "b", "c"}}, undeleted: 4}
	p := newTestQueuePump(t, q, func() (string, error) { return "null", nil })
	if err := p.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(q.deleted); !slices.Equal(q.deleted, []string{"a", "b", "c"}) {
		t.Errorf("%v are deleted, want all three", q.deleted)
	}
}

func TestBatchFillsWithinItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{batches: [][]string{{"a", "b", "c"}, {"d"}}}
		p := newTestQueuePump(t, q, func() (string, error) { return "null", nil })
		p.window = 2 * time.Second
		began := time.Now()
		if err := p.step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(q.deleted) != 4 || time.Since(began) != p.window {
			t.Errorf("a batch of %v was made in %s, want 4 messages in 2s", q.deleted, time.Since(began))
		}
		if want := []string{"up to 10 within 20s", "up to 7 within 2s", "up to 6 within 2s"}; !slices.Equal(q.requests, want) {
			t.Errorf("the queue was asked for %q, want %q", q.requests, want)
		}
	})
}

func TestPumpGoesOnAfterTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{batches: [][]string{{"a"}, {"b"}}, failing: 3}
		invocations := 0
		p := newTestQueuePump(t, q, func() (string, error) {
			if invocations++; invocations == 1 {
				return "", errors.New("no memory")
			}
			return "null", nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.run(ctx) })
		time.Sleep(time.Hour)
		cancel()
		running.Wait()
		if !slices.Equal(q.deleted, []string{"b"}) {
			t.Errorf("%v are deleted, want b only", q.deleted)
		}
	})
}

func TestWhatWasInHandIsGivenBackAtTheNextStart(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		err          error
		visible      []string
	}{
		{"killed", "", &functionError{Type: exitType}, []string{"a", "b"}},
		{"never reached", "", errClosing, []string{"a", "b"}},
		{"done", "null", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := &fakeQueue{batches: [][]string{{"a", "b"}}}
			ctx, stop := context.WithCancel(t.Context())
			p := newTestQueuePump(t, q, func() (string, error) {
				stop() // the stack closes while the function works
				return test.answer, test.err
			})
			p.run(ctx)
			if err := p.giveBack(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(q.visible, test.visible) {
				t.Errorf("%v are made visible, want %v", q.visible, test.visible)
			}
			q.visible = nil
			if err := p.giveBack(t.Context()); err != nil || len(q.visible) > 0 {
				t.Errorf("%v are given back twice (%v)", q.visible, err)
			}
		})
	}
}
