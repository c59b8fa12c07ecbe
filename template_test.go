// Package purser_test holds the template to the code: what one names, the other must know.
package purser_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/telemetry"
)

type object = map[string]any

func template(t *testing.T) (text string, root object) {
	t.Helper()
	data, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	return string(data), root
}

// at walks down a path of keys.
func at(t *testing.T, node any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		next, ok := node.(object)[key]
		if !ok {
			t.Fatalf("template.yaml has no %s", strings.Join(keys, "."))
		}
		node = next
	}
	return node
}

func functions(t *testing.T, root object) map[string]object {
	t.Helper()
	found := map[string]object{}
	for name, r := range at(t, root, "Resources").(object) {
		if at(t, r, "Type") == "AWS::Serverless::Function" {
			found[name] = at(t, r, "Properties").(object)
		}
	}
	if len(found) != 2 {
		t.Fatalf("functions: %v", slices.Collect(maps.Keys(found)))
	}
	return found
}

func TestTheDashboardAndAlarmsNameExactlyTheMetricsThatAreEmitted(t *testing.T) {
	text, _ := template(t)
	named := map[string]bool{}
	for _, pattern := range []string{
		`\["Purser", "(\w+)", "service", "\$\{AWS::StackName\}"`,
		`Namespace: Purser\n\s+MetricName: (\w+)\n\s+Dimensions: \[\{Name: service, Value: !Ref "AWS::StackName"\}\]`,
		`Namespace: Purser, MetricName: (\w+), Dimensions: \[\{Name: service, Value: !Ref "AWS::StackName"\}\]`,
	} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			named[m[1]] = true
		}
	}
	emitted := map[string]bool{}
	for _, m := range telemetry.All {
		emitted[m.Name] = true
	}
	if diff := cmp.Diff(emitted, named); diff != "" {
		t.Errorf("emitted (-) and named in template.yaml (+) differ:\n%s", diff)
	}
	if strings.Count(text, "Purser\", \"")+strings.Count(text, "Namespace: Purser") <= len(telemetry.All) {
		t.Error("the patterns of this test miss the template's way of writing metrics")
	}
	if !strings.Contains(text, "POWERTOOLS_METRICS_NAMESPACE: Purser\n") || !strings.Contains(text, "POWERTOOLS_SERVICE_NAME: !Ref AWS::StackName\n") {
		t.Error("the functions' namespace and service are not those of the dashboard")
	}
}

func TestThePoliciesHaveNoWildcard(t *testing.T) {
	_, root := template(t)
	folder := regexp.MustCompile(`^arn:\$\{AWS::Partition\}:s3:::\$\{AWS::StackName\}-[^/]+/(input|profiles|download|results)/\*$`)
	list := func(v any) []any {
		if l, ok := v.([]any); ok {
			return l
		}
		return []any{v}
	}
	for name, f := range functions(t, root) {
		statements := 0
		for _, policy := range at(t, f, "Policies").([]any) {
			for _, s := range at(t, policy, "Statement").([]any) {
				statements++
				for _, action := range list(at(t, s, "Action")) {
					if strings.Contains(action.(string), "*") {
						t.Errorf("%s: action %s", name, action)
					}
				}
				for _, resource := range list(at(t, s, "Resource")) {
					if r, ok := resource.(string); ok && strings.Contains(r, "*") && !folder.MatchString(r) {
						t.Errorf("%s: resource %s", name, r)
					}
				}
			}
		}
		if statements < 3 {
			t.Errorf("%s: %d statements", name, statements)
		}
	}
}

func TestTheFunctionsLearnThatASheetIsGone(t *testing.T) {
	_, root := template(t)
	for name, f := range functions(t, root) {
		told := false
		for _, s := range at(t, f, "Policies").([]any)[0].(object)["Statement"].([]any) {
			if at(t, s, "Action") != "s3:ListBucket" {
				continue
			}
			// A read has no prefix: under any other condition S3 answers 403 where it should be 404.
			prefixes := at(t, s, "Condition", "StringLikeIfExists", "s3:prefix")
			told = strings.Contains(fmt.Sprint(prefixes), "input/*")
		}
		if !told {
			t.Errorf("%s is told that a sheet is forbidden when it is gone, and tries for ever", name)
		}
	}
}

