package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
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

	// visibilityMargin is how much longer than a downloader's time-out its messages stay hidden, by default. AWS asks for
	// six times the time-out, for the sake of throttled batches; here the pump receives nothing while its environments are
	// busy, and the messages of a killed environment should come back soon.
	visibilityMargin = 30 * time.Second

	// dispatcherEnvironments lets a second sheet start while a long one is read.
	dispatcherEnvironments = 2
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
	DLQARN    string `json:"dead_letter_queue_arn"`
	TopicARN  string `json:"topic_arn"`
	SecretARN string `json:"secret_arn"`
}

// Stack is Purser's whole AWS stack on this machine.
type Stack struct {
	Names

	options  Options
	log      logrus.FieldLogger
	endpoint string
	journal  *journal
	services *Services
	server   *http.Server
	served   sync.WaitGroup

	// Without functions, these are empty.
	dispatcher, downloader *pool
	uploads                *asyncPump
	pumps                  sync.WaitGroup
	stopPumps              context.CancelFunc

	closing  sync.Once
	closeErr error
}

// Start opens the data directory, serves it, makes what resources are missing and starts the pumps. The context bounds the start,
// not the stack's life: Close ends that.
func Start(ctx context.Context, o Options) (*Stack, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Stack{options: o, log: o.Log}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// open takes one step after the other. Close ends those that were taken.
func (s *Stack) open(ctx context.Context) (err error) {
	if s.journal, err = openJournal(filepath.Join(s.stateDir(), "pumps.db")); err != nil {
		if errors.Is(err, errLocked) {
			return fmt.Errorf("a stack already runs on %s%s; end it first, or use another data directory", s.options.Data, s.whoRuns())
		}
		return err
	}
	if err := killMarked(ctx, s.mark()); err != nil {
		return fmt.Errorf("ending what an earlier stack has left behind: %w", err)
	}
	s.services, err = OpenServices(ServicesOptions{
		Data: s.options.Data, AccessKey: s.options.AccessKey, SecretKey: s.options.SecretKey, Region: s.options.Region,
		Inbox: inputPrefix, Log: s.log,
	})
	if err != nil {
		return err
	}
	if !s.options.ServicesOnly {
		s.prepareFunctions()
	}
	if err := s.serve(ctx); err != nil {
		return err
	}
	if err := s.sayWhoRuns(); err != nil {
		return err
	}
	if err := s.makeResources(ctx); err != nil {
		return err
	}
	if s.options.ServicesOnly {
		return nil
	}
	return s.startFunctions(ctx)
}

// complete checks the options, and fills in the defaults.
func (o Options) complete() (Options, error) {
	if o.Data == "" {
		return o, errors.New("the local stack needs a data directory")
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return o, err
	}
	if err := os.MkdirAll(filepath.Join(data, stateDirName), 0o755); err != nil {
		return o, err
	}
	// Two paths of one directory must not look like two directories.
	if o.Data, err = filepath.EvalSymlinks(data); err != nil {
		return o, err
	}
	o.Listen = cmp.Or(o.Listen, DefaultListen)
	o.AccessKey = cmp.Or(o.AccessKey, DefaultAccessKey)
	o.SecretKey = cmp.Or(o.SecretKey, DefaultSecretKey)
	o.Region = cmp.Or(o.Region, DefaultRegion)
	o.Environments = cmp.Or(o.Environments, DefaultEnvironments)
	o.DispatcherMemory = cmp.Or(o.DispatcherMemory, DefaultDispatcherMemory)
	o.DownloaderMemory = cmp.Or(o.DownloaderMemory, DefaultDownloaderMemory)
	o.DispatcherTimeout = wholeSeconds(cmp.Or(o.DispatcherTimeout, DefaultDispatcherTimeout))
	o.DownloaderTimeout = wholeSeconds(cmp.Or(o.DownloaderTimeout, DefaultDownloaderTimeout))
	o.BatchSize = cmp.Or(o.BatchSize, DefaultBatchSize)
	o.Window = wholeSeconds(o.Window)
	o.MaxConcurrency = min(cmp.Or(o.MaxConcurrency, o.Environments), o.Environments)
	o.Visibility = wholeSeconds(cmp.Or(o.Visibility, o.DownloaderTimeout+visibilityMargin))
	o.MaxReceives = cmp.Or(o.MaxReceives, DefaultMaxReceives)
	o.RetryDelay = cmp.Or(o.RetryDelay, DefaultRetryDelay)
	o.SweepEvery = cmp.Or(o.SweepEvery, DefaultSweepEvery)
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = silent
	}
	if !o.ServicesOnly {
		for _, binary := range []struct {
			path *string
			what string
		}{
			{&o.Dispatcher, "the dispatcher's binary"},
			{&o.Downloader, "the downloader's binary"},
			{&o.RIE, "the runtime interface emulator (aws-lambda-rie)"},
		} {
			if *binary.path, err = executable(*binary.path); err != nil {
				return o, fmt.Errorf("%s cannot be run: %w", binary.what, err)
			}
		}
	}
	return o, nil
}

