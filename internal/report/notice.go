package report

import (
	"fmt"
	"strings"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// worstReasons is how many reasons a notice names.
const worstReasons = 5

// Finished is what people are told of a job that has ended: totals, the worst reasons, where to look.
func Finished(job ledger.Job, s Summary) (subject, text string) {
	var b strings.Builder
	switch job.State {
	case ledger.FailedJob:
		subject = fmt.Sprintf("Purser: %s could not be read", job.Name)
		fmt.Fprintf(&b, "The sheet could not be read: %s\nCorrect it and drop it again.\n", job.Error)
	case ledger.Cancelled:
		subject = fmt.Sprintf("Purser: %s was cancelled", job.Name)
		fmt.Fprintf(&b, "The job of %s was cancelled. What was done until then is kept.\n", job.Name)
	default:
		subject = fmt.Sprintf("Purser: %s is done, %d of %d POs", job.Name, s.SuccessfulDownloads, s.TotalPOs)
		fmt.Fprintf(&b, "%d of the %d POs of %s succeeded; %d did not.\n", s.SuccessfulDownloads, s.TotalPOs, job.Name, s.FailedDownloads)
	}
	if s.TotalPOs > 0 {
		b.WriteString("\n")
	}
	for _, status := range po.Statuses {
		if n := s.ByStatus[status]; n > 0 {
			fmt.Fprintf(&b, "%8d  %s\n", n, status)
		}
	}
	if codes := byFrequency(s.ByErrorCode); len(codes) > 0 {
		b.WriteString("\nWhy, the most frequent first:\n")
		for _, code := range codes[:min(worstReasons, len(codes))] {
			fmt.Fprintf(&b, "%8d  %s: %s\n", s.ByErrorCode[code], code, reasons[code].What)
		}
	}
	if n := s.redrivable(); n > 0 && job.State != ledger.FailedJob {
		fmt.Fprintf(&b, "\nTo try again what can be tried again (%d): purser redrive %s\n", n, job.ID)
	}
	b.WriteString("\n")
	if s.Files > 0 {
		fmt.Fprintf(&b, "Files: %d, %s, under download/%s/ in the bucket %s\n", s.Files, size(s.Bytes), job.ID, job.Bucket)
	}
	fmt.Fprintf(&b, "Report: %s in the bucket %s\n", archive.ResultKey(job.ID, ReportName), job.Bucket)
	return subject, b.String()
}

// Blocked is what people are told when the portal gives nothing.
func Blocked(job ledger.Job) (subject, text string) {
	subject = fmt.Sprintf("Purser: %s is blocked", job.Name)
	text = fmt.Sprintf("The job %s waits, and no PO loses a try by it.\n\nWhy: %s\n\n%d of %s POs are done. It goes on by itself when the portal answers again; a "+
		"session that the portal refuses must be renewed: purser session put FILE\n", job.ID, job.Blocked, job.Counters.Done, totalOf(job))
	return subject, text
}

func totalOf(job ledger.Job) string {
	if !job.TotalKnown {
		return "its"
	}
	return fmt.Sprintf("%d", job.Total)
}
