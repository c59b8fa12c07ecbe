// The function that the tests of the local stack run in execution environments. What it does is in the event: a command itself, or
// one in the body of each SQS message; S3 and scheduled events are written down. NOTES is the directory by which it speaks with the
// test: everything it sees or does becomes a file there.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

type command struct {
	Do   string `json:"do"`
	Name string `json:"name"`
	N    int    `json:"n"`
}

var notes = os.Getenv("NOTES")

// asked is closed by SIGTERM.
var asked = make(chan struct{})

func main() {
	if len(os.Args) > 1 {
		child(os.Args[1:])
		return
	}
	if os.Getenv("REFUSE_TO_START") != "" {
		fmt.Println("refused to start")
		os.Exit(1)
	}
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() { close(asked) }))
}

func handle(ctx context.Context, event json.RawMessage) (any, error) {
	var kind struct {
		Source  string `json:"source"`
		Records []struct {
			EventSource string `json:"eventSource"`
		}
	}
	if err := json.Unmarshal(event, &kind); err != nil {
		return nil, err
	}
	switch {
	case kind.Source == "aws.events":
		return nil, note("schedule", event)
	case len(kind.Records) == 0:
		var c command
		if err := json.Unmarshal(event, &c); err != nil {
			return nil, err
		}
		return do(c)
	case kind.Records[0].EventSource == "aws:s3":
		return nil, onObject(event)
	default:
		return onMessages(event)
	}
}

// onObject notes the event, and fails or hangs when the key says so: input/fail.csv, input/hang-once.csv.
func onObject(event []byte) error {
	var e events.S3Event
	if err := json.Unmarshal(event, &e); err != nil {
		return err
	}
	if err := note("object", event); err != nil {
		return err
	}
	switch key := e.Records[0].S3.Object.Key; {
	case strings.Contains(key, "fail"):
		return errors.New("the key says so")
	case strings.Contains(key, "hang-once") && first("object-hung"):
		select {}
	}
	return nil
}

func onMessages(event []byte) (any, error) {
	var e events.SQSEvent
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	if err := note("batch", event); err != nil {
		return nil, err
	}
	var answer events.SQSEventResponse
	for _, m := range e.Records {
		var c command
		if err := json.Unmarshal([]byte(m.Body), &c); err != nil {
			return nil, err
		}
		if c.Do == "return" || c.Do == "return-once" && m.Attributes["ApproximateReceiveCount"] == "1" {
			answer.BatchItemFailures = append(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
			continue
		}
		if c.Do == "hang-once" && m.Attributes["ApproximateReceiveCount"] == "1" {
			c.Do = "hang"
		}
		if _, err := do(c); err != nil {
			return nil, err
		}
		if err := note("done-"+c.Name, []byte(m.Attributes["ApproximateReceiveCount"])); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func do(c command) (any, error) {
	switch c.Do {
	case "look":
		entries, err := os.ReadDir(os.TempDir())
		if err != nil {
			return nil, err
		}
		seen := map[string]any{"pid": os.Getpid(), "tmp": os.TempDir(), "files": len(entries)}
		for _, name := range []string{"HOME", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_LOG_STREAM_NAME", "EXTRA"} {
			seen[name] = os.Getenv(name)
		}
		fmt.Println("looked around")
		return seen, nil
	case "leave":
		return nil, os.WriteFile(filepath.Join(os.TempDir(), c.Name), nil, 0o600)
	case "spawn":
		return nil, spawn()
	case "error":
		return nil, errors.New("so be it")
	case "exit":
		os.Exit(3)
	case "panic":
		panic("so be it")
	case "hang":
		if err := note("hanging", []byte(strconv.Itoa(os.Getpid()))); err != nil {
			return nil, err
		}
		select {}
	case "until-asked":
		if err := note("waiting", nil); err != nil {
			return nil, err
		}
		<-asked
		return "handed back", nil
	case "meet":
		return nil, meet(c.N)
	}
	return nil, nil
}

// spawn starts two children that count for ever: one of this process, and one that has left the process group, the session and its
// parent.
func spawn() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := exec.Command(exe, "count", "child").Start(); err != nil {
		return err
	}
	return exec.Command(exe, "orphan").Run()
}

func child(args []string) {
	if args[0] == "orphan" {
		exe, _ := os.Executable()
		cmd := exec.Command(exe, "count", "orphan")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		return
	}
	i := 0
	for range time.Tick(time.Millisecond) {
		if err := replace("count-"+args[1], []byte(strconv.Itoa(i))); err != nil {
			panic(err)
		}
		i++
	}
}

// meet holds the invocation until n invocations have come together once, and notes how many run at once.
func meet(n int) error {
	id := strconv.Itoa(os.Getpid())
	if err := replace("running-"+id, nil); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(notes, "running-"+id))
	for range time.Tick(time.Millisecond) {
		running, err := filepath.Glob(filepath.Join(notes, "running-*"))
		if err != nil {
			return err
		}
		if err := replace(fmt.Sprintf("together-%d", len(running)), nil); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(notes, fmt.Sprintf("together-%d", n))); err == nil {
			return nil
		}
	}
	return nil
}

// note writes a file that nobody wrote before: NAME.1, NAME.2 …
func note(name string, data []byte) error {
	for i := 1; ; i++ {
		path := filepath.Join(notes, fmt.Sprintf("%s.%d", name, i))
		f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		// The link appears with its whole content.
		return errors.Join(err, f.Close(), os.Link(path+".new", path))
	}
}

// replace writes a file at once.
func replace(name string, data []byte) error {
	temporary := filepath.Join(notes, fmt.Sprintf(".%s-%d", name, os.Getpid()))
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(notes, name))
}

// first tells whether it is called with the name for the first time.
func first(name string) bool {
	f, err := os.OpenFile(filepath.Join(notes, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		f.Close()
	}
	return err == nil
}
