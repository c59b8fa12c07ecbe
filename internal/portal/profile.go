package portal

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/purserhq/purser/internal/po"
)

// Profile describes one kind of portal. It is written in YAML: docs/profiles.md explains it to those who write one, the
// built-in coupa.yaml is the fullest example. Selectors are CSS. Patterns are regular expressions in the syntax that Go and
// JavaScript share; they ignore case, and where one has a group, the group is what counts.
type Profile struct {
	Name string `yaml:"name"`
	// Extends names a built-in profile whose settings hold where this one has none. A list replaces the whole list, but for
	// attachments and mentions: those are added to the built-in's, and replace the ones of the same name.
	Extends string `yaml:"extends"`
	// Base is the portal's address, with a path when it does not live at the root. PORTAL_BASE_URL wins over it.
	Base string `yaml:"base_url"`
	// Hosts beside the base URL's own that files may be fetched from and that get the session's cookies:
	// "files.example.com", "*.example.com", with ":port" when it is not the usual one.
	Hosts []string `yaml:"allowed_hosts"`

	PO          Document `yaml:"po"`
	Requisition Document `yaml:"requisition"`

	Attachments []AttachmentRule `yaml:"attachments"`
	Mentions    []Mention        `yaml:"mentions"`
	Supplier    []Text           `yaml:"supplier"`
	// RequisitionLinks are read on a PO's page. The pattern's group is the requisition's id; the attribute is href when none
	// is named.
	RequisitionLinks []Text `yaml:"requisition_links"`

	Markers  Markers  `yaml:"markers"`
	Session  Probe    `yaml:"session"`
	Form     Form     `yaml:"sign_in"`
	Patience Patience `yaml:"patience"`

	// Block are URL patterns (* stands for anything) of what the browser need not load. They must not change what is read:
	// a blocked style sheet, say, can keep a page's script from rendering.
	Block []string `yaml:"block"`
	Rates Rates    `yaml:"rate"`

	file *source // where the profile came from, for errors with line numbers
}

// Document is a kind of page: a PO's or a requisition's.
type Document struct {
	// URL below the base URL. {number} is the PO's number as the sheet has it, {digits} is it without PO or PM, {id} is the
	// requisition's id.
	URL string `yaml:"url"`
	// Is proves that a page is of this kind and which one it is: every rule must match, and every group must be the number
	// that was asked for. PO and PM before a number are ignored on both sides.
	Is []Text `yaml:"is"`
	// Late are the parts that a script fills in after the page has loaded.
	Late []Late `yaml:"late"`
}

// Text is a place on the page to read a text from: of the first element with a non-empty one that matches the pattern.
type Text struct {
	Selector  string `yaml:"selector" json:"selector,omitempty"`   // what is read; in a label, "" is the link itself
	Attribute string `yaml:"attribute" json:"attribute,omitempty"` // "" is the element's text
	Pattern   string `yaml:"pattern" json:"pattern,omitempty"`     // its group, if it has one, is the value
}

// Late is a part of the page that a script fills in. The page is read when the part stands there and has come to rest.
type Late struct {
	Name     string `yaml:"name" json:"name"`
	Selector string `yaml:"selector" json:"selector"` // the mount point: it must exist, and it is ready when it has children
	Optional bool   `yaml:"optional" json:"optional"` // a page without the mount point is fine
	Busy     string `yaml:"busy" json:"busy"`         // selector; while it matches inside the part, the part is not ready
	Failed   string `yaml:"failed" json:"failed"`     // selector; when it matches inside the part, the part did not load
	// Requests is a pattern of the URLs that the part's script asks. One of them that fails means that the part did not load,
	// one that is under way that it is not ready.
	Requests string `yaml:"requests" json:"requests"`
	// Settle is how long the part must have been left unchanged, Timeout how long it is waited for at all.
	Settle  Duration `yaml:"settle" json:"-"`
	Timeout Duration `yaml:"timeout" json:"-"`
}

