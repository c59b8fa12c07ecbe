//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contender is one way to work the job.
type contender struct {
	tool         string // purser, cluster, playwright
	environments int    // Purser's
	pages        int    // at once, in each browser
}

// UnmarshalText reads "purser:2x4" or "cluster:8".
func (c *contender) UnmarshalText(text []byte) error {
	tool, size, _ := strings.Cut(string(text), ":")
	environments, pages, isTwo := strings.Cut(size, "x")
	if !isTwo {
		environments, pages = "1", size
	}
	var errs [2]error
	c.tool = tool
	c.environments, errs[0] = strconv.Atoi(environments)
	c.pages, errs[1] = strconv.Atoi(pages)
	known := tool == "purser" || (tool == "cluster" || tool == "playwright") && !isTwo
	if !known || errors.Join(errs[:]...) != nil || c.environments < 1 || c.pages < 1 {
		return fmt.Errorf("%q is no contender: write purser:1x8, cluster:8 or playwright:4", text)
	}
	return nil
}

func (c contender) String() string {
	if c.tool == "purser" {
		return fmt.Sprintf("%s:%dx%d", c.tool, c.environments, c.pages)
	}
	return fmt.Sprintf("%s:%d", c.tool, c.pages)
}

// job is what every contender does.
type job struct {
	options
	portal *portal
	dir    string
	sheet  string
	pos    []string
	truth  map[string]files
}

// prepare writes the sheet and learns what must come of it.
func (j *job) prepare(ctx context.Context) error {
	var b strings.Builder
	b.WriteString("PO_NUMBER\n")
	for i := range j.POs {
		po := fmt.Sprintf("PO%d", 20000000+i)
		j.pos = append(j.pos, po)
		b.WriteString(po + "\n")
	}
	j.sheet = filepath.Join(j.dir, "bench.csv")
	var err error
	if j.truth, err = j.portal.truth(ctx, j.pos); err != nil {
		return err
	}
	return os.WriteFile(j.sheet, []byte(b.String()), 0o600)
}

// result is one contender's in one round.
type result struct {
	seconds float64 // of the job: from the dropped sheet to the report, from the tool's start to its last file
	usage
	billed float64 // GB-seconds of Lambda, as the runtime emulator says; Purser's only
	right  int     // POs with exactly their files
	pos    int
}

func (r result) perMinute() float64 { return 60 * float64(r.pos) / r.seconds }
func (r result) cpuPerPO() float64  { return r.cpu.Seconds() / float64(r.pos) }

func (r result) String() string {
	return fmt.Sprintf("%6.1f POs/min  %.3f s CPU a PO  %5.0f MB PSS  %d of %d right", r.perMinute(), r.cpuPerPO(), r.megabytes(), r.right, r.pos)
}

// work has the contender do the job once.
func (j *job) work(ctx context.Context, c contender, round int) (result, error) {
	out := filepath.Join(j.dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(c.String(), ":", "-"), round+1))
	if err := os.Mkdir(out, 0o700); err != nil {
		return result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, j.Limit)
	defer cancel()
	var (
		cmd            *exec.Cmd
		stdout, stderr bytes.Buffer
	)
	if c.tool == "purser" {
		cmd = j.purser(ctx, c, out)
	} else {
		var err error
		if cmd, err = j.peer(ctx, c, out); err != nil {
			return result{}, err
		}
	}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	use, err := measure(cmd, j.portal.pid)
	if err != nil {
		return result{}, fmt.Errorf("%w\n%s%s", err, stderr.String(), stdout.String())
	}
	r := result{usage: use, pos: len(j.pos)}
	if c.tool == "purser" {
		if r.seconds, err = dropToReport(out); err == nil {
			r.billed, err = billed(out)
		}
	} else {
		r.seconds, err = reported(stdout.Bytes())
	}
	if err == nil {
		r.right, err = j.check(out)
	}
	if j.Keep == "" {
		_ = os.RemoveAll(out)
	}
	return r, err
}

// purser is the whole stack: services, execution environments, dispatcher, downloaders.
func (j *job) purser(ctx context.Context, c contender, out string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(j.Bin, "purser"), "run", j.sheet, //nolint:gosec // the user says where it is
		"--portal-url", j.portal.URL, "--profile", "demo", "--data", out,
		"--environments", strconv.Itoa(c.environments), "--workers", strconv.Itoa(c.pages))
	cmd.Env = append(os.Environ(), "PORTAL_USERNAME="+j.portal.User, "PORTAL_PASSWORD="+j.portal.Password, "CHROMIUM_PATH="+j.Chromium)
	return cmd
}

// peer is a script of bench/peers, with the libraries that Purser gives the same Chromium.
func (j *job) peer(ctx context.Context, c contender, out string) (*exec.Cmd, error) {
	input, err := json.Marshal(map[string]any{
		"url": j.portal.URL, "user": j.portal.User, "password": j.portal.Password, "pos": j.pos, "pages": c.pages,
		"chromium": j.Chromium, "out": out,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", c.tool+".mjs")
	cmd.Dir, cmd.Stdin = j.Peers, bytes.NewReader(input)
	tree := filepath.Dir(j.Chromium)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(tree, "lib"), "FONTCONFIG_PATH="+filepath.Join(tree, "fonts"))
	return cmd, nil
}

// dropToReport is the time from the sheet's landing in the bucket until the report lay there. The bucket is a directory.
func dropToReport(data string) (float64, error) {
	dropped, err := os.Stat(filepath.Join(data, "purser", "input", "bench.csv"))
	if err != nil {
		return 0, err
	}
	reports, err := filepath.Glob(filepath.Join(data, "purser", "results", "*", "report.html"))
	if err != nil || len(reports) != 1 {
		return 0, fmt.Errorf("%d reports were written, one was expected", len(reports))
	}
	written, err := os.Stat(reports[0])
	if err != nil {
		return 0, err
	}
	return written.ModTime().Sub(dropped.ModTime()).Seconds(), nil
}

var reportLine = regexp.MustCompile(`(?m)^REPORT .*Billed Duration: (\d+) ms\s+Memory Size: (\d+) MB`)

// billed sums the reports that the runtime emulator writes after each invocation, as Lambda does.
func billed(data string) (gbSeconds float64, err error) {
	logs, err := filepath.Glob(filepath.Join(data, "logs", "*.log"))
	if err != nil {
		return 0, err
	}
	for _, path := range logs {
		text, err := os.ReadFile(path) //nolint:gosec // in our own directory
		if err != nil {
			return 0, err
		}
		for _, m := range reportLine.FindAllSubmatch(text, -1) {
			milliseconds, _ := strconv.ParseFloat(string(m[1]), 64)
			megabytes, _ := strconv.ParseFloat(string(m[2]), 64)
			gbSeconds += milliseconds / 1000 * megabytes / 1024
		}
	}
	return gbSeconds, nil
}

// reported is what a peer says of itself in its last line.
func reported(stdout []byte) (float64, error) {
	lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
	var said struct {
		Seconds float64
	}
	if err := json.Unmarshal(lines[len(lines)-1], &said); err != nil {
		return 0, fmt.Errorf("the peer's last line is no report: %w", err)
	}
	return said.Seconds, nil
}
