// Package sqs is Amazon SQS on one machine: standard queues behind AWS's JSON protocol, with the limits and errors of the real
// service, so that a program can be tried with the real client. Messages live in memory; every change is in a bbolt file
// before it is acknowledged. FIFO queues, permissions and the older Query protocol are left out.
package sqs

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	"go.etcd.io/bbolt"
)

// Account is the AWS account that stands in ARNs and queue URLs.
const Account = "000000000000"

// onePiece is how long a body may be to reach the client together with its headers. smithy-go closes its request's body as soon
// as the headers are in; on a busy machine net/http has not quite sent that body then, gives up the connection, and loses what
// it has not read yet. Seen once in some 10,000 receipts of ten messages, which then stayed hidden until their time-out; not in
// 60,000 when the answer was compressed.
const onePiece = 3 << 10

// maxRequest is above the largest batch: 1 MiB of messages, written as JSON.
const maxRequest = 8 << 20

// Options says where the queues are kept.
type Options struct {
	Path   string // the bbolt file
	Region string // stands in ARNs
	Sync   bool   // flush each change to the disk before it is acknowledged
	Log    logrus.FieldLogger
	Now    func() time.Time // time.Now when nil
}

// Server answers SQS requests.
type Server struct {
	region string
	log    logrus.FieldLogger
	now    func() time.Time
	db     *bbolt.DB

	mu        sync.Mutex
	queues    map[string]*queue
	moves     []*moveTask
	lastOrder uint64
	pending   []func(*bbolt.Tx) error // what the request in hand changed; see commit

	closed     chan struct{} // ends long polls and move tasks
	background sync.WaitGroup
}

// Open reads the queues from the file, and goes on with the move tasks that were running.
func Open(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{region: o.Region, log: o.Log, now: o.Now, queues: map[string]*queue{}, closed: make(chan struct{})}
	if err := s.load(o.Path, o.Sync); err != nil {
		return nil, fmt.Errorf("opening the queues in %s: %w", o.Path, err)
	}
	for _, t := range s.moves {
		if t.Status == moveRunning {
			s.startMove(t)
		}
	}
	return s, nil
}

// Close ends every long poll and closes the file. Move tasks go on at the next Open.
func (s *Server) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		return nil
	default:
	}
	close(s.closed)
	s.mu.Unlock()
	s.background.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.Close()
}

// answer is the body of a response.
type answer = map[string]any

// request holds the parameters of all operations; each uses its own.
type request struct {
	QueueUrl, QueueName, QueueNamePrefix                    string
	QueueOwnerAWSAccountId, NextToken                       string
	Attributes                                              map[string]string
	Tags                                                    map[string]string `json:"tags"`
	TagKeys                                                 []string
	AttributeNames, MessageSystemAttributeNames             []string
	MessageAttributeNames                                   []string
	MaxNumberOfMessages, VisibilityTimeout, WaitTimeSeconds *int
	Entries                                                 []entry
	SourceArn, DestinationArn, TaskHandle                   string
	MaxNumberOfMessagesPerSecond, MaxResults                *int

	// of the single forms of the batch operations
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attribute
	MessageSystemAttributes map[string]attribute
	ReceiptHandle           string

	base string // scheme and host that the client used, for queue URLs
}

// entry is one message of a batch.
type entry struct {
	Id                      string
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attribute
	MessageSystemAttributes map[string]attribute
	ReceiptHandle           string
	VisibilityTimeout       *int
}

// single is the request's own message, as an entry.
func (in *request) single() *entry {
	return &entry{
		MessageBody: in.MessageBody, DelaySeconds: in.DelaySeconds, MessageAttributes: in.MessageAttributes,
		MessageSystemAttributes: in.MessageSystemAttributes, ReceiptHandle: in.ReceiptHandle, VisibilityTimeout: in.VisibilityTimeout,
	}
}

