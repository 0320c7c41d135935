package bzl

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// The providers that Bazel has built in. They are never changed.
var (
	DefaultInfo = NewProvider("DefaultInfo", "files", "runfiles", "data_runfiles", "default_runfiles", "executable", "files_to_run")

	// OutputGroupInfo holds depsets of files by group name.
	OutputGroupInfo = NewProvider("OutputGroupInfo")

	RunEnvironmentInfo       = positional("RunEnvironmentInfo", "environment", "inherited_environment")
	ExecutionInfo            = positional("ExecutionInfo", "requirements", "exec_group")
	AnalysisTestResultInfo   = NewProvider("AnalysisTestResultInfo", "success", "message")
	AnalysisFailureInfo      = NewProvider("AnalysisFailureInfo", "causes")
	AnalysisFailure          = NewProvider("AnalysisFailure", "label", "message")
	InstrumentedFilesInfo    = NewProvider("InstrumentedFilesInfo", "instrumented_files", "metadata_files")
	PackageSpecificationInfo = NewProvider("PackageSpecificationInfo")
	FeatureFlagInfo          = NewProvider("FeatureFlagInfo", "value")
	ToolchainInfo            = NewProvider("ToolchainInfo")
	TemplateVariableInfo     = renamed(positional("TemplateVariableInfo", "variables"), "vars", "variables")
	ConstraintSettingInfo    = NewProvider("ConstraintSettingInfo", "label", "default_constraint_value", "has_default_constraint_value")
	ConstraintValueInfo      = NewProvider("ConstraintValueInfo", "label", "constraint")
	PlatformInfo             = NewProvider("PlatformInfo", "label", "constraints", "exec_properties")
	BuildSettingInfo         = NewProvider("BuildSettingInfo", "value")

	// TestResultsInfo is given by tests that have a plan instead of an
	// executable: verdict is what ctx.actions.plan returned.
	TestResultsInfo = NewProvider("TestResultsInfo", "verdict")

	// TestVerdictInfo is what such a plan returns: what the test came to.
	TestVerdictInfo = NewProvider("TestVerdictInfo", "status", "summary", "text", "notes", "log", "xml", "outputs", "tests")

	// SummaryInfo gives a target's line in the summary a text: planned is what
	// ctx.actions.plan returned, its value a struct with the field summary.
	SummaryInfo = NewProvider("SummaryInfo", "planned")

	// ToolchainTypeInfo and DeclaredToolchainInfo are those of the rules
	// toolchain_type and toolchain.
	ToolchainTypeInfo     = NewProvider("ToolchainTypeInfo", "type_label")
	DeclaredToolchainInfo = NewProvider("DeclaredToolchainInfo")
)

// positional returns a provider whose constructor takes its fields by position too.
func positional(name string, fields ...string) *Provider {
	p := NewProvider(name, fields...)
	p.positional = fields
	return p
}

// renamed lets a keyword of p's constructor set a field of another name.
func renamed(p *Provider, keyword, field string) *Provider {
	p.alias = map[string]string{keyword: field}
	return p
}

// OutputGroups is an instance of OutputGroupInfo: beside its fields it can be
// indexed with a group name and tested with in.
type OutputGroups struct{ *starlarkstruct.Struct }

var (
	_ starlark.Mapping    = OutputGroups{}
	_ starlark.Comparable = OutputGroups{}
)

// Get returns the group called k.
func (g OutputGroups) Get(k starlark.Value) (starlark.Value, bool, error) {
	name, ok := starlark.AsString(k)
	if !ok {
		return nil, false, fmt.Errorf("output groups are named by strings, got %s", Describe(k))
	}
	v, err := g.Struct.Attr(name)
	if err != nil {
		return nil, false, nil
	}
	return v, true, nil
}

// CompareSameType compares the groups.
func (g OutputGroups) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	h, ok := y.(OutputGroups)
	if !ok {
		return op == syntax.NEQ, nil
	}
	return g.Struct.CompareSameType(op, h.Struct, depth)
}

// Instance returns the struct of a provider instance and its provider; nil, nil
// if v is no provider instance.
func Instance(v starlark.Value) (*starlarkstruct.Struct, *Provider) {
	if g, ok := v.(OutputGroups); ok {
		return g.Struct, OutputGroupInfo
	}
	s, ok := v.(*starlarkstruct.Struct)
	if !ok {
		return nil, nil
	}
	p, _ := s.Constructor().(*Provider)
	if p == nil {
		return nil, nil
	}
	return s, p
}
