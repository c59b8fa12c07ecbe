package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Load is what a page costs. Delays are spread evenly over their range, by a hash of the request's address: the same request
// always takes equally long. A negative value means none where zero would keep the weight's own.
type Load struct {
	Latency       Range         // before each request is answered
	Comments      Range         // before the comments' XHR is answered, in place of Latency
	SlowPage      time.Duration // before the table's slow page is answered
	PageBytes     int           // the PO page's size as rendered
	ScriptBytes   int           // the script bundle's size
	ScriptWork    int           // rounds of arithmetic that the bundle does on each page; a million take some 1.6 ms of CPU
	StyleBytes    int           // the style sheet's size
	Images        int           // pictures on a PO page
	BulkFileBytes int           // size of a bulk PO's PDF
}

// Range is a delay from Min to Max.
type Range struct{ Min, Max time.Duration }

// UnmarshalText reads "80ms", or "40ms-120ms".
func (r *Range) UnmarshalText(text []byte) error {
	from, to, both := strings.Cut(string(text), "-")
	if !both {
		to = from
	}
	var err error
	if r.Min, err = time.ParseDuration(from); err == nil {
		r.Max, err = time.ParseDuration(to)
	}
	if err != nil || r.Max < r.Min {
		return fmt.Errorf("%q is no delay: write one like 80ms, or a range like 40ms-120ms", text)
	}
	return nil
}

// loads are what the weights stand for. The heavy one is measured at a real portal: 170 KB of HTML, a bundle of 1.5 MB that costs
// 20–50 ms of CPU, comments 200–600 ms after the page, 80 ± 40 ms a request.
var loads = map[Weight]Load{
	Light: {
		Comments: Range{50 * time.Millisecond, 150 * time.Millisecond},
		SlowPage: 3 * time.Second,
	},
	Heavy: {
		Latency:       Range{40 * time.Millisecond, 120 * time.Millisecond},
		Comments:      Range{200 * time.Millisecond, 600 * time.Millisecond},
		SlowPage:      3 * time.Second,
		PageBytes:     170_000,
		ScriptBytes:   1_500_000,
		ScriptWork:    15_000_000,
		StyleBytes:    100_000,
		Images:        8,
		BulkFileBytes: 150_000,
	},
}

// over is the weight's load with what l sets in its place.
func (l Load) over(base Load) Load {
	choose(&l.Latency.Min, base.Latency.Min)
	choose(&l.Latency.Max, base.Latency.Max)
	choose(&l.Comments.Min, base.Comments.Min)
	choose(&l.Comments.Max, base.Comments.Max)
	choose(&l.SlowPage, base.SlowPage)
	choose(&l.PageBytes, base.PageBytes)
	choose(&l.ScriptBytes, base.ScriptBytes)
	choose(&l.ScriptWork, base.ScriptWork)
	choose(&l.StyleBytes, base.StyleBytes)
	choose(&l.Images, base.Images)
	choose(&l.BulkFileBytes, base.BulkFileBytes)
	return l
}

// choose keeps a positive value, makes a negative one zero, and puts other in place of zero.
func choose[T int | time.Duration](value *T, other T) {
	if *value == 0 {
		*value = other
	}
	*value = max(*value, 0)
}

// of is the range's delay for a request.
func (r Range) of(request string) time.Duration {
	if r.Max <= r.Min {
		return r.Min
	}
	return r.Min + time.Duration(hash(request)%uint64(r.Max-r.Min))
}

// pause waits, and tells whether the client is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
