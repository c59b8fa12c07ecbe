package browser

import "time"

// watchEvery is how often the memory is looked at while a tab is open. A look takes the kernel some 40 ms with eight pages open, for
// it walks through every page table: one look a PO was a seventh of all CPU.
const watchEvery = time.Second

// usage is what one process of the tree takes.
type usage struct {
	pid      int
	bytes    int64 // shared pages are counted once, in parts (PSS)
	renderer bool
}

// measure looks at the process tree and keeps the peak.
func (b *Browser) measure(p *process) (memory int64, pids int) {
	memory, pids, _ = b.look(p)
	return memory, pids
}

// lately is the memory of a look that was not long ago.
func (b *Browser) lately(p *process) int64 {
	b.mu.Lock()
	seen, fresh := b.seen, b.seen.of == p && time.Since(b.seen.at) < watchEvery
	b.mu.Unlock()
	if fresh {
		return seen.memory
	}
	memory, _ := b.measure(p)
	return memory
}

// sight is what the last look at the memory saw.
type sight struct {
	of     *process
	at     time.Time
	memory int64
}

func (b *Browser) look(p *process) (memory int64, pids int, largest usage) {
	all := treeUsage(p.pid)
	for _, u := range all {
		memory += u.bytes
		if u.renderer && u.bytes > largest.bytes {
			largest = u
		}
	}
	b.mu.Lock()
	b.peak = max(b.peak, memory)
	b.seen = sight{p, time.Now(), memory}
	b.mu.Unlock()
	return memory, len(all), largest
}

// watch looks at the memory while tabs are open, as long as the browser lives, and ends a page that runs away with it. The limit of
// V8's heap does not cover everything that a page can ask for, and in Lambda the whole environment is killed when the memory is used
// up, with every PO in it. A tree over the limit without such a page is drained and recycled by the caller, which loses nothing.
func (b *Browser) watch(p *process) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.lost():
			return
		case <-ticker.C:
		}
		if open, _ := p.load(); open == 0 {
			continue
		}
		memory, _, largest := b.look(p)
		if b.o.MemoryLimit > 0 && memory > b.o.MemoryLimit && largest.bytes > b.o.MemoryLimit/2 {
			b.log.WithField("memory", megabytes(largest.bytes)).Warn("a page takes more than half of the memory allowed; it is ended")
			_ = killProcess(largest.pid)
		}
	}
}
