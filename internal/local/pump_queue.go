package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/sirupsen/logrus"
)

const (
	longPoll       = 20 * time.Second // the longest that SQS allows
	maxReceive     = 10               // messages in one request
	maxDeleteTries = 3
	maxPause       = 30 * time.Second // between tries when the queue or an environment is out of order
)

// queueClient is what the mapping needs of SQS.
type queueClient interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// queuePump is an event source mapping: it receives messages, invokes the function with batches of them, and deletes those that
// succeeded. The others become visible again when their visibility time-out runs out; as in Lambda, the mapping does not change it.
type queuePump struct {
	client      queueClient
	journal     *journal
	invoke      func(ctx context.Context, event []byte) ([]byte, error)
	queueURL    string
	queueARN    string
	region      string
	batchSize   int
	window      time.Duration // a whole number of seconds, as in AWS
	concurrency int
	log         logrus.FieldLogger
}

// run works until the context ends and the last invocation is over.
func (p *queuePump) run(ctx context.Context) {
	var pollers sync.WaitGroup
	for range p.concurrency {
		pollers.Go(func() { p.poll(ctx) })
	}
	pollers.Wait()
}

// poll is one invocation at a time: concurrency is the number of polls.
func (p *queuePump) poll(ctx context.Context) {
	for troubles := 0; ctx.Err() == nil; {
		err := p.step(ctx)
		if err == nil || ctx.Err() != nil {
			troubles = 0
			continue
		}
		pause := min(time.Second<<min(troubles, 10), maxPause)
		troubles++
		p.log.WithError(err).Errorf("event source mapping is out of order, goes on in %s", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// step works one batch. An error says that no function was invoked.
func (p *queuePump) step(ctx context.Context) error {
	batch, err := p.receive(ctx)
	if err != nil || len(batch) == 0 {
		return err
	}
	held, err := p.journal.hold(receipts(batch))
	if err != nil {
		return fmt.Errorf("noting what is worked on: %w", err)
	}
	answer, err := p.invoke(context.WithoutCancel(ctx), newSQSEvent(batch, p.queueARN, p.region))
	done, err := p.settle(batch, answer, err)
	p.remove(context.WithoutCancel(ctx), done)
	if err != nil || ctx.Err() != nil && len(done) < len(batch) {
		return err // what is held returns to the queue at the next start
	}
	return p.journal.release(held)
}

// receive waits for messages, and then for more until the batch is full or the window is over.
func (p *queuePump) receive(ctx context.Context) ([]types.Message, error) {
	batch, err := p.receiveUpTo(ctx, p.batchSize, longPoll)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(p.window)
	for len(batch) > 0 && len(batch) < p.batchSize {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		more, err := p.receiveUpTo(ctx, p.batchSize-len(batch), left)
		if err != nil {
			break // what is there is worth an invocation
		}
		batch = append(batch, more...)
	}
	return batch, nil
}

func (p *queuePump) receiveUpTo(ctx context.Context, n int, wait time.Duration) ([]types.Message, error) {
	out, err := p.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &p.queueURL,
		MaxNumberOfMessages:         int32(min(n, maxReceive)),
		WaitTimeSeconds:             int32(math.Ceil(wait.Seconds())),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("receiving messages: %w", err)
	}
	return out.Messages, nil
}

// settle says which messages are done. Its error is that of a function that was not reached.
func (p *queuePump) settle(batch []types.Message, answer []byte, err error) ([]types.Message, error) {
	log := p.log.WithField("messages", len(batch))
	var failure *functionError
	switch {
	case errors.As(err, &failure):
		log.WithError(failure).Warn("batch failed; its messages come back when their visibility time-out runs out")
		return nil, nil
	case err != nil:
		return nil, err
	}
	done, err := succeeded(batch, answer)
	if err != nil {
		log.WithError(err).Warn("batch counts as failed, for its answer cannot be used")
		return nil, nil
	}
	log.WithField("failed", len(batch)-len(done)).Debug("batch done")
	return done, nil
}

// remove deletes messages. One that stays comes back: a function has to live with that anyway.
func (p *queuePump) remove(ctx context.Context, messages []types.Message) {
	for start := 0; start < len(messages); start += maxReceive {
		rest := messages[start:min(start+maxReceive, len(messages))]
		var err error
		for try := 0; try < maxDeleteTries && len(rest) > 0; try++ {
			rest, err = p.removeOnce(ctx, rest)
		}
		if len(rest) > 0 {
			p.log.WithError(err).Warnf("%d finished messages could not be deleted, and will come again", len(rest))
		}
	}
}

// removeOnce returns the messages that are left.
func (p *queuePump) removeOnce(ctx context.Context, messages []types.Message) ([]types.Message, error) {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &p.queueURL}
	for i, m := range messages {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	out, err := p.client.DeleteMessageBatch(ctx, in)
	if err != nil {
		return messages, err
	}
	var left []types.Message
	for _, f := range out.Failed {
		err = errors.New(aws.ToString(f.Message))
		if i, e := strconv.Atoi(aws.ToString(f.Id)); e == nil && i < len(messages) {
			left = append(left, messages[i])
		}
	}
	return left, err
}

// giveBack makes the messages visible that a stack had in hand when it ended. It must run before anything is received: no
// environment works on them any more, and their visibility time-out may be long.
func (p *queuePump) giveBack(ctx context.Context) error {
	batches, err := p.journal.held()
	if err != nil {
		return err
	}
	for held, receipts := range batches {
		for start := 0; start < len(receipts); start += maxReceive {
			in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &p.queueURL}
			for i, receipt := range receipts[start:min(start+maxReceive, len(receipts))] {
				in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
					Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(receipt), VisibilityTimeout: 0,
				})
			}
			// Entries that fail are those of messages that are visible, deleted, or someone else's by now: all is well then.
			if _, err := p.client.ChangeMessageVisibilityBatch(ctx, in); err != nil {
				return fmt.Errorf("giving messages back: %w", err)
			}
		}
		if err := p.journal.release(held); err != nil {
			return err
		}
	}
	return nil
}

func receipts(messages []types.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, aws.ToString(m.ReceiptHandle))
	}
	return all
}
