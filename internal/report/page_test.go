package report

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// hostile is what a supplier, a file's name or an error text may be.
const hostile = "</script><script>window.injected=1</script><!--<script>\u2028\u2029<img src=x onerror=window.injected=2>\"'`${window.injected=3}&lt;"

// hostileRows have foreign text wherever there can be any.
func hostileRows(job ledger.Job) []ledger.Row {
	r := po.Result{
		Job: job.ID, Row: 2, PO: hostile, Status: po.Failed, Supplier: hostile, Code: po.CodeFileInvalid, Message: hostile, InDLQ: true,
		Folder: "download/" + hostile, URL: "javascript:window.injected=4//" + hostile, ProcessedAt: started, Found: 2,
		Files:    []po.File{{Name: hostile, Key: "javascript:window.injected=5//" + hostile, Source: po.FromRequisition, SourceID: hostile, Note: hostile}},
		Evidence: []string{"javascript:window.injected=6//" + hostile},
	}
	later := r
	later.Row, later.ProcessedAt = 3, started.Add(time.Minute)
	return []ledger.Row{{Result: r}, {Result: later}}
}

var block = regexp.MustCompile(`(?s)<script type="application/json" class="rows">(.*?)</script>`)

// rowsIn reads the page's data as a browser does: a block ends at the first "</script".
func rowsIn(t *testing.T, html string) (rows []pageRow, blocks int) {
	t.Helper()
	for _, m := range block.FindAllStringSubmatch(html, -1) {
		var some []pageRow
		require.NoError(t, json.Unmarshal([]byte(m[1]), &some))
		rows = append(rows, some...)
		blocks++
	}
	return rows, blocks
}

func TestForeignTextIsDataAndNeverMarkup(t *testing.T) {
	job := sampleJob(hostile)
	job.State, job.Error = ledger.FailedJob, hostile
	html := pageOf(t, job, hostileRows(job))

	assert.NotContains(t, html, "<script>window.injected")
	assert.NotContains(t, html, "<img")
	assert.NotRegexp(t, "[\u2028\u2029<>&]", block.FindStringSubmatch(html)[1])
	assert.NotContains(t, html, "<!--")
	rows, _ := rowsIn(t, html)
	require.Len(t, rows, 2)
	assert.Equal(t, hostile, rows[0].Supplier, "the text itself is not changed")
	assert.Equal(t, hostile, rows[0].Files[0].Name)
	assert.Equal(t, 3, strings.Count(html, "<script"), "the words, one block of rows, and the page's script")
}

func TestEveryRowIsInTheReportOnceInBlocksThatABrowserCanParse(t *testing.T) {
	for _, n := range []int{0, 1, rowsPerBlock - 1, rowsPerBlock, rowsPerBlock + 1, 2*rowsPerBlock + 500} {
		job := sampleJob("pos.csv")
		rows, blocks := rowsIn(t, pageOf(t, job, sampleRows(job, n)))
		require.Len(t, rows, n)
		assert.Equal(t, (n+rowsPerBlock-1)/rowsPerBlock, blocks)
		for i, r := range rows {
			require.Equal(t, i+2, r.Row)
		}
	}
}

// counter counts what is written.
type counter struct{ bytes int }

func (c *counter) Write(p []byte) (int, error) { c.bytes += len(p); return len(p), nil }

func TestRowsAreWrittenAsTheyComeAndNotKept(t *testing.T) {
	var out counter
	job := sampleJob("pos.csv")
	p, err := newPage(&out, job, time.UTC)
	require.NoError(t, err)
	row := sampleRows(job, 1)[0]
	data, err := json.Marshal(row)
	require.NoError(t, err)
	for n := range 20_000 {
		require.NoError(t, p.add(row))
		if n%1000 == 999 {
			assert.Greater(t, out.bytes, n*len(data)/4, "after %d rows", n)
		}
	}
	allocated := testing.AllocsPerRun(100, func() { _ = p.add(row) })
	assert.Less(t, allocated, 20.0)
}

