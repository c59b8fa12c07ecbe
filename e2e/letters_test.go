package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/report"
)

func TestMessagesThatNobodyCanReadGoToTheDeadLetterQueueWithTheReason(t *testing.T) {
	t.Parallel()
	p := newPortal(t, demo.Options{})
	w := start(t, p, options(t, p))
	reasons := map[string]string{ // by message
		`order PO16900001, please`:                                            "not JSON",
		`{"v":99,"kind":"po","job":"j","row":2,"po":"PO16900001"}`:            "version 99",
		`{"v":1,"kind":"burn","job":"j","row":2,"po":"PO16900001"}`:           `unknown kind "burn"`,
		`{"v":1,"kind":"po","job":"j"}`:                                       "names no PO",
		`{"v":1,"kind":"po","job":"another-stack's","row":2,"po":"PO169001"}`: "knows no job",
		`{"v":1,"kind":"finalize","job":"another-stack's"}`:                   "knows no job",
	}
	for body := range reasons {
		if _, err := w.clients.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &w.names.QueueURL, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	for body, why := range w.letters(len(reasons)) {
		if reasons[body] == "" || !strings.Contains(why, reasons[body]) {
			t.Errorf("%s lies there for %q, want %q", body, why, reasons[body])
		}
	}
	w.wait("an empty queue", func(ctx context.Context) (bool, error) {
		n, err := w.depth(ctx, w.names.QueueURL)
		return n == 0, err
	})
	if stats := p.Stats(); stats.Requests != 0 {
		t.Errorf("the portal was asked %d times", stats.Requests)
	}
}

// TestRedrivenPOsComeBackWithTheirCountersAndTheReportAnew lets one PO's page fail until its tries are used up, and brings it back
// in both ways that operators have.
func TestRedrivenPOsComeBackWithTheirCountersAndTheReportAnew(t *testing.T) {
	const broken po.Number = "PO16900001"
	numbers := []po.Number{broken, "PO16900002", "PO16900029", broken} // the last row repeats the first one's PO
	for name, redrive := range map[string]func(*world, string) error{
		"purser redrive": func(w *world, job string) error {
			n, err := w.dispatcher(time.Now).Redrive(t.Context(), job)
			if n != 1 {
				t.Errorf("%d rows were opened, want 1", n)
			}
			return err
		},
		"the console's redrive": func(w *world, _ string) error {
			arns := map[string]string{w.names.DLQURL: "", w.names.QueueURL: ""}
			for queue := range arns {
				out, err := w.clients.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
					QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
				})
				if err != nil {
					return err
				}
				arns[queue] = out.Attributes[string(types.QueueAttributeNameQueueArn)]
			}
			_, err := w.clients.SQS.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{
				SourceArn: aws.String(arns[w.names.DLQURL]), DestinationArn: aws.String(arns[w.names.QueueURL]),
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPortal(t, demo.Options{})
			p.SetFaults(demo.Faults{Path: "/order_headers/" + broken.Digits(), Status: 500})
			o := options(t, p)
			o.MaxReceives = 2
			o.DownloaderTimeout, o.Visibility = time.Minute, 0 // no try is to be lost to a slow machine
			w := start(t, p, o)
			id := w.drop(numbers...)
			w.ended(id)
			before := w.outcome(id)
			if got := before.statuses()[broken]; got != po.Failed {
				t.Errorf("%s is %s", broken, got)
			}
			if s := w.summary(id); s.TotalPOs != 3 || s.ByStatus[po.Failed] != 1 {
				t.Errorf("%+v", s)
			}
			for _, row := range w.rows(id) {
				if row.InDLQ != (row.PO == broken) {
					t.Errorf("row %d, %s: in DLQ %v", row.Row, row.PO, row.InDLQ)
				}
			}
			for _, why := range w.letters(1) {
				if !strings.Contains(why, "NETWORK_ERROR") || !strings.Contains(why, "500") {
					t.Errorf("its message lies there for %q", why)
				}
			}

			p.SetFaults(demo.Faults{})
			if err := redrive(w, id); err != nil {
				t.Fatal(err)
			}
			w.when("the end of the redriven job", id, func(j ledger.Job) bool { return j.Ended() && j.Counters.ByStatus[po.Failed] == 0 })
			w.ended(id)
			w.wantTruth(w.outcome(id), numbers...)
			if s := w.summary(id); s.TotalPOs != 3 || s.ByStatus[po.Failed] != 0 || s.ByStatus[po.Completed] != 2 {
				t.Errorf("%+v", s)
			}
			if n, err := w.depth(t.Context(), w.names.DLQURL); err != nil || n != 0 {
				t.Errorf("%d dead letters, %v", n, err)
			}
		})
	}
}

