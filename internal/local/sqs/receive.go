package sqs

import (
	"container/heap"
	"context"
	"strconv"
	"strings"
	"time"
)

// receive takes up to ten visible messages, and waits for one when the client asked for that (long polling). out is nil when
// there is none. A client that went away gets nothing, so that no message is hidden for it; giveBack undoes the receipt when the
// answer could not be sent.
func (s *Server) receive(ctx context.Context, in *request) (out answer, giveBack func(), err error) {
	nothing := func() {}
	most := 1
	if in.MaxNumberOfMessages != nil {
		if most = *in.MaxNumberOfMessages; most < 1 || most > maxBatch {
			return nil, nothing, fail("InvalidParameterValue", "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be"+
				" between 1 and 10, if provided.", most)
		}
	}
	if v := in.VisibilityTimeout; v != nil && (*v < 0 || *v > maxVisibility) {
		return nil, nothing, fail("InvalidParameterValue", "VisibilityTimeout must be from 0 to %d.", maxVisibility)
	}
	var deadline <-chan time.Time // of the long poll; nil until its length is known
	for {
		s.mu.Lock()
		q, err := s.find(in.QueueUrl)
		if err != nil {
			s.mu.Unlock()
			return nil, nothing, err
		}
		if ctx.Err() != nil {
			s.mu.Unlock()
			return nil, nothing, nil // nobody reads it
		}
		messages := s.take(q, most, in)
		err = s.commit()
		wake, next := q.wake, s.nextVisible(q)
		s.mu.Unlock()
		if err != nil || len(messages) > 0 {
			undo := func() { s.giveBack(q, messages) }
			return answer{"Messages": s.describe(messages, in)}, undo, err
		}
		if deadline == nil {
			wait, err := waitTime(q, in)
			if err != nil {
				return nil, nothing, err
			}
			if wait == 0 {
				return nil, nothing, nil
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			deadline = timer.C
		}
		visible := time.NewTimer(next)
		select {
		case <-wake:
		case <-visible.C:
		case <-ctx.Done():
		case <-deadline:
			visible.Stop()
			return nil, nothing, nil
		case <-s.closed:
			visible.Stop()
			return nil, nothing, nil
		}
		visible.Stop()
	}
}

func waitTime(q *queue, in *request) (time.Duration, error) {
	seconds := q.wait
	if in.WaitTimeSeconds != nil {
		seconds = *in.WaitTimeSeconds
	}
	if most := numbers["ReceiveMessageWaitTimeSeconds"].most; seconds < 0 || seconds > most {
		return 0, fail("InvalidParameterValue", "Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= %d, if"+
			" provided.", seconds, most)
	}
	return time.Duration(seconds) * time.Second, nil
}

// nextVisible is how long it takes until a hidden message shows itself. The server's lock is held.
func (s *Server) nextVisible(q *queue) time.Duration {
	const never = time.Hour // a long poll is shorter
	if len(q.waiting) == 0 {
		return never
	}
	return max(time.UnixMilli(q.waiting[0].VisibleAt).Sub(s.now()), time.Millisecond)
}

// taken is a received message as it was at that time.
type taken struct {
	message
	receipt string
}

// take receives up to most messages; what was received too often goes to the dead-letter queue instead, and what is too old
// goes away. The server's lock is held.
func (s *Server) take(q *queue, most int, in *request) []taken {
	visibility := q.visibility
	if in.VisibilityTimeout != nil {
		visibility = *in.VisibilityTimeout
	}
	now := s.now().UnixMilli()
	var messages []*message
	for len(messages) < most && len(q.waiting) > 0 && q.waiting[0].VisibleAt <= now {
		m := q.waiting[0]
		if q.expired(m, now) {
			q.remove(m)
			s.forgetMessage(q, m)
			continue
		}
		if d := s.queues[q.deadLetter]; d != nil && m.Received >= q.maxReceive {
			s.toDeadLetter(q, d, m)
			continue
		}
		heap.Pop(&q.waiting)
		messages = append(messages, m)
	}
	out := make([]taken, 0, len(messages))
	for _, m := range messages {
		m.Received++
		if m.FirstReceived == 0 {
			m.FirstReceived = now
		}
		m.VisibleAt = now + int64(visibility)*1000
		heap.Push(&q.waiting, m)
		s.keepMessage(q, m)
		out = append(out, taken{message: *m, receipt: receipt(m, now)})
	}
	return out
}

// giveBack undoes a receipt that nobody got.
func (s *Server) giveBack(q *queue, messages []taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range messages {
		m := q.messages[t.ID]
		if m == nil || m.Received != t.Received {
			continue
		}
		if m.Received--; m.Received == 0 {
			m.FirstReceived = 0
		}
		s.show(q, m, s.now().UnixMilli())
	}
	if err := s.commit(); err != nil && s.log != nil {
		s.log.WithError(err).Error("local SQS could not take a receipt back")
	}
}

// describe shows the messages as the client asked for them.
func (s *Server) describe(messages []taken, in *request) []answer {
	out := make([]answer, 0, len(messages))
	names := append(in.MessageSystemAttributeNames, in.AttributeNames...)
	for i := range messages {
		m := &messages[i]
		a := answer{"MessageId": m.ID, "ReceiptHandle": m.receipt, "Body": m.Body, "MD5OfBody": md5Hex(m.Body)}
		if system := named(m.systemAttributes(), names); len(system) > 0 {
			a["Attributes"] = system
		}
		if attributes := m.pick(in.MessageAttributeNames); len(attributes) > 0 {
			a["MessageAttributes"], a["MD5OfMessageAttributes"] = attributes, md5OfAttributes(attributes)
		}
		out = append(out, a)
	}
	return out
}

func (m *message) systemAttributes() map[string]string {
	all := map[string]string{
		"SenderId":                         Account,
		"SentTimestamp":                    strconv.FormatInt(m.Sent, 10),
		"ApproximateReceiveCount":          strconv.Itoa(m.Received),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.FirstReceived, 10),
	}
	if m.Source != "" {
		all["DeadLetterQueueSourceArn"] = m.Source
	}
	if m.TraceHeader != "" {
		all["AWSTraceHeader"] = m.TraceHeader
	}
	return all
}

// pick is the message attributes that one of the patterns names: a name, All, or a prefix with ".*".
func (m *message) pick(patterns []string) map[string]attribute {
	out := map[string]attribute{}
	for name, a := range m.Attributes {
		for _, pattern := range patterns {
			prefix, isPrefix := strings.CutSuffix(pattern, ".*")
			if pattern == "All" || pattern == name || isPrefix && strings.HasPrefix(name, prefix) {
				out[name] = a
			}
		}
	}
	return out
}
