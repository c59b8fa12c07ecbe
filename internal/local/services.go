// Package local runs Purser on one machine, with neither AWS nor Docker: S3, SQS, DynamoDB, Secrets Manager and SNS speak
// their real wire protocols on one loopback port, and the function binaries run in real execution environments.
package local

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/local/dynamodb"
	"github.com/purserhq/purser/internal/local/s3"
	"github.com/purserhq/purser/internal/local/secretsmanager"
	"github.com/purserhq/purser/internal/local/sns"
	"github.com/purserhq/purser/internal/local/sqs"
)

// ServicesOptions says where the services keep their state and who may use them.
type ServicesOptions struct {
	// Data is the directory that holds everything: one folder of ordinary files per bucket, notifications.jsonl, and .purser for
	// the rest.
	Data string
	// AccessKey and SecretKey are what clients must sign their requests with.
	AccessKey, SecretKey string
	// Region stands in ARNs; "us-east-1" when empty.
	Region string
	// Inbox is the prefix under which files that a person drops into a bucket's folder are announced as created objects, "input/"
	// say; empty for none. Everywhere else, too, such files are objects when they are listed or read.
	Inbox string
	// Sync flushes every write to the disk before it is acknowledged, so that a power cut loses nothing. Without it a killed
	// process loses nothing either, and writes are faster.
	Sync bool
	// Log gets what goes wrong inside; nothing is logged when it is nil.
	Log logrus.FieldLogger
}

// ObjectCreated tells of an object that was written, as S3's ObjectCreated events do.
type ObjectCreated struct {
	Bucket, Key string
	ETag        string // without quotes
	VersionID   string // empty: buckets are not versioned
	Size        int64
	Sequencer   string // hex; grows with each write to the bucket
	Time        time.Time
}

// Services are S3, SQS, DynamoDB, Secrets Manager and SNS over one data directory.
type Services struct {
	options  ServicesOptions
	s3       *s3.Store
	sqs      *sqs.Server
	dynamodb *dynamodb.Server
	secrets  *secretsmanager.Server
	sns      *sns.Server

	mu      sync.Mutex
	created []func(ObjectCreated)
}

// OpenServices opens the services on the data directory, which is made when it is missing. Only one process can hold a data
// directory at a time.
func OpenServices(o ServicesOptions) (*Services, error) {
	if o.Data == "" || o.AccessKey == "" || o.SecretKey == "" {
		return nil, errors.New("local services need a data directory, an access key and a secret key")
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	s := &Services{options: o}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the local services in %s: %w", o.Data, err), s.Close())
	}
	return s, nil
}

func (s *Services) open() (err error) {
	o := s.options
	state := filepath.Join(o.Data, ".purser")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	if s.sqs, err = sqs.Open(sqs.Options{Path: filepath.Join(state, "sqs.db"), Region: o.Region, Sync: o.Sync, Log: o.Log}); err != nil {
		return err
	}
	s.dynamodb, err = dynamodb.Open(dynamodb.Options{Path: filepath.Join(state, "dynamodb.db"), Region: o.Region, Sync: o.Sync, Log: o.Log})
	if err != nil {
		return err
	}
	if s.secrets, err = secretsmanager.Open(secretsmanager.Options{Path: filepath.Join(state, "secrets.json"), Region: o.Region}); err != nil {
		return err
	}
	s.sns, err = sns.Open(sns.Options{
		Topics: filepath.Join(state, "topics"), Notifications: filepath.Join(o.Data, "notifications.jsonl"), Region: o.Region,
	})
	if err != nil {
		return err
	}
	s.s3, err = s3.Open(s3.Options{
		Dir: o.Data, State: filepath.Join(state, "s3"), Inbox: o.Inbox, Sync: o.Sync,
		AccessKey: o.AccessKey, SecretKey: o.SecretKey, Log: o.Log, Created: s.announce,
	})
	return err
}

// OnObjectCreated calls f after each object is stored, also for files that a person dropped into the inbox, before this call
// too. f must return quickly: it is called on the goroutine of the request that wrote the object.
func (s *Services) OnObjectCreated(f func(ObjectCreated)) {
	s.mu.Lock()
	s.created = append(s.created, f)
	s.mu.Unlock()
	if s.options.Inbox != "" {
		s.s3.Watch()
	}
}

func (s *Services) announce(c s3.Created) {
	s.mu.Lock()
	created := s.created
	s.mu.Unlock()
	for _, f := range created {
		f(ObjectCreated{Bucket: c.Bucket, Key: c.Key, ETag: c.ETag, Size: c.Size, Sequencer: c.Sequencer, Time: c.Time})
	}
}

// CreateBucket makes the bucket, and is content when it exists.
func (s *Services) CreateBucket(name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return fmt.Errorf("bucket %q: %w", name, err)
	}
	err := s.s3.CreateBucket(context.Background(), name)
	if gofakes3.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// Close ends the services after their state is on the disk. Long polls end at once.
func (s *Services) Close() error {
	var err error
	if s.s3 != nil {
		err = errors.Join(err, s.s3.Close())
	}
	if s.sqs != nil {
		err = errors.Join(err, s.sqs.Close())
	}
	if s.dynamodb != nil {
		err = errors.Join(err, s.dynamodb.Close())
	}
	return err
}

// credential is the scope in a signed request: access key, day, region and service.
var credential = regexp.MustCompile(`Credential=([^/]+)/\d{8}/[^/]*/([^/]+)/aws4_request`)

// Handler serves all services on one port. They are told apart as AWS's clients write their requests: by X-Amz-Target, and by
// the service that the signature names; what is left is S3's, whose URLs are /bucket/key.
func (s *Services) Handler() http.Handler {
	objects := s.s3.Handler()
	targets := map[string]http.Handler{"AmazonSQS": s.sqs, "DynamoDB_20120810": s.dynamodb, "secretsmanager": s.secrets}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		signed := credential.FindStringSubmatch(r.Header.Get("Authorization"))
		switch {
		case r.Header.Get("Origin") != "":
			// The keys may be well-known ones: no web page may use them from the browser of whoever runs this.
			http.Error(w, "the local services do not answer web pages", http.StatusForbidden)
		case r.URL.Path == "/_health" && r.Method == http.MethodGet:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
		case targets[target] != nil:
			if s.admit(w, signed, refuseJSON) {
				targets[target].ServeHTTP(w, r)
			}
		case signed != nil && signed[2] == "sns":
			if s.admit(w, signed, refuseXML) {
				s.sns.ServeHTTP(w, r)
			}
		default:
			objects.ServeHTTP(w, r) // checks the signature itself
		}
	})
}

// admit tells whether the request carries the right access key; if not, it is refused. S3 checks the whole signature, the
// others are content with the key: whoever reaches the loopback port could read the files, too.
func (s *Services) admit(w http.ResponseWriter, signed []string, refuse func(http.ResponseWriter)) bool {
	if signed != nil && subtle.ConstantTimeCompare([]byte(signed[1]), []byte(s.options.AccessKey)) == 1 {
		return true
	}
	refuse(w)
	return false
}

const refusal = "The security token included in the request is invalid: it is not signed with the access key of the local services."

func refuseJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "UnrecognizedClientException", "message": refusal})
}

func refuseXML(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(http.StatusForbidden)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}{Code: "InvalidClientTokenId", Message: refusal})
}
