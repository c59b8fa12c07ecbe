package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// reasonsShown is how many POs without their documents are listed; the report has all.
const reasonsShown = 25

// printOutcome writes the table of outcomes, the POs that have not got their documents and why, and where everything is.
func printOutcome(w io.Writer, rows *ledger.Ledger, ctx context.Context, job ledger.Job, o outcome) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nOUTCOME\tPOs")
	for _, status := range po.Statuses {
		if n := o.Counts[status]; n > 0 {
			fmt.Fprintf(t, "%s\t%d\n", status, n)
		}
	}
	fmt.Fprintf(t, "in all\t%d\n", o.Summary.TotalPOs)
	if err := t.Flush(); err != nil {
		return err
	}
	listed := 0
	t = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for row, err := range rows.Rows(ctx, job.ID) {
		if err != nil {
			return err
		}
		if row.DuplicateOf > 0 || row.Status == po.Completed || row.Status == po.NoAttachments {
			continue
		}
		if listed++; listed > reasonsShown {
			continue
		}
		if listed == 1 {
			fmt.Fprintln(t, "\nLINE\tPO\tSTATUS\tREASON")
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", row.Row, row.PO, row.Status, row.ErrorMessage())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if listed > reasonsShown {
		fmt.Fprintf(w, "… and %d more, in the report\n", listed-reasonsShown)
	}
	fmt.Fprintf(w, "\n%d files, %s, in %.0f s\n", o.Summary.Files, size(o.Summary.Bytes), o.Summary.ProcessingTime)
	fmt.Fprintf(w, "Files:  %s\n", o.DownloadDir)
	if o.ResultCSV != "" {
		fmt.Fprintf(w, "Sheet:  %s\n", o.ResultCSV)
	}
	fmt.Fprintf(w, "Report: %s\n", o.Report)
	return nil
}

// size writes bytes as people read them.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n)/unit, 0
	for value >= unit && suffix < 3 {
		value /= unit
		suffix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[suffix])
}
