package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/purserhq/purser/internal/po"
)

var (
	// errSession marks errors that may mean that the session is gone.
	errSession = errors.New("the session may be gone")
	// errBroken marks a transfer that ended early: another try may go on where it stopped.
	errBroken = errors.New("the transfer broke off")
	// errStalled is the cause of a transfer that was given up because no byte came for too long.
	errStalled = errors.New("no byte came for too long")
	// errTooLarge happens when a body goes on past MaxBytes.
	errTooLarge = errors.New("the file is too large")
	// errNoTurn happens when the rate limit leaves no turn before the deadline; the limiter says so at once.
	errNoTurn = errors.New("the rate limit left no turn")
	// errAddress happens when a host's name leads to an address that no portal has.
	errAddress = errors.New("the address is refused")
)

// SessionSuspect tells whether the error may mean that the session is gone, so that it should be probed before anything is
// said about the file.
func SessionSuspect(err error) bool { return errors.Is(err, errSession) }

// diskError is trouble with this machine's disk, which no PO pays for.
func diskError(err error) error {
	e := po.Errorf(po.CodeResource, "cannot spool the file: %w", err)
	if errors.Is(err, syscall.ENOSPC) {
		e = po.Errorf(po.CodeResource, "no space is left to spool the file: %w", err)
	}
	e.Ours = true
	return e
}

// stopped tells whether the caller's time is up, or the caller gave up.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errNoTurn)
}

// contextError is what that means: a deadline is a TIMEOUT, a cancellation was our own doing.
func contextError(ctx context.Context, what string) error {
	cause := context.Cause(ctx)
	if cause == nil {
		cause = errNoTurn
	}
	if !errors.Is(cause, context.Canceled) {
		return po.Errorf(po.CodeTimeout, "no time was left while fetching %s: %w", what, cause)
	}
	e := po.Errorf(po.CodeNetwork, "stopped while fetching %s: %w", what, cause)
	e.Ours = true
	return e
}

// networkError says what went wrong on the way, in words of our own where the library's might repeat a header or an address
// with secrets in it.
func networkError(err error, address string) *po.Error {
	var (
		dns         *net.DNSError
		op          *net.OpError
		certificate *tls.CertificateVerificationError
		hostname    x509.HostnameError
		e           *po.Error
	)
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errAddress):
		e = po.Errorf(po.CodeFileInvalid, "%s is not fetched: its host's name leads to an address that no portal has", address)
		e.Retry = false
		return e
	case errors.Is(err, errStalled):
		return po.Errorf(po.CodeNetwork, "%s: %w", address, errStalled)
	case errors.As(err, &certificate), errors.As(err, &hostname):
		e = po.Errorf(po.CodeNetwork, "%s: the server's certificate is not trusted", address)
	case errors.As(err, &dns):
		e = po.Errorf(po.CodeNetwork, "%s: the host's name cannot be resolved", address)
	case errors.As(err, &op) && op.Op == "dial":
		e = po.Errorf(po.CodeNetwork, "%s: the host cannot be reached: %w", address, op.Err)
	case errors.As(err, &op):
		return po.Errorf(po.CodeNetwork, "%s: the connection broke: %w", address, op.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return po.Errorf(po.CodeNetwork, "%s: the connection ended early", address)
	default:
		return po.Errorf(po.CodeNetwork, "%s: the answer cannot be read (%T)", address, err)
	}
	e.Wide = true // whoever cannot reach the host for one file cannot for the next
	return e
}

// statusError says what an answer other than the file means.
func statusError(resp *http.Response, address string) error {
	status := strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	after := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway, code == http.StatusServiceUnavailable,
		code == http.StatusGatewayTimeout, code >= 500 && after > 0:
		e := po.Errorf(po.CodeNetwork, "the portal asks to be left alone (%s)", status)
		e.Wide, e.After = true, after
		return e
	case code >= 500:
		// One file that the portal fails to produce must not stop every PO: when all of the portal is ill, its pages say so too.
		return po.Errorf(po.CodeNetwork, "%s: the portal failed (%s)", address, status)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return po.Errorf(po.CodeNetwork, "%s: %s", address, status)
	case code >= 400:
		// Portals answer so for a missing file, for one that this user may not see, and for a session that expired.
		return po.Errorf(po.CodeFileInvalid, "the portal does not give %s (%s); %w", address, status, errSession)
	}
	return po.Errorf(po.CodeFileInvalid, "the portal sent no file for %s (%s)", address, status)
}

// longestWait bounds what Retry-After may ask for.
const longestWait = 24 * time.Hour

// retryAfter reads a Retry-After header: seconds, or an HTTP date. 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(longestWait/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), longestWait)
	}
	return 0
}

// bare is an address as it may be shown and kept: without user, query and fragment, which may hold secrets.
func bare(u *url.URL) string {
	if u.Opaque != "" { // blob:https://host/id
		opaque, _, _ := strings.Cut(u.Opaque, "?")
		if u.Scheme != "blob" {
			opaque = "…"
		}
		return u.Scheme + ":" + opaque
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return shown.String()
}
