package portal

import (
	"errors"
	"net/url"
	"strings"

	"github.com/purserhq/purser/internal/po"
)

// Profile describes one kind of portal. docs/profiles.md explains it to those who write one.
type Profile struct {
	Name string `yaml:"name"`
	Base string `yaml:"base_url"`
	PO   struct {
		URL string `yaml:"url"`
	} `yaml:"po"`
	Hosts []string `yaml:"allowed_hosts"`
	Block []string `yaml:"block"`
	Rates struct {
		PerSecond float64 `yaml:"per_second"`
		PerHost   int     `yaml:"per_host"`
	} `yaml:"rate"`
}

// Load reads a built-in profile by its name, or a profile from a YAML file.
func Load(nameOrFile string) (*Profile, error) {
	return nil, errors.New("no profile is called " + nameOrFile)
}

// Parse reads a profile; name stands in its errors, with line numbers.
func Parse(data []byte, name string) (*Profile, error) {
	return nil, errors.New(name + ": is no profile")
}

// Builtins names the profiles that need no file.
func Builtins() []string { return []string{"coupa", "demo"} }

// WithBaseURL is the profile for the portal at base, which wins over the profile's own base_url.
func (p *Profile) WithBaseURL(base string) (*Profile, error) {
	q := *p
	q.Base = strings.TrimSuffix(base, "/")
	return &q, nil
}

// BaseURL is where the portal is, without a slash at its end.
func (p *Profile) BaseURL() string { return p.Base }

// POURL is the address of the PO's page.
func (p *Profile) POURL(n po.Number) string {
	return p.Base + strings.ReplaceAll(p.PO.URL, "{digits}", url.PathEscape(n.Digits()))
}

// Allowed tells whether files may be fetched from the address, and whether the session's cookies may go there.
func (p *Profile) Allowed(u *url.URL) bool { return false }

// BlockedURLs are patterns for Network.setBlockedURLs: what costs time and cannot change what is read.
func (p *Profile) BlockedURLs() []string { return p.Block }

// Rate is how fast files may be asked for: requests per second over all (0: no limit), and how many at once of one host.
func (p *Profile) Rate() (perSecond float64, perHost int) { return p.Rates.PerSecond, p.Rates.PerHost }
