//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// portal is the demo portal, in a process of its own.
type portal struct {
	URL, User, Password string

	pid  int
	stop func()
}

// startPortal starts the heavy portal and waits until it listens.
func startPortal(ctx context.Context, purser string, flags []string) (*portal, error) {
	//nolint:gosec // the user says where it is
	cmd := exec.CommandContext(ctx, purser, append([]string{"demo", "--weight", "heavy", "--listen", "127.0.0.1:0", "--json"}, flags...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the demo portal (make build builds it): %w", err)
	}
	p := &portal{pid: cmd.Process.Pid, stop: func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}}
	if err := json.NewDecoder(stdout).Decode(p); err != nil {
		p.stop()
		return nil, fmt.Errorf("the demo portal did not start: %w", err)
	}
	return p, nil
}

// truth asks the portal which files the POs have.
func (p *portal) truth(ctx context.Context, pos []string) (map[string]files, error) {
	all := map[string]files{}
	for some := range slices.Chunk(pos, 200) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/_truth?"+url.Values{"po": some}.Encode(), nil)
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		var truth []struct {
			Number string
			Files  []struct{ SHA256 string }
		}
		err = json.NewDecoder(answer.Body).Decode(&truth)
		_ = answer.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("reading the portal's truth: %w", err)
		}
		for _, po := range truth {
			all[po.Number] = files{}
			for _, f := range po.Files {
				all[po.Number][f.SHA256] = true
			}
		}
	}
	if len(all) != len(pos) {
		return nil, fmt.Errorf("the portal knows %d of %d POs", len(all), len(pos))
	}
	return all, nil
}
