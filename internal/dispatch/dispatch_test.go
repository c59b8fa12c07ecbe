package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

func TestASheetBecomesRowsAndMessages(t *testing.T) {
	w := newWorld(t)
	job := w.dispatched(w.drop("input/Ordres été (1).csv", `PO_NUMBER;STATUS;SUPPLIER;<|>;Year
PO16000001;;Acme;;2026
16000002;;"Müller & Söhne";;2025
n/a;;Acme;;2026

PO16000001;;Acme;;2026
PO16000003;COMPLETED;Acme;;2026
`))
	if job.State != ledger.Running || job.Total != 4 || job.Duplicates != 1 || job.Counters.Done != 2 || job.Name != "Ordres été (1).csv" {
		t.Fatalf("%+v", job)
	}
	tasks := w.take(w.o.QueueURL, false)
	slices.SortFunc(tasks, func(a, b po.Task) int { return a.Row - b.Row })
	if len(tasks) != 2 || tasks[0].Encode() != `{"v":1,"kind":"po","job":"`+job.ID+`","row":2,"po":"PO16000001","supplier":"Acme","levels":["2026"]}` ||
		tasks[1].PO != "16000002" || tasks[1].Supplier != "Müller & Söhne" {
		t.Fatalf("%+v", tasks)
	}
	rows := w.rows(job.ID)
	if len(rows) != 5 {
		t.Fatalf("%d rows", len(rows))
	}
	if r := rows[2]; r.Row != 4 || r.Status != po.Failed || r.Code != po.CodeInput || r.PO != "n/a" || !strings.Contains(r.Message, "column PO_NUMBER") {
		t.Errorf("the rejected row: %+v", r.Result)
	}
	if r := rows[3]; r.Row != 6 || r.Status != po.Pending || r.DuplicateOf != 2 {
		t.Errorf("the duplicate: %+v", r.Result)
	}
	if r := rows[4]; r.Row != 7 || r.Status != po.Completed || !r.Skipped {
		t.Errorf("the completed row: %+v", r.Result)
	}
	w.work(po.Completed, tasks...)
	if job = w.job(); !job.Complete() || job.Counters.ByStatus[po.Completed] != 3 {
		t.Errorf("%+v", job)
	}
}

func TestTheSameEventTwiceIsOneJob(t *testing.T) {
	w := newWorld(t)
	e := w.drop("input/pos.csv", pos(30))
	first := w.dispatched(e)
	w.advance(time.Hour)
	if again := w.dispatched(e); again.ID != first.ID {
		t.Fatalf("%s and %s", first.ID, again.ID)
	}
	if got, _ := w.messages(); !slices.Equal(got, lines(2, 31)) {
		t.Fatalf("messages for %v", got)
	}
	if other := w.dispatched(w.drop("input/pos.csv", pos(30))); other.ID == first.ID {
		t.Fatal("the same file dropped again is a new job")
	}
}

func TestAnEventTwiceAtOnceIsDispatchedByOne(t *testing.T) {
	w := newWorld(t)
	e := w.drop("input/pos.csv", pos(30))
	twin := false
	w.onSend = func(_ *sqs.SendMessageBatchInput, send func() (*sqs.SendMessageBatchOutput, error)) (*sqs.SendMessageBatchOutput, error) {
		if !twin {
			twin = true
			if err := w.HandleS3(t.Context(), e); err != nil {
				t.Error(err)
			}
		}
		return send()
	}
	w.o.Senders = 1
	w.dispatched(e)
	if got, _ := w.messages(); !twin || !slices.Equal(got, lines(2, 31)) {
		t.Fatalf("messages for %v", got)
	}
}

