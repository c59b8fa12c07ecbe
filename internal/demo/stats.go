package demo

import (
	"maps"
	"sync"
)

// Stats counts what was asked of the portal since its start or the last Reset.
type Stats struct {
	Requests     int64            `json:"requests"`              // all but beacons and those of /_faults, /_stats, /_truth
	PageViews    int64            `json:"page_views"`            // PO and requisition pages that someone signed in asked for
	SignIns      int64            `json:"sign_ins"`              // by the form, successful
	FileRequests int64            `json:"file_requests"`         // for attachments' bytes
	Faulty       int64            `json:"faulty"`                // requests that a fault answered or held up
	Leaks        int64            `json:"leaks"`                 // requests that followed a file's redirect to a foreign host
	Outstanding  int64            `json:"outstanding"`           // requests being answered now
	ViewsByPO    map[string]int64 `json:"views_by_po,omitempty"` // views of PO pages by the digits asked for
	FilesByPO    map[string]int64 `json:"files_by_po,omitempty"` // file requests by the PO's digits
}

// stats are the counters, and what was answered so far where only the first answer is special.
type stats struct {
	mu   sync.Mutex
	now  Stats
	seen map[string]bool
}

// Stats is a snapshot of the counters.
func (p *Portal) Stats() Stats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	snapshot := p.stats.now
	snapshot.ViewsByPO = maps.Clone(snapshot.ViewsByPO)
	snapshot.FilesByPO = maps.Clone(snapshot.FilesByPO)
	return snapshot
}

// Reset clears faults and counters, and forgets which once-only troubles were shown; sessions stay.
func (p *Portal) Reset() {
	p.SetFaults(Faults{})
	p.stats.clear()
}

// clear sets all counters to zero but Outstanding, which is a gauge.
func (s *stats) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = Stats{Outstanding: s.now.Outstanding, ViewsByPO: map[string]int64{}, FilesByPO: map[string]int64{}}
	s.seen = map[string]bool{}
}

// count changes the counters.
func (s *stats) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.now)
}

// first tells whether this is the first time that it is asked about what.
func (s *stats) first(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.seen[what]
	s.seen[what] = true
	return !before
}
