package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the server's time, moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a server with a real client, which can be restarted.
type bench struct {
	*client.Client
	t      *testing.T
	path   string
	clock  *clock
	server *Server
	http   *httptest.Server
}

func start(t *testing.T) *bench {
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "sqs.db"), clock: &clock{t: time.Now()}}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bench) open() {
	var err error
	b.server, err = Open(Options{Path: b.path, Region: "eu-central-1", Now: b.clock.now})
	require.NoError(b.t, err)
	b.http = httptest.NewServer(b.server)
	b.Client = client.New(client.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(b.http.URL), HTTPClient: b.http.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}

func (b *bench) close() {
	require.NoError(b.t, b.server.Close())
	b.http.Close()
}

func (b *bench) restart() {
	b.close()
	b.open()
}

func (b *bench) queue(name string, attributes map[string]string) *string {
	out, err := b.CreateQueue(b.t.Context(), &client.CreateQueueInput{QueueName: &name, Attributes: attributes})
	require.NoError(b.t, err)
	// The URL names the port of now; the name alone stays true over a restart.
	return aws.String(b.http.URL + (*out.QueueUrl)[strings.Index(*out.QueueUrl, "/"+Account):])
}

// withDeadLetters makes a queue whose messages are given up after so many receipts.
func (b *bench) withDeadLetters(most int) (queue, deadLetters *string) {
	deadLetters = b.queue("dead", nil)
	return b.queue("work", map[string]string{"RedrivePolicy": fmt.Sprintf(
		`{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:%s:dead","maxReceiveCount":%d}`, Account, most)}), deadLetters
}

func (b *bench) send(queue *string, bodies ...string) {
	for _, body := range bodies {
		_, err := b.SendMessage(b.t.Context(), &client.SendMessageInput{QueueUrl: queue, MessageBody: &body})
		require.NoError(b.t, err)
	}
}

// receive takes what is visible now.
func (b *bench) receive(queue *string) []types.Message { return b.receiveWithin(queue, 0) }

func (b *bench) receiveWithin(queue *string, seconds int32) []types.Message {
	out, err := b.ReceiveMessage(b.t.Context(), &client.ReceiveMessageInput{
		QueueUrl: queue, MaxNumberOfMessages: 10, WaitTimeSeconds: seconds, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	require.NoError(b.t, err)
	return out.Messages
}

func (b *bench) count(queue *string) (visible, inFlight, delayed string) {
	out, err := b.GetQueueAttributes(b.t.Context(), &client.GetQueueAttributesInput{
		QueueUrl: queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(b.t, err)
	return out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesNotVisible"],
		out.Attributes["ApproximateNumberOfMessagesDelayed"]
}

func bodies(messages []types.Message) []string {
	out := []string{}
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return out
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestAMessageArrivesWithItsAttributesAndIsGoneWhenDeleted(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	_, err := b.SendMessage(t.Context(), &client.SendMessageInput{
		QueueUrl: q, MessageBody: aws.String(`{"po":"ü <1>"}`),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"trace": {DataType: aws.String("String"), StringValue: aws.String("t-1")},
			"blob":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
		},
	})
	require.NoError(t, err) // the client has compared the checksums
	got := b.receive(q)
	require.Equal(t, []string{`{"po":"ü <1>"}`}, bodies(got))
	require.Equal(t, "t-1", *got[0].MessageAttributes["trace"].StringValue)
	require.Equal(t, []byte{0, 255}, got[0].MessageAttributes["blob"].BinaryValue)
	require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"])
	_, err = b.DeleteMessage(t.Context(), &client.DeleteMessageInput{QueueUrl: q, ReceiptHandle: got[0].ReceiptHandle})
	require.NoError(t, err)
	b.clock.pass(time.Hour)
	require.Empty(t, b.receive(q))
}

func TestAReceivedMessageComesBackAfterItsVisibilityTimeout(t *testing.T) {
	b := start(t)
	q := b.queue("q", map[string]string{"VisibilityTimeout": "60"})
	b.send(q, "a")
	require.Len(t, b.receive(q), 1)
	b.clock.pass(59 * time.Second)
	require.Empty(t, b.receive(q))
	b.clock.pass(time.Second)
	again := b.receive(q)
	require.Len(t, again, 1)
	require.Equal(t, "2", again[0].Attributes["ApproximateReceiveCount"])
}

func TestVisibilityCanBeChangedWhileAMessageIsInFlight(t *testing.T) {
	b := start(t)
	q := b.queue("q", map[string]string{"VisibilityTimeout": "60"})
	b.send(q, "a")
	change := func(m types.Message, seconds int32) error {
		_, err := b.ChangeMessageVisibility(t.Context(), &client.ChangeMessageVisibilityInput{
			QueueUrl: q, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
		})
		return err
	}
	first := b.receive(q)[0]
	require.NoError(t, change(first, 600))
	b.clock.pass(599 * time.Second)
	require.Empty(t, b.receive(q), "a longer time-out hides it longer")
	require.NoError(t, change(first, 0))
	again := b.receive(q)
	require.Len(t, again, 1, "no time-out shows it at once")
	b.clock.pass(time.Minute)
	require.Equal(t, "AWS.SimpleQueueService.MessageNotInflight", code(change(again[0], 10)))
}

func TestADelayedMessageIsCountedAndWaits(t *testing.T) {
	b := start(t)
	q := b.queue("q", map[string]string{"DelaySeconds": "5"})
	b.send(q, "late")
	_, err := b.SendMessage(t.Context(), &client.SendMessageInput{QueueUrl: q, MessageBody: aws.String("later"), DelaySeconds: 900})
	require.NoError(t, err)
	require.Empty(t, b.receive(q))
	_, _, delayed := b.count(q)
	require.Equal(t, "2", delayed)
	b.clock.pass(5 * time.Second)
	require.Equal(t, []string{"late"}, bodies(b.receive(q)))
	visible, inFlight, delayed := b.count(q)
	require.Equal(t, []string{"0", "1", "1"}, []string{visible, inFlight, delayed})
}

func TestAMessageIsDroppedAfterTheRetentionPeriod(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	b.send(q, "a")
	b.clock.pass(4*24*time.Hour - time.Second)
	visible, _, _ := b.count(q)
	require.Equal(t, "1", visible)
	b.clock.pass(time.Second)
	require.Empty(t, b.receive(q))
	visible, _, _ = b.count(q)
	require.Equal(t, "0", visible)
}

func TestABatchTellsWhatFailedEntryByEntry(t *testing.T) {
	b := start(t)
	q := b.queue("q", map[string]string{"MaximumMessageSize": "1024"})
	out, err := b.SendMessageBatch(t.Context(), &client.SendMessageBatchInput{QueueUrl: q, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("good"), MessageBody: aws.String("a")},
		{Id: aws.String("long"), MessageBody: aws.String(strings.Repeat("x", 1025))},
		{Id: aws.String("control"), MessageBody: aws.String("a\x01")},
	}})
	require.NoError(t, err)
	require.Len(t, out.Successful, 1)
	require.Equal(t, "good", *out.Successful[0].Id)
	require.Len(t, out.Failed, 2)
	require.Equal(t, []string{"long", "InvalidParameterValue"}, []string{*out.Failed[0].Id, *out.Failed[0].Code})
	require.Equal(t, []string{"control", "InvalidMessageContents"}, []string{*out.Failed[1].Id, *out.Failed[1].Code})
	require.True(t, out.Failed[0].SenderFault)
}

func TestAWholeBatchIsRefusedWhenItBreaksALimit(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	entries := func(n int, body string, id func(int) string) (out []types.SendMessageBatchRequestEntry) {
		for i := range n {
			out = append(out, types.SendMessageBatchRequestEntry{Id: aws.String(id(i)), MessageBody: &body})
		}
		return out
	}
	number := func(i int) string { return fmt.Sprint(i) }
	for _, c := range []struct {
		name, code string
		entries    []types.SendMessageBatchRequestEntry
	}{
		{"eleven", "TooManyEntriesInBatchRequest", entries(11, "x", number)},
		{"none", "EmptyBatchRequest", []types.SendMessageBatchRequestEntry{}},
		{"twice the same id", "BatchEntryIdsNotDistinct", entries(2, "x", func(int) string { return "a" })},
		{"an id with a space", "InvalidBatchEntryId", entries(1, "x", func(int) string { return "a b" })},
		{"more than 1 MiB together", "BatchRequestTooLong", entries(2, strings.Repeat("x", 600<<10), number)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.SendMessageBatch(t.Context(), &client.SendMessageBatchInput{QueueUrl: q, Entries: c.entries})
			require.Equal(t, "AWS.SimpleQueueService."+c.code, code(err))
		})
	}
	require.Empty(t, b.receive(q))
}

func TestWhatSQSRefusesIsRefused(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	create := func(name string, attributes map[string]string) error {
		_, err := b.CreateQueue(t.Context(), &client.CreateQueueInput{QueueName: &name, Attributes: attributes})
		return err
	}
	var missing *types.QueueDoesNotExist
	_, err := b.GetQueueUrl(t.Context(), &client.GetQueueUrlInput{QueueName: aws.String("none")})
	require.ErrorAs(t, err, &missing)
	_, err = b.DeleteMessage(t.Context(), &client.DeleteMessageInput{QueueUrl: q, ReceiptHandle: aws.String("junk")})
	require.Equal(t, "ReceiptHandleIsInvalid", code(err))
	_, err = b.ReceiveMessage(t.Context(), &client.ReceiveMessageInput{QueueUrl: q, MaxNumberOfMessages: 11})
	require.Equal(t, "InvalidParameterValue", code(err))
	_, err = b.SendMessage(t.Context(), &client.SendMessageInput{QueueUrl: q, MessageBody: aws.String("x"), MessageGroupId: aws.String("g")})
	require.ErrorContains(t, err, "MessageGroupId", "a parameter that would do nothing is refused by name")
	require.Equal(t, "InvalidParameterValue", code(create("q.fifo", nil)))
	require.Equal(t, "InvalidAttributeName", code(create("new", map[string]string{"Colour": "red"})))
	require.Equal(t, "InvalidAttributeValue", code(create("new", map[string]string{"VisibilityTimeout": "43201"})))
	require.Equal(t, "InvalidParameterValue", code(create("new", map[string]string{"RedrivePolicy": `{"maxReceiveCount":3}`})))
	require.NoError(t, create("q", map[string]string{"VisibilityTimeout": "30"}), "the same queue again is no error")
	require.Equal(t, "QueueAlreadyExists", code(create("q", map[string]string{"VisibilityTimeout": "31"})))
}

func TestALongPollGetsAMessageThatArrivesMeanwhile(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	got := make(chan []types.Message)
	go func() { got <- b.receiveWithin(q, 20) }()
	b.send(q, "a")
	require.Equal(t, []string{"a"}, bodies(<-got))
}

func TestCancelledLongPollsLoseNoMessage(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		polled := make(chan error)
		go func() {
			_, err := b.ReceiveMessage(ctx, &client.ReceiveMessageInput{QueueUrl: q, WaitTimeSeconds: 20})
			polled <- err
		}()
		cancel()
		require.Error(t, <-polled)
	}
	b.send(q, "kept")
	got := b.receiveWithin(q, 20)
	require.Equal(t, []string{"kept"}, bodies(got))
}

// brokenWriter is a connection that ends before the answer is out.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func TestAMessageWhoseAnswerDidNotGetOutIsVisibleAtOnceAndUncounted(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	b.send(q, "a")
	body, err := json.Marshal(map[string]string{"QueueUrl": *q})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	b.server.ServeHTTP(brokenWriter{httptest.NewRecorder()}, r)
	got := b.receive(q)
	require.Equal(t, []string{"a"}, bodies(got))
	require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"])
}

