package report

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

func TestTheReportInABrowser(t *testing.T) {
	job := sampleJob("Open POs, März.csv")
	rows := sampleRows(job, 250)
	path := bucketWith(t, job, rows)

	t.Run("rows are shown a page at a time", func(t *testing.T) {
		r := open(t, path)
		assert.Len(t, r.lines(), 100)
		assert.Equal(t, 2, r.lines()[0])
		assert.Equal(t, "1–100 of 250 lines", r.shown())
		r.click("#next")
		r.click("#next")
		assert.Equal(t, 202, r.lines()[0])
		assert.Equal(t, "201–250 of 250 lines", r.shown())
		assert.True(t, ask[bool](r, `document.getElementById("next").disabled`))
		r.click("#previous")
		assert.Equal(t, 102, r.lines()[0])
	})

	t.Run("search finds POs, suppliers, files and reasons", func(t *testing.T) {
		r := open(t, path)
		for _, text := range []string{"po16900008", "東京", "acme", "acme po16900001", "lieferschein äöü", "Oops!", "network_error", "2026/Q3", "nothing like this", ""} {
			r.search(text)
			var want []int
			for _, row := range rows {
				if matches(row, text) {
					want = append(want, row.Row)
				}
			}
			assert.Equal(t, want[:min(len(want), 100)], append([]int(nil), r.lines()...), text)
		}
		r.search("nothing like this")
		assert.Equal(t, "No line matches.", r.shown())
	})

	t.Run("filters show what the totals count", func(t *testing.T) {
		r := open(t, path)
		s := summaryOf(job, rows)
		for filter, want := range map[string]int64{
			"status:FAILED": s.ByStatus[po.Failed], "status:PO_NOT_FOUND": s.ByStatus[po.NotFound], "code:NETWORK_ERROR": s.ByErrorCode[po.CodeNetwork],
			"is:missing": s.FailedDownloads, "is:rejected": s.Rejected, "is:duplicate": s.Duplicates, "is:skipped": s.Skipped, "is:dlq": s.InDLQ,
		} {
			require.Positive(t, want, filter)
			r.choose("filter", filter)
			assert.Len(t, r.lines(), int(want), filter)
		}
		r.choose("filter", "status:COMPLETED")
		assert.Contains(t, r.shown(), " of "+strconv.FormatInt(s.ByStatus[po.Completed], 10)+" lines, out of 250")

		r.click(`button[data-filter="status:TIMEOUT"]`)
		assert.Equal(t, slices.Repeat([]string{"TIMEOUT"}, int(s.ByStatus[po.Timeout])), r.column("status"))
		assert.Equal(t, "true", ask[string](r, `document.querySelector('button[data-filter="status:TIMEOUT"]').getAttribute("aria-pressed")`))
		assert.Equal(t, "status:TIMEOUT", ask[string](r, `document.getElementById("filter").value`))
		r.click(`button[data-filter="status:TIMEOUT"]`)
		assert.Equal(t, "1–100 of 250 lines", r.shown())
	})

	t.Run("every column sorts both ways", func(t *testing.T) {
		r := open(t, path)
		first := r.lines()
		for _, column := range []string{"po", "status", "supplier", "documents", "reason", "at", "row"} {
			r.click(`button[data-sort="` + column + `"]`)
			up := r.lines()
			r.click(`button[data-sort="` + column + `"]`)
			down := r.lines()
			assert.NotEqual(t, up, down, column)
			assert.Equal(t, "descending", ask[string](r, `document.querySelector('button[data-sort="`+column+`"]').closest("th").getAttribute("aria-sort")`))
			assert.Equal(t, 1, ask[int](r, `document.querySelectorAll("th[aria-sort]").length`))
			r.choose("sort", column) // what a phone has instead of a head
			assert.Equal(t, up, r.lines(), column)
		}
		r.choose("sort", "row descending")
		assert.Equal(t, 251, r.lines()[0])
		r.choose("sort", "documents descending")
		assert.Equal(t, []int{33, 83, 133, 183, 233}, r.lines()[:5], "the rows with twelve documents, in the sheet's order")
		r.choose("sort", "status")
		r.click("#next")
		r.click("#next")
		assert.Equal(t, "FAILED", r.column("status")[49])
		r.choose("sort", "row")
		assert.Equal(t, first, r.lines())
	})

	t.Run("every link leads to the object it names", func(t *testing.T) {
		r := open(t, path)
		var want []string
		for _, row := range rows[:100] {
			for _, f := range row.Files {
				want = append(want, f.Key)
			}
			want = append(want, row.Evidence...)
		}
		var got []string
		for _, href := range ask[[]string](r, `[...document.querySelectorAll("a.file, a.evidence")].map((a) => a.href)`) {
			got = append(got, string(readFile(t, href)))
		}
		slices.Sort(want)
		slices.Sort(got)
		assert.Equal(t, want, got)
		for _, href := range ask[[]string](r, `[...document.querySelectorAll("footer a")].map((a) => a.href)`) {
			assert.NotEmpty(t, readFile(t, href))
		}
		assert.Equal(t, rows[0].URL, ask[string](r, `document.querySelector("td.po a").href`))
		assert.Zero(t, ask[int](r, `document.querySelectorAll("a:not([rel~=noopener])[target]").length`))

		r.do(`const a = document.querySelector("a.evidence"); a.target = "_self"; a.id = "evidence"`)
		_, err := chromedp.Run(r.tab, chromedp.WaitEvent(cdp.LoadEventFired, nil, chromedp.Evaluate[chromedp.Void](`document.getElementById("evidence").click()`)))
		require.NoError(t, err)
		assert.Equal(t, rows[11].Evidence[0], ask[string](r, "document.body.textContent"))
	})

	t.Run("oddities are marked", func(t *testing.T) {
		r := open(t, path)
		for filter, want := range map[string]string{
			"is:rejected": "1.6E+07 rejected line", "is:dlq": "PO16900064 in the dead-letter queue", "is:skipped": "PO16900162 completed before",
			"is:duplicate": "PO16900281 repeats line 42",
		} {
			r.choose("filter", filter)
			assert.Equal(t, want, r.column("po")[0])
		}
		r.choose("filter", "status:PARTIAL")
		assert.Contains(t, r.column("documents")[0], "2 of 3")
		r.choose("filter", "code:LAYOUT_UNKNOWN")
		assert.Contains(t, r.column("reason")[0], "no rule of the profile finds them LAYOUT_UNKNOWN Page as it was Screenshot")
		r.choose("filter", "status:NO_ATTACHMENTS")
		assert.Equal(t, "The PO has no documents.", r.column("reason")[0])
		r.choose("filter", "")
		assert.Equal(t, "2026-03-02 09:00:02", r.column("at")[0], "in the report's time zone")
		assert.Equal(t, "12 documents", ask[string](r, `document.querySelector("summary").textContent`))
		r.click("summary")
		assert.True(t, ask[bool](r, `document.querySelector("details").open`))
	})

	t.Run("the chart of throughput counts every PO that was worked", func(t *testing.T) {
		r := open(t, path)
		worked := 0
		for _, row := range rows {
			if row.DuplicateOf == 0 && row.Code != po.CodeInput && !row.Skipped {
				worked++
			}
		}
		titles := ask[[]string](r, `[...document.querySelectorAll("#chart g title")].map((t) => t.textContent)`)
		require.NotEmpty(t, titles)
		assert.Regexp(t, `^09:0\d:\d\d: \d+ POs`, titles[0])
		sum := ask[int](r, `[...document.querySelectorAll("#chart g title")].reduce((n, t) => n + Number(t.textContent.match(/: (\d+) POs/)[1]), 0)`)
		assert.Equal(t, worked, sum)
		assert.Contains(t, ask[string](r, `document.getElementById("chart-words").textContent`), "POs in every 5 seconds, from 09:00:02 to 09:03:46: "+strconv.Itoa(worked)+" in all")
	})

	t.Run("nothing is cut off on a phone", func(t *testing.T) {
		r := open(t, path)
		r.size(390, 844)
		assert.LessOrEqual(t, ask[int](r, `document.documentElement.scrollWidth`), 390)
		r.colours("light")
		r.picture("phone.png")
		r.choose("filter", "is:missing")
		r.do(`document.getElementById("pos").scrollIntoView()`)
		assert.LessOrEqual(t, ask[int](r, `document.documentElement.scrollWidth`), 390)
		r.colours("dark")
		r.picture("phone-dark.png")
	})

	t.Run("it is readable light and dark", func(t *testing.T) {
		r := open(t, path)
		r.colours("light")
		r.picture("desktop.png")
		paper := ask[string](r, `getComputedStyle(document.body).backgroundColor`)
		r.colours("dark")
		r.picture("desktop-dark.png")
		assert.NotEqual(t, paper, ask[string](r, `getComputedStyle(document.body).backgroundColor`))
	})

	t.Run("everything that is selected is printed, and nothing that is to be clicked", func(t *testing.T) {
		r := open(t, path)
		r.do(`window.printed = null; addEventListener("beforeprint", () => { printed = [...document.querySelectorAll("#table tbody tr")].length })`)
		r.choose("filter", "is:missing")
		r.choose("filter", "")
		yes := true
		pdf, err := chromedp.Call(r.tab, cdp.PrintToPDF, cdp.PrintToPDFParams{PrintBackground: &yes, PreferCSSPageSize: &yes, PaperWidth: 8.27, PaperHeight: 11.69})
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(pdf.Data, []byte("%PDF")))
		r.keep("report.pdf", pdf.Data)
		assert.Equal(t, 250, ask[int](r, "window.printed"))
		assert.Len(t, r.lines(), 100, "afterwards it is as it was")
	})
}

