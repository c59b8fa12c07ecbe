package fetch

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/po"
)

// defaultClickWaits is how long each click may take to start a download. A click is repeated because one that follows another
// closely may be swallowed; the waits grow because a slow server begins late, and then the first click's download is taken.
var defaultClickWaits = []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}

// cleanUpTime bounds what is done in the browser after a click.
const cleanUpTime = 5 * time.Second

// clicks owns the directory that clicked downloads go through. The download directory is a setting of a whole browser context,
// and the last call wins (https://github.com/chromedp/chromedp/issues/799), so there is one for all tabs, in which a file's name
// is the download's GUID. It stays for the client's life: Chromium makes it anew for a download that is cancelled too late.
type clicks struct {
	parent string

	mu  sync.Mutex
	dir string
}

func (c *clicks) directory() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" {
		dir, err := os.MkdirTemp(c.parent, "purser-clicks-*")
		if err != nil {
			return "", diskError(err)
		}
		c.dir = dir
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil { // somebody swept the place
		return "", diskError(err)
	}
	return c.dir, nil
}

func (c *clicks) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := c.dir
	if c.dir = ""; dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// Click fetches and verifies an attachment by a click: script is a JavaScript expression that clicks the link in the tab's
// page. A script that throws, or gives false, found nothing to click. The tab's context should have a deadline. Tabs that the
// click opened are closed. The errors are *po.Error.
func (c *Client) Click(tab context.Context, script string, labels []string, dir string) (File, error) {
	if err := c.limits.rate.Wait(tab); err != nil {
		return File{}, contextError(tab, "an attachment by a click")
	}
	shared, err := c.clicks.directory()
	if err != nil {
		return File{}, err
	}
	ctx, cancel := context.WithCancel(tab)
	defer cancel()
	k := &click{client: c, tab: ctx, script: script, dir: shared, wake: make(chan struct{}, 1), frames: map[cdp.FrameID]bool{}}
	defer k.cleanUp(tab)
	if err := k.listen(); err != nil {
		return File{}, k.failure(err, "watching for downloads")
	}
	begun, err := k.begin()
	if err != nil {
		return File{}, err
	}
	u, err := url.Parse(begun.URL)
	if err != nil || !c.downloadable(u) {
		return File{}, refusal("a click downloads from a host that the profile does not allow (%s)", hostOf(u))
	}
	size, err := k.complete(begun.GUID)
	if err != nil {
		return File{}, err
	}
	return c.take(filepath.Join(shared, begun.GUID), dir, size, File{
		OriginalName: clickedName(begun.SuggestedFilename, labels),
		URL:          bare(u),
	})
}

// downloadable tells whether the browser may keep what it downloads from the address. A blob is the page's own, as is data.
func (c *Client) downloadable(u *url.URL) bool {
	switch u.Scheme {
	case "data":
		return true
	case "blob":
		origin, err := url.Parse(u.Opaque)
		return err == nil && c.check(origin) == nil
	}
	return c.check(u) == nil
}

func hostOf(u *url.URL) string {
	if u == nil || u.Host == "" {
		return "unknown"
	}
	return u.Host
}

// click is one click's watch over the browser. Handlers of events only note what they saw: a command sent from one would wait
// for itself (https://github.com/chromedp/chromedp/issues/805).
type click struct {
	client *Client
	tab    context.Context
	script string
	dir    string
	wake   chan struct{} // something was noted
	mine   []string      // GUIDs of its own downloads

	mu       sync.Mutex
	frames   map[cdp.FrameID]bool // of the tab, and of the tabs it opened
	opened   []target.ID          // tabs that it opened
	begun    []*browser.EventDownloadWillBegin
	progress map[string]*browser.EventDownloadProgress // by GUID
	loaded   bool                                      // the tab got another page, perhaps one to sign in
	changed  bool                                      // the tab, or one that it opened, has another address, perhaps
}

