//go:build linux

package download

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

// deadLetters are the reasons in the dead-letter queue by the messages' bodies.
func (w *world) deadLetters() map[string]string {
	w.t.Helper()
	reasons := map[string]string{}
	for _, m := range w.receive(w.Settings.DLQURL) {
		reasons[*m.Body] = aws.ToString(m.MessageAttributes[ReasonAttribute].StringValue)
	}
	return reasons
}

func TestAMessageOfAFinalRowIsAcknowledgedAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job("PO20000000", "PO16900022") // the second does not exist
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	rows, counters := w.rows(job), w.state(job).Counters
	files := w.files(job)
	require.Len(t, files, 2)
	views := w.portal.Stats().PageViews

	e := w.tasks(tasks...)
	assert.Empty(t, w.handle(e))
	for i := range e.Records {
		e.Records[i].Attributes["ApproximateReceiveCount"] = "2"
	}
	assert.Empty(t, w.handle(e))
	assert.Equal(t, rows, w.rows(job))
	assert.Equal(t, counters, w.state(job).Counters)
	assert.Equal(t, files, w.files(job))
	assert.Equal(t, views, w.portal.Stats().PageViews, "the portal was asked again")
	assert.Empty(t, w.deadLetters())
}

// files are the job's documents by their keys.
func (w *world) files(job string) map[string]archive.Object {
	w.t.Helper()
	files := map[string]archive.Object{}
	for o, err := range w.Archive.List(w.t.Context(), "download/"+job+"/") {
		require.NoError(w.t, err)
		files[o.Key] = o
	}
	return files
}

func TestMessagesThatNobodyCanWorkGoToTheDeadLettersWithAReason(t *testing.T) {
	w := newWorld(t)
	stranger := po.Task{Kind: po.KindPO, Job: "no-such-job", Row: 2, PO: "PO20000000"}.Encode()
	want := map[string]string{
		"{":                              "unreadable message: message is not JSON",
		`{"v":99,"kind":"po","job":"a"}`: "unreadable message: message has version 99",
		`{"v":1,"kind":"tea","job":"a"}`: `unreadable message: message has the unknown kind "tea"`,
		stranger:                         "the ledger knows no job no-such-job",
	}
	var bodies []string
	for body := range want {
		bodies = append(bodies, body)
	}
	assert.Empty(t, w.handle(w.event(bodies...)))
	got := w.deadLetters()
	for body, reason := range want {
		assert.Contains(t, got[body], reason)
	}
	assert.Len(t, got, len(want))
	assert.Nil(t, w.warm.Load(), "no browser is started for them")
}

func TestAMessageThatTheQueueWouldGiveUpIsReplacedWhenItIsHandedBack(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job(bulk(2)...)
	e := w.tasks(tasks...)
	for i := range e.Records {
		e.Records[i].Attributes["ApproximateReceiveCount"] = "5"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // too short for a PO
	defer cancel()
	assert.Empty(t, w.handleWithin(ctx, e), "the old copies are acknowledged")
	w.assertUntouched(job)
	bodies := map[string]string{}
	for _, m := range w.receive(w.Settings.QueueURL) {
		bodies[*m.Body] = m.Attributes["ApproximateReceiveCount"]
	}
	assert.Equal(t, map[string]string{tasks[0].Encode(): "1", tasks[1].Encode(): "1"}, bodies)
	assert.Empty(t, w.deadLetters())
}

func TestWhatATryThatWasGivenBackLeftInTheBucketIsCleared(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job(bulk(1)...)
	claim, err := w.Ledger.Claim(t.Context(), tasks[0], "another", time.Now().Add(patience), true)
	require.NoError(t, err)
	truth, ok := w.portal.Find(tasks[0].PO)
	require.True(t, ok)
	key := archive.Folder(job, nil, truth.Supplier, tasks[0].PO, po.Partial) + "/left.pdf"
	require.NoError(t, w.Archive.Put(t.Context(), key, "application/pdf", []byte("%PDF-")))
	require.NoError(t, w.Ledger.Release(t.Context(), claim.Lease, true))

	assert.Empty(t, w.handle(w.tasks(tasks...))) // a message that was never received before, and the first attempt that counts
	w.assertCompleted(job)
}

func TestAPOThatFailsInItsLastTryLiesInTheDeadLettersAndComesBackByARedrive(t *testing.T) {
	w := newWorld(t, func(s *config.Settings) { s.MaxReceives = 2 })
	job, tasks := w.job("PO16900009") // its comments never load
	assert.Equal(t, []po.Number{"PO16900009"}, w.handle(w.tasks(tasks...)))
	assert.Equal(t, po.Pending, w.rows(job)["PO16900009"].Status)
	assert.Empty(t, w.finalized)

	e := w.tasks(tasks...)
	e.Records[0].Attributes["ApproximateReceiveCount"] = "2"
	assert.Empty(t, w.handle(e))
	row := w.rows(job)["PO16900009"]
	assert.Equal(t, po.Failed, row.Status)
	assert.Equal(t, po.CodeNetwork, row.Code)
	assert.True(t, row.InDLQ)
	assert.Equal(t, 2, row.Attempt)
	letters := w.deadLetters()
	assert.Equal(t, map[string]string{tasks[0].Encode(): row.ErrorMessage()}, letters)

	e.Records[0].Attributes["ApproximateReceiveCount"] = "1" // as after a redrive
	assert.Equal(t, []po.Number{"PO16900009"}, w.handle(e))
	row = w.rows(job)["PO16900009"]
	assert.Equal(t, po.Pending, row.Status)
	assert.Equal(t, 1, row.Lease.Attempt, "tries are counted anew")
	assert.Zero(t, w.state(job).Counters.Done)
}

func TestWhoCommitsTheLastRowAsksForTheResultsAndFinalizeWritesThem(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job("PO20000000")
	assert.Empty(t, w.handle(w.tasks(tasks...)))
	body := po.Task{Kind: po.KindFinalize, Job: job}.Encode()
	messages := w.receive(w.Settings.QueueURL)
	require.Len(t, messages, 1)
	assert.Equal(t, body, *messages[0].Body)
	assert.Empty(t, w.finalized)

	assert.Empty(t, w.handle(w.event(body)))
	assert.Equal(t, []string{job}, w.finalized)

	w.onFinal = errors.New("the bucket is away")
	assert.Len(t, w.handle(w.event(body)), 1, "it is tried again")
	w.onFinal = ledger.ErrNoJob
	assert.Empty(t, w.handle(w.event(body)))
	assert.Equal(t, map[string]string{body: "the ledger knows no job " + job}, w.deadLetters())
}

func TestTheAnswerOfAGoodBatchIsAnEmptyListNotNull(t *testing.T) {
	w := newWorld(t)
	answer, err := w.Handle(t.Context(), events.SQSEvent{})
	require.NoError(t, err)
	assert.NotNil(t, answer.BatchItemFailures)
	assert.Empty(t, answer.BatchItemFailures)
}

func TestTwoMessagesOfOneRowInABatchAreOnePO(t *testing.T) {
	w := newWorld(t)
	job, tasks := w.job("PO20000000")
	e := w.tasks(tasks[0], tasks[0])
	w.handle(e) // the second is held until the first is done, and comes again
	w.assertCompleted(job)
	assert.Equal(t, map[string]int64{"20000000": 1}, maps.Clone(w.portal.Stats().ViewsByPO))
}
