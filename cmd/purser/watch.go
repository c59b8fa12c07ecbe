package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/report"
)

// watchCmd shows a job live, until it has ended.
type watchCmd struct {
	targetFlags
	Job   string        `arg:"" help:"The job."`
	Every time.Duration `default:"1s" help:"How often the job is looked at."`
	JSON  bool          `name:"json" help:"Print the job as one JSON object whenever it changed."`
}

// Help is shown by purser watch --help.
func (*watchCmd) Help() string {
	return `On a terminal a bar shows progress, rate, what the workers do, and what blocks the job; elsewhere a line is written now and then.

Exit codes: 0 the job ended and no PO failed; 1 some failed, or the watch was broken off; 2 there is no such job.`
}

// Run watches.
func (c *watchCmd) Run(a *app) error {
	t, err := c.open(a)
	if err != nil {
		return err
	}
	j, err := t.job(a.ctx, c.Job)
	if err != nil {
		return err
	}
	if j, err = c.follow(a, t, j); err != nil {
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("no longer watching; the job goes on, and so does: purser watch %s", c.Job)
		}
		return err
	}
	s := statusOf(j)
	if !c.JSON {
		if err := s.print(a.stdout); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "Bring its files here with: purser get %s\n", j.ID)
	}
	return exitFor(j, report.Summary{ByStatus: j.Counters.ByStatus})
}

// follow shows the job until it has ended.
func (c *watchCmd) follow(a *app, t *target, j ledger.Job) (ledger.Job, error) {
	every := c.Every
	if every <= 0 {
		every = time.Second
	}
	bar := newProgress(a.stderr)
	defer bar.end()
	printed := ""
	for {
		workers, err := t.jobs.Workers(a.ctx, j.ID)
		if err != nil {
			return j, err
		}
		if c.JSON {
			s := statusOf(j)
			s.Environments = workers
			if now := fmt.Sprint(s.State, s.Done, s.Blocked, s.Finished); now != printed {
				printed = now
				if err := printJSON(a.stdout, s); err != nil {
					return j, err
				}
			}
		} else {
			bar.tasks = busy(workers)
			bar.show(time.Now(), j.Counters.Done, j.Total, blockedNote(j))
		}
		if j.Ended() {
			return j, nil
		}
		if !pause(a.ctx, every) {
			return j, context.Canceled
		}
		if j, err = t.jobs.Job(a.ctx, c.Job); err != nil {
			return j, err
		}
	}
}

func blockedNote(j ledger.Job) string {
	if j.Blocked == "" {
		return ""
	}
	return "blocked: " + j.Blocked
}

// busy lists the POs that are worked at this moment.
func busy(environments []ledger.PoolStatus) string {
	var tasks []string
	for _, e := range environments {
		for _, w := range e.Workers {
			if w.Task != "" {
				tasks = append(tasks, w.Task)
			}
		}
	}
	return strings.Join(tasks, " ")
}
