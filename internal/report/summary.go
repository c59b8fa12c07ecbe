package report

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// Summary is summary.json. The first seven names are the older tool's batch result.
type Summary struct {
	TotalPOs            int64   `json:"total_pos"` // rows but blank ones and duplicates
	SuccessfulDownloads int64   `json:"successful_downloads"`
	FailedDownloads     int64   `json:"failed_downloads"`
	ProcessingTime      float64 `json:"processing_time"` // seconds from the drop to the results
	WorkerRestarts      int64   `json:"worker_restarts"`
	MemoryPeakUsage     int64   `json:"memory_peak_usage"` // bytes, the largest of any environment's Chromium
	AveragePOTime       float64 `json:"average_po_time"`   // seconds

	Job         string                 `json:"job"`
	Sheet       string                 `json:"sheet"`
	State       string                 `json:"state"` // FINISHED, FAILED or CANCELLED
	Error       string                 `json:"error,omitempty"`
	Result      string                 `json:"result,omitempty"` // name of the filled-in sheet; none when the sheet is gone or cannot be read
	Started     time.Time              `json:"started"`
	Finished    time.Time              `json:"finished"`
	ByStatus    map[po.Status]int64    `json:"by_status"`
	ByErrorCode map[po.ErrorCode]int64 `json:"by_error_code"`
	Files       int64                  `json:"files"`
	Bytes       int64                  `json:"bytes"`
	Duplicates  int64                  `json:"duplicate_rows"`
	Skipped     int64                  `json:"skipped_rows"`  // were COMPLETED already
	Rejected    int64                  `json:"rejected_rows"` // hold no PO number that can be used; they are FAILED
	InDLQ       int64                  `json:"in_dlq"`        // failed rows whose message lies in the dead-letter queue
	Launches    int64                  `json:"browser_launches"`
	Invocations int64                  `json:"invocations"`
}

func newSummary(job ledger.Job, now time.Time) Summary {
	state := job.State
	if state == ledger.Running {
		state = ledger.Finished
	}
	s := Summary{
		Job: job.ID, Sheet: job.Name, State: string(state), Error: job.Error, Started: job.Created.UTC(),
		Finished: now.UTC().Truncate(time.Millisecond), ByStatus: map[po.Status]int64{}, ByErrorCode: map[po.ErrorCode]int64{},
		ProcessingTime: max(0, now.Sub(job.Created).Seconds()), WorkerRestarts: job.Pool.Restarts, MemoryPeakUsage: job.Pool.MemoryPeak,
		Launches: job.Pool.Launches, Invocations: job.Pool.Invocations,
	}
	if job.Pool.POs > 0 {
		s.AveragePOTime = job.Pool.POTime.Seconds() / float64(job.Pool.POs)
	}
	return s
}

func (s *Summary) add(r ledger.Row) {
	if r.DuplicateOf > 0 {
		s.Duplicates++
		return
	}
	s.TotalPOs++
	s.ByStatus[r.Status]++
	if r.Code != "" {
		s.ByErrorCode[r.Code]++
	}
	if r.Status.Success() {
		s.SuccessfulDownloads++
	} else {
		s.FailedDownloads++
	}
	s.Files += int64(len(r.Files))
	s.Bytes += r.Bytes()
	if r.Skipped {
		s.Skipped++
	}
	if r.Code == po.CodeInput {
		s.Rejected++
	}
	if r.InDLQ {
		s.InDLQ++
	}
}

// redrivable counts the rows that a redrive opens again.
func (s Summary) redrivable() int64 {
	return s.ByStatus[po.Failed] + s.ByStatus[po.Timeout] + s.ByStatus[po.PRNotAccessible] - s.Rejected
}

// addsUpTo tells whether the rows that were read are those that the counters count.
func (s Summary) addsUpTo(c po.Counters) bool {
	return s.TotalPOs == c.Done && s.Files == c.Files && s.Bytes == c.Bytes &&
		maps.Equal(s.ByStatus, c.ByStatus) && maps.Equal(s.ByErrorCode, c.ByCode)
}

func (s Summary) encode() []byte {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // strings, numbers and times only: cannot happen
		panic(err)
	}
	return append(data, '\n')
}
