package portal_test

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/chromedp"
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
		path := os.Getenv("CHROMIUM_PATH")
		for _, name := range []string{"chromium-headless-shell", "chromium", "chrome-headless-shell", "google-chrome"} {
			if path == "" {
				path, _ = exec.LookPath(name)
			}
		}
		if path == "" {
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true))
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		browser, stopBrowser := chromedp.NewContext(allocator)
		chromium.ctx, chromium.stop = browser, func() { stopBrowser(); stopAllocator() }
		chromium.err = chromedp.Do(browser)
	})
	if chromium.ctx == nil {
		t.Fatal("this test reads pages with a real browser and found none: install Chromium (apt-get install chromium-headless-shell) or set CHROMIUM_PATH")
	}
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
