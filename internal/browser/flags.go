package browser

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"
)

// flags are Chromium's command line, all of it: chromedp's defaults are not added.
func flags(headless bool, h *home) []chromedp.ExecAllocatorOption {
	options := []chromedp.ExecAllocatorOption{
		chromedp.UserDataDir(h.profile()),
		chromedp.WindowSize(1366, 900), // a usual screen: portals hide columns on narrow ones
	}
	for _, name := range []string{
		"no-first-run",
		"no-default-browser-check",

		// In Lambda there are no user namespaces for the sandbox, and no /dev/shm. Without the zygote every process is the browser's
		// own child, which it reaps.
		"no-sandbox",
		"no-zygote",
		"disable-dev-shm-usage",
		"disable-gpu",

		// No crash handler: its processes outlive the browser.
		"disable-breakpad",
		"disable-crash-reporter",

		// Nothing that nobody asked for.
		"disable-background-networking",
		"disable-client-side-phishing-detection",
		"disable-component-update",
		"disable-default-apps",
		"disable-domain-reliability",
		"disable-extensions",
		"disable-notifications",
		"disable-sync",
		"metrics-recording-only",
		"no-pings",
		"deny-permission-prompts",
		"disable-prompt-on-repost",
		"mute-audio",

		// A page works at full speed although its tab is not in front, and no dialog asks whether to wait for it.
		"disable-background-timer-throttling",
		"disable-backgrounding-occluded-windows",
		"disable-renderer-backgrounding",
		"disable-hang-monitor",

		"enable-automation",
		"use-mock-keychain",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	for _, flag := range [][2]string{
		{"password-store", "basic"},
		{"force-color-profile", "srgb"},
		{"crash-dumps-dir", filepath.Join(h.dir, "crash")},
		{"disk-cache-size", "33554432"}, // 32 MiB: a portal's scripts and styles, no more; /tmp is small
		{"media-cache-size", "1"},
		// Nobody looks at the pages: at half the resolution (less is not had) their painting costs half, and the layout is the same.
		// That was a seventh of Chromium's CPU.
		{"force-device-scale-factor", "0.5"},
		// A page that eats memory dies of it before the environment does.
		{"js-flags", "--max-old-space-size=768"},
		// A page that was left stays in memory for the way back, and a renderer waits in reserve: we need neither.
		{"disable-features", "BackForwardCache,SpareRendererForSitePerProcess,Translate,MediaRouter,OptimizationHints," +
			"AutofillServerCommunication,CertificateTransparencyComponentUpdater,DialMediaRouteProvider"},
	} {
		options = append(options, chromedp.Flag(flag[0], flag[1]))
	}
	if headless {
		options = append(options, chromedp.Headless)
	}
	return options
}

// passedOn are the variables of this process that Chromium may see: where programs and displays are, how times and letters look,
// and which proxy to use.
var passedOn = []string{
	"PATH", "LANG", "LC_ALL", "TZ", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
}

// environment is Chromium's. Whatever it writes goes into the home: in Lambda nothing else is writable, and what lies in one place
// can be removed as a whole.
func environment(path string, h *home) []string {
	vars := []string{
		"HOME=" + h.dir,
		"TMPDIR=" + h.temp(),
		"XDG_CACHE_HOME=" + filepath.Join(h.dir, "cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(h.dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(h.dir, "data"),
	}
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			vars = append(vars, name+"="+value)
		}
	}
	// The layer's tree brings the libraries and fonts that Amazon Linux lacks.
	if dir := filepath.Join(filepath.Dir(path), "lib"); isDir(dir) {
		vars = append(vars, "LD_LIBRARY_PATH="+strings.TrimSuffix(dir+":"+os.Getenv("LD_LIBRARY_PATH"), ":"))
	}
	if dir := filepath.Join(filepath.Dir(path), "fonts"); isDir(dir) {
		vars = append(vars, "FONTCONFIG_PATH="+dir)
	}
	return vars
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
