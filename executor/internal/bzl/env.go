package bzl

import (
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"gorules/executor/label"
)

// Env is what one .bzl file's built-in functions know about the file.
type Env struct {
	File  label.Label
	Scope Scope // resolves the labels written in the file

	// Native is the value of native; nil leaves it out.
	Native starlark.Value
}

// Predeclared returns the names that a .bzl file sees beside Starlark's own.
// Functions such as Label and attr.label resolve labels against e's file, so
// every file has its own set.
func (e Env) Predeclared() starlark.StringDict {
	d := starlark.StringDict{
		"Label":                    starlark.NewBuiltin("Label", e.labelFn),
		"analysis_test_transition": starlark.NewBuiltin("analysis_test_transition", analysisTestTransition),
		"aspect":                   starlark.NewBuiltin("aspect", e.aspect),
		"attr":                     e.attrModule(),
		"config":                   configModule(),
		"config_common":            e.configCommon(),
		"configuration_field":      starlark.NewBuiltin("configuration_field", configurationField),
		"coverage_common":          coverageCommon(),
		"exec_group":               starlark.NewBuiltin("exec_group", e.execGroup),
		"exec_transition":          starlark.NewBuiltin("exec_transition", transitionFn),
		"gorules":                  gorulesModule(),
		"macro":                    starlark.NewBuiltin("macro", e.macro),
		"materializer_rule":        placeholder("materializer_rule", "materializer_rule"),
		"module_extension":         placeholder("module_extension", "module_extension"),
		"platform_common":          platformCommon(),
		"provider":                 starlark.NewBuiltin("provider", providerFn),
		"repository_rule":          starlark.NewBuiltin("repository_rule", e.repositoryRule),
		"rule":                     starlark.NewBuiltin("rule", e.rule),
		"subrule":                  placeholder("subrule", "subrule"),
		"tag_class":                placeholder("tag_class", "tag_class"),
		"testing":                  e.testingModule(),
		"transition":               starlark.NewBuiltin("transition", transitionFn),
		"visibility":               noop("visibility"),
	}
	for _, p := range []*Provider{
		DefaultInfo, OutputGroupInfo, RunEnvironmentInfo, AnalysisTestResultInfo, AnalysisFailureInfo,
		InstrumentedFilesInfo, PackageSpecificationInfo, SummaryInfo, TestResultsInfo, TestVerdictInfo,
	} {
		d[p.Name()] = p
	}
	if e.Native != nil {
		d["native"] = e.Native
	}
	for name, v := range Common() {
		d[name] = v
	}
	return d
}

// Common returns the names that BUILD, WORKSPACE and .bzl files all see: those
// of Starlark that Bazel has otherwise, select, struct, depset and json.
func Common() starlark.StringDict {
	d := starlark.StringDict{
		"depset":    starlark.NewBuiltin("depset", depsetFn),
		"enumerate": starlark.NewBuiltin("enumerate", enumerateFn),
		"fail":      starlark.NewBuiltin("fail", failFn),
		"json":      jsonModule(),
		"select":    starlark.NewBuiltin("select", selectFn),
		"struct":    starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	for name, check := range checks {
		d[name] = checked(name, check)
	}
	for name, f := range operations {
		d[name] = starlark.NewBuiltin(name, f)
	}
	return d
}

// FileKind says which dialect a file is in.
type FileKind int

// The kinds of file.
const (
	BzlFile FileKind = iota
	BuildFile
	WorkspaceFile
)

// Options returns the dialect of a kind of file.
func Options(kind FileKind) *syntax.FileOptions {
	o := &syntax.FileOptions{Set: true}
	if kind != BzlFile {
		o.GlobalReassign = true
		o.LoadBindsGlobally = true
	}
	return o
}