func TestForeignEventsAreIgnored(t *testing.T) {
	w := newWorld(t)
	w.drop("download/pos.csv", pos(1))
	for name, e := range map[string]events.S3Event{
		"a result":        w.event("ObjectCreated:Put", bucket, "results/j/pos_processed.csv", "e", "1"),
		"a document":      w.event("ObjectCreated:Put", bucket, "download/pos.csv", "e", "1"),
		"a like prefix":   w.event("ObjectCreated:Put", bucket, "inputs/pos.csv", "e", "1"),
		"a folder":        w.event("ObjectCreated:Put", bucket, "input/", "e", "1"),
		"another bucket":  w.event("ObjectCreated:Put", "somebody-elses", "input/pos.csv", "e", "1"),
		"a deletion":      w.event("ObjectRemoved:Delete", bucket, "input/pos.csv", "e", "1"),
		"the test event":  {},
		"a damaged event": {Records: []events.S3EventRecord{{EventName: "ObjectCreated:Put", S3: events.S3Entity{Object: events.S3Object{Key: "input/%zz"}}}}},
	} {
		if err := w.HandleS3(t.Context(), e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if jobs, err := w.ledger.Jobs(t.Context(), 10); err != nil || len(jobs) != 0 {
		t.Errorf("%v, %v", jobs, err)
	}
}

func TestAKeyIsDecodedAlsoInAnEventMadeByHand(t *testing.T) {
	w := newWorld(t)
	w.drop("input/a b+c.csv", pos(1))
	e := events.S3Event{Records: []events.S3EventRecord{{
		EventName: "s3:ObjectCreated:Put", EventTime: w.now(),
		S3: events.S3Entity{Bucket: events.S3Bucket{Name: bucket}, Object: events.S3Object{Key: "input/a+b%2Bc.csv"}},
	}}}
	if job := w.dispatched(e); job.Key != "input/a b+c.csv" || job.Total != 1 {
		t.Errorf("%+v", job)
	}
}

// TestADispatcherMayDieAnywhere lets it die after each of its calls in turn: the next invocation brings the job to the same end.
func TestADispatcherMayDieAnywhere(t *testing.T) {
	content := pos(12) + "n/a,Acme\nPO16000003,Acme\n" + "PO16000100,Acme\nPO16000101,Acme\n"
	wanted := append(lines(2, 13), 16, 17)
	w := newWorld(t)
	w.Dispatcher.window, w.o.Senders = 5, 1
	for calls := 0; ; calls++ {
		e := w.drop("input/pos.csv", content)
		w.fuse.arm(calls)
		err := w.HandleS3(t.Context(), e)
		if !w.fuse.mend() {
			if err != nil || calls < 10 {
				t.Fatalf("dispatched with %d calls: %v", calls, err)
			}
			break
		}
		if !errors.Is(err, errDead) {
			t.Fatalf("dead after %d calls: %v", calls, err)
		}
		sent, _ := w.messages()
		w.advance(rightTime)
		job := w.dispatched(e)
		if job.State != ledger.Running || job.Total != 15 || job.Duplicates != 1 || job.Counters.Done != 1 {
			t.Fatalf("dead after %d calls: %+v", calls, job)
		}
		more, finalize := w.messages()
		sent = append(sent, more...)
		slices.Sort(sent)
		if got := slices.Compact(slices.Clone(sent)); !slices.Equal(got, wanted) || finalize != 0 {
			t.Fatalf("dead after %d calls: messages for %v", calls, sent)
		}
		if len(sent) > len(wanted)+5 {
			t.Fatalf("dead after %d calls: %d messages, more than a window was sent twice", calls, len(sent))
		}
		if rows := w.rows(job.ID); len(rows) != 16 {
			t.Fatalf("dead after %d calls: %d rows", calls, len(rows))
		}
	}
}

func TestLambdasOwnRetryGoesOnAtOnce(t *testing.T) {
	w := newWorld(t)
	w.Dispatcher.window = 5
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
	e := w.drop("input/pos.csv", pos(20))
	w.fuse.arm(8)
	if err := w.HandleS3(ctx, e); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	w.fuse.mend()
	if err := w.HandleS3(ctx, e); err != nil {
		t.Fatal(err)
	}
	if job := w.job(); job.State != ledger.Running || job.Total != 20 {
		t.Fatalf("%+v", job)
	}
}

func TestADispatcherStopsBeforeItsDeadlineAndGoesOnWhenCalledAgain(t *testing.T) {
	w := newWorld(t)
	e := w.drop("input/pos.csv", pos(20))
	ctx, cancel := context.WithTimeout(t.Context(), w.o.Reserve-time.Second)
	defer cancel()
	if err := w.HandleS3(ctx, e); !errors.Is(err, ErrUnfinished) {
		t.Fatal(err)
	}
	if job := w.dispatched(e); job.State != ledger.Running { // at once: the first one gave its right back
		t.Fatalf("%+v", job)
	}
}

func TestEntriesThatSQSRefusesAreSentAgain(t *testing.T) {
	w := newWorld(t)
	calls := 0
	w.o.Senders = 1
	w.onSend = func(in *sqs.SendMessageBatchInput, send func() (*sqs.SendMessageBatchOutput, error)) (*sqs.SendMessageBatchOutput, error) {
		calls++
		if calls%3 == 0 || len(in.Entries) < 2 {
			return send()
		}
		all := in.Entries
		half := len(all) / 2
		in.Entries = all[:half]
		out, err := send()
		in.Entries = all
		if err == nil {
			for _, entry := range all[half:] {
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: entry.Id, Code: aws.String("ServiceUnavailable")})
			}
		}
		return out, err
	}
	w.dispatched(w.drop("input/pos.csv", pos(35)))
	w.onSend = nil
	if got, _ := w.messages(); !slices.Equal(got, lines(2, 36)) {
		t.Fatalf("messages for %v", got)
	}
}