// operations are what the server can do under its lock. ReceiveMessage is not among them: it waits.
var operations = map[string]func(*Server, *request) (answer, error){
	"CreateQueue":                  (*Server).createQueue,
	"ListQueues":                   (*Server).listQueues,
	"GetQueueUrl":                  (*Server).getQueueURL,
	"StartMessageMoveTask":         (*Server).startMessageMoveTask,
	"ListMessageMoveTasks":         (*Server).listMessageMoveTasks,
	"CancelMessageMoveTask":        (*Server).cancelMessageMoveTask,
	"GetQueueAttributes":           onQueue((*Server).getQueueAttributes),
	"SetQueueAttributes":           onQueue((*Server).setQueueAttributes),
	"DeleteQueue":                  onQueue((*Server).deleteQueue),
	"PurgeQueue":                   onQueue((*Server).purgeQueue),
	"ListDeadLetterSourceQueues":   onQueue((*Server).listDeadLetterSourceQueues),
	"TagQueue":                     onQueue((*Server).tagQueue),
	"UntagQueue":                   onQueue((*Server).untagQueue),
	"ListQueueTags":                onQueue((*Server).listQueueTags),
	"SendMessage":                  onMessage((*Server).send),
	"DeleteMessage":                onMessage((*Server).delete),
	"ChangeMessageVisibility":      onMessage((*Server).changeVisibility),
	"SendMessageBatch":             onBatch((*Server).send),
	"DeleteMessageBatch":           onBatch((*Server).delete),
	"ChangeMessageVisibilityBatch": onBatch((*Server).changeVisibility),
}

func onQueue(f func(*Server, *queue, *request) (answer, error)) func(*Server, *request) (answer, error) {
	return func(s *Server, in *request) (answer, error) {
		q, err := s.find(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		return f(s, q, in)
	}
}

func onMessage(f func(*Server, *queue, *entry) (answer, error)) func(*Server, *request) (answer, error) {
	return onQueue(func(s *Server, q *queue, in *request) (answer, error) { return f(s, q, in.single()) })
}

// ServeHTTP answers one request of the JSON protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	in, err := read(w, r)
	var out answer
	giveBack := func() {}
	if err == nil {
		if operation == "ReceiveMessage" {
			if out, giveBack, err = s.receive(r.Context(), in); out != nil {
				// A connection that the client has closed takes one more write and fails the next. This is the one more:
				// clients skip it.
				w.WriteHeader(http.StatusContinue)
			}
		} else {
			out, err = s.run(operation, in)
		}
	}
	if r.Context().Err() != nil || s.write(w, r, out, err) != nil {
		giveBack()
	}
}

func read(w http.ResponseWriter, r *http.Request) (*request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return nil, fail("InvalidParameterValue", "the request could not be read: %v", err)
	}
	in := &request{base: "http://" + r.Host}
	if r.TLS != nil {
		in.base = "https://" + r.Host
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a parameter that would do nothing is better refused
	if err := d.Decode(in); err != nil && !errors.Is(err, io.EOF) {
		return nil, fail("InvalidParameterValue", "the local SQS cannot read the request: %v", err)
	}
	return in, nil
}

func (s *Server) run(operation string, in *request) (answer, error) {
	f := operations[operation]
	if f == nil {
		return nil, fail("InvalidAction", "The action %s is not one that the local SQS knows.", operation)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := f(s, in)
	if e := s.commit(); e != nil {
		return nil, e
	}
	return out, err
}

// write answers the client; an error means that the answer did not get out.
func (s *Server) write(w http.ResponseWriter, r *http.Request, out answer, err error) error {
	status := http.StatusOK
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			if s.log != nil {
				s.log.WithError(err).Error("local SQS failed")
			}
			e = &apiError{code: "InternalError", text: err.Error(), status: http.StatusInternalServerError}
		}
		status = e.status
		w.Header().Set("x-amzn-query-error", e.queryCode()+";"+e.fault())
		out = answer{"__type": "com.amazonaws.sqs#" + e.code, "message": e.text}
	}
	if out == nil {
		out = answer{}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("x-amzn-RequestId", uuid.NewString())
	if len(body) > onePiece && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = compressed(body)
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&b)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	return b.Bytes()
}
