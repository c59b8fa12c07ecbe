package portal

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// complete checks a profile that was read, and fills in what it may leave out.
func (p *Profile) complete() error {
	c := &checker{file: p.file}

	c.need("name", p.Name)
	if p.Base != "" {
		base, err := cleanBase(p.Base)
		if err != nil {
			c.wrong("base_url", "%q %v", p.Base, err)
		}
		p.Base = base
	}
	for i, host := range p.Hosts {
		c.host(fmt.Sprintf("allowed_hosts[%d]", i), host)
	}
	p.PO.complete(c, "po", "{digits}", "{number}")
	if p.Requisition.URL != "" || len(p.Requisition.Is) > 0 {
		p.Requisition.complete(c, "requisition", "{id}")
	}
	p.completeAttachments(c)
	c.texts("supplier", p.Supplier, true)
	for i := range p.RequisitionLinks {
		l := &p.RequisitionLinks[i]
		l.Attribute = cmp.Or(l.Attribute, "href")
		path := fmt.Sprintf("requisition_links[%d]", i)
		c.text(path, *l, true)
		c.group(path+".pattern", l.Pattern, "the requisition's id")
	}
	if len(p.RequisitionLinks) > 0 && len(p.Requisition.Is) == 0 {
		c.wrong("requisition_links", "there is no requisition part to say what a requisition's page is")
	}

	c.markers("markers.sign_in", p.Markers.SignIn)
	c.markers("markers.not_found", p.Markers.NotFound)
	c.markers("markers.no_access", p.Markers.NoAccess)
	c.markers("markers.error", p.Markers.Error)

	c.need("session.probe", p.Session.URL)
	c.path("session.probe", p.Session.URL)
	if len(p.Session.SignedIn) == 0 {
		c.wrong("session.signed_in", "is missing: without it a session that has ended cannot be told from a PO that does not exist")
	}
	c.markers("session.signed_in", p.Session.SignedIn)

	p.Form.URL = cmp.Or(p.Form.URL, p.Session.URL)
	c.path("sign_in.url", p.Form.URL)
	if (p.Form.User == "") != (p.Form.Password == "") {
		c.wrong("sign_in", "needs the selectors of both fields, user and password")
	}
	c.selector("sign_in.user", p.Form.User)
	c.selector("sign_in.password", p.Form.Password)
	c.selector("sign_in.submit", p.Form.Submit)
	c.markers("sign_in.refused", p.Form.Refused)
	for i, host := range p.Form.Hosts {
		c.host(fmt.Sprintf("sign_in.hosts[%d]", i), host)
	}

	p.Patience.Unknown.complete(defaultUnknown)
	p.Patience.Load.complete(defaultLoad)
	p.Patience.Frame.complete(defaultFrame)
	p.Patience.SignIn.complete(defaultSignIn)

	for i, pattern := range p.Block {
		path := fmt.Sprintf("block[%d]", i)
		if c.need(path, pattern) && strings.Trim(pattern, "*:/") == "" {
			c.wrong(path, "%q would block every page", pattern)
		}
	}
	if p.Rates.PerSecond < 0 {
		c.wrong("rate.per_second", "must not be negative")
	}
	if p.Rates.PerHost < 0 {
		c.wrong("rate.per_host", "must not be negative")
	}
	p.Rates.PerHost = cmp.Or(p.Rates.PerHost, defaultPerHost)
	return c.err
}

func (d *Document) complete(c *checker, path string, placeholders ...string) {
	if c.need(path+".url", d.URL) {
		c.path(path+".url", d.URL)
		known := false
		for _, placeholder := range placeholders {
			known = known || strings.Contains(d.URL, placeholder)
		}
		if !known {
			c.wrong(path+".url", "%q does not say where the number goes: %s", d.URL, strings.Join(placeholders, " or "))
		}
	}
	if len(d.Is) == 0 {
		c.wrong(path+".is", "is missing: without it another page could be taken for the one that was asked for")
	}
	for i, rule := range d.Is {
		at := fmt.Sprintf("%s.is[%d]", path, i)
		c.text(at, rule, true)
		c.group(at+".pattern", rule.Pattern, "the number that the page shows")
	}
	for i := range d.Late {
		l := &d.Late[i]
		at := fmt.Sprintf("%s.late[%d]", path, i)
		c.need(at+".name", l.Name)
		c.need(at+".selector", l.Selector)
		c.selector(at+".selector", l.Selector)
		c.selector(at+".busy", l.Busy)
		c.selector(at+".failed", l.Failed)
		c.pattern(at+".requests", l.Requests)
		l.Settle.complete(defaultSettle)
		l.Timeout.complete(defaultTimeout)
	}
}

func (d *Duration) complete(usual time.Duration) { d.Duration = cmp.Or(d.Duration, usual) }

