package local

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// newSQSEvent is the event that an event source mapping makes of received messages.
func newSQSEvent(messages []types.Message, queueARN, region string) []byte {
	var event events.SQSEvent
	for _, m := range messages {
		attributes := map[string]events.SQSMessageAttribute{}
		for name, a := range m.MessageAttributes {
			attributes[name] = events.SQSMessageAttribute{
				StringValue: a.StringValue,
				BinaryValue: a.BinaryValue,
				DataType:    aws.ToString(a.DataType),
				// Not used by SQS, but there.
				StringListValues: []string{},
				BinaryListValues: [][]byte{},
			}
		}
		event.Records = append(event.Records, events.SQSMessage{
			MessageId:              aws.ToString(m.MessageId),
			ReceiptHandle:          aws.ToString(m.ReceiptHandle),
			Body:                   aws.ToString(m.Body),
			Md5OfBody:              aws.ToString(m.MD5OfBody),
			Md5OfMessageAttributes: aws.ToString(m.MD5OfMessageAttributes),
			Attributes:             m.Attributes,
			MessageAttributes:      attributes,
			EventSourceARN:         queueARN,
			EventSource:            "aws:sqs",
			AWSRegion:              region,
		})
	}
	return mustMarshal(event)
}

// succeeded reads the function's answer to a batch as Lambda does with ReportBatchItemFailures, and returns the messages that are
// to be deleted. An empty or missing list means that all succeeded; what cannot be read or names a message that was not in the
// batch means that all failed, and the error says why.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
func succeeded(batch []types.Message, answer []byte) ([]types.Message, error) {
	failed, err := batchItemFailures(answer)
	if err != nil {
		return nil, err
	}
	rest := map[string]types.Message{}
	for _, m := range batch {
		rest[aws.ToString(m.MessageId)] = m
	}
	for id := range failed {
		if _, ok := rest[id]; !ok {
			return nil, fmt.Errorf("batchItemFailures names the message %q, which is not in the batch", id)
		}
	}
	var done []types.Message
	for _, m := range batch {
		if !failed[aws.ToString(m.MessageId)] {
			done = append(done, m)
		}
	}
	return done, nil
}

// batchItemFailures is the set of message ids in an answer. Names are compared exactly, which encoding/json's structs do not do.
func batchItemFailures(answer []byte) (map[string]bool, error) {
	var response map[string]json.RawMessage
	if err := json.Unmarshal(answer, &response); err != nil {
		return nil, fmt.Errorf("the answer is no batch response: %w", err)
	}
	list, ok := response["batchItemFailures"]
	if !ok {
		return nil, nil
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(list, &items); err != nil {
		return nil, fmt.Errorf("batchItemFailures is no list of objects: %w", err)
	}
	failed := map[string]bool{}
	for _, item := range items {
		var id string
		if err := json.Unmarshal(item["itemIdentifier"], &id); err != nil {
			return nil, fmt.Errorf("an entry of batchItemFailures has no itemIdentifier: %w", err)
		}
		if id == "" {
			return nil, errors.New("an itemIdentifier of batchItemFailures is empty or null")
		}
		failed[id] = true
	}
	return failed, nil
}
