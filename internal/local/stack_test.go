package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// testOptions are those of a small stack whose functions are the test's.
func testOptions(t *testing.T) (o Options, notes string) {
	t.Helper()
	function, emulator := build(t)
	notes = t.TempDir()
	return Options{
		Data: t.TempDir(), Listen: "127.0.0.1:0", Dispatcher: function, Downloader: function, RIE: emulator,
		Environments: 1, DispatcherTimeout: 30 * time.Second, DownloaderTimeout: 30 * time.Second, SweepEvery: -1,
		Env: []string{"NOTES=" + notes}, Freeze: true, Log: testLog(t),
	}, notes
}

func startStack(t *testing.T, o Options) *Stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeStack(t, s)
		for _, e := range s.Environments() {
			if log, err := os.ReadFile(e.Log); err == nil && t.Failed() {
				t.Logf("%s-%d said:\n%s", e.Function, e.Number, log)
			}
		}
	})
	return s
}

// closeStack ends the stack without giving its functions time.
func closeStack(t *testing.T, s *Stack) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if left := marked(t, s.mark()); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func send(t *testing.T, s *Stack, bodies ...string) {
	t.Helper()
	client := sqs.NewFromConfig(s.AWSConfig())
	for chunk := range slices.Chunk(bodies, 10) {
		in := &sqs.SendMessageBatchInput{QueueUrl: &s.QueueURL}
		for i, body := range chunk {
			in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)})
		}
		out, err := client.SendMessageBatch(t.Context(), in)
		if err != nil || len(out.Failed) > 0 {
			t.Fatalf("sending %v: %v %+v", chunk, err, out)
		}
	}
}

// depth counts a queue's messages, those in flight too.
func depth(t *testing.T, s *Stack, url string) string {
	t.Helper()
	out, err := sqs.NewFromConfig(s.AWSConfig()).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s visible, %s in flight",
		out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesNotVisible"])
}

func putObject(t *testing.T, s *Stack, key string) {
	t.Helper()
	_, err := s3Client(s).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.Bucket, Key: &key, Body: strings.NewReader("PO_NUMBER\n")})
	if err != nil {
		t.Fatal(err)
	}
}

