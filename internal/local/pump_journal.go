package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// journal keeps what the pumps have in hand, so that neither Ctrl-C nor SIGKILL loses an event or hides a message for long. Its
// file is also what makes sure that only one stack runs on a data directory.
type journal struct{ db *bbolt.DB }

// errLocked happens when another stack has the journal.
var errLocked = errors.New("the journal is in use")

var (
	eventsBucket  = []byte("events")  // asynchronous invocations that have not succeeded yet
	batchesBucket = []byte("batches") // receipt handles of messages that a function works on
)

// asyncEvent is an event on its way to a function.
type asyncEvent struct {
	ID        uint64          `json:"id"`
	Subject   string          `json:"subject"` // what it is about, for the log
	Event     json.RawMessage `json:"event"`
	Failures  int             `json:"failures"`
	NotBefore time.Time       `json:"not_before"`
}

func openJournal(path string) (*journal, error) {
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{Timeout: 200 * time.Millisecond})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, errLocked
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, e1 := tx.CreateBucketIfNotExists(eventsBucket)
		_, e2 := tx.CreateBucketIfNotExists(batchesBucket)
		return errors.Join(e1, e2)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &journal{db: db}, nil
}

func (j *journal) close() error { return j.db.Close() }

// add records an event, and gives it its number.
func (j *journal) add(e asyncEvent) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(eventsBucket)
		id, err := b.NextSequence()
		if err != nil {
			return err
		}
		e.ID = id
		return b.Put(numberKey(id), mustMarshal(e))
	})
}

func (j *journal) update(e asyncEvent) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(eventsBucket).Put(numberKey(e.ID), mustMarshal(e))
	})
}

func (j *journal) remove(e asyncEvent) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(eventsBucket).Delete(numberKey(e.ID))
	})
}

// events lists the recorded events, oldest first.
func (j *journal) events() ([]asyncEvent, error) {
	var all []asyncEvent
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(eventsBucket).ForEach(func(_, value []byte) error {
			var e asyncEvent
			if err := json.Unmarshal(value, &e); err != nil {
				return err
			}
			all = append(all, e)
			return nil
		})
	})
	return all, err
}

// hold records the receipt handles of a batch, until release.
func (j *journal) hold(receipts []string) (batch uint64, err error) {
	err = j.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(batchesBucket)
		if batch, err = b.NextSequence(); err != nil {
			return err
		}
		return b.Put(numberKey(batch), mustMarshal(receipts))
	})
	return batch, err
}

func (j *journal) release(batch uint64) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(batchesBucket).Delete(numberKey(batch))
	})
}

// held lists the batches that were held and not released.
func (j *journal) held() (map[uint64][]string, error) {
	batches := map[uint64][]string{}
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(batchesBucket).ForEach(func(key, value []byte) error {
			var receipts []string
			if err := json.Unmarshal(value, &receipts); err != nil {
				return err
			}
			batches[binary.BigEndian.Uint64(key)] = receipts
			return nil
		})
	})
	return batches, err
}

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
