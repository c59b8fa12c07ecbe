package ledger

import (
	"testing"
	"time"
)

// circuit asks and trips for a test.
type circuit struct {
	*testing.T
	l *Ledger
	c *clock
}

func newCircuit(t *testing.T) circuit {
	l, c := newLedger(t)
	return circuit{t, l, c}
}

func (c circuit) ask(owner string) Gate {
	c.Helper()
	g, err := c.l.Circuit(c.Context(), "https://portal.example", owner)
	if err != nil {
		c.Fatal(err)
	}
	return g
}

func (c circuit) trip(after time.Duration) Gate {
	c.Helper()
	g, err := c.l.Trip(c.Context(), "https://portal.example", "503", after)
	if err != nil {
		c.Fatal(err)
	}
	return g
}

func TestACircuitStopsEveryEnvironmentAndLetsOneProbe(t *testing.T) {
	c := newCircuit(t)
	if g := c.ask("a"); g != (Gate{}) {
		t.Fatalf("%+v", g)
	}
	for n := range 5 { // five environments meet the same trouble
		if g := c.trip(0); !g.Open || g.Wait != firstTrip {
			t.Fatalf("trip %d: %+v", n+1, g)
		}
	}
	if g := c.ask("b"); !g.Open || g.Probe || g.Wait != firstTrip || g.Reason != "503" {
		t.Fatalf("%+v", g)
	}
	c.c.advance(firstTrip)
	if g := c.ask("b"); !g.Open || !g.Probe {
		t.Fatalf("%+v", g)
	}
	if g := c.ask("a"); !g.Open || g.Probe || g.Wait != probeWaits*firstTrip {
		t.Fatalf("a second probe at once: %+v", g)
	}
	if g := c.ask("b"); !g.Probe {
		t.Fatalf("the one who probes asks again: %+v", g)
	}
	if err := c.l.Reset(t.Context(), "https://portal.example"); err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"a", "b"} {
		if g := c.ask(owner); g != (Gate{}) {
			t.Fatalf("%+v", g)
		}
	}
}

func TestEachFailedProbeDoublesTheWaitUpToItsLimit(t *testing.T) {
	c := newCircuit(t)
	want := firstTrip
	for range 8 {
		if g := c.trip(0); g.Wait != want {
			t.Fatalf("waits %s, want %s", g.Wait, want)
		}
		c.c.advance(want)
		if g := c.ask("a"); !g.Probe {
			t.Fatalf("%+v", g)
		}
		want = min(2*want, longestWaits*firstTrip)
	}
}

func TestThePortalsOwnWishIsHonoured(t *testing.T) {
	c := newCircuit(t)
	if g := c.trip(10 * time.Minute); g.Wait != 10*time.Minute {
		t.Fatalf("%+v", g)
	}
	if g := c.trip(5 * time.Minute); g.Wait != 10*time.Minute {
		t.Fatalf("a shorter wish cuts the longer one: %+v", g)
	}
	if g := c.trip(time.Hour); g.Wait != time.Hour {
		t.Fatalf("%+v", g)
	}
}

func TestAProbeThatNeverComesBackIsFollowedByAnother(t *testing.T) {
	c := newCircuit(t)
	c.trip(0)
	c.c.advance(firstTrip)
	if g := c.ask("killed"); !g.Probe {
		t.Fatalf("%+v", g)
	}
	c.c.advance(probeWaits * firstTrip)
	if g := c.ask("b"); !g.Probe {
		t.Fatalf("%+v", g)
	}
}

func TestAnOldCircuitIsForgotten(t *testing.T) {
	c := newCircuit(t)
	c.trip(0)
	c.c.advance(firstTrip + circuitLife)
	if g := c.ask("a"); g != (Gate{}) {
		t.Fatalf("%+v", g)
	}
	if g := c.trip(0); g.Wait != firstTrip {
		t.Fatalf("%+v", g)
	}
}
