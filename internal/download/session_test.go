//go:build linux

package download

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

var expiredForms = []demo.ExpiredForm{demo.ExpiredRedirect, demo.ExpiredOops}

func TestASessionThatExpiredIsRenewedByTheSignInFormWithinTheTry(t *testing.T) {
	for _, form := range expiredForms {
		t.Run(string(form), func(t *testing.T) {
			w := newWorld(t)
			w.portal.SetFaults(demo.Faults{ExpiredAs: form})
			job, tasks := w.job(bulk(5)...)
			assert.Empty(t, w.handle(w.tasks(tasks[:2]...)))
			w.portal.ExpireSessions() // between two invocations
			assert.Empty(t, w.handle(w.tasks(tasks[2:4]...)))
			w.portal.SetFaults(demo.Faults{ExpiredAs: form, ExpireAfterViews: 3}) // in the middle of one
			assert.Empty(t, w.handle(w.tasks(tasks[4])))
			w.assertCompleted(job)
			assert.EqualValues(t, 1, w.state(job).Pool.Launches)
			assert.GreaterOrEqual(t, w.portal.Stats().SignIns, int64(2))
			assert.Empty(t, w.notified)
		})
	}
}

// The page of one PO that was asked for with the old session comes when another PO has renewed it: the new one says nothing of
// the old.
func TestAPageOfAnExpiredSessionIsNoAnswerAlsoWhenTheSessionWasRenewedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.portal.SetFaults(demo.Faults{ExpiredAs: demo.ExpiredOops})
	job, tasks := w.job(bulk(3)...)
	assert.Empty(t, w.handle(w.tasks(tasks[0])))
	w.portal.ExpireSessions()

	asked, renewed := make(chan struct{}), make(chan struct{})
	views := map[string]int{}
	w.watchPages(func(rw http.ResponseWriter, r *http.Request, digits string) bool {
		w.mu.Lock()
		views[digits]++
		view := views[digits]
		w.mu.Unlock()
		switch {
		case digits == "20000001" && view == 1: // it is the one that learns of the end first, once the other was asked for
			<-asked
		case digits == "20000001" && view == 2:
			close(renewed)
		case digits == "20000002" && view == 1:
			late := httptest.NewRecorder()
			w.portal.ServeHTTP(late, r)
			close(asked)
			<-renewed
			for name, values := range late.Header() {
				rw.Header()[name] = values
			}
			rw.WriteHeader(late.Code)
			_, _ = rw.Write(late.Body.Bytes())
			return true
		}
		return false
	})
	assert.Empty(t, w.handle(w.tasks(tasks[1:]...)))
	w.assertCompleted(job)
}

func TestCookiesThatExpiredBlockTheJobUntilNewOnesComeAndNoPOPays(t *testing.T) {
	for _, form := range expiredForms {
		t.Run(string(form), func(t *testing.T) {
			w := newWorld(t, func(s *config.Settings) { s.WorkerCount = 1 })
			w.portal.SetFaults(demo.Faults{ExpiredAs: form})
			w.session = w.cookies()
			numbers := bulk(4)
			job, tasks := w.job(numbers...)
			assert.Empty(t, w.handle(w.tasks(tasks[0])))
			w.portal.ExpireSessions()
			w.portal.Reset()
			w.portal.SetFaults(demo.Faults{ExpiredAs: form})

			assert.Equal(t, numbers[1:], w.handle(w.tasks(tasks[1:]...)))
			state := w.state(job)
			assert.Contains(t, state.Blocked, "PROFILE_ERROR")
			assert.Contains(t, state.Blocked, "purser session put", "what to do")
			assert.EqualValues(t, 1, state.Counters.Done)
			assert.Zero(t, state.Counters.ByStatus[po.NotFound])
			for _, n := range numbers[1:] {
				row := w.rows(job)[n]
				assert.Equal(t, po.Pending, row.Status)
				assert.Zero(t, row.Lease.Attempt, "%s lost a try", n)
			}
			assert.LessOrEqual(t, len(w.portal.Stats().ViewsByPO), 1, "POs asked for after the trouble was known")
			assert.Equal(t, []string{job}, w.notified, "people are told once")
			gate, err := w.Ledger.Circuit(t.Context(), w.Profile.BaseURL(), "another")
			require.NoError(t, err)
			assert.True(t, gate.Open)
			require.NoError(t, w.Ledger.Reset(t.Context(), w.Profile.BaseURL())) // "another" does not probe after all
			_, err = w.Ledger.Trip(t.Context(), w.Profile.BaseURL(), gate.Reason, 0)
			require.NoError(t, err)

			w.session = w.cookies()
			for deadline := time.Now().Add(patience); w.state(job).Blocked != "" && time.Now().Before(deadline); {
				w.handle(w.tasks(tasks[1:]...)) // handed back as long as the circuit's wait, a millisecond, is not over
			}
			w.assertCompleted(job)
			assert.Equal(t, []string{job}, w.notified)
		})
	}
}

func TestEveryJobThatWaitsForThePortalSaysSo(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job(bulk(2)...)
	_, err := w.Ledger.Trip(t.Context(), w.Profile.BaseURL(), "NETWORK_ERROR: the portal answered 503", time.Hour)
	require.NoError(t, err)
	for range 2 {
		assert.Len(t, w.handle(w.tasks(tasks...)), 2)
	}
	w.assertUntouched(job)
	assert.Equal(t, "NETWORK_ERROR: the portal answered 503", w.state(job).Blocked)
	assert.Equal(t, []string{job}, w.notified, "people are told once")

	require.NoError(t, w.Ledger.Reset(t.Context(), w.Profile.BaseURL()))
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	assert.Empty(t, w.state(job).Blocked)
	w.assertCompleted(job)
}

// cookies are a new session of the portal.
func (w *world) cookies() *portal.Session {
	c := w.portal.NewSession()
	base, err := url.Parse(w.Profile.BaseURL())
	require.NoError(w.t, err)
	c.Domain = base.Hostname()
	return &portal.Session{Cookies: []*http.Cookie{c}}
}
