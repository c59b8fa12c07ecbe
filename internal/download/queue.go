package download

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/purserhq/purser/internal/telemetry"
)

// SQS's limits.
const (
	maxDelay      = 15 * time.Minute // of a message that is sent
	maxVisibility = 11 * time.Hour   // 12 hours in all since the receive; an invocation took some of it
)

// ReasonAttribute is the message attribute that says why a message lies in the dead-letter queue.
const ReasonAttribute = "purser-reason"

// receives is how often the queue has given the message out. 1 says that it is new, or that it was redriven.
func receives(m events.SQSMessage) int {
	n, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	if err != nil || n < 1 {
		return 1
	}
	return n
}

// handBack lets the message come again after the time. A message that the queue would move to the dead-letter queue instead,
// since it was given out too often, goes back as a new copy: only real tries may end there, and the ledger counts those.
func (b *batch) handBack(m events.SQSMessage, after time.Duration) {
	b.d.Metrics.Add(telemetry.POsReturned, 1)
	if receives(m) >= b.d.Settings.MaxReceives {
		_, err := b.d.Queue.SendMessage(b.late, &sqs.SendMessageInput{
			QueueUrl: &b.d.Settings.QueueURL, MessageBody: &m.Body, DelaySeconds: seconds32(min(after, maxDelay)),
		})
		if err == nil {
			return // the old one is done with
		}
		b.log.WithError(err).Warn("sending a new copy of a message failed; the old one comes again")
	}
	b.again(m, after)
}

// again answers that the message failed, and sets when it comes again.
func (b *batch) again(m events.SQSMessage, after time.Duration) {
	b.fail(m)
	_, err := b.d.Queue.ChangeMessageVisibility(b.late, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &b.d.Settings.QueueURL, ReceiptHandle: &m.ReceiptHandle, VisibilityTimeout: seconds32(min(after, maxVisibility)),
	})
	if err != nil { // it comes when its visibility runs out
		b.log.WithError(err).Warn("setting when a message comes again failed; it comes when its visibility time-out ends")
	}
}

// bury puts the message into the dead-letter queue with its reason, whatever its receive count. If that fails, it comes again,
// and is buried then.
func (b *batch) bury(m events.SQSMessage, reason string) {
	_, err := b.d.Queue.SendMessage(b.late, &sqs.SendMessageInput{
		QueueUrl: &b.d.Settings.DLQURL, MessageBody: &m.Body,
		MessageAttributes: map[string]types.MessageAttributeValue{
			ReasonAttribute: {DataType: aws.String("String"), StringValue: aws.String(cut(sendable(reason), 500))},
		},
	})
	if err != nil {
		b.log.WithError(err).Warn("moving a message to the dead-letter queue failed; it comes again")
		b.again(m, b.d.Settings.RetryDelay)
	}
}

// sendable is the text without the characters that SQS refuses, which a portal's page may hold.
func sendable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF' {
			return -1
		}
		return r
	}, text)
}

func seconds32(d time.Duration) int32 {
	return int32((max(d, 0) + time.Second - 1) / time.Second)
}

// cut shortens a text to at most n bytes, on a rune's boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// detached is a context for what must be done after the work's own context has ended: handing back, committing.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
