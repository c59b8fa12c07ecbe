// Package telemetry is how the functions speak: logrus lines, JSON in Lambda and text on a terminal, with secrets taken out,
// and metrics in CloudWatch's embedded metric format, one blob a batch.
package telemetry

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"
)

// The fields of log lines, beside level, message and timestamp.
const (
	FieldService   = "service"
	FieldColdStart = "cold_start"
	FieldRequestID = "function_request_id"
	FieldJob       = "job"
	FieldPO        = "po"
	FieldAttempt   = "attempt"
	FieldDuration  = "duration_ms"
	FieldErrorCode = "error_code"
)

// LogOptions say how to log.
type LogOptions struct {
	Out     io.Writer
	Level   string // logrus's words: debug, info, warning, error
	Format  string // "text" for people, else JSON
	Service string
}

// NewLogger makes a logger whose lines carry no secret: see Redactor. An unknown level is info, and is said.
func NewLogger(o LogOptions) (*logrus.Logger, *Redactor) {
	log := logrus.New()
	log.SetOutput(o.Out)
	level, err := logrus.ParseLevel(o.Level)
	if err != nil {
		level = logrus.InfoLevel
	}
	log.SetLevel(level)
	if o.Format == "text" {
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.TimeOnly})
	} else {
		log.SetFormatter(&logrus.JSONFormatter{
			TimestampFormat: time.RFC3339Nano,
			FieldMap: logrus.FieldMap{
				logrus.FieldKeyTime: "timestamp", logrus.FieldKeyMsg: "message", logrus.FieldKeyLevel: "level",
			},
		})
	}
	redactor := &Redactor{}
	if o.Service != "" && o.Format != "text" {
		log.AddHook(serviceHook(o.Service))
	}
	log.AddHook(redactor)
	if err != nil {
		log.Warnf("LOG_LEVEL is %q, which is no level (debug, info, warning, error); info it is", o.Level)
	}
	return log, redactor
}

// serviceHook puts the service's name on every line.
type serviceHook string

func (serviceHook) Levels() []logrus.Level { return logrus.AllLevels }

func (s serviceHook) Fire(e *logrus.Entry) error {
	e.Data[FieldService] = string(s)
	return nil
}
