package ledger

import (
	"strings"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// JobState is where a job stands.
type JobState string

// The states of a job. The table of transitions stands in the package comment.
const (
	Dispatching JobState = "DISPATCHING" // its sheet is being read and its messages sent
	Running     JobState = "RUNNING"     // every row is recorded, the total is known
	Finished    JobState = "FINISHED"    // every row is final and the results are written
	FailedJob   JobState = "FAILED"      // its sheet could not be read
	Cancelled   JobState = "CANCELLED"   // somebody called it off
)

// Job is one dropped sheet and how far its rows are.
type Job struct {
	ID        string
	Name      string // of the sheet, "pos.csv"
	Bucket    string
	Key       string
	VersionID string
	ETag      string

	State    JobState
	Error    string    // why the job FAILED, for a person
	Created  time.Time // the time of the S3 event
	Finished time.Time // its results were written, whatever the state; zero before
	Reported time.Time // somebody was told about it; zero before

	Checkpoint    int       // every line up to this one is recorded and sent
	DispatchUntil time.Time // a dispatcher is at work until then, if it lives

	Total      int64 // rows that are counted: all but blank lines and duplicates
	TotalKnown bool
	Duplicates int64 // rows that repeat an earlier one's PO; in neither Total nor Counters
	Counters   po.Counters

	Blocked      string // why the portal gives nothing now; "" when it does
	BlockedSince time.Time

	FinalizeSent time.Time // the sweeper last asked for the results at that time
	Pool         Pool
}

// Complete tells whether every row is final.
func (j Job) Complete() bool { return j.TotalKnown && j.Counters.Done == j.Total }

// Ended tells whether the results are written: nothing more happens unless somebody redrives the job.
func (j Job) Ended() bool { return !j.Finished.IsZero() }

// Stopped tells whether the job's remaining rows are not to be worked.
func (j Job) Stopped() bool { return j.State == FailedJob || j.State == Cancelled }

// The prefixes of the counters by status and by error code.
const (
	statusPrefix = "n_"
	codePrefix   = "code_"
)

// newJobItem is the item of a job that begins.
func newJobItem(j Job) item {
	it := key(jobPK(j.ID), jobSK)
	for name, value := range map[string]string{
		"job": j.ID, "name": j.Name, "bucket": j.Bucket, "key": j.Key, "version_id": j.VersionID, "etag": j.ETag,
		"state": string(Dispatching),
	} {
		it[name] = text(value)
	}
	it["created"] = instant(j.Created)
	for _, name := range []string{"checkpoint", "done", "files", "bytes", "duplicates"} {
		it[name] = number(0)
	}
	return it
}

// jobOf reads what newJobItem and the updates wrote.
func jobOf(it item) Job {
	j := Job{
		ID: textOf(it, "job"), Name: textOf(it, "name"), Bucket: textOf(it, "bucket"), Key: textOf(it, "key"),
		VersionID: textOf(it, "version_id"), ETag: textOf(it, "etag"),
		State: JobState(textOf(it, "state")), Error: textOf(it, "error"),
		Created: instantOf(it, "created"), Finished: instantOf(it, "finished"), Reported: instantOf(it, "reported"),
		Checkpoint: int(numberOf(it, "checkpoint")), DispatchUntil: instantOf(it, "dispatch_until"),
		Total: numberOf(it, "total"), TotalKnown: it["total"] != nil, Duplicates: numberOf(it, "duplicates"),
		Counters: po.Counters{
			Done: numberOf(it, "done"), Files: numberOf(it, "files"), Bytes: numberOf(it, "bytes"),
			ByStatus: map[po.Status]int64{}, ByCode: map[po.ErrorCode]int64{},
		},
		Blocked: textOf(it, "blocked"), BlockedSince: instantOf(it, "blocked_since"),
		FinalizeSent: instantOf(it, "finalize_sent"),
	}
	for name := range it {
		n := numberOf(it, name)
		if n == 0 { // a redrive may leave a nought behind
			continue
		}
		if status, ok := strings.CutPrefix(name, statusPrefix); ok {
			j.Counters.ByStatus[po.Status(status)] = n
		}
		if code, ok := strings.CutPrefix(name, codePrefix); ok {
			j.Counters.ByCode[po.ErrorCode(code)] = n
		}
	}
	return j
}
