package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const (
	// firstTrip is the wait after the first trip, unless WithCircuitWait says otherwise; each failed probe doubles it, up to
	// longestWaits times as much: 15 minutes.
	firstTrip    = 30 * time.Second
	longestWaits = 30
	// probeWaits first waits, two minutes, are how long a probe may take before somebody else may try.
	probeWaits = 4
	// circuitLife is how long after its wait an open circuit is remembered when nobody asks.
	circuitLife = 24 * time.Hour
)

// Gate is the answer of a portal's circuit.
type Gate struct {
	Open   bool          // the portal gives nothing: do not work, unless Probe
	Probe  bool          // you are the one who may try: work one PO, then Reset or Trip
	Wait   time.Duration // look again after this time
	Reason string
}

// Circuit asks whether the portal may be used: all environments share the answer. While it is open, one owner may probe after
// each wait; it may ask again, and others may when it has not come back within two minutes.
func (l *Ledger) Circuit(ctx context.Context, portal, owner string) (Gate, error) {
	k, now := key(portalPK(portal), circuitSK), l.now()
	it, err := l.get(ctx, k)
	if err != nil {
		return Gate{}, fmt.Errorf("asking the circuit of %s: %w", portal, err)
	}
	if it == nil || numberOf(it, "expires") <= now.Unix() {
		return Gate{}, nil
	}
	gate := Gate{Open: true, Reason: textOf(it, "reason")}
	if gate.Wait = instantOf(it, "until").Sub(now); gate.Wait > 0 {
		return gate, nil
	}
	it, ok, err := l.update(
		ctx, k, "SET #owner = :owner, #probe_until = :limit",
		"#until <= :now AND (attribute_not_exists(#probe_until) OR #probe_until <= :now OR #owner = :owner)",
		item{":owner": text(owner), ":limit": instant(now.Add(probeWaits * l.circuitWait)), ":now": instant(now)},
	)
	switch {
	case err != nil:
		return Gate{}, fmt.Errorf("asking for the probe of %s: %w", portal, err)
	case ok:
		return Gate{Open: true, Probe: true, Reason: gate.Reason}, nil
	case it == nil: // somebody else's probe has just succeeded
		return Gate{}, nil
	}
	gate.Wait = max(instantOf(it, "probe_until").Sub(now), instantOf(it, "until").Sub(now))
	return gate, nil
}

// Trip opens the circuit for everybody: the wait doubles with every failed probe, up to 15 minutes, and is never shorter than
// the portal asked for (after). Many who meet the same trouble at once count as one.
func (l *Ledger) Trip(ctx context.Context, portal, reason string, after time.Duration) (Gate, error) {
	k := key(portalPK(portal), circuitSK)
	for {
		it, err := l.get(ctx, k)
		if err != nil {
			return Gate{}, fmt.Errorf("tripping the circuit of %s: %w", portal, err)
		}
		now := l.now()
		trips, until := numberOf(it, "trips"), instantOf(it, "until")
		if numberOf(it, "expires") <= now.Unix() {
			trips, until = 0, time.Time{}
		}
		if !until.After(now) { // closed, or a probe failed
			trips++
			until = now.Add(l.circuitWait * time.Duration(min(1<<min(trips-1, 10), longestWaits)))
		}
		if asked := now.Add(after); asked.After(until) {
			until = asked
		}
		_, ok, err := l.update(
			ctx, k,
			"SET #reason = :reason, #trips = :trips, #until = :until, #expires = :expires, #version = :next REMOVE #owner, #probe_until",
			"attribute_not_exists(#version) OR #version = :version",
			item{
				":reason": text(reason), ":trips": number(trips), ":until": instant(until),
				":expires": number(until.Add(circuitLife).Unix()),
				":version": number(numberOf(it, "version")), ":next": number(numberOf(it, "version") + 1),
			},
		)
		if err != nil {
			return Gate{}, fmt.Errorf("tripping the circuit of %s: %w", portal, err)
		}
		if ok {
			return Gate{Open: true, Wait: until.Sub(now), Reason: reason}, nil
		}
	}
}

// Reset closes the circuit.
func (l *Ledger) Reset(ctx context.Context, portal string) error {
	err := l.retry(ctx, func() error {
		_, err := l.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &l.table, Key: key(portalPK(portal), circuitSK)})
		return err
	})
	if err != nil {
		return fmt.Errorf("closing the circuit of %s: %w", portal, err)
	}
	return nil
}