// AttachmentRule finds the attachments of one shape.
type AttachmentRule struct {
	Name string `yaml:"name" json:"name"`
	// Within selects elements each of which is an attachment: one in which no link can be read makes the page unreadable.
	// Without it, links are looked for everywhere, and those that are none are passed over.
	Within string   `yaml:"within" json:"within"`
	Link   string   `yaml:"link" json:"link"`     // selects the links, in Within or in the page
	URL    []string `yaml:"url" json:"url"`       // attributes of the link that hold the address, best first; href when empty
	File   string   `yaml:"file" json:"file"`     // pattern of a file's address; a link to anything else is not an attachment
	Click  string   `yaml:"click" json:"click"`   // selects what may be clicked, in the link or it itself, when no address can be fetched
	Except string   `yaml:"except" json:"except"` // selects what is no attachment, and what contains only such
	Ignore string   `yaml:"ignore" json:"ignore"` // pattern of the labels of what is no attachment
	// Label are the places where the file's name may stand, best first: download, title, aria-label and text of the link when
	// empty. The first that looks like a file's name wins, else the first that is not empty.
	Label []Text `yaml:"label" json:"label"`
}

// Mention is a sign that the page has attachments. Where the pattern has a group, it is their number. Fewer attachments than
// mentioned make the page unreadable.
type Mention struct {
	Name     string   `yaml:"name" json:"name"`
	Selector string   `yaml:"selector" json:"selector"`
	Pattern  string   `yaml:"pattern" json:"pattern"`
	Rules    []string `yaml:"rules" json:"rules"` // names of the rules whose attachments count; all when empty
}

// Markers tell pages apart that are not the one asked for. They are tried in the order in which they stand here, and only when
// the page is neither the PO's nor another one's.
type Markers struct {
	SignIn   []Marker `yaml:"sign_in" json:"sign_in"`
	NotFound []Marker `yaml:"not_found" json:"not_found"`
	NoAccess []Marker `yaml:"no_access" json:"no_access"`
	Error    []Marker `yaml:"error" json:"error"`
}

// Marker is a sign on a page. All that it names must hold.
type Marker struct {
	URL      string `yaml:"url" json:"url,omitempty"`           // pattern of the path; of the whole address on another host
	Text     string `yaml:"text" json:"text,omitempty"`         // stands in the title or the visible text, in any case
	Selector string `yaml:"selector" json:"selector,omitempty"` // matches an element
	Pattern  string `yaml:"pattern" json:"pattern,omitempty"`   // of the element's text
	Status   int    `yaml:"status" json:"status,omitempty"`     // HTTP status
}

// Probe tells whether a session is alive.
type Probe struct {
	URL      string   `yaml:"probe"`     // a page that exists for everyone who is signed in
	SignedIn []Marker `yaml:"signed_in"` // any of them shows that someone is
}

// Form is the sign-in form.
type Form struct {
	URL      string   `yaml:"url"`      // where sign-in starts; the probe's page when empty
	User     string   `yaml:"user"`     // selector of the field for the user's name
	Password string   `yaml:"password"` // selector of the field for the password
	Submit   string   `yaml:"submit"`   // selector of the button; the form is submitted without one when empty
	Refused  []Marker `yaml:"refused"`  // any of them shows that the portal did not accept what was entered
	Hosts    []string `yaml:"hosts"`    // hosts beside the allowed ones into whose pages the password may be entered
}

// Patience is how long a page is waited for that is not what was asked for, or not whole. A page that is costs none of it.
type Patience struct {
	Unknown Duration `yaml:"unknown"` // for a loaded page that shows nothing known, as a script may still render it; 5 s
	Load    Duration `yaml:"load"`    // for a parsed page to load, from which a picture that never comes keeps it for ever; 3 s
	Frame   Duration `yaml:"frame"`   // for a frame of the portal's own; 20 s
	SignIn  Duration `yaml:"sign_in"` // for a form, and for the answer to one; 15 s
}

// Duration is a time like 500ms or 20s.
type Duration struct{ time.Duration }

