// Package config reads Purser's settings: the environment first, then myscript_config.json (for `purser run` only), then
// defaults. A wrong value is an error that names the setting, the value and what is allowed.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Settings are a function's settings, as template.yaml and the local stack put them into its environment.
type Settings struct {
	// Where things are.
	Bucket         string `env:"BUCKET_NAME"`
	Table          string `env:"TABLE_NAME"`
	QueueURL       string `env:"QUEUE_URL"`
	DLQURL         string `env:"DEAD_LETTER_QUEUE_URL"`
	TopicARN       string `env:"TOPIC_ARN"`
	MaxReceives    int    `env:"MAX_RECEIVE_COUNT" envDefault:"5"` // the queue's maxReceiveCount: a PO's tries
	FunctionName   string `env:"AWS_LAMBDA_FUNCTION_NAME"`
	FunctionMemory int    `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"` // MB; 0 outside Lambda

	// The portal.
	PortalProfile string     `env:"PORTAL_PROFILE" envDefault:"coupa"` // a built-in profile, or a YAML file
	PortalBaseURL string     `env:"PORTAL_BASE_URL"`                   // wins over the profile's
	SessionSecret string     `env:"PORTAL_SESSION_SECRET"`             // name or ARN in Secrets Manager
	PRFallback    PRFallback `env:"PR_FALLBACK" envDefault:"missing"`
	MaxFileBytes  int64      `env:"MAX_FILE_BYTES" envDefault:"524288000"`

	// The sheet.
	POPattern      *regexp.Regexp // PO_PATTERN; nil is the built-in rule
	POColumn       string         `env:"PO_COLUMN"`
	SupplierColumn string         `env:"SUPPLIER_COLUMN"`
	DownloadLayout Layout         `env:"DOWNLOAD_LAYOUT" envDefault:"levels"`
	Location       *time.Location `env:"TZ" envDefault:"UTC"` // of LAST_PROCESSED

	// The pool.
	PersistentPool  bool          `env:"USE_PERSISTENT_POOL" envDefault:"true"`
	WorkerCount     int           `env:"WORKER_COUNT" envDefault:"4"`        // tabs, 1 to 8
	MemoryThreshold float64       `env:"MEMORY_THRESHOLD" envDefault:"0.75"` // of the function's memory, 0.5 to 0.9
	WorkerTimeout   time.Duration `env:"WORKER_TIMEOUT" envDefault:"300"`    // of one PO, in seconds
	Headless        bool          `env:"HEADLESS_MODE" envDefault:"true"`
	RetryDelay      time.Duration `env:"RETRY_DELAY" envDefault:"30"`  // before a PO's second try, in seconds; doubles with each
	CircuitWait     time.Duration `env:"CIRCUIT_WAIT" envDefault:"30"` // before a portal in trouble is tried again, in seconds; doubles up to thirty times
	ChromiumPath    string        `env:"CHROMIUM_PATH"`

	// Logs and metrics.
	LogLevel  string `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string `env:"LOG_FORMAT" envDefault:"json"` // json or text
	Service   string `env:"POWERTOOLS_SERVICE_NAME" envDefault:"purser"`
	Namespace string `env:"POWERTOOLS_METRICS_NAMESPACE" envDefault:"Purser"`
}

// PRFallback says when a PO's requisition is read too.
type PRFallback string

// When a requisition is read.
const (
	PRNone    PRFallback = "none"
	PRMissing PRFallback = "missing" // when the PO has no files, or no PDF
	PRAlways  PRFallback = "always"
)

// Layout says which folders lie between a job's folder and its POs' folders.
type Layout string

// The layouts.
const (
	LayoutLevels   Layout = "levels"   // the sheet's folder levels, else the supplier
	LayoutSupplier Layout = "supplier" // the supplier, whatever the sheet's levels say
	LayoutFlat     Layout = "flat"     // none
)

// FromEnviron reads the settings from an environment, given as os.Environ gives it. All that is wrong is said at once.
func FromEnviron(environ []string) (Settings, error) {
	variables := env.ToMap(environ)
	for name, value := range variables { // an empty variable is one that is not set
		if strings.TrimSpace(value) == "" {
			delete(variables, name)
		}
	}
	var s Settings
	err := env.ParseWithOptions(&s, env.Options{Environment: variables, FuncMap: parsers})
	if err != nil {
		return Settings{}, explain(err, variables)
	}
	if text := variables["PO_PATTERN"]; text != "" {
		if s.POPattern, err = parsePattern(text); err != nil {
			return Settings{}, fmt.Errorf("PO_PATTERN is %q; %w", text, err)
		}
	}
	if err := s.Validate(); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// Validate checks the bounds of every setting.
func (s Settings) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.WorkerCount >= 1 && s.WorkerCount <= 8, "WORKER_COUNT is %d; it must be 1 to 8 (tabs at once)", s.WorkerCount)
	check(s.MemoryThreshold >= 0.5 && s.MemoryThreshold <= 0.9,
		"MEMORY_THRESHOLD is %g; it must be 0.5 to 0.9 (a share of the function's memory)", s.MemoryThreshold)
	check(s.WorkerTimeout >= time.Second, "WORKER_TIMEOUT is %s; it must be at least 1 (seconds for one PO)", seconds(s.WorkerTimeout))
	check(s.RetryDelay >= 0, "RETRY_DELAY is %s; it must be 0 or more (seconds)", seconds(s.RetryDelay))
	check(s.CircuitWait > 0, "CIRCUIT_WAIT is %s; it must be more than 0 (seconds)", seconds(s.CircuitWait))
	check(s.MaxReceives >= 1 && s.MaxReceives <= 1000, "MAX_RECEIVE_COUNT is %d; it must be 1 to 1000", s.MaxReceives)
	check(s.MaxFileBytes > 0, "MAX_FILE_BYTES is %d; it must be more than 0 (bytes)", s.MaxFileBytes)
	check(oneOf(s.PRFallback, PRNone, PRMissing, PRAlways), "PR_FALLBACK is %q; it must be none, missing or always", s.PRFallback)
	check(oneOf(s.DownloadLayout, LayoutLevels, LayoutSupplier, LayoutFlat),
		"DOWNLOAD_LAYOUT is %q; it must be levels, supplier or flat", s.DownloadLayout)
	check(oneOf(s.LogFormat, "json", "text"), "LOG_FORMAT is %q; it must be json or text", s.LogFormat)
	if s.PortalBaseURL != "" {
		u, err := url.Parse(s.PortalBaseURL)
		check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
			"PORTAL_BASE_URL is %q; it must be an address like https://company.coupahost.com", s.PortalBaseURL)
	}
	return errors.Join(errs...)
}

// Require says which of the named settings are missing. The names are the environment's.
func (s Settings) Require(names ...string) error {
	values := map[string]string{
		"BUCKET_NAME": s.Bucket, "TABLE_NAME": s.Table, "QUEUE_URL": s.QueueURL, "DEAD_LETTER_QUEUE_URL": s.DLQURL,
		"TOPIC_ARN": s.TopicARN, "PORTAL_SESSION_SECRET": s.SessionSecret,
	}
	var missing []string
	for _, name := range names {
		if values[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s must be set in the function's environment (template.yaml does it)", strings.Join(missing, ", "))
}

// MemoryLimit is the browser's share of the function's memory in bytes; 0 outside Lambda.
func (s Settings) MemoryLimit() int64 {
	return int64(float64(s.FunctionMemory) * (1 << 20) * s.MemoryThreshold)
}

func oneOf[T comparable](v T, allowed ...T) bool {
	for _, a := range allowed {
		if v == a {
			return true
		}
	}
	return false
}

func seconds(d time.Duration) string { return fmt.Sprintf("%g", d.Seconds()) }
