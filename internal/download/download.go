// Package download works batches of the queue: for each PO it opens the portal's page, collects, fetches, verifies and files
// the attachments, and commits the outcome to the ledger. What could not be done goes back to the queue; what has failed for
// good goes to the dead-letter queue with its reason.
//
// One PO's way is in po.go, a batch's in batch.go, a message's end in queue.go, and the warm browser with its session in
// visitor.go.
package download

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
	"github.com/purserhq/purser/internal/telemetry"
)

// Queue is what the downloader asks of SQS. *sqs.Client is one.
type Queue interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
}

// Options are what a Downloader works with.
type Options struct {
	Settings config.Settings
	Ledger   *ledger.Ledger
	Archive  *archive.Archive
	Queue    Queue
	Profile  *portal.Profile
	// Session reads the portal's session: from Secrets Manager, say. Nil when the portal wants none.
	Session func(context.Context) (*portal.Session, error)
	// Finalize writes a finished job's results.
	Finalize func(ctx context.Context, job string) error
	// Notify tells people that a job is blocked. Nil tells nobody.
	Notify  func(ctx context.Context, job ledger.Job) error
	Log     *logrus.Logger
	Secrets *telemetry.Redactor
	Metrics *telemetry.Metrics
	TempDir string // where files are spooled and Chromium lives; "" is os.TempDir
}

// Downloader works batches, one at a time, and keeps one browser warm between them.
type Downloader struct {
	Options
	environment string // names this execution environment in leases and in `purser watch`
	board       *board

	spool     string        // the directory of the files that are under way
	turn      chan struct{} // held by the batch that is worked
	transfers chan struct{} // held by each file that comes from the portal
	uploads   chan struct{} // held by each file that goes to the bucket

	mu       sync.Mutex              // held by whoever makes the warm visitor ready
	warm     atomic.Pointer[visitor] // nil until the first PO, and in one-shot mode
	oneShot  bool                    // a browser for each PO: by setting, or since the pool could not start
	cold     bool                    // no invocation has begun yet
	stopping atomic.Bool
	stop     chan struct{} // closed by Shutdown
}

// POs may have any number of files, and an environment has few open files (1,024 in Lambda) and little memory (24 MB go into an
// upload in parts). The portal sees fewer transfers than these: the profile's rate bounds them.
const (
	transfersAtOnce = 64
	uploadsAtOnce   = 8
)

// New makes a Downloader. The browser starts with the first PO.
func New(o Options) (*Downloader, error) {
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if err := o.Settings.Require("BUCKET_NAME", "TABLE_NAME", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL"); err != nil {
		return nil, err
	}
	environment := rand.Text()[:8]
	sweepSpools(o.TempDir, o.Log)
	return &Downloader{
		Options:     o,
		environment: environment,
		board:       newBoard(o.Settings.WorkerCount),
		spool:       spoolOf(o.TempDir, os.Getpid()),
		turn:        make(chan struct{}, 1),
		transfers:   make(chan struct{}, transfersAtOnce),
		uploads:     make(chan struct{}, uploadsAtOnce),
		oneShot:     !o.Settings.PersistentPool,
		cold:        true,
		stop:        make(chan struct{}),
	}, nil
}

// Handle works one event of the queue. Its answer names the messages that must come again; it never returns both an answer
// and an error.
func (d *Downloader) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if d.stopping.Load() {
		return events.SQSEventResponse{}, errors.New("this environment is shutting down")
	}
	b := d.newBatch(ctx, event)
	d.cold = false
	b.run()
	fault("answering", "")
	return b.answer(), nil
}

// Shutdown hands back what is under way, and ends the browser. It returns when all of it is gone, or with ctx.
func (d *Downloader) Shutdown(ctx context.Context) error {
	if d.stopping.Swap(true) {
		return nil
	}
	close(d.stop)
	d.board.setPool(poolShuttingDown)
	var errs []error
	if warm := d.warm.Load(); warm != nil { // first of all, as the time may be short
		errs = append(errs, warm.close(ctx))
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return errors.Join(append(errs, fmt.Errorf("waiting for the POs under way to be handed back: %w", ctx.Err()))...)
	}
	if warm := d.warm.Swap(nil); warm != nil { // the batch may have started another one at the last moment
		errs = append(errs, warm.close(ctx))
	}
	errs = append(errs, os.RemoveAll(d.spool))
	d.board.setPool(poolTerminated)
	return errors.Join(errs...)
}

// portal names the portal in the ledger's circuit: every job and environment that uses it shares the circuit.
func (d *Downloader) portal() string { return d.Profile.BaseURL() }

// reserve is the part of an invocation that is kept for handing back, committing and answering.
func reserve(total time.Duration) time.Duration {
	return min(30*time.Second, max(total/10, 500*time.Millisecond))
}

// ours is trouble of this environment's own: no PO pays for it.
func ours(err error, format string, args ...any) *po.Error {
	return &po.Error{Code: po.CodeResource, Text: fmt.Sprintf(format, args...), Err: err, Retry: true, Ours: true}
}
