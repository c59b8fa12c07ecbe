package dynamodb

import (
	"slices"
	"strconv"
	"strings"
)

// condition tells whether an item, nil for one that does not exist, meets it.
type condition func(item) bool

// operand is a value that may depend on the item; nil when it has none.
type operand func(item) *value

// parseCondition reads a ConditionExpression or FilterExpression; no expression is met by all.
func parseCondition(parameter string, expression *string, n *names) (condition, error) {
	if expression == nil {
		return func(item) bool { return true }, nil
	}
	p, err := newParser(parameter, *expression, n)
	if err != nil {
		return nil, err
	}
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	return c, p.done()
}

func (p *parser) or() (condition, error) {
	left, err := p.and()
	for err == nil && p.accept("OR") {
		l := left
		var r condition
		r, err = p.and()
		left = func(it item) bool { return l(it) || r(it) }
	}
	return left, err
}

func (p *parser) and() (condition, error) {
	left, err := p.not()
	for err == nil && p.accept("AND") {
		l := left
		var r condition
		r, err = p.not()
		left = func(it item) bool { return l(it) && r(it) }
	}
	return left, err
}

func (p *parser) not() (condition, error) {
	if p.accept("NOT") {
		c, err := p.not()
		return func(it item) bool { return !c(it) }, err
	}
	if p.accept("(") {
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		return c, p.expect(")")
	}
	if p.at(1) == "(" && !strings.EqualFold(p.at(0), "size") {
		return p.function()
	}
	return p.comparison()
}

// comparison is two operands with an operator, BETWEEN or IN.
func (p *parser) comparison() (condition, error) {
	a, err := p.operand()
	if err != nil {
		return nil, err
	}
	switch {
	case p.accept("BETWEEN"):
		low, err := p.operand()
		if err != nil {
			return nil, err
		}
		if err := p.expect("AND"); err != nil {
			return nil, err
		}
		high, err := p.operand()
		return func(it item) bool {
			v := a(it)
			x, okX := compare(v, low(it))
			y, okY := compare(v, high(it))
			return okX && okY && x >= 0 && y <= 0
		}, err
	case p.accept("IN"):
		return p.in(a)
	}
	operator := p.at(0)
	if !slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, operator) {
		return nil, p.unexpected()
	}
	p.next++
	b, err := p.operand()
	return func(it item) bool { return holds(a(it), operator, b(it)) }, err
}

func holds(a *value, operator string, b *value) bool {
	switch operator {
	case "=":
		return equal(a, b)
	case "<>":
		return !equal(a, b)
	}
	order, ok := compare(a, b)
	if !ok {
		return false
	}
	switch operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (p *parser) in(a operand) (condition, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var choices []operand
	for {
		choice, err := p.operand()
		if err != nil {
			return nil, err
		}
		choices = append(choices, choice)
		if !p.accept(",") {
			break
		}
	}
	return func(it item) bool {
		v := a(it)
		return slices.ContainsFunc(choices, func(choice operand) bool { return equal(v, choice(it)) })
	}, p.expect(")")
}

// operand is a :value, a path, or the size() of what is at a path.
func (p *parser) operand() (operand, error) {
	if strings.HasPrefix(p.at(0), ":") {
		v, err := p.value()
		return func(item) *value { return v }, err
	}
	if strings.EqualFold(p.at(0), "size") && p.at(1) == "(" {
		p.next += 2
		of, err := p.path()
		if err != nil {
			return nil, err
		}
		return func(it item) *value { return sizeOf(of.get(it)) }, p.expect(")")
	}
	at, err := p.path()
	if err != nil {
		return nil, err
	}
	return at.get, nil
}

// sizeOf is the function size(): bytes of text and binary, elements of the rest; numbers and truth values have none.
func sizeOf(v *value) *value {
	switch {
	case v == nil:
		return nil
	case v.kind == "S", v.kind == "B":
		return numberOf(strconv.Itoa(len(v.text)))
	case v.isSet():
		return numberOf(strconv.Itoa(len(v.set)))
	case v.kind == "L":
		return numberOf(strconv.Itoa(len(v.list)))
	case v.kind == "M":
		return numberOf(strconv.Itoa(len(v.fields)))
	}
	return nil
}

// function is one of the functions that are conditions by themselves.
func (p *parser) function() (condition, error) {
	name := strings.ToLower(p.take())
	p.next++ // the parenthesis
	at, err := p.path()
	if err != nil {
		return nil, err
	}
	switch name {
	case "attribute_exists":
		return func(it item) bool { return at.get(it) != nil }, p.expect(")")
	case "attribute_not_exists":
		return func(it item) bool { return at.get(it) == nil }, p.expect(")")
	}
	test := map[string]func(a, b *value) bool{
		"attribute_type": func(a, b *value) bool { return b.kind == "S" && a.kind == b.text },
		"begins_with":    beginsWith,
		"contains":       contains,
	}[name]
	if test == nil {
		return nil, invalid("Invalid %s: Invalid function name; function: %s", p.parameter, name)
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	argument, err := p.operand()
	if err != nil {
		return nil, err
	}
	return func(it item) bool {
		a, b := at.get(it), argument(it)
		return a != nil && b != nil && test(a, b)
	}, p.expect(")")
}

func beginsWith(a, b *value) bool {
	return a.kind == b.kind && (a.kind == "S" || a.kind == "B") && strings.HasPrefix(a.text, b.text)
}

// contains tells whether text has a part, a set has a member, or a list has an element.
func contains(a, b *value) bool {
	switch {
	case a.kind == "S", a.kind == "B":
		return a.kind == b.kind && strings.Contains(a.text, b.text)
	case a.isSet():
		return a.kind[:1] == b.kind && slices.Contains(a.set, b.text)
	}
	return slices.ContainsFunc(a.list, func(x *value) bool { return equal(x, b) })
}
