package analysis

import (
	"fmt"
	"maps"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/bzl"
)

func textOf(v starlark.Value) string { return bzl.Str(v) }

func isSet(v starlark.Value) bool { return v != nil && v != starlark.None }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func newStruct(d starlark.StringDict) *starlarkstruct.Struct {
	return starlarkstruct.FromStringDict(starlarkstruct.Default, d)
}

func builtin(name string, f func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return f(t, args, kwargs)
	})
}

// topLevel reports whether f is a global of its file. Free variables do not
// tell: names that a file loads are free variables of its functions.
func topLevel(f *starlark.Function) bool {
	g, ok := f.Globals()[f.Name()]
	return ok && g == f
}

// elements returns the elements of a list, tuple, set or depset.
func elements(what string, v starlark.Value) ([]starlark.Value, error) {
	switch v := v.(type) {
	case nil, starlark.NoneType:
		return nil, nil
	case *bzl.Depset:
		return v.List(), nil
	case *starlark.Dict:
	case starlark.Iterable:
		return slices.Collect(starlark.Elements(v)), nil
	}
	return nil, fmt.Errorf("%s: expected a list, got %s (%s)", what, v, v.Type())
}

// fileList takes a list or depset of files.
func fileList(what string, v starlark.Value) ([]*bzl.File, error) {
	elems, err := elements(what, v)
	if err != nil {
		return nil, err
	}
	out := make([]*bzl.File, len(elems))
	for i, e := range elems {
		f, ok := e.(*bzl.File)
		if !ok {
			return nil, fmt.Errorf("%s: expected files, got %s (%s)", what, e, e.Type())
		}
		out[i] = f
	}
	return out, nil
}

func stringList(what string, v starlark.Value) ([]string, error) {
	elems, err := elements(what, v)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(elems))
	for i, e := range elems {
		s, ok := starlark.AsString(e)
		if !ok {
			return nil, fmt.Errorf("%s: expected strings, got %s (%s)", what, e, e.Type())
		}
		out[i] = s
	}
	return out, nil
}

func stringDict(what string, v starlark.Value) (map[string]string, error) {
	if !isSet(v) {
		return nil, nil
	}
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil, fmt.Errorf("%s: expected a dict of strings, got %s (%s)", what, v, v.Type())
	}
	out := make(map[string]string, d.Len())
	for _, item := range d.Items() {
		k, ok1 := starlark.AsString(item[0])
		s, ok2 := starlark.AsString(item[1])
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("%s: expected a dict of strings by string, got the entry %s: %s", what, item[0], item[1])
		}
		out[k] = s
	}
	return out, nil
}

func fileValues(files []*bzl.File) []starlark.Value {
	out := make([]starlark.Value, len(files))
	for i, f := range files {
		out[i] = f
	}
	return out
}
