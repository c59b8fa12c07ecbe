package browser

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// commandTimeout bounds a command to the browser that has no work to do but its own.
const commandTimeout = 10 * time.Second

// SetCookies gives the cookies to the browser. All tabs share them. A domain with a leading dot covers its sub-domains too, one
// without is that host alone. A cookie that Chromium refuses is left out with a warning; it is an error when it takes none.
func (b *Browser) SetCookies(ctx context.Context, cookies []*http.Cookie) error {
	params := make([]*network.CookieParam, len(cookies))
	for i, c := range cookies {
		params[i] = toParam(c)
	}
	err := b.setCookies(ctx, params)
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrNotRunning) {
		return err
	}
	// One bad cookie spoils the whole command, so they are tried one by one.
	var refused []error
	for _, p := range params {
		if err := b.setCookies(ctx, []*network.CookieParam{p}); err != nil {
			refused = append(refused, fmt.Errorf("cookie %q: %w", p.Name, err))
			b.log.WithField("cookie", p.Name).WithError(err).Warn("the browser refuses a cookie of the session")
		}
	}
	if len(refused) == len(params) {
		return errors.Join(refused...)
	}
	return nil
}

func (b *Browser) setCookies(ctx context.Context, params []*network.CookieParam) error {
	_, err := call(ctx, b, storage.SetCookies, storage.SetCookiesParams{Cookies: params})
	return err
}

// ClearCookies forgets every cookie.
func (b *Browser) ClearCookies(ctx context.Context) error {
	_, err := call(ctx, b, storage.ClearCookies, storage.ClearCookiesParams{})
	return err
}

// Cookies returns every cookie that the browser holds.
func (b *Browser) Cookies(ctx context.Context) ([]*http.Cookie, error) {
	result, err := call(ctx, b, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		return nil, err
	}
	cookies := make([]*http.Cookie, len(result.Cookies))
	for i, c := range result.Cookies {
		cookies[i] = fromCookie(c)
	}
	return cookies, nil
}

// call runs a command of the browser itself, bounded.
func call[P, R any](ctx context.Context, b *Browser, command cdp.Command[P, R], params P) (R, error) {
	p, err := b.alive()
	if err != nil {
		var none R
		return none, err
	}
	within, cancel := p.within(ctx, commandTimeout)
	defer cancel()
	result, err := chromedp.CallBrowser(within, command, params)
	switch {
	case err == nil:
		return result, nil
	case p.dead():
		return result, resourceError("%s: %w", command.Method, ErrLost)
	case ctx.Err() != nil:
		return result, fmt.Errorf("%s: %w", command.Method, context.Cause(ctx))
	case within.Err() != nil:
		return result, resourceError("%s: the browser did not answer within %v", command.Method, commandTimeout)
	}
	return result, fmt.Errorf("%s: %w", command.Method, err)
}

func toParam(c *http.Cookie) *network.CookieParam {
	p := &network.CookieParam{
		Name: c.Name, Value: c.Value, Path: c.Path, Secure: c.Secure, HTTPOnly: c.HttpOnly, SameSite: toSameSite(c.SameSite),
	}
	if p.Path == "" {
		p.Path = "/"
	}
	if !c.Expires.IsZero() {
		p.Expires = cdp.TimeSinceEpoch(float64(c.Expires.UnixMilli()) / 1000)
	}
	if strings.HasPrefix(c.Domain, ".") {
		p.Domain = c.Domain
		return p
	}
	// Given as a domain it would cover the sub-domains. As a URL's host it does not, which "__Host-" cookies insist on.
	scheme := "http"
	if c.Secure {
		scheme = "https"
	}
	p.URL = scheme + "://" + c.Domain + p.Path
	return p
}

func fromCookie(c *network.Cookie) *http.Cookie {
	cookie := &http.Cookie{
		Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HttpOnly: c.HTTPOnly,
		SameSite: fromSameSite(c.SameSite),
	}
	if !c.Session && c.Expires > 0 {
		cookie.Expires = time.UnixMilli(int64(c.Expires * 1000)).UTC()
	}
	return cookie
}

func toSameSite(s http.SameSite) network.CookieSameSite {
	switch s {
	case http.SameSiteLaxMode:
		return network.CookieSameSiteLax
	case http.SameSiteStrictMode:
		return network.CookieSameSiteStrict
	case http.SameSiteNoneMode:
		return network.CookieSameSiteNone
	}
	return ""
}

func fromSameSite(s network.CookieSameSite) http.SameSite {
	switch s {
	case network.CookieSameSiteLax:
		return http.SameSiteLaxMode
	case network.CookieSameSiteStrict:
		return http.SameSiteStrictMode
	case network.CookieSameSiteNone:
		return http.SameSiteNoneMode
	}
	return 0
}
