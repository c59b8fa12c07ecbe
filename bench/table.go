//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// yardstick is what the others are compared with: the peer that is fastest on two cores.
var yardstick = contender{tool: "cluster", environments: 1, pages: 8}

// table is the medians of all rounds, in Markdown.
func table(order []contender, results map[contender][]result) string {
	var b strings.Builder
	b.WriteString("| | POs a minute | range | × cluster:8 | CPU s a PO | × cluster:8 | peak PSS, MB | × cluster:8 | right |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	base := results[yardstick]
	for _, c := range order {
		rs := results[c]
		speeds := each(rs, result.perMinute)
		right, pos := 0, 0
		for _, r := range rs {
			right += r.right
			pos += r.pos
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f–%.0f | %s | %.3f | %s | %.0f | %s | %d of %d |\n", c,
			median(speeds), slices.Min(speeds), slices.Max(speeds), ratio(rs, base, result.perMinute),
			median(each(rs, result.cpuPerPO)), ratio(rs, base, result.cpuPerPO),
			median(each(rs, result.megabytes)), ratio(rs, base, result.megabytes), right, pos)
	}
	return b.String() + bill(order, results)
}

// perGBSecond is AWS Lambda's list price in USD: x86, us-east-1, first tier.
const perGBSecond = 0.0000166667

// bill is what Purser's invocations would cost.
func bill(order []contender, results map[contender][]result) string {
	var b strings.Builder
	for _, c := range order {
		if c.tool != "purser" {
			continue
		}
		per1000 := median(each(results[c], func(r result) float64 { return 1000 * r.billed / float64(r.pos) }))
		fmt.Fprintf(&b, "\n%s: %.0f GB-seconds for 1,000 POs, %.4f USD", c, per1000, per1000*perGBSecond)
	}
	return b.String() + "\n"
}

func each(rs []result, f func(result) float64) []float64 {
	var values []float64
	for _, r := range rs {
		values = append(values, f(r))
	}
	return values
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is the quotient of the medians.
func ratio(rs, base []result, f func(result) float64) string {
	if len(base) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", median(each(rs, f))/median(each(base, f)))
}

// machine describes this one, and how busy it is: other work on it makes every figure worse.
func machine() string {
	model := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d × %s, load at the end %s", runtime.NumCPU(), model, strings.Join(strings.Fields(string(load))[:3], " "))
}
