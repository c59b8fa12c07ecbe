package browser

import "fmt"

// Status is what the browser costs, at this moment and at its worst.
type Status struct {
	Running     bool
	Launches    int   // starts that succeeded
	Restarts    int   // those of them that replaced a browser which had died, hung, or grown too large
	MemoryBytes int64 // of the process tree now; shared pages are counted once (PSS)
	MemoryPeak  int64 // the most that was seen, over all generations
	Tabs        int   // open at this moment
	PIDs        int   // processes of the tree
}

// Status measures the browser. It does not speak to it, so it never waits.
func (b *Browser) Status() Status {
	p := b.current()
	var s Status
	if p != nil && !p.dead() {
		s.Running = true
		s.MemoryBytes, s.PIDs = b.measure(p)
		s.Tabs, _ = p.load()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Launches, s.Restarts, s.MemoryPeak = b.launches, b.restarts, b.peak
	return s
}

// NeedsRecycle tells whether the browser should be replaced between two POs, and why.
func (b *Browser) NeedsRecycle() (reason string, yes bool) {
	p := b.current()
	if p == nil || p.dead() { // Ensure's business
		return "", false
	}
	if reason := p.suspicion(); reason != "" {
		return reason, true
	}
	if _, served := p.load(); b.o.MaxUses > 0 && served >= b.o.MaxUses {
		return fmt.Sprintf("it served %d POs", served), true
	}
	if b.o.MemoryLimit > 0 {
		if memory := b.lately(p); memory > b.o.MemoryLimit {
			return fmt.Sprintf("it takes %s of memory, more than %s", megabytes(memory), megabytes(b.o.MemoryLimit)), true
		}
	}
	return "", false
}