func TestClosingEndsLongPolls(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	got := make(chan []types.Message)
	go func() { got <- b.receiveWithin(q, 20) }()
	require.NoError(t, b.server.Close())
	require.Empty(t, <-got)
}

func TestConsumersTogetherGetEachMessageOnce(t *testing.T) {
	b := start(t)
	q := b.queue("q", nil)
	const total = 300
	for i := range total / 10 {
		var entries []types.SendMessageBatchRequestEntry
		for j := range 10 {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(j)), MessageBody: aws.String(fmt.Sprint(i*10 + j))})
		}
		_, err := b.SendMessageBatch(t.Context(), &client.SendMessageBatchInput{QueueUrl: q, Entries: entries})
		require.NoError(t, err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var consumers sync.WaitGroup
	for range 6 {
		consumers.Go(func() {
			for {
				got := b.receive(q)
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, m := range got {
					seen[*m.Body]++
				}
				mu.Unlock()
			}
		})
	}
	consumers.Wait()
	require.Len(t, seen, total)
	for body, n := range seen {
		require.Equal(t, 1, n, body)
	}
}

func TestAMessageReceivedTooOftenGoesToTheDeadLetterQueue(t *testing.T) {
	b := start(t)
	q, dead := b.withDeadLetters(2)
	b.send(q, "poison")
	for range 2 {
		require.Len(t, b.receive(q), 1)
		b.clock.pass(time.Minute)
	}
	require.Empty(t, b.receive(q))
	got := b.receive(dead)
	require.Equal(t, []string{"poison"}, bodies(got))
	require.Equal(t, "arn:aws:sqs:eu-central-1:"+Account+":work", got[0].Attributes["DeadLetterQueueSourceArn"])
	require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"])
	sources, err := b.ListDeadLetterSourceQueues(t.Context(), &client.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
	require.NoError(t, err)
	require.Len(t, sources.QueueUrls, 1)
	b.clock.pass(4 * 24 * time.Hour)
	require.Empty(t, b.receive(dead), "its retention counts from the first send")
}

// giveUp sends messages and lets them all land in the dead-letter queue of withDeadLetters(1).
func (b *bench) giveUp(q *string, n int) {
	for i := range n {
		b.send(q, fmt.Sprint(i))
	}
	for range (n + 9) / 10 {
		b.receive(q)
	}
	b.clock.pass(time.Minute)
	require.Empty(b.t, b.receive(q))
}

func (b *bench) moves(dead string) []types.ListMessageMoveTasksResultEntry {
	out, err := b.ListMessageMoveTasks(b.t.Context(), &client.ListMessageMoveTasksInput{SourceArn: &dead, MaxResults: aws.Int32(10)})
	require.NoError(b.t, err)
	return out.Results
}

const deadARN = "arn:aws:sqs:eu-central-1:" + Account + ":dead"

func TestAMoveTaskBringsDeadLettersBackAsNewMessages(t *testing.T) {
	b := start(t)
	q, dead := b.withDeadLetters(1)
	b.giveUp(q, 3)
	_, err := b.StartMessageMoveTask(t.Context(), &client.StartMessageMoveTaskInput{SourceArn: aws.String(deadARN)})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return *b.moves(deadARN)[0].Status == "COMPLETED" }, time.Minute, time.Millisecond)
	require.Equal(t, int64(3), b.moves(deadARN)[0].ApproximateNumberOfMessagesMoved)
	require.Empty(t, b.receive(dead))
	got := b.receive(q)
	require.ElementsMatch(t, []string{"0", "1", "2"}, bodies(got))
	require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"])
	require.Empty(t, got[0].Attributes["DeadLetterQueueSourceArn"])
}

