//go:build linux

// Command start measures what happens before a PO's page is asked for, in AWS's runtime interface emulator: from the start of an
// execution environment (cold), and from an event's arrival in a frozen one (warm). The portal, in this process, notes when it is
// asked. Linux only: the age of a process is read from /proc.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
)

type options struct {
	Bin      string `default:"bin" type:"path" help:"Where make build has put the functions."`
	Chromium string `env:"CHROMIUM_PATH" default:"layers/chromium/build/chromium/chromium" type:"path" help:"Chromium."`
	Colds    int    `default:"5" help:"Cold starts."`
	Warms    int    `default:"10" help:"Warm invocations after each."`
	Weight   string `default:"heavy" enum:"light,heavy" help:"The portal's weight."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Measures cold starts and warm overhead."))
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintf(os.Stderr, "start: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	var cold, warm []time.Duration
	for range o.Colds {
		c, w, err := one(ctx, o)
		if err != nil {
			return err
		}
		cold, warm = append(cold, c), append(warm, w...)
	}
	fmt.Println("| to the first PO's page | times | median | least | most |")
	fmt.Println("|---|---:|---:|---:|---:|")
	for _, line := range []struct {
		name  string
		times []time.Duration
	}{{"cold: from the environment's start", cold}, {"warm: from the event's arrival", warm}} {
		slices.Sort(line.times)
		n := len(line.times)
		if n == 0 {
			continue
		}
		fmt.Printf("| %s | %d | %s | %s | %s |\n", line.name, n,
			line.times[n/2].Round(time.Millisecond), line.times[0].Round(time.Millisecond), line.times[n-1].Round(time.Millisecond))
	}
	return nil
}

// one is the life of one stack: a cold start, and then warm invocations.
func one(ctx context.Context, o options) (cold time.Duration, warm []time.Duration, err error) {
	dir, err := os.MkdirTemp("", "purser-start-")
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	site, err := openSite(ctx, demo.Weight(o.Weight))
	if err != nil {
		return 0, nil, err
	}
	defer site.server.Close()
	invocations := &invocations{}
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	log.AddHook(invocations)
	stack, err := local.Start(ctx, local.Options{
		Data: dir, Listen: "127.0.0.1:0", Environments: 1, Freeze: true, Session: site.session, Log: log,
		Dispatcher: filepath.Join(o.Bin, "dispatcher"), Downloader: filepath.Join(o.Bin, "downloader"), RIE: filepath.Join(o.Bin, "aws-lambda-rie"),
		Env: []string{"PORTAL_PROFILE=demo", "PORTAL_BASE_URL=" + site.address, "CHROMIUM_PATH=" + o.Chromium},
	})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, stack.Close(ctx)) }()

	for i := range 1 + o.Warms {
		if err := site.fetch(ctx, stack, fmt.Sprintf("PO%d", demo.BulkFirst+i)); err != nil {
			return 0, nil, err
		}
		asked := site.asked()
		if i > 0 {
			warm = append(warm, asked.Sub(invocations.before(asked)))
			continue
		}
		began, err := environmentStart(stack)
		if err != nil {
			return 0, nil, err
		}
		cold = asked.Sub(began)
	}
	return cold, warm, nil
}

// site is the demo portal, and when it was asked for a PO's page for the first time since the last look.
type site struct {
	server  *http.Server
	address string
	session []byte

	mu    sync.Mutex
	first time.Time
}

var poPage = regexp.MustCompile(`^/order_headers/\d+$`)

func openSite(ctx context.Context, weight demo.Weight) (*site, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	portal := demo.New(demo.Options{Weight: weight, BulkPOs: true})
	s := &site{address: "http://" + listener.Addr().String()}
	cookie := portal.NewSession()
	s.session, err = json.Marshal([]map[string]any{{"name": cookie.Name, "value": cookie.Value, "domain": "127.0.0.1", "path": "/"}})
	if err != nil {
		return nil, err
	}
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if poPage.MatchString(r.URL.Path) {
			s.note(time.Now())
		}
		portal.ServeHTTP(w, r)
	})}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *site) note(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = now
	}
}

// asked is when the portal was asked first since the last call.
func (s *site) asked() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.first
	s.first = time.Time{}
	return first
}

// fetch has the PO's documents fetched, and waits until its job has ended.
func (s *site) fetch(ctx context.Context, stack *local.Stack, number string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	config := stack.AWSConfig()
	objects := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	_, err := objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &stack.Bucket, Key: aws.String("input/" + number + ".csv"), Body: strings.NewReader("PO_NUMBER\n" + number + "\n"),
	})
	if err != nil {
		return err
	}
	jobs := ledger.New(dynamodb.NewFromConfig(config), stack.Table)
	for {
		all, err := jobs.Jobs(ctx, 1)
		if err != nil {
			return err
		}
		if len(all) == 1 && all[0].Name == number+".csv" && all[0].Ended() {
			if all[0].Counters.ByStatus[po.Completed] != 1 {
				return fmt.Errorf("the job of %s did not bring its documents home", number)
			}
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}
