package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	s, err := FromEnviron(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.WorkerCount != 4 || s.MemoryThreshold != 0.75 || s.WorkerTimeout != 300*time.Second || !s.Headless || !s.PersistentPool ||
		s.PRFallback != PRMissing || s.Location.String() != "UTC" || s.POPattern != nil {
		t.Errorf("defaults: %+v", s)
	}
}

func TestEnvironmentIsReadAsPeopleWriteIt(t *testing.T) {
	s, err := FromEnviron([]string{
		"USE_PERSISTENT_POOL=False", "WORKER_COUNT=8", "WORKER_TIMEOUT=2.5", "RETRY_DELAY=1m", "HEADLESS_MODE=0", "PO_PATTERN=[A-Z]{2}-\\d+",
		"TZ=:America/Sao_Paulo", "PR_FALLBACK=Always", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=2048", "MEMORY_THRESHOLD=0.5", "LOG_LEVEL=",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.PersistentPool || s.Headless || s.WorkerCount != 8 || s.WorkerTimeout != 2500*time.Millisecond || s.RetryDelay != time.Minute {
		t.Errorf("settings: %+v", s)
	}
	if !s.POPattern.MatchString("AB-12") || s.POPattern.MatchString("xAB-12") {
		t.Error("the pattern must match the whole number")
	}
	if s.Location.String() != "America/Sao_Paulo" || s.PRFallback != PRAlways || s.LogLevel != "info" {
		t.Errorf("settings: %+v", s)
	}
	if s.MemoryLimit() != 1<<30 {
		t.Errorf("memory limit %d", s.MemoryLimit())
	}
}

func TestAWrongValueNamesSettingValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"WORKER_COUNT=9", "WORKER_COUNT is 9; it must be 1 to 8"},
		{"WORKER_COUNT=many", `WORKER_COUNT is "many"; it must be a number`},
		{"MEMORY_THRESHOLD=75", "MEMORY_THRESHOLD is 75; it must be 0.5 to 0.9"},
		{"WORKER_TIMEOUT=soon", `WORKER_TIMEOUT is "soon"; it must be a number of seconds`},
		{"HEADLESS_MODE=maybe", `HEADLESS_MODE is "maybe"; it must be true or false`},
		{"PO_PATTERN=[", `PO_PATTERN is "["; it must be a regular expression`},
		{"TZ=Mars/Olympus", `TZ is "Mars/Olympus"; it must be a time zone's name`},
		{"PR_FALLBACK=sometimes", `PR_FALLBACK is "sometimes"; it must be none, missing or always`},
		{"DOWNLOAD_LAYOUT=tree", `DOWNLOAD_LAYOUT is "tree"; it must be levels`},
		{"PORTAL_BASE_URL=company", `PORTAL_BASE_URL is "company"; it must be an address`},
	} {
		_, err := FromEnviron([]string{c.variable})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.variable, err, c.want)
		}
	}
}

func TestMissingSettingsAreAllNamedAtOnce(t *testing.T) {
	err := Settings{Bucket: "b"}.Require("BUCKET_NAME", "TABLE_NAME", "QUEUE_URL")
	if err == nil || !strings.Contains(err.Error(), "TABLE_NAME, QUEUE_URL must be set") {
		t.Errorf("got %v", err)
	}
}

func TestTheOlderToolsFileIsUnderstood(t *testing.T) {
	f, warnings, err := ParseFile([]byte("\ufeff" + `{"csv_path":"pos.csv","num_windows":2,"max_tabs_per_window":12,"headless":false,
		"worker_timeout":60,"memory_threshold":0.8,"use_persistent_pool":true,"colour":"red"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"HEADLESS_MODE": "false", "WORKER_COUNT": "8", "WORKER_TIMEOUT": "60", "MEMORY_THRESHOLD": "0.8", "USE_PERSISTENT_POOL": "true",
	}
	if diff := cmp.Diff(want, f.Environ()); diff != "" {
		t.Error(diff)
	}
	if f.Sheet() != "pos.csv" || f.Environments() != 2 {
		t.Errorf("sheet %q, environments %d", f.Sheet(), f.Environments())
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `"colour"`) {
		t.Errorf("warnings %q", warnings)
	}
}

func TestAWrongFileSaysWhereItIsWrong(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"{\n\"headless\": \"yes\"\n}", `line 2: "headless" is a string; it must be a true or false`},
		{"{\n\"headless\": true,\n}", "line 3: not valid JSON"},
		{`{"num_windows": 0}`, `"num_windows" is 0; it must be 1 or more`},
		{`{"batch_size": 11}`, `"batch_size" is 11; it must be 1 to 10`},
		{`[]`, "JSON object"},
	} {
		_, _, err := ParseFile([]byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.file, err, c.want)
		}
	}
}
