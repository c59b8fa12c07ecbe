package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABatchIsSomePOsForEachTabAndNoMoreThanTheEnvironmentsShare(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "myscript_config.json")
	if err := os.WriteFile(config, []byte(`{"batch_size": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		pos  int
		run  runCmd
		want int
	}{
		{"a large sheet", 1000, runCmd{Workers: 8}, 40},
		{"the default number of tabs", 1000, runCmd{}, 20},
		{"a small sheet is shared among the environments", 31, runCmd{Workers: 8, Environments: 2}, 16},
		{"one PO", 1, runCmd{Workers: 8, Environments: 4}, 1},
		{"none", 0, runCmd{}, 1},
		{"as the flag says", 3, runCmd{Workers: 8, BatchSize: 100}, 100},
		{"as the configuration says", 1000, runCmd{Workers: 8, Config: config}, 7},
		{"a job that goes on", 0, runCmd{Workers: 2, Resume: "pos-20260115T093000Z-1a2b3c4d"}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			sheet := "PO_NUMBER\n\n"
			for i := range c.pos {
				sheet += fmt.Sprintf("PO%d\n", 16000000+i)
			}
			c.run.File = filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".csv")
			if err := os.WriteFile(c.run.File, []byte(sheet+"no PO\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := c.run.plan(&app{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard, env: func(string) string { return "" }})
			if err != nil {
				t.Fatal(err)
			}
			if p.batch != c.want {
				t.Errorf("a batch is %d POs, want %d", p.batch, c.want)
			}
		})
	}
}
