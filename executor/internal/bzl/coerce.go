package bzl

import (
	"fmt"
	"sort"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

// Coerce turns a value as written into the attribute's type, reading labels in
// scope; a select() stays one, with coerced branches. None gives the default,
// which is nil for a computed one. The result is frozen.
func (a *Attr) Coerce(raw starlark.Value, scope Scope) (starlark.Value, error) {
	if raw == starlark.None {
		if a.Computed != nil {
			return nil, nil
		}
		return a.Default, nil
	}
	if s, ok := raw.(*Select); ok {
		c, err := a.coerceSelect(s, scope)
		if err != nil {
			return nil, err
		}
		c.Freeze()
		return c, nil
	}
	return a.coerceValue(raw, scope)
}

func (a *Attr) coerceValue(raw starlark.Value, scope Scope) (starlark.Value, error) {
	v, err := a.convert(raw, scope)
	if err != nil {
		return nil, err
	}
	if len(a.Values) > 0 && !a.allowed(v) {
		var names []string
		for _, w := range a.Values {
			names = append(names, w.String())
		}
		return nil, fmt.Errorf("expected one of %s, got %s", strings.Join(names, ", "), v)
	}
	if !a.AllowEmpty && starlark.Len(v) == 0 && a.Type != TypeString {
		return nil, fmt.Errorf("may not be empty")
	}
	v.Freeze() // no attribute's type nests deep
	return v, nil
}

func (a *Attr) allowed(v starlark.Value) bool {
	for _, w := range a.Values {
		if eq, err := starlark.Equal(v, w); err == nil && eq {
			return true
		}
	}
	return false
}

// convert does the work of coerceValue without its checks.
func (a *Attr) convert(raw starlark.Value, scope Scope) (starlark.Value, error) {
	str := func(v starlark.Value) (starlark.Value, error) {
		if s, ok := v.(starlark.String); ok {
			return s, nil
		}
		return nil, errKind
	}
	lab := func(v starlark.Value) (starlark.Value, error) {
		switch v.(type) {
		case starlark.String, Label:
			l, err := scope.ToLabel(v)
			if err != nil {
				return nil, err
			}
			return Label{l}, nil
		}
		return nil, errKind
	}
	output := func(v starlark.Value) (starlark.Value, error) {
		l, err := lab(v)
		if err == nil && l.(Label).Pkg() != scope.Package {
			return nil, fmt.Errorf("label %s is not in the package %s: an output is made in the package of its rule", l, scope.Package)
		}
		return l, err
	}
	integer := func(v starlark.Value) (starlark.Value, error) {
		if i, ok := v.(starlark.Int); ok {
			return i, nil
		}
		return nil, errKind
	}
	switch a.Type {
	case TypeString:
		return one(raw, str, "a string")
	case TypeInt:
		return one(raw, integer, "an int")
	case TypeBool:
		if i, ok := raw.(starlark.Int); ok {
			if n, ok := i.Int64(); ok && (n == 0 || n == 1) {
				return starlark.Bool(n == 1), nil
			}
		}
		if b, ok := raw.(starlark.Bool); ok {
			return b, nil
		}
		return nil, fmt.Errorf("expected a bool, got %s", Describe(raw))
	case TypeLabel, TypeNodepLabel:
		return one(raw, lab, "a label")
	case TypeOutput:
		return one(raw, output, "the name of an output file")
	case TypeStringList:
		return list(raw, str, "a list of strings", false)
	case TypeIntList:
		return list(raw, integer, "a list of ints", false)
	case TypeLabelList:
		return list(raw, lab, "a list of labels", true)
	case TypeNodepLabels:
		return list(raw, lab, "a list of labels", false)
	case TypeOutputList:
		return list(raw, output, "a list of names of output files", true)
	case TypeStringDict:
		return dict(raw, str, str, "a dict of strings by string")
	case TypeLabelKeyedStringDict:
		return dict(raw, lab, str, "a dict of strings by label")
	case TypeStringKeyedLabelDict:
		return dict(raw, str, lab, "a dict of labels by string")
	case TypeStringListDict:
		return dict(raw, str, func(v starlark.Value) (starlark.Value, error) { return list(v, str, "a list of strings", false) }, "a dict of lists of strings by string")
	case TypeLabelListDict:
		return dict(raw, str, func(v starlark.Value) (starlark.Value, error) { return list(v, lab, "a list of labels", false) }, "a dict of lists of labels by string")
	}
	return nil, fmt.Errorf("attribute has the unknown type %q", a.Type)
}

// errKind says that a value has the wrong type; whoever knows the whole value words it.
var errKind = fmt.Errorf("wrong type")

type converter func(starlark.Value) (starlark.Value, error)

func one(raw starlark.Value, f converter, what string) (starlark.Value, error) {
	v, err := f(raw)
	if err == errKind {
		return nil, fmt.Errorf("expected %s, got %s", what, Describe(raw))
	}
	return v, err
}

func list(raw starlark.Value, f converter, what string, unique bool) (starlark.Value, error) {
	elems, ok := sequence(raw)
	if !ok {
		return nil, fmt.Errorf("expected %s, got %s", what, Describe(raw))
	}
	out := make([]starlark.Value, 0, len(elems))
	var seen map[label.Label]bool
	if unique && len(elems) > 1 {
		seen = make(map[label.Label]bool, len(elems))
	}
	for i, e := range elems {
		v, err := f(e)
		if err == errKind {
			return nil, fmt.Errorf("expected %s, got %s at index %d", what, Describe(e), i)
		}
		if err != nil {
			return nil, err
		}
		if seen != nil {
			l := v.(Label).Label
			if seen[l] {
				return nil, fmt.Errorf("label %s is listed twice", l)
			}
			seen[l] = true
		}
		out = append(out, v)
	}
	return starlark.NewList(out), nil
}

func dict(raw starlark.Value, key, value converter, what string) (starlark.Value, error) {
	d, ok := raw.(*starlark.Dict)
	if !ok {
		return nil, fmt.Errorf("expected %s, got %s", what, Describe(raw))
	}
	out := starlark.NewDict(d.Len())
	for _, item := range d.Items() {
		k, err := key(item[0])
		if err == errKind {
			return nil, fmt.Errorf("expected %s, got the key %s", what, Describe(item[0]))
		}
		if err != nil {
			return nil, err
		}
		v, err := value(item[1])
		if err == errKind {
			return nil, fmt.Errorf("expected %s, got %s for key %s", what, Describe(item[1]), item[0])
		}
		if err != nil {
			return nil, err
		}
		if err := out.SetKey(k, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Coerce checks and converts the arguments of one call of the rule: unknown and
// missing attributes and wrong types are errors that name attribute, rule and
// target. The map has every attribute, defaults included, save those whose
// default is computed. Labels are read in scope.
func (r *RuleClass) Coerce(kwargs []starlark.Tuple, scope Scope) (map[string]starlark.Value, error) {
	return coerceAll("rule", r.Name, r.Attrs, kwargs, scope)
}

func coerceAll(kind, class string, attrs map[string]*Attr, kwargs []starlark.Tuple, scope Scope) (map[string]starlark.Value, error) {
	target := ""
	for _, kw := range kwargs {
		if kw[0] == starlark.String("name") {
			if s, ok := starlark.AsString(kw[1]); ok {
				target = " " + s
			}
		}
	}
	out := make(map[string]starlark.Value, len(attrs))
	for _, kw := range kwargs {
		name := string(kw[0].(starlark.String))
		a := attrs[name]
		if a == nil || a.IsPrivate() {
			return nil, fmt.Errorf("%s%s: %s %s has no attribute %q%s", class, target, kind, class, name, didYouMean(name, attrs))
		}
		v, err := a.Coerce(kw[1], scope)
		if err != nil {
			return nil, fmt.Errorf("%s%s: in attribute %q of %s %s: %w", class, target, name, kind, class, err)
		}
		if v != nil && (kw[1] != starlark.None || !a.Mandatory) {
			out[name] = v
		}
	}
	for _, name := range sortedNames(attrs) {
		a := attrs[name]
		if _, ok := out[name]; ok {
			continue
		}
		if a.Mandatory {
			return nil, fmt.Errorf("%s%s: missing value for mandatory attribute %q of %s %s", class, target, name, kind, class)
		}
		if a.Computed == nil {
			out[name] = a.Default
		}
	}
	return out, nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// didYouMean returns ` (did you mean "srcs"?)` for a name that is near.
func didYouMean(name string, attrs map[string]*Attr) string {
	best, least := "", 3
	for _, n := range sortedNames(attrs) {
		if attrs[n].IsPrivate() {
			continue
		}
		if d := editDistance(name, n); d < least && d < len(n) {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
