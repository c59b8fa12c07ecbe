package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// How the event source of a standard queue scales: AWS Lambda Developer Guide, "Configuring scaling behavior for SQS event source
// mappings". It begins with five batches at once, and adds up to 300 a minute while messages wait, to 1,000 in all (1,250 by newer
// texts, but MaximumConcurrency takes no more than 1,000).
const (
	firstPollers     = 5
	pollersPerMinute = 300
	mostPollers      = 1000
)

// What AWS gives.
const (
	mbPerCore       = 1769 // of a function's memory: AWS Lambda Developer Guide, "Configure Lambda function memory"
	s3PutsPerSecond = 3500 // to one prefix: Amazon S3 User Guide, "Best practices design patterns: optimizing Amazon S3 performance"
)

// List prices in USD, us-east-1, without free tiers and discounts: the services' pricing pages.
const (
	perGBSecond   = 0.0000166667 // Lambda on x86
	perInvocation = 0.20 / 1e6
	perSQSRequest = 0.40 / 1e6
	perWriteUnit  = 0.625 / 1e6 // DynamoDB on demand
	perS3Put      = 0.005 / 1e3
)

// What a PO asks of the services.
const (
	writeUnitsPerPO  = 5   // recorded, claimed, committed: see the package comment of internal/ledger
	sqsRequestsPerPO = 0.3 // sent, received, deleted: ten at a time
)

// outcome is what became of the job.
type outcome struct {
	took        time.Duration
	most        int           // environments at once
	mostAfter   time.Duration // when they were that many for the first time
	invocations int
	billed      time.Duration
	gbSeconds   float64
	cost        float64
	held        map[string]time.Duration // the part of the billed time in which something shared was waited for
}

// waitedFor is what held up the environments most; nothing when that was less than a twentieth of their time.
func (o outcome) waitedFor() string {
	worst := ""
	for _, name := range []string{"portal", "ledger item", "S3 prefix"} {
		if o.held[name] > o.held[worst] {
			worst = name
		}
	}
	if o.held[worst] < o.billed/20 {
		return "nothing"
	}
	return fmt.Sprintf("%s, %.0f %% of the time", worst, 100*o.held[worst].Seconds()/o.billed.Seconds())
}

// shared is something that all environments use, and that does so many POs a second.
type shared struct {
	name string
	rate float64 // POs a second; 0 is any number
	free time.Duration
}

// serve has the POs done from start on, after those that came before, and returns when that was.
func (s *shared) serve(start time.Duration, pos int) time.Duration {
	if s.rate == 0 {
		return start
	}
	s.free = max(s.free, start) + time.Duration(float64(pos)/s.rate*float64(time.Second))
	return s.free
}

// ends are the times at which the invocations under way end; the earliest is first.
type ends []time.Duration

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i] < e[j] }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(time.Duration)) }
func (e *ends) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// simulate works the job with so many environments at most, at a portal that serves so many POs a second. All POs succeed.
func (m model) simulate(environments int, portalRate float64) outcome {
	o := outcome{held: map[string]time.Duration{}}
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it has to be the same every time
	bounds := []*shared{
		{name: "portal", rate: portalRate},
		{name: "ledger item", rate: m.commitRate()},
		{name: "S3 prefix", rate: s3PutsPerSecond / float64(max(m.FilesPerPO, 1))},
	}
	var (
		now, last time.Duration
		busy      ends
		started   int // environments
		next      int // PO
	)
	for next < m.POs {
		// A batch starts when its messages are there, a poller may take them, and an environment may run.
		now = max(now, time.Duration(float64(next)/m.Dispatch*float64(time.Second)))
		for len(busy) > 0 && busy[0] <= now {
			heap.Pop(&busy)
		}
		allowed := min(environments, mostPollers, firstPollers+int(now.Minutes()*pollersPerMinute))
		if len(busy) >= allowed {
			wait := busy[0]
			if allowed < min(environments, mostPollers) {
				wait = min(wait, now+time.Minute/pollersPerMinute)
			}
			now = wait
			continue
		}
		batch := min(m.BatchSize, m.POs-next)
		next += batch
		begin := now + m.Warm
		if len(busy) == started {
			started++
			begin = now + m.ColdStart
		}
		end := begin + m.work(batch, dice)
		for _, s := range bounds {
			if done := s.serve(begin, batch); done > end {
				o.held[s.name] += done - end
				end = done
			}
		}
		o.invocations++
		o.billed += end - now
		last = max(last, end)
		heap.Push(&busy, end)
		if len(busy) > o.most {
			o.most, o.mostAfter = len(busy), now
		}
	}
	o.took = last
	o.gbSeconds = o.billed.Seconds() * float64(m.Memory) / 1024
	o.cost = o.gbSeconds*perGBSecond + float64(o.invocations)*perInvocation +
		float64(m.POs)*(sqsRequestsPerPO*perSQSRequest+writeUnitsPerPO*perWriteUnit+float64(m.FilesPerPO)*perS3Put)
	return o
}

// work is how long a batch takes an environment that has everything for itself: its tabs take PO after PO, and its cores are shared
// among the tabs.
func (m model) work(pos int, dice *rand.Rand) time.Duration {
	tabs := make([]time.Duration, m.Tabs)
	for range pos {
		first := 0
		for i := range tabs {
			if tabs[i] < tabs[first] {
				first = i
			}
		}
		tabs[first] += time.Duration(float64(m.POTime) * (0.75 + dice.Float64()/2)) // pages differ by a quarter
	}
	var longest time.Duration
	for _, t := range tabs {
		longest = max(longest, t)
	}
	cores := float64(m.Memory) / mbPerCore
	return max(longest, time.Duration(float64(pos)*float64(m.CPU)/cores))
}

// commitRate is how many POs a second the job's item in the ledger takes. An environment commits what waits, so when the item is
// in demand a whole batch ends up in one commit, and not more than that.
func (m model) commitRate() float64 {
	return float64(min(m.MostRows, m.BatchSize)) / m.CommitTime.Seconds()
}
