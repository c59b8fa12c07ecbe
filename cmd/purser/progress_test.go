package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTheProgressLineIsTheOlderTools(t *testing.T) {
	var p pace
	start := time.Date(2026, 1, 15, 9, 30, 0, 0, time.UTC)
	p.observe(start, 0)
	p.observe(start.Add(20*time.Second), 10)
	want := "📋 Processing PO 10/40 – Elapsed Time: 0:20, Remaining Time: 1:00, Estimated Completion: 09:31:20"
	if got := p.line(start.Add(20*time.Second), 10, 40); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTheRateLooksBackNoFurtherThanItsWindow(t *testing.T) {
	var p pace
	start := time.Date(2026, 1, 15, 9, 30, 0, 0, time.UTC)
	p.observe(start, 0)
	for i := 1; i <= 120; i++ { // a slow minute, then a fast one
		done := int64(i)
		if i > 60 {
			done = 60 + 5*int64(i-60)
		}
		p.observe(start.Add(time.Duration(i)*time.Second), done)
	}
	if got := p.perSecond(); got < 4.9 || got > 5.1 {
		t.Errorf("rate %.2f a second, want that of the last minute, 5", got)
	}
}

func TestNothingIsForeseenBeforeAnythingIsDone(t *testing.T) {
	var p pace
	start := time.Now()
	p.observe(start, 0)
	p.observe(start.Add(time.Second), 0)
	if got := p.line(start.Add(time.Second), 0, 10); !strings.Contains(got, "Remaining Time: unknown, Estimated Completion: unknown") {
		t.Error(got)
	}
}

func TestOffATerminalABlockedJobSaysSoOnce(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	start := time.Now()
	for i := range 3 {
		p.show(start.Add(time.Duration(i)*time.Second), 1, 10, "blocked: PROFILE_ERROR: session expired")
	}
	p.end()
	if n := strings.Count(out.String(), "session expired"); n != 1 {
		t.Errorf("said %d times:\n%s", n, out.String())
	}
}

func TestSizesAndTimesAreWrittenForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 20: "3.0 MiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0:00", 65 * time.Second: "1:05", time.Hour + 2*time.Minute + 3*time.Second: "1:02:03"} {
		if got := clock(d); got != want {
			t.Errorf("clock(%s) = %s, want %s", d, got, want)
		}
	}
}