// note changes the state under its lock, and wakes who waits.
func (k *click) note(change func()) {
	k.mu.Lock()
	change()
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// listen starts watching: which frames the tab has, which tabs it opens, and what any of them downloads.
func (k *click) listen() error {
	c := chromedp.FromContext(k.tab)
	if c == nil || c.Target == nil {
		return errors.New("no tab is open")
	}
	own := c.Target.TargetID
	k.progress = map[string]*browser.EventDownloadProgress{}
	k.frames[cdp.FrameID(own)] = true // a page's main frame has its target's id
	err := chromedp.Listen(k.tab, func(ev any) {
		switch e := ev.(type) {
		case *page.EventFrameAttached:
			k.note(func() { k.frames[e.FrameID] = true })
		case *page.EventDomContentEventFired:
			k.note(func() { k.loaded = true })
		case *page.EventJavascriptDialogOpening: // "Download this file?" would hold up the page
			go func() {
				_, err := chromedp.Call(k.tab, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
				k.logFailure(err)
			}()
		}
	})
	if err != nil {
		return err
	}
	err = chromedp.ListenBrowser(k.tab, func(ev any) {
		switch e := ev.(type) {
		case *target.EventTargetCreated:
			k.note(func() {
				if opener := cdp.FrameID(e.TargetInfo.OpenerID); opener != "" && k.frames[opener] {
					k.frames[cdp.FrameID(e.TargetInfo.TargetID)] = true
					k.opened = append(k.opened, e.TargetInfo.TargetID)
				}
			})
		case *target.EventTargetInfoChanged:
			k.note(func() { k.changed = k.changed || k.frames[cdp.FrameID(e.TargetInfo.TargetID)] })
		case *browser.EventDownloadWillBegin:
			k.note(func() { k.begun = append(k.begun, e) })
		case *browser.EventDownloadProgress:
			k.note(func() { k.progress[e.GUID] = e })
		}
	})
	if err != nil {
		return err
	}
	// A browser tells of new tabs only whoever asked for that; a tab's own session may have asked, but its answers go elsewhere.
	if _, err := chromedp.CallBrowser(k.tab, target.SetDiscoverTargets, target.SetDiscoverTargetsParams{Discover: true}); err != nil {
		return err
	}
	if err := k.findFrames(); err != nil {
		return err
	}
	_, err = chromedp.CallBrowser(k.tab, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior:         browser.SetDownloadBehaviorBehaviorAllowAndName,
		BrowserContextID: c.BrowserContextID,
		DownloadPath:     k.dir,
		EventsEnabled:    new(true),
	})
	return err
}

// findFrames asks which frames the tab has now. When it returns, the frames that were attached before are known too.
func (k *click) findFrames() error {
	tree, err := chromedp.Call(k.tab, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		return err
	}
	targets, err := chromedp.Targets(k.tab)
	if err != nil {
		return err
	}
	k.note(func() {
		var add func(*page.FrameTree)
		add = func(t *page.FrameTree) {
			if t == nil || t.Frame == nil {
				return
			}
			k.frames[t.Frame.ID] = true
			for _, child := range t.ChildFrames {
				add(child)
			}
		}
		add(tree.FrameTree)
		for _, info := range targets { // frames of other sites live in targets of their own
			if info.Type == "iframe" && k.frames[info.ParentFrameID] {
				k.frames[cdp.FrameID(info.TargetID)] = true
			}
		}
	})
	return nil
}

// begin clicks until a download of this tab begins.
func (k *click) begin() (*browser.EventDownloadWillBegin, error) {
	for i, wait := range k.client.clickWaits {
		if i > 0 {
			k.client.options.Log.WithFields(logrus.Fields{"try": i + 1}).Info("a click started no download; clicking again")
		}
		ctx, cancel := context.WithTimeout(k.tab, wait)
		found, err := k.clickOnce(ctx)
		cancel()
		if found != nil || err != nil {
			return found, err
		}
	}
	if err := k.signedOut(true); err != nil {
		return nil, err
	}
	return nil, po.Errorf(po.CodeFileInvalid, "no download began after %d clicks", len(k.client.clickWaits))
}

// clickOnce clicks and waits. It returns nothing when time is up.
func (k *click) clickOnce(ctx context.Context) (*browser.EventDownloadWillBegin, error) {
	clicked, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => (`+k.script+`) !== false)()`, func(p *runtime.EvaluateParams) {
		p.UserGesture = new(true) // else a new window is blocked
	}))
	var (
		exception *chromedp.ExceptionError
		protocol  *cdproto.Error // the click may have replaced the page that the script ran in
	)
	switch {
	case errors.As(err, &exception), err == nil && !clicked:
		if found := k.ownDownload(); found != nil { // an earlier click's, late
			return found, nil
		}
		if err := k.signedOut(true); err != nil {
			return nil, err
		}
		return nil, po.Errorf(po.CodeLayout, "the link of an attachment cannot be clicked any more: the page changed")
	case err != nil && ctx.Err() == nil && !errors.As(err, &protocol):
		return nil, k.failure(err, "clicking")
	}
	for {
		if found := k.ownDownload(); found != nil {
			return found, nil
		}
		if loaded, changed := k.news(); loaded || changed {
			if err := k.signedOut(loaded); err != nil {
				return nil, err
			}
		}
		select {
		case <-k.wake:
		case <-ctx.Done():
			if k.tab.Err() != nil {
				return nil, k.failure(ctx.Err(), "waiting for a download to begin")
			}
			return nil, nil
		}
	}
}

// ownDownload takes the first download that this tab, or one that it opened, has begun. Other tabs' downloads are dropped here:
// their own clicks see them too.
func (k *click) ownDownload() *browser.EventDownloadWillBegin {
	for {
		k.mu.Lock()
		if len(k.begun) == 0 {
			k.mu.Unlock()
			return nil
		}
		first := k.begun[0]
		k.begun = k.begun[1:]
		k.mu.Unlock()
		if k.owns(first.FrameID) {
			k.mine = append(k.mine, first.GUID)
			return first
		}
	}
}

// owns tells whether a frame belongs to this tab or to one that it opened. A frame that a script has just made is asked about.
func (k *click) owns(frame cdp.FrameID) bool {
	known := func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.frames[frame]
	}
	return known() || k.findFrames() == nil && known()
}

// news tells what happened to the tab and those that it opened since it was last asked.
func (k *click) news() (loaded, changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	loaded, changed = k.loaded, k.changed
	k.loaded, k.changed = false, false
	return loaded, changed
}

// signedOut is an error when the tab, or one that it opened, shows a sign-in page: by the address, or by a field for a password.
// While a click may still work only a new page is searched for one, since a PO's page might have such a field itself.
func (k *click) signedOut(searchPage bool) error {
	signedOut := po.Errorf(po.CodeFileInvalid, "the portal asked to sign in instead of sending an attachment; %w", errSession)
	ctx, cancel := context.WithTimeout(k.tab, cleanUpTime)
	defer cancel()
	if searchPage {
		form, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!document.querySelector('input[type=password]')`))
		if err == nil && form {
			return signedOut
		}
	}
	targets, err := chromedp.Targets(ctx)
	if err != nil {
		return nil // what made us ask is then the better error
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, info := range targets {
		if u, err := url.Parse(info.URL); err == nil && k.frames[cdp.FrameID(info.TargetID)] && signInAddress(u) {
			return signedOut
		}
	}
	return nil
}

