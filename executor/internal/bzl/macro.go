package bzl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// A Macro is the value of macro(): a symbolic macro. Its attributes are
// converted as a rule's are before its implementation is called.
type Macro struct {
	name     string
	file     label.Label
	impl     starlark.Callable
	attrs    map[string]*Attr
	inherits bool // unknown keywords are passed on
	position diag.Position
}

var _ starlark.Callable = (*Macro)(nil)

func (m *Macro) Name() string          { return m.name }
func (m *Macro) String() string        { return "<macro " + m.name + ">" }
func (m *Macro) Type() string          { return "macro" }
func (m *Macro) Freeze()               {}
func (m *Macro) Truth() starlark.Bool  { return true }
func (m *Macro) Hash() (uint32, error) { return pointerHash(m), nil }

func (m *Macro) export(name string, file label.Label) error {
	if m.name == "" {
		m.name, m.file = name, file
	}
	return nil
}

// CallInternal runs the implementation in the calling thread.
func (m *Macro) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c := ContextOf(thread)
	if c.Sink == nil {
		return nil, fmt.Errorf("macro %s can only be called while a BUILD file is evaluated", m.name)
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("macro %s takes keyword arguments only", m.name)
	}
	var own, rest []starlark.Tuple
	for _, kw := range kwargs {
		name := string(kw[0].(starlark.String))
		if m.inherits && m.attrs[name] == nil {
			rest = append(rest, kw)
			continue
		}
		own = append(own, kw)
	}
	values, err := coerceAll("macro", m.name, m.attrs, own, c.Scope)
	if err != nil {
		return nil, err
	}
	call := rest
	for _, name := range sortedNames(values) {
		call = append(call, starlark.Tuple{starlark.String(name), values[name]})
	}
	if _, err := starlark.Call(thread, m.impl, nil, call); err != nil {
		return nil, err
	}
	return starlark.None, nil
}

func (e Env) macro(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	m := &Macro{position: CallerPosition(thread)}
	var attrs *starlark.Dict
	var inherit, finalizer, doc starlark.Value
	if err := starlark.UnpackArgs("macro", args, kwargs, "implementation", &m.impl, "attrs??", &attrs,
		"inherit_attrs??", &inherit, "finalizer??", &finalizer, "doc??", &doc); err != nil {
		return nil, err
	}
	if finalizer != nil && bool(finalizer.Truth()) {
		return nil, fmt.Errorf("macro: finalizer macros are not supported")
	}
	base := map[string]*Attr{
		"name":       {Name: "name", Type: TypeString, Mandatory: true, Fixed: true, Default: starlark.String(""), AllowEmpty: true},
		"visibility": {Name: "visibility", Type: TypeNodepLabels, Fixed: true, Default: starlark.None, AllowEmpty: true},
	}
	m.inherits = inherit != nil && inherit != starlark.None
	if r, ok := inherit.(RuleValue); ok {
		for name, a := range r.Attrs {
			if base[name] == nil && !a.IsPrivate() && !strings.HasPrefix(name, "generator_") {
				inherited := *a
				inherited.Default, inherited.Computed, inherited.Mandatory = starlark.None, nil, a.Mandatory
				base[name] = &inherited
			}
		}
	}
	var err error
	if m.attrs, err = mergeAttrs(base, attrs); err != nil {
		return nil, fmt.Errorf("macro: %w", err)
	}
	return m, nil
}
