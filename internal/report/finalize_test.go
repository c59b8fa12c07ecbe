package report

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

func TestAJobsResultsAreWrittenOnceAndItsEndIsToldOnce(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.advance(30 * time.Second)
	w.work(tasks[0], po.Completed, 2)
	w.work(tasks[1], po.Failed, 0)
	require.NoError(t, w.Ledger.AddPool(t.Context(), "pos", ledger.Pool{Launches: 2, Restarts: 1, Invocations: 3, POs: 2, MemoryPeak: 400 << 20, POTime: 3 * time.Second}))
	w.advance(time.Minute)
	for range 3 {
		w.finalize("pos")
	}

	job := w.state("pos")
	assert.Equal(t, ledger.Finished, job.State)
	assert.False(t, job.Reported.IsZero())
	assert.Equal(t, []string{"Purser: pos.csv is done, 1 of 3 POs"}, w.notices)
	results := w.results("pos")
	assert.Equal(t, []string{"manifest.json", "manifest.jsonl", "pos_processed.csv", "report.html", "summary.json"}, names(results))
	assert.Len(t, w.stored, 5)
	assert.Equal(t, SummaryName, w.stored[4], "who sees the summary sees all")

	assert.Equal(t, "\ufeffPO_NUMBER,STATUS,SUPPLIER,ATTACHMENTS_FOUND,ATTACHMENTS_DOWNLOADED,AttachmentName,LAST_PROCESSED,ERROR_MESSAGE,DOWNLOAD_FOLDER,COUPA_URL,Year\n"+
		"PO16900001,COMPLETED,Acme,2,2,\"invoice 1.pdf;\ninvoice 2.pdf\",2026-03-02 08:00:30,,download/pos/Acme/PO16900001_COMPLETED,https://portal.test/order_headers/16900001,2026\n"+
		"PO16900002,FAILED,Acme,0,0,,2026-03-02 08:00:30,NETWORK_ERROR: the portal did not answer,,https://portal.test/order_headers/16900002,2026\n"+
		"PO16900001,COMPLETED,Acme,2,2,\"invoice 1.pdf;\ninvoice 2.pdf\",2026-03-02 08:00:30,,download/pos/Acme/PO16900001_COMPLETED,https://portal.test/order_headers/16900001,2026\n"+
		"TBD,FAILED,,0,0,,2026-03-02 08:00:00,INPUT_INVALID: TBD is no PO number,,,2026\n", results["pos_processed.csv"])
	golden(t, "summary.json", results[SummaryName])
	golden(t, "manifest.json", results[ManifestName])
	golden(t, "manifest.jsonl", results[ManifestLinesName])
	rows, _ := rowsIn(t, results[ReportName])
	require.Len(t, rows, 4)
	assert.Equal(t, 2, rows[2].Duplicate)
	assert.True(t, rows[3].Rejected)
	assert.Contains(t, results[ReportName], "<b>1 of 3</b>")
}

func TestAJobWithOpenRowsIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.work(tasks[0], po.Completed, 1)
	w.finalize("pos")
	assert.Empty(t, w.results("pos"))
	assert.Empty(t, w.notices)
	assert.Equal(t, ledger.Running, w.state("pos").State)
	require.ErrorIs(t, w.Finalize(t.Context(), "another"), ledger.ErrNoJob)
}

func TestARedriveWritesTheResultsAnew(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.work(tasks[0], po.Completed, 1)
	w.work(tasks[1], po.Failed, 0)
	w.finalize("pos")
	before := w.results("pos")
	assert.EqualValues(t, 1, summaryIn(t, before).InDLQ)

	opened, err := w.Ledger.Reopen(t.Context(), "pos", 3)
	require.NoError(t, err)
	require.True(t, opened)
	w.finalize("pos")
	assert.Equal(t, before, w.results("pos"), "while a row is open the results stay")

	w.advance(time.Hour)
	w.work(tasks[1], po.Completed, 3)
	w.finalize("pos")
	after := w.results("pos")
	s := summaryIn(t, after)
	assert.EqualValues(t, 2, s.SuccessfulDownloads)
	assert.EqualValues(t, 4, s.Files)
	assert.Zero(t, s.InDLQ)
	assert.NotContains(t, after["pos_processed.csv"], "NETWORK_ERROR")
	assert.Equal(t, 4, strings.Count(after[ManifestLinesName], "\n"))
	assert.Contains(t, after[ReportName], "<b>2 of 3</b>")
	assert.Equal(t, []string{"Purser: pos.csv is done, 1 of 3 POs", "Purser: pos.csv is done, 2 of 3 POs"}, w.notices)
}

