package bzl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/label"
)

// Select is the value of select(), or of a concatenation that has one.
type Select struct{ Parts []SelectPart }

// A SelectPart is a plain value (Value is set) or one select() call.
type SelectPart struct {
	Value    starlark.Value
	Branches []Branch
	NoMatch  string // no_match_error
}

// A Branch is one entry of a select() call.
type Branch struct {
	Raw     starlark.Value // key as written: string or Label
	Key     label.Label    // after coercion; zero for the default
	Default bool
	Value   starlark.Value
}

var _ starlark.HasBinary = (*Select)(nil)

// defaultCondition is the key of the branch that matches when no other does.
const defaultCondition = "//conditions:default"

func (s *Select) String() string {
	var parts []string
	for _, p := range s.Parts {
		if p.Value != nil {
			parts = append(parts, p.Value.String())
			continue
		}
		var b []string
		for _, br := range p.Branches {
			b = append(b, br.Raw.String()+": "+br.Value.String())
		}
		parts = append(parts, "select({"+strings.Join(b, ", ")+"})")
	}
	return strings.Join(parts, " + ")
}

// Type is "select".
func (s *Select) Type() string         { return "select" }
func (s *Select) Truth() starlark.Bool { return true }

// Freeze freezes the values of all branches.
func (s *Select) Freeze() {
	for _, p := range s.Parts {
		if p.Value != nil {
			p.Value.Freeze()
		}
		for _, b := range p.Branches {
			b.Value.Freeze()
		}
	}
}

// Hash fails: selects are not hashable.
func (s *Select) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: select") }

// Binary concatenates with + and, for dicts, |.
func (s *Select) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if op != syntax.PLUS && op != syntax.PIPE {
		return nil, nil
	}
	var other []SelectPart
	switch y := y.(type) {
	case *Select:
		other = y.Parts
	case starlark.String, *starlark.List, *starlark.Dict, starlark.Tuple:
		other = []SelectPart{{Value: y}}
	default:
		return nil, nil
	}
	a, b := s.Parts, other
	if side == starlark.Right {
		a, b = b, a
	}
	if n := len(a) + len(b); n > maxParts {
		return nil, fmt.Errorf("a concatenation of %d select()s and values is too long: at most %d are made", n, maxParts)
	}
	return &Select{Parts: append(append([]SelectPart(nil), a...), b...)}, nil
}

func selectFn(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x *starlark.Dict
	var noMatch string
	if err := starlark.UnpackArgs("select", args, kwargs, "x", &x, "no_match_error?", &noMatch); err != nil {
		return nil, err
	}
	if x.Len() == 0 {
		return nil, fmt.Errorf("select: {} with no conditions can never resolve because it is missing a default: add one for \"%s\"", defaultCondition)
	}
	part := SelectPart{NoMatch: noMatch}
	for _, item := range x.Items() {
		switch item[0].(type) {
		case starlark.String, Label:
		default:
			return nil, fmt.Errorf("select: keys are labels of conditions, got %s", Describe(item[0]))
		}
		part.Branches = append(part.Branches, Branch{Raw: item[0], Value: item[1]})
	}
	return &Select{Parts: []SelectPart{part}}, nil
}

// coerceSelect converts all branches of s.
func (a *Attr) coerceSelect(s *Select, scope Scope) (*Select, error) {
	if a.Fixed {
		return nil, fmt.Errorf("attribute %q is not configurable: it cannot hold a select()", a.Name)
	}
	out := &Select{}
	for _, p := range s.Parts {
		if p.Value != nil {
			v, err := a.coerceValue(p.Value, scope)
			if err != nil {
				return nil, err
			}
			out.Parts = append(out.Parts, SelectPart{Value: v})
			continue
		}
		q := SelectPart{NoMatch: p.NoMatch}
		for _, b := range p.Branches {
			key, err := scope.ToLabel(b.Raw)
			if err != nil {
				return nil, fmt.Errorf("in a key of select(): %w", err)
			}
			c := Branch{Raw: b.Raw, Key: key, Value: starlark.None}
			if key.Package == "conditions" && key.Name == "default" {
				c.Key, c.Default = label.Label{}, true
			}
			if b.Value != starlark.None {
				if c.Value, err = a.coerceValue(b.Value, scope); err != nil {
					return nil, err
				}
			}
			q.Branches = append(q.Branches, c)
		}
		out.Parts = append(out.Parts, q)
	}
	return out, nil
}

// Resolve picks the branch of each select() with pick, which returns its index,
// and concatenates. The result is nil when the one branch chosen is None, which
// means the attribute's default.
func (s *Select) Resolve(pick func(p SelectPart) (int, error)) (starlark.Value, error) {
	var out starlark.Value
	for _, p := range s.Parts {
		v := p.Value
		if v == nil {
			i, err := pick(p)
			if err != nil {
				return nil, err
			}
			if v = p.Branches[i].Value; v == starlark.None {
				if len(s.Parts) == 1 {
					return nil, nil
				}
				continue
			}
		}
		if out == nil {
			out = v
			continue
		}
		op := syntax.PLUS
		if _, ok := v.(*starlark.Dict); ok {
			op = syntax.PIPE
		}
		var err error
		if out, err = starlark.Binary(op, out, v); err != nil {
			return nil, fmt.Errorf("in a concatenation of select()s: %w", err)
		}
	}
	if out != nil {
		out.Freeze()
	}
	return out, nil
}

// Labels calls yield for every label in the coerced value v, those of all
// branches of a select() and (cond true) of its conditions included.
func Labels(v starlark.Value, yield func(l label.Label, cond bool)) {
	switch v := v.(type) {
	case Label:
		yield(v.Label, false)
	case *starlark.List:
		for i := range v.Len() {
			Labels(v.Index(i), yield)
		}
	case *starlark.Dict:
		for _, item := range v.Items() {
			Labels(item[0], yield)
			Labels(item[1], yield)
		}
	case *Select:
		for _, p := range v.Parts {
			if p.Value != nil {
				Labels(p.Value, yield)
			}
			for _, b := range p.Branches {
				if !b.Default {
					yield(b.Key, true)
				}
				Labels(b.Value, yield)
			}
		}
	}
}