// wholeSeconds rounds up: that is how Lambda and SQS count.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// executable makes the path of a program absolute.
func executable(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path is given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s is no program", path)
	}
	return path, nil
}

// serve puts all services on one port.
func (s *Stack) serve(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("listening for the local services (another program may have the port; choose another one): %w", err)
	}
	s.endpoint = "http://" + reachable(listener.Addr())
	s.server = &http.Server{Handler: s.services.Handler(), ReadHeaderTimeout: 30 * time.Second}
	s.served.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.WithError(err).Error("local services ended")
		}
	})
	return nil
}

// reachable is the address by which this machine reaches a listener.
func reachable(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() { // it listens for others, too: containers, say
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return address.String()
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
func (s *Stack) Environments() []EnvironmentStatus {
	if s.options.ServicesOnly {
		return nil
	}
	return append(s.dispatcher.statuses(), s.downloader.statuses()...)
}

// Close ends everything: no message is received any more, busy functions get SIGTERM and until the context's deadline (10 s
// without one) to hand back their work, then every process is killed, and the services close. Nothing is left running. What was
// not done by then is done after the next start.
func (s *Stack) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closeErr = s.close(ctx) })
	return s.closeErr
}

func (s *Stack) close(ctx context.Context) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTimeout)
		defer cancel()
	}
	var errs []error
	if s.stopPumps != nil {
		s.stopPumps()
	}
	if s.dispatcher != nil {
		var both sync.WaitGroup
		both.Go(func() { errs = append(errs, s.dispatcher.close(ctx)) })
		err := s.downloader.close(ctx)
		both.Wait()
		errs = append(errs, err)
	}
	s.pumps.Wait() // they delete what succeeded while the services still serve
	if s.server != nil {
		ctx, cancel := context.WithTimeout(ctx, drainTimeout)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			_ = s.server.Close()
		}
		s.served.Wait()
	}
	if s.services != nil {
		errs = append(errs, s.services.Close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.close())
	}
	return errors.Join(errs...)
}

const (
	closeTimeout = 10 * time.Second // for busy functions, without a deadline of the caller's
	drainTimeout = time.Second      // for requests of other clients, who may wait for a message

	// stateDirName is the folder in the data directory for all that is no bucket.
	stateDirName = ".purser"
)

func (s *Stack) stateDir() string { return filepath.Join(s.options.Data, stateDirName) }

// LogDir is where the functions' logs are, one file for each environment.
func (s *Stack) LogDir() string { return filepath.Join(s.options.Data, "logs") }

// mark is what the marks of this stack's processes begin with; see markVariable.
func (s *Stack) mark() string { return s.options.Data + "#" }

// owner is the content of the file that tells a second stack about the first one.
type owner struct {
	PID      int    `json:"pid"`
	Endpoint string `json:"endpoint"`
}

func (s *Stack) ownerFile() string { return filepath.Join(s.stateDir(), "stack.json") }

func (s *Stack) sayWhoRuns() error {
	return os.WriteFile(s.ownerFile(), mustMarshal(owner{PID: os.Getpid(), Endpoint: s.endpoint}), 0o644)
}

// whoRuns describes the other stack, for an error message.
func (s *Stack) whoRuns() string {
	var o owner
	data, err := os.ReadFile(s.ownerFile())
	if err != nil || json.Unmarshal(data, &o) != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d, %s)", o.PID, o.Endpoint)
}
