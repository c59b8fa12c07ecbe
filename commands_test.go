package purser_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/demo"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/report"
)

const (
	plantedPassword = "correct-horse-battery-staple"
	patience        = 4 * time.Minute // for what must happen; the machine may be busy
)

// station is an operator's place: a `purser local` with its functions, the demo portal, and the commands against both.
type station struct {
	t        *testing.T
	portal   *demo.Portal
	address  string // the portal's
	data     string
	endpoint string
	bucket   string // the bucket's folder
	stop     func()

	mu      sync.Mutex
	secrets map[string]string // what no log may show, and what it is
	said    strings.Builder   // everything that any command printed
}

// newStation starts them.
func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{t: t, data: t.TempDir(), secrets: map[string]string{plantedPassword: "the password"}}
	s.portal = demo.New(demo.Options{BulkPOs: true, Users: []demo.User{{Login: "operator@demo.example", Password: plantedPassword, Name: "Operator"}}})
	front := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(front.Close)
	s.address = front.URL

	c := purser(t, "local", "--json", "--listen", "127.0.0.1:0", "--data", s.data, "--profile", "demo", "--portal-url", s.address,
		"--environments", "2", "--workers", "3", "--max-receives", "2")
	c.Env = append(c.Env, "PORTAL_USERNAME=operator@demo.example", "PORTAL_PASSWORD="+plantedPassword, "RETRY_DELAY=1", "CIRCUIT_WAIT=1", "LOG_LEVEL=debug")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("purser local: %v\n%s", err, stderr.String())
		}
		s.said.WriteString(stderr.String())
	})
	t.Cleanup(s.stop)
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var reach struct{ Endpoint, Files string }
	if err == nil {
		err = json.Unmarshal(line, &reach)
	}
	if err != nil {
		t.Fatalf("purser local does not say where it is: %v\n%s%s", err, line, stderr.String())
	}
	s.endpoint, s.bucket = reach.Endpoint, reach.Files
	return s
}

// serve is the portal, and notes what comes by that is secret.
func (s *station) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if cookie, err := r.Cookie(demo.SessionCookie); err == nil {
		s.secrets[cookie.Value] = "a session's cookie"
	}
	s.mu.Unlock()
	s.portal.ServeHTTP(w, r)
}

// answer is what a command left.
type answer struct {
	stdout, stderr string
	code           int
}

// command is a command against the stack.
func (s *station) command(args ...string) *exec.Cmd {
	c := purser(s.t, args...)
	c.Env = append(c.Env, "AWS_ENDPOINT_URL="+s.endpoint, "PURSER_STACK=", "PORTAL_BASE_URL="+s.address, "PORTAL_PROFILE=demo")
	return c
}

// fetch gets an address as anybody may.
func (s *station) fetch(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("a shared link answers %s: %v", resp.Status, err)
	}
	return string(body)
}

