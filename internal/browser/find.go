package browser

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// errNoChromium is in every error that another try will not cure.
var errNoChromium = errors.New("no Chromium")

const (
	imagePath = "/opt/chromium/chromium" // in the container image, and where Lambda unpacks a layer
	layerPath = "layers/chromium/build/chromium/chromium"
	module    = "module github.com/purserhq/purser\n"
)

// onPath are the names of Chromium on PATH, the smallest first.
var onPath = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}

// Find looks for Chromium: at CHROMIUM_PATH, in the image or a layer (/opt/chromium), in the layer's tree of the repository that
// holds this program or the working directory, then on PATH.
func Find(env func(string) string) (string, error) {
	if path := env("CHROMIUM_PATH"); path != "" {
		if !executable(path) {
			return "", fmt.Errorf("%w at %s, where CHROMIUM_PATH points: correct it, or unset it to have it looked for", errNoChromium, path)
		}
		return path, nil
	}
	candidates := []string{imagePath}
	if self, err := os.Executable(); err == nil {
		candidates = append(candidates, inRepository(filepath.Dir(self)))
	}
	if dir, err := os.Getwd(); err == nil {
		candidates = append(candidates, inRepository(dir))
	}
	for _, name := range onPath {
		for _, dir := range filepath.SplitList(env("PATH")) {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	if i := slices.IndexFunc(candidates, executable); i >= 0 {
		return candidates[i], nil
	}
	return "", fmt.Errorf("%w: run `make chromium` in the repository, or set CHROMIUM_PATH to a Chromium or Chrome", errNoChromium)
}

// inRepository is where the layer's tree has Chromium if dir lies in this repository; "" if it does not.
func inRepository(dir string) string {
	for {
		if content, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(content, []byte(module)) {
			return filepath.Join(dir, layerPath)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