// complete waits until the download is whole, and gives its size.
func (k *click) complete(guid string) (int64, error) {
	stall := k.client.options.Stall
	watchdog := time.NewTimer(stall)
	defer watchdog.Stop()
	received := -1.0
	for {
		k.mu.Lock()
		p := k.progress[guid]
		k.mu.Unlock()
		if p != nil {
			if limit := k.client.options.MaxBytes; limit > 0 && max(p.ReceivedBytes, p.TotalBytes) > float64(limit) {
				return 0, po.Errorf(po.CodeFileTooLarge, "an attachment has more than the %d bytes that MAX_FILE_BYTES allows", limit)
			}
			switch {
			case p.State == browser.DownloadProgressStateCanceled,
				p.State == browser.DownloadProgressStateCompleted && p.TotalBytes > 0 && p.ReceivedBytes != p.TotalBytes:
				return 0, po.Errorf(po.CodeNetwork, "a clicked download broke off after %.0f bytes", p.ReceivedBytes)
			case p.State == browser.DownloadProgressStateCompleted:
				return int64(p.ReceivedBytes), nil
			case p.ReceivedBytes > received:
				received = p.ReceivedBytes
				watchdog.Reset(stall)
			}
		}
		select {
		case <-k.wake:
		case <-watchdog.C:
			return 0, po.Errorf(po.CodeNetwork, "a clicked download: %w", errStalled)
		case <-k.tab.Done():
			return 0, k.failure(k.tab.Err(), "downloading")
		}
	}
}

