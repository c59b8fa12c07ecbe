package portal_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/purserhq/purser/internal/po"
	"github.com/purserhq/purser/internal/portal"
)

// startRedmine starts Debian's Redmine with an instance of its own and returns its address.
func startRedmine(t *testing.T) string {
	t.Helper()
	const home = "/usr/share/redmine"
	if testing.Short() || os.Getenv("PURSER_REDMINE") == "" {
		t.Skip("starting Redmine takes up to a minute: set PURSER_REDMINE=1 to run this test")
	}
	if _, err := os.Stat(home + "/config.ru"); err != nil {
		t.Skip("Redmine is not installed: apt-get install redmine redmine-sqlite")
	}
	instance := t.TempDir()
	for _, dir := range []string{"config", "files", "tmp", "log"} {
		if err := os.Mkdir(filepath.Join(instance, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"database.yml":   "production:\n  adapter: sqlite3\n  database: " + instance + "/redmine.db\n",
		"secret_key.txt": strings.Repeat("0123456789abcdef", 8),
	} {
		if err := os.WriteFile(filepath.Join(instance, "config", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("testdata/redmine/server.rb")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ruby", script)
	cmd.Dir = home
	// Redmine looks for its instances in /usr/share/redmine/instances: four steps up is the root.
	cmd.Env = append(os.Environ(), "RAILS_ENV=production", "REDMINE_INSTANCE=../../../.."+instance)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var problems bytes.Buffer
	cmd.Stderr = &problems
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
			return lines.Text()
		}
	}
	_ = cmd.Wait()
	t.Fatalf("Redmine did not start: %s", problems.String())
	return ""
}

func TestAProfileWithoutAnyGoReadsRedmine(t *testing.T) {
	p, err := portal.Load("../../examples/profiles/redmine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	base := startRedmine(t)
	if p, err = p.WithBaseURL(base); err != nil {
		t.Fatal(err)
	}
	ctx := tab(t)
	visit := func(n po.Number) portal.Page {
		t.Helper()
		page, err := p.VisitPO(ctx, n)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		return page
	}
	if page := visit("1"); page.Kind != portal.PageSignIn {
		t.Errorf("before the sign-in: %+v", page)
	}
	if err := p.SignIn(ctx, "buyer", "wrong"); po.AsError(err).Code != po.CodeProfile || !strings.Contains(err.Error(), "Invalid user or password") {
		t.Errorf("a wrong password: %v", err)
	}
	if err := p.SignIn(ctx, "buyer", "open-sesame"); err != nil {
		t.Fatal(err)
	}
	if alive, err := p.ProbeSession(ctx); err != nil || !alive {
		t.Errorf("after the sign-in: alive %t, %v", alive, err)
	}
	page := visit("1")
	want := []portal.Attachment{
		{URL: base + "/attachments/download/1/Quote%20f%C3%BCr%20St%C3%BChle.pdf", Label: "Quote für Stühle.pdf", Rule: "file table"},
		{URL: base + "/attachments/download/2/Terms.txt", Label: "Terms.txt", Rule: "file table"},
	}
	if diff := cmp.Diff(want, page.Attachments); diff != "" || page.Kind != portal.PagePO || page.Supplier != "Purchasing" || page.Unreadable+page.Incomplete != "" {
		t.Errorf("issue 1: %+v\n%s", page, diff)
	}
	if page := visit("2"); page.Kind != portal.PagePO || len(page.Attachments) != 0 || page.Unreadable+page.Incomplete != "" {
		t.Errorf("issue 2, which has no files: %+v", page)
	}
	if page := visit("3"); page.Kind != portal.PageNoAccess {
		t.Errorf("issue 3, which is another project's: %+v", page)
	}
	if page := visit("99"); page.Kind != portal.PageNotFound {
		t.Errorf("issue 99, which is not there: %+v", page)
	}
	html, _, err := p.Evidence(ctx)
	if err != nil || !strings.Contains(string(html), "<title>404") {
		t.Errorf("evidence: %v", err)
	}
}
