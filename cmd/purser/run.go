package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
	"github.com/purserhq/purser/internal/report"
	"github.com/purserhq/purser/internal/sheet"
)

// runCmd does the whole job on this machine: stack, environments, one sheet, and the end.
type runCmd struct {
	File         string `arg:"" optional:"" help:"The sheet of PO numbers: CSV or Excel. With --config, csv_path or excel_path is the default."`
	PortalURL    string `name:"portal-url" help:"Where the portal is. Without it, the demo portal is used." env:"PORTAL_BASE_URL"`
	Profile      string `help:"The portal's profile: a built-in name, or a YAML file." default:"coupa" env:"PORTAL_PROFILE"`
	Session      string `help:"The portal's session: cookies as a JSON export, Netscape cookies.txt or Playwright storage state. Or set PORTAL_USERNAME and PORTAL_PASSWORD." type:"path"`
	Data         string `help:"Where everything is kept." default:"./purser-data" type:"path"`
	Environments int    `help:"Execution environments, each with a browser of its own." default:"0"`
	Workers      int    `help:"Tabs of each browser, 1 to 8." default:"0"`
	BatchSize    int    `help:"POs that an environment is given at once; some for each tab keep all of them busy." default:"0"`
	Config       string `help:"The older tool's configuration, myscript_config.json." type:"path"`
	Resume       string `help:"Go on with a job that was stopped." placeholder:"JOB"`
	JSON         bool   `name:"json" help:"End with one line of JSON on standard output."`

	poll time.Duration // how often the job is looked at; a test looks more often
}

// Help is shown by purser run --help.
func (*runCmd) Help() string {
	return `Examples:
  purser run pos.csv                                    try it on the demo portal
  purser run pos.csv --portal-url https://company.coupahost.com --session cookies.json
  purser run --resume pos-20260115T093000Z-1a2b3c4d     go on after Ctrl-C

Exit codes: 0 every row is final and none failed; 1 some POs failed; 2 wrong use, or a sheet that cannot be read.`
}

// The event source mapping. A batch ends with its slowest PO while other tabs have nothing left to do, so it holds several POs for
// each of them. SQS gives ten messages at once; for more there has to be a window, as in AWS.
const (
	batchPerTab = 5
	batchWindow = time.Second
)

// closeWithin bounds the end of a run: Ctrl-C stops within a minute.
const closeWithin = 55 * time.Second

// Run does the job.
func (c *runCmd) Run(a *app) error {
	plan, err := c.plan(a)
	if err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(a.stderr)
	log.SetLevel(logrus.WarnLevel)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})

	if plan.demo {
		address, stop, err := startDemo(a.ctx)
		if err != nil {
			return err
		}
		defer stop()
		plan.env = append(plan.env, "PORTAL_PROFILE=demo", "PORTAL_BASE_URL="+address)
		plan.session = demoSession()
		fmt.Fprintf(a.stderr, "No --portal-url: the demo portal is used, at %s (user %s, password %s)\n", address, demo.DefaultLogin, demo.DefaultPassword)
	}
	stack, err := c.startStack(a.ctx, plan, a.env, log)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), closeWithin)
		defer cancel()
		if err := stack.Close(ctx); err != nil {
			fmt.Fprintf(a.stderr, "purser: stopping the local stack: %v\n", err)
		}
	}()
	clients := cloud.New(stack.AWSConfig())
	jobs := ledger.New(clients.DynamoDB, stack.Table)
	id := c.Resume
	if id == "" {
		if id, err = drop(a.ctx, clients, jobs, stack.Bucket, plan, c.interval()); err != nil {
			return err
		}
	} else if _, err := jobs.Job(a.ctx, id); err != nil {
		return usagef("--resume %s: %w in %s", id, err, c.Data)
	}
	fmt.Fprintf(a.stderr, "Job %s\n", id)

	job, err := c.follow(a, jobs, id)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped; nothing is lost, go on with: purser run --resume %s --data %s", id, c.Data)
	}
	if err != nil {
		return err
	}
	return c.conclude(a, clients, stack, job)
}

// plan is what a run was asked for, checked.
type plan struct {
	name    string // of the sheet
	body    []byte // of the sheet; nil with --resume
	env     []string
	session []byte
	demo    bool
	count   int // environments
	batch   int // POs of one invocation
}

