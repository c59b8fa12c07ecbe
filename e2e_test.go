package purser_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/report"
)

// binDir builds the command, the functions and the emulator once, as `make build` does.
var binDir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "purser-bin-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "./cmd/purser", "./functions/dispatcher", "./functions/downloader",
		"github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie").CombinedOutput()
	if err != nil {
		return dir, errors.New("go build: " + err.Error() + "\n" + string(out))
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := binDir(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// purser is the built command.
func purser(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := binDir()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(dir, "purser"), args...)
	c.Env = append(os.Environ(), "PORTAL_BASE_URL=", "PORTAL_PROFILE=coupa", "PORTAL_USERNAME=", "WORKER_COUNT=", "TZ=UTC")
	return c
}

// ran is what a `purser run --json` left.
type ran struct {
	data, stdout, stderr string
	code                 int

	Job         string              `json:"job"`
	DownloadDir string              `json:"download_dir"`
	ResultCSV   string              `json:"result_csv"`
	Report      string              `json:"report"`
	Summary     report.Summary      `json:"summary"`
	Counts      map[po.Status]int64 `json:"counts"`
}

func runSheet(t *testing.T, data string, args ...string) ran {
	t.Helper()
	c := purser(t, append([]string{"run", "--json", "--data", data}, args...)...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	r := ran{data: data, stdout: stdout.String(), stderr: stderr.String(), code: c.ProcessState.ExitCode()}
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if jsonErr := json.Unmarshal([]byte(lines[len(lines)-1]), &r); jsonErr != nil {
		t.Fatalf("purser run: %v, its last line is no JSON: %v\nstdout: %s\nstderr: %s", err, jsonErr, r.stdout, r.stderr)
	}
	return r
}

// tree is every file under dir with its SHA-256.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		rel, err := filepath.Rel(dir, p)
		files[filepath.ToSlash(rel)] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// wantTree is the tree that the demo portal's truth asks for.
func wantTree(truth []demo.PO, folder func(demo.PO) string) map[string]string {
	files := map[string]string{}
	for _, p := range truth {
		for _, f := range p.Files {
			files[path.Join(folder(p), f.Name)] = f.SHA256
		}
	}
	return files
}

// readLedger opens the stopped stack's data and gives the job and its rows.
func readLedger(t *testing.T, data, job string) (ledger.Job, []ledger.Row) {
	t.Helper()
	services, err := local.OpenServices(local.ServicesOptions{
		Data: data, AccessKey: local.DefaultAccessKey, SecretKey: local.DefaultSecretKey, Region: local.DefaultRegion,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer services.Close()
	server := httptest.NewServer(services.Handler())
	defer server.Close()
	clients := cloud.New(aws.Config{
		Region: local.DefaultRegion, BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider(local.DefaultAccessKey, local.DefaultSecretKey, ""),
	})
	ctx := context.Background()
	names, err := local.FindNames(ctx, clients.Config)
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(clients.DynamoDB, names.Table)
	j, err := l.Job(ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	var rows []ledger.Row
	for row, err := range l.Rows(ctx, job) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return j, rows
}

// resultCSV reads a result CSV into maps by column; of a column that stands twice, the first counts.
func resultCSV(t *testing.T, file string, comma rune) []map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, bom := strings.CutPrefix(string(data), "\ufeff")
	if !bom {
		t.Errorf("%s has no byte order mark: Excel would misread it", file)
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord = comma, -1
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, cell := range record {
			if _, taken := row[records[0][i]]; !taken {
				row[records[0][i]] = cell
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestEveryDemoPOEndsAsThePortalsTruthSays(t *testing.T) {
	t.Parallel()
	r := runSheet(t, t.TempDir(), "examples/plain.csv", "--environments", "2", "--workers", "4")
	truth := demo.New(demo.Options{}).Truth()

	want := wantTree(truth, func(p demo.PO) string {
		return strings.TrimPrefix(archive.Folder(r.Job, nil, p.Supplier, p.Number, p.Status), "download/"+r.Job+"/")
	})
	if diff := cmp.Diff(want, tree(t, r.DownloadDir)); diff != "" {
		t.Errorf("files, wanted (-) and got (+):\n%s", diff)
	}
	if r.code != 1 { // some of the demo portal's POs fail by design
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}

	byNumber := map[string]demo.PO{}
	for _, p := range truth {
		byNumber[string(p.Number)] = p
	}
	rows := resultCSV(t, r.ResultCSV, ',')
	if len(rows) != len(truth) {
		t.Errorf("%d rows in the result, %d POs", len(rows), len(truth))
	}
	for _, row := range rows {
		p := byNumber[row["PO_NUMBER"]]
		code, _, _ := strings.Cut(row["ERROR_MESSAGE"], ":")
		if row["STATUS"] != string(p.Status) || code != string(p.Code) {
			t.Errorf("%s (%s): %s %q, want %s %s", p.Number, p.Shape, row["STATUS"], row["ERROR_MESSAGE"], p.Status, p.Code)
		}
	}

	job, stored := readLedger(t, r.data, r.Job)
	var counted po.Counters
	for _, row := range stored {
		counted.Add(row.Result, 1)
	}
	if job.Counters.Done != counted.Done || job.Counters.Files != counted.Files || job.Counters.Bytes != counted.Bytes {
		t.Errorf("the ledger's counters %+v are not its rows' %+v", job.Counters, counted)
	}
	if diff := cmp.Diff(counted.ByStatus, job.Counters.ByStatus); diff != "" {
		t.Errorf("rows (-) and counters (+):\n%s", diff)
	}
	if job.State != ledger.Finished || job.Counters.Done != int64(len(truth)) {
		t.Errorf("job %s, %d of %d done", job.State, job.Counters.Done, len(truth))
	}
	if job.Pool.Launches > 2 || job.Pool.Launches < 1 || job.Pool.Invocations <= job.Pool.Launches {
		t.Errorf("%d browser launches in %d invocations of two environments", job.Pool.Launches, job.Pool.Invocations)
	}
	if r.Summary.TotalPOs != int64(len(truth)) || r.Summary.SuccessfulDownloads+r.Summary.FailedDownloads != r.Summary.TotalPOs {
		t.Errorf("summary %+v", r.Summary)
	}
	for _, name := range []string{report.SummaryName, report.ManifestName, report.ManifestLinesName, report.ReportName} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(r.Report), name)); err != nil {
			t.Error(err)
		}
	}
}

func TestASheetWithLevelsFilesDocumentsByThem(t *testing.T) {
	t.Parallel()
	r := runSheet(t, t.TempDir(), "examples/levels.csv")
	rows := resultCSV(t, r.ResultCSV, ';')
	if len(rows) == 0 {
		t.Fatal("no rows")
	}
	portal := demo.New(demo.Options{})
	want := map[string]string{}
	for _, row := range rows {
		p, ok := portal.Find(po.Number(row["PO_NUMBER"]))
		if !ok || len(p.Files) == 0 {
			continue
		}
		if row["DOWNLOAD_FOLDER"] == "" {
			t.Errorf("%s has files and no folder", p.Number)
		}
		folder, fetched := strings.CutPrefix(row["DOWNLOAD_FOLDER"], "download/"+r.Job+"/")
		if !fetched { // it was COMPLETED already, and is kept as it was
			continue
		}
		if n := strings.Count(folder, "/"); n < 3 {
			t.Errorf("%s lies in %s: want supplier, year, quarter and more above it", p.Number, folder)
		}
		for _, f := range p.Files {
			want[path.Join(folder, f.Name)] = f.SHA256
		}
	}
	if diff := cmp.Diff(want, tree(t, r.DownloadDir)); diff != "" {
		t.Errorf("files, wanted (-) and got (+):\n%s", diff)
	}
}

func TestARunThatIsInterruptedGoesOnWithResume(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	c := purser(t, "run", "--data", data, "examples/plain.csv")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), "Job ") {
		n, err := stderr.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("the run ended early: %v\n%s", err, seen.String())
		}
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := stderr.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	_, after, found := strings.Cut(seen.String(), "--resume ")
	if !found {
		t.Fatalf("no hint how to go on:\n%s", seen.String())
	}
	job := strings.Fields(after)[0]

	r := runSheet(t, data, "--resume", job)
	truth := demo.New(demo.Options{}).Truth()
	want := wantTree(truth, func(p demo.PO) string {
		return strings.TrimPrefix(archive.Folder(job, nil, p.Supplier, p.Number, p.Status), "download/"+job+"/")
	})
	if diff := cmp.Diff(want, tree(t, r.DownloadDir)); diff != "" {
		t.Errorf("files, wanted (-) and got (+):\n%s", diff)
	}
}

func TestWrongUseIsToldApartFromFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pdf := filepath.Join(dir, "pos.csv")
	if err := os.WriteFile(pdf, []byte("%PDF-1.4\n%âãÏÓ\n1 0 obj\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"no sheet", []string{"run"}, "", "name the sheet"},
		{"a sheet that is not there", []string{"run", "missing.csv"}, "", "missing.csv"},
		{"a PDF called .csv", []string{"run", pdf}, "", "PDF"},
		{"an unknown flag", []string{"run", "--fast"}, "", "--fast"},
		{"a wrong setting", []string{"run", "examples/plain.csv"}, "MEMORY_THRESHOLD=75", "MEMORY_THRESHOLD is 75; it must be 0.5 to 0.9"},
		{"an unknown profile", []string{"run", "examples/plain.csv", "--portal-url", "https://portal.example", "--profile", "none.yaml"}, "", "none.yaml"},
		{"an unknown job", []string{"run", "--resume", "no-such-job"}, "", "no such job"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := purser(t, append(c.args, "--data", filepath.Join(dir, "data"))...)
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			if !strings.Contains(string(out), c.want) || strings.Contains(string(out), "goroutine") {
				t.Errorf("output without %q:\n%s", c.want, out)
			}
		})
	}
}
