package fetch

import (
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path"
	"strings"
)

// session is what the browser is to the portal: its cookies and its name.
type session struct {
	jar       *cookiejar.Jar
	userAgent string
}

func newSession(cookies []*http.Cookie, userAgent string) *session {
	// No public suffix list is needed: cookies go to allowed hosts only, whatever domain they name.
	jar, err := cookiejar.New(nil)
	if err != nil { // cookiejar.New has no error to return
		panic(err)
	}
	for _, cookie := range cookies {
		host := strings.TrimPrefix(cookie.Domain, ".")
		if host == "" {
			continue
		}
		own := *cookie
		own.Domain = host
		if !strings.HasPrefix(cookie.Domain, ".") || net.ParseIP(host) != nil {
			own.Domain = "" // that host alone
		}
		if own.Path == "" {
			own.Path = "/"
		}
		if strings.Contains(host, ":") { // IPv6
			host = "[" + host + "]"
		}
		jar.SetCookies(&url.URL{Scheme: "https", Host: host, Path: path.Clean("/" + own.Path)}, []*http.Cookie{&own})
	}
	return &session{jar: jar, userAgent: userAgent}
}

// cookieHeader is the Cookie header for the address. http.Request.AddCookie would drop quotes from a value and put others around
// it; browsers send it as it was set.
func (s *session) cookieHeader(u *url.URL) string {
	var pairs []string
	for _, cookie := range s.jar.Cookies(u) {
		value := cookie.Value
		if cookie.Quoted {
			value = `"` + value + `"`
		}
		pairs = append(pairs, cookie.Name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

// signInWords are parts of addresses that lead to a sign-in page rather than to a file.
var signInWords = map[string]bool{
	"login": true, "signin": true, "sign_in": true, "sign-in": true, "logon": true, "sso": true, "saml": true, "saml2": true,
	"oauth": true, "oauth2": true, "openid": true, "openid-connect": true, "adfs": true, "auth": true,
}

// signInAddress tells whether an address looks like that of a sign-in page or an identity provider.
func signInAddress(u *url.URL) bool {
	p := strings.ToLower(u.Path)
	if strings.HasSuffix(p, "/sessions/new") {
		return true
	}
	for _, word := range append(strings.Split(p, "/"), strings.Split(strings.ToLower(u.Hostname()), ".")...) {
		if signInWords[strings.TrimSuffix(word, path.Ext(word))] {
			return true
		}
	}
	return false
}
