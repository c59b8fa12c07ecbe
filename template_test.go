// Package purser_test holds the template to the code: what one names, the other must know.
package purser_test

import (
	"crypto/md5" //nolint:gosec // SQS's own checksum
	"encoding/hex"
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
	"github.com/purserhq/purser/internal/dispatch"
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
	for name, f := range functions(t, root) {
		if f["Policies"] != nil {
			t.Errorf("%s has Policies: SAM would make it a role that reads every queue", name)
		}
		role, isOurs := strings.CutSuffix(fmt.Sprint(at(t, f, "Role")), ".Arn") // !GetAtt XRole.Arn
		if !isOurs {
			t.Fatalf("%s: role %s", name, role)
		}
		statements := 0
		for _, policy := range at(t, root, "Resources", role, "Properties", "Policies").([]any) {
			for _, s := range at(t, policy, "PolicyDocument", "Statement").([]any) {
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
		if _, more := at(t, root, "Resources", role, "Properties").(object)["ManagedPolicyArns"]; more {
			t.Errorf("%s: AWS's own policies have wildcards", name)
		}
	}
}

// list is what stands where one value or several may stand.
func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

func TestNoResourceWaitsForItself(t *testing.T) {
	text, root := template(t)
	_, text, _ = strings.Cut(text, "\nGlobals:\n")
	globals, text, _ := strings.Cut(text, "\nResources:\n")
	text, _, _ = strings.Cut(text, "\nOutputs:\n")
	var (
		resources = at(t, root, "Resources").(object)
		start     = regexp.MustCompile(`(?m)^  (\w+):\n`)
		reference = regexp.MustCompile(`!Ref "?(\w+)|!GetAtt (\w+)\.|\$\{(\w+)[.}]`)
		waitsFor  = map[string][]string{}
		starts    = start.FindAllStringSubmatchIndex(text, -1)
	)
	if len(starts) != len(resources) {
		t.Fatalf("found %d of %d resources in the text", len(starts), len(resources))
	}
	for i, m := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name, body := text[m[2]:m[3]], text[m[1]:end]
		if fmt.Sprint(at(t, resources[name], "Type")) == "AWS::Serverless::Function" {
			// SAM writes a function's S3 events into the bucket, which then waits for the function.
			if strings.Contains(body, "Type: S3\n") {
				waitsFor["Bucket"] = append(waitsFor["Bucket"], name)
				body = strings.ReplaceAll(body, "            Bucket: !Ref Bucket\n", "")
			}
			body += globals
		}
		for _, r := range reference.FindAllStringSubmatch(body, -1) {
			if to := r[1] + r[2] + r[3]; resources[to] != nil {
				waitsFor[name] = append(waitsFor[name], to)
			}
		}
	}
	if !slices.Contains(waitsFor["Bucket"], "DispatcherFunction") || !slices.Contains(waitsFor["DispatcherFunction"], "DispatcherRole") ||
		!slices.Contains(waitsFor["DispatcherFunction"], "Ledger") || !slices.Contains(waitsFor["Queue"], "DeadLetterQueue") {
		t.Fatalf("this test misses the template's way of referring: %v", waitsFor)
	}
	var visit func(name string, path []string)
	seen := map[string]bool{}
	visit = func(name string, path []string) {
		if i := slices.Index(path, name); i >= 0 {
			t.Errorf("a circle: %s", strings.Join(append(path[i:], name), " -> "))
			return
		}
		if seen[name] {
			return
		}
		for _, next := range waitsFor[name] {
			visit(next, append(slices.Clone(path), name))
		}
		seen[name] = true
	}
	for name := range waitsFor {
		visit(name, nil)
	}
}

func TestEverySettingOfTheTemplateIsOneThatTheCodeReads(t *testing.T) {
	_, root := template(t)
	known := map[string]bool{"PO_PATTERN": true, "AWS_ENDPOINT_URL": true} // the SDK reads the latter
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

func TestTheBucketAndTheQueuesTakeTLSOnly(t *testing.T) {
	_, root := template(t)
	closed := map[string]bool{}
	for _, r := range at(t, root, "Resources").(object) {
		var holders []any
		switch at(t, r, "Type") {
		case "AWS::S3::BucketPolicy":
			holders = list(at(t, r, "Properties", "Bucket"))
		case "AWS::SQS::QueuePolicy":
			holders = list(at(t, r, "Properties", "Queues"))
		}
		for _, holder := range holders {
			for _, s := range list(at(t, r, "Properties", "PolicyDocument", "Statement")) {
				if at(t, s, "Effect") == "Deny" && at(t, s, "Principal") == "*" && at(t, s, "Condition", "Bool", "aws:SecureTransport") == "false" {
					closed[fmt.Sprint(holder)] = true
				}
			}
		}
	}
	for name, r := range at(t, root, "Resources").(object) {
		if kind := at(t, r, "Type"); (kind == "AWS::S3::Bucket" || kind == "AWS::SQS::Queue") && !closed[name] {
			t.Errorf("%s takes requests without TLS", name)
		}
	}
}

func TestEveryFolderOfTheBucketIsClearedInTime(t *testing.T) {
	_, root := template(t)
	cleared := map[any]bool{}
	unfinished := false
	for _, rule := range at(t, root, "Resources", "Bucket", "Properties", "LifecycleConfiguration", "Rules").([]any) {
		r := rule.(object)
		if at(t, r, "Status") != "Enabled" {
			t.Errorf("the rule %v is off", r["Id"])
		}
		if r["ExpirationInDays"] != nil && r["NoncurrentVersionExpiration"] != nil {
			cleared[r["Prefix"]] = true
		}
		unfinished = unfinished || r["AbortIncompleteMultipartUpload"] != nil
	}
	for _, folder := range []string{"input/", "download/", "results/"} {
		if !cleared[folder] {
			t.Errorf("nothing clears %s and its old versions", folder)
		}
	}
	if !unfinished {
		t.Error("nothing clears uploads that were broken off")
	}
}

func TestEverybodyWhoSubscribesIsToldOfEachTrouble(t *testing.T) {
	_, root := template(t)
	watched := map[string]bool{}
	for name, r := range at(t, root, "Resources").(object) {
		if at(t, r, "Type") != "AWS::CloudWatch::Alarm" {
			continue
		}
		watched[name] = true
		if got := at(t, r, "Properties", "AlarmActions"); !reflect.DeepEqual(got, []any{"Topic"}) {
			t.Errorf("%s tells %v", name, got)
		}
		if fmt.Sprint(at(t, r, "Properties", "AlarmDescription")) == "" || at(t, r, "Properties", "TreatMissingData") != "notBreaching" {
			t.Errorf("%s has no description, or fires when nothing happens", name)
		}
	}
	for _, name := range []string{
		"DeadLettersAlarm", "DispatchFailuresAlarm", "OldestMessageAlarm", "SessionRefusedAlarm", "FailureRateAlarm", "ThrottlesAlarm",
	} {
		if !watched[name] {
			t.Errorf("there is no %s", name)
		}
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
	// The dead-letter queue names its only source by the name that the queue is given.
	queue := at(t, root, "Resources", "Queue", "Properties", "QueueName").(string)
	allow := at(t, root, "Resources", "DeadLetterQueue", "Properties", "RedriveAllowPolicy")
	want := object{"redrivePermission": "byQueue", "sourceQueueArns": []any{"arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:" + queue}}
	if diff := cmp.Diff(want, allow); diff != "" {
		t.Errorf("redrive allow policy (-want +got):\n%s", diff)
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

func TestTheSampleBatchIsOfTheJobThatTheSampleSheetBegins(t *testing.T) {
	read := func(file string, v any) {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	var put events.S3Event
	read("events/s3-put.json", &put)
	r := put.Records[0]
	job := dispatch.JobID(r.S3.Bucket.Name, r.S3.Object.URLDecodedKey, r.S3.Object.ETag, r.S3.Object.Sequencer, r.EventTime)
	for _, file := range []string{"events/sqs-batch.json", "events/finalize.json"} {
		var batch events.SQSEvent
		read(file, &batch)
		for _, m := range batch.Records {
			if task, err := po.DecodeTask(m.Body); err == nil && task.Job != job {
				t.Errorf("%s: job %s; events/s3-put.json begins %s", file, task.Job, job)
			}
			if sum := md5.Sum([]byte(m.Body)); m.Md5OfBody != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: the MD5 of %s is not that of its body", file, m.MessageId)
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
