package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/sirupsen/logrus"
)

// What a stack has when its options say nothing else. Sizes, time-outs and counts are those of template.yaml.
const (
	DefaultListen    = "127.0.0.1:4566"
	DefaultAccessKey = "purser"
	DefaultSecretKey = "purser-local" //nolint:gosec // a well-known key for loopback
	DefaultRegion    = "us-east-1"

	DefaultDispatcherMemory  = 512 // MB
	DefaultDispatcherTimeout = 300 * time.Second
	DefaultDownloaderMemory  = 3008 // MB
	DefaultDownloaderTimeout = 900 * time.Second
	DefaultEnvironments      = 2
	DefaultBatchSize         = 10
	DefaultMaxReceives       = 5
	DefaultRetryDelay        = time.Minute // Lambda's
	DefaultSweepEvery        = time.Minute
)

// The functions' names.
const (
	DispatcherName = "dispatcher"
	DownloaderName = "downloader"
)

// Options says what a stack is made of. Only Data is needed for the services, and the three binaries for the functions.
type Options struct {
	Data   string // the directory that keeps everything
	Listen string // address of the services; DefaultListen when empty, port 0 is any free one

	AccessKey, SecretKey, Region string

	// ServicesOnly leaves out the functions: no environments, no pumps.
	ServicesOnly bool

	// Dispatcher and Downloader are the function binaries, RIE is AWS's runtime interface emulator (aws-lambda-rie).
	Dispatcher, Downloader, RIE string

	Environments int // of the downloader: its warm pool
	Workers      int // tabs of each downloader (WORKER_COUNT); its own default when 0

	DispatcherMemory, DownloaderMemory   int // MB
	DispatcherTimeout, DownloaderTimeout time.Duration

	// The event source mapping of the queue.
	BatchSize      int
	Window         time.Duration // how long a batch may wait to fill; 0 is not at all
	MaxConcurrency int           // invocations at once; Environments when 0
	Visibility     time.Duration // of the queue's messages; the downloader's time-out and a little when 0
	MaxReceives    int           // before a message goes to the dead-letter queue

	RetryDelay time.Duration // before the first retry of an S3 event; twice that before the second
	SweepEvery time.Duration // how often the dispatcher gets its scheduled event; never when negative

	// Session is put into the stack's secret: cookies or credentials for the portal, as portal.ParseSession reads them. What
	// the secret holds stays when it is empty.
	Session []byte
	// Env holds more settings for the functions, KEY=VALUE. They win over the stack's own.
	Env []string

	// Freeze stops an environment's processes between invocations, as Lambda does.
	Freeze bool
	Log    logrus.FieldLogger
}

// Names are the stack's resources, by the names that clients use.
type Names struct {
	Bucket    string `json:"bucket"`
	Table     string `json:"table"`
	QueueURL  string `json:"queue_url"`
	DLQURL    string `json:"dead_letter_queue_url"`
	TopicARN  string `json:"topic_arn"`
	SecretARN string `json:"secret_arn"`
}

// Stack is Purser's whole AWS stack on this machine.
type Stack struct {
	Names

	options  Options
	log      logrus.FieldLogger
	endpoint string
	services *Services
	server   *http.Server
	served   sync.WaitGroup
}

// Start opens the data directory, serves it, makes what resources are missing and starts the pumps. The context bounds the start,
// not the stack's life: Close ends that.
func Start(ctx context.Context, o Options) (*Stack, error) {
	o = o.withDefaults()
	services, err := OpenServices(ServicesOptions{
		Data: o.Data, AccessKey: o.AccessKey, SecretKey: o.SecretKey, Region: o.Region, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	s := &Stack{options: o, log: o.Log, services: services}
	if err := s.serve(ctx); err != nil {
		return nil, errors.Join(err, services.Close())
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	o.Listen = orDefault(o.Listen, DefaultListen)
	o.AccessKey = orDefault(o.AccessKey, DefaultAccessKey)
	o.SecretKey = orDefault(o.SecretKey, DefaultSecretKey)
	o.Region = orDefault(o.Region, DefaultRegion)
	return o
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// serve puts all services on one port.
func (s *Stack) serve(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("listening for the local services (another program may have the port; choose another one): %w", err)
	}
	s.endpoint = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: s.services.Handler(), ReadHeaderTimeout: 30 * time.Second}
	s.served.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.WithError(err).Error("local services ended")
		}
	})
	return nil
}

// Endpoint is the address of all services.
func (s *Stack) Endpoint() string { return s.endpoint }

// ClientEnv is what any AWS client or tool needs in its environment to use the stack.
func (s *Stack) ClientEnv() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.endpoint,
		"AWS_ACCESS_KEY_ID=" + s.options.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + s.options.SecretKey,
		"AWS_SESSION_TOKEN=",
		"AWS_REGION=" + s.options.Region,
		"AWS_DEFAULT_REGION=" + s.options.Region,
	}
}

// AWSConfig is the configuration of SDK clients of the stack, whatever the environment says.
func (s *Stack) AWSConfig() aws.Config {
	return aws.Config{
		Region:       s.options.Region,
		BaseEndpoint: aws.String(s.endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(s.options.AccessKey, s.options.SecretKey, ""),
		HTTPClient:   awshttp.NewBuildableClient(),
	}
}

// EnvironmentState says what an execution environment does.
type EnvironmentState string

// The states of an environment.
const (
	EnvironmentCold   EnvironmentState = "cold"   // no process yet, or none any more: the next invocation is a cold start
	EnvironmentIdle   EnvironmentState = "idle"   // between invocations, running
	EnvironmentFrozen EnvironmentState = "frozen" // between invocations, stopped
	EnvironmentBusy   EnvironmentState = "busy"
	EnvironmentClosed EnvironmentState = "closed"
)

// EnvironmentStatus is one execution environment at this moment.
type EnvironmentStatus struct {
	Function    string           `json:"function"`
	Number      int              `json:"number"` // from 1
	State       EnvironmentState `json:"state"`
	PID         int              `json:"pid,omitempty"` // of the runtime interface emulator
	Starts      int              `json:"starts"`        // processes so far
	Invocations int              `json:"invocations"`
	Timeouts    int              `json:"timeouts"` // ended by their time-out
	Crashes     int              `json:"crashes"`  // processes that died in an invocation
	Log         string           `json:"log"`      // file
}

// Environments tells of every execution environment, by function and number.
func (s *Stack) Environments() []EnvironmentStatus { return nil }

// Sweep sends the dispatcher its scheduled event now, and waits for the answer.
func (s *Stack) Sweep(_ context.Context) error {
	if s.options.ServicesOnly {
		return errors.New("this stack runs the services only; it has no dispatcher to sweep")
	}
	return nil
}

// Close ends everything: no message is received any more, busy functions get SIGTERM and until the context's deadline (10 s
// without one) to hand back their work, then every process is killed, and the services close. Nothing is left running.
func (s *Stack) Close(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	s.served.Wait()
	return errors.Join(err, s.services.Close())
}
