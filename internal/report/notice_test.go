package report

import (
	"strings"
	"testing"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

func TestNoticesSayWhatPeopleNeed(t *testing.T) {
	job := sampleJob("pos.csv")
	rows := sampleRows(job, 1000)
	failed, cancelled := job, job
	failed.State, failed.Error = ledger.FailedJob, "pos.csv is a PDF document: save the sheet as CSV"
	cancelled.State = ledger.Cancelled
	blocked := job
	blocked.Blocked, blocked.Total, blocked.TotalKnown = "the portal refused the session", 1000, true
	blocked.Counters = po.Counters{Done: 120}
	reading := blocked
	reading.TotalKnown = false

	var all strings.Builder
	write := func(title, subject, text string) {
		all.WriteString("=== " + title + "\nSubject: " + subject + "\n\n" + text + "\n")
	}
	tell := func(title string, job ledger.Job, rows []ledger.Row) {
		subject, text := Finished(job, summaryOf(job, rows))
		write(title, subject, text)
	}
	tell("finished", job, rows)
	tell("finished without a failure", job, rows[:3])
	tell("unreadable", failed, nil)
	tell("cancelled", cancelled, rows[:12])
	subject, text := Blocked(blocked)
	write("blocked", subject, text)
	subject, text = Blocked(reading)
	write("blocked while the sheet is read", subject, text)
	golden(t, "notices.golden", all.String())
}
