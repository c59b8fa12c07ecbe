package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// started is when the sample jobs began.
var started = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

func sampleJob(name string) ledger.Job {
	return ledger.Job{
		ID: "pos-20260302T080000Z-0a1b2c3d", Name: name, Bucket: "purser", Key: "input/" + name, State: ledger.Running, Created: started,
		Pool: ledger.Pool{Launches: 2, Restarts: 1, Invocations: 7, POs: 100, MemoryPeak: 512 << 20, POTime: 75 * time.Second},
	}
}

// sampleRows are n rows as a portal of everyday brings them: most are completed, some are not, and every kind of oddity occurs
// among the first fifty. The rows stand on the lines from 2 on.
func sampleRows(job ledger.Job, n int) []ledger.Row {
	suppliers := []string{"Acme Werkzeuge GmbH", "Nordisk Handel ApS", "Companhia Brasileira de Parafusos S.A.", "Smith & Sons", "東京部品株式会社"}
	rows := make([]ledger.Row, 0, n)
	for i := range n {
		r := po.Result{
			Job: job.ID, Row: i + 2, PO: po.Number(fmt.Sprintf("PO%08d", 16900001+i*7)), Status: po.Completed, Supplier: suppliers[i%len(suppliers)],
			ProcessedAt: started.Add(2*time.Second + time.Duration(i)*900*time.Millisecond), Attempt: 1,
		}
		r.URL = "https://demo.coupahost.com/order_headers/" + r.PO.Digits()
		files := 1 + i%3
		fail := func(status po.Status, code po.ErrorCode, message string) {
			r.Status, r.Code, r.Message, files = status, code, message, 0
		}
		switch i % 50 {
		case 3:
			r.Found, files = 3, 2
			r.Status, r.Code, r.Message = po.Partial, po.CodeFileInvalid, "scan.pdf is not what its name says: its bytes are a web page (text/html)"
		case 5, 17, 29:
			r.Status, files = po.NoAttachments, 0
		case 7, 21:
			fail(po.NotFound, po.CodeNotFound, "the page says: Oops! We couldn't find what you wanted")
		case 9:
			fail(po.Failed, po.CodeNetwork, "the portal answered 503 to https://demo.coupahost.com/order_headers/"+r.PO.Digits())
			r.Attempt, r.InDLQ, r.Found = 3, true, 2
		case 11:
			fail(po.Failed, po.CodeLayout, "the page says that there are attachments, and no rule of the profile finds them")
			r.Evidence = []string{archive.EvidenceKey(job.ID, r.PO, "page.html"), archive.EvidenceKey(job.ID, r.PO, "page.png")}
		case 13:
			fail(po.PRNotAccessible, po.CodePRNotAccessible, "the requisition 4711 cannot be opened")
		case 15:
			fail(po.Timeout, po.CodeTimeout, "the page was not ready in time")
		case 19:
			fail(po.Failed, po.CodeInput, "column A: a spreadsheet turned the number into 1.6E+07")
			r.PO, r.URL, r.Supplier, r.Attempt = "1.6E+07", "", "", 0
		case 23:
			files, r.Skipped, r.ProcessedAt, r.URL = 0, true, time.Time{}, ""
		case 31:
			files = 12
		}
		if files > 0 {
			r.Folder = archive.Folder(job.ID, []string{"2026", fmt.Sprintf("Q%d", 1+i%4)}, r.Supplier, r.PO, r.Status)
		}
		for f := range files {
			name := []string{"Invoice 2026 #%d.pdf", "100%% & more_%d.xlsx", "Lieferschein äöü %d.pdf"}[f%3]
			file := po.File{Name: fmt.Sprintf(name, f+1), Source: po.FromPO, Bytes: int64(1000 + 37_513*f), SHA256: strings.Repeat("ab", 32), ContentType: "application/pdf"}
			file.Key = r.Folder + "/" + file.Name
			if i%50 == 33 {
				file.Source, file.SourceID = po.FromRequisition, "4711"
			}
			r.Files = append(r.Files, file)
		}
		r.Found = max(r.Found, len(r.Files))
		if i%50 == 41 {
			r = rows[i-1].Result
			r.Row, r.DuplicateOf = i+2, i+1
		}
		rows = append(rows, ledger.Row{Result: r})
	}
	return rows
}

// summaryOf adds the rows up.
func summaryOf(job ledger.Job, rows []ledger.Row) Summary {
	s := newSummary(job, started.Add(3*time.Minute+2*time.Second))
	for _, r := range rows {
		s.add(r)
	}
	if job.State != ledger.FailedJob {
		s.Result = ResultName(job.Name)
	}
	return s
}

// pageOf is the rows' report.html.
func pageOf(t *testing.T, job ledger.Job, rows []ledger.Row) string {
	t.Helper()
	var out bytes.Buffer
	p, err := newPage(&out, job, time.FixedZone("CET", 3600))
	require.NoError(t, err)
	for _, r := range rows {
		require.NoError(t, p.add(r))
	}
	require.NoError(t, p.finish(summaryOf(job, rows)))
	return out.String()
}
