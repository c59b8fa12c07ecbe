// Package ledger is the record of every job in DynamoDB: which rows it has, who works on them, what became of each, and the
// counters that say how far it is.
package ledger

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/purserhq/purser/internal/po"
)

var (
	// ErrNoJob happens when the ledger knows no job of this id.
	ErrNoJob = errors.New("no such job")
	// ErrStopped happens when a dispatcher writes to a job that is not DISPATCHING any more: it was cancelled, or another
	// dispatcher is through with it.
	ErrStopped = errors.New("the job takes no more rows")
)

// Ledger reads and writes one table.
type Ledger struct {
	client *dynamodb.Client
	table  string
	now    func() time.Time
}

// Option changes a Ledger.
type Option func(*Ledger)

// WithClock replaces time.Now.
func WithClock(now func() time.Time) Option { return func(l *Ledger) { l.now = now } }

// New returns the ledger in the table.
func New(client *dynamodb.Client, table string, options ...Option) *Ledger {
	l := &Ledger{client: client, table: table, now: time.Now}
	for _, o := range options {
		o(l)
	}
	return l
}

// CreateTableInput describes the table: keys PK and SK, paid by the request. Time to live is on the attribute "expires".
func CreateTableInput(table string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(table),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("PK"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("SK"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("PK"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("SK"), KeyType: types.KeyTypeRange},
		},
	}
}

var errLater = errors.New("not written yet")

// CreateJob records the job unless it is known already; then it returns what is known.
func (l *Ledger) CreateJob(ctx context.Context, j Job) (existing Job, created bool, err error) {
	return Job{}, false, errLater
}

// Job reads one job. The error is ErrNoJob when there is none.
func (l *Ledger) Job(ctx context.Context, id string) (Job, error) { return Job{}, errLater }

// Jobs reads the newest jobs, newest first.
func (l *Ledger) Jobs(ctx context.Context, limit int) ([]Job, error) { return nil, errLater }

// OpenJobs reads the jobs that have not ended.
func (l *Ledger) OpenJobs(ctx context.Context) ([]Job, error) { return nil, errLater }

// BeginDispatch takes the right to dispatch the job until the given time; false when another dispatcher holds it.
func (l *Ledger) BeginDispatch(ctx context.Context, job, owner string, until time.Time) (Job, bool, error) {
	return Job{}, false, errLater
}

// EndDispatch gives the right back.
func (l *Ledger) EndDispatch(ctx context.Context, job, owner string) error { return errLater }

// Checkpoint says that every line up to this one is recorded and sent, and keeps the right to dispatch until the given time.
func (l *Ledger) Checkpoint(ctx context.Context, job, owner string, line int, until time.Time) error {
	return errLater
}

// PutRows records rows that are to be worked. A row that is known already is left as it is.
func (l *Ledger) PutRows(ctx context.Context, job string, tasks []po.Task) error { return errLater }

// PutResults records rows that are final at once: rejected, COMPLETED already, or (DuplicateOf is set) repeating another
// row's PO. A row that is known already is left as it is.
func (l *Ledger) PutResults(ctx context.Context, job string, results []po.Result) error {
	return errLater
}

// SetTotal says how many rows the job has, after all of them were recorded: the job is RUNNING from then on.
func (l *Ledger) SetTotal(ctx context.Context, job string, total int64) (Job, error) {
	return Job{}, errLater
}

// FailJob ends a job whose sheet cannot be read. Rows that are recorded already are not worked any more.
func (l *Ledger) FailJob(ctx context.Context, job, reason string) error { return errLater }

// CancelJob calls a job off: what is not final yet is not worked any more.
func (l *Ledger) CancelJob(ctx context.Context, job string) error { return errLater }

// Claim asks for a row. redriven says that the message was received for the first time (again): if the row FAILED with its
// message in the dead-letter queue, somebody moved it back, and the row is opened again.
func (l *Ledger) Claim(ctx context.Context, t po.Task, owner string, until time.Time, redriven bool) (Claim, error) {
	return Claim{}, errLater
}

// Commit records the outcomes of leased rows, each with its counters in one transaction. Outcomes whose lease was lost are
// dropped: committed has the others. last says that every row of the job is final and its results are to be written.
func (l *Ledger) Commit(ctx context.Context, outcomes []Outcome) (committed []po.Result, last bool, err error) {
	return nil, false, errLater
}

// Release gives a row back unfinished. refund says that this try is not to count.
func (l *Ledger) Release(ctx context.Context, lease Lease, refund bool) error { return errLater }

// Settle ends PENDING rows that nobody works on.
func (l *Ledger) Settle(ctx context.Context, job string, results []po.Result) (settled int, err error) {
	return 0, errLater
}

// Reopen makes a FAILED, TIMEOUT or PR_NOT_ACCESSIBLE row PENDING again; the caller then sends its message. It is false when
// the row is in no such state.
func (l *Ledger) Reopen(ctx context.Context, job string, row int) (bool, error) {
	return false, errLater
}

// Row reads one row.
func (l *Ledger) Row(ctx context.Context, job string, row int) (Row, bool, error) {
	return Row{}, false, errLater
}

// Rows reads all rows, ascending. A duplicate has the result of the row it repeats.
func (l *Ledger) Rows(ctx context.Context, job string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) { yield(Row{}, errLater) }
}

// Finish ends a job whose results are written: RUNNING becomes FINISHED, a FAILED or CANCELLED job keeps its state. first is
// true exactly once, until a redrive opens the job again.
func (l *Ledger) Finish(ctx context.Context, job string) (first bool, err error) {
	return false, errLater
}

// MarkReported says that somebody was told about the job's end.
func (l *Ledger) MarkReported(ctx context.Context, job string) error { return errLater }

// AddPool adds to what the job cost.
func (l *Ledger) AddPool(ctx context.Context, job string, p Pool) error { return errLater }

// SetBlocked says why the portal gives nothing now; "" clears it. changed is true for the one who blocked or cleared it.
func (l *Ledger) SetBlocked(ctx context.Context, job, why string) (changed bool, err error) {
	return false, errLater
}

// PutWorkers records what an environment does for a job; it is forgotten after an hour.
func (l *Ledger) PutWorkers(ctx context.Context, job, environment string, status PoolStatus) error {
	return errLater
}

// Workers reads what the environments last said.
func (l *Ledger) Workers(ctx context.Context, job string) ([]PoolStatus, error) { return nil, errLater }

// EndLeases ends every lease: for the start of a stack of which no environment lives.
func (l *Ledger) EndLeases(ctx context.Context) error { return errLater }

// Gate is the answer of a portal's circuit.
type Gate struct {
	Open   bool          // the portal gives nothing: do not work, unless Probe
	Probe  bool          // you are the one who may try: work one PO, then Reset or Trip
	Wait   time.Duration // look again after this time
	Reason string
}

// Circuit asks whether the portal may be used. While it is open, one owner may probe after each wait.
func (l *Ledger) Circuit(ctx context.Context, portal, owner string) (Gate, error) {
	return Gate{}, errLater
}

// Trip opens the circuit for everybody: the wait doubles with every failed probe, up to 15 minutes, and is never shorter than
// the portal asked for (after).
func (l *Ledger) Trip(ctx context.Context, portal, reason string, after time.Duration) (Gate, error) {
	return Gate{}, errLater
}

// Reset closes the circuit.
func (l *Ledger) Reset(ctx context.Context, portal string) error { return errLater }
