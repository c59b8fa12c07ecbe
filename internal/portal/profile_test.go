package portal_test

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purserhq/purser/internal/portal"
)

// whole is the smallest profile that is complete.
const whole = `name: acme
base_url: https://acme.example.com
po:
  url: /orders/{digits}
  is:
    - {selector: title, pattern: 'Order (\d+)'}
attachments:
  - {name: files, link: a.file}
session:
  probe: /home
  signed_in:
    - {selector: .user}
`

func TestTheBuiltInProfilesAreWhole(t *testing.T) {
	if got := portal.Builtins(); !slices.Equal(got, []string{"coupa", "demo"}) {
		t.Errorf("built in are %v", got)
	}
	for _, name := range portal.Builtins() {
		p, err := portal.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name {
			t.Errorf("%s calls itself %s", name, p.Name)
		}
	}
	demo, err := portal.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	if got := demo.POURL("PO16900001"); got != demo.BaseURL()+"/order_headers/16900001" {
		t.Errorf("the demo profile has no PO page of coupa's: %s", got)
	}
	if len(demo.Attachments) < 4 || demo.PO.Late[0].Timeout.Duration != 20*time.Second {
		t.Errorf("the demo profile lost coupa's rules: %+v", demo)
	}
}

func TestAProfileExplainsWhatIsWrongAndWhere(t *testing.T) {
	for name, c := range map[string]struct{ yaml, says string }{
		"not YAML":                      {"name: [", "p.yaml:1:"},
		"unknown key":                   {strings.Replace(whole, "attachments:", "attachmets:", 1), `p.yaml:7:1: unknown field "attachmets"`},
		"unknown key inside":            {strings.Replace(whole, "probe:", "prob:", 1), "p.yaml:10:"},
		"wrong type":                    {strings.Replace(whole, "name: acme", "name: [a]", 1), "p.yaml:1:"},
		"key twice":                     {whole + "name: other\n", "p.yaml:13:1"},
		"no name":                       {strings.Replace(whole, "name: acme\n", "", 1), "name: is missing"},
		"base URL with a password":      {strings.Replace(whole, "https://", "https://me:secret@", 1), "p.yaml:2:"},
		"base URL without a scheme":     {strings.Replace(whole, "https://", "", 1), "must start with https://"},
		"base URL with a query":         {strings.Replace(whole, ".com", ".com/?x=1", 1), "query"},
		"no place for the number":       {strings.Replace(whole, "{digits}", "all", 1), "p.yaml:4:8: po.url"},
		"page URL is an address":        {strings.Replace(whole, "/orders/", "https://x/", 1), "p.yaml:4:"},
		"no proof of identity":          {strings.Replace(whole, "    - {selector: title, pattern: 'Order (\\d+)'}", "    []", 1), "p.yaml:6:5: po.is"},
		"identity without a number":     {strings.Replace(whole, `(\d+)`, `\d+`, 1), "p.yaml:6:"},
		"bad pattern":                   {strings.Replace(whole, `(\d+)`, `((\d+)`, 1), "p.yaml:6:"},
		"pattern that only Go knows":    {strings.Replace(whole, `(\d+)`, `(?i)(\d+)`, 1), "not every regular expression engine"},
		"escape that only Go knows":     {strings.Replace(whole, `(\d+)`, `(\d+)\z`, 1), `"\\z" cannot be used`},
		"selector that is not closed":   {strings.Replace(whole, "link: a.file", "link: 'a[href'", 1), "p.yaml:8:25: attachments[0].link"},
		"rule without a link":           {strings.Replace(whole, ", link: a.file", "", 1), "p.yaml:8:"},
		"two rules of one name":         {strings.Replace(whole, "session:", "  - {name: files, link: b}\nsession:", 1), "p.yaml:9:"},
		"no attachments":                {strings.Replace(whole, "attachments:\n  - {name: files, link: a.file}\n", "", 1), "attachments: is missing"},
		"no sign of a session":          {strings.Replace(whole, "  signed_in:\n    - {selector: .user}\n", "", 1), "session.signed_in"},
		"marker that says nothing":      {strings.Replace(whole, "{selector: .user}", "{}", 1), "p.yaml:12:"},
		"status that is none":           {whole + "markers:\n  not_found:\n    - {status: 4004}\n", "p.yaml:15:"},
		"mention of an unknown rule":    {whole + "mentions:\n  - {name: m, selector: h2, rules: [file]}\n", `p.yaml:14:`},
		"host with a scheme":            {whole + "allowed_hosts:\n  - https://x.example.com\n", "p.yaml:14:5: allowed_hosts[0]"},
		"password without a user":       {whole + "sign_in:\n  password: '#p'\n", "both fields"},
		"a block of everything":         {whole + "block: ['*']\n", "p.yaml:13:"},
		"a negative time":               {whole + "patience:\n  unknown: -3s\n", "p.yaml:14:"},
		"a time without a unit":         {whole + "patience:\n  unknown: soon\n", "p.yaml:14:"},
		"links to requisitions unknown": {whole + "requisition_links:\n  - {selector: a.r, pattern: '/r/(\\d+)'}\n", "requisition"},
		"extends what is not there":     {"name: x\nextends: ariba\n", "p.yaml:2:"},
		"wrong part of an extension":    {"name: x\nextends: coupa\nrate:\n  per_host: -1\n", "p.yaml:4:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := portal.Parse([]byte(c.yaml), "p.yaml")
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q does not say %q in one line", err, c.says)
			}
		})
	}
	for _, pattern := range []string{`(\d+)`, `\(?(\d+)\)?`, `(?:PO)?(\d+)`} {
		if _, err := portal.Parse([]byte(strings.Replace(whole, `(\d+)`, pattern, 1)), "p.yaml"); err != nil {
			t.Errorf("the whole profile with %s: %v", pattern, err)
		}
	}
}

func TestAProfileIsLoadedByNameOrFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acme.yaml")
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := portal.Load(file)
	if err != nil || p.Name != "acme" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := portal.Load("arriba"); err == nil || !strings.Contains(err.Error(), "coupa, demo") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestAnExtensionAddsRulesAndReplacesThoseOfTheSameName(t *testing.T) {
	p, err := portal.Parse([]byte("name: ours\nextends: coupa\nattachments:\n  - {name: comments, link: b}\n  - {name: tiles, link: x-tile}\n"), "ours.yaml")
	if err != nil {
		t.Fatal(err)
	}
	coupa, err := portal.Load("coupa")
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for _, r := range p.Attachments {
		links[r.Name] = r.Link
	}
	if links["comments"] != "b" || links["tiles"] != "x-tile" || links["header list"] == "" || len(p.Attachments) != len(coupa.Attachments)+1 {
		t.Errorf("rules: %v", links)
	}
}

func TestThePOsAddress(t *testing.T) {
	p, err := portal.Load("coupa")
	if err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string]string{
		"https://acme.coupahost.com":     "https://acme.coupahost.com/order_headers/15492200",
		"https://ACME.coupahost.com/":    "https://acme.coupahost.com/order_headers/15492200",
		"http://127.0.0.1:8080/portal//": "http://127.0.0.1:8080/portal/order_headers/15492200",
	} {
		q, err := p.WithBaseURL(base)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.POURL("PM15492200"); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
		if got := q.POURL("../admin?x"); strings.Contains(got, "../") || strings.Contains(got, "?") {
			t.Errorf("a number led to %s", got)
		}
	}
	if p.BaseURL() != "" {
		t.Errorf("WithBaseURL changed the profile it was called on")
	}
	for _, wrong := range []string{"", "acme.coupahost.com", "ftp://x", "https://", "https://a@b", "https://x/#f", "https://%zz"} {
		if _, err := p.WithBaseURL(wrong); err == nil {
			t.Errorf("%q was taken as a base URL", wrong)
		}
	}
}

