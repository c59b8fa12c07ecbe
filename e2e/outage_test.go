package e2e

import (
	"context"
	"math/bits"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// outagePOs are many enough for several batches; one of them does not exist.
var outagePOs = []po.Number{
	"PO16900001", "PO16900002", "PO16900003", "PO16900004", "PO16900029", "PO16900010", "PO16900021", "PO16900020", "PO16900016",
	"PO16900017", "PO16900018", "PO16900042",
}

// outage is a stack of two environments and small batches, whose queue gives a message up after its second receive: an outage
// in which a try is lost would end in the dead-letter queue at once.
func outage(t *testing.T, p *portal, session []byte) *world {
	t.Helper()
	o := options(t, p)
	o.Environments, o.BatchSize, o.MaxReceives, o.Session = 2, 4, 2, session
	// Long enough for a slow machine: no invocation is to end by its time-out, which would count.
	o.DownloaderTimeout, o.Visibility = 2*time.Minute, 0
	return start(t, p, o)
}

func blocked(code string) func(ledger.Job) bool {
	return func(j ledger.Job) bool { return strings.HasPrefix(j.Blocked, code+": ") }
}

// innocent checks that the trouble has cost no PO anything.
func (w *world) innocent(id string) {
	w.t.Helper()
	w.ended(id)
	w.wantTruth(w.outcome(id), outagePOs...)
	for _, row := range w.rows(id) {
		if row.Attempt != 1 {
			w.t.Errorf("%s is done in try %d: the trouble has burnt tries", row.PO, row.Attempt)
		}
	}
	if n, err := w.depth(context.Background(), w.names.DLQURL); err != nil || n != 0 {
		w.t.Errorf("%d dead letters, %v", n, err)
	}
	if w.t.Failed() {
		w.t.Logf("blocked since %s: %q", w.job(id).BlockedSince, w.job(id).Blocked)
	}
}

// probesWithin is how many probes a circuit lets through in that time, whose waits double from a second.
func probesWithin(d time.Duration) int {
	return 1 + bits.Len(uint(d/time.Second)+1) //nolint:gosec // a time that has passed
}

// requestsPerProbe bounds what one look at a portal in trouble asks for: the PO's page or the session's, with a second opinion,
// and what its parts ask for.
const requestsPerProbe = 6

func TestAPortalThatAnswers503CostsNoPOATryAndIsNotHammered(t *testing.T) {
	t.Parallel()
	p := newPortal(t, demo.Options{})
	p.SetFaults(demo.Faults{Status: 503})
	w := outage(t, p, signIn())
	id := w.drop(outagePOs...)
	job := w.when("the job to be blocked", id, blocked("NETWORK_ERROR"))
	if !strings.Contains(job.Blocked, "503") {
		t.Errorf("blocked for %q", job.Blocked)
	}
	// The outage lasts until three more probes have failed: longer than the queue's two receives would.
	w.wait("three failed probes", func(ctx context.Context) (bool, error) { return w.bursts(900*time.Millisecond) >= 4, nil })
	during := p.requests()
	took := during[len(during)-1].Sub(during[0])
	p.SetFaults(demo.Faults{})

	// Every tab of both environments may be under way when the first of them meets the trouble.
	const first = 2 * 4 * requestsPerProbe
	if most := first + requestsPerProbe*probesWithin(took); len(during) > most {
		t.Errorf("%d requests in an outage of %s, want %d at most", len(during), took, most)
	}
	if stats := p.Stats(); stats.PageViews == 0 && stats.SignIns > 1 {
		t.Errorf("%d sign-ins", stats.SignIns)
	}
	w.innocent(id)
}

// bursts counts the groups of requests so far with so much quiet between them.
func (w *world) bursts(quiet time.Duration) int {
	n := 0
	var last time.Time
	for _, at := range w.portal.requests() {
		if at.Sub(last) >= quiet {
			n++
		}
		last = at
	}
	return n
}

func TestRetryAfterIsHonouredByEveryEnvironment(t *testing.T) {
	t.Parallel()
	const asked = 4 * time.Second
	p := newPortal(t, demo.Options{})
	p.SetFaults(demo.Faults{Status: 429, RetryAfterSeconds: int(asked / time.Second)})
	w := outage(t, p, signIn())
	id := w.drop(outagePOs...)
	w.when("the job to be blocked", id, func(j ledger.Job) bool { return strings.Contains(j.Blocked, "429") })
	w.wait("the portal to be asked again", func(context.Context) (bool, error) { return w.bursts(2*time.Second) >= 2, nil })
	p.SetFaults(demo.Faults{})

	// An environment that was starting its browser meanwhile may ask once more; then nobody does for as long as was asked.
	var quiet time.Duration
	requests := p.requests()
	for i, at := range requests[1:] {
		quiet = max(quiet, at.Sub(requests[i]))
	}
	if quiet < asked-time.Second/2 {
		t.Errorf("asked to be left alone for %s, the portal had %s of quiet at most: %v", asked, quiet, requests)
	}
	w.innocent(id)
}

// TestASessionThatEndsBlocksTheJobUntilThereIsANewOne lets the cookies of a session that nobody can renew end in the middle of a
// job, in both forms that portals show. POs that exist must not be called missing, though an ended session shows the same page.
func TestASessionThatEndsBlocksTheJobUntilThereIsANewOne(t *testing.T) {
	for _, form := range []demo.ExpiredForm{demo.ExpiredRedirect, demo.ExpiredOops} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			p := newPortal(t, demo.Options{})
			p.SetFaults(demo.Faults{ExpireAfterViews: 5, ExpiredAs: form})
			w := outage(t, p, p.cookies())
			id := w.drop(outagePOs...)
			job := w.when("the job to be blocked", id, blocked("PROFILE_ERROR"))
			if !strings.Contains(job.Blocked, "purser session put") {
				t.Errorf("the reason does not say what to do: %q", job.Blocked)
			}
			asked := len(p.requests())
			began := time.Now()
			w.wait("two more looks", func(context.Context) (bool, error) { return w.bursts(900*time.Millisecond) >= 3, nil })
			if more, most := len(p.requests())-asked, 2*4*requestsPerProbe+requestsPerProbe*probesWithin(time.Since(began)); more > most {
				t.Errorf("%d requests while blocked, want %d at most", more, most)
			}
			for _, row := range w.rows(id) {
				if row.Status == po.NotFound && row.PO != "PO16900029" || row.Status == po.Failed {
					t.Errorf("%s is %s (%s) while the session was gone", row.PO, row.Status, row.Message)
				}
			}

			p.SetFaults(demo.Faults{ExpiredAs: form})
			_, err := w.clients.Secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{
				SecretId: &w.names.SecretARN, SecretString: aws.String(string(p.cookies())),
			})
			if err != nil {
				t.Fatal(err)
			}
			w.innocent(id)
		})
	}
}
