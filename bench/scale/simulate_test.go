package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func small() model {
	return model{
		POs: 20_000, BatchSize: 10, Tabs: 4, POTime: time.Second, CPU: 200 * time.Millisecond, ColdStart: 2 * time.Second,
		Warm: 20 * time.Millisecond, Memory: 3008, Dispatch: 2000, CommitTime: 10 * time.Millisecond, MostRows: 25, FilesPerPO: 2,
	}
}

func TestTheSimulationIsTheSameEveryTime(t *testing.T) {
	if diff := cmp.Diff(small().simulate(100, 0), small().simulate(100, 0), cmp.AllowUnexported(outcome{})); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironmentsComeAsTheEventSourceStartsThem(t *testing.T) {
	if o := small().simulate(3, 0); o.most != 3 || o.mostAfter > time.Second {
		t.Errorf("3 environments: %d after %s", o.most, o.mostAfter)
	}
	// Five at once, then five more a second.
	if o := small().simulate(50, 0); o.most != 50 || o.mostAfter < 9*time.Second || o.mostAfter > 10*time.Second {
		t.Errorf("50 environments: %d after %s", o.most, o.mostAfter)
	}
}

func TestAJobIsAsFastAsWhatAllShareLets(t *testing.T) {
	for _, c := range []struct {
		name         string
		environments int
		portal       float64
		change       func(*model)
		least, most  float64 // POs a second
		waitedFor    string
	}{
		{"the portal serves ten POs a second", 100, 10, func(*model) {}, 9.9, 10.1, "portal"},
		{"a slow ledger: ten rows in a commit of 0.1 s", 100, 0, func(m *model) { m.CommitTime = 100 * time.Millisecond }, 95, 100, "ledger item"},
		{"nothing is short: ten environments, three POs a second and tab", 10, 0, func(*model) {}, 30, 40, "nothing"},
		{"the CPU of one environment: 1.7 cores", 1, 0, func(m *model) { m.CPU = 2 * time.Second }, 0.84, 0.86, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := small()
			c.change(&m)
			o := m.simulate(c.environments, c.portal)
			waitedFor, _, _ := strings.Cut(o.waitedFor(), ",")
			if rate := float64(m.POs) / o.took.Seconds(); rate < c.least || rate > c.most || waitedFor != c.waitedFor {
				t.Errorf("%.2f POs a second, waited for %s", rate, o.waitedFor())
			}
		})
	}
}

func TestEveryPOIsWorkedOnceAndBilled(t *testing.T) {
	m := small()
	m.POs = 1005 // the last batch is half full
	o := m.simulate(10, 0)
	if o.invocations != 101 {
		t.Errorf("%d invocations, want 101", o.invocations)
	}
	if least := 1005 * m.POTime / time.Duration(m.Tabs) * 3 / 4; o.billed < least {
		t.Errorf("billed %s, less than %s", o.billed, least)
	}
}