// UnmarshalYAML reads a duration; what is wrong with it is said with its line.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	var text string
	err := yaml.NodeToValue(node, &text)
	if err == nil {
		d.Duration, err = time.ParseDuration(text)
	}
	if err != nil || d.Duration < 0 {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%s is no time: write it like 500ms or 20s", node), Token: node.GetToken()}
	}
	return nil
}

// Rates limit how files are fetched.
type Rates struct {
	PerSecond float64 `yaml:"per_second"` // requests a second over all; 0 is no limit
	PerHost   int     `yaml:"per_host"`   // requests at once of one host
}

// Defaults of what a profile may leave out.
const (
	defaultSettle  = 150 * time.Millisecond // a list that is rendered piece by piece pauses for less
	defaultTimeout = 20 * time.Second       // slow portals take 5 s for their comments
	defaultPerHost = 6                      // what browsers allow themselves

	defaultUnknown = 5 * time.Second
	defaultLoad    = 3 * time.Second
	defaultFrame   = 20 * time.Second
	defaultSignIn  = 15 * time.Second
)

// WithBaseURL is the profile for the portal at base, which wins over the profile's own base_url.
func (p *Profile) WithBaseURL(base string) (*Profile, error) {
	clean, err := cleanBase(base)
	if err != nil {
		return nil, fmt.Errorf("the portal's base URL %q %w", base, err)
	}
	q := *p
	q.Base = clean
	return &q, nil
}

// cleanBase checks a base URL and cuts the slash at its end. Its errors go on after the URL's name.
func cleanBase(base string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(base))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot be read; write it like https://portal.example.com")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Hostname() == "":
		return "", fmt.Errorf("must start with https:// (or http://) and a host")
	case u.User != nil:
		return "", fmt.Errorf("must not hold a user or a password: they belong into the session's secret")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("must not have a query or a fragment")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// BaseURL is where the portal is, without a slash at its end; empty when neither the profile nor WithBaseURL said it.
func (p *Profile) BaseURL() string { return p.Base }

// POURL is the address of the PO's page.
func (p *Profile) POURL(n po.Number) string {
	return p.Base + strings.NewReplacer(
		"{digits}", url.PathEscape(n.Digits()),
		"{number}", url.PathEscape(string(n)),
	).Replace(p.PO.URL)
}

// Allowed tells whether files may be fetched from the address, and whether the session's cookies may go there: the base
// URL's host and the allowed ones, never without TLS when the portal has it.
func (p *Profile) Allowed(u *url.URL) bool {
	if u == nil || u.User != nil {
		return false
	}
	return matchAny(p.origins(p.Hosts), u)
}

// origins are patterns of the origins "scheme://host:port" of the base URL and the hosts.
func (p *Profile) origins(hosts []string) []string {
	base, err := url.Parse(p.Base)
	if err != nil || base.Host == "" {
		return nil
	}
	scheme := "https"
	if base.Scheme == "http" {
		scheme = "https?"
	}
	patterns := []string{"^" + regexp.QuoteMeta(origin(base)) + "$"}
	for _, host := range hosts {
		name, port, found := strings.Cut(strings.ToLower(host), ":")
		if !found {
			port = "(?:443|80)"
			if scheme == "https" {
				port = "443"
			}
		}
		name = strings.Replace(regexp.QuoteMeta(name), `\*`, `[a-z0-9.-]+`, 1)
		patterns = append(patterns, "^"+scheme+"://"+name+":"+port+"$")
	}
	return patterns
}

// origin is the URL's scheme, host and port, the port always written out.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") { // IPv6
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + ":" + port
}

func matchAny(patterns []string, u *url.URL) bool {
	o := origin(u)
	for _, pattern := range patterns {
		if regexp.MustCompile(pattern).MatchString(o) {
			return true
		}
	}
	return false
}

// BlockedURLs are patterns for Network.setBlockedURLs: what costs time and cannot change what is read.
func (p *Profile) BlockedURLs() []string { return p.Block }

// Rate is how fast files may be asked for: requests a second over all (0: no limit), and how many at once of one host.
func (p *Profile) Rate() (perSecond float64, perHost int) { return p.Rates.PerSecond, p.Rates.PerHost }
