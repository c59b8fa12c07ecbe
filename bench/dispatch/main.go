//go:build linux

// Command dispatch measures what a large sheet costs the dispatcher: CPU, time and heap. Three ways: the sheet is only read and made
// into messages; the dispatcher does all its work, but rows and messages go no further than to a client that takes them; or they go
// to the local services, whose own cost is then part of the figures.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/dispatch"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/sheet"
)

type options struct {
	Rows int    `default:"1000000" help:"Rows of the sheet."`
	Way  string `arg:"" enum:"read,taken,services" help:"read: no services at all; taken: rows and messages are taken by the client; services: by the local services."`
}

const (
	bucket = "purser"
	key    = "input/bench.csv"
)

func main() {
	var o options
	kong.Parse(&o, kong.Description("Measures the dispatcher."))
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintf(os.Stderr, "dispatch: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "purser-dispatch-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := writeSheet(filepath.Join(dir, "bench.csv"), o.Rows); err != nil {
		return err
	}
	work, done, err := prepare(ctx, dir, o.Way)
	if err != nil {
		return err
	}
	defer done()

	before, began := cpu(), time.Now()
	heap := watchHeap()
	err = work(ctx)
	peak := heap()
	if err != nil {
		return err
	}
	fmt.Printf("| %s | %d | %.1f | %.1f | %.0f |\n", o.Way, o.Rows, time.Since(began).Seconds(), (cpu() - before).Seconds(), float64(peak)/(1<<20))
	return nil
}

// writeSheet is a sheet as people have it: a number, a supplier, two folder levels.
func writeSheet(path string, rows int) error {
	f, err := os.Create(path) //nolint:gosec // in our own directory
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "PO_NUMBER;STATUS;SUPPLIER;<|>;Year;Quarter")
	for i := range rows {
		fmt.Fprintf(w, "PO%d;;Supplier %d;;2026;Q%d\n", 20000000+i, i%500, i%4+1)
	}
	return errors.Join(w.Flush(), f.Close())
}

// prepare returns the work that is measured.
func prepare(ctx context.Context, dir, way string) (work func(context.Context) error, done func(), err error) {
	if way == "read" {
		return func(context.Context) error { return read(filepath.Join(dir, "bench.csv")) }, func() {}, nil
	}
	w, err := openWorld(ctx, dir, way == "taken")
	if err != nil {
		return nil, nil, err
	}
	return w.dispatch, w.close, nil
}

// read makes every row a message, and forgets it.
func read(path string) error {
	f, err := os.Open(path) //nolint:gosec // in our own directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	rows, err := sheet.Open(f, "bench.csv", sheet.Options{})
	if err != nil {
		return err
	}
	for {
		r, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return rows.Close()
		}
		if err != nil {
			return err
		}
		_ = po.Task{
			Version: po.MessageVersion, Kind: po.KindPO, Job: "bench", Row: r.Line, PO: r.PO, Supplier: r.Supplier, Levels: r.Levels,
		}.Encode()
	}
}

// world is the dispatcher with the local services.
type world struct {
	dispatcher *dispatch.Dispatcher
	ledger     *ledger.Ledger
	services   *local.Services
	server     *http.Server
	etag       string
}

func openWorld(ctx context.Context, dir string, taken bool) (*world, error) {
	w := &world{}
	var err error
	if w.services, err = local.OpenServices(local.ServicesOptions{Data: filepath.Join(dir, "data"), AccessKey: "bench", SecretKey: "bench"}); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.server = &http.Server{Handler: w.services.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = w.server.Serve(listener) }()

	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + listener.Addr().String()),
		Credentials: credentials.NewStaticCredentialsProvider("bench", "bench", ""),
	}
	objects := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	if taken {
		config.HTTPClient = taker{http.DefaultClient}
	}
	tables, queues := dynamodb.NewFromConfig(config), sqs.NewFromConfig(config)
	_, err = tables.CreateTable(ctx, ledger.CreateTableInput("purser"))
	if err != nil {
		return nil, err
	}
	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("purser")})
	if err != nil {
		return nil, err
	}
	if w.etag, err = store(ctx, objects, filepath.Join(dir, "bench.csv")); err != nil {
		return nil, err
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	w.ledger = ledger.New(tables, "purser")
	w.dispatcher = dispatch.New(dispatch.Options{
		Ledger: w.ledger, Archive: archive.New(objects, bucket), SQS: queues, QueueURL: *queue.QueueUrl, DLQURL: *queue.QueueUrl, Log: log,
	})
	return w, nil
}

func store(ctx context.Context, objects *s3.Client, path string) (etag string, err error) {
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return "", err
	}
	f, err := os.Open(path) //nolint:gosec // in our own directory
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	out, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: f})
	if err != nil {
		return "", err
	}
	return strings.Trim(aws.ToString(out.ETag), `"`), nil
}

// dispatch takes the sheet's event, and sees to it that the job was dispatched to its end.
func (w *world) dispatch(ctx context.Context) error {
	var event events.S3Event
	err := json.Unmarshal(fmt.Appendf(nil, `{"Records":[{"eventName":"ObjectCreated:Put","eventTime":"2026-01-15T09:30:00Z",
		"s3":{"bucket":{"name":%q},"object":{"key":%q,"eTag":%q,"sequencer":"1"}}}]}`, bucket, key, w.etag), &event)
	if err != nil {
		return err
	}
	if err := w.dispatcher.HandleS3(ctx, event); err != nil {
		return err
	}
	jobs, err := w.ledger.Jobs(ctx, 1)
	if err == nil && (len(jobs) != 1 || !jobs[0].TotalKnown) {
		err = errors.New("the job was not dispatched to its end")
	}
	return err
}

func (w *world) close() {
	_ = w.server.Close()
	_ = w.services.Close()
}

// cpu is the time that this process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // it cannot fail
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// watchHeap looks at the heap until the returned function is called, which tells the most that it was, with what is garbage already.
func watchHeap() func() uint64 {
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var most uint64
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-tick.C:
			case <-stop:
				peak <- most
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-peak
	}
}
