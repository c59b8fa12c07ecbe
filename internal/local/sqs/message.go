package sqs

import (
	"container/heap"
	"crypto/md5" //nolint:gosec // SQS's own checksum of bodies and attributes
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of messages, as AWS documents them.
const (
	maxBatch      = 10
	maxBatchBytes = 1 << 20
	maxAttributes = 10
	maxDelay      = 900   // seconds
	maxVisibility = 43200 // seconds
)

// message is one message of a queue; its exported fields are what the file keeps. Times are Unix milliseconds.
type message struct {
	ID, Body      string
	Attributes    map[string]attribute `json:",omitempty"`
	TraceHeader   string               `json:",omitempty"`
	Sent          int64
	VisibleAt     int64
	Received      int    `json:",omitempty"` // times
	FirstReceived int64  `json:",omitempty"`
	Source        string `json:",omitempty"` // ARN of the queue whose redrive policy moved it here
	Order         uint64 // of sending, for messages that become visible together

	place int // in byVisibility
}

// attribute is the value of a message attribute.
type attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`

	// never used by SQS, but clients may send them empty
	StringListValues []string `json:",omitempty"`
	BinaryListValues [][]byte `json:",omitempty"`
}

// byVisibility is a heap whose first message is the one that becomes visible next.
type byVisibility []*message

func (h byVisibility) Len() int { return len(h) }

func (h byVisibility) Less(i, j int) bool {
	if h[i].VisibleAt != h[j].VisibleAt {
		return h[i].VisibleAt < h[j].VisibleAt
	}
	return h[i].Order < h[j].Order
}

func (h byVisibility) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *byVisibility) Push(x any) {
	m := x.(*message)
	m.place = len(*h)
	*h = append(*h, m)
}

func (h *byVisibility) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}

// size is what counts against the limits: the body, and the attributes' names, types and values.
func (e *entry) size() int {
	n := len(e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			n += len(*a.StringValue)
		}
	}
	return n
}

func (s *Server) send(q *queue, e *entry) (answer, error) {
	delay := q.delay
	if e.DelaySeconds != nil {
		delay = *e.DelaySeconds
	}
	switch {
	case e.MessageBody == "":
		return nil, fail("MissingParameter", "The request must contain the parameter MessageBody.")
	case !legal(e.MessageBody):
		return nil, fail("InvalidMessageContents", "Invalid characters found. Valid are #x9, #xA, #xD and #x20 upwards.")
	case e.size() > q.maxSize:
		return nil, fail("InvalidParameterValue",
			"One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.maxSize)
	case delay < 0 || delay > maxDelay:
		return nil, fail("InvalidParameterValue", "Value %d for parameter DelaySeconds is invalid. Reason: must be from 0 to %d.",
			delay, maxDelay)
	}
	if err := checkMessageAttributes(e.MessageAttributes); err != nil {
		return nil, err
	}
	now := s.now().UnixMilli()
	m := &message{ID: uuid.NewString(), Body: e.MessageBody, Attributes: e.MessageAttributes, Sent: now, VisibleAt: now + int64(delay)*1000}
	if trace, ok := e.MessageSystemAttributes["AWSTraceHeader"]; ok && trace.StringValue != nil {
		m.TraceHeader = *trace.StringValue
	}
	s.enqueue(q, m)
	out := answer{"MessageId": m.ID, "MD5OfMessageBody": md5Hex(m.Body)}
	if len(m.Attributes) > 0 {
		out["MD5OfMessageAttributes"] = md5OfAttributes(m.Attributes)
	}
	return out, nil
}

// enqueue puts a message that is in no queue into this one.
func (s *Server) enqueue(q *queue, m *message) {
	s.lastOrder++
	m.Order = s.lastOrder
	q.add(m)
	s.keepMessage(q, m)
	q.signal()
}

// legal tells whether the body has only the characters that XML 1.0 allows, which is SQS's rule.
func legal(body string) bool {
	if !utf8.ValidString(body) {
		return false
	}
	for _, r := range body {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

var dataType = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)

func checkMessageAttributes(attributes map[string]attribute) error {
	if len(attributes) > maxAttributes {
		return fail("InvalidParameterValue", "Number of message attributes [%d] exceeds the allowed maximum [%d].",
			len(attributes), maxAttributes)
	}
	for name, a := range attributes {
		switch {
		case !dataType.MatchString(a.DataType):
			return fail("InvalidParameterValue", "The message attribute '%s' has an invalid message attribute type, the set of"+
				" supported type prefixes is Binary, Number, and String.", name)
		case a.StringValue == nil && len(a.BinaryValue) == 0, a.StringValue != nil && *a.StringValue == "":
			return fail("InvalidParameterValue", "The message attribute '%s' must contain a non-empty value.", name)
		}
	}
	return nil
}

// receipt makes the handle of one receipt of a message.
func receipt(m *message, now int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s|%d|%d", m.ID, m.Received, now))
}

// byReceipt finds the message of a handle; nil when it is gone. As in AWS, a handle of an earlier receipt still works while the
// message lives.
func (q *queue) byReceipt(handle string) (*message, error) {
	decoded, err := base64.RawURLEncoding.DecodeString(handle)
	id, _, ok := strings.Cut(string(decoded), "|")
	if err != nil || !ok {
		return nil, fail("ReceiptHandleIsInvalid", "The input receipt handle %q is invalid.", handle)
	}
	return q.messages[id], nil
}

func (s *Server) delete(q *queue, e *entry) (answer, error) {
	m, err := q.byReceipt(e.ReceiptHandle)
	if err != nil || m == nil {
		return nil, err
	}
	q.remove(m)
	s.forgetMessage(q, m)
	return nil, nil
}

func (s *Server) changeVisibility(q *queue, e *entry) (answer, error) {
	m, err := q.byReceipt(e.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	if e.VisibilityTimeout == nil || *e.VisibilityTimeout < 0 || *e.VisibilityTimeout > maxVisibility {
		return nil, fail("InvalidParameterValue", "VisibilityTimeout must be from 0 to %d.", maxVisibility)
	}
	now := s.now().UnixMilli()
	if m == nil || m.VisibleAt <= now || m.Received == 0 {
		return nil, fail("MessageNotInflight", "The message does not exist or is not available for a visibility timeout change.")
	}
	s.show(q, m, now+int64(*e.VisibilityTimeout)*1000)
	return nil, nil
}

// show makes the message visible at that time.
func (s *Server) show(q *queue, m *message, at int64) {
	m.VisibleAt = at
	heap.Fix(&q.waiting, m.place)
	s.keepMessage(q, m)
	q.signal()
}

var batchID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// onBatch does the operation for each entry; what fails is told entry by entry, in an answer that is otherwise a success.
func onBatch(f func(*Server, *queue, *entry) (answer, error)) func(*Server, *request) (answer, error) {
	return onQueue(func(s *Server, q *queue, in *request) (answer, error) {
		if err := checkBatch(in.Entries); err != nil {
			return nil, err
		}
		successful, failed := []answer{}, []answer{}
		for i := range in.Entries {
			e := &in.Entries[i]
			out, err := f(s, q, e)
			if err != nil {
				failed = append(failed, batchFailure(e.Id, err))
				continue
			}
			if out == nil {
				out = answer{}
			}
			out["Id"] = e.Id
			successful = append(successful, out)
		}
		return answer{"Successful": successful, "Failed": failed}, nil
	})
}

func batchFailure(id string, err error) answer {
	out := answer{"Id": id, "SenderFault": true, "Code": "InternalError", "Message": err.Error()}
	//nolint:errorlint // the operations of this package return it unwrapped
	if e, ok := err.(*apiError); ok {
		out["Code"], out["Message"] = e.queryCode(), e.text
	}
	return out
}

func checkBatch(entries []entry) error {
	if len(entries) == 0 {
		return fail("EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request.")
	}
	if len(entries) > maxBatch {
		return fail("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.",
			maxBatch, len(entries))
	}
	seen, total := map[string]bool{}, 0
	for i := range entries {
		id := entries[i].Id
		if !batchID.MatchString(id) {
			return fail("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores."+
				" It can be at most 80 letters long.")
		}
		if seen[id] {
			return fail("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
		total += entries[i].size()
	}
	if total > maxBatchBytes {
		return fail("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, total)
	}
	return nil
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the checksum that clients compare: over names in order, each with its type, the kind of its value (1 for
// text, 2 for bytes) and the value, all with their lengths before them.
func md5OfAttributes(attributes map[string]attribute) string {
	h := md5.New() //nolint:gosec // see the import
	write := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) //nolint:gosec // at most 1 MiB
		h.Write(b)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		write([]byte(name))
		write([]byte(a.DataType))
		if a.StringValue != nil {
			h.Write([]byte{1})
			write([]byte(*a.StringValue))
		} else {
			h.Write([]byte{2})
			write(a.BinaryValue)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