func TestEverySettingOfTheTemplateIsOneThatTheCodeReads(t *testing.T) {
	_, root := template(t)
	known := map[string]bool{"PO_PATTERN": true}
	for field := range reflect.TypeFor[config.Settings]().Fields() {
		known[field.Tag.Get("env")] = true
	}
	given := map[string]bool{}
	collect := func(v any) {
		for name := range v.(object) {
			given[name] = true
			if !known[name] {
				t.Errorf("template.yaml sets %s, which nothing reads", name)
			}
		}
	}
	collect(at(t, root, "Globals", "Function", "Environment", "Variables"))
	collect(at(t, functions(t, root)["DownloaderFunction"], "Environment", "Variables"))
	// What Lambda sets by itself, what the image knows, and what only a person at a screen wants.
	for _, name := range []string{"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "CHROMIUM_PATH", "HEADLESS_MODE", "LOG_FORMAT", ""} {
		delete(known, name)
	}
	if diff := cmp.Diff(known, given); diff != "" {
		t.Errorf("settings of the code (-) and of template.yaml (+) differ:\n%s", diff)
	}
}

func TestTheQueueIsWiredAsItsConsumerNeedsIt(t *testing.T) {
	text, root := template(t)
	source := at(t, functions(t, root)["DownloaderFunction"], "Events", "Messages", "Properties")
	if got := at(t, source, "FunctionResponseTypes"); !reflect.DeepEqual(got, []any{"ReportBatchItemFailures"}) {
		t.Errorf("FunctionResponseTypes: %v", got)
	}
	at(t, source, "ScalingConfig", "MaximumConcurrency")
	if strings.Contains(text, "ReservedConcurrentExecutions") {
		t.Error("reserved concurrency lets the poller throw messages away")
	}
	visibility := at(t, root, "Resources", "Queue", "Properties", "VisibilityTimeout")
	longest := at(t, root, "Parameters", "DownloaderTimeout", "MaxValue")
	if number(visibility) < 6*number(longest) {
		t.Errorf("visibility %v is less than six times the longest time-out %v", visibility, longest)
	}
	if got := at(t, root, "Resources", "DeadLetterQueue", "Properties", "MessageRetentionPeriod"); number(got) != 14*24*3600 {
		t.Errorf("dead letters are kept for %v seconds", got)
	}
}

func number(v any) (n float64) {
	_, _ = fmt.Sscan(fmt.Sprint(v), &n)
	return n
}

func TestEveryParameterIsExplainedAndBounded(t *testing.T) {
	_, root := template(t)
	for name, p := range at(t, root, "Parameters").(object) {
		if fmt.Sprint(at(t, p, "Description")) == "" {
			t.Errorf("%s has no description", name)
		}
		_, low := p.(object)["MinValue"]
		_, high := p.(object)["MaxValue"]
		_, values := p.(object)["AllowedValues"]
		if p.(object)["Type"] == "Number" && !values && (!low || !high) {
			t.Errorf("%s has no bounds", name)
		}
	}
}

func TestTheSampleEventsAreWhatTheFunctionsGet(t *testing.T) {
	files, err := filepath.Glob("events/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("events: %v %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(data) {
			t.Errorf("%s is not JSON", file)
		}
		var batch events.SQSEvent
		if strings.Contains(file, "sqs-batch") && json.Unmarshal(data, &batch) == nil {
			var readable int
			for _, m := range batch.Records {
				if _, err := po.DecodeTask(m.Body); err == nil {
					readable++
				}
			}
			if len(batch.Records) != 3 || readable != 2 {
				t.Errorf("%s: want three messages, one of them poison; got %d, %d readable", file, len(batch.Records), readable)
			}
		}
	}
}

func TestCfnLintFindsNothing(t *testing.T) {
	path, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("cfn-lint is not installed")
	}
	if out, err := exec.Command(path, "template.yaml").CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}