func TestOnlyThePortalsHostsAreAllowed(t *testing.T) {
	p, err := portal.Parse([]byte(whole+"allowed_hosts: [files.example.com, '*.cdn.example.com', 'store.example.com:8443']\n"), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"https://acme.example.com/x":          true,
		"https://ACME.example.com:443/x":      true,
		"http://acme.example.com/x":           false, // never without TLS
		"https://acme.example.com:444/x":      false,
		"https://acme.example.com.evil.org/x": false,
		"https://evil.org/acme.example.com":   false,
		"https://acme.example.com@evil.org/":  false,
		"https://me@acme.example.com/":        false,
		"https://files.example.com/x":         true,
		"https://a.files.example.com/x":       false,
		"https://a.b.cdn.example.com/x":       true,
		"https://cdn.example.com/x":           false,
		"https://xcdn.example.com/x":          false,
		"https://store.example.com:8443/x":    true,
		"https://store.example.com/x":         false,
		"http://169.254.169.254/latest":       false,
		"file:///etc/passwd":                  false,
		"https:///x":                          false,
		"blob:https://acme.example.com/x":     false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Allowed(u); got != want {
			t.Errorf("%s: %t, want %t", address, got, want)
		}
	}
	if p.Allowed(nil) {
		t.Error("nothing is allowed")
	}
	bare, err := portal.Load("coupa")
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := url.Parse("https://acme.example.com"); bare.Allowed(u) {
		t.Error("a profile without a base URL allows a host")
	}
}

func TestNothingThatCarriesAttachmentsIsBlocked(t *testing.T) {
	p, err := portal.Load("coupa")
	if err != nil {
		t.Fatal(err)
	}
	blocked := func(address string) bool {
		return slices.ContainsFunc(p.BlockedURLs(), func(pattern string) bool { return wildcard(pattern, address) })
	}
	for address, want := range map[string]bool{
		"https://acme.coupahost.com/order_headers/15262984":                       false,
		"https://acme.coupahost.com/attachment/attachment_file/file/1/photo.png":  false,
		"https://acme.coupahost.com/attachment/attachment_file/type/2/x.svg":      false,
		"https://acme.coupahost.com/comments?order_header_id=15262984":            false,
		"https://acme.coupahost.com/assets/application-1f.js":                     false,
		"https://acme.coupahost.com/assets/application-1f.css":                    false,
		"https://acme.coupahost.com/assets/logo-1f.png":                           true,
		"https://www.google-analytics.com/collect?v=1":                            true,
		"https://acme.coupahost.com/analytics/events":                             true,
		"https://acme.coupahost.com/documents/8?disposition=attachment&x=y.woff2": false,
	} {
		if blocked(address) != want {
			t.Errorf("%s: blocked %t, want %t", address, !want, want)
		}
	}
}

// wildcard matches as Network.setBlockedURLs does: * stands for anything.
func wildcard(pattern, address string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(address, parts[0]) {
		return false
	}
	for i, part := range parts {
		at := strings.Index(address, part)
		if at < 0 {
			return false
		}
		if i == len(parts)-1 && part != "" {
			return strings.HasSuffix(address, part)
		}
		address = address[at+len(part):]
	}
	return true
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("name: x\nextends: coupa\npo: {late: [{name: a, selector: '['}]}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("po:\n  is:\n  - *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := portal.Parse(data, "p.yaml")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
			return
		}
		u, err := url.Parse("http://169.254.169.254/")
		if err != nil {
			t.Fatal(err)
		}
		if p.Allowed(u) && !strings.Contains(string(data), "169") && !strings.Contains(string(data), "*") {
			t.Error("a host is allowed that nobody named")
		}
		p.POURL("PO1")
	})
}
