package browser

import (
	"strings"
	"sync"
)

// tailBytes is how much of Chromium's output is kept for the error message of a failed start.
const tailBytes = 4 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

// forError is the last lines, ready to be added to an error's text; "" when nothing was printed.
func (t *tail) forError() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 5
	var lines []string
	for line := range strings.Lines(string(t.buf)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; it printed: " + strings.Join(lines[max(0, len(lines)-most):], " | ")
}
