// Command purser is what an operator runs: it fetches the documents behind the purchase orders of a sheet, on this machine or
// on a deployed stack, and shows what became of each.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
)

// Exit codes, as documented in the README.
const (
	exitOK     = 0 // every row is final and none failed
	exitFailed = 1 // some POs failed, or what was asked for could not be done
	exitUsage  = 2 // wrong use, or input that cannot be read
)

// cli is every command. Each lives in a file of its own name.
type cli struct {
	Check   checkCmd   `cmd:"" help:"Tell what would become of each line of a sheet, without touching a portal."`
	Run     runCmd     `cmd:"" help:"Fetch the documents of a sheet's POs on this machine, from start to end."`
	Local   localCmd   `cmd:"" help:"Run Purser's AWS stack on this machine: S3, SQS, DynamoDB and the functions."`
	Demo    demoCmd    `cmd:"" help:"Run the demo portal: a stand-in for a procurement portal, for trying Purser out."`
	Submit  submitCmd  `cmd:"" help:"Drop a sheet into a stack's bucket."`
	Status  statusCmd  `cmd:"" help:"Show the jobs, or one job."`
	Watch   watchCmd   `cmd:"" help:"Show a job live, until it has ended."`
	Get     getCmd     `cmd:"" help:"Bring a job's documents and results here."`
	Open    openCmd    `cmd:"" help:"Show a job's report."`
	Share   shareCmd   `cmd:"" help:"Make a link to a job's report that opens for anybody who has it, for a while."`
	Redrive redriveCmd `cmd:"" help:"Try failed POs again."`
	Cancel  cancelCmd  `cmd:"" help:"Call a job off."`
	Session sessionCmd `cmd:"" help:"Keep the portal's session."`

	Completion completionCmd `cmd:"" help:"Let a shell complete purser's words."`
}

// app is what every command gets: where to write, and the context that Ctrl-C ends.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    func(string) string // os.Getenv
}

// exitError ends the program with a code of its own. An empty text prints nothing: all was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is wrong use, or input that cannot be read: exit code 2.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings given, so that a test can call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var (
		c      cli
		exited *int
	)
	parser, err := kong.New(&c,
		kong.Name("purser"),
		kong.Description("Fetches the documents behind purchase orders."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = &code }),
	)
	if err != nil {
		fmt.Fprintf(stderr, "purser: %v\n", err)
		return exitUsage
	}
	kongplete.Complete(parser) // answers a shell, and exits, when one asks what could come next
	if exited != nil {
		return *exited
	}
	k, err := parser.Parse(args)
	if exited != nil { // --help
		return *exited
	}
	if err != nil {
		return fail(stderr, usagef("%w; try purser --help", err))
	}
	return fail(stderr, k.Run(&app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, env: os.Getenv}))
}

// fail says what went wrong, in one line without a stack trace, and returns the exit code.
func fail(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(stderr, "purser: %s\n", text)
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitFailed
}
