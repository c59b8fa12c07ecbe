package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/purserhq/purser/internal/browser"
)

// binaries are the programs that the local stack runs.
type binaries struct {
	dispatcher, downloader, emulator string
}

// functionBinaries finds the programs beside this one, where `make build` puts them.
func functionBinaries() (binaries, error) {
	self, err := os.Executable()
	if err != nil {
		return binaries{}, fmt.Errorf("finding the functions: %w", err)
	}
	dir := filepath.Dir(self)
	b := binaries{
		dispatcher: filepath.Join(dir, "dispatcher"), downloader: filepath.Join(dir, "downloader"), emulator: filepath.Join(dir, "aws-lambda-rie"),
	}
	for _, path := range []string{b.dispatcher, b.downloader, b.emulator} {
		if _, err := os.Stat(path); err != nil {
			return binaries{}, fmt.Errorf("%s is missing beside purser; build it with: make build", filepath.Base(path))
		}
	}
	return b, nil
}

// withChromium tells the functions where Chromium is: this program may have been started in the repository, which they are not.
func withChromium(settings []string, env func(string) string) ([]string, error) {
	if slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "CHROMIUM_PATH=") }) {
		return settings, nil
	}
	path, err := browser.Find(env)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(settings), "CHROMIUM_PATH="+path), nil
}
