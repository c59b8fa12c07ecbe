package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check runs purser check on a sheet with that content.
func check(t *testing.T, content string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pos.csv")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	code = run(t.Context(), append([]string{"check", file}, flags...), strings.NewReader(""), &out, &problems)
	return code, out.String(), problems.String()
}

const mixedSheet = "PO_NUMBER;STATUS;SUPPLIER\nPO16928033;;Acme\n16928034;COMPLETED;\n1.6E+07;;\n\n16928033;;\n"

func TestCheckTellsWhatBecomesOfEachLine(t *testing.T) {
	code, stdout, stderr := check(t, mixedSheet)
	want := `pos.csv: CSV; UTF-8; delimiter ';'; header on line 1; PO numbers in PO_NUMBER; supplier in SUPPLIER
line 2       accepted  PO16928033  Acme
line 3       skipped   16928034: STATUS is COMPLETED already
line 4       rejected  Excel turned the number into "1.6E+07" and its digits are lost; format the column as text and enter it again (column PO_NUMBER)
line 5       skipped   blank
line 6       skipped   16928033: the same PO is on line 2
1 accepted, 3 skipped, 1 rejected
`
	if code != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit code %d, stderr %q, stdout:\n%s", code, stderr, stdout)
	}
}

func TestCheckPrintsOneJSONObject(t *testing.T) {
	code, stdout, stderr := check(t, mixedSheet, "--json")
	var got struct {
		File                        string
		Accepted, Rejected, Skipped []struct {
			Line          int
			PO            string
			Value, Reason string
			DuplicateOf   int `json:"duplicate_of"`
		}
		Counts checkCounts
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if code != exitOK || stderr != "" || got.File != "pos.csv" || (got.Counts != checkCounts{Accepted: 1, Rejected: 1, Skipped: 3}) {
		t.Errorf("exit code %d, stderr %q, stdout:\n%s", code, stderr, stdout)
	}
	if len(got.Accepted) != 1 || got.Accepted[0].Line != 2 || got.Accepted[0].PO != "PO16928033" {
		t.Errorf("accepted: %+v", got.Accepted)
	}
	if len(got.Rejected) != 1 || got.Rejected[0].Line != 4 || got.Rejected[0].Value != "1.6E+07" || got.Rejected[0].Reason == "" {
		t.Errorf("rejected: %+v", got.Rejected)
	}
	if len(got.Skipped) != 3 || got.Skipped[2].DuplicateOf != 2 {
		t.Errorf("skipped: %+v", got.Skipped)
	}
}

func TestCheckExitsByWhetherTheSheetCanBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		sheet string
		flags []string
		code  int
	}{
		"all is well":                  {"PO_NUMBER\n16928033\n", nil, exitOK},
		"some rows are rejected":       {mixedSheet, nil, exitOK},
		"some are, with --strict":      {mixedSheet, []string{"--strict"}, exitFailed},
		"all rows are rejected":        {"PO_NUMBER\nTBD\n", nil, exitFailed},
		"all rows are done":            {"PO_NUMBER,STATUS\n16928033,COMPLETED\n", nil, exitOK},
		"no sheet":                     {"%PDF-1.7\n", nil, exitUsage},
		"no such column":               {"PO_NUMBER\n16928033\n", []string{"--po-column=Order Ref"}, exitUsage},
		"another column":               {"A,B\n1,16928033\n", []string{"--po-column=B"}, exitOK},
		"another pattern":              {"PO_NUMBER\nABC-1\n", []string{`--po-pattern=[A-Z]+-\d`}, exitOK},
		"a pattern that cannot be one": {"PO_NUMBER\nABC-1\n", []string{`--po-pattern=(`}, exitUsage},
	} {
		if code, _, stderr := check(t, c.sheet, c.flags...); code != c.code || (code == exitUsage) != (stderr != "") {
			t.Errorf("%s: exit code %d, want %d; stderr %q", name, code, c.code, stderr)
		}
	}
}

func TestCheckSaysWhatAFileIsThatIsNoSheet(t *testing.T) {
	code, stdout, stderr := check(t, "<html><body>16928033</body></html>", "--json")
	if code != exitUsage || !strings.Contains(stderr, "pos.csv is a web page (HTML), not a sheet") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	var got struct{ File, Error string }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.File != "pos.csv" || !strings.Contains(got.Error, "web page") {
		t.Errorf("stdout %q (%v)", stdout, err)
	}
}

func TestCheckShowsNothingThatATerminalObeys(t *testing.T) {
	_, stdout, _ := check(t, "PO_NUMBER,SUPPLIER\n16928033,\x1b[31mred\n\x1b[2J,x\n")
	if strings.Contains(stdout, "\x1b") {
		t.Errorf("got %q", stdout)
	}
}
