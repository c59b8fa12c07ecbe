package purser_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// markdown lists the README and every page of docs/.
func markdown(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(append(pages, more...), "README.md")
}

func TestEveryLinkOfTheDocumentationLeadsSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	for _, page := range markdown(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

func TestEveryMakeTargetThatTheDocumentationNamesExists(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile("(?m)(?:`|^)make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
	for _, page := range markdown(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			for _, name := range strings.Fields(m[1]) {
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `:`).Match(makefile) {
					t.Errorf("%s names make %s, which the Makefile does not have", page, name)
				}
			}
		}
	}
}

func TestEveryCommandThatTheDocumentationNamesExists(t *testing.T) {
	source, err := os.ReadFile("cmd/purser/main.go")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`\bpurser ([a-z]+)\b`)
	for _, page := range markdown(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range regexp.MustCompile("(?s)```.*?```|`[^`\n]+`").FindAllString(string(text), -1) {
			for _, m := range command.FindAllStringSubmatch(code, -1) {
				if !strings.Contains(string(source), m[1]+"Cmd") {
					t.Errorf("%s names purser %s, which is no command", page, m[1])
				}
			}
		}
	}
}
