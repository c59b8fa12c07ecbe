package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/purserhq/purser/internal/po"
)

const (
	batchSize = 10 // messages, SQS's limit for a request

	// A batch's failed entries are sent again after a random wait that doubles from minWait to maxWait.
	minWait  = 50 * time.Millisecond
	maxWait  = 2 * time.Second
	maxTries = 10
)

// sendTasks sends a message for each task, ten at a time.
func (d *Dispatcher) sendTasks(ctx context.Context, tasks []po.Task) error {
	for batch := range slices.Chunk(tasks, batchSize) {
		if err := d.sendBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch sends up to ten messages. SQS answers 200 also when some entries were not taken: these are sent again.
func (d *Dispatcher) sendBatch(ctx context.Context, tasks []po.Task) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(tasks))
	for i, t := range tasks {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(t.Encode())}
	}
	wait := minWait
	for try := 1; ; try++ {
		out, err := d.o.SQS.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &d.o.QueueURL, Entries: entries})
		if err != nil {
			return fmt.Errorf("sending the messages of rows %d to %d: %w", tasks[0].Row, tasks[len(tasks)-1].Row, err)
		}
		if len(out.Failed) == 0 {
			return nil
		}
		for _, f := range out.Failed {
			if f.SenderFault || try == maxTries {
				return fmt.Errorf("sending the messages of rows %d to %d: %s: %s",
					tasks[0].Row, tasks[len(tasks)-1].Row, aws.ToString(f.Code), aws.ToString(f.Message))
			}
		}
		entries = slices.DeleteFunc(entries, func(e types.SendMessageBatchRequestEntry) bool {
			return !slices.ContainsFunc(out.Failed, func(f types.BatchResultErrorEntry) bool { return aws.ToString(f.Id) == *e.Id })
		})
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, maxWait)
	}
}

// sendFinalize asks for the job's results.
func (d *Dispatcher) sendFinalize(ctx context.Context, job string) error {
	_, err := d.o.SQS.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &d.o.QueueURL, MessageBody: aws.String(po.Task{Kind: po.KindFinalize, Job: job}.Encode()),
	})
	if err != nil {
		return fmt.Errorf("asking for the results of job %s: %w", job, err)
	}
	return nil
}

// pause waits for a random part of the time.
func pause(ctx context.Context, most time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rand.N(most)): //nolint:gosec // jitter needs no secrecy
		return nil
	}
}

// queueState is what a queue says of itself.
type queueState struct {
	visible   int // may be received now
	messages  int // in all, with those in flight and delayed
	retention time.Duration
}

func (d *Dispatcher) queueState(ctx context.Context, queueURL string) (queueState, error) {
	out, err := d.o.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL,
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
			types.QueueAttributeNameMessageRetentionPeriod,
		},
	})
	if err != nil {
		return queueState{}, fmt.Errorf("asking for the state of %s: %w", queueURL, err)
	}
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(out.Attributes[string(name)])
		return n
	}
	s := queueState{visible: number(types.QueueAttributeNameApproximateNumberOfMessages)}
	s.messages = s.visible + number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible) +
		number(types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	s.retention = time.Duration(number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second
	return s, nil
}
