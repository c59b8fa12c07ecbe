package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// statusCmd shows the jobs, or one job.
type statusCmd struct {
	targetFlags
	Job   string `arg:"" optional:"" help:"The job; without it, the newest jobs are listed."`
	Limit int    `default:"20" help:"How many jobs are listed."`
	JSON  bool   `name:"json" help:"Print one JSON object."`
}

// Help is shown by purser status --help.
func (*statusCmd) Help() string {
	return `Examples:
  purser status
  purser status pos-20260115T093000Z-1a2b3c4d --json

Exit codes: 0 it was shown; 1 the stack cannot be asked; 2 there is no such job.`
}

// jobStatus is a job as --json prints it.
type jobStatus struct {
	Job          string                 `json:"job"`
	Sheet        string                 `json:"sheet"`
	State        ledger.JobState        `json:"state"`
	Error        string                 `json:"error,omitempty"`
	Blocked      string                 `json:"blocked,omitempty"`
	Created      time.Time              `json:"created"`
	Finished     *time.Time             `json:"finished,omitempty"`
	Total        *int64                 `json:"total,omitempty"` // unknown while the sheet is read
	Done         int64                  `json:"done"`
	ByStatus     map[po.Status]int64    `json:"by_status"`
	ByErrorCode  map[po.ErrorCode]int64 `json:"by_error_code"`
	Files        int64                  `json:"files"`
	Bytes        int64                  `json:"bytes"`
	Pool         ledger.Pool            `json:"pool"`
	Environments []ledger.PoolStatus    `json:"environments,omitempty"`
}

func statusOf(j ledger.Job) jobStatus {
	s := jobStatus{
		Job: j.ID, Sheet: j.Name, State: j.State, Error: j.Error, Blocked: j.Blocked, Created: j.Created, Done: j.Counters.Done,
		ByStatus: j.Counters.ByStatus, ByErrorCode: j.Counters.ByCode, Files: j.Counters.Files, Bytes: j.Counters.Bytes, Pool: j.Pool,
	}
	if j.TotalKnown {
		s.Total = &j.Total
	}
	if !j.Finished.IsZero() {
		s.Finished = &j.Finished
	}
	return s
}

// Run shows the status.
func (c *statusCmd) Run(a *app) error {
	t, err := c.open(a)
	if err != nil {
		return err
	}
	if c.Job == "" {
		return c.list(a, t)
	}
	j, err := t.job(a.ctx, c.Job)
	if err != nil {
		return err
	}
	s := statusOf(j)
	if s.Environments, err = t.jobs.Workers(a.ctx, j.ID); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, s)
	}
	return s.print(a.stdout)
}

func (c *statusCmd) list(a *app, t *target) error {
	jobs, err := t.jobs.Jobs(a.ctx, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		list := make([]jobStatus, len(jobs))
		for i, j := range jobs {
			list[i] = statusOf(j)
		}
		return printJSON(a.stdout, map[string]any{"jobs": list})
	}
	if len(jobs) == 0 {
		fmt.Fprintln(a.stdout, "No jobs yet; start one with: purser submit pos.csv")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tSTATE\tDONE\tWITH DOCUMENTS\tFILES\tNOTE")
	for _, j := range jobs {
		note := j.Error
		if j.Blocked != "" {
			note = "blocked: " + j.Blocked
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", j.ID, j.State, doneOf(j), j.Counters.Successful(), j.Counters.Files, note)
	}
	return w.Flush()
}

func doneOf(j ledger.Job) string {
	if !j.TotalKnown {
		return fmt.Sprintf("%d/?", j.Counters.Done)
	}
	return fmt.Sprintf("%d/%d", j.Counters.Done, j.Total)
}

// print writes a job for people.
func (s jobStatus) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	total := "?"
	if s.Total != nil {
		total = fmt.Sprint(*s.Total)
	}
	fmt.Fprintf(w, "Job\t%s\nSheet\t%s\nState\t%s\n", s.Job, s.Sheet, s.State)
	if s.Error != "" {
		fmt.Fprintf(w, "Error\t%s\n", s.Error)
	}
	if s.Blocked != "" {
		fmt.Fprintf(w, "Blocked\t%s\n", s.Blocked)
	}
	fmt.Fprintf(w, "Begun\t%s\n", s.Created.Local().Format(time.DateTime))
	if s.Finished != nil {
		fmt.Fprintf(w, "Finished\t%s\n", s.Finished.Local().Format(time.DateTime))
	}
	fmt.Fprintf(w, "POs\t%d of %s\n", s.Done, total)
	for _, status := range po.Statuses {
		if n := s.ByStatus[status]; n > 0 {
			fmt.Fprintf(w, "  %s\t%d\n", status, n)
		}
	}
	fmt.Fprintf(w, "Files\t%d, %s\n", s.Files, size(s.Bytes))
	fmt.Fprintf(w, "Browsers\t%d started, %d of them again, in %d invocations; %s at most\n",
		s.Pool.Launches, s.Pool.Restarts, s.Pool.Invocations, size(s.Pool.MemoryPeak))
	for _, e := range s.Environments {
		fmt.Fprintf(w, "Environment %s\t%s, %d waiting\n", e.Environment, e.Status, e.Pending)
		for _, worker := range e.Workers {
			fmt.Fprintf(w, "  worker %d\t%s %s\n", worker.ID, worker.Status, worker.Task)
		}
	}
	return w.Flush()
}
