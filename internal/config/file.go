package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// File is myscript_config.json, the older tool's configuration. Every key is optional; nil means that it is not there.
type File struct {
	CSVPath           *string  `json:"csv_path"`
	ExcelPath         *string  `json:"excel_path"`
	DownloadDir       *string  `json:"download_dir"`
	NumWindows        *int     `json:"num_windows"`         // browser windows: environments now
	MaxTabsPerWindow  *int     `json:"max_tabs_per_window"` // tabs of one window: WORKER_COUNT now
	MaxWorkers        *int     `json:"max_workers"`         // windows, in the older tool's other mode
	Headless          *bool    `json:"headless"`            // HEADLESS_MODE
	ProfileMode       *string  `json:"profile_mode"`        // understood; sessions have taken its place
	BatchSize         *int     `json:"batch_size"`          // POs of one message batch, 1 to 10
	UsePersistentPool *bool    `json:"use_persistent_pool"` // USE_PERSISTENT_POOL
	WorkerCount       *int     `json:"worker_count"`        // WORKER_COUNT
	MemoryThreshold   *float64 `json:"memory_threshold"`    // MEMORY_THRESHOLD
	WorkerTimeout     *float64 `json:"worker_timeout"`      // WORKER_TIMEOUT, in seconds
}

// ReadFile reads a configuration file. The warnings name keys that mean nothing here.
func ReadFile(path string) (f File, warnings []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return File{}, nil, fmt.Errorf("configuration: %w", err)
	}
	f, warnings, err = ParseFile(data)
	if err != nil {
		return File{}, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return f, warnings, nil
}

// ParseFile reads a configuration's bytes.
func ParseFile(data []byte) (f File, warnings []string, err error) {
	data = []byte(strings.TrimPrefix(string(data), "\ufeff"))
	if err := json.Unmarshal(data, &f); err != nil {
		return File{}, nil, describeJSON(data, err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return File{}, nil, describeJSON(data, err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(fileKeys, key) {
			warnings = append(warnings, fmt.Sprintf("%q is not a setting that Purser knows; it is ignored", key))
		}
	}
	if f.ProfileMode != nil {
		warnings = append(warnings, `"profile_mode" has no effect any more: sessions are given with --session, or by signing in`)
	}
	return f, warnings, f.validate()
}

var fileKeys = []string{
	"csv_path", "excel_path", "download_dir", "num_windows", "max_tabs_per_window", "max_workers", "headless", "profile_mode",
	"batch_size", "use_persistent_pool", "worker_count", "memory_threshold", "worker_timeout",
}

func (f File) validate() error {
	var errs []error
	atLeastOne := func(key string, v *int) {
		if v != nil && *v < 1 {
			errs = append(errs, fmt.Errorf("%q is %d; it must be 1 or more", key, *v))
		}
	}
	atLeastOne("num_windows", f.NumWindows)
	atLeastOne("max_tabs_per_window", f.MaxTabsPerWindow)
	atLeastOne("max_workers", f.MaxWorkers)
	if f.BatchSize != nil && (*f.BatchSize < 1 || *f.BatchSize > 10) {
		errs = append(errs, fmt.Errorf(`"batch_size" is %d; it must be 1 to 10`, *f.BatchSize))
	}
	return errors.Join(errs...)
}

// Environ gives the file's settings as environment variables, for what the environment itself leaves open.
func (f File) Environ() map[string]string {
	vars := map[string]string{}
	if f.Headless != nil {
		vars["HEADLESS_MODE"] = strconv.FormatBool(*f.Headless)
	}
	if f.UsePersistentPool != nil {
		vars["USE_PERSISTENT_POOL"] = strconv.FormatBool(*f.UsePersistentPool)
	}
	switch {
	case f.WorkerCount != nil:
		vars["WORKER_COUNT"] = strconv.Itoa(*f.WorkerCount)
	case f.MaxTabsPerWindow != nil: // the older tool took any number
		vars["WORKER_COUNT"] = strconv.Itoa(min(*f.MaxTabsPerWindow, 8))
	}
	if f.MemoryThreshold != nil {
		vars["MEMORY_THRESHOLD"] = strconv.FormatFloat(*f.MemoryThreshold, 'g', -1, 64)
	}
	if f.WorkerTimeout != nil {
		vars["WORKER_TIMEOUT"] = strconv.FormatFloat(*f.WorkerTimeout, 'g', -1, 64)
	}
	return vars
}

// Sheet is the sheet that the file names: csv_path, else excel_path, else "".
func (f File) Sheet() string {
	switch {
	case f.CSVPath != nil && *f.CSVPath != "":
		return *f.CSVPath
	case f.ExcelPath != nil:
		return *f.ExcelPath
	}
	return ""
}

// Environments is the number of browsers: num_windows, else max_workers, else 0.
func (f File) Environments() int {
	switch {
	case f.NumWindows != nil:
		return *f.NumWindows
	case f.MaxWorkers != nil:
		return *f.MaxWorkers
	}
	return 0
}

// describeJSON says where in the file the trouble is.
func describeJSON(data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + strings.Count(string(data[:min(int(syntax.Offset), len(data))]), "\n")
		return fmt.Errorf("line %d: not valid JSON: %w", line, err)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		line := 1 + strings.Count(string(data[:min(int(wrong.Offset), len(data))]), "\n")
		return fmt.Errorf("line %d: %q is a %s; it must be a %s", line, wrong.Field, wrong.Value, kindName(wrong.Type.Kind().String()))
	}
	return err
}

// kindName is a Go kind in a JSON writer's words.
func kindName(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int":
		return "whole number"
	case "float64":
		return "number"
	case "struct":
		return "JSON object"
	}
	return kind
}