// plan checks everything that can be wrong before anything is started.
func (c *runCmd) plan(a *app) (plan, error) {
	var (
		p    plan
		file config.File
	)
	if c.Config != "" {
		var (
			warnings []string
			err      error
		)
		if file, warnings, err = config.ReadFile(c.Config); err != nil {
			return p, usagef("%w", err)
		}
		for _, w := range warnings {
			fmt.Fprintf(a.stderr, "warning: %s: %s\n", c.Config, w)
		}
		if file.DownloadDir != nil && c.Data == absolute("./purser-data") {
			c.Data = absolute(*file.DownloadDir)
		}
	}
	settings, err := c.settings(a, file)
	if err != nil {
		return p, err
	}
	p.env = settings
	p.count = c.Environments
	if p.count == 0 {
		p.count = max(file.Environments(), 1)
	}
	if p.count < 1 || p.count > 16 {
		return p, usagef("--environments is %d; it must be 1 to 16", p.count)
	}
	p.demo = c.PortalURL == ""
	if !p.demo {
		if err := c.planPortal(a, &p); err != nil {
			return p, err
		}
	}
	parsed, err := config.FromEnviron(settings)
	if err != nil {
		return p, usagef("%w", err)
	}
	wanted := c.BatchSize
	if wanted == 0 && file.BatchSize != nil {
		wanted = *file.BatchSize
	}
	p.batch = cmp.Or(wanted, batchPerTab*parsed.WorkerCount)
	if p.batch < 1 || p.batch > 10000 {
		return p, usagef("--batch-size is %d; it must be 1 to 10000, Lambda's limit", p.batch)
	}
	if c.Resume != "" {
		return p, nil
	}
	path := c.File
	if path == "" {
		path = file.Sheet()
	}
	if path == "" {
		return p, usagef("name the sheet of PO numbers: purser run pos.csv")
	}
	p.name = filepath.Base(path)
	if p.body, err = os.ReadFile(path); err != nil {
		return p, usagef("the sheet cannot be read: %w", err)
	}
	r, err := sheet.Open(bytes.NewReader(p.body), p.name, sheet.Options{
		POColumn: parsed.POColumn, SupplierColumn: parsed.SupplierColumn, Pattern: parsed.POPattern,
	})
	if err != nil {
		return p, usagef("%w", err)
	}
	if wanted == 0 { // each environment gets its share of a small sheet
		p.batch = min(p.batch, max(1, (acceptedRows(r, p.batch*p.count)+p.count-1)/p.count))
	}
	return p, r.Close()
}

// acceptedRows counts the sheet's POs, to the limit. What is wrong with later rows shows when the sheet is dispatched.
func acceptedRows(r *sheet.Reader, limit int) (n int) {
	for n < limit {
		row, err := r.Next()
		if err != nil {
			break
		}
		if row.Verdict == sheet.Accepted {
			n++
		}
	}
	return n
}

// settings gives the functions what the environment says, then the configuration file; the flags win over both.
func (c *runCmd) settings(a *app, file config.File) ([]string, error) {
	values := file.Environ()
	for field := range reflect.TypeFor[config.Settings]().Fields() {
		name := field.Tag.Get("env")
		if name == "" || slices.Contains(stackSettings, name) {
			continue
		}
		if v := a.env(name); v != "" {
			values[name] = v
		}
	}
	if v := a.env("PO_PATTERN"); v != "" {
		values["PO_PATTERN"] = v
	}
	if c.Workers != 0 {
		values["WORKER_COUNT"] = fmt.Sprint(c.Workers)
	}
	var env []string
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	if _, err := config.FromEnviron(env); err != nil {
		return nil, usagef("%w", err)
	}
	return env, nil
}

// stackSettings are given by the stack, the portal's flags, or Lambda, never by the user's environment.
var stackSettings = []string{
	"BUCKET_NAME", "TABLE_NAME", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "TOPIC_ARN", "MAX_RECEIVE_COUNT", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "PORTAL_PROFILE", "PORTAL_BASE_URL", "PORTAL_SESSION_SECRET",
}

// planPortal checks the profile and the session.
func (c *runCmd) planPortal(a *app, p *plan) error {
	profile, err := portal.Load(c.Profile)
	if err == nil {
		_, err = profile.WithBaseURL(c.PortalURL)
	}
	if err != nil {
		return usagef("%w", err)
	}
	name := c.Profile
	if !slices.Contains(portal.Builtins(), name) {
		name = absolute(name)
	}
	p.env = append(p.env, "PORTAL_PROFILE="+name, "PORTAL_BASE_URL="+c.PortalURL)
	switch user := a.env("PORTAL_USERNAME"); {
	case c.Session != "":
		if p.session, err = os.ReadFile(c.Session); err != nil {
			return usagef("the session cannot be read: %w", err)
		}
		if _, err := portal.ParseSession(p.session); err != nil {
			return usagef("the session %s cannot be used: %w", c.Session, err)
		}
	case user != "":
		p.session = signInSession(user, a.env("PORTAL_PASSWORD"))
	default:
		fmt.Fprintln(a.stderr, "No session: give --session FILE, or PORTAL_USERNAME and PORTAL_PASSWORD, if the portal wants one")
	}
	return nil
}

func signInSession(user, password string) []byte {
	data, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil { // two strings: cannot happen
		panic(err)
	}
	return data
}

func demoSession() []byte { return signInSession(demo.DefaultLogin, demo.DefaultPassword) }