// run runs a command against the stack.
func (s *station) run(args ...string) answer {
	s.t.Helper()
	c := s.command(args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	_ = c.Wait()
	if !ended() {
		s.t.Fatalf("purser %s did not end within %s\n%s", strings.Join(args, " "), patience, stderr.String())
	}
	a := answer{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
	s.said.WriteString(a.stdout + a.stderr)
	if strings.Contains(a.stdout+a.stderr, "goroutine ") {
		s.t.Errorf("purser %s shows a stack trace:\n%s", strings.Join(args, " "), a.stderr)
	}
	return a
}

// do runs a command that must end with the code, and reads the last line of its output into v.
func (s *station) do(code int, v any, args ...string) answer {
	s.t.Helper()
	a := s.run(args...)
	if a.code != code {
		s.t.Fatalf("purser %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), a.code, code, a.stdout, a.stderr)
	}
	if v != nil {
		lines := strings.Split(strings.TrimSpace(a.stdout), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), v); err != nil {
			s.t.Fatalf("purser %s: %v\n%s", strings.Join(args, " "), err, a.stdout)
		}
	}
	return a
}

// status is what status --json and watch --json print.
type status struct {
	Job         string
	State       ledger.JobState
	Blocked     string
	Total, Done int64
	Finished    string
	ByStatus    map[po.Status]int64 `json:"by_status"`
	Files       int64
}

// submit drops a sheet of n bulk POs, from the first.
func (s *station) submit(name string, first, n int) (job string) {
	s.t.Helper()
	sheet := "PO_NUMBER,SUPPLIER\n"
	for i := range n {
		sheet += fmt.Sprintf("PO%d,Acme\n", demo.BulkFirst+first+i)
	}
	file := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(sheet), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var out struct{ Job, Bucket, Key string }
	s.do(0, &out, "submit", "--json", file)
	if out.Key != "input/"+name || !strings.HasPrefix(out.Job, strings.TrimSuffix(name, ".csv")) {
		s.t.Errorf("submit says %+v", out)
	}
	return out.Job
}

// until looks at the job until it is so.
func (s *station) until(job, what string, so func(status) bool) status {
	s.t.Helper()
	var now status
	for deadline := time.Now().Add(patience); ; {
		s.do(0, &now, "status", "--json", job)
		if so(now) {
			return now
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the job is never %s: %+v", what, now)
		}
	}
}

// held is what lies in the bucket of the job.
func (s *station) held(job string) map[string]string {
	files := map[string]string{}
	for _, dir := range []string{"download/" + job, "results/" + job} {
		for name, sum := range tree(s.t, filepath.Join(s.bucket, filepath.FromSlash(dir))) {
			files[dir+"/"+name] = sum
		}
	}
	return files
}

// TestAnOperatorsDay goes through every command against one stack, in the order in which an operator meets them.
func TestAnOperatorsDay(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.portal.SetFaults(demo.Faults{Path: fmt.Sprintf("/order_headers/%d", demo.BulkFirst+3), Status: http.StatusInternalServerError})
	job := s.submit("monday.csv", 0, 5)
	here := t.TempDir()

	t.Run("watch shows the job until it has ended", func(t *testing.T) {
		a := s.do(1, nil, "watch", "--json", "--every", "200ms", job) // one PO failed
		lines := strings.Split(strings.TrimSpace(a.stdout), "\n")
		var last status
		for _, line := range lines {
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
		}
		want := map[po.Status]int64{po.Completed: 4, po.Failed: 1}
		if diff := cmp.Diff(want, last.ByStatus); diff != "" || last.State != ledger.Finished || last.Done != 5 {
			t.Errorf("%+v, statuses wanted (-) and got (+):\n%s", last, diff)
		}
		if a := s.do(1, nil, "watch", job); !strings.Contains(a.stdout, "purser get "+job) {
			t.Errorf("no hint how to get the files:\n%s", a.stdout)
		}
	})

	t.Run("status lists the jobs and shows one", func(t *testing.T) {
		var all struct{ Jobs []status }
		s.do(0, &all, "status", "--json")
		if len(all.Jobs) != 1 || all.Jobs[0].Job != job {
			t.Errorf("%+v", all)
		}
		if a := s.do(0, nil, "status"); !strings.Contains(a.stdout, job+"  FINISHED  5/5") {
			t.Error(a.stdout)
		}
		a := s.do(0, nil, "status", job)
		for _, want := range []string{"COMPLETED", "FAILED", "5 of 5", "Browsers", "worker 1"} {
			if !strings.Contains(a.stdout, want) {
				t.Errorf("no %q in:\n%s", want, a.stdout)
			}
		}
	})

	t.Run("get brings what the bucket has, and goes on where it was", func(t *testing.T) {
		var got struct {
			Files, Skipped, Bytes int64
			Report                string
		}
		s.do(0, &got, "get", "--json", "--to", here, job)
		if diff := cmp.Diff(s.held(job), tree(t, here)); diff != "" {
			t.Errorf("the bucket (-) and here (+):\n%s", diff)
		}
		first := got.Files
		if first < 8 || got.Skipped != 0 {
			t.Errorf("%+v", got)
		}
		if err := os.Remove(got.Report); err != nil {
			t.Fatal(err)
		}
		s.do(0, &got, "get", "--json", "--to", here, job)
		if got.Files != 1 || got.Skipped != first-1 {
			t.Errorf("after one file was lost: %+v", got)
		}
		s.do(0, &got, "get", "--json", "--to", here, job)
		if got.Files != 0 || got.Skipped != first {
			t.Errorf("with all here: %+v", got)
		}
	})

	t.Run("open says where the report is", func(t *testing.T) {
		var got struct{ Report string }
		s.do(0, &got, "open", "--json", "--to", here, job)
		html, err := os.ReadFile(got.Report)
		if err != nil || !bytes.Contains(html, []byte("PO20000003")) {
			t.Errorf("%s: %v", got.Report, err)
		}
	})

	t.Run("share makes a link that opens the report and its documents without keys", func(t *testing.T) {
		c := s.command("share", "--json", job) // what it prints is meant to open the documents
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Link string }
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		page := s.fetch(t, got.Link)
		_, data, _ := strings.Cut(page, `id="links">`)
		data, _, _ = strings.Cut(data, "</script>")
		var links map[string]string
		if err := json.Unmarshal([]byte(data), &links); err != nil || len(links) == 0 {
			t.Fatalf("%d links in the shared report: %v", len(links), err)
		}
		for key, link := range links {
			if strings.HasSuffix(key, ".pdf") && !strings.HasPrefix(s.fetch(t, link), "%PDF") {
				t.Errorf("the link to %s gives no PDF", key)
			}
		}
	})

	t.Run("redrive of a job tries what failed again, and everything follows", func(t *testing.T) {
		s.portal.SetFaults(demo.Faults{})
		var r struct{ Moved, Reopened int }
		s.do(0, &r, "redrive", "--json", job)
		if r.Reopened != 1 {
			t.Errorf("%+v", r)
		}
		var last status
		s.do(0, &last, "watch", "--json", job)
		if last.ByStatus[po.Completed] != 5 || last.ByStatus[po.Failed] != 0 || last.Files != 10 {
			t.Errorf("%+v", last)
		}
		s.do(0, nil, "get", "--to", here, job)
		rows := resultCSV(t, filepath.Join(here, "results", job, "monday_processed.csv"), ',')
		for _, row := range rows {
			if row["STATUS"] != "COMPLETED" {
				t.Errorf("the result says %v", row)
			}
		}
		s.do(0, &r, "redrive", "--json", job)
		if r.Reopened != 0 {
			t.Errorf("a second redrive: %+v", r)
		}
	})

	t.Run("redrive of everything empties the dead letters", func(t *testing.T) {
		s.portal.SetFaults(demo.Faults{Path: fmt.Sprintf("/order_headers/%d", demo.BulkFirst+11), Status: http.StatusInternalServerError})
		tuesday := s.submit("tuesday.csv", 10, 3)
		s.do(1, nil, "watch", tuesday)
		s.portal.SetFaults(demo.Faults{})
		var r struct{ Moved, Reopened int }
		s.do(0, &r, "redrive", "--json")
		if r.Moved < 1 {
			t.Errorf("%+v", r)
		}
		s.until(tuesday, "completed", func(now status) bool { return now.ByStatus[po.Completed] == 3 && now.State == ledger.Finished })
	})

	t.Run("cancel calls a large job off", func(t *testing.T) {
		large := s.submit("wednesday.csv", 100, 4000)
		var now status
		s.do(0, &now, "cancel", "--json", large)
		if now.State != ledger.Cancelled {
			t.Errorf("%+v", now)
		}
		s.do(1, &now, "watch", "--json", large)
		if now.Done != now.Total || now.ByStatus[po.Failed] == 0 {
			t.Errorf("%+v", now)
		}
		data, err := os.ReadFile(filepath.Join(s.bucket, "results", large, report.SummaryName))
		if err != nil || !bytes.Contains(data, []byte("CANCELLED")) {
			t.Errorf("the results of a cancelled job: %v %s", err, data)
		}
	})

	t.Run("a session that is refused blocks, and a new one lets the job go on", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "session.json")
		put := func(session string) {
			if err := os.WriteFile(file, []byte(session), 0o600); err != nil {
				t.Fatal(err)
			}
			var out struct {
				Secret string
				SignIn bool `json:"sign_in"`
			}
			s.do(0, &out, "session", "put", "--json", file)
			if !out.SignIn || out.Secret == "" {
				t.Errorf("%+v", out)
			}
		}
		put(`{"username":"operator@demo.example","password":"a-wrong-password-of-ours"}`)
		s.secrets["a-wrong-password-of-ours"] = "a wrong password"
		s.portal.ExpireSessions()
		thursday := s.submit("thursday.csv", 20, 2)
		now := s.until(thursday, "blocked", func(now status) bool { return now.Blocked != "" })
		if !strings.Contains(now.Blocked, "PROFILE_ERROR") || now.Done != 0 {
			t.Errorf("%+v", now)
		}
		put(`{"username":"operator@demo.example","password":"` + plantedPassword + `"}`)
		s.do(0, nil, "watch", thursday)
	})

	t.Run("session check asks the portal", func(t *testing.T) {
		base, err := url.Parse(s.address)
		if err != nil {
			t.Fatal(err)
		}
		cookies := func(value string) string {
			s.secrets[value] = "a cookie of session check"
			file := filepath.Join(t.TempDir(), "cookies.json")
			body := fmt.Sprintf(`[{"name":%q,"value":%q,"domain":%q,"path":"/"}]`, demo.SessionCookie, value, base.Hostname())
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			return file
		}
		var out struct{ Alive bool }
		if s.do(0, &out, "session", "check", "--json", cookies(s.portal.NewSession().Value)); !out.Alive {
			t.Error("a good session is no good")
		}
		if a := s.do(1, nil, "session", "check", cookies("an-expired-cookie-of-ours")); !strings.Contains(a.stderr, "does not take the session") {
			t.Error(a.stderr)
		}
	})

	t.Run("wrong use is told apart from failure", func(t *testing.T) {
		nothing := filepath.Join(t.TempDir(), "session.txt")
		if err := os.WriteFile(nothing, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			code int
			want string
			args []string
		}{
			{2, "there is no job", []string{"status", "none"}},
			{2, "there is no job", []string{"watch", "none"}},
			{2, "there is no job", []string{"get", "none"}},
			{2, "there is no job", []string{"open", "none"}},
			{2, "there is no job", []string{"cancel", "none"}},
			{2, "there is no job", []string{"redrive", "none"}},
			{2, "missing.csv", []string{"submit", "missing.csv"}},
			{2, "is no session", []string{"session", "put", nothing}},
			{2, "is no session", []string{"session", "check", nothing}},
			{2, "cannot be read", []string{"session", "put", "missing.json"}},
			{2, "expected", []string{"watch"}},
			{2, "fetch", []string{"fetch"}},
			{2, "--endpoint", []string{"status", "--endpoint", "here"}},
			{1, "start one with: purser local", []string{"status", "--endpoint", "http://127.0.0.1:1"}},
		} {
			a := s.run(c.args...)
			if a.code != c.code || !strings.Contains(a.stderr, c.want) {
				t.Errorf("purser %s: exit code %d, want %d with %q\n%s", strings.Join(c.args, " "), a.code, c.code, c.want, a.stderr)
			}
		}
	})

	s.stop()
	t.Run("no secret was ever printed", func(t *testing.T) { s.assertNoSecrets(t) })
}

