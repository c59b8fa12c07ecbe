package dynamodb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// names are the aliases and values that a request's expressions may use; each must be used.
type names struct {
	aliases    map[string]string
	values     item
	usedAlias  map[string]bool
	usedValues map[string]bool
}

func newNames(aliases map[string]string, values item) *names {
	return &names{aliases: aliases, values: values, usedAlias: map[string]bool{}, usedValues: map[string]bool{}}
}

// unused is an error when an alias or a value stands in no expression, as DynamoDB has it.
func (n *names) unused() error {
	for alias := range n.aliases {
		if !n.usedAlias[alias] {
			return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", alias)
		}
	}
	for name := range n.values {
		if !n.usedValues[name] {
			return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
	}
	return nil
}

// parser reads one expression, token by token.
type parser struct {
	*names
	parameter string // whose value is read, for errors
	tokens    []string
	next      int
}

func isWord(c byte) bool {
	return c == '_' || c == '#' || c == ':' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func newParser(parameter, expression string, n *names) (*parser, error) {
	p := &parser{names: n, parameter: parameter}
	for i := 0; i < len(expression); {
		c, end := expression[i], i+1
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
			continue
		case isWord(c):
			for end < len(expression) && isWord(expression[end]) {
				end++
			}
		case strings.HasPrefix(expression[i:], "<>"), strings.HasPrefix(expression[i:], "<="), strings.HasPrefix(expression[i:], ">="):
			end++
		case strings.IndexByte("=<>()[],.+-", c) < 0:
			return nil, invalid("Invalid %s: Syntax error; token: %q", parameter, string(c))
		}
		p.tokens = append(p.tokens, expression[i:end])
		i = end
	}
	if len(p.tokens) == 0 {
		return nil, invalid("Invalid %s: The expression can not be empty;", parameter)
	}
	return p, nil
}

// at is the token n places ahead; "" at the end.
func (p *parser) at(n int) string {
	if p.next+n < len(p.tokens) {
		return p.tokens[p.next+n]
	}
	return ""
}

func (p *parser) take() string {
	t := p.at(0)
	p.next++
	return t
}

// accept takes the token if it is this word, in any case.
func (p *parser) accept(word string) bool {
	if !strings.EqualFold(p.at(0), word) || word == "" {
		return false
	}
	p.next++
	return true
}

func (p *parser) expect(word string) error {
	if !p.accept(word) {
		return p.unexpected()
	}
	return nil
}

func (p *parser) unexpected() error {
	token := p.at(0)
	if token == "" {
		token = "<EOF>"
	}
	near := strings.Join(p.tokens[max(0, min(p.next-1, len(p.tokens))):min(len(p.tokens), p.next+2)], " ")
	return invalid("Invalid %s: Syntax error; token: %q, near: %q", p.parameter, token, near)
}

// done is an error when something is left over.
func (p *parser) done() error {
	if p.next < len(p.tokens) {
		return p.unexpected()
	}
	return nil
}

// value takes a :value.
func (p *parser) value() (*value, error) {
	token := p.at(0)
	if !strings.HasPrefix(token, ":") {
		return nil, p.unexpected()
	}
	v, ok := p.values[token]
	if !ok {
		return nil, invalid("Invalid %s: An expression attribute value used in expression is not defined; attribute value: %s",
			p.parameter, token)
	}
	p.next++
	p.usedValues[token] = true
	return v, nil
}

// path takes a document path: names and #aliases with dots between, each maybe with [list indexes].
func (p *parser) path() (path, error) {
	var out path
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		out = append(out, step{name: name, index: -1})
		for p.accept("[") {
			n, err := strconv.Atoi(p.at(0))
			if err != nil || n < 0 {
				return nil, p.unexpected()
			}
			p.next++
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			out = append(out, step{index: n})
		}
		if !p.accept(".") {
			return out, nil
		}
	}
}

