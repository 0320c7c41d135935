package bzl

import (
	"fmt"
	"hash/fnv"

	"go.starlark.net/starlark"
)

// pointerHash hashes the identity of a value that is compared by identity.
func pointerHash(p any) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%p", p)
	return h.Sum32()
}

// Describe says what a value is, for "expected X, got ...".
func Describe(v starlark.Value) string {
	if v == nil {
		return "nothing"
	}
	if printable(v) != nil {
		return "a " + v.Type() + " that is nested too deep to be shown"
	}
	text := v.String()
	if len(text) > 60 {
		text = text[:57] + "..."
	}
	if v == starlark.None {
		return "None"
	}
	return fmt.Sprintf("%s (%s)", text, v.Type())
}

func docString(v starlark.Value) string {
	s, _ := starlark.AsString(v)
	return s
}

// opaque is a value that can be passed around and compared by identity only.
type opaque struct{ kind, text string }

func (o *opaque) String() string        { return o.text }
func (o *opaque) Type() string          { return o.kind }
func (o *opaque) Freeze()               {}
func (o *opaque) Truth() starlark.Bool  { return true }
func (o *opaque) Hash() (uint32, error) { return pointerHash(o), nil }

func emptyDict() *starlark.Dict {
	d := new(starlark.Dict)
	d.Freeze()
	return d
}

func emptyList() *starlark.List {
	l := starlark.NewList(nil)
	l.Freeze()
	return l
}

// Str is what str() gives: strings as they are, others as String prints them.
func Str(v starlark.Value) string {
	if s, ok := v.(starlark.String); ok {
		return string(s)
	}
	return v.String()
}

// sequence returns the elements of a list, tuple or set; ok is false for other values.
func sequence(v starlark.Value) ([]starlark.Value, bool) {
	switch v := v.(type) {
	case *starlark.List:
		return collect(v), true
	case starlark.Tuple:
		return v, true
	case *starlark.Set:
		return collect(v), true
	}
	return nil, false
}

func collect(it starlark.Iterable) []starlark.Value {
	var out []starlark.Value
	for v := range starlark.Elements(it) {
		out = append(out, v)
	}
	return out
}
