package dynamodb

import (
	"slices"
	"strings"
)

// action is one change of an UpdateExpression: SET, REMOVE, ADD or DELETE at a path.
type action struct {
	clause string
	at     path
	value  setOperand // nil for REMOVE
}

// setOperand is a value that SET computes from the item as it was.
type setOperand func(item) (*value, error)

func parseUpdate(expression *string, n *names) ([]action, error) {
	if expression == nil {
		return nil, nil
	}
	p, err := newParser("UpdateExpression", *expression, n)
	if err != nil {
		return nil, err
	}
	var out []action
	seen := map[string]bool{}
	for p.at(0) != "" {
		clause := strings.ToUpper(p.at(0))
		if !slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, clause) {
			return nil, p.unexpected()
		}
		if seen[clause] {
			return nil, invalid(`Invalid UpdateExpression: The "%s" section can only be used once in an update expression;`, clause)
		}
		seen[clause] = true
		p.next++
		for {
			a, err := p.action(clause)
			if err != nil {
				return nil, err
			}
			for _, other := range out {
				if other.at.overlaps(a.at) {
					return nil, invalid("Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of"+
						" these paths; path one: [%s], path two: [%s]", other.at, a.at)
				}
			}
			out = append(out, a)
			if !p.accept(",") {
				break
			}
		}
	}
	return out, nil
}

func (p *parser) action(clause string) (action, error) {
	at, err := p.path()
	a := action{clause: clause, at: at}
	if err != nil || clause == "REMOVE" {
		return a, err
	}
	if clause == "SET" {
		if err := p.expect("="); err != nil {
			return a, err
		}
		a.value, err = p.sum()
		return a, err
	}
	v, err := p.value()
	if err != nil {
		return a, err
	}
	if !v.isSet() && (clause == "DELETE" || v.kind != "N") {
		return a, invalid("Invalid UpdateExpression: Incorrect operand type for operator or function; operator: %s, operand type: %s",
			clause, v.kind)
	}
	a.value = func(item) (*value, error) { return v, nil }
	return a, nil
}

// sum is a value of SET: one operand, or two with + or - between.
func (p *parser) sum() (setOperand, error) {
	a, err := p.setOperand()
	if err != nil {
		return nil, err
	}
	sign := p.at(0)
	if sign != "+" && sign != "-" {
		return a, nil
	}
	p.next++
	b, err := p.setOperand()
	if err != nil {
		return nil, err
	}
	return func(it item) (*value, error) {
		x, err := present(a, it)
		if err != nil {
			return nil, err
		}
		y, err := present(b, it)
		if err != nil {
			return nil, err
		}
		if x.kind != "N" || y.kind != "N" {
			return nil, invalid("An operand in the update expression has an incorrect data type")
		}
		n, err := addNumbers(x.text, y.text, sign == "-")
		return numberOf(n), err
	}, nil
}

// present is the operand's value, which must be there.
func present(o setOperand, it item) (*value, error) {
	v, err := o(it)
	if err == nil && v == nil {
		return nil, invalid("The provided expression refers to an attribute that does not exist in the item")
	}
	return v, err
}

// setOperand is a :value, a path, if_not_exists(path, operand) or list_append(operand, operand).
func (p *parser) setOperand() (setOperand, error) {
	if p.at(1) == "(" {
		switch strings.ToLower(p.at(0)) {
		case "if_not_exists":
			return p.ifNotExists()
		case "list_append":
			return p.listAppend()
		}
		return nil, invalid("Invalid UpdateExpression: Invalid function name; function: %s", p.at(0))
	}
	o, err := p.operand()
	if err != nil {
		return nil, err
	}
	return func(it item) (*value, error) { return o(it), nil }, nil
}

func (p *parser) ifNotExists() (setOperand, error) {
	p.next += 2 // the name and the parenthesis
	at, err := p.path()
	if err != nil {
		return nil, err
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	otherwise, err := p.setOperand()
	if err != nil {
		return nil, err
	}
	return func(it item) (*value, error) {
		if v := at.get(it); v != nil {
			return v, nil
		}
		return otherwise(it)
	}, p.expect(")")
}

func (p *parser) listAppend() (setOperand, error) {
	p.next += 2 // the name and the parenthesis
	a, err := p.setOperand()
	if err != nil {
		return nil, err
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	b, err := p.setOperand()
	if err != nil {
		return nil, err
	}
	return func(it item) (*value, error) {
		x, err := present(a, it)
		if err != nil {
			return nil, err
		}
		y, err := present(b, it)
		if err != nil {
			return nil, err
		}
		if x.kind != "L" || y.kind != "L" {
			return nil, invalid("An operand in the update expression has an incorrect data type")
		}
		return &value{kind: "L", list: slices.Concat(x.list, y.list)}, nil
	}, p.expect(")")
}

// updated is the item after the actions, each of which reads the item as it was before.
func updated(old item, actions []action) (item, error) {
	it := old.clone()
	var removed []path
	for _, a := range actions {
		if a.clause == "REMOVE" {
			removed = append(removed, a.at)
			continue
		}
		v, err := present(a.value, old)
		if err != nil {
			return nil, err
		}
		v, err = a.result(a.at.get(old), v)
		if err != nil {
			return nil, err
		}
		if v == nil {
			removed = append(removed, a.at)
		} else if err := a.at.set(it, v); err != nil {
			return nil, err
		}
	}
	remove(it, removed)
	return it, nil
}

// result is what stands at the path afterwards; nil for nothing.
func (a action) result(present, v *value) (*value, error) {
	switch {
	case a.clause == "SET", a.clause == "ADD" && present == nil:
		return v.clone(), nil
	case a.clause == "DELETE" && present == nil:
		return nil, nil
	case present.kind != v.kind:
		return nil, invalid("An operand in the update expression has an incorrect data type")
	case a.clause == "ADD" && v.kind == "N":
		n, err := addNumbers(present.text, v.text, false)
		return numberOf(n), err
	}
	out := present.clone()
	if a.clause == "ADD" {
		for _, member := range v.set {
			if !slices.Contains(out.set, member) {
				out.set = append(out.set, member)
			}
		}
		return out, nil
	}
	out.set = slices.DeleteFunc(out.set, func(member string) bool { return slices.Contains(v.set, member) })
	if len(out.set) == 0 {
		return nil, nil // there are no empty sets
	}
	return out, nil
}

// remove takes the paths out. List elements are only marked first, so that the indexes of the others stay true.
func remove(it item, paths []path) {
	lists := map[*value]bool{}
	for _, p := range paths {
		last := p[len(p)-1]
		if len(p) == 1 {
			delete(it, last.name)
			continue
		}
		parent := p[:len(p)-1].get(it)
		switch {
		case parent == nil:
		case last.index < 0:
			delete(parent.fields, last.name)
		case last.index < len(parent.list):
			parent.list[last.index] = nil
			lists[parent] = true
		}
	}
	for l := range lists {
		l.list = slices.DeleteFunc(l.list, func(v *value) bool { return v == nil })
	}
}
