package dynamodb

import (
	"math/big"
	"strconv"
	"strings"
)

// Limits of DynamoDB's numbers.
const (
	maxDigits   = 38
	maxExponent = 126  // of 0.DIGITS: 9.99…E+125
	minExponent = -129 // 1E-130
)

// decimal is ±0.DIGITS × 10^exponent; zero has no digits.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// parseDecimal reads a number as JSON and people write it.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		d.negative, s = true, rest
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > 1000 || e < -1000 {
			return d, false
		}
		d.exponent, s = e, s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return d, false
	}
	d.exponent += len(whole)
	significant := strings.TrimLeft(digits, "0")
	d.exponent -= len(digits) - len(significant)
	d.digits = strings.TrimRight(significant, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	return d, len(d.digits) <= maxDigits && d.exponent <= maxExponent && d.exponent >= minExponent
}

// String is the number without an exponent, the same for equal numbers.
func (d decimal) String() string {
	var s string
	switch {
	case d.digits == "":
		return "0"
	case d.exponent <= 0:
		s = "0." + strings.Repeat("0", -d.exponent) + d.digits
	case d.exponent >= len(d.digits):
		s = d.digits + strings.Repeat("0", d.exponent-len(d.digits))
	default:
		s = d.digits[:d.exponent] + "." + d.digits[d.exponent:]
	}
	if d.negative {
		return "-" + s
	}
	return s
}

// appendOrdered appends bytes that sort as the numbers do, and of which none is the beginning of another's.
func (d decimal) appendOrdered(key []byte) []byte {
	const negative, zero, positive = 0x40, 0x80, 0xc0
	if d.digits == "" {
		return append(key, zero)
	}
	e := uint16(d.exponent + 0x4000) //nolint:gosec // within the limits above
	ordered := append([]byte{byte(e >> 8), byte(e)}, d.digits...)
	ordered = append(ordered, 0)
	if !d.negative {
		return append(append(key, positive), ordered...)
	}
	for i := range ordered { // the larger the magnitude, the smaller the number
		ordered[i] = ^ordered[i]
	}
	return append(append(key, negative), ordered...)
}

// addNumbers adds or subtracts two numbers in normal form, exactly.
func addNumbers(a, b string, subtract bool) (string, error) {
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	if !okX || !okY {
		return "", invalid("The parameter cannot be converted to a numeric value")
	}
	if subtract {
		x.Sub(x, y)
	} else {
		x.Add(x, y)
	}
	const places = maxDigits - minExponent // no number has more
	d, ok := parseDecimal(x.FloatString(places))
	if !ok {
		return "", invalid("Number overflow. Attempting to store a number with magnitude or precision larger than supported range")
	}
	return d.String(), nil
}