// assertNoSecrets reads what the commands printed and what the functions logged.
func (s *station) assertNoSecrets(t *testing.T) {
	texts := map[string]string{"a command's output": s.said.String()}
	bytesRead := 0
	err := filepath.WalkDir(filepath.Join(s.data, "logs"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		texts[p] = string(data)
		bytesRead += len(data)
		return err
	})
	if err != nil || bytesRead < 10_000 {
		t.Fatalf("%d bytes of logs: %v", bytesRead, err)
	}
	if len(s.secrets) < 5 {
		t.Errorf("only %d secrets came by", len(s.secrets))
	}
	for name, text := range texts {
		for line := range strings.Lines(text) {
			for secret, what := range s.secrets {
				if strings.Contains(line, secret) {
					t.Errorf("%s shows %s: %s", name, what, line)
				}
			}
			if i := slices.IndexFunc([]string{"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", demo.SessionCookie + "="}, func(mark string) bool {
				return strings.Contains(line, mark)
			}); i >= 0 {
				t.Errorf("%s shows a presigned address or a cookie: %s", name, line)
			}
		}
	}
}

// TestTheScriptOfPurserCompletionCompletes asks a real bash.
func TestTheScriptOfPurserCompletionCompletes(t *testing.T) {
	t.Parallel()
	dir, err := binDir()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("bash", "--norc", "-c", `eval "$(purser completion bash)" && complete -p purser && COMP_LINE="purser sta" COMP_POINT=10 purser`)
	c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "complete -o default -C") || !strings.HasSuffix(strings.TrimSpace(string(out)), "status") {
		t.Errorf("%v\n%s", err, out)
	}
}