// cleanUp ends what the click left behind: downloads that nobody wants and their files, and opened tabs. The tab's time may be up,
// so it has a little of its own.
func (k *click) cleanUp(tab context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tab), cleanUpTime)
	defer cancel()
	k.mu.Lock()
	for _, late := range k.begun { // of a click that was repeated too early
		if k.frames[late.FrameID] {
			k.mine = append(k.mine, late.GUID)
		}
	}
	var running []string
	for _, guid := range k.mine {
		if p := k.progress[guid]; p == nil || p.State == browser.DownloadProgressStateInProgress {
			running = append(running, guid)
		}
	}
	opened := k.opened
	k.mu.Unlock() // the browser's answers come through handlers that need it

	for _, guid := range running {
		k.logFailure(callBrowser(ctx, browser.CancelDownload, browser.CancelDownloadParams{
			GUID: guid, BrowserContextID: chromedp.FromContext(tab).BrowserContextID,
		}))
	}
	for _, guid := range k.mine {
		if err := os.Remove(filepath.Join(k.dir, guid)); err != nil && !errors.Is(err, os.ErrNotExist) {
			k.logFailure(err)
		}
	}
	for _, id := range opened {
		k.logFailure(callBrowser(ctx, target.CloseTarget, target.CloseTargetParams{TargetID: id}))
	}
}

func callBrowser[P, R any](ctx context.Context, command cdp.Command[P, R], params P) error {
	_, err := chromedp.CallBrowser(ctx, command, params)
	return err
}

// logFailure notes what went wrong while cleaning up. A tab that closed itself is nothing to speak of.
func (k *click) logFailure(err error) {
	if err != nil {
		k.client.options.Log.WithError(err).Debug("cleaning up after a click")
	}
}

// failure is trouble with the browser, which no PO pays for, unless the tab's time was up.
func (k *click) failure(err error, doing string) error {
	if k.tab.Err() != nil {
		return contextError(k.tab, "an attachment by a click")
	}
	e := po.Errorf(po.CodeResource, "the browser failed while %s: %w", doing, err)
	e.Ours = true
	return e
}

// take moves a clicked download out of the shared directory, and verifies it.
func (c *Client) take(from, dir string, size int64, f File) (File, error) {
	source, err := os.Open(from)
	if err != nil {
		return File{}, diskError(err)
	}
	defer source.Close()
	out, err := newSpool(dir, 0)
	if err != nil {
		return File{}, err
	}
	if err = out.readFrom(source); err == nil && out.size != size {
		err = po.Errorf(po.CodeNetwork, "a clicked download has %d bytes on disk, and the browser received %d", out.size, size)
	}
	if err == nil {
		f.Bytes, f.SHA256 = out.size, out.hexSum()
		// A page becomes a download only when somebody asked for it to be saved, so its type says nothing.
		f, err = verified(out.head, f, evidence{contentType: "application/octet-stream"})
	}
	if err != nil {
		out.discard()
		return File{}, po.AsError(err)
	}
	if f.Path, err = out.keep(); err != nil {
		return File{}, err
	}
	return f, nil
}

// meaningless are the names that Chromium makes up for what has none, a blob's id among them.
var meaningless = regexp.MustCompile(`(?i)^(download|unnamed|file|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?(\.[a-z0-9]+)?$`)

// clickedName chooses between the name that Chromium suggests and the page's labels. Chromium makes "_" of what it cannot read in
// a header, raw Latin-1 above all; a label that agrees but for those is the better name.
func clickedName(suggested string, labels []string) string {
	for _, label := range labels {
		if sameButFor(suggested, label) {
			return label
		}
	}
	if meaningless.MatchString(suggested) {
		return originalName("", append(append([]string{}, labels...), suggested), "")
	}
	return suggested
}

// sameButFor tells whether the name is a label beyond ASCII with "_" in some places. Chromium may put one for several characters.
func sameButFor(name, label string) bool {
	foreign := strings.ContainsFunc(label, func(r rune) bool { return r > unicode.MaxASCII })
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "_", ".+") + "$"
	matched, err := regexp.MatchString(pattern, label)
	return foreign && err == nil && matched
}