func (p *Profile) completeAttachments(c *checker) {
	if len(p.Attachments) == 0 {
		c.wrong("attachments", "is missing: there is no rule that finds an attachment")
	}
	names := map[string]bool{}
	for i := range p.Attachments {
		r := &p.Attachments[i]
		at := fmt.Sprintf("attachments[%d]", i)
		if c.need(at+".name", r.Name) && names[r.Name] {
			c.wrong(at+".name", "two rules are called %q", r.Name)
		}
		names[r.Name] = true
		c.need(at+".link", r.Link)
		c.selector(at+".link", r.Link)
		c.selector(at+".within", r.Within)
		c.selector(at+".click", r.Click)
		c.selector(at+".except", r.Except)
		c.pattern(at+".file", r.File)
		c.pattern(at+".ignore", r.Ignore)
		if len(r.URL) == 0 {
			r.URL = []string{"href"}
		}
		if len(r.Label) == 0 {
			r.Label = []Text{{Attribute: "download"}, {Attribute: "title"}, {Attribute: "aria-label"}, {}}
		}
		c.texts(at+".label", r.Label, false)
	}
	for i, m := range p.Mentions {
		at := fmt.Sprintf("mentions[%d]", i)
		c.need(at+".name", m.Name)
		c.need(at+".selector", m.Selector)
		c.selector(at+".selector", m.Selector)
		c.pattern(at+".pattern", m.Pattern)
		for j, rule := range m.Rules {
			if !names[rule] {
				c.wrong(fmt.Sprintf("%s.rules[%d]", at, j), "no attachment rule is called %q", rule)
			}
		}
	}
}

// checker keeps the first thing that is wrong with a profile.
type checker struct {
	file *source
	err  error
}

func (c *checker) wrong(path, format string, args ...any) {
	if c.err == nil {
		c.err = c.file.at(path, format, args...)
	}
}

func (c *checker) need(path, value string) bool {
	if strings.TrimSpace(value) == "" {
		c.wrong(path, "is missing")
		return false
	}
	return true
}

func (c *checker) path(path, value string) {
	if value != "" && (!strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//")) {
		c.wrong(path, "%q must start with one slash: it is a path below the base URL", value)
	}
}

var hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)*(:[0-9]{1,5})?$`)

func (c *checker) host(path, value string) {
	if !hostPattern.MatchString(value) {
		c.wrong(path, `%q is no host: write "files.example.com", "*.example.com" or "host:port", without https://`, value)
	}
}

func (c *checker) texts(path string, texts []Text, needSelector bool) {
	for i, t := range texts {
		c.text(fmt.Sprintf("%s[%d]", path, i), t, needSelector)
	}
}

func (c *checker) text(path string, t Text, needSelector bool) {
	if needSelector {
		c.need(path+".selector", t.Selector)
	}
	c.selector(path+".selector", t.Selector)
	c.pattern(path+".pattern", t.Pattern)
}

func (c *checker) markers(path string, markers []Marker) {
	for i, m := range markers {
		at := fmt.Sprintf("%s[%d]", path, i)
		if m == (Marker{}) || (m.Pattern != "" && m.Selector == "") {
			c.wrong(at, "a marker needs a url, a text, a status or a selector (with a pattern of its text, if need be)")
		}
		c.pattern(at+".url", m.URL)
		c.selector(at+".selector", m.Selector)
		c.pattern(at+".pattern", m.Pattern)
		if m.Status != 0 && (m.Status < 200 || m.Status > 599) {
			c.wrong(at+".status", "%d is no HTTP status", m.Status)
		}
	}
}

// What Go's regular expressions know and JavaScript's do not: escapes of a letter, and groups and classes of a special kind.
var (
	escapes     = regexp.MustCompile(`\\.`)
	goEscape    = regexp.MustCompile(`^\\[AzQEpPCx]$`)
	goConstruct = regexp.MustCompile(`\(\?[^:]|\[\[:`)
)

// pattern checks that a regular expression means the same in Go, which checks it, and in JavaScript, which runs it.
func (c *checker) pattern(path, pattern string) {
	if pattern == "" {
		return
	}
	if _, err := regexp.Compile(pattern); err != nil {
		c.wrong(path, "%v", err)
	}
	found := goConstruct.FindString(escapes.ReplaceAllString(pattern, ""))
	for _, escape := range escapes.FindAllString(pattern, -1) {
		found = cmp.Or(found, goEscape.FindString(escape))
	}
	if found != "" {
		c.wrong(path, "%q cannot be used: not every regular expression engine knows it", found)
	}
}

// group checks that the pattern has exactly one group, which is what.
func (c *checker) group(path, pattern, what string) {
	if pattern == "" {
		c.wrong(path, "is missing: its group is %s", what)
		return
	}
	if re, err := regexp.Compile(pattern); err == nil && re.NumSubexp() != 1 {
		c.wrong(path, "%q must have one (group), %s; write other groups as (?:…)", pattern, what)
	}
}

// selector finds the usual slips in a CSS selector: brackets or quotes that are not closed. The browser finds the rest.
func (c *checker) selector(path, selector string) {
	var open []rune
	var quote rune
	escaped := false
	for _, r := range selector {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '[' || r == '(':
			open = append(open, map[rune]rune{'[': ']', '(': ')'}[r])
		case r == ']' || r == ')':
			if len(open) == 0 || open[len(open)-1] != r {
				c.wrong(path, "%q is no CSS selector: %q closes nothing", selector, r)
				return
			}
			open = open[:len(open)-1]
		}
	}
	if quote != 0 || len(open) > 0 {
		c.wrong(path, "%q is no CSS selector: a bracket or a quote is not closed", selector)
	}
}
