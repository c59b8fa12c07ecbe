package report

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/browser"
	"github.com/purserhq/purser/internal/ledger"
)

// patience is how long a test waits for what must happen. It is long because the machine may be busy with other things.
const patience = 90 * time.Second

// watch notes whatever goes wrong in a page, from before its first line on.
const watch = `window.problems = [];
for (const level of ["error", "warn"]) console[level] = (...all) => problems.push(level + ": " + all.join(" "));
addEventListener("error", (e) => problems.push("error: " + e.message), true);
addEventListener("unhandledrejection", (e) => problems.push("rejection: " + e.reason));
addEventListener("securitypolicyviolation", (e) => problems.push("policy: " + e.violatedDirective + " " + e.blockedURI + " " + e.sample));`

// bucketWith is a folder as the local bucket is one, and as a synced copy: the report, and every object that the rows name. It
// returns the report's path.
func bucketWith(t *testing.T, job ledger.Job, rows []ledger.Row) string {
	t.Helper()
	dir := t.TempDir()
	store := func(key, content string) {
		path := filepath.Join(dir, filepath.FromSlash(key))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	for _, r := range rows {
		for _, f := range r.Files {
			store(f.Key, f.Key)
		}
		for _, key := range r.Evidence {
			store(key, key)
		}
	}
	for _, name := range []string{ResultName(job.Name), SummaryName, ManifestName, ManifestLinesName} {
		store(archive.ResultKey(job.ID, name), name)
	}
	key := archive.ResultKey(job.ID, ReportName)
	store(key, pageOf(t, job, rows))
	return filepath.Join(dir, filepath.FromSlash(key))
}

// chromium is one browser for all tests; a test without one is skipped.
var chromium = sync.OnceValues(func() (*browser.Browser, error) {
	path, err := browser.Find(os.Getenv)
	if err != nil {
		return nil, err
	}
	return browser.New(browser.Options{Path: path, Headless: true}), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := chromium(); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "shutting the browser down:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// reader is a person with a report before them.
type reader struct {
	t   *testing.T
	tab context.Context
}

// open opens the report from the disk. Nothing may have gone wrong in it when the test ends.
func open(t *testing.T, path string) *reader {
	t.Helper()
	b, err := chromium()
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience) // t.Context() ends before the last look
	t.Cleanup(cancel)
	require.NoError(t, b.Ensure(ctx))
	tab, err := b.Tab(ctx)
	require.NoError(t, err)
	t.Cleanup(tab.Close)
	r := &reader{t: t, tab: tab.Context()}
	r.size(1280, 900)
	_, err = chromedp.Call(r.tab, cdp.AddScriptToEvaluateOnNewDocument, cdp.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(r.tab, chromedp.Navigate((&url.URL{Scheme: "file", Path: path}).String())))
	t.Cleanup(func() { assert.Empty(t, ask[[]string](r, "window.problems")) })
	return r
}

// ask evaluates an expression in the page.
func ask[T any](r *reader, expression string) T {
	r.t.Helper()
	v, err := chromedp.Run(r.tab, chromedp.Evaluate[T](expression))
	require.NoError(r.t, err, expression)
	return v
}

func (r *reader) do(statements string) {
	r.t.Helper()
	ask[bool](r, "(() => {"+statements+"; return true })()")
}

func (r *reader) click(selector string) {
	r.t.Helper()
	require.True(r.t, ask[bool](r, fmt.Sprintf("Boolean(document.querySelector(%q)?.click() ?? document.querySelector(%[1]q))", selector)), selector)
}

func (r *reader) search(text string) {
	r.t.Helper()
	r.do(fmt.Sprintf(`const s = document.getElementById("search"); s.value = %q; s.dispatchEvent(new Event("input"))`, text))
}

func (r *reader) choose(id, value string) {
	r.t.Helper()
	r.do(fmt.Sprintf(`const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("change"))`, id, value))
}

// lines are the sheet's lines that the table shows, from above.
func (r *reader) lines() []int {
	r.t.Helper()
	return ask[[]int](r, `[...document.querySelectorAll("#table tbody tr")].map((tr) => Number(tr.dataset.row))`)
}

func (r *reader) shown() string {
	r.t.Helper()
	return ask[string](r, `document.getElementById("shown").textContent`)
}

// column are the texts of a column.
func (r *reader) column(name string) []string {
	r.t.Helper()
	return ask[[]string](r, fmt.Sprintf(`[...document.querySelectorAll("#table td.%s")].map((td) => td.textContent.trim())`, name))
}

func (r *reader) size(width, height int64) {
	r.t.Helper()
	_, err := chromedp.Call(r.tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600,
	})
	require.NoError(r.t, err)
}

func (r *reader) colours(scheme string) {
	r.t.Helper()
	_, err := chromedp.Call(r.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(r.t, err)
}

// keep puts a picture among the test's artifacts, for people to look at: go test -artifacts.
func (r *reader) keep(name string, content []byte) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.t.ArtifactDir(), name), content, 0o600))
}

// picture is the page from its top, as high as it is, up to a limit.
func (r *reader) picture(name string) {
	r.t.Helper()
	// The chart is drawn anew for another width, after the next frame.
	const frame = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`
	_, err := chromedp.Run(r.tab, chromedp.Evaluate[bool](frame, chromedp.EvalAwaitPromise))
	require.NoError(r.t, err)
	size := ask[[]float64](r, `[document.documentElement.clientWidth, Math.min(document.documentElement.scrollHeight, 2400)]`)
	yes := true
	shot, err := chromedp.Call(r.tab, cdp.CaptureScreenshot, cdp.CaptureScreenshotParams{
		CaptureBeyondViewport: &yes, Clip: &cdp.Viewport{Width: size[0], Height: size[1], Scale: 1},
	})
	require.NoError(r.t, err)
	require.True(r.t, bytes.HasPrefix(shot.Data, []byte("\x89PNG")))
	r.keep(name, shot.Data)
}
