package ledger

import (
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

// Pool adds up what the downloaders spent on a job.
type Pool struct {
	Launches    int64         `json:"launches"`    // browsers started
	Restarts    int64         `json:"restarts"`    // browsers started again since the one before died or was recycled
	Invocations int64         `json:"invocations"` //
	POs         int64         `json:"pos"`         // tries, not rows
	MemoryPeak  int64         `json:"memory_peak"` // bytes, the largest of any environment
	POTime      time.Duration `json:"po_time_ns"`  // the sum over the POs
}