func TestAnEntryThatSQSWillNeverTakeIsAnError(t *testing.T) {
	w := newWorld(t)
	w.onSend = func(in *sqs.SendMessageBatchInput, _ func() (*sqs.SendMessageBatchOutput, error)) (*sqs.SendMessageBatchOutput, error) {
		return &sqs.SendMessageBatchOutput{Failed: []types.BatchResultErrorEntry{{
			Id: in.Entries[0].Id, SenderFault: true, Code: aws.String("InvalidMessageContents"), Message: aws.String("bad"),
		}}}, nil
	}
	err := w.HandleS3(t.Context(), w.drop("input/pos.csv", pos(1)))
	if err == nil || !strings.Contains(err.Error(), "InvalidMessageContents") {
		t.Fatal(err)
	}
}

func TestASheetThatCannotBeReadIsAJobThatFails(t *testing.T) {
	w := newWorld(t)
	job := w.dispatched(w.drop("input/pos.csv", "%PDF-1.7\n%âãÏÓ\n1 0 obj\n"))
	if job.State != ledger.FailedJob || !strings.Contains(job.Error, "PDF") || !job.Complete() {
		t.Fatalf("%+v", job)
	}
	if got, finalize := w.messages(); len(got) != 0 || finalize != 1 {
		t.Fatalf("messages for %v, %d finalize", got, finalize)
	}
}

func TestASheetThatWasReplacedFailsItsJob(t *testing.T) {
	w := newWorld(t)
	old := w.drop("input/pos.csv", pos(1))
	newer := w.drop("input/pos.csv", pos(2))
	if job := w.dispatched(old); job.State != ledger.FailedJob || !strings.Contains(job.Error, "replaced") {
		t.Fatalf("%+v", job)
	}
	if job := w.dispatched(newer); job.State != ledger.Running || job.Total != 2 {
		t.Fatalf("%+v", job)
	}
}

func TestAJobWithNothingToFetchEndsAtOnce(t *testing.T) {
	w := newWorld(t)
	job := w.dispatched(w.drop("input/pos.csv", "PO_NUMBER,STATUS\nPO16000001,COMPLETED\nTBD,\n"))
	if job.State != ledger.Running || !job.Complete() || job.Total != 2 {
		t.Fatalf("%+v", job)
	}
	if got, finalize := w.messages(); len(got) != 0 || finalize != 1 {
		t.Fatalf("messages for %v, %d finalize", got, finalize)
	}
}

