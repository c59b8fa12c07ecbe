//go:build linux

// Command bench compares Purser with other ways to fetch the documents of the same POs from the same portal, with the same
// Chromium on the same machine: in turn, in several rounds. It prints a table of medians; docs/performance.md says what to make of
// it. Linux only: memory and CPU are read from /proc.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type options struct {
	POs        int           `name:"pos" default:"200" help:"POs of a job."`
	Rounds     int           `default:"3" help:"How often each contender works the job."`
	Contenders []contender   `arg:"" optional:"" help:"Who takes part: purser:<environments>x<tabs>, cluster:<pages>, playwright:<pages>."`
	Bin        string        `default:"bin" type:"path" help:"Where make build has put purser and the functions."`
	Peers      string        `default:"bench/peers" type:"path" help:"Where the peers are, with their node_modules."`
	Chromium   string        `env:"CHROMIUM_PATH" type:"path" help:"The Chromium that all use; default: the layer's."`
	Portal     []string      `sep:" " placeholder:"FLAGS" help:"Flags of purser demo beside --weight heavy, such as '--latency=20ms --images=0'."`
	Limit      time.Duration `default:"30m" help:"How long one contender may take."`
	Keep       string        `type:"path" help:"Where to keep what the contenders write; default: nowhere."`
}

// everyone is who takes part when nobody is named.
var everyone = []string{"purser:1x4", "purser:1x8", "purser:2x4", "cluster:4", "cluster:8", "playwright:4"}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Compares Purser with other tools on the demo portal."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if len(o.Contenders) == 0 {
		for _, name := range everyone {
			var c contender
			if err := c.UnmarshalText([]byte(name)); err != nil {
				return err
			}
			o.Contenders = append(o.Contenders, c)
		}
	}
	if o.Chromium == "" {
		o.Chromium = "layers/chromium/build/chromium/chromium"
	}
	var err error
	if o.Chromium, err = filepath.Abs(o.Chromium); err != nil {
		return err
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.Keep, "purser-bench-")
	if err != nil {
		return err
	}
	if o.Keep == "" {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	portal, err := startPortal(ctx, filepath.Join(o.Bin, "purser"), o.Portal)
	if err != nil {
		return err
	}
	defer portal.stop()

	j := job{options: o, portal: portal, dir: dir}
	if err := j.prepare(ctx); err != nil {
		return err
	}
	began, results := time.Now(), map[contender][]result{}
	for round := range o.Rounds {
		for _, c := range o.Contenders {
			r, err := j.work(ctx, c, round)
			if err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
			results[c] = append(results[c], r)
			fmt.Fprintf(os.Stderr, "round %d  %-14s %s\n", round+1, c, r)
		}
	}
	fmt.Printf("%s\n%s", setting(o, began), table(o.Contenders, results))
	return nil
}

// setting says what was measured, and where.
func setting(o options, began time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d POs, %d rounds, %s to %s UTC\n", o.POs, o.Rounds, began.UTC().Format(time.DateTime), time.Now().UTC().Format(time.TimeOnly))
	fmt.Fprintf(&b, "%s\n", machine())
	if len(o.Portal) > 0 {
		fmt.Fprintf(&b, "Portal: %s\n", strings.Join(o.Portal, " "))
	}
	return b.String()
}