func s3Client(s *Stack) *s3.Client {
	return s3.NewFromConfig(s.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
}

// noted reads what the function wrote down under the name, oldest first.
func noted(t *testing.T, notes, name string) []string {
	t.Helper()
	var all []string
	for i := 1; ; i++ {
		data, err := os.ReadFile(filepath.Join(notes, fmt.Sprintf("%s.%d", name, i)))
		if err != nil {
			return all
		}
		all = append(all, string(data))
	}
}

func TestFullQueueDrainsWithExactlyMaxConcurrencyEnvironments(t *testing.T) {
	o, notes := testOptions(t)
	o.Environments, o.MaxConcurrency, o.BatchSize = 4, 3, 2
	s := startStack(t, o)
	var bodies []string
	for i := range 30 {
		bodies = append(bodies, fmt.Sprintf(`{"do":"meet","n":3,"name":"%d"}`, i))
	}
	send(t, s, bodies...)
	eventually(t, "the queue is empty", func() bool { return depth(t, s, s.QueueURL) == "0 visible, 0 in flight" })
	for i := range bodies {
		if receives := noted(t, notes, fmt.Sprintf("done-%d", i)); !slices.Equal(receives, []string{"1"}) {
			t.Errorf("message %d was done at receives %v, want once, at the first", i, receives)
		}
	}
	if !exists(filepath.Join(notes, "together-3")) || exists(filepath.Join(notes, "together-4")) {
		t.Error("the functions did not see exactly 3 of them at work at once")
	}
	used := 0
	for _, e := range s.Environments() {
		if e.Function == DownloaderName && e.Starts > 0 {
			used++
		}
	}
	if used != 3 {
		t.Errorf("%d environments were used, want 3", used)
	}
	for _, batch := range noted(t, notes, "batch") {
		var e events.SQSEvent
		if err := json.Unmarshal([]byte(batch), &e); err != nil || len(e.Records) > 2 {
			t.Errorf("a batch had %d messages (%v), want at most 2", len(e.Records), err)
		}
	}
}

func TestMessageOfATimedOutEnvironmentComesBack(t *testing.T) {
	o, notes := testOptions(t)
	o.DownloaderTimeout, o.Visibility = 2*time.Second, 2*time.Second
	s := startStack(t, o)
	send(t, s, `{"do":"hang-once","name":"a"}`)
	eventually(t, "the message was done", func() bool { return len(noted(t, notes, "done-a")) == 1 })
	e := s.Environments()[2]
	if e.Timeouts < 1 || e.Starts != e.Timeouts+1 {
		t.Errorf("the environment is %+v, want a time-out and a start after it", e)
	}
	if receives := noted(t, notes, "done-a"); receives[0] != fmt.Sprint(e.Timeouts+1) {
		t.Errorf("it was done at receive %s after %d time-outs", receives[0], e.Timeouts)
	}
}

func TestOnlyWhatFailedGoesBackToTheQueueAndAtLastToTheDeadLetters(t *testing.T) {
	o, notes := testOptions(t)
	o.Visibility, o.MaxReceives = time.Second, 2
	s := startStack(t, o)
	send(t, s, `{"name":"good"}`, `{"do":"return-once","name":"returned"}`, `{"do":"return","name":"bad"}`)
	eventually(t, "one message is dead", func() bool { return depth(t, s, s.DLQURL) == "1 visible, 0 in flight" })
	eventually(t, "the queue is empty", func() bool { return depth(t, s, s.QueueURL) == "0 visible, 0 in flight" })
	if receives := noted(t, notes, "done-good"); !slices.Equal(receives, []string{"1"}) {
		t.Errorf("the good message was done at receives %v, want once", receives)
	}
	if receives := noted(t, notes, "done-returned"); !slices.Equal(receives, []string{"2"}) {
		t.Errorf("the returned message was done at receives %v, want once, at the second", receives)
	}
}

func TestDroppedSheetReachesTheDispatcher(t *testing.T) {
	o, notes := testOptions(t)
	s := startStack(t, o)
	for _, key := range []string{"download/job/a.csv", "input/read me.md", "input/Pedidos nº 7 (São Paulo).csv"} {
		putObject(t, s, key)
	}
	eventually(t, "the event arrived", func() bool { return len(noted(t, notes, "object")) > 0 })
	// Events are delivered in their order: whatever the others could cause would have come before this one.
	putObject(t, s, "input/last.csv")
	eventually(t, "the last event arrived", func() bool { return len(noted(t, notes, "object")) > 1 })
	var keys []string
	for _, event := range noted(t, notes, "object") {
		var e events.S3Event
		if err := json.Unmarshal([]byte(event), &e); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Records[0].S3.Object.URLDecodedKey)
		if e.Records[0].S3.Object.Sequencer == "" || e.Records[0].S3.Object.ETag == "" || e.Records[0].S3.Bucket.Name != s.Bucket {
			t.Errorf("the event lacks something: %s", event)
		}
	}
	if want := []string{"input/Pedidos nº 7 (São Paulo).csv", "input/last.csv"}; !slices.Equal(keys, want) {
		t.Errorf("the dispatcher was told of %q, want %q", keys, want)
	}
}

func TestFailedDispatchIsTriedTwiceMore(t *testing.T) {
	o, notes := testOptions(t)
	o.RetryDelay = time.Millisecond
	s := startStack(t, o)
	putObject(t, s, "input/fail.csv")
	eventually(t, "the event was given up", func() bool { return pending(t, s.journal) == 0 })
	if n := len(noted(t, notes, "object")); n != 3 {
		t.Errorf("the dispatcher got the event %d times, want 3", n)
	}
}