// startDemo serves the demo portal on a free port.
func startDemo(ctx context.Context) (address string, stop func(), err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("starting the demo portal: %w", err)
	}
	server := &http.Server{Handler: demo.New(demo.Options{}), ReadHeaderTimeout: 30 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// startStack starts the local stack with its functions.
func (c *runCmd) startStack(ctx context.Context, p plan, getenv func(string) string, log *logrus.Logger) (*local.Stack, error) {
	binaries, err := functionBinaries()
	if err != nil {
		return nil, err
	}
	env, err := withChromium(p.env, getenv)
	if err != nil {
		return nil, err
	}
	if p.demo && !slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "RETRY_DELAY=") }) {
		env = append(env, "RETRY_DELAY=1") // the demo portal's troubles pass at once, or never
	}
	return local.Start(ctx, local.Options{
		Data: c.Data, Listen: "127.0.0.1:0", Dispatcher: binaries.dispatcher, Downloader: binaries.downloader, RIE: binaries.emulator,
		Environments: p.count, BatchSize: p.batch, Window: batchWindow, Session: p.session, Env: env, Freeze: true, Log: log,
	})
}

// drop puts the sheet into the bucket and waits for its job.
func drop(ctx context.Context, clients *cloud.Clients, jobs *ledger.Ledger, bucket string, p plan, every time.Duration) (string, error) {
	before, err := jobs.Jobs(ctx, 1000)
	if err != nil {
		return "", err
	}
	key := "input/" + p.name
	if _, err := clients.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(p.body)}); err != nil {
		return "", fmt.Errorf("putting the sheet into the bucket: %w", err)
	}
	known := map[string]bool{}
	for _, j := range before {
		known[j.ID] = true
	}
	wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		now, err := jobs.Jobs(wait, 1000)
		for _, j := range now {
			if j.Key == key && !known[j.ID] {
				return j.ID, nil
			}
		}
		if err != nil || !pause(wait, every) {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", fmt.Errorf("the dispatcher made no job of the sheet within two minutes; its log is under logs/ in the data directory: %w",
				errors.Join(err, wait.Err()))
		}
	}
}

// follow shows the job until it has ended.
func (c *runCmd) follow(a *app, jobs *ledger.Ledger, id string) (ledger.Job, error) {
	bar := newProgress(a.stderr)
	defer bar.end()
	for {
		job, err := jobs.Job(a.ctx, id)
		if err != nil {
			return job, err
		}
		bar.show(time.Now(), job.Counters.Done, job.Total, job.Blocked)
		if job.Ended() {
			return job, nil
		}
		if !pause(a.ctx, c.interval()) {
			return job, context.Canceled
		}
	}
}

func (c *runCmd) interval() time.Duration {
	if c.poll > 0 {
		return c.poll
	}
	return 300 * time.Millisecond
}

// pause waits; false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// outcome is the last line of --json.
type outcome struct {
	Job         string              `json:"job"`
	DownloadDir string              `json:"download_dir"`
	ResultCSV   string              `json:"result_csv,omitempty"`
	Report      string              `json:"report"`
	Summary     report.Summary      `json:"summary"`
	Counts      map[po.Status]int64 `json:"counts"`
}

// conclude says what became of the job.
func (c *runCmd) conclude(a *app, clients *cloud.Clients, stack *local.Stack, job ledger.Job) error {
	files := archive.New(clients.S3, stack.Bucket)
	summary, err := readSummary(a.ctx, files, job.ID)
	if err != nil {
		return err
	}
	bucket := filepath.Join(c.Data, stack.Bucket)
	o := outcome{
		Job: job.ID, DownloadDir: filepath.Join(bucket, "download", job.ID), Report: filepath.Join(bucket, "results", job.ID, report.ReportName),
		Summary: summary, Counts: summary.ByStatus,
	}
	if job.State != ledger.FailedJob {
		o.ResultCSV = filepath.Join(bucket, "results", job.ID, report.ResultName(job.Name))
	}
	if err := printOutcome(a.stdout, ledger.New(clients.DynamoDB, stack.Table), a.ctx, job, o); err != nil {
		return err
	}
	if c.JSON {
		line, err := json.Marshal(o)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, string(line))
	}
	return exitFor(job, summary)
}

// exitFor is the exit code of a job that has ended.
func exitFor(job ledger.Job, s report.Summary) error {
	if job.State == ledger.FailedJob {
		return usagef("the sheet cannot be read: %s", job.Error)
	}
	if s.ByStatus[po.Failed]+s.ByStatus[po.Timeout]+s.ByStatus[po.PRNotAccessible]+s.ByStatus[po.Pending] > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func readSummary(ctx context.Context, files *archive.Archive, job string) (report.Summary, error) {
	var s report.Summary
	body, _, err := files.Open(ctx, archive.ResultKey(job, report.SummaryName), "", "")
	if err != nil {
		return s, fmt.Errorf("reading the job's summary: %w", err)
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the job's summary: %w", err)
	}
	return s, nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
