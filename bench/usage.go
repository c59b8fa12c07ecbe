//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sampleEvery is how often the memory is looked at. A look costs some milliseconds of CPU, which no contender is charged with.
const sampleEvery = 500 * time.Millisecond

// usage is what a contender took, with all processes that it started, whoever their parents were in the end.
type usage struct {
	wall time.Duration // of its first process
	cpu  time.Duration
	peak int64 // bytes of PSS: pages shared by n processes count as 1/n in each
}

func (u usage) megabytes() float64 { return float64(u.peak) / (1 << 20) }

// adoptOrphans makes this process the parent of those whose own has ended, so that what they used is known when they end.
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// measure runs the command to the end of its last process. except is a child of ours that does not belong to it.
func measure(cmd *exec.Cmd, except int) (usage, error) {
	before, err := childrenTime()
	if err != nil {
		return usage{}, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var highest int64
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				highest = max(highest, memory(except))
			case <-stop:
				peak <- highest
				return
			}
		}
	}()
	err = cmd.Wait()
	u := usage{wall: time.Since(began)}
	close(stop)
	u.peak = <-peak
	if err != nil {
		return u, err
	}
	if err := reap(except); err != nil {
		return u, err
	}
	after, err := childrenTime()
	u.cpu = after - before
	return u, err
}

// reap waits for the orphans that the command has left. They end by themselves, for their work is done.
func reap(except int) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := family(except)
		if len(left) == 0 {
			return nil
		}
		for pid := range left {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // an error: it is not ours yet
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes were left running", len(left))
		}
	}
}

// childrenTime is the CPU time of all children that were waited for, and of theirs.
func childrenTime() (time.Duration, error) {
	var r syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), err
}

// family is every process under this one, but for one child and what is under it.
func family(except int) map[int]bool {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything; state and parent follow it.
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	members := map[int]bool{}
	for pid := range parents {
		for p := pid; p != 0 && p != except; p = parents[p] {
			if p != pid && p == os.Getpid() {
				members[pid] = true
				break
			}
		}
	}
	return members
}

// memory is the family's PSS in bytes.
func memory(except int) int64 {
	var total int64
	for pid := range family(except) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if rest, found := strings.CutPrefix(line, "Pss:"); found {
				kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				total += kilobytes << 10
			}
		}
	}
	return total
}
