package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/purserhq/purser/internal/po"
)

// Metric is one CloudWatch metric that the functions emit. Its only dimension is "service": a dimension for a job or a PO
// would cost money and serve no chart.
type Metric struct {
	Name string
	Unit string // CloudWatch's word
	Doc  string
}

// The metrics. template.yaml's dashboard and alarms name them; a test holds both lists together.
var (
	Completed       = Metric{"POsCompleted", "Count", "POs with all their documents"}
	Partial         = Metric{"POsPartial", "Count", "POs with some of their documents"}
	NoAttachments   = Metric{"POsNoAttachments", "Count", "POs that have no documents"}
	NotFound        = Metric{"POsNotFound", "Count", "POs that the portal does not know or show"}
	PRNotAccessible = Metric{"POsPRNotAccessible", "Count", "POs whose requisition cannot be opened"}
	TimedOut        = Metric{"POsTimedOut", "Count", "POs that took longer than WORKER_TIMEOUT, after their last try"}
	Failed          = Metric{"POsFailed", "Count", "POs that failed for good"}
	POSeconds       = Metric{"POSeconds", "Seconds", "time from a PO's claim to its outcome"}
	Files           = Metric{"Files", "Count", "files stored"}
	Bytes           = Metric{"Bytes", "Bytes", "bytes stored"}
	POsReturned     = Metric{"POsReturned", "Count", "messages handed back to the queue: for another try, for lack of time, or for portal-wide trouble"}
	ColdStarts      = Metric{"ColdStarts", "Count", "new execution environments"}
	BrowserStarts   = Metric{"BrowserStarts", "Count", "starts of Chromium"}
	BrowserRestarts = Metric{"BrowserRestarts", "Count", "starts of Chromium that replaced a dead, wedged or grown one"}
	MemoryPeak      = Metric{"MemoryPeak", "Bytes", "the most memory that Chromium's processes held in the batch"}
	SessionRefused  = Metric{"SessionRefused", "Count", "times that the portal refused the session"}
	PortalBlocked   = Metric{"PortalBlocked", "Count", "batches stopped by portal-wide trouble"}
	RowsAccepted    = Metric{"RowsAccepted", "Count", "rows of sheets that became messages"}
	RowsRejected    = Metric{"RowsRejected", "Count", "rows of sheets that hold no usable PO number"}
	JobsStarted     = Metric{"JobsStarted", "Count", "sheets taken up"}
	JobsFinished    = Metric{"JobsFinished", "Count", "jobs whose results are written"}
	JobsFailed      = Metric{"JobsFailed", "Count", "sheets that could not be read"}
	RowsSwept       = Metric{"RowsSwept", "Count", "rows whose message was gone, settled by the sweeper"}
)

// All lists every metric.
var All = []Metric{
	Completed, Partial, NoAttachments, NotFound, PRNotAccessible, TimedOut, Failed, POSeconds, Files, Bytes, POsReturned, ColdStarts,
	BrowserStarts, BrowserRestarts, MemoryPeak, SessionRefused, PortalBlocked, RowsAccepted, RowsRejected, JobsStarted, JobsFinished,
	JobsFailed, RowsSwept,
}

// ForStatus is the metric that counts POs of a final status.
func ForStatus(s po.Status) Metric {
	switch s {
	case po.Completed:
		return Completed
	case po.Partial:
		return Partial
	case po.NoAttachments:
		return NoAttachments
	case po.NotFound:
		return NotFound
	case po.PRNotAccessible:
		return PRNotAccessible
	case po.Timeout:
		return TimedOut
	}
	return Failed
}

// Metrics collects the values of one invocation and writes them as one blob in the embedded metric format
// (AWS's "CloudWatch embedded metric format specification"). Safe for concurrent use.
type Metrics struct {
	out       io.Writer
	namespace string
	service   string

	mu     sync.Mutex
	values map[Metric][]float64
}

// maxValues is the format's limit of values in one metric of one blob.
const maxValues = 100

// NewMetrics makes a collector. Out is the function's standard output.
func NewMetrics(out io.Writer, namespace, service string) *Metrics {
	return &Metrics{out: out, namespace: namespace, service: service, values: map[Metric][]float64{}}
}

// Add adds n to a count, or to a sum of bytes.
func (m *Metrics) Add(metric Metric, n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.values[metric]) == 0 {
		m.values[metric] = []float64{0}
	}
	m.values[metric][0] += n
}

// Observe records one value of a distribution, such as a PO's seconds.
func (m *Metrics) Observe(metric Metric, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[metric] = append(m.values[metric], v)
}

// Flush writes what was collected as one line, and starts anew. Without values it writes nothing. Properties are searchable in
// Logs Insights but are no dimensions.
func (m *Metrics) Flush(now time.Time, properties map[string]any) error {
	m.mu.Lock()
	values := m.values
	m.values = map[Metric][]float64{}
	m.mu.Unlock()
	if len(values) == 0 {
		return nil
	}
	type definition struct {
		Name string `json:"Name"`
		Unit string `json:"Unit"`
	}
	type directive struct {
		Namespace  string       `json:"Namespace"`
		Dimensions [][]string   `json:"Dimensions"`
		Metrics    []definition `json:"Metrics"`
	}
	blob := map[string]any{}
	for key, value := range properties {
		blob[key] = value
	}
	blob[FieldService] = m.service
	d := directive{Namespace: m.namespace, Dimensions: [][]string{{FieldService}}}
	for _, metric := range All {
		v := values[metric]
		if len(v) == 0 {
			continue
		}
		d.Metrics = append(d.Metrics, definition{metric.Name, metric.Unit})
		if len(v) == 1 {
			blob[metric.Name] = v[0]
		} else {
			blob[metric.Name] = v[:min(len(v), maxValues)]
		}
	}
	blob["_aws"] = map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": []directive{d}}
	line, err := json.Marshal(blob)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if _, err := m.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
