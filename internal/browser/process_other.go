//go:build !linux

package browser

import (
	"os"
	"syscall"
	"time"
)

// Off Linux, where Purser is only tried out, chromedp's own care for the browser's main process must do, and memory is not measured.

func prepareForChildren() error { return nil }

func groupLeader() *syscall.SysProcAttr { return nil }

func killGroup(leader int) error {
	process, err := os.FindProcess(leader)
	if err != nil {
		return err
	}
	return process.Kill()
}

func endGroup(int, time.Duration) (left int) { return 0 }

func killUsersOf(string) {}

func killProcess(int) error { return nil }

func treeUsage(leader int) []usage { return []usage{{pid: leader}} }
