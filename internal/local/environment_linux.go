package local

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// markVariable is in the environment of every process of an execution environment, so that one which left the emulator's tree
// and session is found all the same. Chromium's crash handler is such a process.
const markVariable = "PURSER_ENVIRONMENT"

// tree is the processes of one execution environment: the emulator, the function, Chromium and whatever they started.
type tree struct {
	root    int    // the emulator, leader of its own session
	started uint64 // when, in the kernel's ticks
	mark    string // value of markVariable
	frozen  []process
}

// process is one line of /proc/PID/stat.
type process struct {
	pid, parent, session int
	threads              int
	state                byte   // of its first thread, as ps(1) shows it
	started              uint64 // in ticks since the machine's start
}

// gone tells whether nothing of the process runs any more. The first thread may be dead before the others are.
func (p process) gone() bool    { return (p.state == 'Z' || p.state == 'X') && p.threads <= 1 }
func (p process) stopped() bool { return p.state == 'T' || p.state == 't' }

// threadsStopped tells whether all threads are: the others may still be in a system call when the first one has stopped.
func (p process) threadsStopped() bool {
	dir := filepath.Join("/proc", strconv.Itoa(p.pid), "task")
	threads, err := os.ReadDir(dir)
	if err != nil {
		return true // it is gone meanwhile
	}
	for _, thread := range threads {
		t, err := parseStat(filepath.Join(dir, thread.Name(), "stat"))
		if err == nil && !t.stopped() && t.state != 'Z' && t.state != 'X' {
			return false
		}
	}
	return true
}

// start runs the emulator in a session of its own. It calls exited when the process is gone. The kernel kills the emulator when
// this process dies; the function follows, for its runtime API is gone, or since the kernel hangs up on stopped orphans.
func (t *tree) start(cmd *exec.Cmd, exited func(error)) error {
	cmd.Env = append(cmd.Env, markVariable+"="+t.mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	go func() {
		// The death signal comes when the *thread* that started the process ends (https://go.dev/issue/27505), so this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			result <- err
			return
		}
		p, err := readProcess(cmd.Process.Pid)
		t.root, t.started = cmd.Process.Pid, p.started
		result <- err
		exited(cmd.Wait())
	}()
	return <-result
}

func (t *tree) pid() int { return t.root }

// list finds the tree's processes: the root's descendants, those of its session, and those that carry the mark.
func (t *tree) list() ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	byPID := make(map[int]process, len(all))
	for _, p := range all {
		byPID[p.pid] = p
	}
	known := map[int]bool{}
	var member func(process) bool
	member = func(p process) bool {
		is, seen := known[p.pid]
		if seen || p.started < t.started {
			return is
		}
		parent, alive := byPID[p.parent]
		is = p.pid == t.root && p.started == t.started || // the number may be another's by now
			p.session == t.root ||
			alive && member(parent) ||
			hasMark(p.pid, t.mark)
		known[p.pid] = is
		return is
	}
	var found []process
	for _, p := range all {
		if member(p) {
			found = append(found, p)
		}
	}
	return found, nil
}

// freeze stops every process of the tree, as Lambda does between invocations.
func (t *tree) freeze(ctx context.Context) error {
	frozen, err := t.settle(ctx, syscall.SIGSTOP, process.stopped)
	if err != nil {
		return fmt.Errorf("freezing: %w", err)
	}
	t.frozen = frozen
	return nil
}

// thaw lets every process go on. There are no others than those that were frozen.
func (t *tree) thaw() {
	for _, p := range t.frozen {
		_ = syscall.Kill(p.pid, syscall.SIGCONT)
	}
	t.frozen = nil
}

// functionLives tells whether the frozen function is still there. Somebody may have killed it, or the kernel for its memory.
func (t *tree) functionLives() bool {
	for _, p := range t.frozen {
		if p.parent == t.root && p.pid != t.root {
			now, err := readProcess(p.pid)
			return err == nil && now.started == p.started && !now.gone()
		}
	}
	return true // it is not frozen: the emulator notices its end
}

// kill ends every process of the tree.
func (t *tree) kill(ctx context.Context) error {
	if _, err := t.settle(ctx, syscall.SIGKILL, process.gone); err != nil {
		return fmt.Errorf("killing: %w", err)
	}
	return nil
}

