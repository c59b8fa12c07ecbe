package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/sirupsen/logrus"
)

const (
	// A probe is one command that costs the browser a millisecond, so an answer within the first limit is the rule. One miss is
	// forgiven: when the environment was frozen in the middle of the probe, the limit is over at the moment of the thaw.
	firstProbeTimeout  = 3 * time.Second
	secondProbeTimeout = 2 * time.Second

	// killTimeout is how long the kernel may take to end killed processes. What is left after that is the kernel's fault, and is
	// swept before the next start.
	killTimeout = 10 * time.Second
)

// process is one running Chromium: its process group, its directory and its connection. It is never started twice.
type process struct {
	ctx     context.Context // chromedp's context of the browser, from Background: no invocation may end it
	cancel  func()          // ends the connection, kills the group, and waits for both
	pid     int             // the leader of the process group
	home    *home
	version cdpbrowser.GetVersionResult
	conn    *chromedp.Browser
	log     logrus.FieldLogger

	ended    atomic.Bool // it was told to end: from now on its errors mean nothing else
	killOnce sync.Once

	mu      sync.Mutex
	open    int    // tabs at this moment
	served  int    // tabs so far
	suspect string // why the browser should be replaced although it answers
}

// launch starts Chromium at path. ctx bounds the start, never the browser's life.
func launch(ctx context.Context, path string, o Options, log logrus.FieldLogger) (_ *process, err error) {
	home, err := newHome(o.TempDir)
	if err != nil {
		return nil, err
	}
	if err := prepareForChildren(); err != nil {
		log.WithError(err).Debug("this machine does not let us look after Chromium's processes as we would like")
	}

	var (
		output tail
		cmd    *exec.Cmd
	)
	options := append(flags(o.Headless, home),
		chromedp.ExecPath(path),
		chromedp.CombinedOutput(&output),
		chromedp.NoInheritEnv, // what runs in a page must never be a step away from the function's AWS keys
		chromedp.Env(environment(path, home)...),
		chromedp.ModifyCmdFunc(func(c *exec.Cmd) {
			cmd = c
			c.Dir = home.dir
			c.SysProcAttr = groupLeader()
			c.Cancel = func() error { return killGroup(c.Process.Pid) }
		}))
	// Background, because the browser lives as long as this context: with an invocation's context it would be killed at the end of
	// every invocation (https://github.com/chromedp/chromedp/issues/1453).
	life, abort := context.WithCancel(context.Background())
	allocator, cancel := chromedp.NewExecAllocator(life, options...)
	browserCtx, _ := chromedp.NewContext(allocator, //nolint:govet // the allocator's cancel ends it, and waits for the process too
		chromedp.WithLogf(log.Debugf), chromedp.WithErrorf(log.Debugf))

	// A context whose allocation failed hangs when it is used again (https://github.com/chromedp/chromedp/issues/597), so all of this
	// is thrown away on any error.
	p := &process{ctx: browserCtx, cancel: cancel, home: home, log: log}
	defer func() {
		if err != nil {
			cancelWithin(killTimeout, cancel)
			if cmd != nil && cmd.Process != nil {
				p.pid = cmd.Process.Pid
			}
			p.kill()
		}
	}()

	starting, stop := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it did not answer within %v", startTimeout))
	defer stop()
	// The browser lives as long as the context that starts it, so that one has no limit, and the start is broken off from outside.
	started := context.AfterFunc(starting, abort)
	p.version, err = chromedp.CallBrowser(browserCtx, cdpbrowser.GetVersion, cdp.Empty{})
	if !started() {
		return nil, fmt.Errorf("%w%s", context.Cause(starting), output.forError())
	}
	if err != nil {
		var exit *exec.Error
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), exit.Err)
		}
		if text := output.forError(); text != "" {
			return nil, fmt.Errorf("%s ended at once%s", filepath.Base(path), text)
		}
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	p.conn = chromedp.FromContext(browserCtx).Browser
	p.pid = p.conn.Process().Pid
	go p.cleanUpWhenLost()
	return p, nil
}

// cleanUpWhenLost ends what a browser that died leaves behind: renderers without a parent, and the profile. While the environment
// is frozen it does not run; Ensure and the sweep before the next start do the same.
func (p *process) cleanUpWhenLost() {
	<-p.lost()
	p.kill()
}

// lost is closed when the connection is gone. Chromium holds its end of the pipe as long as it lives.
func (p *process) lost() <-chan struct{} { return p.conn.LostConnection }

func (p *process) dead() bool {
	select {
	case <-p.lost():
		return true
	default:
		return p.ended.Load()
	}
}

// probe asks the browser for its version. After a freeze of any length this is what tells whether it lives.
func (p *process) probe(ctx context.Context) error {
	var err error
	for _, limit := range []time.Duration{firstProbeTimeout, secondProbeTimeout} {
		if p.dead() {
			return ErrLost
		}
		if err = p.ask(ctx, limit); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("no answer within %v: %w", firstProbeTimeout+secondProbeTimeout, err)
}

func (p *process) ask(ctx context.Context, limit time.Duration) error {
	call, cancel := p.within(ctx, limit)
	defer cancel()
	_, err := chromedp.CallBrowser(call, cdpbrowser.GetVersion, cdp.Empty{})
	return err
}

// within is the browser's context, ended by ctx or the limit too.
func (p *process) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	call, cancel := context.WithTimeout(p.ctx, limit)
	stop := context.AfterFunc(ctx, cancel)
	return call, func() { stop(); cancel() }
}

// close asks Chromium to leave, and waits until it did, at most as long as the grace and ctx allow. It may be called once.
func (p *process) close(ctx context.Context, grace time.Duration) {
	if p.dead() {
		return
	}
	p.ended.Store(true)
	closing, cancel := p.within(ctx, grace)
	left := make(chan struct{})
	go func() {
		defer close(left)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			p.log.WithError(err).Debug("closing the browser")
		}
	}()
	select {
	case <-left:
	case <-closing.Done(): // chromedp may wait longer than it should
	}
}

// kill ends every process of the group, waits until they are gone, and removes the directory. It is bounded, and may be called
// again.
func (p *process) kill() {
	p.ended.Store(true)
	p.killOnce.Do(func() {
		cancelWithin(killTimeout, p.cancel)
		if p.pid != 0 {
			if left := endGroup(p.pid, killTimeout); left > 0 {
				p.log.WithField("processes", left).Warn("some of Chromium's processes do not end; they are tried again before the next start")
			}
		}
		p.home.remove(p.log)
	})
}

// cancelWithin calls cancel and waits for it, but not for ever: chromedp's waits for the process, which an unkillable one never
// ends (https://github.com/chromedp/chromedp/issues/866).
func cancelWithin(limit time.Duration, cancel func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// suspicion is why the browser should be replaced although it answers; "" = it should not.
func (p *process) suspicion() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.suspect
}

func (p *process) distrust(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspect = reason
	p.log.WithField("reason", reason).Warn("the browser should be replaced")
}

// tabs counts a tab that was opened (+1) or closed (-1).
func (p *process) tabs(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += change
	p.served += max(change, 0)
}

// load is how many tabs are open, and how many there were in all.
func (p *process) load() (open, served int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.served
}
