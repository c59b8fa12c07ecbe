package dynamodb

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// maxItem is the most that an item may weigh.
const maxItem = 400 << 10

// value is one attribute value.
type value struct {
	kind   string   // S, N, B, BOOL, NULL, SS, NS, BS, L or M
	text   string   // of S; of N in normal form; of B the bytes
	truth  bool     // of BOOL and NULL
	set    []string // members of SS, NS and BS, each as in text
	list   []*value
	fields item
}

// item is a record, or the fields of a map.
type item map[string]*value

func numberOf(n string) *value { return &value{kind: "N", text: n} }

func (v *value) isSet() bool { return v.kind == "SS" || v.kind == "NS" || v.kind == "BS" }

// UnmarshalJSON reads {"S": "text"} and the like.
func (v *value) UnmarshalJSON(data []byte) error {
	var typed map[string]json.RawMessage
	if err := json.Unmarshal(data, &typed); err != nil {
		return err
	}
	if len(typed) != 1 {
		return invalid("Supplied AttributeValue is empty or has several types, must contain exactly one of the supported datatypes")
	}
	for kind, raw := range typed {
		v.kind = kind
		return v.read(raw)
	}
	return nil
}

func (v *value) read(raw json.RawMessage) error {
	switch v.kind {
	case "S", "N", "B":
		var err error
		if err = json.Unmarshal(raw, &v.text); err == nil {
			v.text, err = fromWire(v.kind, v.text)
		}
		return err
	case "SS", "NS", "BS":
		return v.readSet(raw)
	case "L":
		v.list = []*value{}
		return json.Unmarshal(raw, &v.list)
	case "M":
		v.fields = item{}
		return json.Unmarshal(raw, &v.fields)
	case "BOOL", "NULL":
		return json.Unmarshal(raw, &v.truth)
	}
	return invalid("Supplied AttributeValue has the unknown type %s", v.kind)
}

func (v *value) readSet(raw json.RawMessage) error {
	if err := json.Unmarshal(raw, &v.set); err != nil {
		return err
	}
	if len(v.set) == 0 {
		return invalid("One or more parameter values were invalid: a set may not be empty")
	}
	seen := map[string]bool{}
	for i, member := range v.set {
		text, err := fromWire(v.kind[:1], member)
		if err != nil {
			return err
		}
		if seen[text] {
			return invalid("One or more parameter values were invalid: Input collection contains duplicates.")
		}
		seen[text] = true
		v.set[i] = text
	}
	return nil
}

func fromWire(kind, text string) (string, error) {
	switch kind {
	case "N":
		d, ok := parseDecimal(text)
		if !ok {
			return "", invalid("The parameter cannot be converted to a numeric value, or has more than 38 digits or too large a"+
				" magnitude: %s", text)
		}
		return d.String(), nil
	case "B":
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", &apiError{code: "SerializationException", text: "a B value is not base64: " + err.Error()}
		}
		return string(decoded), nil
	}
	return text, nil
}

func toWire(kind, text string) string {
	if kind == "B" {
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	return text
}

// MarshalJSON writes what UnmarshalJSON reads.
func (v *value) MarshalJSON() ([]byte, error) {
	var content any
	switch v.kind {
	case "S", "N", "B":
		content = toWire(v.kind, v.text)
	case "SS", "NS", "BS":
		members := make([]string, len(v.set))
		for i, member := range v.set {
			members[i] = toWire(v.kind[:1], member)
		}
		content = members
	case "L":
		content = v.list
	case "M":
		content = v.fields
	default:
		content = v.truth
	}
	encoded, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(encoded)+len(v.kind)+5)
	out = append(out, `{"`...)
	out = append(out, v.kind...)
	out = append(out, `":`...)
	out = append(out, encoded...)
	return append(out, '}'), nil
}

// appendOrdered appends bytes that sort as key values do: numbers by size, text and binary by their bytes. None is the
// beginning of another's, so that a second value may follow.
func (v *value) appendOrdered(key []byte) []byte {
	if v.kind == "N" {
		d, _ := parseDecimal(v.text) // it is in normal form
		return d.appendOrdered(key)
	}
	for i := range len(v.text) {
		if key = append(key, v.text[i]); v.text[i] == 0 {
			key = append(key, 0xff)
		}
	}
	return append(key, 0, 1)
}

// compare orders two values of the same ordered kind; ok is false for all else.
func compare(a, b *value) (order int, ok bool) {
	if a == nil || b == nil || a.kind != b.kind {
		return 0, false
	}
	switch a.kind {
	case "N":
		return bytes.Compare(a.appendOrdered(nil), b.appendOrdered(nil)), true
	case "S", "B":
		return strings.Compare(a.text, b.text), true
	}
	return 0, false
}

func equal(a, b *value) bool {
	if a == nil || b == nil || a.kind != b.kind {
		return false
	}
	switch {
	case a.isSet():
		return slices.Equal(slices.Sorted(slices.Values(a.set)), slices.Sorted(slices.Values(b.set)))
	case a.kind == "L":
		return slices.EqualFunc(a.list, b.list, equal)
	case a.kind == "M":
		return maps.EqualFunc(a.fields, b.fields, equal)
	}
	return a.text == b.text && a.truth == b.truth
}

func (v *value) clone() *value {
	if v == nil {
		return nil
	}
	c := *v
	c.set = slices.Clone(v.set)
	c.list = slices.Clone(v.list)
	for i := range c.list {
		c.list[i] = c.list[i].clone()
	}
	if v.fields != nil {
		c.fields = v.fields.clone()
	}
	return &c
}

func (it item) clone() item {
	c := make(item, len(it))
	for name, v := range it {
		c[name] = v.clone()
	}
	return c
}

// size is what the value weighs, by AWS's rules for items.
func (v *value) size() int {
	const container = 3
	switch {
	case v.kind == "S", v.kind == "B":
		return len(v.text)
	case v.kind == "N":
		return len(v.text)/2 + 2
	case v.isSet():
		n := container
		for _, member := range v.set {
			n += len(member)
		}
		return n
	case v.kind == "L":
		n := container
		for _, x := range v.list {
			n += 1 + x.size()
		}
		return n
	case v.kind == "M":
		return container + v.fields.size()
	}
	return 1
}

func (it item) size() (n int) {
	for name, v := range it {
		n += len(name) + v.size()
	}
	return n
}