func TestAbsurdFolderLevelsAreARowsOwnTrouble(t *testing.T) {
	w := newWorld(t)
	columns := 1000
	header := "PO_NUMBER,<|>" + strings.Repeat(",Level", columns)
	job := w.dispatched(w.drop("input/pos.csv", header+"\nPO16000001,"+strings.Repeat(","+strings.Repeat("x", 45), columns)+"\nPO16000002,,ok\n"))
	if job.State != ledger.Running || job.Counters.ByCode[po.CodeInput] != 1 || job.Total != 2 {
		t.Fatalf("%+v", job)
	}
	if got, _ := w.messages(); !slices.Equal(got, []int{3}) {
		t.Fatalf("messages for %v", got)
	}
}

func TestACancelledJobIsDispatchedNoFurtherAndEnds(t *testing.T) {
	w := newWorld(t)
	w.Dispatcher.window, w.o.Senders = 10, 1
	w.onSend = func(_ *sqs.SendMessageBatchInput, send func() (*sqs.SendMessageBatchOutput, error)) (*sqs.SendMessageBatchOutput, error) {
		w.onSend = nil
		if err := w.Cancel(t.Context(), w.job().ID); err != nil {
			t.Error(err)
		}
		return send()
	}
	job := w.dispatched(w.drop("input/pos.csv", pos(100)))
	if job.State != ledger.Cancelled || job.Total != 10 || job.Counters.ByCode[po.CodeCancelled] != 10 {
		t.Fatalf("%+v", job)
	}
	if _, finalize := w.messages(); finalize == 0 {
		t.Fatal("nobody asked for the results")
	}
	if first, err := w.ledger.Finish(t.Context(), job.ID); err != nil || !first {
		t.Fatalf("%v, %v", first, err)
	}
}

func TestHandleTellsTheKindsOfEventsApart(t *testing.T) {
	w := newWorld(t)
	w.dispatched(w.drop("input/pos.csv", "PO_NUMBER,STATUS\nPO16000001,COMPLETED\n"))
	w.messages() // the finalize message is lost
	for _, name := range []string{"s3-test-event.json", "s3-wrong-prefix.json", "schedule.json"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "events", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Handle(t.Context(), raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, finalize := w.messages(); finalize != 1 {
		t.Error("the schedule did not start the sweeper")
	}
	for _, raw := range []string{`{}`, `[]`, `"x"`, `{"Records":7}`} {
		if err := w.Handle(t.Context(), json.RawMessage(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestJobIDsFollowFromTheEvent(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.FixedZone("", 3600))
	id := JobID("b", "input/2026/Ordres d'Été – São Paulo.csv", "v1", "0055", at)
	if id != JobID("b", "input/2026/Ordres d'Été – São Paulo.csv", "v1", "0055", at) {
		t.Error("the same event, another id")
	}
	if !strings.HasPrefix(id, "ordres-d-ete-sao-paulo-20260302T090000Z-") || len(id) != len("ordres-d-ete-sao-paulo-20260302T090000Z-")+8 {
		t.Error(id)
	}
	for _, other := range []string{
		JobID("c", "input/2026/Ordres d'Été – São Paulo.csv", "v1", "0055", at),
		JobID("b", "input/2025/Ordres d'Été – São Paulo.csv", "v1", "0055", at),
		JobID("b", "input/2026/Ordres d'Été – São Paulo.csv", "v2", "0055", at),
		JobID("b", "input/2026/Ordres d'Été – São Paulo.csv", "v1", "0056", at),
	} {
		if other == id {
			t.Error("another event, the same id")
		}
	}
	for key, want := range map[string]string{
		"input/pos.csv": "pos-", "input/.csv": "sheet-", "input/注文.csv": "sheet-", "input/POs.2026.xlsx": "pos-2026-",
		"input/" + strings.Repeat("a", 200) + ".csv": strings.Repeat("a", 40) + "-2026",
	} {
		if got := JobID("b", key, "", "", at); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", key, got)
		}
	}
}
