package demo

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// SessionCookie is the name of the cookie that holds a session.
const SessionCookie = "_coupa_session"

// session is someone who signed in.
type session struct {
	user  User
	token string // in the cookie
	form  string // the token that forms carry, against forged requests
	views int
}

// sessions are those that live.
type sessions struct {
	mu   sync.Mutex
	live map[string]*session
}

func (s *sessions) start(u User) *session {
	started := &session{user: u, token: rand.Text(), form: rand.Text()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[started.token] = started
	return started
}

// of is the session that the request's cookie names, nil when it has ended.
func (s *sessions) of(r *http.Request) *session {
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[cookie.Value]
}

func (s *sessions) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, token)
}

// viewed counts a page view, and tells whether the session still had it: after limit views it ends. A limit of 0 is none.
func (s *sessions) viewed(v *session, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && v.views >= limit {
		delete(s.live, v.token)
		return false
	}
	v.views++
	return true
}

// ExpireSessions ends all sessions.
func (p *Portal) ExpireSessions() {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	clear(p.sessions.live)
}

// NewSession signs the first user in without the form, for tests that start with cookies.
func (p *Portal) NewSession() *http.Cookie {
	return cookie(p.sessions.start(p.options.Users[0]))
}

func cookie(s *session) *http.Cookie {
	return &http.Cookie{Name: SessionCookie, Value: s.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// signedIn lets only those pass who are signed in; others see what Faults.ExpiredAs says.
func (p *Portal) signedIn(show func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := p.sessions.of(r); s != nil {
			show(w, r, s)
			return
		}
		p.signedOut(w, r)
	}
}

func (p *Portal) signedOut(w http.ResponseWriter, r *http.Request) {
	f := p.Faults()
	if f.ExpiredAs == ExpiredOops {
		status := f.ExpiredStatus
		if status == 0 {
			status = http.StatusNotFound
		}
		p.oops(w, nil, status)
		return
	}
	http.Redirect(w, r, "/sessions/new?return_to="+url.QueryEscape(r.URL.RequestURI()), http.StatusFound)
}

func (p *Portal) signInForm(w http.ResponseWriter, r *http.Request) {
	p.renderSignIn(w, r.FormValue("return_to"), "")
}

func (p *Portal) renderSignIn(w http.ResponseWriter, returnTo, flash string) {
	p.render(w, http.StatusOK, page{Template: "sign_in", Controller: "sessions", Action: "new", Title: "Sign In", Flash: flash, ReturnTo: returnTo})
}

func (p *Portal) signIn(w http.ResponseWriter, r *http.Request) {
	returnTo := r.FormValue("return_to")
	for _, u := range p.options.Users {
		if u.Login != r.FormValue("user[login]") || u.Password != r.FormValue("user[password]") || p.Faults().RefuseSignIn {
			continue
		}
		p.stats.count(func(s *Stats) { s.SignIns++ })
		set := cookie(p.sessions.start(u))
		set.Secure = r.TLS != nil
		http.SetCookie(w, set)
		if !strings.HasPrefix(returnTo, "/") || strings.HasPrefix(returnTo, "//") || strings.HasPrefix(returnTo, "/\\") {
			returnTo = "/"
		}
		http.Redirect(w, r, returnTo, http.StatusFound)
		return
	}
	p.renderSignIn(w, returnTo, "Invalid login or password.")
}

func (p *Portal) signOut(w http.ResponseWriter, r *http.Request, s *session) {
	if r.FormValue("authenticity_token") != s.form {
		http.Error(w, "The form is too old. Go back, reload the page and try again.", http.StatusUnprocessableEntity)
		return
	}
	p.sessions.end(s.token)
	http.Redirect(w, r, "/", http.StatusFound)
}

// home is the landing page. Who is not signed in is sent to the form, whatever the faults say: here one can tell.
func (p *Portal) home(w http.ResponseWriter, r *http.Request) {
	s := p.sessions.of(r)
	if s == nil {
		http.Redirect(w, r, "/sessions/new", http.StatusFound)
		return
	}
	flash := ""
	if r.FormValue("denied") != "" {
		flash = "You are not authorized to view this purchase order."
	}
	p.render(w, http.StatusOK, page{Template: "home", Controller: "home", Action: "index", Title: "Home", Session: s, Flash: flash, Orders: p.catalogue.orders})
}