func TestAMoveTaskCanBeCancelledAndThereIsOneAtATime(t *testing.T) {
	b := start(t)
	q, dead := b.withDeadLetters(1)
	b.giveUp(q, 100)
	begin := func() (*client.StartMessageMoveTaskOutput, error) {
		return b.StartMessageMoveTask(t.Context(), &client.StartMessageMoveTaskInput{
			SourceArn: aws.String(deadARN), MaxNumberOfMessagesPerSecond: aws.Int32(1),
		})
	}
	task, err := begin()
	require.NoError(t, err)
	_, err = begin()
	require.Equal(t, "AWS.SimpleQueueService.UnsupportedOperation", code(err))
	_, err = b.CancelMessageMoveTask(t.Context(), &client.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
	require.NoError(t, err)
	require.Equal(t, "CANCELLED", *b.moves(deadARN)[0].Status)
	require.NotEmpty(t, b.receive(dead))
	_, err = b.CancelMessageMoveTask(t.Context(), &client.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
	require.Equal(t, "ResourceNotFoundException", code(err))
	_, err = b.StartMessageMoveTask(t.Context(), &client.StartMessageMoveTaskInput{SourceArn: aws.String(strings.Replace(deadARN, "dead", "work", 1))})
	require.Equal(t, "InvalidParameterValue", code(err), "only a dead-letter queue can be moved")
}

func TestARestartKeepsEverything(t *testing.T) {
	b := start(t)
	q, _ := b.withDeadLetters(1)
	b.giveUp(q, 100)
	_, err := b.TagQueue(t.Context(), &client.TagQueueInput{QueueUrl: q, Tags: map[string]string{"team": "ap"}})
	require.NoError(t, err)
	b.send(q, "in flight")
	require.Len(t, b.receive(q), 1)
	b.send(q, "waiting")
	_, err = b.StartMessageMoveTask(t.Context(), &client.StartMessageMoveTaskInput{
		SourceArn: aws.String(deadARN), DestinationArn: aws.String(strings.Replace(deadARN, "dead", "elsewhere", 1)),
	})
	require.Equal(t, "ResourceNotFoundException", code(err))
	_, err = b.StartMessageMoveTask(t.Context(), &client.StartMessageMoveTaskInput{
		SourceArn: aws.String(deadARN), MaxNumberOfMessagesPerSecond: aws.Int32(500),
	})
	require.NoError(t, err)

	b.restart()
	q = b.queue("work", nil)
	require.Eventually(t, func() bool { return *b.moves(deadARN)[0].Status == "COMPLETED" }, time.Minute, time.Millisecond,
		"a move task goes on")
	require.Equal(t, int64(100), b.moves(deadARN)[0].ApproximateNumberOfMessagesMoved)
	visible, inFlight, _ := b.count(q)
	require.Equal(t, []string{"101", "1"}, []string{visible, inFlight})
	tags, err := b.ListQueueTags(t.Context(), &client.ListQueueTagsInput{QueueUrl: q})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "ap"}, tags.Tags)
	require.Equal(t, "waiting", *b.receive(q)[0].Body, "in the order of sending")

	_, err = b.PurgeQueue(t.Context(), &client.PurgeQueueInput{QueueUrl: q})
	require.NoError(t, err)
	_, err = b.DeleteQueue(t.Context(), &client.DeleteQueueInput{QueueUrl: b.queue("dead", nil)})
	require.NoError(t, err)
	b.restart()
	queues, err := b.ListQueues(t.Context(), &client.ListQueuesInput{})
	require.NoError(t, err)
	require.Len(t, queues.QueueUrls, 1)
	visible, inFlight, _ = b.count(b.queue("work", nil))
	require.Equal(t, []string{"0", "0"}, []string{visible, inFlight})
}

func TestASecondProcessOnTheSameFileIsToldSo(t *testing.T) {
	b := start(t)
	_, err := Open(Options{Path: b.path})
	require.ErrorContains(t, err, "another process uses it")
}
