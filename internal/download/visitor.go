package download

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/fetch"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

// The bounds of what a visitor does beside the POs themselves.
const (
	startTimeout   = 30 * time.Second // browser start
	signInTimeout  = 30 * time.Second
	recoverTimeout = 15 * time.Second // a session's check
	closeTimeout   = 60 * time.Second // then force
	// proofAge is how long a session that was seen alive is believed before new work starts: an environment that thaws after
	// hours must look again.
	proofAge = 5 * time.Minute
	// maxUses is after how many pages a browser is replaced whatever it weighs. It grows by nothing that was ever seen in a
	// thousand; this is for what was not seen.
	maxUses = 2000
)

// visitor is who visits the portal: one browser, the session it holds, and the HTTP client that shares the session.
type visitor struct {
	d       *Downloader
	browser *browser.Browser
	fetch   *fetch.Client

	inUse sync.RWMutex // held for reading by every PO that uses the browser

	mu          sync.Mutex
	failedFiles map[po.Number]bool // POs whose files the portal could not give since it last gave any

	generation int       // the browser's, in which the session was installed
	serial     int       // grows with each new session
	alive      time.Time // when the session was last seen alive
}

func (d *Downloader) newVisitor() *visitor {
	s := d.Settings
	perSecond, perHost := d.Profile.Rate()
	v := &visitor{d: d}
	v.browser = browser.New(browser.Options{
		Path:        s.ChromiumPath,
		Headless:    s.Headless,
		TempDir:     d.TempDir,
		Log:         d.Log,
		BlockedURLs: d.Profile.BlockedURLs(),
		MemoryLimit: s.MemoryLimit(),
		MaxUses:     maxUses,
	})
	v.fetch = fetch.New(fetch.Options{
		Allowed:   d.Profile.Allowed,
		MaxBytes:  s.MaxFileBytes,
		PerSecond: perSecond,
		PerHost:   perHost,
		TempDir:   d.spool,
		Log:       d.Log,
	})
	return v
}

func (v *visitor) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	return errors.Join(v.browser.Shutdown(ctx), v.fetch.Close()) // Chromium may still write into the client's directory
}

// ready makes sure that the browser lives and holds a session that was seen alive not long ago.
func (v *visitor) ready(ctx context.Context) error {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := v.browser.Ensure(start); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	age := time.Now().Round(0).Sub(v.alive.Round(0)) // by the wall clock: the other one may stand still in a frozen environment
	if v.generation == v.browser.Generation() && age < proofAge {
		return nil
	}
	if v.generation == v.browser.Generation() {
		if alive, err := v.probe(ctx); err != nil || alive {
			return blameless(ctx, err)
		}
	}
	return blameless(ctx, v.install(ctx))
}

// blameless is the error of work that is done for every PO, the session's, in the time of the one whose context ctx is. When it
// took too long though that PO has time left, the portal is at fault, and when its page crashed this environment is.
func blameless(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch e := *po.AsError(err); {
	case e.Wide || e.Ours:
	case e.Code == po.CodeTimeout:
		return &po.Error{Code: e.Code, Text: "the portal did not answer in time whether the session is good", Retry: true, Wide: true}
	case e.Code == po.CodeResource:
		e.Ours = true
		return &e
	}
	return err
}

// session is the serial number of the session in use. Whoever finds it ended gives it to expire.
func (v *visitor) session() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.serial
}

// expire makes the next ready get a new session, unless another PO did so since the serial number was taken.
func (v *visitor) expire(serial int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.serial == serial {
		v.generation = 0
	}
}

// sawAlive notes that a page only a live session gets was seen, which was asked for at the time.
func (v *visitor) sawAlive(asked time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if asked.After(v.alive) {
		v.alive = asked
	}
}

// aliveSince tells whether the session of the serial number was alive at the time t. A session does not rise from the dead, so
// one that is seen alive after t was alive at t; one that was replaced since cannot be asked any more, and counts as dead.
func (v *visitor) aliveSince(ctx context.Context, serial int, t time.Time) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.serial != serial {
		return false, nil
	}
	if v.alive.After(t) {
		return true, nil
	}
	alive, err := v.probe(ctx)
	return alive, blameless(ctx, err)
}

