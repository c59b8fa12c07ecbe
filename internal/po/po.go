// Package po is the vocabulary that every part of Purser shares: a PO's number, the task that asks for it, the status and
// error code it ends with, the files that were found, and the counters of a job. It imports nothing of ours.
package po

import (
	"strings"
	"time"
)

// Number is a purchase order's number as the sheet gave it, repaired but not shortened: "PO16900004", "PM15492200", or bare
// digits.
type Number string

// Digits is the number without its PO or PM prefix, which is what a portal's URL wants.
func (n Number) Digits() string {
	s := strings.ToUpper(string(n))
	for _, prefix := range []string{"PO", "PM"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return strings.TrimLeft(rest, " -_#")
		}
	}
	return string(n)
}

// Status is where a PO stands. Every row of a job ends in exactly one final status.
type Status string

// The statuses, as the result column STATUS shows them.
const (
	Pending         Status = "PENDING"
	Completed       Status = "COMPLETED"
	Partial         Status = "PARTIAL"
	NoAttachments   Status = "NO_ATTACHMENTS"
	NotFound        Status = "PO_NOT_FOUND"
	Failed          Status = "FAILED"
	Timeout         Status = "TIMEOUT"
	PRNotAccessible Status = "PR_NOT_ACCESSIBLE"
)

// Statuses lists every final status in the order in which people read them: good news first.
var Statuses = []Status{Completed, Partial, NoAttachments, NotFound, PRNotAccessible, Timeout, Failed}

// Final tells whether the status ends a row.
func (s Status) Final() bool { return s != Pending && s != "" }

// Success tells whether the documents that exist are here: COMPLETED, PARTIAL or NO_ATTACHMENTS.
func (s Status) Success() bool { return s == Completed || s == Partial || s == NoAttachments }

// Redrivable tells whether another try may change the status: what failed for a reason that can pass.
func (s Status) Redrivable() bool { return s == Failed || s == Timeout || s == PRNotAccessible }

// The sources of a file.
const (
	FromPO          = "po"
	FromRequisition = "requisition"
)

// File is one attachment that was fetched, verified and stored.
type File struct {
	Name         string `json:"name"`                    // as stored, unique in its folder
	Key          string `json:"key,omitempty"`           // S3 key
	Source       string `json:"source"`                  // FromPO or FromRequisition
	SourceID     string `json:"source_id,omitempty"`     // the PO's or the requisition's id
	Bytes        int64  `json:"bytes"`                   //
	SHA256       string `json:"sha256"`                  // lower-case hex
	ContentType  string `json:"content_type,omitempty"`  // as detected from the bytes, else as the server said
	OriginalName string `json:"original_name,omitempty"` // before it was made safe
	URL          string `json:"url,omitempty"`           // without query and fragment
	Note         string `json:"note,omitempty"`          // "empty on the server", say
}

// Result is the outcome of one row.
type Result struct {
	Job         string        `json:"job"`
	Row         int           `json:"row"` // the physical line of the sheet on which the row starts, from 1
	PO          Number        `json:"po"`
	Status      Status        `json:"status"`
	Supplier    string        `json:"supplier,omitempty"`
	Found       int           `json:"attachments_found"`
	Files       []File        `json:"files,omitempty"`
	Code        ErrorCode     `json:"error_code,omitempty"`
	Message     string        `json:"message,omitempty"` // for a person; without the code
	Folder      string        `json:"folder,omitempty"`  // "download/…/PO_1_COMPLETED", without a slash at its end
	URL         string        `json:"url,omitempty"`     // the PO's page
	ProcessedAt time.Time     `json:"processed_at"`
	Duration    time.Duration `json:"duration_ns,omitempty"`
	Attempt     int           `json:"attempt,omitempty"`      // from 1
	DuplicateOf int           `json:"duplicate_of,omitempty"` // the row whose result this one repeats
	Skipped     bool          `json:"skipped,omitempty"`      // kept as the sheet had it: it was COMPLETED already
	InDLQ       bool          `json:"in_dlq,omitempty"`       // its message lies in the dead-letter queue
	Evidence    []string      `json:"evidence,omitempty"`     // keys of the kept page and screenshot
}

// Downloaded counts the files that were verified and stored.
func (r Result) Downloaded() int { return len(r.Files) }

// Bytes is the size of all stored files.
func (r Result) Bytes() int64 {
	var n int64
	for _, f := range r.Files {
		n += f.Bytes
	}
	return n
}

// ErrorMessage is the column ERROR_MESSAGE: empty when all is well, else "CODE: text".
func (r Result) ErrorMessage() string {
	switch {
	case r.Status == Completed:
		return ""
	case r.Code == "":
		return r.Message
	case r.Message == "":
		return string(r.Code)
	}
	return string(r.Code) + ": " + r.Message
}

// Counters add up a job's rows. They change in the same transaction as the row they count.
type Counters struct {
	Done     int64               `json:"done"` // rows in a final status
	ByStatus map[Status]int64    `json:"by_status"`
	ByCode   map[ErrorCode]int64 `json:"by_code,omitempty"`
	Files    int64               `json:"files"`
	Bytes    int64               `json:"bytes"`
}

// Add counts the result sign times: 1 when a row becomes final, -1 when a redrive opens it again.
func (c *Counters) Add(r Result, sign int64) {
	if c.ByStatus == nil {
		c.ByStatus = map[Status]int64{}
	}
	if c.ByCode == nil {
		c.ByCode = map[ErrorCode]int64{}
	}
	c.Done += sign
	c.ByStatus[r.Status] += sign
	if r.Code != "" {
		c.ByCode[r.Code] += sign
	}
	c.Files += sign * int64(len(r.Files))
	c.Bytes += sign * r.Bytes()
}

// Successful counts the rows whose documents are here.
func (c Counters) Successful() int64 {
	return c.ByStatus[Completed] + c.ByStatus[Partial] + c.ByStatus[NoAttachments]
}

// Unsuccessful counts the rows that are done without their documents.
func (c Counters) Unsuccessful() int64 { return c.Done - c.Successful() }
