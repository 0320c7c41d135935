package bzl

import (
	"fmt"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// A RuleClass is the value of rule(): it is called in BUILD files and in macros
// and hands what it got to the thread's TargetSink. It is written while its
// .bzl file runs and read-only afterwards.
type RuleClass struct {
	Name string      // the global it was bound to; "" until Export
	File label.Label // the .bzl file; zero for natives

	// Attrs are all attributes by name, those that every rule has included.
	Attrs map[string]*Attr

	Impl         starlark.Callable // nil for a native that package analysis implements by Name
	Test         bool
	Executable   bool // also set for tests
	AnalysisTest bool
	BuildSetting *BuildSetting
	Toolchains   []ToolchainRef
	Outputs      starlark.Value // of the deprecated outputs=: a dict of templates or a function; nil if none
	Provides     []*Provider
	Doc          string
	Cfg          starlark.Value // a transition, a string, or nil
	Fragments    []string
	ExecGroups   map[string]*ExecGroup

	// ExecCompatible are constraint values that the execution platform must have.
	ExecCompatible []label.Label

	// Position is where rule() was called.
	Position diag.Position
}

// BuildSetting is the value of config.string() and its siblings.
type BuildSetting struct {
	Type       string // "string", "bool", "int", "string_list", "string_set"
	Flag       bool
	AllowMulti bool // repeatable, allow_multiple
}

// ToolchainRef is a toolchain type that a rule, an aspect or an exec group wants.
type ToolchainRef struct {
	Type     label.Label
	Optional bool
}

// ExecGroup is the value of exec_group().
type ExecGroup struct {
	Toolchains     []ToolchainRef
	ExecCompatible []label.Label
}

// RuleValue is a RuleClass as Starlark sees it.
type RuleValue struct{ *RuleClass }

var _ starlark.Callable = RuleValue{}

// Name returns the exported name.
func (r RuleValue) Name() string { return r.RuleClass.Name }

// Kind is what query calls targets of this class: "cargo_test rule".
func (r *RuleClass) Kind() string { return r.Name + " rule" }

func (r RuleValue) String() string        { return "<rule " + r.RuleClass.Name + ">" }
func (r RuleValue) Type() string          { return "rule" }
func (r RuleValue) Freeze()               {}
func (r RuleValue) Truth() starlark.Bool  { return true }
func (r RuleValue) Hash() (uint32, error) { return pointerHash(r.RuleClass), nil }

// CallInternal declares a target.
func (r RuleValue) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	sink := ContextOf(thread).Sink
	switch {
	case r.RuleClass.Name == "":
		return nil, fmt.Errorf("this rule has no name yet: assign the result of rule() to a global variable of the .bzl file (rule() at %s)", r.Position)
	case sink == nil:
		return nil, fmt.Errorf("rule %s can only be called while a BUILD file is evaluated: in it, or in a macro that it calls", r.RuleClass.Name)
	case len(args) > 0:
		return nil, fmt.Errorf("rule %s takes keyword arguments only: write name = %s", r.RuleClass.Name, args[0])
	}
	return starlark.None, sink.AddTarget(thread, r.RuleClass, kwargs)
}

func (r RuleValue) export(name string, file label.Label) error {
	if r.RuleClass.Name != "" {
		return nil
	}
	if !r.Test && isTestName(name) {
		return diag.Errorf(r.Position, "rule %s ends in _test but is no test rule", name).WithHint("add test = True, or rename it")
	}
	r.RuleClass.Name, r.File = name, file
	return nil
}