// probe asks the portal for a page that must exist. The caller holds mu.
func (v *visitor) probe(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	asked := time.Now()
	tab, err := v.browser.Tab(ctx)
	if err != nil {
		return false, err
	}
	defer tab.Close()
	alive, err := v.d.Profile.ProbeSession(tab.Context())
	if err == nil && alive {
		v.alive = asked
	}
	return alive, tab.Explain(err)
}

// install reads the session from where it is kept, puts it into the browser or signs in, and proves that it lives. The caller
// holds mu.
func (v *visitor) install(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	v.generation = 0
	var session *portal.Session
	if v.d.Session != nil {
		var err error
		if session, err = v.d.Session(ctx); err != nil {
			return refused(err, "the portal's session cannot be read; put one with: purser session put")
		}
	}
	generation := v.browser.Generation()
	if err := v.browser.ClearCookies(ctx); err != nil {
		return err
	}
	if session != nil {
		v.hide(session)
		if err := v.browser.SetCookies(ctx, session.Cookies); err != nil {
			return err
		}
	}
	alive := false
	if session == nil || len(session.Cookies) > 0 {
		var err error
		if alive, err = v.probe(ctx); err != nil {
			return err
		}
	}
	if !alive {
		switch {
		case session == nil:
			return refused(nil, "the portal wants a session and none is given; put one with: purser session put")
		case !session.CanSignIn():
			return refused(nil, "the portal refuses the session, which is expired or foreign; put a new one with: purser session put")
		}
		if err := v.signIn(ctx, session); err != nil {
			return err
		}
	}
	cookies, err := v.browser.Cookies(ctx)
	if err != nil {
		return err
	}
	for _, c := range cookies {
		v.d.Secrets.Secret(c.Value)
	}
	v.fetch.SetSession(cookies, v.browser.UserAgent())
	v.generation = generation
	v.serial++
	return nil
}

func (v *visitor) signIn(ctx context.Context, session *portal.Session) error {
	tab, err := v.browser.Tab(ctx)
	if err != nil {
		return err
	}
	err = tab.Explain(v.d.Profile.SignIn(tab.Context(), session.Username, session.Password))
	tab.Close()
	if err != nil {
		return err
	}
	alive, err := v.probe(ctx)
	if err != nil {
		return err
	}
	if !alive {
		return refused(nil, "the portal took the sign-in, but shows no signed-in page")
	}
	v.d.Log.Info("signed in to the portal")
	return nil
}

// hide tells the log what it may never show.
func (v *visitor) hide(s *portal.Session) {
	v.d.Secrets.Secret(s.Password)
	for _, c := range s.Cookies {
		v.d.Secrets.Secret(c.Value)
	}
}

// refused is a session that cannot be had: the whole portal's trouble.
func refused(err error, text string) *po.Error {
	return &po.Error{Code: po.CodeProfile, Text: text, Err: err, Retry: true, Wide: true}
}

// manyFiles is how many POs' files must fail in a row before that is the portal's trouble.
const manyFiles = 3

// fileFailed tells one file's trouble from the portal's: a portal that shows pages may be unable to give one file for ever, and
// other POs need not wait for that. One that says when to come again is believed.
func (v *visitor) fileFailed(n po.Number, err error) error {
	var e *po.Error
	if !errors.As(err, &e) || !e.Wide || e.Code != po.CodeNetwork || e.After > 0 {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failedFiles == nil {
		v.failedFiles = map[po.Number]bool{}
	}
	if v.failedFiles[n] = true; len(v.failedFiles) >= manyFiles {
		return err
	}
	own := *e
	own.Wide = false
	return &own
}

// fileCame notes that the portal gives files.
func (v *visitor) fileCame() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.failedFiles)
}

// recycle replaces a browser that has grown too large, or has served long enough, once every PO that uses it is done.
func (v *visitor) recycle(ctx context.Context) error {
	if _, yes := v.browser.NeedsRecycle(); !yes {
		return nil
	}
	v.inUse.Lock()
	defer v.inUse.Unlock()
	reason, yes := v.browser.NeedsRecycle()
	if !yes {
		return nil
	}
	v.d.Log.WithField("reason", reason).Warn("the browser is recycled")
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return v.browser.Recycle(ctx, reason)
}
