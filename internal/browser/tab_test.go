//go:build linux

package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/po"
)

// site serves each page under its path and counts the requests.
type site struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]int
}

func newSite(t *testing.T, pages map[string]string) *site {
	s := &site{seen: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen[r.URL.Path]++
		s.mu.Unlock()
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".js") {
			w.Header().Set("Content-Type", "text/javascript")
		} else {
			w.Header().Set("Content-Type", "text/html")
		}
		fmt.Fprint(w, page)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[path]
}

func evaluate[T any](t *testing.T, tab *Tab, script string) T {
	t.Helper()
	value, err := chromedp.Run(tab.Context(), chromedp.Evaluate[T](script))
	require.NoError(t, err)
	return value
}

func navigate(t *testing.T, tab *Tab, url string) {
	t.Helper()
	require.NoError(t, chromedp.Do(tab.Context(), chromedp.Navigate(url)))
}

func TestATabEndsWithItsDeadline(t *testing.T) {
	b := warmBrowser(t)
	tab := openTab(t, b)
	defer tab.Close()
	tab.cancel()
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond) // too short to open a tab in
	defer cancel()
	tab.lend(short)
	wait(t, tab.Context().Done(), "the deadline")
	require.ErrorIs(t, tab.Context().Err(), context.DeadlineExceeded)

	_, err := chromedp.Run(tab.Context(), chromedp.Evaluate[int]("1"))
	require.Error(t, err)
	assert.Equal(t, po.CodeTimeout, po.AsError(tab.Explain(err)).Code)
}

func TestATabEndsWithItsInvocation(t *testing.T) {
	b := warmBrowser(t)
	ctx, cancel := context.WithCancel(t.Context())
	tab, err := b.Tab(ctx)
	require.NoError(t, err)
	defer tab.Close()
	cancel()
	wait(t, tab.Context().Done(), "the tab's context to end")
	require.ErrorIs(t, tab.Context().Err(), context.Canceled)
	require.ErrorIs(t, tab.Explain(tab.Context().Err()), context.Canceled)

	_, err = b.Tab(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assertNoSuspicion(t, b)
	assertWorks(t, b)
}

func TestATabThatIsBrokenOffWhileItOpensLeavesNoPage(t *testing.T) {
	b := warmBrowser(t)
	for i := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*3*time.Millisecond)
		tab, err := b.Tab(ctx)
		if err == nil {
			tab.Close()
		} else {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		cancel()
	}
	eventually(t, "every page to be closed", func() bool { return len(pages(t, b)) == 0 })
	assert.Zero(t, b.Status().Tabs)
	assertNoSuspicion(t, b)
}