// summary reads the job's summary.json.
func (w *world) summary(job string) report.Summary {
	w.t.Helper()
	var s report.Summary
	data, err := os.ReadFile(filepath.Join(w.data, w.names.Bucket, "results", job, report.SummaryName))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// TestACancelledJobEndsAndWhatWasUnderWayIsKept cancels a job while the portal keeps its first POs waiting.
func TestACancelledJobEndsAndWhatWasUnderWayIsKept(t *testing.T) {
	t.Parallel()
	p := newPortal(t, demo.Options{})
	p.SetFaults(demo.Faults{Path: "/order_headers/", Hang: true})
	o := options(t, p, "WORKER_COUNT=2")
	o.DownloaderTimeout, o.Visibility = time.Minute, 0
	w := start(t, p, o)
	id := w.drop("PO16900001", "PO16900002", "PO16900003", "PO16900004", "PO16900010", "PO16900020")
	w.wait("two POs under way", func(context.Context) (bool, error) {
		leased := 0
		for _, row := range w.rows(id) {
			if row.Leased(time.Now()) {
				leased++
			}
		}
		return leased == 2, nil
	})
	if err := w.dispatcher(time.Now).Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.SetFaults(demo.Faults{})
	w.ended(id)
	got := w.outcome(id)
	if got.State != ledger.Cancelled || got.Counters.ByStatus[po.Completed] != 2 || got.Counters.ByCode[po.CodeCancelled] != 4 {
		t.Errorf("%s, %+v", got.State, got.Counters)
	}
	if n, err := w.depth(t.Context(), w.names.DLQURL); err != nil || n != 0 {
		t.Errorf("%d dead letters, %v", n, err)
	}
}

// TestALostMessageIsSettledByTheSweeperAndRedriven deletes a message from the queue by hand.
func TestALostMessageIsSettledByTheSweeperAndRedriven(t *testing.T) {
	t.Parallel()
	p := newPortal(t, demo.Options{})
	p.SetFaults(demo.Faults{Path: "/order_headers/", Hang: true})
	o := options(t, p)
	o.BatchSize = 1
	o.DownloaderTimeout, o.Visibility = time.Minute, 0
	w := start(t, p, o)
	numbers := []po.Number{"PO16900001", "PO16900002"}
	id := w.drop(numbers...)
	w.wait("one of the messages", func(ctx context.Context) (bool, error) {
		out, err := w.clients.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &w.names.QueueURL, WaitTimeSeconds: 1})
		if err != nil || len(out.Messages) == 0 {
			return false, err
		}
		_, err = w.clients.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &w.names.QueueURL, ReceiptHandle: out.Messages[0].ReceiptHandle})
		return true, err
	})
	p.SetFaults(demo.Faults{})
	w.when("the other PO's end", id, func(j ledger.Job) bool { return j.TotalKnown && j.Counters.Done == 1 })
	w.wait("an empty queue", func(ctx context.Context) (bool, error) {
		n, err := w.depth(ctx, w.names.QueueURL)
		return n == 0, err
	})
	if err := w.stack.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if job := w.job(id); job.Counters.Done != 1 {
		t.Fatalf("the sweeper is too fast: %+v", job.Counters)
	}
	later := w.dispatcher(func() time.Time { return time.Now().Add(20 * time.Minute) })
	if got, err := later.Sweep(t.Context()); err != nil || got.Lost != 1 || got.Finalized != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	w.ended(id)
	if got := w.outcome(id); got.Counters.ByStatus[po.Failed] != 1 || got.Counters.ByStatus[po.Completed] != 1 {
		t.Errorf("%+v", got.Counters)
	}
	if n, err := later.Redrive(t.Context(), id); err != nil || n != 1 {
		t.Fatalf("%d rows, %v", n, err)
	}
	w.ended(id)
	w.wantTruth(w.outcome(id), numbers...)
}
