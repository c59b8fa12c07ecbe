//go:build !linux

package local

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
)

// errNoEnvironments happens on systems without /proc, by which environments are frozen and killed as a whole.
var errNoEnvironments = errors.New("execution environments need Linux; --services-only works on every system")

type tree struct{ mark string }

func (*tree) start(*exec.Cmd, func(error)) error              { return errNoEnvironments }
func (*tree) pid() int                                        { return 0 }
func (*tree) freeze(context.Context) error                    { return errNoEnvironments }
func (*tree) thaw()                                           {}
func (*tree) functionLives() bool                             { return false }
func (*tree) kill(context.Context) error                      { return errNoEnvironments }
func (*tree) terminate()                                      {}
func (*tree) listening(netip.Addr) (_ netip.AddrPort, _ bool) { return }

func killMarked(context.Context, string) error { return nil }
