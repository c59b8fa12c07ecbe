package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/purserhq/purser/internal/archive"
)

// getCmd brings a job's documents and results here.
type getCmd struct {
	targetFlags
	Job      string `arg:"" help:"The job."`
	To       string `default:"." help:"The folder; download/JOB and results/JOB are made in it." type:"path"`
	Parallel int    `default:"8" help:"How many files are fetched at once."`
	JSON     bool   `name:"json" help:"Print one JSON object."`
}

// Help is shown by purser get --help.
func (*getCmd) Help() string {
	return `What is here already, and as large and new as in the bucket, is not fetched again: run it once more after Ctrl-C, or after a redrive.
Files that the bucket has no more stay.

Exit codes: 0 all is here; 1 something could not be fetched; 2 there is no such job.`
}

// got is what --json prints.
type got struct {
	Job     string `json:"job"`
	To      string `json:"to"`
	Files   int64  `json:"files"`   // fetched
	Skipped int64  `json:"skipped"` // were here already
	Bytes   int64  `json:"bytes"`   // fetched
	Report  string `json:"report"`
}

// Run brings the files.
func (c *getCmd) Run(a *app) error {
	t, err := c.open(a)
	if err != nil {
		return err
	}
	if _, err := t.job(a.ctx, c.Job); err != nil {
		return err
	}
	g, err := c.fetch(a, t)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, g)
	}
	fmt.Fprintf(a.stdout, "%d files fetched (%s), %d were here already\nReport: %s\n", g.Files, size(g.Bytes), g.Skipped, g.Report)
	return nil
}

func (c *getCmd) fetch(a *app, t *target) (got, error) {
	g := got{Job: c.Job, To: c.To, Report: filepath.Join(c.To, "results", c.Job, "report.html")}
	var objects []archive.Object
	for _, prefix := range []string{"download/" + c.Job + "/", "results/" + c.Job + "/"} {
		for o, err := range t.files.List(a.ctx, prefix) {
			if err != nil {
				return g, err
			}
			objects = append(objects, o)
		}
	}
	bar := newProgress(a.stderr)
	bar.unit = "files"
	defer bar.end()
	var (
		done, files, skipped, bytes atomic.Int64
		showing                     sync.Mutex
	)
	workers, ctx := errgroup.WithContext(a.ctx)
	workers.SetLimit(max(1, c.Parallel))
	for _, o := range objects {
		workers.Go(func() error {
			fetched, err := c.one(ctx, t, o)
			if err != nil {
				return fmt.Errorf("%s: %w", o.Key, err)
			}
			if fetched {
				files.Add(1)
				bytes.Add(o.Bytes)
			} else {
				skipped.Add(1)
			}
			showing.Lock()
			defer showing.Unlock()
			bar.show(time.Now(), done.Add(1), int64(len(objects)), "")
			return nil
		})
	}
	err := workers.Wait()
	g.Files, g.Skipped, g.Bytes = files.Load(), skipped.Load(), bytes.Load()
	if a.ctx.Err() != nil {
		return g, fmt.Errorf("stopped after %d files; the same command goes on", done.Load())
	}
	return g, err
}

// one fetches an object, unless it is here. It appears under its name only when it is whole.
func (c *getCmd) one(ctx context.Context, t *target, o archive.Object) (fetched bool, err error) {
	name, err := filepath.Localize(o.Key)
	if err != nil {
		return false, errors.New("its key is no path that this machine can hold")
	}
	file := filepath.Join(c.To, name)
	if info, err := os.Stat(file); err == nil && info.Size() == o.Bytes && !info.ModTime().Before(o.Modified) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, err
	}
	body, _, err := t.files.Open(ctx, o.Key, "", "")
	if err != nil {
		return false, err
	}
	defer body.Close()
	part, err := os.CreateTemp(filepath.Dir(file), ".purser-*.part")
	if err != nil {
		return false, err
	}
	_, err = io.Copy(part, body)
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(part.Name()))
	}
	return true, os.Chmod(file, 0o644) //nolint:gosec // the user's own documents
}