func TestAPageThatLoopsForEverCostsItsTabOnly(t *testing.T) {
	b := start(t, Options{})
	s := newSite(t, map[string]string{"/": "<title>other</title>"})
	other := openTab(t, b)
	defer other.Close()
	navigate(t, other, s.URL)
	eventually(t, "the renderers of two pages", func() bool { return len(renderers(b)) == 2 })

	tab := openTab(t, b)
	short, cancel := context.WithTimeout(tab.Context(), time.Second)
	defer cancel()
	_, err := chromedp.Run(short, chromedp.Evaluate[int]("for (;;);"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	began := time.Now()
	tab.Close()
	assert.Less(t, time.Since(began), 6*closeTabTimeout)

	eventually(t, "the looping renderer to end", func() bool { return len(renderers(b)) == 2 })
	assert.Equal(t, "other", evaluate[string](t, other, "document.title"))
	assert.Equal(t, 1, b.Status().Tabs)
	require.NoError(t, b.Ensure(t.Context()))
	assert.Equal(t, 1, b.Generation())
	assertNoSuspicion(t, b)
}

func TestAPageThatEatsMemoryCostsItsTabOnly(t *testing.T) {
	b := start(t, Options{MemoryLimit: 600 << 20})
	other := openTab(t, b)
	defer other.Close()
	tab := openTab(t, b)
	// What V8's own limit does not count. It stops at some size, so that a failing test does not eat the machine.
	_, err := chromedp.Run(tab.Context(), chromedp.Evaluate[int](`new Promise(resolve => {
		const eaten = [];
		const eat = () => eaten.length == 40 ? setTimeout(resolve, 60000) : (eaten.push(new Uint8Array(25 << 20).fill(7)), setTimeout(eat, 0));
		eat();
	})`, chromedp.EvalAwaitPromise))
	err = tab.Explain(err)
	require.ErrorIs(t, err, errCrashed)
	assert.Equal(t, po.CodeResource, po.AsError(err).Code)
	tab.Close()

	assert.Equal(t, 1, evaluate[int](t, other, "1"))
	assert.Equal(t, 1, b.Generation())
	assert.Greater(t, b.Status().MemoryPeak, int64(600<<20))
}

func TestAPageIsClosedInAnyState(t *testing.T) {
	hang := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer stuck.Close()
	defer close(hang)
	b := warmBrowser(t)
	s := newSite(t, map[string]string{"/": strings.Repeat("<p>paragraph", 5000)})
	for name, script := range map[string]string{
		"a navigation to nowhere":     "location = 'about:blank'",
		"a server that says nothing":  "location = '" + stuck.URL + "'",
		"an objection to leaving":     "onbeforeunload = e => { e.preventDefault(); return 'stay' }",
		"an endless unload handler":   "onunload = () => { for (;;); }",
		"a question in the way":       "setTimeout(() => confirm('really?'), 0)",
		"questions without an end":    "setTimeout(() => { for (;;) alert('again'); }, 0)",
		"a synchronous request":       "setTimeout(() => { const r = new XMLHttpRequest(); r.open('GET', '/?slow', false); r.send() }, 0)",
		"a loop that starts later on": "setTimeout(() => { for (;;); }, 0)",
	} {
		t.Run(name, func(t *testing.T) {
			tab := openTab(t, b)
			navigate(t, tab, s.URL)
			evaluate[bool](t, tab, script+"; true")
			tab.Close()
			assert.Empty(t, pages(t, b))
		})
	}
	assert.Equal(t, 0, b.Status().Tabs)
	assertNoSuspicion(t, b)
	assertWorks(t, b)
}

func TestDialogsDoNotStopAPage(t *testing.T) {
	b := warmBrowser(t)
	tab := openTab(t, b)
	defer tab.Close()
	assert.Equal(t, "undefined false null",
		evaluate[string](t, tab, "[alert('a'), confirm('b'), prompt('c')].map(String).join(' ')"))

	s := newSite(t, map[string]string{
		"/first":  "<script>onbeforeunload = e => { e.preventDefault(); return 'stay' }</script>",
		"/second": "<title>second</title>",
	})
	navigate(t, tab, s.URL+"/first")
	navigate(t, tab, s.URL+"/second")
	assert.Equal(t, "second", evaluate[string](t, tab, "document.title"))
}

func TestPagesThatAPageOpensCloseWithIt(t *testing.T) {
	b := warmBrowser(t)
	s := newSite(t, map[string]string{
		"/":       "<title>opener</title>",
		"/popup":  "<script>open('/popup2')</script>",
		"/popup2": "<title>popup of a popup</title>",
	})
	tab := openTab(t, b)
	navigate(t, tab, s.URL)
	evaluate[bool](t, tab, "open('/popup') !== null")
	eventually(t, "the popups", func() bool { return s.requests("/popup2") == 1 && len(pages(t, b)) == 3 })
	tab.Close()
	assert.Empty(t, pages(t, b))
}

func TestBlockedURLsAreNotLoaded(t *testing.T) {
	b := warmBrowser(t)
	s := newSite(t, map[string]string{
		"/":           "<script src='/tracker.js'></script><script src='/page.js'></script>",
		"/tracker.js": "window.tracked = true",
		"/page.js":    "window.loaded = true",
	})
	tab := openTab(t, b)
	defer tab.Close()
	navigate(t, tab, s.URL)
	assert.Equal(t, "true undefined", evaluate[string](t, tab, "window.loaded + ' ' + window.tracked"))
	assert.Equal(t, 1, s.requests("/page.js"))
	assert.Zero(t, s.requests("/tracker.js"))
}

func TestHeavyPagesDoNotHangATab(t *testing.T) {
	b := warmBrowser(t)
	s := newSite(t, map[string]string{"/": "<title>heavy</title>" + strings.Repeat("<p>paragraph</p>", 9000)})
	tab := openTab(t, b)
	defer tab.Close()
	for range 10 {
		navigate(t, tab, s.URL)
		assert.Equal(t, 9000, evaluate[int](t, tab, "document.querySelectorAll('p').length"))
	}
}

func TestFourTabsWorkAtOnceWithoutMixingUp(t *testing.T) {
	b := warmBrowser(t)
	content := map[string]string{}
	for i := range 12 {
		content[fmt.Sprintf("/%d", i)] = fmt.Sprintf("<title>PO %d</title>", i)
	}
	s := newSite(t, content)
	free := make(chan struct{}, 4)
	var all sync.WaitGroup
	for i := range 12 {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tab, err := b.Tab(ctx)
			if !assert.NoError(t, err) {
				return
			}
			defer tab.Close()
			assert.NoError(t, chromedp.Do(tab.Context(), chromedp.Navigate(fmt.Sprintf("%s/%d", s.URL, i))))
			title, err := chromedp.Run(tab.Context(), chromedp.Evaluate[string]("document.title"))
			assert.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("PO %d", i), title)
		})
	}
	all.Wait()
	assert.Zero(t, b.Status().Tabs)
}

// pages are the pages that are open beside the browser's first one, which is always there.
func pages(t *testing.T, b *Browser) []string {
	t.Helper()
	all, err := call(t.Context(), b, target.GetTargets, target.GetTargetsParams{})
	require.NoError(t, err)
	var urls []string
	for _, info := range all.TargetInfos {
		if info.Type == "page" {
			urls = append(urls, info.URL)
		}
	}
	return urls[1:]
}
