package fetch

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// newTransport keeps connections to one portal warm. It asks for no compression: a resumed body and a checked length need the
// bytes as they are.
func newTransport(perHost int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           4 * perHost,
		MaxIdleConnsPerHost:    perHost,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		// A connection that died while the environment was frozen would else swallow requests until the stall time-out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// dial connects, and looks at the address once the name is resolved: a name that is allowed may still lead elsewhere.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{
		Timeout:   15 * time.Second,
		KeepAlive: 30 * time.Second,
		Control: func(_, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err != nil || refused(to.Addr(), host) {
				return errAddress
			}
			return nil
		},
	}
	return dialer.DialContext(ctx, network, address)
}

// metadataV6 is the instance metadata service's IPv6 address, which is not link-local.
var metadataV6 = netip.MustParseAddr("fd00:ec2::254")

// refused tells whether no portal has the address: link-local ones, where clouds keep their metadata service, and this machine's
// own, unless the host was named as such (a portal for tests). In Lambda the runtime's API listens on loopback.
func refused(to netip.Addr, host string) bool {
	to = to.Unmap()
	switch {
	case !to.IsValid(), to.IsLinkLocalUnicast(), to.IsMulticast(), to.WithZone("") == metadataV6:
		return true
	case to.IsLoopback(), to.IsUnspecified():
		return !localName(host)
	}
	return false
}

func localName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// limits is a RoundTripper that keeps within what the portal can bear, and gives up a transfer that stands still.
type limits struct {
	base    http.RoundTripper
	rate    *rate.Limiter
	perHost int
	stall   time.Duration

	mu    sync.Mutex
	hosts map[string]*semaphore.Weighted
}

func (l *limits) host(name string) *semaphore.Weighted {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots := l.hosts[name]
	if slots == nil {
		slots = semaphore.NewWeighted(int64(l.perHost))
		l.hosts[name] = slots
	}
	return slots
}

// RoundTrip waits for a slot of the host and for the rate, and holds the slot until the body is closed.
func (l *limits) RoundTrip(req *http.Request) (*http.Response, error) {
	slots := l.host(req.URL.Host)
	if err := slots.Acquire(req.Context(), 1); err != nil {
		return nil, err
	}
	if err := l.rate.Wait(req.Context()); err != nil {
		slots.Release(1)
		return nil, errNoTurn
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	body := &watchedBody{ctx: ctx, stall: l.stall}
	body.watchdog = time.AfterFunc(l.stall, func() { cancel(errStalled) })
	body.end = sync.OnceFunc(func() {
		body.watchdog.Stop()
		cancel(context.Canceled)
		slots.Release(1)
	})
	resp, err := l.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		body.end()
		return nil, err
	}
	body.ReadCloser = resp.Body
	resp.Body = body
	return resp, nil
}

// watchedBody is a body that must keep moving.
type watchedBody struct {
	io.ReadCloser
	ctx      context.Context
	stall    time.Duration
	watchdog *time.Timer
	end      func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watchdog.Reset(b.stall)
	}
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
