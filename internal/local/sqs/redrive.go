package sqs

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// toDeadLetter moves a message that was received too often. It keeps its ID and the time at which it was sent.
func (s *Server) toDeadLetter(q, deadLetter *queue, m *message) {
	q.remove(m)
	s.forgetMessage(q, m)
	moved := *m
	moved.VisibleAt, moved.Received, moved.FirstReceived = s.now().UnixMilli(), 0, 0
	moved.Source = s.arn(q)
	s.enqueue(deadLetter, &moved)
}

// The states of a move task.
const (
	moveRunning   = "RUNNING"
	moveCompleted = "COMPLETED"
	moveCancelled = "CANCELLED"
	moveFailed    = "FAILED"
)

const (
	maxMovesListed  = 10
	maxMovesASecond = 500
	movesAtOnce     = 100 // messages a transaction, when no rate is asked for
	movesRemembered = 10  // finished tasks
)

// moveTask moves a dead-letter queue's messages back to where they failed, or to another queue.
type moveTask struct {
	Handle, Source, Destination string // ARNs; no Destination: each message's own source
	Status, Reason              string
	Started                     int64 // Unix milliseconds
	Moved, Total                int64
	Rate                        int // messages a second; 0: as fast as it goes
}

func (s *Server) sortMoves() {
	slices.SortFunc(s.moves, func(a, b *moveTask) int { return cmp.Compare(a.Started, b.Started) })
}

func (s *Server) startMessageMoveTask(in *request) (answer, error) {
	source := s.queues[nameOf(in.SourceArn)]
	if source == nil {
		return nil, notFound("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if in.DestinationArn != "" && s.queues[nameOf(in.DestinationArn)] == nil {
		return nil, notFound("The resource that you specified for the DestinationArn parameter doesn't exist.")
	}
	if !s.isDeadLetter(source) {
		return nil, fail("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
	}
	t := &moveTask{
		Handle: uuid.NewString(), Source: s.arn(source), Destination: in.DestinationArn,
		Status: moveRunning, Started: s.now().UnixMilli(),
	}
	for _, other := range s.moves {
		if other.Source == t.Source && other.Status == moveRunning {
			return nil, fail("UnsupportedOperation", "There is already a task running. Only one active task is allowed for a source"+
				" queue arn at a given time.")
		}
	}
	if in.MaxNumberOfMessagesPerSecond != nil {
		if t.Rate = *in.MaxNumberOfMessagesPerSecond; t.Rate < 1 || t.Rate > maxMovesASecond {
			return nil, fail("InvalidParameterValue", "MaxNumberOfMessagesPerSecond must be from 1 to %d.", maxMovesASecond)
		}
	}
	visible, _, _ := s.count(source)
	t.Total = int64(visible)
	s.moves = append(s.moves, t)
	s.keepMove(t)
	s.forgetOldMoves()
	s.startMove(t)
	return answer{"TaskHandle": t.Handle}, nil
}

func (s *Server) isDeadLetter(q *queue) bool {
	for _, source := range s.queues {
		if source.deadLetter == q.name {
			return true
		}
	}
	return false
}

func (s *Server) forgetOldMoves() {
	for len(s.moves) > movesRemembered && s.moves[0].Status != moveRunning {
		s.forgetMove(s.moves[0])
		s.moves = s.moves[1:]
	}
}

func (s *Server) listMessageMoveTasks(in *request) (answer, error) {
	if s.queues[nameOf(in.SourceArn)] == nil {
		return nil, notFound("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	most := 1
	if in.MaxResults != nil {
		if most = *in.MaxResults; most < 1 || most > maxMovesListed {
			return nil, fail("InvalidParameterValue", "MaxResults must be from 1 to %d.", maxMovesListed)
		}
	}
	results := []answer{}
	for _, t := range slices.Backward(s.moves) {
		if t.Source == in.SourceArn && len(results) < most {
			results = append(results, t.describe())
		}
	}
	return answer{"Results": results}, nil
}

func (t *moveTask) describe() answer {
	a := answer{
		"SourceArn": t.Source, "Status": t.Status, "StartedTimestamp": t.Started,
		"ApproximateNumberOfMessagesMoved": t.Moved, "ApproximateNumberOfMessagesToMove": t.Total,
	}
	if t.Status == moveRunning {
		a["TaskHandle"] = t.Handle
	}
	if t.Reason != "" {
		a["FailureReason"] = t.Reason
	}
	if t.Destination != "" {
		a["DestinationArn"] = t.Destination
	}
	if t.Rate > 0 {
		a["MaxNumberOfMessagesPerSecond"] = t.Rate
	}
	return a
}

func (s *Server) cancelMessageMoveTask(in *request) (answer, error) {
	for _, t := range s.moves {
		if t.Handle == in.TaskHandle && t.Status == moveRunning {
			t.Status = moveCancelled
			s.keepMove(t)
			return answer{"ApproximateNumberOfMessagesMoved": t.Moved}, nil
		}
	}
	return nil, notFound("The task does not exist, or it is not running.")
}

// startMove moves messages until none is left, the task is cancelled, or the server is closed.
func (s *Server) startMove(t *moveTask) {
	atOnce, pause := movesAtOnce, time.Duration(0)
	if t.Rate > 0 {
		atOnce, pause = 1, time.Second/time.Duration(t.Rate)
	}
	s.background.Go(func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-s.closed:
				return
			case <-timer.C:
			}
			if !s.moveSome(t, atOnce) {
				return
			}
			timer.Reset(pause)
		}
	})
}

// moveSome moves up to n messages, and tells whether there is more to do.
func (s *Server) moveSome(t *moveTask, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		if t.Status == moveRunning {
			s.moveOne(t)
		}
	}
	s.keepMove(t)
	if err := s.commit(); err != nil {
		t.Status, t.Reason = moveFailed, err.Error()
	}
	return t.Status == moveRunning
}

// moveOne moves a message as a new one: with a new ID, sent now, never received.
func (s *Server) moveOne(t *moveTask) {
	source, now := s.queues[nameOf(t.Source)], s.now().UnixMilli()
	if source == nil || len(source.waiting) == 0 || source.waiting[0].VisibleAt > now {
		t.Status = moveCompleted
		return
	}
	m := source.waiting[0]
	to := t.Destination
	if to == "" {
		to = m.Source
	}
	destination := s.queues[nameOf(to)]
	if destination == nil {
		t.Status, t.Reason = moveFailed, "CouldNotDetermineMessageSource"
		return
	}
	source.remove(m)
	s.forgetMessage(source, m)
	moved := &message{ID: uuid.NewString(), Body: m.Body, Attributes: m.Attributes, TraceHeader: m.TraceHeader, Sent: now, VisibleAt: now}
	s.enqueue(destination, moved)
	t.Moved++
}
