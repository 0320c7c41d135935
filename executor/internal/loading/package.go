package loading

import (
	"slices"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// A Package is what one BUILD file declared. It is read-only.
type Package struct {
	ID   label.Package
	File label.Label // the BUILD file

	// Shown is the BUILD file's name in messages.
	Shown string

	// Targets holds every target by name, files included.
	Targets map[string]*Target

	// Modules are the .bzl files that the BUILD file loads itself.
	Modules []*Module

	// DefaultVisibility is for targets that have none of their own.
	DefaultVisibility Visibility

	// Features are package(features = ...), which every rule's own add to.
	Features []string
}

// Names returns the names of all targets, sorted.
func (p *Package) Names() []string {
	names := make([]string, 0, len(p.Targets))
	for n := range p.Targets {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Kind sorts targets.
type Kind int

// The kinds of target.
const (
	Rule Kind = iota
	SourceFile
	GeneratedFile
	PackageGroup
)

// A Target is a rule, a file or a package group of one package. It is read-only.
type Target struct {
	Label label.Label
	Kind  Kind

	// Class and Attrs are set for rules. Attrs are coerced and frozen and hold
	// every attribute of the class save those with a computed default.
	Class *bzl.RuleClass
	Attrs map[string]starlark.Value

	// Explicit says which attributes the BUILD file or a macro gave a value.
	Explicit map[string]bool

	// ImplicitOutputs gives, for a class with outputs=, the name of the file of each key.
	ImplicitOutputs map[string]string

	// Generator is the rule that makes a generated file.
	Generator *Target

	// Group is set for package groups.
	Group *Group

	Visibility Visibility

	// Position is file:line:column in the BUILD file; for a source file that
	// no exports_files() names, that of the first rule that uses it.
	Position diag.Position
}

// KindString is what query shows: "cargo_test rule", "source file"...
func (t *Target) KindString() string {
	switch t.Kind {
	case SourceFile:
		return "source file"
	case GeneratedFile:
		return "generated file"
	case PackageGroup:
		return "package group"
	}
	return t.Class.Kind()
}

// Tags returns the value of the attribute tags.
func (t *Target) Tags() []string { return t.Strings("tags") }

// Strings returns a list-of-strings attribute that holds no select(), else nil.
func (t *Target) Strings(attr string) []string {
	list, ok := t.Attrs[attr].(*starlark.List)
	if !ok {
		return nil
	}
	var out []string
	for v := range list.Elements() {
		if s, ok := starlark.AsString(v); ok {
			out = append(out, s)
		}
	}
	return out
}

// IsManual reports whether wildcards leave the target out.
func (t *Target) IsManual() bool { return slices.Contains(t.Tags(), "manual") }

// IsTestSuite reports whether the target stands for other tests.
func (t *Target) IsTestSuite() bool { return t.Kind == Rule && t.Class.Name == "test_suite" }

// IsTest reports whether the target is a test that runs.
func (t *Target) IsTest() bool { return t.Kind == Rule && t.Class.Test && !t.IsTestSuite() }

// labels calls yield for every label in a label attribute of a rule.
// Attributes that name no dependency are left out.
func (t *Target) labels(yield func(a *bzl.Attr, l label.Label, condition bool)) {
	names := make([]string, 0, len(t.Attrs))
	for n := range t.Attrs {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		a := t.Class.Attrs[n]
		if a == nil {
			continue
		}
		if a.IsLabels() {
			bzl.Labels(t.Attrs[n], func(l label.Label, cond bool) { yield(a, l, cond) })
		} else if _, ok := t.Attrs[n].(*bzl.Select); ok {
			bzl.Labels(t.Attrs[n], func(l label.Label, cond bool) {
				if cond {
					yield(a, l, true)
				}
			})
		}
	}
}

// A Dependency is one label in an attribute of a rule.
type Dependency struct {
	Attr  *bzl.Attr
	Label label.Label

	// Condition marks a key of a select(); Implicit a value that the BUILD file
	// did not write: a private attribute, or another one's default.
	Condition, Implicit bool
}

// Dependencies lists what a rule may depend on in some configuration: all
// labels of all branches, but no toolchains. A generated file depends on its generator, a package
// group on the groups it includes.
func (t *Target) Dependencies() []Dependency {
	switch t.Kind {
	case GeneratedFile:
		return []Dependency{{Label: t.Generator.Label}}
	case PackageGroup:
		var out []Dependency
		for _, l := range t.Group.Includes {
			out = append(out, Dependency{Label: l})
		}
		return out
	case SourceFile:
		return nil
	}
	var out []Dependency
	t.labels(func(a *bzl.Attr, l label.Label, cond bool) {
		out = append(out, Dependency{Attr: a, Label: l, Condition: cond, Implicit: a.IsPrivate() || !t.Explicit[a.Name]})
	})
	if t.IsTestSuite() {
		for _, l := range labelsIn(t.Attrs["tests"]) {
			out = append(out, Dependency{Attr: t.Class.Attrs["tests"], Label: l})
		}
	}
	for _, g := range t.Visibility.Groups {
		out = append(out, Dependency{Attr: t.Class.Attrs["visibility"], Label: g})
	}
	return out
}

// isSystemPackage reports whether a label names no target: a visibility or the
// default condition.
func isSystemPackage(l label.Label) bool {
	return l.Package == "visibility" || l.Package == "conditions" && l.Name == "default"
}

// showLabel writes l as a BUILD file of p would: ":name" in the package itself.
func showLabel(l label.Label, p label.Package) string {
	if l.Pkg() == p {
		return ":" + l.Name
	}
	return l.String()
}