func TestSweepReachesTheDispatcher(t *testing.T) {
	o, notes := testOptions(t)
	o.SweepEvery = 20 * time.Millisecond
	s := startStack(t, o)
	eventually(t, "scheduled events arrive", func() bool { return len(noted(t, notes, "schedule")) >= 2 })
	if err := s.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRestartKeepsStateAndGoesOnAtOnce(t *testing.T) {
	o, notes := testOptions(t)
	o.Session = []byte(`{"username":"a"}`)
	s := startStack(t, o)
	// The dispatcher and the downloader both hang when the stack ends. The message would stay hidden for a minute.
	putObject(t, s, "input/hang-once.csv")
	send(t, s, `{"do":"hang-once","name":"a"}`)
	eventually(t, "both functions hang", func() bool {
		return len(noted(t, notes, "hanging")) == 1 && exists(filepath.Join(notes, "object-hung"))
	})
	_, err := dynamodb.NewFromConfig(s.AWSConfig()).PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: &s.Table, Item: map[string]dynamotypes.AttributeValue{
			"PK": &dynamotypes.AttributeValueMemberS{Value: "kept"}, "SK": &dynamotypes.AttributeValueMemberS{Value: "kept"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStack(t, s)

	o.Session = nil
	again := startStack(t, o)
	eventually(t, "the message was done", func() bool { return len(noted(t, notes, "done-a")) == 1 })
	eventually(t, "the event was delivered again", func() bool {
		return len(noted(t, notes, "object")) == 2 && pending(t, again.journal) == 0
	})
	item, err := dynamodb.NewFromConfig(again.AWSConfig()).GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &again.Table, Key: map[string]dynamotypes.AttributeValue{
			"PK": &dynamotypes.AttributeValueMemberS{Value: "kept"}, "SK": &dynamotypes.AttributeValueMemberS{Value: "kept"},
		},
	})
	if err != nil || item.Item == nil {
		t.Errorf("the item is gone (%v)", err)
	}
	secret, err := secretsmanager.NewFromConfig(again.AWSConfig()).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &again.SecretARN})
	if err != nil || aws.ToString(secret.SecretString) != `{"username":"a"}` {
		t.Errorf("the secret holds %q (%v)", aws.ToString(secret.SecretString), err)
	}
	file, err := os.ReadFile(filepath.Join(o.Data, again.Bucket, "input", "hang-once.csv"))
	if err != nil || !bytes.Equal(file, []byte("PO_NUMBER\n")) {
		t.Errorf("the sheet holds %q (%v)", file, err)
	}
}

func TestSecondStackOnTheSameDirectoryIsRefused(t *testing.T) {
	o, _ := testOptions(t)
	o.ServicesOnly = true
	s := startStack(t, o)
	_, err := Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "already runs") || !strings.Contains(err.Error(), s.Endpoint()) ||
		!strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second stack gave %v, want an error that says where the first one is", err)
	}
	closeStack(t, s)
	startStack(t, o)
}

func TestServicesOnlyHasNoEnvironments(t *testing.T) {
	s := startStack(t, Options{Data: t.TempDir(), Listen: "127.0.0.1:0", ServicesOnly: true})
	if e := s.Environments(); len(e) != 0 {
		t.Errorf("there are environments: %v", e)
	}
	if err := s.Sweep(t.Context()); err == nil {
		t.Error("a sweep without a dispatcher succeeded")
	}
	putObject(t, s, "input/a.csv")
}

func TestUnusableOptionsAreExplained(t *testing.T) {
	function, emulator := build(t)
	for want, o := range map[string]Options{
		"data directory":             {Dispatcher: function, Downloader: function, RIE: emulator},
		"the dispatcher's binary":    {Data: t.TempDir(), Downloader: function, RIE: emulator},
		"the downloader's binary":    {Data: t.TempDir(), Dispatcher: function, Downloader: "/does/not/exist", RIE: emulator},
		"runtime interface emulator": {Data: t.TempDir(), Dispatcher: function, Downloader: function, RIE: "/etc/passwd"},
	} {
		s, err := Start(t.Context(), o)
		if err == nil {
			closeStack(t, s)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
}
