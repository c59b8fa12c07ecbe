package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// redriveCmd brings failed POs back.
type redriveCmd struct {
	targetFlags
	Job  string `arg:"" optional:"" help:"Only this job's POs; also those whose message is gone. Without it, the whole dead-letter queue."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Help is shown by purser redrive --help.
func (*redriveCmd) Help() string {
	return `Mend first what made the POs fail (purser status JOB and the report say what it was). A redriven PO is opened again, the job's
counters follow, and its results are written anew when it is done.

Exit codes: 0 the POs are on their way, or there were none; 1 the stack cannot be asked; 2 there is no such job.`
}

// redriven is what --json prints.
type redriven struct {
	Moved    int `json:"moved"`    // messages that went from the dead-letter queue back to the queue
	Reopened int `json:"reopened"` // rows that were opened again, with a new message each
}

// Run redrives.
func (c *redriveCmd) Run(a *app) error {
	t, err := c.open(a)
	if err != nil {
		return err
	}
	var r redriven
	if c.Job == "" {
		r, err = t.redriveAll(a.ctx)
	} else {
		if _, err = t.job(a.ctx, c.Job); err == nil {
			r.Reopened, err = t.dispatcher().Redrive(a.ctx, c.Job)
		}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, r)
	}
	switch n := r.Moved + r.Reopened; {
	case n == 0:
		fmt.Fprintln(a.stdout, "Nothing to redrive")
	case c.Job != "":
		fmt.Fprintf(a.stdout, "%d POs are tried again; see: purser watch %s\n", n, c.Job)
	default:
		fmt.Fprintf(a.stdout, "%d messages are on their way back to the queue\n", n)
	}
	return nil
}

// redriveAll moves the dead-letter queue as the console does.
func (t *target) redriveAll(ctx context.Context) (redriven, error) {
	var r redriven
	source, err := t.arn(ctx, t.DLQURL)
	if err != nil {
		return r, err
	}
	destination, err := t.arn(ctx, t.QueueURL)
	if err != nil {
		return r, err
	}
	// Messages that the downloader put there itself have no source queue to go back to: the destination must be named.
	task, err := t.SQS.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: &destination})
	if err != nil {
		return r, fmt.Errorf("starting the redrive: %w", err)
	}
	for {
		tasks, err := t.SQS.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &source, MaxResults: aws.Int32(10)})
		if err != nil {
			return r, fmt.Errorf("looking at the redrive: %w", err)
		}
		running := false
		for _, m := range tasks.Results {
			if aws.ToString(m.Status) == "RUNNING" {
				running = true
			}
			if m.TaskHandle == nil || aws.ToString(m.TaskHandle) == aws.ToString(task.TaskHandle) {
				r.Moved = max(r.Moved, int(m.ApproximateNumberOfMessagesMoved))
				if reason := aws.ToString(m.FailureReason); reason != "" {
					return r, fmt.Errorf("the redrive failed: %s", reason)
				}
			}
			if !running { // the newest task comes first, and is ours
				return r, nil
			}
			break
		}
		if len(tasks.Results) == 0 {
			return r, nil
		}
		if !pause(ctx, time.Second) {
			return r, ctx.Err()
		}
	}
}
