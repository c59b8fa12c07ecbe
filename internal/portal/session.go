package portal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Session is what opens the portal: the cookies of a signed-in browser, or a user who may sign in by the form, or both.
// A cookie's Domain starts with a dot when the cookie also goes to hosts below it; without one it goes to that host only.
type Session struct {
	Cookies            []*http.Cookie
	Username, Password string
}

// CanSignIn tells whether the session can be renewed by the sign-in form.
func (s *Session) CanSignIn() bool { return s.Username != "" && s.Password != "" }

// String tells what the session has, never its secrets.
func (s *Session) String() string {
	return fmt.Sprintf("session with %d cookies, sign-in %t", len(s.Cookies), s.CanSignIn())
}

// GoString is String, so that no way of printing a session shows its secrets.
func (s *Session) GoString() string { return s.String() }

// ParseSession reads a session as people export it: a JSON array of cookies (as browser extensions and Puppeteer write it), a
// Netscape cookies.txt, a Playwright storage state, or {"username":…,"password":…}, which may stand beside "cookies". Its
// errors never repeat what was read, for that is secret.
func ParseSession(data []byte) (*Session, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 {
		return nil, errors.New("the session secret is empty")
	}
	var s *Session
	var err error
	switch data[0] {
	case '[':
		s = &Session{}
		s.Cookies, err = parseJSONCookies(data)
	case '{':
		s, err = parseJSONSession(data)
	default:
		s = &Session{}
		s.Cookies, err = parseNetscape(string(data))
	}
	if err != nil {
		return nil, fmt.Errorf("the session secret cannot be read: %w", err)
	}
	if len(s.Cookies) == 0 && !s.CanSignIn() {
		return nil, errors.New(`the session secret has neither cookies nor "username" and "password"`)
	}
	return s, nil
}

func parseJSONSession(data []byte) (*Session, error) {
	var state struct {
		Cookies  json.RawMessage `json:"cookies"`
		Username string          `json:"username"`
		Password string          `json:"password"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, secretError(err)
	}
	s := &Session{Username: state.Username, Password: state.Password}
	if (s.Username == "") != (s.Password == "") {
		return nil, errors.New(`"username" and "password" must both be there`)
	}
	if len(state.Cookies) == 0 || string(state.Cookies) == "null" {
		return s, nil
	}
	var err error
	s.Cookies, err = parseJSONCookies(state.Cookies)
	return s, err
}

// secretError is a JSON error without the text that it is about.
func secretError(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("it is not valid JSON at byte %d", syntax.Offset)
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%q has the wrong type at byte %d", kind.Field, kind.Offset)
	}
	return errors.New("it is not valid JSON")
}

// jsonCookie has the fields of all exports: expirationDate and hostOnly are browser extensions', expires is Puppeteer's and
// Playwright's (-1 for a session cookie).
type jsonCookie struct {
	Name           string   `json:"name"`
	Value          string   `json:"value"`
	Domain         string   `json:"domain"`
	Path           string   `json:"path"`
	Secure         bool     `json:"secure"`
	HTTPOnly       bool     `json:"httpOnly"`
	HostOnly       *bool    `json:"hostOnly"`
	SameSite       string   `json:"sameSite"`
	Expires        *float64 `json:"expires"`
	ExpirationDate *float64 `json:"expirationDate"`
}

func parseJSONCookies(data []byte) ([]*http.Cookie, error) {
	var list []jsonCookie
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, secretError(err)
	}
	var cookies []*http.Cookie
	for i, j := range list {
		c := &http.Cookie{
			Name: j.Name, Value: j.Value, Domain: j.Domain, Path: j.Path, Secure: j.Secure, HttpOnly: j.HTTPOnly,
			SameSite: sameSite(j.SameSite),
		}
		if j.HostOnly != nil {
			c.Domain = hostDomain(j.Domain, !*j.HostOnly)
		}
		for _, at := range []*float64{j.Expires, j.ExpirationDate} {
			if at != nil {
				c.Expires = expiry(*at)
			}
		}
		if err := checkCookie(c); err != nil {
			return nil, fmt.Errorf("cookie %d: %w", i+1, err)
		}
		cookies = append(cookies, c)
	}
	return cookies, nil
}

// parseNetscape reads a cookies.txt: domain, whether hosts below it count, path, secure, expiry, name, value, tabs between them.
func parseNetscape(text string) ([]*http.Cookie, error) {
	var cookies []*http.Cookie
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r")
		line, httpOnly := strings.CutPrefix(line, "#HttpOnly_")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) == 6 { // a cookie without a value whose last tab an editor cut off
			fields = append(fields, "")
		}
		if len(fields) != 7 {
			return nil, fmt.Errorf("it is neither JSON nor a Netscape cookies.txt: line %d has %d fields between tabs, not 7", i+1, len(fields))
		}
		at, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: the fifth field is no time in seconds", i+1)
		}
		c := &http.Cookie{
			Domain: hostDomain(fields[0], strings.EqualFold(fields[1], "TRUE")), Path: fields[2],
			Secure: strings.EqualFold(fields[3], "TRUE"), Expires: expiry(at), Name: fields[5], Value: fields[6], HttpOnly: httpOnly,
		}
		if err := checkCookie(c); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		cookies = append(cookies, c)
	}
	return cookies, nil
}

// hostDomain is the domain with a leading dot when hosts below it count, and without one when not.
func hostDomain(domain string, below bool) string {
	domain = strings.TrimPrefix(domain, ".")
	if below && domain != "" {
		return "." + domain
	}
	return domain
}

// expiry is the time of an export: seconds since 1970, zero or less for a cookie that ends with the browser.
func expiry(seconds float64) time.Time {
	if math.IsNaN(seconds) || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(min(seconds, 253402300799)), 0).UTC() // the year 9999
}

func sameSite(s string) http.SameSite {
	switch strings.ToLower(s) {
	case "lax":
		return http.SameSiteLaxMode
	case "strict":
		return http.SameSiteStrictMode
	case "none", "no_restriction":
		return http.SameSiteNoneMode
	}
	return 0
}

// checkCookie finds what no browser would take, and completes the path.
func checkCookie(c *http.Cookie) error {
	c.Domain = strings.ToLower(strings.TrimSpace(c.Domain))
	if c.Path == "" {
		c.Path = "/"
	}
	switch {
	case c.Name == "":
		return errors.New("it has no name")
	case strings.ContainsAny(c.Name, "=;,\r\n\t \x00") || strings.ContainsAny(c.Value, ";\r\n\x00"):
		return errors.New("its name or value holds a character that no cookie may have")
	case c.Domain == "" || strings.ContainsAny(c.Domain, "/;, \t\r\n\x00"):
		return errors.New("it has no domain that can be read")
	case !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, ";\r\n\x00"):
		return errors.New("its path does not start with a slash")
	}
	return nil
}
