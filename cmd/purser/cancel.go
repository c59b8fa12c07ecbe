package main

import "fmt"

// cancelCmd calls a job off.
type cancelCmd struct {
	targetFlags
	Job  string `arg:"" help:"The job."`
	JSON bool   `name:"json" help:"Print the job as one JSON object."`
}

// Help is shown by purser cancel --help.
func (*cancelCmd) Help() string {
	return `POs that are under way are finished; the others are not begun, and get the reason CANCELLED. What is done is kept, and the results
are written.

Exit codes: 0 the job is cancelled, or had ended already; 1 the stack cannot be asked; 2 there is no such job.`
}

// Run cancels the job.
func (c *cancelCmd) Run(a *app) error {
	t, err := c.open(a)
	if err != nil {
		return err
	}
	j, err := t.job(a.ctx, c.Job)
	if err != nil {
		return err
	}
	if !j.Ended() {
		if err := t.dispatcher().Cancel(a.ctx, c.Job); err != nil {
			return err
		}
		if j, err = t.job(a.ctx, c.Job); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(a.stdout, statusOf(j))
	}
	fmt.Fprintf(a.stdout, "Job %s is %s, %s done\n", j.ID, j.State, doneOf(j))
	return nil
}
