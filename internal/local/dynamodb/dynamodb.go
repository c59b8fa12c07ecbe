// Package dynamodb is Amazon DynamoDB on one machine, in one bbolt file: tables with secondary indexes, the expression
// language, transactions with idempotent tokens, and time to live, behind AWS's JSON protocol with the limits and errors of the
// real service. Streams, backups, PartiQL and the parameters that came before expressions are left out; a request that uses
// them is refused.
package dynamodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	account     = "000000000000"
	maxRequest  = 17 << 20 // BatchWriteItem's 16 MB, and the JSON around it
	lockTimeout = 2 * time.Second
	sweepEvery  = time.Hour // AWS deletes what is past its time to live "within a few days"
)

// Options says where the tables are kept.
type Options struct {
	Path   string // the bbolt file
	Region string // stands in ARNs
	Sync   bool   // flush each write to the disk before it is acknowledged
	Log    logrus.FieldLogger
	Now    func() time.Time // time.Now when nil
}

// Server answers DynamoDB requests.
type Server struct {
	db     *bbolt.DB
	region string
	log    logrus.FieldLogger
	now    func() time.Time

	closed     chan struct{}
	closing    sync.Once
	background sync.WaitGroup
}

// Open opens the tables in the file.
func Open(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := bbolt.Open(o.Path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoSync: !o.Sync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		err = errors.New("another process uses it; end that one first, or use another data directory")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the tables in %s: %w", o.Path, err)
	}
	s := &Server{db: db, region: o.Region, log: o.Log, now: o.Now, closed: make(chan struct{})}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{tablesBucket, tokensBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return s.dropOldTokens(tx)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.background.Go(s.sweepNowAndThen)
	return s, nil
}

// Close closes the file.
func (s *Server) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.background.Wait()
	return s.db.Close()
}

// call is one request inside its transaction.
type call struct {
	*Server
	tx     *bbolt.Tx
	tables map[string]*table // read already
}

// operation is what one API action does, and whether it writes.
type operation struct {
	writes bool
	do     func(*call, []byte) (answer, error)
}

func reads[T any](f func(*call, *T) (answer, error)) operation {
	return operation{do: func(c *call, body []byte) (answer, error) {
		in := new(T)
		if err := decode(body, in); err != nil {
			return nil, err
		}
		return f(c, in)
	}}
}

func writes[T any](f func(*call, *T) (answer, error)) operation {
	op := reads(f)
	op.writes = true
	return op
}

var operations = map[string]operation{
	"CreateTable":        writes((*call).createTable),
	"DescribeTable":      reads((*call).describeTable),
	"ListTables":         reads((*call).listTables),
	"DeleteTable":        writes((*call).deleteTable),
	"UpdateTimeToLive":   writes((*call).updateTimeToLive),
	"DescribeTimeToLive": reads((*call).describeTimeToLive),
	"PutItem":            writes((*call).putItem),
	"UpdateItem":         writes((*call).updateItem),
	"DeleteItem":         writes((*call).deleteItem),
	"GetItem":            reads((*call).getItem),
	"Query":              reads((*call).query),
	"Scan":               reads((*call).scan),
	"BatchWriteItem":     writes((*call).batchWriteItem),
	"BatchGetItem":       reads((*call).batchGetItem),
	"TransactWriteItems": writes((*call).transactWriteItems),
	"TransactGetItems":   reads((*call).transactGetItems),
}

// decode reads a request. A parameter that would do nothing is better refused than ignored.
func decode(body []byte, in any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	var e *apiError
	if err == nil || errors.As(err, &e) {
		return err
	}
	if strings.HasPrefix(err.Error(), "json: unknown field") {
		return invalid("the local DynamoDB does not know the parameter %s", strings.TrimPrefix(err.Error(), "json: unknown field "))
	}
	return &apiError{code: "SerializationException", text: err.Error()}
}

// ServeHTTP answers one request of the JSON protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var out answer
	if err != nil {
		err = invalid("the request could not be read: %v", err)
	} else {
		out, err = s.run(name, body)
	}
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		var e *apiError
		if !errors.As(err, &e) {
			if s.log != nil {
				s.log.WithError(err).WithField("operation", name).Error("local DynamoDB failed")
			}
			status, e = http.StatusInternalServerError, &apiError{code: "InternalServerError", text: err.Error()}
		}
		out = e.body()
	}
	encoded, err := json.Marshal(out)
	if err != nil { // strings, numbers and the like only: cannot happen
		panic(err)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	// Without it the Go client warns about each answer.
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(encoded)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // the client is gone, then
}

func (s *Server) run(name string, body []byte) (out answer, err error) {
	op, ok := operations[name]
	if !ok {
		return nil, &apiError{code: "UnknownOperationException", text: "the local DynamoDB does not know the operation " + name}
	}
	do := func(tx *bbolt.Tx) error {
		out, err = op.do(&call{Server: s, tx: tx, tables: map[string]*table{}}, body)
		return err // rolls back
	}
	if op.writes {
		return out, s.db.Update(do)
	}
	return out, s.db.View(do)
}
