package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// parsers read what the environment writes differently from Go: seconds as plain numbers, Python's True and False and a time
// zone's name.
var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[time.Duration](): func(s string) (any, error) { return parseSeconds(s) },
	reflect.TypeFor[bool]():          func(s string) (any, error) { return parseBool(s) },
	reflect.TypeFor[time.Location](): func(s string) (any, error) { return parseLocation(s) },
	reflect.TypeFor[PRFallback]():    func(s string) (any, error) { return PRFallback(strings.ToLower(strings.TrimSpace(s))), nil },
	reflect.TypeFor[Layout]():        func(s string) (any, error) { return Layout(strings.ToLower(strings.TrimSpace(s))), nil },
}

// parseSeconds reads "300", "2.5" or Go's "5m".
func parseSeconds(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if n < 0 || n > 1e6 {
			return 0, errors.New("it must be 0 to 1000000 seconds")
		}
		return time.Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("it must be a number of seconds, such as 300, or a duration, such as 5m")
	}
	return d, nil
}

// parseBool reads what people write for yes and no.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "yes", "y", "on":
		return true, nil
	case "false", "0", "no", "n", "off":
		return false, nil
	}
	return false, errors.New("it must be true or false")
}

// parsePattern reads a regular expression that the whole PO number must match.
func parsePattern(s string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(`^(?:` + s + `)$`)
	if err != nil {
		return nil, fmt.Errorf("it must be a regular expression in Go's syntax: %w", err)
	}
	return re, nil
}

func parseLocation(s string) (time.Location, error) {
	loc, err := time.LoadLocation(strings.TrimPrefix(s, ":")) // Lambda sets TZ to ":UTC"
	if err != nil {
		return time.Location{}, errors.New("it must be a time zone's name, such as UTC or America/Sao_Paulo")
	}
	return *loc, nil
}

// explain puts a parse error into words: which setting, which value, what is allowed.
func explain(err error, variables map[string]string) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, e := range all.Errors {
		var p env.ParseError
		if !errors.As(e, &p) {
			errs = append(errs, e)
			continue
		}
		field, _ := reflect.TypeFor[Settings]().FieldByName(p.Name)
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		reason := p.Err.Error()
		var number *strconv.NumError
		if errors.As(p.Err, &number) {
			reason = "it must be a number"
		}
		errs = append(errs, fmt.Errorf("%s is %q; %s", name, variables[name], reason))
	}
	return errors.Join(errs...)
}
