//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/purserhq/purser/internal/local"
)

// invocations are the times at which events arrived. They come from the stack's log: it says, after each, how long it took.
type invocations struct {
	mu    sync.Mutex
	began []time.Time
}

// Levels are those of the lines that are of use.
func (*invocations) Levels() []logrus.Level { return []logrus.Level{logrus.DebugLevel} }

// Fire notes an invocation of the downloader.
func (i *invocations) Fire(e *logrus.Entry) error {
	name, _ := e.Data["environment"].(string)
	text, _ := e.Data["duration"].(string)
	if e.Message != "invoked" || !strings.HasPrefix(name, local.DownloaderName) {
		return nil
	}
	took, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.began = append(i.began, e.Time.Add(-took))
	return nil
}

// before is the last arrival before t.
func (i *invocations) before(t time.Time) time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	var last time.Time
	for _, b := range i.began {
		if b.Before(t) && b.After(last) {
			last = b
		}
	}
	return last
}

// environmentStart is when the downloader's environment was started, to a hundredth of a second.
func environmentStart(stack *local.Stack) (time.Time, error) {
	for _, e := range stack.Environments() {
		if e.Function == local.DownloaderName && e.PID != 0 {
			return processStart(e.PID)
		}
	}
	return time.Time{}, errors.New("no environment of the downloader runs")
}

// processStart is when a process was started, from its age.
func processStart(pid int) (time.Time, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	// After the name, in brackets: field 22 of the line is the start, in hundredths of a second since the machine's.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, err
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*10*time.Millisecond
	return time.Now().Add(-age), nil
}
