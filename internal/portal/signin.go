package portal

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/purserhq/purser/internal/po"
)

// signInScript fills in and sends the sign-in form.
//
//go:embed signin.js
var signInScript string

// maxForms is how many forms a sign-in may take: some ask for the user first, then for the password, then send the browser on.
const maxForms = 4

// SignIn signs the user in by the portal's form. A refusal is a PROFILE_ERROR that concerns the whole portal, and is not worth
// a retry with the same password: portals lock accounts.
func (p *Profile) SignIn(tab context.Context, user, password string) error {
	if p.Form.User == "" {
		return refusal("the profile %s does not say how to sign in: give it a sign_in part, or put the cookies of a session into the secret", p.Name)
	}
	v, err := p.open(tab, p.Base+p.Form.URL)
	if err != nil {
		return everyone(err)
	}
	defer v.close()

	q := p.ask(kindSignedIn, "")
	q.SignedIn = p.Session.SignedIn
	q.UnknownAfter = p.Patience.SignIn.Milliseconds()
	q.Form = &formQuestion{User: p.Form.User, Password: p.Form.Password, Refused: p.Form.Refused}
	passwordSent := false
	for range maxForms + 1 {
		a, err := v.ask(q)
		if err != nil {
			return everyone(err)
		}
		switch {
		case a.Kind == kindSignedIn:
			return nil
		case a.Kind == kindRefused:
			return refusal("the portal refused the user or the password: %s", cut(a.Reason))
		case a.Kind == kindForm && a.Fields.Password && passwordSent:
			return refusal("the portal refused the user or the password: it shows the sign-in form again")
		case a.Kind != kindForm && q.Form.Sent:
			return refusal("signing in was not finished: after the form was sent, %s shows %s (title %q)", withoutQuery(a.URL), cut(a.Reason), cut(a.Title))
		case a.Kind != kindForm:
			return refusal("no sign-in form was found: %s shows %s (title %q)", withoutQuery(a.URL), cut(a.Reason), cut(a.Title))
		}
		if err := p.mayEnter(a.URL); err != nil {
			return err
		}
		if err := v.send(p.Form, user, password); err != nil {
			return everyone(err)
		}
		q.Form.Sent = true
		passwordSent = passwordSent || a.Fields.Password
	}
	return refusal("signing in took more than %d forms", maxForms)
}

// mayEnter refuses to enter a password into a page of a host that the profile does not name.
func (p *Profile) mayEnter(address string) error {
	u, err := url.Parse(address)
	if err == nil && (p.Allowed(u) || matchAny(p.origins(p.Form.Hosts), u)) {
		return nil
	}
	return refusal("the sign-in form is at %s, which the profile does not name: add its host to sign_in.hosts if it is right", withoutQuery(address))
}

// send fills in the form in the script context whose address was checked, and in no other.
func (v *visit) send(form Form, user, password string) error {
	argument, err := json.Marshal(map[string]string{
		"user_field": form.User, "password_field": form.Password, "submit": form.Submit, "user": user, "password": password,
	})
	if err != nil {
		return refusal("the user or the password cannot be sent: %v", err)
	}
	_, err = v.evaluate(v.context, "("+strings.TrimRight(signInScript, "; \n")+")("+string(argument)+")")
	if err != nil && v.ctx.Err() != nil {
		return v.failed(err)
	}
	return nil // an answer that the next page cut off is no failure: what the next page shows counts
}

func refusal(format string, args ...any) error {
	e := po.Errorf(po.CodeProfile, format, args...)
	e.Wide = true
	return e
}

// withoutQuery is the address without query and fragment, which may hold tokens.
func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")
	return address
}