func TestARedriveWhileTheResultsAreWrittenIsNotOverlooked(t *testing.T) {
	for _, test := range []struct {
		name string
		end  bool // the redriven row is final again before the results are written
	}{{"its row is open still", false}, {"its row is final again", true}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			tasks := w.jobOfFour("pos")
			w.work(tasks[0], po.Completed, 1)
			w.work(tasks[1], po.Failed, 0)
			var once sync.Once
			w.onStore = func(name string) {
				if name != SummaryName { // all rows are read by now
					return
				}
				once.Do(func() {
					opened, err := w.Ledger.Reopen(t.Context(), "pos", 3)
					assert.NoError(t, err)
					assert.True(t, opened)
					if test.end {
						w.work(tasks[1], po.Completed, 1)
					}
				})
			}
			err := w.Finalize(t.Context(), "pos")
			if test.end {
				require.ErrorIs(t, err, ErrChanged)
			} else {
				require.NoError(t, err)
				w.work(tasks[1], po.Completed, 1)
			}
			assert.False(t, w.state("pos").Ended())
			assert.Empty(t, w.notices)

			w.finalize("pos")
			assert.True(t, w.state("pos").Ended())
			assert.Equal(t, []string{"Purser: pos.csv is done, 2 of 3 POs"}, w.notices)
			assert.EqualValues(t, 2, summaryIn(t, w.results("pos")).SuccessfulDownloads)
		})
	}
}

func TestASlowFinalizerLeavesNoOlderResultsOverNewerOnes(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.work(tasks[0], po.Completed, 1)
	w.work(tasks[1], po.Failed, 0)
	var begun atomic.Bool
	w.onStore = func(name string) {
		if name != SummaryName || begun.Swap(true) {
			return
		}
		opened, err := w.Ledger.Reopen(t.Context(), "pos", 3)
		assert.NoError(t, err)
		assert.True(t, opened)
		w.work(tasks[1], po.Completed, 1)
		assert.NoError(t, w.Finalize(t.Context(), "pos")) // from its beginning to its end, while the first is at its last file
	}
	require.NoError(t, w.Finalize(t.Context(), "pos"))
	assert.True(t, w.state("pos").Ended())
	assert.EqualValues(t, 2, summaryIn(t, w.results("pos")).SuccessfulDownloads)
	assert.Equal(t, []string{"Purser: pos.csv is done, 2 of 3 POs"}, w.notices)
}

func TestTheFilledInSheetsNameFitsAKey(t *testing.T) {
	assert.Equal(t, "pos_processed.csv", ResultName("pos.xlsx"))
	name := ResultName(strings.Repeat("ü", 400) + ".csv")
	assert.LessOrEqual(t, len(name), 255)
	assert.True(t, utf8.ValidString(name))
}

func TestTwoWhoFinalizeAtOnceTellOnce(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.work(tasks[0], po.Completed, 1)
	w.work(tasks[1], po.Completed, 1)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { assert.NoError(t, w.Finalize(t.Context(), "pos")) })
	}
	all.Wait()
	assert.Equal(t, []string{"Purser: pos.csv is done, 2 of 3 POs"}, w.notices)
	assert.EqualValues(t, 2, summaryIn(t, w.results("pos")).SuccessfulDownloads)
}

func TestASheetThatIsGoneCostsTheFilledInSheetOnly(t *testing.T) {
	for name, lose := range map[string]func(*world, *string) error{
		"deleted": func(w *world, key *string) error {
			_, err := w.s3.DeleteObject(w.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: key})
			return err
		},
		"replaced": func(w *world, key *string) error {
			_, err := w.s3.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("PO_NUMBER\n")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tasks := w.jobOfFour("pos")
			w.work(tasks[0], po.Completed, 1)
			w.work(tasks[1], po.NoAttachments, 0)
			require.NoError(t, lose(w, aws.String("input/pos.csv")))
			w.finalize("pos")
			results := w.results("pos")
			assert.Equal(t, []string{"manifest.json", "manifest.jsonl", "report.html", "summary.json"}, names(results))
			s := summaryIn(t, results)
			assert.EqualValues(t, 3, s.TotalPOs)
			assert.Empty(t, s.Result)
			assert.Contains(t, results[ReportName], "the sheet was deleted, replaced")
			assert.Equal(t, ledger.Finished, w.state("pos").State)
			assert.Len(t, w.notices, 1)
		})
	}
}

