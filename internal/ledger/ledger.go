// Package ledger is the record of every job in one DynamoDB table: which rows it has, who works on them, what became of each,
// and the counters that say how far it is. It is where "work at least once, effects exactly once" is decided: every step below
// is a condition of a write, so that of two who try it at once, one succeeds and the other learns that.
//
// # Rows
//
//	from                      by                          to
//	(none)                    PutRows                     PENDING
//	(none)                    PutResults                  final at once (rejected; COMPLETED already)
//	(none)                    PutResults, DuplicateOf     DUPLICATE: never counted, read as the row it repeats
//	PENDING, no live lease    Claim                       PENDING, leased; the attempt counts
//	PENDING, leased           Release                     PENDING; with a refund the attempt does not count
//	PENDING, leased           time passes Lease.Until     PENDING, no live lease: nobody has to do anything
//	PENDING, own live lease   Commit                      final, counted
//	PENDING, no live lease    Settle; Claim of a          final, counted
//	                          cancelled or failed job
//	FAILED, TIMEOUT,          Reopen                      PENDING, the counters reversed
//	PR_NOT_ACCESSIBLE
//	the same, in the DLQ      Claim (redriven)            PENDING, the counters reversed; then as any other
//	the same, Lost            Claim                       PENDING, the counters reversed; then as any other
//
// Every other step is refused. A final row's counters changed in the same transaction, so counters equal rows at all times; a
// row is final once, for a transaction that makes it final requires that it was PENDING. A worker whose lease ran out, or whose
// row another one claimed since, holds a token that the row does not have any more: its Commit is dropped.
//
// # Jobs
//
//	from                      by                          to
//	(none)                    CreateJob                   DISPATCHING
//	DISPATCHING               SetTotal                    RUNNING
//	DISPATCHING               FailJob                     FAILED
//	DISPATCHING, RUNNING      CancelJob                   CANCELLED
//	RUNNING, all rows final   Finish                      FINISHED, ended
//	FAILED, CANCELLED,        Finish                      the same state, ended
//	all rows final
//	RUNNING, FINISHED,        Reopen, Claim of a          RUNNING, not ended
//	CANCELLED                 redriven or lost row
//
// Rows are recorded in DISPATCHING only (a condition on the job is part of those transactions), so the number of rows stands
// still as soon as a job leaves it. A job is complete when its total is known and as many rows are final. Both SetTotal and
// Commit look after they wrote, so whoever comes second sees it.
//
// # Duplicates
//
// A sheet's later row with the same PO is an item of its own that only says which row it repeats. It is in no counter and not
// in the total (Job.Duplicates counts them): nothing has to happen to it for the job to end, no order of events can make it
// differ from the first row, and a redrive of that row changes both. Rows resolves it.
//
// # Keys
//
//	PK                        SK                          what
//	JOB#<job>                 JOB                         the job: state, total, counters
//	JOB#<job>                 POOL                        what the downloaders spent on it
//	JOB#<job>                 WORKERS#<environment>       what an environment does at the moment; expires
//	JOB#<job>#<00…0f>         ROW#<line, nine digits>     a row, in the partition line mod 16
//	JOBS                      <created>#<job>             the list of jobs by time
//	OPEN                      <job>                       the list of jobs that have not ended
//	PORTAL#<portal>           CIRCUIT                     a portal's circuit; expires
//
// Times are numbers of milliseconds since 1970, UTC; "expires", which DynamoDB's time to live reads, is in seconds.
//
// # Throughput
//
// DynamoDB gives a partition key 1,000 write units a second, and a unit is 1 KB, or half of that within a transaction. A row of
// 1 KB costs 2 units to be recorded, 1 to be claimed and 2 to be committed: 1,000 rows a second are 5,000 units. They go to
// sixteen partition keys, some 310 each, so a row may be three times as large. The job's item (below 1 KB) is
// in every commit: with 25 rows in a transaction that is 40 transactions, 80 units and, at about 10 ms during which no other
// transaction may touch the item, 0.4 s of every second. Recording takes 99 rows at once: 10 transactions more. Transactions
// that collide all the same are repeated after a random wait. With fewer rows in each Commit the limit is some 100 commits a
// second a job. A new on-demand table takes 4,000 units at once; more needs warm throughput, or half an hour's growth.
package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

var (
	// ErrNoJob happens when the ledger knows no job of this id.
	ErrNoJob = errors.New("no such job")
	// ErrStopped happens when a dispatcher writes to a job that is not DISPATCHING any more: it was cancelled, or another
	// dispatcher is through with it.
	ErrStopped = errors.New("the job takes no more rows")
	// ErrEnded happens when a job is to be cancelled that has finished, or has failed, already.
	ErrEnded = errors.New("the job has ended already")
)

// Ledger reads and writes one table.
type Ledger struct {
	client *dynamodb.Client
	table  string
	now    func() time.Time

	firstWait   time.Duration // after the first collision
	circuitWait time.Duration // after a circuit's first trip
}

// Option changes a Ledger.
type Option func(*Ledger)

// WithClock replaces time.Now.
func WithClock(now func() time.Time) Option { return func(l *Ledger) { l.now = now } }

// WithCircuitWait replaces the 30 s after which a portal in trouble is tried again for the first time. The other times of the
// circuit keep their proportion to it: the longest wait is thirty times as long, and a probe may take four times as long.
func WithCircuitWait(d time.Duration) Option { return func(l *Ledger) { l.circuitWait = d } }

// New returns the ledger in the table.
func New(client *dynamodb.Client, table string, options ...Option) *Ledger {
	l := &Ledger{client: client, table: table, now: time.Now, firstWait: firstWait, circuitWait: firstTrip}
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

// The keys of the table above.
const (
	jobSK         = "JOB"
	poolSK        = "POOL"
	workersPrefix = "WORKERS#"
	jobsPK        = "JOBS"
	openPK        = "OPEN"
	circuitSK     = "CIRCUIT"

	// rowShards is how many partition keys a job's rows are spread over. It must never change for a job that has rows.
	rowShards = 16
)

func jobPK(job string) string { return "JOB#" + job }

func shardPK(job string, shard int) string { return fmt.Sprintf("JOB#%s#%02x", job, shard) }

func rowKey(job string, row int) item {
	return key(shardPK(job, row%rowShards), fmt.Sprintf("ROW#%09d", row))
}

func jobsSK(j Job) string { return j.Created.UTC().Format("2006-01-02T15:04:05.000Z") + "#" + j.ID }

func portalPK(portal string) string { return "PORTAL#" + portal }
