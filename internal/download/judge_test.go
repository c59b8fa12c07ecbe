package download

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/purserhq/purser/internal/fetch"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

func files(n int) []stored {
	list := make([]stored, n)
	for i := range list {
		list[i] = stored{File: fetch.File{Name: "a.pdf"}, source: po.FromPO}
	}
	return list
}

func TestAFinalTryIsJudgedByWhatIsHereAndWhatIsNot(t *testing.T) {
	tooLarge := &po.Error{Code: po.CodeFileTooLarge, Text: "big.zip has more than 500 MB"}
	broken := &po.Error{Code: po.CodeFileInvalid, Text: "invoice.pdf is HTML", Retry: true}
	for _, c := range []struct {
		name    string
		harvest harvest
		status  po.Status
		message string // ERROR_MESSAGE
	}{
		{"all files are here", harvest{found: 2, files: files(2)}, po.Completed, ""},
		{"the page has none", harvest{}, po.NoAttachments, ""},
		{"one of two could not be had", harvest{found: 2, files: files(1), missed: []error{broken}}, po.Partial, "FILE_INVALID: invoice.pdf is HTML"},
		{"none of those found could be had", harvest{found: 1, missed: []error{tooLarge}}, po.Failed, "FILE_TOO_LARGE: big.zip has more than 500 MB"},
		{
			"the list may be incomplete",
			harvest{found: 1, files: files(1), page: portal.Page{Incomplete: "comments did not load"}},
			po.Partial, "NETWORK_ERROR: comments did not load",
		},
		{
			"the portal does not know it",
			harvest{notFound: true, page: portal.Page{Reason: "Oops"}},
			po.NotFound, "PO_NOT_FOUND: Oops",
		},
		{
			"no files, and the requisition is closed",
			harvest{prError: errors.New("requisition 7 cannot be opened")},
			po.PRNotAccessible, "PR_NOT_ACCESSIBLE: requisition 7 cannot be opened",
		},
		{
			"a closed requisition costs no PO file",
			harvest{found: 1, files: files(1), prError: errors.New("requisition 7 cannot be opened")},
			po.Partial, "PR_NOT_ACCESSIBLE: requisition 7 cannot be opened",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r po.Result
			c.harvest.judge(&r)
			if r.Status != c.status || r.ErrorMessage() != c.message {
				t.Errorf("got %s %q, want %s %q", r.Status, r.ErrorMessage(), c.status, c.message)
			}
		})
	}
}

func TestAnotherTryIsMadeOnlyWhenItMayBringMore(t *testing.T) {
	passing := &po.Error{Code: po.CodeNetwork, Text: "cut off", Retry: true}
	forever := &po.Error{Code: po.CodeFileTooLarge, Text: "too large"}
	for _, c := range []struct {
		name    string
		harvest harvest
		left    bool
		again   bool
	}{
		{"all is here", harvest{found: 1, files: files(1)}, true, false},
		{"a file was cut off", harvest{found: 1, missed: []error{passing}}, true, true},
		{"one of two files was cut off in the last try", harvest{found: 2, files: files(1), missed: []error{passing}}, false, false},
		{"the only file was cut off in the last try", harvest{found: 1, missed: []error{passing}}, false, true},
		{"a file is too large, and stays so", harvest{found: 1, missed: []error{forever}}, true, false},
		{"comments did not load", harvest{page: portal.Page{Incomplete: "comments did not load"}}, true, true},
		{"comments did not load in the last try, and nothing is here", harvest{page: portal.Page{Incomplete: "comments did not load"}}, false, true},
		{"comments did not load in the last try", harvest{files: files(1), page: portal.Page{Incomplete: "comments did not load"}}, false, false},
		{"the portal does not know it", harvest{notFound: true}, true, false},
		{"what no rule can read, and nothing else, never ends well", harvest{page: portal.Page{Unreadable: "3 attachments"}}, false, true},
		{"what no rule can read, beside files, in the last try", harvest{files: files(1), page: portal.Page{Unreadable: "3 attachments"}}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.harvest.worthAnother(c.left); (err != nil) != c.again {
				t.Errorf("got %v, want another try: %v", err, c.again)
			}
		})
	}
}

func TestTheReserveLeavesRoomInShortAndLongInvocations(t *testing.T) {
	for total, want := range map[time.Duration]time.Duration{
		time.Second:      500 * time.Millisecond,
		30 * time.Second: 3 * time.Second,
		15 * time.Minute: 30 * time.Second,
	} {
		if got := reserve(total); got != want {
			t.Errorf("reserve(%s) = %s, want %s", total, got, want)
		}
	}
}

func TestAReasonIsCutOnARuneBoundary(t *testing.T) {
	if got := cut("prüfung", 3); got != "pr" {
		t.Errorf("got %q", got)
	}
}

func TestAReasonHoldsOnlyCharactersThatSQSTakes(t *testing.T) {
	assert.Equal(t, "bell and\ttab", sendable("be\x07ll\uFFFF an\uFFFEd\ttab"))
}

func TestTheBackOffDoublesUpToSQSsLongestDelay(t *testing.T) {
	b := &batch{d: &Downloader{}}
	b.d.Settings.RetryDelay = 30 * time.Second
	for tries, want := range map[int]time.Duration{
		0: 30 * time.Second, 1: time.Minute, 4: 8 * time.Minute, 5: 15 * time.Minute, 99: 15 * time.Minute,
	} {
		assert.Equal(t, want, b.backOff(tries), tries)
	}
}

func TestAPOThatHangsFromAnInvocationsStartToItsEndTimesOutByItself(t *testing.T) {
	began := time.Now()
	b := &batch{d: &Downloader{}, began: began, deadline: began.Add(50 * time.Second)}
	b.d.Settings.WorkerTimeout = 300 * time.Second
	assert.Equal(t, 300*time.Second, b.longest(ledger.Lease{Claims: 3, Attempt: 1}), "the machine may have been slow")
	again := ledger.Lease{Claims: 4, Attempt: 1}
	assert.Equal(t, 45*time.Second, b.longest(again))
	b.d.Settings.WorkerTimeout = 10 * time.Second
	assert.Equal(t, 10*time.Second, b.longest(again))
}

func TestTheSessionsTroubleIsNoPOs(t *testing.T) {
	timeout := fmt.Errorf("opening the page: %w", context.DeadlineExceeded)
	crash := po.Errorf(po.CodeResource, "the page's process crashed")
	layout := po.Errorf(po.CodeLayout, "the page is none that the profile knows")

	assert.True(t, po.PortalWide(blameless(t.Context(), timeout)))
	assert.True(t, po.AsError(blameless(t.Context(), crash)).Ours)
	assert.Equal(t, error(layout), blameless(t.Context(), layout))
	assert.NoError(t, blameless(t.Context(), nil))

	over, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, po.PortalWide(blameless(over, timeout)), "the PO's own time was up")
}
