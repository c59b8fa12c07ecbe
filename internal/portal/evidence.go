package portal

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"strings"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// evidenceScript returns the page's HTML without what is secret, its size, and the density of its pixels.
//
//go:embed evidence.js
var evidenceScript string

// maxEvidenceHeight limits a screenshot: Chromium takes no higher ones, and memory is short.
const maxEvidenceHeight = 8000 // CSS pixels

// Evidence is the page that the tab shows now: its HTML without cookies, tokens and passwords, and a screenshot (PNG).
func (p *Profile) Evidence(tab context.Context) (html, png []byte, err error) {
	shown, err := chromedp.Run(tab, chromedp.Evaluate[struct {
		HTML                      string
		Width, Height, Resolution float64
	}](strings.TrimRight(evidenceScript, "; \n")))
	if err != nil {
		return nil, nil, fmt.Errorf("keeping the page's HTML: %w", err)
	}
	cookies, err := chromedp.Call(tab, network.GetCookies, network.GetCookiesParams{})
	if err != nil {
		return nil, nil, fmt.Errorf("keeping the page's HTML: %w", err)
	}
	var secrets []string
	for _, c := range cookies.Cookies {
		secrets = append(secrets, c.Value)
	}
	html = []byte(redact(shown.HTML, secrets))

	yes := true
	shot, err := chromedp.Call(tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &yes,
		Clip: &page.Viewport{
			Width: max(shown.Width, 1), Height: min(max(shown.Height, 1), maxEvidenceHeight),
			Scale: 1 / max(shown.Resolution, 0.1), // the browser may paint coarsely; people want to read it
		},
	})
	if err != nil {
		return html, nil, fmt.Errorf("keeping the page's screenshot: %w", err)
	}
	return html, shot.Data, nil
}

// tokens finds the values of parameters and settings whose names say that they are secret, in addresses, JSON and scripts.
var tokens = regexp.MustCompile(`(?i)([?&;]key=|[a-z0-9_.-]*(?:token|secret|password|signature|session|api_?key|credential)[a-z0-9_-]*(?:=|["']?\s*:\s*["']|["']?\s*=\s*["']))([^&"'<>\s;]{6,})`)

// redact takes the secrets, and what looks like one, out of a text.
func redact(text string, secrets []string) string {
	const removed = "REMOVED"
	for _, s := range secrets {
		if len(s) >= 8 { // shorter ones are flags that stand everywhere
			text = strings.ReplaceAll(text, s, removed)
		}
	}
	return tokens.ReplaceAllString(text, "${1}"+removed)
}
