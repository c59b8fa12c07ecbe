package portal_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/chromedp"

	warm "github.com/purserhq/purser/internal/browser"
)

// chromium is one browser for all tests of the package, started by the first that needs it.
var chromium struct {
	sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

// tab opens a tab that lives as long as the test.
func tab(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Chromium")
	}
	chromium.Do(func() {
		path, err := warm.Find(os.Getenv)
		if chromium.err = err; err != nil {
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true),
			chromedp.Env("LD_LIBRARY_PATH="+filepath.Join(filepath.Dir(path), "lib"))) // the layer's tree brings its libraries
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		browser, stopBrowser := chromedp.NewContext(allocator)
		chromium.ctx, chromium.stop = browser, func() { stopBrowser(); stopAllocator() }
		chromium.err = chromedp.Do(browser)
	})
	if chromium.err != nil {
		t.Fatalf("Chromium does not start: %v", chromium.err)
	}
	// A browser context of its own, for cookies do not tell the ports of 127.0.0.1 apart.
	opened, closeTab := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	ctx, cancel := context.WithTimeout(opened, 2*time.Minute)
	t.Cleanup(func() { cancel(); closeTab() })
	// As the browser's owner does: these domains drown a heavy page in events.
	if err := chromedp.Do(opened); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(opened, css.Disable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(opened, dom.Disable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return ctx
}
