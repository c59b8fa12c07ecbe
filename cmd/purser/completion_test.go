package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
)

func complete(t *testing.T, line string) []string {
	t.Helper()
	t.Setenv("COMP_LINE", line)
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), nil, strings.NewReader(""), &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	return strings.Fields(stdout.String())
}

func TestAShellCompletesCommandsAndFlags(t *testing.T) {
	for line, want := range map[string]string{
		"purser st":             "status",
		"purser session ":       "check",
		"purser get --par":      "--parallel",
		"purser completion ":    "zsh",
		"purser redrive --json": "--json",
	} {
		if got := complete(t, line); !slices.Contains(got, want) {
			t.Errorf("%q is completed to %q, want %q among them", line, got, want)
		}
	}
}

func TestCompletionScriptsCallThisProgram(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -C '/", "zsh": "bashcompinit"} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), []string{"completion", shell}, strings.NewReader(""), &stdout, &stderr); code != exitOK {
			t.Fatalf("%s: exit code %d: %s", shell, code, stderr.String())
		}
		if !strings.Contains(stdout.String(), want) || strings.Contains(stdout.String(), "PURSER") {
			t.Errorf("%s: %s", shell, stdout.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"completion", "tcsh"}, strings.NewReader(""), &stdout, &stderr); code != exitUsage {
		t.Errorf("an unknown shell: exit code %d", code)
	}
}
