package demo

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAnExpiredSessionShowsTheFormThatWasAskedFor(t *testing.T) {
	v := signedIn(t, Options{})
	for _, c := range []struct {
		faults Faults
		status int
		path   string
		text   string
	}{
		{Faults{}, 200, "/sessions/new", "user[login]"},
		{Faults{ExpiredAs: ExpiredRedirect}, 200, "/sessions/new", "user[login]"},
		{Faults{ExpiredAs: ExpiredOops}, 404, "/order_headers/16900001", "Oops!"},
		{Faults{ExpiredAs: ExpiredOops, ExpiredStatus: 200}, 200, "/order_headers/16900001", "Oops!"},
	} {
		v.portal.SetFaults(c.faults)
		v.portal.ExpireSessions()
		status, body, at := v.get("/order_headers/16900001")
		if status != c.status || at.Path != c.path || !strings.Contains(body, c.text) {
			t.Errorf("%+v: status %d at %s", c.faults, status, at)
		}
		if _, _, at := v.get("/"); at.Path != "/sessions/new" {
			t.Errorf("%+v: the landing page, which must exist, led to %s", c.faults, at)
		}
	}
}

func TestASessionEndsAfterSoManyViews(t *testing.T) {
	v := signedIn(t, Options{})
	v.portal.SetFaults(Faults{ExpireAfterViews: 2})
	for range 2 { // every session has its own two
		for view := range 3 {
			_, _, at := v.get("/order_headers/16900001")
			if expired := at.Path == "/sessions/new"; expired != (view == 2) {
				t.Errorf("view %d led to %s", view+1, at)
			}
		}
		v.signIn(DefaultLogin, DefaultPassword)
	}
	v.portal.SetFaults(Faults{RefuseSignIn: true})
	if _, body, _ := v.signIn(DefaultLogin, DefaultPassword); !strings.Contains(body, "Invalid login") {
		t.Error("the sign-in was not refused")
	}
}

func TestAStatusIsAnsweredSoManyTimes(t *testing.T) {
	v := signedIn(t, Options{})
	v.portal.SetFaults(Faults{Status: 429, RetryAfterSeconds: 7, Requests: 2, Path: "/order_headers"})
	var got []int
	for range 3 {
		answer, err := v.http.Get(v.base + "/order_headers/16900001")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		got = append(got, answer.StatusCode)
		if want := map[int]string{429: "7", 200: ""}[answer.StatusCode]; answer.Header.Get("Retry-After") != want {
			t.Errorf("status %d came with Retry-After %q", answer.StatusCode, answer.Header.Get("Retry-After"))
		}
		if status, _, _ := v.get("/"); status != http.StatusOK {
			t.Errorf("another path got status %d", status)
		}
	}
	if got[0] != 429 || got[1] != 429 || got[2] != 200 {
		t.Errorf("statuses %v", got)
	}
	if n := v.portal.Stats().Faulty; n != 2 {
		t.Errorf("%d faulty answers were counted", n)
	}
}

func TestAnOutageLastsUntilItIsCleared(t *testing.T) {
	v := signedIn(t, Options{})
	v.portal.SetFaults(Faults{Status: 503})
	for range 5 {
		if status, _, _ := v.get("/order_headers/16900001"); status != 503 {
			t.Errorf("status %d in the outage", status)
		}
	}
	v.portal.SetFaults(Faults{})
	if status, _, _ := v.get("/order_headers/16900001"); status != 200 {
		t.Errorf("status %d after it", status)
	}
}

func TestHangingRequestsGoOnWhenTheFaultIsCleared(t *testing.T) {
	v := signedIn(t, Options{})
	v.portal.SetFaults(Faults{Hang: true})
	status := make(chan int, 1)
	go func() {
		answer, err := v.http.Get(v.base + "/order_headers/16900001")
		if err != nil {
			status <- 0
			return
		}
		answer.Body.Close()
		status <- answer.StatusCode
	}()
	deadline := time.After(30 * time.Second)
	for v.portal.Stats().Faulty == 0 { // the request has arrived and hangs
		select {
		case s := <-status:
			t.Fatalf("it did not hang: status %d", s)
		case <-deadline:
			t.Fatal("the request did not arrive")
		case <-time.After(time.Millisecond):
		}
	}
	v.portal.SetFaults(Faults{})
	if got := <-status; got != 200 {
		t.Errorf("status %d", got)
	}
}

func TestASlowPortalAnswersLaterButWell(t *testing.T) {
	v := signedIn(t, Options{})
	v.portal.SetFaults(Faults{SlowMillis: 30})
	began := time.Now()
	if status, _, _ := v.get("/order_headers/16900001"); status != 200 || time.Since(began) < 30*time.Millisecond {
		t.Errorf("status %d after %s", status, time.Since(began))
	}
}

func TestAConnectionIsReset(t *testing.T) {
	v := signedIn(t, Options{})
	v.portal.SetFaults(Faults{Reset: true})
	answer, err := v.http.Post(v.base+"/tickets/1", "", nil) // a POST: the client does not try it again by itself
	if err == nil {
		answer.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
}

func TestFaultsAreSetAndShownOverHTTP(t *testing.T) {
	v := signedIn(t, Options{})
	post := func(body string) int {
		answer, err := v.http.Post(v.base+"/_faults", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if status := post(`{"status": 503, "expire_sessions": true, "expired_as": "oops"}`); status != 200 {
		t.Fatalf("status %d", status)
	}
	if _, body, _ := v.get("/_faults"); !strings.Contains(body, `"status": 503`) || !strings.Contains(body, `"expired_as": "oops"`) {
		t.Errorf("GET shows %s", body)
	}
	if status, _, _ := v.get("/order_headers/16900001"); status != 503 {
		t.Errorf("status %d", status)
	}
	if status := post(`{"reset_counters": true}`); status != 200 {
		t.Fatalf("status %d", status)
	}
	if status, _, at := v.get("/order_headers/16900001"); status != 200 || at.Path != "/sessions/new" {
		t.Errorf("the sessions did not end: status %d at %s", status, at)
	}
	if status := post(`{"statsu": 503}`); status != 400 {
		t.Errorf("a misspelt fault got status %d", status)
	}
	if _, body, _ := v.get("/_stats"); !strings.Contains(body, `"faulty": 0`) {
		t.Errorf("counters were not reset: %s", body)
	}
	if _, body, _ := v.get("/_truth"); !strings.Contains(body, `"PO16900001"`) {
		t.Error("the truth does not list the POs")
	}
	if _, body, _ := v.get("/_truth?po=PO16900002&po=PO1&po=PO16900001"); strings.Count(body, `"number"`) != 2 {
		t.Errorf("of two POs that exist and one that does not, the truth is %s", body)
	}
}

func TestCountersTellWhichPOWasAskedFor(t *testing.T) {
	v := signedIn(t, Options{})
	v.get("/order_headers/16900001")
	v.get("/order_headers/16900001")
	v.get("/attachment/attachment_file/type/16900001001/x.pdf")
	v.get("/requisition_headers/7700023")
	got := v.portal.Stats()
	if got.PageViews != 3 || got.ViewsByPO["16900001"] != 2 || got.FileRequests != 1 || got.FilesByPO["16900001"] != 1 {
		t.Errorf("%+v", got)
	}
}
