package local

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares JSON with the file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(got, &value); err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, append(indented, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(indented)+"\n"); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestS3EventIsAsS3SendsIt(t *testing.T) {
	event := newS3Event(ObjectCreated{
		Bucket: "purser", Key: "input/Pedidos de compra nº 7 (São Paulo) +1.csv", ETag: "9b2cf535f27731c974343645a3985328",
		VersionID: "3sL4kqtJlcpXroDTDmJ", Size: 1024, Sequencer: "0055aed6dcd90281e5",
		Time: time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.FixedZone("", 3600)),
	}, "eu-central-1")
	golden(t, "s3-event.json", event)

	var read events.S3Event // as the dispatcher does
	if err := json.Unmarshal(event, &read); err != nil {
		t.Fatal(err)
	}
	if key := read.Records[0].S3.Object.URLDecodedKey; key != "input/Pedidos de compra nº 7 (São Paulo) +1.csv" {
		t.Errorf("the key is read back as %q", key)
	}
}

func TestObjectWithoutAVersionHasNoneInItsEvent(t *testing.T) {
	var event struct {
		Records []struct {
			S3 struct {
				Object map[string]any
			}
		}
	}
	if err := json.Unmarshal(newS3Event(ObjectCreated{Key: "input/a.csv"}, DefaultRegion), &event); err != nil {
		t.Fatal(err)
	}
	if v, has := event.Records[0].S3.Object["versionId"]; has {
		t.Errorf("versionId is there: %v", v)
	}
}

func TestOnlySheetsUnderInputAreAnnounced(t *testing.T) {
	for key, want := range map[string]bool{
		"input/a.csv": true, "input/a.CSV": true, "input/a.tsv": true, "input/a.txt": true, "input/a.xlsx": true,
		"input/2026/march/a.csv": true, "input/.csv": true,
		"a.csv": false, "inputs/a.csv": false, "Input/a.csv": false, "input/a.Csv": false, "input/a.xls": false, "input/": false,
		"input/a.csv.part": false, "download/input/a.csv": false, "results/job/a_processed.csv": false,
	} {
		if got := isInput(key); got != want {
			t.Errorf("isInput(%q) = %v, want %v", key, got, want)
		}
	}
}

func TestSQSEventIsAsLambdaSendsIt(t *testing.T) {
	messages := []types.Message{
		{
			MessageId: aws.String("059f36b4-87a3-44ab-83d2-661975830a7d"), ReceiptHandle: aws.String("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"),
			Body: aws.String(`{"v":1,"kind":"po"}`), MD5OfBody: aws.String("098f6bcd4621d373cade4e832627b4f6"),
			Attributes: map[string]string{
				"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
				"ApproximateFirstReceiveTimestamp": "1545082649185",
			},
		},
		{
			MessageId: aws.String("2e1424d4-f796-459a-8184-9c92662be6da"), ReceiptHandle: aws.String("AQEBzWwaftRI0KuVm4tP"),
			Body: aws.String("not JSON"), MD5OfBody: aws.String("e4e68fb7bd0e697a0ae8f1bb342846b3"),
			MD5OfMessageAttributes: aws.String("c48838208d2b4e14e3ca0093a8443f09"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"reason": {DataType: aws.String("String"), StringValue: aws.String("because")},
				"bytes":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
			},
			Attributes: map[string]string{"ApproximateReceiveCount": "3", "SentTimestamp": "1545082650636"},
		},
	}
	event := newSQSEvent(messages, "arn:aws:sqs:us-east-2:123456789012:my-queue", "us-east-2")
	golden(t, "sqs-event.json", event)
	var read events.SQSEvent
	if err := json.Unmarshal(event, &read); err != nil || len(read.Records) != 2 {
		t.Errorf("a function reads %+v (%v)", read, err)
	}
}

func TestScheduledEventIsAsEventBridgeSendsIt(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.FixedZone("", 3600))
	golden(t, "scheduled-event.json", newScheduledEvent("53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", at, "us-east-1", "000000000000"))
}

func TestBatchItemFailuresAreReadAsLambdaDoes(t *testing.T) {
	var batch []types.Message
	for _, id := range []string{"a", "b", "c"} {
		batch = append(batch, types.Message{MessageId: aws.String(id)})
	}
	all, none := []string{"a", "b", "c"}, []string(nil)
	for _, test := range []struct {
		name, answer string
		done         []string
	}{
		{"an empty list", `{"batchItemFailures":[]}`, all},
		{"a null list", `{"batchItemFailures":null}`, all},
		{"an empty response", `{}`, all},
		{"a null response", `null`, all},
		{"one failed", `{"batchItemFailures":[{"itemIdentifier":"b"}]}`, []string{"a", "c"}},
		{"all failed", `{"batchItemFailures":[{"itemIdentifier":"c"},{"itemIdentifier":"b"},{"itemIdentifier":"a"}]}`, none},
		{"one named twice", `{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}`, []string{"a", "c"}},
		{"more than the list", `{"batchItemFailures":[{"itemIdentifier":"b","why":1}],"more":true}`, []string{"a", "c"}},
		{"another name's case", `{"BatchItemFailures":[{"itemIdentifier":"b"}]}`, all},
		{"an empty id", `{"batchItemFailures":[{"itemIdentifier":""}]}`, none},
		{"a null id", `{"batchItemFailures":[{"itemIdentifier":null}]}`, none},
		{"an unknown id", `{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"d"}]}`, none},
		{"a wrong key", `{"batchItemFailures":[{"itemidentifier":"a"}]}`, none},
		{"a null entry", `{"batchItemFailures":[null]}`, none},
		{"an id that is no text", `{"batchItemFailures":[{"itemIdentifier":1}]}`, none},
		{"a list of texts", `{"batchItemFailures":["a"]}`, none},
		{"no list", `{"batchItemFailures":"a"}`, none},
		{"a text", `"ok"`, none},
		{"a list for a response", `[]`, none},
		{"no JSON", `ok`, none},
		{"half of it", `{"batchItemFailures":[`, none},
		{"nothing", ``, none},
	} {
		t.Run(test.name, func(t *testing.T) {
			done, err := succeeded(batch, []byte(test.answer))
			var ids []string
			for _, m := range done {
				ids = append(ids, *m.MessageId)
			}
			if !slices.Equal(ids, test.done) {
				t.Errorf("%v are deleted (%v), want %v", ids, err, test.done)
			}
		})
	}
}

func FuzzBatchItemFailures(f *testing.F) {
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":"a"}]}`))
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":""}],"batchItemFailures":null}`))
	f.Add([]byte(`null`))
	batch := []types.Message{{MessageId: aws.String("a")}, {MessageId: aws.String("b")}}
	f.Fuzz(func(t *testing.T, answer []byte) {
		done, err := succeeded(batch, answer)
		if err != nil && len(done) > 0 {
			t.Errorf("messages are deleted in spite of %v", err)
		}
		if err == nil && !json.Valid(answer) {
			t.Errorf("%q counts as an answer", answer)
		}
	})
}
