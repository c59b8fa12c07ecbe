package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/purserhq/purser/internal/sheet"
)

// submitCmd drops a sheet into a stack's bucket.
type submitCmd struct {
	targetFlags
	File  string `arg:"" type:"existingfile" help:"The sheet of PO numbers."`
	Watch bool   `help:"Show the job until it has ended."`
	JSON  bool   `name:"json" help:"Print one JSON object: job, bucket, key."`
}

// Help is shown by purser submit --help.
func (*submitCmd) Help() string {
	return `Examples:
  purser submit pos.csv                       to the local stack (purser local)
  purser submit pos.csv --stack purser --watch

Exit codes: 0 the job has begun (with --watch: it ended and no PO failed); 1 it could not be begun, or POs failed; 2 the sheet
cannot be read.`
}

// Run submits the sheet.
func (c *submitCmd) Run(a *app) error {
	body, err := os.ReadFile(c.File)
	if err != nil {
		return usagef("the sheet cannot be read: %w", err)
	}
	name := filepath.Base(c.File)
	r, err := sheet.Open(bytes.NewReader(body), name, sheet.Options{POColumn: a.env("PO_COLUMN")})
	if err != nil {
		return usagef("%w", err)
	}
	if err := r.Close(); err != nil {
		return err
	}
	t, err := c.open(a)
	if err != nil {
		return err
	}
	id, err := drop(a.ctx, t.Clients, t.jobs, t.Bucket, plan{name: name, body: body}, 300*time.Millisecond)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(a.stdout, map[string]string{"job": id, "bucket": t.Bucket, "key": "input/" + name}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "Job %s\n", id)
	}
	if !c.Watch {
		return nil
	}
	return (&watchCmd{targetFlags: c.targetFlags, Job: id}).Run(a)
}
