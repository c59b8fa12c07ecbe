package portal

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

//go:embed profiles/*.yaml
var builtins embed.FS

// Builtins names the profiles that need no file.
func Builtins() []string {
	entries, err := builtins.ReadDir("profiles")
	if err != nil { // it is embedded
		panic(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Load reads a built-in profile by its name, or a profile from a YAML file.
func Load(nameOrFile string) (*Profile, error) {
	if slices.Contains(Builtins(), nameOrFile) {
		data, err := builtins.ReadFile("profiles/" + nameOrFile + ".yaml")
		if err != nil { // it is embedded
			panic(err)
		}
		return Parse(data, nameOrFile+".yaml")
	}
	data, err := os.ReadFile(nameOrFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no portal profile %q: name a built-in one (%s) or a YAML file", nameOrFile,
			strings.Join(Builtins(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the portal profile: %w", err)
	}
	return Parse(data, filepath.Base(nameOrFile))
}

// Parse reads a profile. What is wrong with it is said with the line: "acme.yaml:12:3: …"; name stands for the file.
func Parse(data []byte, name string) (*Profile, error) {
	file := &source{name: name}
	err := file.read(func() (err error) {
		file.tree, err = parser.ParseBytes(data, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	var head struct {
		Extends string `yaml:"extends"`
	}
	if err := file.read(func() error { return yaml.Unmarshal(data, &head) }); err != nil {
		return nil, err
	}
	p := &Profile{}
	if head.Extends != "" {
		if !slices.Contains(Builtins(), head.Extends) {
			return nil, file.at("extends", "no built-in profile is called %q: there are %s", head.Extends,
				strings.Join(Builtins(), ", "))
		}
		if head.Extends+".yaml" == name {
			return nil, file.at("extends", "a profile cannot extend itself")
		}
		if p, err = Load(head.Extends); err != nil {
			return nil, err
		}
	}
	attachments, mentions := p.Attachments, p.Mentions
	p.Attachments, p.Mentions = nil, nil
	if err := file.read(func() error { return yaml.UnmarshalWithOptions(data, p, yaml.Strict()) }); err != nil {
		return nil, err
	}
	p.file = file
	p.Attachments = extend(attachments, p.Attachments, func(r AttachmentRule) string { return r.Name })
	p.Mentions = extend(mentions, p.Mentions, func(m Mention) string { return m.Name })
	if err := p.complete(); err != nil {
		return nil, err
	}
	return p, nil
}

// extend is the base's rules and the profile's own behind them; one of the same name takes the base's place.
func extend[T any](base, own []T, name func(T) string) []T {
	var rules []T
	for _, r := range base {
		if !slices.ContainsFunc(own, func(o T) bool { return name(o) == name(r) }) {
			rules = append(rules, r)
		}
	}
	return append(rules, own...)
}

// source is the YAML that a profile was read from.
type source struct {
	name string
	tree *ast.File
}

// read runs a step of the YAML library and puts its error into one line, with file, line and column. The library panics on some
// malformed tags (a "!" before a value that is no list); that is an error like any other.
func (s *source) read(step func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: this is no YAML that can be read: tags (!) and other rarities have no place here", s.name)
		}
	}()
	err = step()
	if err == nil {
		return nil
	}
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		pos := e.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", s.name, pos.Line, pos.Column, oneLine(e.GetMessage()))
	}
	return fmt.Errorf("%s: %s", s.name, oneLine(err.Error()))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// at is an error about the setting at path ("po.is[0].pattern"), with the line on which it stands, or on which the part
// stands that it is missing from.
func (s *source) at(path, format string, args ...any) error {
	text := oneLine(path + ": " + fmt.Sprintf(format, args...))
	for rest := path; rest != ""; rest = parent(rest) {
		p, err := yaml.PathString("$." + rest)
		if err != nil {
			continue
		}
		node, err := p.FilterFile(s.tree)
		if err != nil || node == nil || node.GetToken() == nil {
			continue
		}
		pos := node.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", s.name, pos.Line, pos.Column, text)
	}
	return fmt.Errorf("%s: %s", s.name, text)
}

// parent is the path of what the setting at path is part of.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}