func (p *parser) name() (string, error) {
	token := p.at(0)
	switch {
	case token == "" || !isWord(token[0]) || token[0] == ':' || '0' <= token[0] && token[0] <= '9':
		return "", p.unexpected()
	case token[0] == '#':
		name, ok := p.aliases[token]
		if !ok {
			return "", invalid("Invalid %s: An expression attribute name used in the document path is not defined; attribute name: %s",
				p.parameter, token)
		}
		p.usedAlias[token] = true
		p.next++
		return name, nil
	case reserved(token):
		return "", invalid("Invalid %s: Attribute name is a reserved keyword; reserved keyword: %s", p.parameter, token)
	}
	p.next++
	return token, nil
}

// step is one part of a path: a name, or (index ≥ 0) a place in a list.
type step struct {
	name  string
	index int
}

// path leads to an attribute, or into its maps and lists.
type path []step

func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case i > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// get is the value at the path; nil when there is none.
func (p path) get(it item) *value {
	v := it[p[0].name]
	for _, s := range p[1:] {
		switch {
		case v == nil:
			return nil
		case s.index < 0:
			v = v.fields[s.name]
		case s.index < len(v.list):
			v = v.list[s.index]
		default:
			return nil
		}
	}
	return v
}

// set puts the value at the path, whose parent must be there. A place behind the end of a list appends.
func (p path) set(it item, v *value) error {
	last := p[len(p)-1]
	if len(p) == 1 {
		it[last.name] = v
		return nil
	}
	parent := p[:len(p)-1].get(it)
	switch {
	case parent == nil, last.index >= 0 && parent.kind != "L", last.index < 0 && parent.kind != "M":
		return invalid("The document path provided in the update expression is invalid for update")
	case last.index < 0:
		parent.fields[last.name] = v
	case last.index < len(parent.list):
		parent.list[last.index] = v
	default:
		parent.list = append(parent.list, v)
	}
	return nil
}

// overlaps tells whether one path leads into the other.
func (p path) overlaps(q path) bool {
	n := min(len(p), len(q))
	return slices.Equal(p[:n], q[:n])
}

// parsePaths reads a ProjectionExpression; nil when there is none.
func parsePaths(expression *string, n *names) ([]path, error) {
	if expression == nil {
		return nil, nil
	}
	p, err := newParser("ProjectionExpression", *expression, n)
	if err != nil {
		return nil, err
	}
	var out []path
	for {
		next, err := p.path()
		if err != nil {
			return nil, err
		}
		for _, other := range out {
			if other.overlaps(next) {
				return nil, invalid("Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one"+
					" of these paths; path one: [%s], path two: [%s]", other, next)
			}
		}
		out = append(out, next)
		if !p.accept(",") {
			return out, p.done()
		}
	}
}

// project is the part of the item that the paths name; all of it when there are no paths. Of a list it has the named elements
// only, in their order.
func project(it item, paths []path) item {
	if paths == nil || it == nil {
		return it
	}
	root := &value{kind: "M", fields: item{}}
	lists := map[*value]map[int]*value{} // elements of the lists under way, by their place
	for _, p := range paths {
		if v := p.get(it); v != nil {
			place(root, p, v, it, lists)
		}
	}
	for list, elements := range lists {
		for _, i := range sortedKeys(elements) {
			list.list = append(list.list, elements[i])
		}
	}
	return root.fields
}

func sortedKeys(m map[int]*value) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// place copies v to the path p below node, making the maps and lists on the way.
func place(node *value, p path, v *value, it item, lists map[*value]map[int]*value) {
	for i, s := range p {
		next := v
		if i < len(p)-1 {
			next = child(node, s, lists)
			if next == nil {
				next = &value{kind: p[:i+1].get(it).kind}
				if next.kind == "M" {
					next.fields = item{}
				} else {
					next.list, lists[next] = []*value{}, map[int]*value{}
				}
			}
		}
		if s.index >= 0 {
			lists[node][s.index] = next
		} else {
			node.fields[s.name] = next
		}
		node = next
	}
}

func child(node *value, s step, lists map[*value]map[int]*value) *value {
	if s.index >= 0 {
		return lists[node][s.index]
	}
	return node.fields[s.name]
}
