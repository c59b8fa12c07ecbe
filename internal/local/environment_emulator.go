package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// emulator is a running process of the runtime interface emulator, with all that it started.
type emulator struct {
	tree   *tree
	url    string
	exited chan struct{} // closed when the emulator is gone
	swept  chan struct{} // closed when all it started is gone too, or does not go
	err    error         // of sweeping; read after swept
}

// inherited are the variables that functions get from this process: how to find programs, and the way out of this network.
// Everything else would make a function depend on the machine that it is tried on.
var inherited = []string{
	"PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// We speak to the emulator at a port that the kernel chooses; the function at one that must be known beforehand, on another host.
var (
	invokeHost  = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	runtimeHost = netip.AddrFrom4([4]byte{127, 0, 0, 2})
)

// startTries is how often an emulator is started before it is given up: another program may take its port.
const startTries = 3

func (e *environment) start(ctx context.Context) (process *emulator, err error) {
	for range startTries {
		if process, err = e.startOnce(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return process, err
}

// startOnce runs the emulator in an empty directory and waits until it listens.
func (e *environment) startOnce(ctx context.Context) (*emulator, error) {
	f := e.function
	tmp := filepath.Join(e.dir, "tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, err
	}
	log, err := openLog(e.status.Log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own

	runtimeAPI, err := freeAddress(ctx, runtimeHost)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(f.rie, "--log-level", "warn", //nolint:gosec // the user says which binaries run
		"--runtime-interface-emulator-address", invokeHost.String()+":0",
		"--runtime-api-address", runtimeAPI, f.binary)
	cmd.Dir, cmd.Stdout, cmd.Stderr = tmp, log, log
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, f.env...)
	cmd.Env = append(
		cmd.Env,
		"TMPDIR="+tmp,
		"HOME="+tmp,
		"AWS_LAMBDA_FUNCTION_NAME="+f.name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(f.memory),
		"AWS_LAMBDA_FUNCTION_TIMEOUT="+strconv.Itoa(int(f.timeout.Seconds())),
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+f.name,
		"AWS_LAMBDA_LOG_STREAM_NAME="+e.name,
		"LAMBDA_TASK_ROOT="+filepath.Dir(f.binary),
	)
	process := &emulator{
		tree:   &tree{mark: f.mark + e.name},
		exited: make(chan struct{}), swept: make(chan struct{}),
	}
	if err := process.tree.start(cmd, process.sweep); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it does not listen after %s", startTimeout))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		// The emulator opens both in any order, and starts the function as soon as it is invoked.
		address, invokable := process.tree.listening(invokeHost)
		if _, ready := process.tree.listening(runtimeHost); ready && invokable {
			process.url = "http://" + address.String() + "/2015-03-31/functions/function/invocations"
			return process, nil
		}
		select {
		case <-tick.C:
		case <-process.exited:
			return nil, fmt.Errorf("%s ended at once; see %s", filepath.Base(f.rie), e.status.Log)
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), process.kill())
		}
	}
}

// freeAddress is an address at which nobody listens now. Few programs use other loopback hosts than 127.0.0.1, so it will still be
// free in a moment; when it is not, the emulator ends at once.
func freeAddress(ctx context.Context, host netip.Addr) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// sweep kills what the emulator leaves behind.
func (p *emulator) sweep(error) {
	close(p.exited)
	ctx, cancel := context.WithTimeout(context.Background(), signalTimeout)
	defer cancel()
	p.err = p.tree.kill(ctx)
	close(p.swept)
}

func (p *emulator) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends the emulator and everything it started.
func (p *emulator) kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), signalTimeout)
	defer cancel()
	if err := p.tree.kill(ctx); err != nil {
		return err
	}
	<-p.swept
	return p.err
}

// The types of functionErrors that are not the function's own words.
const (
	timeoutType = "Sandbox.Timedout"
	exitType    = "Runtime.ExitError"
)

// post invokes the function. keep tells whether the environment can serve again.
func (p *emulator) post(ctx context.Context, id string, event []byte, timeout time.Duration) (_ []byte, keep bool, _ error) {
	limited, cancel := context.WithTimeout(ctx, timeout+resetTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodPost, p.url, bytes.NewReader(event))
	if err != nil {
		return nil, false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Amzn-RequestId", id)
	response, err := emulatorClient.Do(request)
	if err != nil {
		return nil, false, lostAnswer(ctx, limited, err, timeout)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, false, lostAnswer(ctx, limited, err, timeout)
	}
	return readAnswer(response.StatusCode, body, timeout)
}

// emulatorClient opens a connection for each invocation: one that was kept would belong to a frozen process.
var emulatorClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// lostAnswer says why there was no answer.
func lostAnswer(ctx, limited context.Context, err error, timeout time.Duration) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		return timedOut(timeout)
	}
	return &functionError{Type: exitType, Message: "the execution environment died: " + err.Error()}
}

func timedOut(timeout time.Duration) error {
	return &functionError{Type: timeoutType, Message: timeoutText(timeout)}
}

// timeoutText is what the emulator answers, with status 200, when a function ran out of time.
func timeoutText(timeout time.Duration) string {
	return fmt.Sprintf("Task timed out after %d.00 seconds", int(timeout.Seconds()))
}

// readAnswer tells a function's answer from its failure. The emulator leaves out the header X-Amz-Function-Error, so an error that
// a handler returned is known by its form; the process goes on then, as it does in Lambda. Any other status than 200 means that it
// has exited.
func readAnswer(status int, body []byte, timeout time.Duration) (_ []byte, keep bool, _ error) {
	if string(body) == timeoutText(timeout) {
		return nil, false, timedOut(timeout)
	}
	var failure struct {
		Type    *string `json:"errorType"`
		Message *string `json:"errorMessage"`
	}
	failed := json.Unmarshal(body, &failure) == nil && failure.Type != nil && failure.Message != nil
	switch {
	case failed:
		return nil, status == http.StatusOK, &functionError{Type: *failure.Type, Message: *failure.Message}
	case status != http.StatusOK:
		return nil, false, &functionError{Type: exitType, Message: fmt.Sprintf("the emulator answered with status %d: %s", status, body)}
	case len(body) == 0:
		return nil, false, &functionError{Type: exitType, Message: "the function gave no answer"}
	}
	return body, true, nil
}

// openLog opens the log file to append, and puts a long one aside.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
