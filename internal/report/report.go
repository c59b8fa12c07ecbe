// Package report writes what people read when a job has ended: the sheet with its result columns filled in, summary.json, the
// manifest of every file, and report.html, all under results/<job>/; and the words that SNS carries. One pass over the
// ledger's rows feeds them all, so that memory does not grow with the job.
package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/sheet"
)

// The results' names, beside the sheet's.
const (
	SummaryName       = "summary.json"
	ManifestName      = "manifest.json"
	ManifestLinesName = "manifest.jsonl"
	ReportName        = "report.html"
)

// Publish tells people something: to an SNS topic, say.
type Publish func(ctx context.Context, subject, text string) error

// Finalizer ends jobs.
type Finalizer struct {
	Ledger   *ledger.Ledger
	Archive  *archive.Archive
	Sheet    sheet.Options
	Location *time.Location // of LAST_PROCESSED; nil is UTC
	Publish  Publish        // nil tells nobody
	Log      logrus.FieldLogger
	Now      func() time.Time // nil is time.Now
}

// ErrChanged happens when rows were redriven, and became final again, while their job's results were written: these would tell
// what was. Finalize is to be called again.
var ErrChanged = errors.New("the job's rows changed meanwhile")

// maxWrites is how often one call writes the results of a job that others end meanwhile.
const maxWrites = 3

// Finalize writes the results of a job whose rows are all final, ends it, and tells people, once. A job that has ended already,
// or whose rows are not all final (a redrive opened some again, or its last rows are still worked), is left alone: its end asks
// again.
func (f *Finalizer) Finalize(ctx context.Context, id string) error {
	job, err := f.Ledger.Job(ctx, id)
	if err != nil {
		return err
	}
	if job.Ended() || !job.Complete() {
		return nil
	}
	var summary Summary
	for writes := 1; ; writes++ {
		if summary, err = f.write(ctx, job); err != nil {
			return fmt.Errorf("writing the results of %s: %w", id, err)
		}
		now, err := f.Ledger.Job(ctx, id)
		switch {
		case err != nil:
			return err
		case !now.Complete():
			return nil
		}
		if summary.addsUpTo(now.Counters) {
			break
		}
		if !now.Ended() || writes == maxWrites {
			return fmt.Errorf("writing the results of %s: %w", id, ErrChanged)
		}
		job = now // somebody else wrote what is true now, and ended the job; these older results may lie over those
	}
	first, err := f.Ledger.Finish(ctx, id)
	if err != nil || !first {
		return err
	}
	if f.Publish == nil {
		return nil
	}
	subject, text := Finished(job, summary)
	if err := f.Publish(ctx, subject, text); err != nil { // the results are written: telling is not worth doing all again
		f.Log.WithError(err).Warn("telling people that the job is finished failed")
		return nil
	}
	return f.Ledger.MarkReported(ctx, id)
}

// NotifyBlocked tells people that the portal gives nothing, and why.
func (f *Finalizer) NotifyBlocked(ctx context.Context, job ledger.Job) error {
	if f.Publish == nil {
		return nil
	}
	subject, text := Blocked(job)
	return f.Publish(ctx, subject, text)
}

// maxStem is how much of the sheet's name the filled-in one's keeps, in bytes: S3 allows 1,024 for a key, file systems 255 for a
// name.
const maxStem = 200

// ResultName is the name of the filled-in sheet.
func ResultName(sheetName string) string {
	stem := strings.TrimSuffix(sheetName, path.Ext(sheetName))
	if len(stem) > maxStem {
		stem = strings.ToValidUTF8(stem[:maxStem], "")
	}
	return stem + "_processed.csv"
}

// write writes everything under results/<job>/. summary.json is the last: who sees it sees all.
func (f *Finalizer) write(ctx context.Context, job ledger.Job) (Summary, error) {
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	location := f.Location
	if location == nil {
		location = time.UTC
	}
	summary := newSummary(job, now())

	manifest, err := f.newManifest(ctx, job.ID)
	if err != nil {
		return summary, err
	}
	page, err := f.Archive.Writer(ctx, archive.ResultKey(job.ID, ReportName), "text/html; charset=utf-8")
	if err != nil {
		return summary, errors.Join(err, manifest.abort(err))
	}
	html, err := newPage(page, job, location)
	abort := func(err error) (Summary, error) {
		return summary, errors.Join(err, manifest.abort(err), page.CloseWithError(err))
	}
	if err != nil {
		return abort(err)
	}
	rows := &results{rows: f.Ledger.Rows(ctx, job.ID), each: func(r ledger.Row) error {
		summary.add(r)
		return errors.Join(manifest.add(r), html.add(r))
	}}
	defer rows.close()
	if summary.Result, err = f.writeSheet(ctx, job, rows, location); err != nil {
		return abort(err)
	}
	if err := rows.drain(); err != nil {
		return abort(err)
	}
	if err := html.finish(summary); err != nil {
		return abort(err)
	}
	if err := errors.Join(manifest.close(), page.Close()); err != nil {
		return summary, err
	}
	return summary, f.Archive.Put(ctx, archive.ResultKey(job.ID, SummaryName), "application/json", summary.encode())
}

// writeSheet writes the filled-in sheet, and returns its name. There is none when the sheet is gone or cannot be read.
func (f *Finalizer) writeSheet(ctx context.Context, job ledger.Job, rows *results, location *time.Location) (string, error) {
	if job.State == ledger.FailedJob {
		return "", nil
	}
	input, _, err := f.Archive.Open(ctx, job.Key, job.VersionID, job.ETag)
	if errors.Is(err, archive.ErrGone) {
		f.Log.WithField("job", job.ID).Warn("the sheet was deleted or replaced meanwhile; there is no filled-in one")
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer input.Close()
	name := ResultName(job.Name)
	out, err := f.Archive.Writer(ctx, archive.ResultKey(job.ID, name), "text/csv; charset=utf-8")
	if err != nil {
		return "", err
	}
	err = sheet.WriteResult(out, input, job.Name, f.Sheet, rows, location)
	var unreadable *sheet.Unreadable
	switch {
	case errors.As(err, &unreadable): // the job was cancelled before anybody had read the sheet
		f.Log.WithField("job", job.ID).WithError(err).Warn("the sheet cannot be read; there is no filled-in one")
		return "", out.CloseWithError(err)
	case err != nil:
		return "", errors.Join(err, out.CloseWithError(err))
	}
	return name, out.Close()
}

// results gives the ledger's rows to the sheet's writer, and shows each to the other writers as it passes.
type results struct {
	rows iter.Seq2[ledger.Row, error]
	each func(ledger.Row) error

	next func() (ledger.Row, error, bool)
	stop func()
}

// Next is the next row's result, io.EOF after the last.
func (r *results) Next() (po.Result, error) {
	if r.next == nil {
		r.next, r.stop = iter.Pull2(r.rows)
	}
	row, err, ok := r.next()
	switch {
	case !ok:
		return po.Result{}, io.EOF
	case err != nil:
		return po.Result{}, err
	}
	return row.Result, r.each(row)
}

// drain shows the rest: a sheet that ends early does not end the job.
func (r *results) drain() error {
	for {
		if _, err := r.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (r *results) close() {
	if r.stop != nil {
		r.stop()
	}
}