func TestAFullDiskIsAnErrorAndNoPanic(t *testing.T) {
	read, write := io.Pipe()
	require.NoError(t, read.CloseWithError(io.ErrShortWrite))
	job := sampleJob("pos.csv")
	p, err := newPage(write, job, time.UTC)
	require.NoError(t, err)
	rows := sampleRows(job, 50)
	for range 20 {
		for _, r := range rows {
			if err = p.add(r); err != nil {
				require.ErrorIs(t, err, io.ErrShortWrite)
				return
			}
		}
	}
	require.ErrorIs(t, p.finish(summaryOf(job, rows)), io.ErrShortWrite)
}

func TestTheReportLoadsNothingFromAnywhere(t *testing.T) {
	job := sampleJob("pos.csv")
	html := pageOf(t, job, nil)
	html = strings.ReplaceAll(html, "http://www.w3.org/2000/svg", "") // a name, not an address
	assert.NotRegexp(t, `(?i)(src|@import|url\()\s*[=("']`, html)
	assert.NotContains(t, html, "://")
	assert.Contains(t, html, "default-src &#39;none&#39;")
}

func TestTotalsStandInThePageItself(t *testing.T) {
	job := sampleJob("März & Co.csv")
	html := pageOf(t, job, sampleRows(job, 10_000))
	for _, want := range []string{
		"<h1>März &amp; Co.csv</h1>", "Dropped 2026-03-02 09:00:00", "(CET)", "<b>8,400 of 9,800</b>", "<b>1,400</b>", "3 min 2 s",
		`<title>COMPLETED: 7,600</title>`, `data-filter="status:PO_NOT_FOUND"`, "purser redrive " + job.ID,
		"200 lines were rejected", "200 lines repeat", "200 lines were COMPLETED before", "200 POs lie in the dead-letter queue",
		"800 POs can be tried again", "200 POs are here in part",
		`href="M%C3%A4rz%20&amp;%20Co_processed.csv"`,
	} {
		assert.True(t, strings.Contains(html, want), want)
	}
}

func TestAJobThatHasNotFinishedSaysSo(t *testing.T) {
	failed := sampleJob("pos.csv")
	failed.State, failed.Error = ledger.FailedJob, "pos.csv is a PDF document"
	html := pageOf(t, failed, nil)
	for _, want := range []string{"The sheet could not be read", "pos.csv is a PDF document", "No PO was worked", "There is no filled-in sheet"} {
		assert.Contains(t, html, want)
	}
	assert.NotContains(t, html, "_processed.csv")

	cancelled := sampleJob("pos.csv")
	cancelled.State = ledger.Cancelled
	html = pageOf(t, cancelled, sampleRows(cancelled, 10))
	assert.Contains(t, html, "The job was cancelled")
	assert.Contains(t, html, "purser redrive "+cancelled.ID)

	gone := sampleJob("pos.csv")
	s := summaryOf(gone, nil)
	s.Result = ""
	var out strings.Builder
	p, err := newPage(&out, gone, time.UTC)
	require.NoError(t, err)
	require.NoError(t, p.finish(s))
	assert.Contains(t, out.String(), "the sheet was deleted, replaced")
}

func TestEveryStatusAndErrorCodeHasWords(t *testing.T) {
	for _, status := range append([]po.Status{po.Pending}, po.Statuses...) {
		assert.NotEmpty(t, statusWords[status], status)
		assert.Contains(t, pageStyle, ".s-"+string(status)+" ")
	}
	for _, code := range []po.ErrorCode{
		po.CodeProfile, po.CodeResource, po.CodeNotFound, po.CodeNetwork, po.CodeTimeout, po.CodeLayout, po.CodeFileInvalid,
		po.CodeFileTooLarge, po.CodeInput, po.CodePRNotAccessible, po.CodeCancelled,
	} {
		assert.NotEmpty(t, reasons[code].What, code)
		assert.NotEmpty(t, reasons[code].Do, code)
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_499: "999 kB", 999_500: "1.0 MB", 1_234_567_890: "1.2 GB", 52_000_000: "52 MB"} {
		assert.Equal(t, want, size(n))
	}
	for seconds, want := range map[float64]string{0: "0 s", 0.2: "less than 1 s", 59.4: "59 s", 60: "1 min", 61: "1 min 1 s", 3600: "1 h", 3661: "1 h 1 min", 90_000: "25 h"} {
		assert.Equal(t, want, took(seconds))
	}
	assert.Equal(t, "1,234,567", count(1_234_567))
}