func TestACancelledJobKeepsWhatWasDone(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.work(tasks[0], po.Completed, 1)
	require.NoError(t, w.Ledger.CancelJob(t.Context(), "pos"))
	w.finalize("pos")
	assert.Empty(t, w.results("pos"), "somebody may still be at a row")

	settled, err := w.Ledger.Settle(t.Context(), "pos", []po.Result{{Row: 3, PO: tasks[1].PO, Status: po.Failed, Code: po.CodeCancelled, Message: "the job was cancelled"}}, false)
	require.NoError(t, err)
	require.Equal(t, 1, settled)
	w.finalize("pos")
	w.finalize("pos")
	results := w.results("pos")
	s := summaryIn(t, results)
	assert.Equal(t, "CANCELLED", s.State)
	assert.EqualValues(t, 1, s.ByErrorCode[po.CodeCancelled])
	assert.Contains(t, results["pos_processed.csv"], "CANCELLED: the job was cancelled")
	assert.Contains(t, results[ReportName], "The job was cancelled")
	assert.Equal(t, []string{"Purser: pos.csv was cancelled"}, w.notices)
	assert.Equal(t, ledger.Cancelled, w.state("pos").State)
}

func TestAJobWhoseSheetCannotBeReadSaysWhy(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.Ledger.CreateJob(t.Context(), ledger.Job{ID: "pos", Name: "pos.csv", Bucket: bucket, Key: "input/pos.csv", Created: w.now()})
	require.NoError(t, err)
	require.NoError(t, w.Ledger.FailJob(t.Context(), "pos", "pos.csv is a PDF document"))
	w.finalize("pos")
	w.finalize("pos")
	results := w.results("pos")
	assert.Equal(t, []string{"manifest.json", "manifest.jsonl", "report.html", "summary.json"}, names(results))
	s := summaryIn(t, results)
	assert.Equal(t, "FAILED", s.State)
	assert.Equal(t, "pos.csv is a PDF document", s.Error)
	assert.Contains(t, results[ReportName], "pos.csv is a PDF document")
	assert.Equal(t, "[]\n", results[ManifestName])
	var entries []Entry
	require.NoError(t, json.Unmarshal([]byte(results[ManifestName]), &entries))
	assert.Empty(t, results[ManifestLinesName])
	assert.Equal(t, []string{"Purser: pos.csv could not be read"}, w.notices)
}

func TestAJobThatWasCancelledBeforeItsSheetWasReadEnds(t *testing.T) {
	w := newWorld(t)
	key := "input/pos.csv"
	_, err := w.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader("%PDF-1.7")})
	require.NoError(t, err)
	_, _, err = w.Ledger.CreateJob(t.Context(), ledger.Job{ID: "pos", Name: "pos.csv", Bucket: bucket, Key: key, Created: w.now()})
	require.NoError(t, err)
	require.NoError(t, w.Ledger.CancelJob(t.Context(), "pos"))
	w.finalize("pos")
	results := w.results("pos")
	assert.Equal(t, []string{"manifest.json", "manifest.jsonl", "report.html", "summary.json"}, names(results))
	assert.Zero(t, summaryIn(t, results).TotalPOs)
	assert.True(t, w.state("pos").Ended())
}

func TestAResultThatCannotBeStoredLeavesTheJobOpen(t *testing.T) {
	for _, name := range []string{"pos_processed.csv", ManifestName, ManifestLinesName, ReportName, SummaryName} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tasks := w.jobOfFour("pos")
			w.work(tasks[0], po.Completed, 1)
			w.work(tasks[1], po.Completed, 1)
			w.refused = name
			require.ErrorContains(t, w.Finalize(t.Context(), "pos"), name)
			assert.False(t, w.state("pos").Ended())
			assert.Empty(t, w.notices)
			assert.NotContains(t, names(w.results("pos")), SummaryName)

			w.refused = ""
			w.finalize("pos")
			assert.Len(t, w.results("pos"), 5)
			assert.Len(t, w.notices, 1)
		})
	}
}

func TestANoticeThatCannotBeSentUndoesNothing(t *testing.T) {
	w := newWorld(t)
	tasks := w.jobOfFour("pos")
	w.work(tasks[0], po.Completed, 1)
	w.work(tasks[1], po.Completed, 1)
	w.onPublish = errors.New("the topic is gone")
	w.finalize("pos")
	job := w.state("pos")
	assert.True(t, job.Ended())
	assert.True(t, job.Reported.IsZero())
	assert.Len(t, w.notices, 1)
	assert.EqualError(t, w.NotifyBlocked(t.Context(), job), "the topic is gone")

	w.Publish = nil
	assert.NoError(t, w.NotifyBlocked(t.Context(), job))
}
