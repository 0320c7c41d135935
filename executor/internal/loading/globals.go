package loading

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// bazelVersion is what native.bazel_version says: rules written for several
// versions then expect the language-specific natives to live in repositories.
const bazelVersion = "9.0.0"

// natives are the global names that come from the Options.Builtins package.
type natives struct {
	build  starlark.StringDict // functions and rules, for BUILD files and native.*
	values starlark.StringDict // everything else, for .bzl files
	native starlark.Value      // the module native
}

// functions are the natives that need no .bzl file: functions, and the rules
// that package analysis implements.
func (l *Loader) functions() starlark.StringDict {
	d := buildFunctions()
	for name, class := range l.classes {
		d[name] = bzl.RuleValue{RuleClass: class}
	}
	return d
}

// loadNatives evaluates the .bzl files that define the native rules.
func (l *Loader) loadNatives(ctx context.Context) (*natives, error) {
	n := &natives{build: l.functions(), values: starlark.StringDict{}}
	from := l.opts.Builtins
	if from != (label.Package{}) {
		_, t, err := l.tree(ctx, from.Repo)
		if err != nil {
			return nil, err
		}
		d, err := t.list(path.Join(".", from.Path))
		if err != nil {
			return nil, fmt.Errorf("the native rules in %s: %w", from, err)
		}
		for _, e := range d.entries {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".bzl") {
				continue
			}
			m, err := l.module(ctx, moduleKey{label.Label{Repo: from.Repo, Package: from.Path, Name: e.Name()}, true})
			if err != nil {
				return nil, err
			}
			if err := n.add(m); err != nil {
				return nil, err
			}
		}
	}
	n.native = l.nativeModule(n.build)
	return n, nil
}

// nativeModule is the value of native.
func (l *Loader) nativeModule(build starlark.StringDict) starlark.Value {
	members := starlark.StringDict{"bazel_version": starlark.String(bazelVersion)}
	for _, more := range []starlark.StringDict{l.opts.Native, build, macroFunctions()} {
		for name, v := range more {
			members[name] = v
		}
	}
	return &starlarkstruct.Module{Name: "native", Members: members}
}

// add takes the exported names of a module of natives.
func (n *natives) add(m *Module) error {
	for _, name := range m.Globals.Keys() {
		v := m.Globals[name]
		if strings.HasPrefix(name, "_") {
			continue
		}
		into := n.values
		switch v.(type) {
		case *bzl.Provider:
		case starlark.Callable:
			into = n.build
		}
		if into.Has(name) {
			return errorf("%s defines the native %s, which another file defines too", m.Label, name)
		}
		into[name] = v
	}
	return nil
}

// bzlGlobals are the names that a .bzl file sees.
func (l *Loader) bzlGlobals(ctx context.Context, key moduleKey, scope bzl.Scope) (starlark.StringDict, error) {
	env := bzl.Env{File: key.Label, Scope: scope}
	if key.builtin {
		env.Native = l.nativeModule(l.functions())
		return env.Predeclared(), nil
	}
	n, err := l.natives.Get(ctx, struct{}{})
	if err != nil {
		return nil, err
	}
	env.Native = n.native
	d := env.Predeclared()
	for name, v := range n.values {
		if !d.Has(name) {
			d[name] = v
		}
	}
	return d, nil
}

// buildGlobals are the names that a BUILD file sees.
func (l *Loader) buildGlobals(ctx context.Context) (starlark.StringDict, error) {
	n, err := l.natives.Get(ctx, struct{}{})
	if err != nil {
		return nil, err
	}
	d := bzl.Common()
	for name, v := range n.build {
		d[name] = v
	}
	return d, nil
}

// Natives returns the native rules by name.
func (l *Loader) Natives(ctx context.Context) (starlark.StringDict, error) {
	n, err := l.natives.Get(ctx, struct{}{})
	if err != nil {
		return nil, err
	}
	return n.build, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func sortedAttrs(c *bzl.RuleClass) []*bzl.Attr {
	out := make([]*bzl.Attr, 0, len(c.Attrs))
	for _, n := range sortedKeys(c.Attrs) {
		out = append(out, c.Attrs[n])
	}
	return out
}
