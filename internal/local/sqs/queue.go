package sqs

import (
	"container/heap"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// queue is one standard queue. Its exported fields are what the file keeps.
type queue struct {
	Attributes        map[string]string // as set or by default; all of settable
	Tags              map[string]string
	Created, Modified int64 // Unix seconds

	name     string
	messages map[string]*message // by ID
	waiting  byVisibility        // the same messages
	wake     chan struct{}       // closed when something may have become receivable

	// read out of Attributes by settle
	visibility, delay, retention, wait, maxSize int
	deadLetter                                  string // name of the dead-letter queue
	maxReceive                                  int
}

// number is a numeric attribute: what it is when not set, and its limits as AWS documents them.
type number struct{ byDefault, least, most int }

var numbers = map[string]number{
	"DelaySeconds":                  {0, 0, 900},
	"MaximumMessageSize":            {1 << 20, 1 << 10, 1 << 20},
	"MessageRetentionPeriod":        {4 * 86400, 60, 14 * 86400},
	"ReceiveMessageWaitTimeSeconds": {0, 0, 20},
	"VisibilityTimeout":             {30, 0, 43200},
}

// kept are attributes that are stored and shown, and change nothing here.
var kept = []string{"Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"}

func newQueue(name string) *queue {
	q := &queue{name: name, Attributes: map[string]string{"SqsManagedSseEnabled": "true"}, Tags: map[string]string{}}
	for attribute, n := range numbers {
		q.Attributes[attribute] = strconv.Itoa(n.byDefault)
	}
	q.messages, q.wake = map[string]*message{}, make(chan struct{})
	q.settle()
	return q
}

// settle reads the attributes that the queue works by.
func (q *queue) settle() {
	read := func(attribute string) int {
		n, err := strconv.Atoi(q.Attributes[attribute])
		if err != nil { // checked before it was stored
			return numbers[attribute].byDefault
		}
		return n
	}
	q.visibility, q.delay = read("VisibilityTimeout"), read("DelaySeconds")
	q.retention, q.wait = read("MessageRetentionPeriod"), read("ReceiveMessageWaitTimeSeconds")
	q.maxSize = read("MaximumMessageSize")
	q.deadLetter, q.maxReceive, _ = redrivePolicy(q.Attributes["RedrivePolicy"])
}

// redrivePolicy reads the JSON of a RedrivePolicy, whose count may be a number or a string.
func redrivePolicy(policy string) (deadLetter string, maxReceive int, ok bool) {
	var p struct {
		DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(policy), &p) != nil {
		return "", 0, false
	}
	n, err := strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`))
	if err != nil || n < 1 || n > 1000 {
		return "", 0, false
	}
	return nameOf(p.DeadLetterTargetArn), n, true
}

func (q *queue) add(m *message) {
	q.messages[m.ID] = m
	heap.Push(&q.waiting, m)
}

func (q *queue) remove(m *message) {
	delete(q.messages, m.ID)
	heap.Remove(&q.waiting, m.place)
}

// expired tells whether the message outlived the queue's retention period. It counts from the first send also in a dead-letter
// queue, as AWS does.
func (q *queue) expired(m *message, now int64) bool {
	return m.Sent+int64(q.retention)*1000 <= now
}

func (q *queue) signal() {
	close(q.wake)
	q.wake = make(chan struct{})
}

func (s *Server) arn(q *queue) string {
	return "arn:aws:sqs:" + s.region + ":" + Account + ":" + q.name
}

// nameOf is the last part of an ARN or of a queue's URL.
func nameOf(s string) string { return s[strings.LastIndexAny(s, ":/")+1:] }

func url(in *request, q *queue) string { return in.base + "/" + Account + "/" + q.name }

func (s *Server) find(queue string) (*queue, error) {
	if q := s.queues[nameOf(queue)]; q != nil {
		return q, nil
	}
	return nil, fail("QueueDoesNotExist", "The specified queue does not exist.")
}

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func (s *Server) createQueue(in *request) (answer, error) {
	if !queueName.MatchString(in.QueueName) {
		return nil, fail("InvalidParameterValue",
			"A queue name has 1 to 80 letters, digits, hyphens or underscores; FIFO queues do not exist in the local SQS.")
	}
	if err := s.checkAttributes(in.Attributes); err != nil {
		return nil, err
	}
	if q := s.queues[in.QueueName]; q != nil {
		for attribute, value := range in.Attributes {
			if q.Attributes[attribute] != value {
				return nil, fail("QueueNameExists",
					"A queue already exists with the same name and a different value for attribute %s", attribute)
			}
		}
		return answer{"QueueUrl": url(in, q)}, nil
	}
	q := newQueue(in.QueueName)
	maps.Copy(q.Attributes, in.Attributes)
	maps.Copy(q.Tags, in.Tags)
	q.Created = s.now().Unix()
	q.Modified = q.Created
	q.settle()
	s.queues[q.name] = q
	s.keepQueue(q)
	return answer{"QueueUrl": url(in, q)}, nil
}

func (s *Server) checkAttributes(attributes map[string]string) error {
	for attribute, value := range attributes {
		if n, ok := numbers[attribute]; ok {
			v, err := strconv.Atoi(value)
			if err != nil || v < n.least || v > n.most {
				return fail("InvalidAttributeValue", "Invalid value for the parameter %s. It must be between %d and %d.",
					attribute, n.least, n.most)
			}
			continue
		}
		switch {
		case attribute == "RedrivePolicy" && value != "":
			if name, _, ok := redrivePolicy(value); !ok || s.queues[name] == nil {
				return fail("InvalidParameterValue", "Value %s for parameter RedrivePolicy is invalid. Reason: it must be a JSON"+
					" object with the deadLetterTargetArn of a queue that exists and a maxReceiveCount from 1 to 1000.", value)
			}
		case attribute != "RedrivePolicy" && !slices.Contains(kept, attribute):
			return fail("InvalidAttributeName", "Unknown Attribute %s.", attribute)
		}
	}
	return nil
}

func (s *Server) setQueueAttributes(q *queue, in *request) (answer, error) {
	if err := s.checkAttributes(in.Attributes); err != nil {
		return nil, err
	}
	maps.Copy(q.Attributes, in.Attributes)
	q.Modified = s.now().Unix()
	q.settle()
	s.keepQueue(q)
	q.signal() // a new redrive policy may free a long poll
	return nil, nil
}

func (s *Server) getQueueAttributes(q *queue, in *request) (answer, error) {
	visible, inFlight, delayed := s.count(q)
	all := map[string]string{
		"QueueArn":                              s.arn(q),
		"CreatedTimestamp":                      strconv.FormatInt(q.Created, 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.Modified, 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
	}
	for attribute, value := range q.Attributes {
		if value != "" {
			all[attribute] = value
		}
	}
	return answer{"Attributes": named(all, in.AttributeNames)}, nil
}

// count drops what has expired, and counts the rest.
func (s *Server) count(q *queue) (visible, inFlight, delayed int) {
	now := s.now().UnixMilli()
	for _, m := range q.messages {
		switch {
		case q.expired(m, now):
			q.remove(m)
			s.forgetMessage(q, m)
		case m.VisibleAt <= now:
			visible++
		case m.Received == 0:
			delayed++
		default:
			inFlight++
		}
	}
	return visible, inFlight, delayed
}

// named picks what the client asked for.
func named(all map[string]string, names []string) map[string]string {
	if slices.Contains(names, "All") {
		return all
	}
	out := map[string]string{}
	for _, name := range names {
		if value, ok := all[name]; ok {
			out[name] = value
		}
	}
	return out
}

// urls are the URLs of the queues that match, in order.
func (s *Server) urls(in *request, match func(*queue) bool) []string {
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		if q := s.queues[name]; match(q) {
			out = append(out, url(in, q))
		}
	}
	return out
}

func (s *Server) listQueues(in *request) (answer, error) {
	return answer{"QueueUrls": s.urls(in, func(q *queue) bool { return strings.HasPrefix(q.name, in.QueueNamePrefix) })}, nil
}

func (s *Server) getQueueURL(in *request) (answer, error) {
	q, err := s.find(in.QueueName)
	if err != nil {
		return nil, err
	}
	return answer{"QueueUrl": url(in, q)}, nil
}

func (s *Server) listDeadLetterSourceQueues(q *queue, in *request) (answer, error) {
	return answer{"queueUrls": s.urls(in, func(source *queue) bool { return source.deadLetter == q.name })}, nil
}

func (s *Server) deleteQueue(q *queue, _ *request) (answer, error) {
	delete(s.queues, q.name)
	s.forgetQueue(q)
	q.signal() // long polls learn that it is gone
	return nil, nil
}

func (s *Server) purgeQueue(q *queue, _ *request) (answer, error) {
	q.messages, q.waiting = map[string]*message{}, nil
	s.forgetMessages(q)
	return nil, nil
}

func (s *Server) tagQueue(q *queue, in *request) (answer, error) {
	maps.Copy(q.Tags, in.Tags)
	s.keepQueue(q)
	return nil, nil
}

func (s *Server) untagQueue(q *queue, in *request) (answer, error) {
	for _, key := range in.TagKeys {
		delete(q.Tags, key)
	}
	s.keepQueue(q)
	return nil, nil
}

func (s *Server) listQueueTags(q *queue, _ *request) (answer, error) {
	return answer{"Tags": q.Tags}, nil
}
