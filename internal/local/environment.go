package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
)

const (
	startTimeout  = 30 * time.Second // of an emulator; it takes milliseconds on an idle machine
	resetTimeout  = 15 * time.Second // for the emulator's answer after the function's time-out
	signalTimeout = 10 * time.Second // for all processes to stop, or to be gone
	askEvery      = time.Second      // SIGTERM to a busy function of a stack that closes
	maxLogBytes   = 16 << 20         // at which a log file is put aside
)

// function is a Lambda function as its execution environments see it.
type function struct {
	name    string
	binary  string
	rie     string // AWS's runtime interface emulator
	memory  int    // MB
	timeout time.Duration
	env     []string
	freeze  bool
	home    string // directory of the environments' directories
	logs    string // directory of their logs
	mark    string // prefix of markVariable
	log     logrus.FieldLogger
}

// functionError happens when a function was invoked and did not do its work: it returned an error, ran out of time, or died.
type functionError struct {
	Type    string
	Message string
}

func (e *functionError) Error() string {
	if e.Type == "" {
		return e.Message
	}
	return e.Type + ": " + e.Message
}

// environment is one execution environment: a directory that is its /tmp, and a process of the runtime interface emulator around
// the function, which is started when it is needed and serves one invocation at a time.
type environment struct {
	function *function
	number   int
	name     string // "downloader-1"
	dir      string

	life context.Context // ends when the time to close is over
	kill context.CancelCauseFunc

	mu      sync.Mutex
	running *emulator     // nil when cold
	ended   chan struct{} // closed when the present invocation has ended; nil when there is none
	closed  bool
	status  EnvironmentStatus
}

func newEnvironment(f *function, number int) *environment {
	name := f.name + "-" + strconv.Itoa(number)
	life, kill := context.WithCancelCause(context.Background())
	return &environment{
		function: f, number: number, name: name, dir: filepath.Join(f.home, name), life: life, kill: kill,
		status: EnvironmentStatus{
			Function: f.name, Number: number, State: EnvironmentCold, Log: filepath.Join(f.logs, name+".log"),
		},
	}
}

// invoke gives the function an event and returns its answer. A *functionError is the function's own; any other error says that it
// was not invoked, or that the context ended first. An environment whose function timed out or died is replaced: its processes are
// killed, and the next invocation starts new ones in an empty directory.
func (e *environment) invoke(ctx context.Context, event []byte) ([]byte, error) {
	if err := e.begin(); err != nil {
		return nil, err
	}
	state := EnvironmentCold
	defer func() { e.end(state) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.life, func() { cancel(errClosing) })()

	process, err := e.warm(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting execution environment %s: %w", e.name, err)
	}
	id := uuid.NewString()
	log := e.function.log.WithFields(logrus.Fields{"environment": e.name, "request": id})
	began := time.Now()
	answer, keep, err := process.post(ctx, id, event, e.function.timeout)
	log = log.WithField("duration", time.Since(began).Round(time.Millisecond).String())
	if !keep {
		if !e.isClosed() { // then its end is no news
			log.WithError(err).WithField("log", e.status.Log).Warn("execution environment is replaced")
			e.count(err)
		}
		if err := e.discard(); err != nil {
			log.WithError(err).Error("execution environment could not be ended")
		}
		return nil, err
	}
	log.Debug("invoked")
	state = e.rest(process)
	return answer, err
}

// begin marks the environment busy.
func (e *environment) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosing
	}
	e.ended = make(chan struct{})
	e.status.State = EnvironmentBusy
	e.status.Invocations++
	return nil
}

func (e *environment) end(state EnvironmentState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.State = state
	close(e.ended)
	e.ended = nil
}

// warm returns the running process, thawed, or starts one.
func (e *environment) warm(ctx context.Context) (*emulator, error) {
	e.mu.Lock()
	process := e.running
	e.mu.Unlock()
	if process != nil {
		if process.alive() && process.tree.functionLives() {
			process.tree.thaw()
			return process, nil
		}
		if err := e.discard(); err != nil { // it died in its sleep
			return nil, err
		}
	}
	process, err := e.start(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = process
	e.status.PID = process.tree.pid()
	e.status.Starts++
	return process, nil
}

func (e *environment) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// rest freezes what is warm.
func (e *environment) rest(process *emulator) EnvironmentState {
	if !e.function.freeze {
		return EnvironmentIdle
	}
	ctx, cancel := context.WithTimeout(context.Background(), signalTimeout)
	defer cancel()
	err := process.tree.freeze(ctx)
	if err == nil {
		return EnvironmentFrozen
	}
	e.function.log.WithError(err).Warn("execution environment is replaced, for it does not freeze")
	if err := e.discard(); err != nil {
		e.function.log.WithError(err).Error("execution environment could not be ended")
	}
	return EnvironmentCold
}

// discard kills what runs. The environment is cold then.
func (e *environment) discard() error {
	e.mu.Lock()
	process := e.running
	e.running = nil
	e.status.PID = 0
	e.mu.Unlock()
	if process == nil {
		return nil
	}
	return process.kill()
}

func (e *environment) count(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var failure *functionError
	switch {
	case !errors.As(err, &failure):
	case failure.Type == timeoutType:
		e.status.Timeouts++
	default:
		e.status.Crashes++
	}
}

// close ends the environment, its /tmp too. A busy function gets SIGTERM, and until the end of the context to answer.
func (e *environment) close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	ended := e.ended
	e.mu.Unlock()
	if ended != nil {
		e.windDown(ctx, ended)
	}
	err := errors.Join(e.discard(), os.RemoveAll(e.dir))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.State = EnvironmentClosed
	return err
}

// windDown asks the busy function to end, again and again, for it may only be starting, until its invocation has ended.
func (e *environment) windDown(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		e.mu.Lock()
		process := e.running
		e.mu.Unlock()
		if process != nil {
			process.tree.terminate()
		}
		select {
		case <-ended:
			return
		case <-tick.C:
		case <-ctx.Done():
			e.kill(errClosing)
			<-ended
			return
		}
	}
}

func (e *environment) currently() EnvironmentStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	status := e.status
	if e.running != nil && !e.running.alive() && status.State != EnvironmentBusy {
		status.State, status.PID = EnvironmentCold, 0
	}
	return status
}