func TestTenThousandPOsStayUsable(t *testing.T) {
	job := sampleJob("pos.csv")
	rows := sampleRows(job, 10_000)
	path := filepath.Join(t.TempDir(), ReportName)
	require.NoError(t, os.WriteFile(path, []byte(pageOf(t, job, rows)), 0o600))
	r := open(t, path)
	assert.Equal(t, "1–100 of 10,000 lines", r.shown())
	const elements = `document.body.querySelectorAll("*").length`
	few := ask[int](r, elements)
	assert.Less(t, few, 6000)
	r.search("acme")
	assert.Equal(t, "1–100 of 2,200 lines, out of 10,000", r.shown())
	r.search("PO16969994")
	assert.Equal(t, []int{10_001}, r.lines())
	r.search("")
	r.choose("filter", "is:missing")
	r.choose("sort", "supplier descending")
	r.choose("sort", "reason")
	r.click("#next")
	assert.Equal(t, "101–200 of 1,400 lines, out of 10,000", r.shown())
	assert.Less(t, ask[int](r, elements), 6000)
	r.picture("ten-thousand.png")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(8<<20))
}

func TestForeignTextDoesNothingInABrowser(t *testing.T) {
	job := sampleJob(hostile)
	job.State, job.Error = ledger.Cancelled, hostile
	path := filepath.Join(t.TempDir(), ReportName)
	require.NoError(t, os.WriteFile(path, []byte(pageOf(t, job, hostileRows(job))), 0o600))
	r := open(t, path)
	require.Len(t, r.lines(), 2)
	assert.Equal(t, 0, ask[int](r, "window.injected ?? 0"))
	assert.Equal(t, 0, ask[int](r, `document.querySelectorAll("img, iframe, [onerror], [src]").length`))
	assert.Equal(t, hostile, ask[string](r, `document.querySelector("td.supplier").textContent`))
	assert.Equal(t, hostile, ask[string](r, `document.querySelector("a.file").textContent`))
	assert.Equal(t, hostile, ask[string](r, `document.querySelector("h1").textContent`))
	for _, href := range ask[[]string](r, `[...document.querySelectorAll("a")].map((a) => a.href)`) {
		u, err := url.Parse(href)
		require.NoError(t, err)
		assert.Equal(t, "file", u.Scheme, href)
	}
	r.do(`for (const a of document.querySelectorAll("a.file, a.evidence")) { a.target = "_self"; a.addEventListener("click", (e) => e.preventDefault()); a.click() }`)
	assert.Equal(t, 0, ask[int](r, "window.injected ?? 0"))
	r.search("<img")
	assert.Len(t, r.lines(), 2)
}

func TestAJobWithoutRowsIsNoEmptyPage(t *testing.T) {
	job := sampleJob("pos.csv")
	job.State, job.Error = ledger.FailedJob, "pos.csv is a PDF document: save the sheet as CSV"
	r := open(t, bucketWith(t, job, nil))
	assert.Contains(t, ask[string](r, "document.body.innerText"), "save the sheet as CSV")
	assert.Zero(t, ask[int](r, `document.querySelectorAll("table, #chart svg").length`))
	r.picture("unreadable.png")
}

// readFile reads what a file: address leads to.
func readFile(t *testing.T, href string) []byte {
	t.Helper()
	u, err := url.Parse(href)
	require.NoError(t, err)
	require.Equal(t, "file", u.Scheme, href)
	data, err := os.ReadFile(u.Path)
	require.NoError(t, err)
	return data
}

// matches tells whether a row has every word of the text somewhere.
func matches(r ledger.Row, text string) bool {
	all := []string{string(r.PO), r.Supplier, string(r.Status), string(r.Code), r.Message, r.Folder}
	for _, f := range r.Files {
		all = append(all, f.Name)
	}
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		if !strings.Contains(strings.ToLower(strings.Join(all, "\n")), word) {
			return false
		}
	}
	return true
}
