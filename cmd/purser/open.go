package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// openCmd shows a job's report.
type openCmd struct {
	targetFlags
	Job  string `arg:"" help:"The job."`
	To   string `default:"." help:"Where purser get put the job's files, or where to put them." type:"path"`
	JSON bool   `name:"json" help:"Print one JSON object, and open nothing."`
}

// Help is shown by purser open --help.
func (*openCmd) Help() string {
	return `The job's files are brought here first, as with purser get: the report links to them.

Exit codes: 0 the report is here; 1 it is not; 2 there is no such job.`
}

// Run opens the report.
func (c *openCmd) Run(a *app) error {
	get := getCmd{targetFlags: c.targetFlags, Job: c.Job, To: c.To, Parallel: 8}
	t, err := c.open(a)
	if err != nil {
		return err
	}
	if _, err := t.job(a.ctx, c.Job); err != nil {
		return err
	}
	g, err := get.fetch(a, t)
	if err != nil {
		return err
	}
	if _, err := os.Stat(g.Report); err != nil {
		return fmt.Errorf("the job has no report yet; see: purser watch %s", c.Job)
	}
	if c.JSON {
		return printJSON(a.stdout, g)
	}
	fmt.Fprintln(a.stdout, g.Report)
	if !isTerminal(a.stdout) {
		return nil
	}
	opener := map[string]string{"darwin": "open", "windows": "explorer"}[runtime.GOOS]
	if opener == "" {
		opener = "xdg-open"
	}
	path, err := exec.LookPath(opener)
	if err != nil { // no desktop here: the path was printed
		return nil
	}
	return exec.CommandContext(a.ctx, path, filepath.Clean(g.Report)).Run()
}
