package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/po"
)

func TestALineHasTheFieldsThatLogsInsightsIsAskedFor(t *testing.T) {
	var out bytes.Buffer
	log, _ := NewLogger(LogOptions{Out: &out, Level: "info", Service: "purser"})
	log.WithFields(logrus.Fields{FieldJob: "pos-1", FieldPO: "PO1", FieldDuration: 12}).Info("PO done")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"level", "message", "timestamp", "service", "job", "po", "duration_ms"} {
		if line[key] == nil {
			t.Errorf("no %s in %s", key, out.String())
		}
	}
}

func TestNoLineShowsASecret(t *testing.T) {
	var out bytes.Buffer
	log, redactor := NewLogger(LogOptions{Out: &out, Level: "debug"})
	redactor.Secret("hunter2-secret")
	log.WithError(errors.New("GET https://u:pass@portal.example/a?X-Amz-Signature=abcdef123: refused")).
		WithField("header", "Cookie: _coupa_session=deadbeef; x=y").
		WithField("list", []string{"password=opensesame"}).
		Info("signing in with hunter2-secret at https://portal.example/sso?token=qwerty")
	for _, secret := range []string{"hunter2", "pass@", "abcdef123", "deadbeef", "opensesame", "qwerty"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q stands in %s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "https://portal.example/a") {
		t.Errorf("the address itself should stay: %s", out.String())
	}
}

func TestAnUnknownLevelIsInfoAndIsSaid(t *testing.T) {
	var out bytes.Buffer
	log, _ := NewLogger(LogOptions{Out: &out, Level: "loud"})
	log.Debug("hidden")
	if !strings.Contains(out.String(), `LOG_LEVEL is \"loud\"`) || strings.Contains(out.String(), "hidden") {
		t.Error(out.String())
	}
}

func TestMetricsAreOneBlobABatch(t *testing.T) {
	var out bytes.Buffer
	m := NewMetrics(&out, "Purser", "purser")
	m.Add(ForStatus(po.Completed), 1)
	m.Add(ForStatus(po.Completed), 1)
	for i := range 150 {
		m.Observe(POSeconds, float64(i))
	}
	if err := m.Flush(time.UnixMilli(1000), map[string]any{FieldRequestID: "r"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(time.UnixMilli(2000), nil); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("want one line: %s", out.String())
	}
	var blob struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
		POsCompleted float64
		POSeconds    []float64
		Service      string `json:"service"`
	}
	if err := json.Unmarshal(out.Bytes(), &blob); err != nil {
		t.Fatal(err)
	}
	d := blob.AWS.CloudWatchMetrics[0]
	if blob.POsCompleted != 2 || len(blob.POSeconds) != maxValues || blob.Service != "purser" || blob.AWS.Timestamp != 1000 ||
		d.Namespace != "Purser" || len(d.Metrics) != 2 || d.Dimensions[0][0] != "service" {
		t.Errorf("%s", out.String())
	}
}
