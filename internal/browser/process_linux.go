package browser

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// prepareForChildren sets two properties of this process that Chromium's processes need. A core dump of Chromium weighs 350 MB and
// fills /tmp (https://github.com/Sparticuz/chromium/issues/512), so there are none. And when the browser dies, its children become
// ours, so that we can reap them: in Lambda nobody else does, and zombies pile up.
func prepareForChildren() error {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
	if err == nil && limit.Cur != 0 {
		limit.Cur = 0
		err = unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	}
	return errors.Join(err, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// groupLeader starts a process in a group of its own, and lets the kernel kill it when this process dies: no orphans, even after a
// SIGKILL of ours. chromedp keeps the thread that starts it, so the death of a thread is no trouble.
func groupLeader() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(leader int) error {
	err := syscall.Kill(-leader, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func killProcess(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// endGroup kills the group until nothing is left of it, zombies included, and returns how many are left at the end of the limit.
func endGroup(leader int, limit time.Duration) (left int) {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left = 0
		for _, m := range group(leader) {
			if !reap(m, leader) {
				left++
			}
		}
		if left == 0 || time.Now().After(deadline) {
			return left
		}
		_ = killGroup(leader)
		time.Sleep(pause) // the kernel tells nobody when a grandchild is gone
	}
}

// reap tells whether nothing is left to do about the process.
func reap(m member, leader int) bool {
	switch {
	case !m.zombie:
		return false
	case m.parent == 1 && os.Getpid() != 1:
		return true // init's to reap, if it does
	case m.parent != os.Getpid() || m.pid == leader:
		return false // its parent is about to die and make it ours; and the leader is os/exec's to wait for
	}
	// By pid: a wait for any child would steal those of os/exec.
	pid, err := syscall.Wait4(m.pid, nil, syscall.WNOHANG, nil)
	return pid == m.pid || errors.Is(err, syscall.ECHILD)
}

// member is one process of a group.
type member struct {
	pid, parent int
	zombie      bool
}

// group lists the processes of the leader's group. Chromium's children stay in it, whoever their parent is by now.
func group(leader int) []member {
	var members []member
	eachProcess(func(pid int) {
		// "pid (name) state parent group …"; the name may hold anything, parentheses too.
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			return
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 3 || string(fields[2]) != strconv.Itoa(leader) {
			return
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		members = append(members, member{pid: pid, parent: parent, zombie: string(fields[0]) == "Z" || string(fields[0]) == "X"})
	})
	return members
}

// eachProcess calls f for every process of the machine.
func eachProcess(f func(pid int)) {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer func() { _ = proc.Close() }()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			f(pid)
		}
	}
}

// killUsersOf kills the processes whose command line names the directory: what a browser left behind whose owner died.
func killUsersOf(dir string) {
	eachProcess(func(pid int) {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err == nil && pid != os.Getpid() && bytes.Contains(line, []byte("="+dir+"/")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// treeUsage is what the processes of the leader's group take. Pages that several processes share are counted once (PSS): the sum
// of resident sizes would count Chromium's 200 MB of code once a process.
func treeUsage(leader int) []usage {
	var all []usage
	for _, m := range group(leader) {
		if m.zombie {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(m.pid), "cmdline"))
		all = append(all, usage{pid: m.pid, bytes: processMemory(m.pid), renderer: bytes.Contains(line, []byte("--type=renderer"))})
	}
	return all
}

func processMemory(pid int) int64 {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil {
		for line := range strings.Lines(string(rollup)) {
			if value, ok := strings.CutPrefix(line, "Pss:"); ok {
				kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
				return kilobytes << 10
			}
		}
	}
	// Without permission for the above: the resident pages that belong to no file.
	statm, err := os.ReadFile(filepath.Join(dir, "statm"))
	if fields := strings.Fields(string(statm)); err == nil && len(fields) > 2 {
		resident, _ := strconv.ParseInt(fields[1], 10, 64)
		shared, _ := strconv.ParseInt(fields[2], 10, 64)
		return (resident - shared) * int64(os.Getpagesize())
	}
	return 0
}
