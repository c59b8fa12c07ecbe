package sqs

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// The file's buckets: one entry per queue, one per move task, and one bucket of messages per queue.
var (
	queuesBucket = []byte("queues")
	movesBucket  = []byte("moves")
)

func messagesBucket(queue string) []byte { return []byte("messages/" + queue) }

// lockTimeout is how long to wait for another process to let go of the file.
const lockTimeout = 2 * time.Second

func (s *Server) load(path string, sync bool) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoSync: !sync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return errors.New("another process uses it; end that one first, or use another data directory")
	}
	if err != nil {
		return err
	}
	s.db = db
	err = db.Update(func(tx *bbolt.Tx) error {
		queues, err := tx.CreateBucketIfNotExists(queuesBucket)
		if err != nil {
			return err
		}
		moves, err := tx.CreateBucketIfNotExists(movesBucket)
		if err != nil {
			return err
		}
		if err := queues.ForEach(func(name, value []byte) error { return s.loadQueue(tx, string(name), value) }); err != nil {
			return err
		}
		return moves.ForEach(func(_, value []byte) error {
			t := &moveTask{}
			s.moves = append(s.moves, t)
			return json.Unmarshal(value, t)
		})
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.sortMoves()
	return nil
}

func (s *Server) loadQueue(tx *bbolt.Tx, name string, value []byte) error {
	q := newQueue(name)
	if err := json.Unmarshal(value, q); err != nil {
		return fmt.Errorf("queue %s: %w", name, err)
	}
	q.settle()
	s.queues[name] = q
	messages, err := tx.CreateBucketIfNotExists(messagesBucket(name))
	if err != nil {
		return err
	}
	return messages.ForEach(func(_, value []byte) error {
		m := &message{}
		if err := json.Unmarshal(value, m); err != nil {
			return fmt.Errorf("a message of queue %s: %w", name, err)
		}
		s.lastOrder = max(s.lastOrder, m.Order)
		q.add(m)
		return nil
	})
}

// commit writes what the request in hand changed, in one transaction. The server's lock is held.
func (s *Server) commit() error {
	if len(s.pending) == 0 {
		return nil
	}
	changes := s.pending
	s.pending = nil
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, change := range changes {
			if err := change(tx); err != nil {
				return fmt.Errorf("writing the queues: %w", err)
			}
		}
		return nil
	})
}

func (s *Server) keep(bucket, key []byte, value any) {
	encoded, err := json.Marshal(value)
	s.pending = append(s.pending, func(tx *bbolt.Tx) error {
		if err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		return b.Put(key, encoded)
	})
}

func (s *Server) keepQueue(q *queue) { s.keep(queuesBucket, []byte(q.name), q) }

func (s *Server) keepMove(t *moveTask) { s.keep(movesBucket, []byte(t.Handle), t) }

func (s *Server) keepMessage(q *queue, m *message) { s.keep(messagesBucket(q.name), m.key(), m) }

// key is the order of sending, so that messages that are received together lie together.
func (m *message) key() []byte { return binary.BigEndian.AppendUint64(nil, m.Order) }

func (s *Server) forgetMessage(q *queue, m *message) {
	key := m.key()
	s.pending = append(s.pending, func(tx *bbolt.Tx) error {
		b := tx.Bucket(messagesBucket(q.name))
		if b == nil {
			return nil
		}
		return b.Delete(key)
	})
}

func (s *Server) forgetMessages(q *queue) {
	s.pending = append(s.pending, func(tx *bbolt.Tx) error {
		err := tx.DeleteBucket(messagesBucket(q.name))
		if errors.Is(err, bbolterrors.ErrBucketNotFound) {
			return nil
		}
		return err
	})
}

func (s *Server) forgetQueue(q *queue) {
	s.forgetMessages(q)
	s.pending = append(s.pending, func(tx *bbolt.Tx) error { return tx.Bucket(queuesBucket).Delete([]byte(q.name)) })
}

func (s *Server) forgetMove(t *moveTask) {
	s.pending = append(s.pending, func(tx *bbolt.Tx) error { return tx.Bucket(movesBucket).Delete([]byte(t.Handle)) })
}
