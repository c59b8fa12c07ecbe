package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// paceWindow is how far back the rate looks: long enough to be steady, short enough to notice a change.
const paceWindow = time.Minute

// lineEvery is how often a progress line is written where there is no terminal.
const lineEvery = 5 * time.Second

// pace knows how fast a job goes, from what was done at which time.
type pace struct {
	began   time.Time
	samples []sample // of the last paceWindow, oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// observe notes how many POs are done now.
func (p *pace) observe(now time.Time, done int64) {
	if p.began.IsZero() {
		p.began = now
	}
	p.samples = append(p.samples, sample{now, done})
	for len(p.samples) > 2 && now.Sub(p.samples[0].at) > paceWindow {
		p.samples = p.samples[1:]
	}
}

// perSecond is the rate over the window, 0 while nothing is known.
func (p *pace) perSecond() float64 {
	if len(p.samples) < 2 {
		return 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return max(0, float64(last.done-first.done)/seconds)
}

// remaining is how long the rest takes at the present rate; false while that is not known.
func (p *pace) remaining(total int64) (time.Duration, bool) {
	rate := p.perSecond()
	if rate == 0 || len(p.samples) == 0 {
		return 0, false
	}
	left := total - p.samples[len(p.samples)-1].done
	return time.Duration(float64(max(left, 0)) / rate * float64(time.Second)), true
}

// line is the progress line of the older tool.
func (p *pace) line(now time.Time, done, total int64) string {
	remaining, completion := "unknown", "unknown"
	if left, ok := p.remaining(total); ok {
		remaining = clock(left)
		completion = now.Add(left).Format("15:04:05")
	}
	return fmt.Sprintf("📋 Processing PO %d/%d – Elapsed Time: %s, Remaining Time: %s, Estimated Completion: %s",
		done, total, clock(now.Sub(p.began)), remaining, completion)
}

// clock writes a duration as people read it: 1:02:03, or 2:03.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// progress shows how far a job is: a bar on a terminal, lines elsewhere.
type progress struct {
	out   io.Writer
	unit  string // what is counted
	tasks string // what is worked at this moment, for a terminal
	pace  pace
	last  time.Time // of a line
	whole bool      // the line that says that all is done was written
	note  string

	bars *mpb.Progress
	bar  *mpb.Bar
	// The bar draws itself when it likes, so it gets its words ready made.
	left, right atomic.Value
}

func newProgress(out io.Writer) *progress { return &progress{out: out, unit: "POs"} }

// show is called whenever the job was looked at. The note says what stands in the way, if anything does.
func (p *progress) show(now time.Time, done, total int64, note string) {
	p.pace.observe(now, done)
	if isTerminal(p.out) {
		p.showBar(now, done, total, note)
		return
	}
	if note != p.note && note != "" {
		fmt.Fprintln(p.out, "⏸ "+note)
	}
	p.note = note
	if total > 0 && !p.whole && (now.Sub(p.last) >= lineEvery || done == total) {
		p.last, p.whole = now, done == total
		if p.unit == "POs" {
			fmt.Fprintln(p.out, p.pace.line(now, done, total))
		} else {
			fmt.Fprintf(p.out, "%d/%d %s\n", done, total, p.unit)
		}
	}
}

func (p *progress) showBar(now time.Time, done, total int64, note string) {
	p.left.Store(fmt.Sprintf("📋 %d/%d %s ", done, total, p.unit))
	p.right.Store(p.words(now, total, note))
	if p.bars == nil {
		p.bars = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(40))
		word := func(v *atomic.Value) decor.Decorator {
			return decor.Any(func(decor.Statistics) string { return v.Load().(string) })
		}
		p.bar = p.bars.AddBar(0, mpb.PrependDecorators(word(&p.left)), mpb.AppendDecorators(word(&p.right)))
	}
	p.bar.SetTotal(max(total, done+1), false) // it is over only when the job says so
	p.bar.SetCurrent(done)
}

// words stand right of the bar.
func (p *progress) words(now time.Time, total int64, note string) string {
	if note != "" {
		return " ⏸ " + note
	}
	text := fmt.Sprintf(" %.0f/min  elapsed %s", p.pace.perSecond()*60, clock(now.Sub(p.pace.began)))
	if left, ok := p.pace.remaining(total); ok {
		text += "  left " + clock(left)
	}
	if p.tasks != "" {
		text += "  " + p.tasks
	}
	return text
}

// end leaves the terminal as it was.
func (p *progress) end() {
	if p.bars != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
