// Command pictures makes the pictures of the README from a real run: `make pictures`. It is given the folder of the built
// programs and the folder that the pictures go to.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/purserhq/purser/internal/browser"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pictures BIN OUT")
		os.Exit(2)
	}
	if err := pictures(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func pictures(bin, out string) error {
	data, err := os.MkdirTemp("", "purser-pictures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	run := exec.CommandContext(ctx, filepath.Join(bin, "purser"), "run", "--json", "--data", data, "examples/plain.csv")
	var said strings.Builder
	run.Stdout, run.Stderr = &said, &said
	var failed *exec.ExitError
	if err := run.Run(); err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) { // some demo POs fail by design
		return fmt.Errorf("purser run: %w\n%s", err, said.String())
	}
	text := strings.TrimSpace(said.String())
	end := strings.LastIndex(text, "\n")
	var result struct {
		DownloadDir string `json:"download_dir"`
		Report      string `json:"report"`
	}
	if err := json.Unmarshal([]byte(text[end+1:]), &result); err != nil {
		return fmt.Errorf("the run's last line: %w", err)
	}
	terminal := "$ make run\n" + strings.ReplaceAll(text[:end], data, "purser-data")
	terminal = strings.ReplaceAll(terminal, "📋", "▤") // few machines have a font for it
	folders, err := tree(result.DownloadDir, 44)
	if err != nil {
		return err
	}

	b := browser.New(browser.Options{Headless: true, TempDir: data})
	if err := b.Ensure(ctx); err != nil {
		return err
	}
	defer func() { _ = b.Shutdown(ctx) }()
	for _, p := range []struct {
		name, address string
		width, height int64
	}{
		{"terminal.png", screen(data, "terminal", terminal), 1460, 0},
		{"folders.png", screen(data, "folders", folders), 760, 0},
		{"report.png", "file://" + result.Report, 1180, 1000},
	} {
		if err := shoot(ctx, b, p.address, filepath.Join(out, p.name), p.width, p.height); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// screen writes text as a page that looks like a terminal.
func screen(dir, name, text string) string {
	file := filepath.Join(dir, name+".html")
	content := `<!doctype html><meta charset="utf-8"><style>body{margin:0;background:#1b1f24}pre{margin:0;padding:18px;color:#e6edf3;` +
		`font:13px/1.45 "DejaVu Sans Mono",monospace}</style><pre>` + html.EscapeString(text) + `</pre>`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return "data:text/plain," + err.Error()
	}
	return "file://" + file
}

// shoot takes a picture of a page; height 0 is the page's own.
func shoot(ctx context.Context, b *browser.Browser, address, file string, width, height int64) error {
	tab, err := b.Tab(ctx)
	if err != nil {
		return err
	}
	defer tab.Close()
	if err := chromedp.Do(tab.Context(), chromedp.Navigate(address)); err != nil {
		return err
	}
	if height == 0 {
		if height, err = chromedp.Run(tab.Context(), chromedp.Evaluate[int64]("Math.ceil(document.documentElement.getBoundingClientRect().height)")); err != nil {
			return err
		}
	}
	_, err = chromedp.Call(tab.Context(), emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1,
	})
	if err != nil {
		return err
	}
	shot, err := chromedp.Call(tab.Context(), page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		return err
	}
	return os.WriteFile(file, shot.Data, 0o644) //nolint:gosec // a picture for everyone
}

// tree draws the first lines of a folder's content.
func tree(dir string, lines int) (string, error) {
	var b strings.Builder
	b.WriteString("download/" + filepath.Base(dir) + "/\n")
	n := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if n++; n > lines {
			return fs.SkipAll
		}
		name := d.Name()
		if d.IsDir() {
			name += "/"
		}
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("    ", 1+strings.Count(rel, string(filepath.Separator))), name)
		return nil
	})
	if n > lines {
		b.WriteString("    …\n")
	}
	return b.String(), err
}