// settle sends the signal until every process is as it should be, and returns them. It looks again after that: a process that was
// forked while the first look went on is seen then, for nobody is left who could fork.
func (t *tree) settle(ctx context.Context, signal syscall.Signal, settled func(process) bool) ([]process, error) {
	for again := false; ; again = true {
		found, err := t.list()
		if err != nil {
			return nil, err
		}
		calm := true
		for _, p := range found {
			if p.gone() && p.parent == os.Getpid() && p.pid != t.root {
				// An orphan that became ours to wait for. The root is os/exec's.
				_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
			}
			if !p.gone() && !settled(p) {
				calm = false
				_ = syscall.Kill(p.pid, signal)
			}
		}
		if calm && again {
			return found, nil
		}
		for _, p := range found {
			if err := p.await(ctx, settled); err != nil {
				return nil, fmt.Errorf("process %d does not follow signal %d: %w", p.pid, signal, err)
			}
		}
	}
}

// await waits until the process is settled or gone. The kernel tells nobody when a grandchild is, so this looks again and again.
func (p process) await(ctx context.Context, settled func(process) bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		now, err := readProcess(p.pid)
		if err != nil || now.started != p.started || now.gone() || settled(now) && now.threadsStopped() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// terminate asks the function, not the emulator, to end, as Lambda does before it takes an environment away.
func (t *tree) terminate() {
	found, err := t.list()
	if err != nil {
		return
	}
	for _, p := range found {
		if p.parent == t.root && p.pid != t.root {
			_ = syscall.Kill(p.pid, syscall.SIGTERM)
		}
	}
}

// killMarked kills what a stack that was killed itself has left behind: every process whose mark begins with the prefix.
func killMarked(ctx context.Context, prefix string) error {
	all, err := processes()
	if err != nil {
		return err
	}
	for _, p := range all {
		mark, ok := markOf(p.pid)
		if !ok || !strings.HasPrefix(mark, prefix) || p.pid == os.Getpid() {
			continue
		}
		left := &tree{root: p.pid, started: p.started, mark: mark}
		if err := left.kill(ctx); err != nil {
			return err
		}
	}
	return nil
}

func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := make([]process, 0, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil { // else it is gone meanwhile
			all = append(all, p)
		}
	}
	return all, nil
}

func readProcess(pid int) (process, error) {
	p, err := parseStat(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	p.pid = pid
	return p, err
}

// parseStat reads what proc_pid_stat(5) describes, of a process or a thread.
func parseStat(path string) (process, error) {
	stat, err := os.ReadFile(path)
	if err != nil {
		return process{}, err
	}
	// "pid (name) state parent group session …"; the name may hold anything, parentheses too.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("%s has only %d fields", path, len(fields))
	}
	p := process{state: fields[0][0]}
	var errs [4]error
	p.parent, errs[0] = strconv.Atoi(fields[1])
	p.session, errs[1] = strconv.Atoi(fields[3])
	p.threads, errs[2] = strconv.Atoi(fields[17])
	p.started, errs[3] = strconv.ParseUint(fields[19], 10, 64)
	return p, errors.Join(errs[:]...)
}

func hasMark(pid int, mark string) bool {
	m, ok := markOf(pid)
	return ok && m == mark
}

// markOf is the value of markVariable in the process's environment.
func markOf(pid int) (mark string, ok bool) {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return "", false // gone, or another user's
	}
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(variable, []byte(markVariable+"=")); ok {
			return string(value), true
		}
	}
	return "", false
}

// listening is the address on which the tree's root listens at the IP, once it does. The kernel chose its port: one chosen
// beforehand could be any other program's by then.
func (t *tree) listening(ip netip.Addr) (netip.AddrPort, bool) {
	sockets := map[string]bool{}
	dir := filepath.Join("/proc", strconv.Itoa(t.root))
	descriptors, _ := os.ReadDir(filepath.Join(dir, "fd"))
	for _, d := range descriptors {
		target, _ := os.Readlink(filepath.Join(dir, "fd", d.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	table, _ := os.ReadFile(filepath.Join(dir, "net", "tcp"))
	for line := range strings.Lines(string(table)) {
		const listen = "0A"
		// "sl local_address rem_address st … inode …", see proc_net_tcp(5).
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != listen || !sockets[fields[9]] {
			continue
		}
		if address, err := parseSocketAddress(fields[1]); err == nil && address.Addr() == ip {
			return address, true
		}
	}
	return netip.AddrPort{}, false
}

// parseSocketAddress reads "0100007F:1F90": an IPv4 address as a number in the machine's byte order, and the port.
func parseSocketAddress(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	octets, err := hex.DecodeString(host)
	if err != nil || len(octets) != 4 {
		return netip.AddrPort{}, fmt.Errorf("%q is no IPv4 socket address", s)
	}
	slices.Reverse(octets) // little-endian, as all machines are for which there is a Chromium
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(octets)), uint16(number)), nil
}
