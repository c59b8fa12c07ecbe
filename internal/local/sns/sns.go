// Package sns is the part of Amazon SNS that Purser uses, on one machine: topics, and messages published to them, which are
// appended to a file of JSON lines for a person or a program to read. There are no subscriptions.
package sns

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	account    = "000000000000"
	maxRequest = 1 << 20
	namespace  = "http://sns.amazonaws.com/doc/2010-03-31/"
)

// Options says where topics and messages are kept.
type Options struct {
	Topics        string // a file with a topic's name a line
	Notifications string // the file that messages are appended to
	Region        string // stands in ARNs
}

// Notification is a line of the notifications' file.
type Notification struct {
	Time      time.Time `json:"time"`
	Topic     string    `json:"topic"`
	MessageID string    `json:"message_id"`
	Subject   string    `json:"subject,omitempty"`
	Message   string    `json:"message"`
}

// Server answers SNS requests.
type Server struct {
	options Options

	mu     sync.Mutex
	topics []string // names
}

// Open reads the topics.
func Open(o Options) (*Server, error) {
	s := &Server{options: o}
	f, err := os.Open(o.Topics)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		s.topics = append(s.topics, lines.Text())
	}
	if err := errors.Join(lines.Err(), f.Close()); err != nil {
		return nil, fmt.Errorf("reading the topics in %s: %w", o.Topics, err)
	}
	return s, nil
}

type apiError struct {
	code, text string
	status     int
}

func (e *apiError) Error() string { return e.code + ": " + e.text }

func invalid(text string) error { return &apiError{"InvalidParameter", text, http.StatusBadRequest} }

// metadata stands in every answer.
type metadata struct {
	RequestID string `xml:"RequestId"`
}

type createTopicResponse struct {
	XMLName  xml.Name
	TopicARN string   `xml:"CreateTopicResult>TopicArn"`
	Metadata metadata `xml:"ResponseMetadata"`
}

type publishResponse struct {
	XMLName   xml.Name
	MessageID string   `xml:"PublishResult>MessageId"`
	Metadata  metadata `xml:"ResponseMetadata"`
}

type listTopicsResponse struct {
	XMLName  xml.Name
	Topics   []topic  `xml:"ListTopicsResult>Topics>member"`
	Metadata metadata `xml:"ResponseMetadata"`
}

type topic struct {
	ARN string `xml:"TopicArn"`
}

type errorResponse struct {
	XMLName   xml.Name
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

func element(name string) xml.Name { return xml.Name{Space: namespace, Local: name} }

// ServeHTTP answers one request of the Query protocol: a form, answered in XML.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	id, status := uuid.NewString(), http.StatusOK
	out, err := s.run(r, metadata{id})
	if err != nil {
		e := &apiError{"InternalError", err.Error(), http.StatusInternalServerError}
		errors.As(err, &e)
		status, out = e.status, errorResponse{element("ErrorResponse"), "Sender", e.code, e.text, id}
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", id)
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(out) // the client is gone, then
}

func (s *Server) run(r *http.Request, m metadata) (any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, invalid(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch action := r.PostForm.Get("Action"); action {
	case "CreateTopic":
		arn, err := s.create(r.PostForm.Get("Name"))
		return createTopicResponse{element("CreateTopicResponse"), arn, m}, err
	case "Publish":
		err := s.publish(r.PostForm.Get("TopicArn"), r.PostForm.Get("Subject"), r.PostForm.Get("Message"), m.RequestID)
		return publishResponse{element("PublishResponse"), m.RequestID, m}, err
	case "ListTopics":
		out := listTopicsResponse{XMLName: element("ListTopicsResponse"), Metadata: m}
		for _, name := range s.topics {
			out.Topics = append(out.Topics, topic{s.arn(name)})
		}
		return out, nil
	default:
		return nil, &apiError{"InvalidAction", "the local SNS does not know the action " + action, http.StatusBadRequest}
	}
}

func (s *Server) arn(name string) string {
	return "arn:aws:sns:" + s.options.Region + ":" + account + ":" + name
}

var topicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

func (s *Server) create(name string) (arn string, err error) {
	if !topicName.MatchString(name) {
		return "", invalid("Invalid parameter: Topic Name: 1 to 256 letters, digits, hyphens and underscores")
	}
	if !slices.Contains(s.topics, name) {
		if err := appendLine(s.options.Topics, []byte(name)); err != nil {
			return "", err
		}
		s.topics = append(s.topics, name)
	}
	return s.arn(name), nil
}

func (s *Server) publish(arn, subject, message, id string) error {
	name := arn[strings.LastIndexByte(arn, ':')+1:]
	if !slices.Contains(s.topics, name) {
		return &apiError{"NotFound", "Topic does not exist", http.StatusNotFound}
	}
	if message == "" {
		return invalid("Invalid parameter: Empty message")
	}
	line, err := json.Marshal(Notification{Time: time.Now().UTC(), Topic: name, MessageID: id, Subject: subject, Message: message})
	if err != nil {
		return err
	}
	return appendLine(s.options.Notifications, line)
}

func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
