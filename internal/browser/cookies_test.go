//go:build linux

package browser

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCookiesAreKeptAsTheyWereGiven(t *testing.T) {
	b := warmBrowser(t)
	later := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	given := []*http.Cookie{
		{Name: "__Host-strict", Value: "1", Domain: "portal.example.com", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode},
		{Name: "host_only", Value: "a=b", Domain: "portal.example.com", Path: "/orders", Expires: later},
		{Name: "wide", Value: "2", Domain: ".example.com", Path: "/", Secure: true, SameSite: http.SameSiteLaxMode},
	}
	require.NoError(t, b.SetCookies(t.Context(), given))
	got, err := b.Cookies(t.Context())
	require.NoError(t, err)
	slices.SortFunc(got, func(x, y *http.Cookie) int { return strings.Compare(x.Name, y.Name) })
	assert.Equal(t, given, got)

	require.NoError(t, b.ClearCookies(t.Context()))
	got, err = b.Cookies(t.Context())
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestEveryTabSendsTheSession(t *testing.T) {
	received := make(chan string, 4)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			received <- r.Header.Get("Cookie") + " " + r.UserAgent()
		}
	}))
	defer server.Close()
	b := warmBrowser(t)
	require.NoError(t, b.SetCookies(t.Context(), []*http.Cookie{{Name: "session", Value: "7", Domain: "127.0.0.1"}}))
	for range 2 {
		tab := openTab(t, b)
		navigate(t, tab, server.URL)
		tab.Close()
		assert.Equal(t, "session=7 "+b.UserAgent(), wait(t, received, "the request"))
	}
}

func TestACookieThatChromiumRefusesDoesNotSpoilTheOthers(t *testing.T) {
	b := warmBrowser(t)
	bad := &http.Cookie{Name: "__Host-bad", Value: "needs to be secure", Domain: "example.com"}
	require.NoError(t, b.SetCookies(t.Context(), []*http.Cookie{bad, {Name: "good", Value: "1", Domain: "example.com"}}))
	got, err := b.Cookies(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, "good", got[0].Name)

	require.ErrorContains(t, b.SetCookies(t.Context(), []*http.Cookie{bad}), `"__Host-bad"`)
}

func TestCookiesNeedABrowserThatRuns(t *testing.T) {
	b := New(Options{})
	_, err := b.Cookies(t.Context())
	require.ErrorIs(t, err, ErrNotRunning)
	assertOurs(t, err)
	require.ErrorIs(t, b.SetCookies(t.Context(), []*http.Cookie{{Name: "a"}}), ErrNotRunning)
}
