package ledger

import (
	"time"

	"github.com/purserhq/purser/internal/po"
)

// Row is one row of a job as the ledger has it.
type Row struct {
	po.Result
	Task    po.Task   // what its message says; zero for rows that were final at once
	Lease   Lease     // who works on it, or did last
	Queued  time.Time // its message was sent at about this time; zero for rows that were final at once
	Updated time.Time
	Lost    bool // settled since no message for it was left anywhere
}

// Leased tells whether somebody works on the row at that time.
func (r Row) Leased(at time.Time) bool { return r.Status == po.Pending && r.Lease.Until.After(at) }

// Lease is the right to commit one row, until the invocation that took it must have ended.
type Lease struct {
	Job     string
	Row     int
	Owner   string // the invocation, for a person who reads the table
	Token   string // this claim and no other
	Until   time.Time
	Attempt int // from 1
}

// ClaimState is the answer to a claim.
type ClaimState int

// The answers to a claim.
const (
	Claimed ClaimState = iota // the lease is yours: work the row, then Commit or Release
	Done                      // the row is final already: acknowledge the message
	Held                      // somebody else works on it: look again after Wait
	Stopped                   // the job was cancelled or has failed; the row is settled: acknowledge the message
	NoJob                     // the ledger knows no such job or row: the message is foreign
)

// Claim is what a worker learns when it asks for a row.
type Claim struct {
	State  ClaimState
	Lease  Lease         // when Claimed
	Result po.Result     // when Done or Stopped
	Wait   time.Duration // when Held
	Last   bool          // when Done or Stopped: every row is final but the job has not ended, so send finalize (again)
}

// Outcome is the result of a leased row.
type Outcome struct {
	Lease  Lease
	Result po.Result
}
