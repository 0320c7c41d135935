package cargo_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// anything stands for what the engine predeclares: calling it and taking its
// attributes gives more of it.
type anything struct{ docs *[]string }

func (anything) String() string        { return "anything" }
func (anything) Type() string          { return "anything" }
func (anything) Freeze()               {}
func (anything) Truth() starlark.Bool  { return true }
func (anything) Hash() (uint32, error) { return 1, nil }
func (anything) Name() string          { return "anything" }
func (anything) AttrNames() []string   { return nil }

func (a anything) Attr(string) (starlark.Value, error) { return a, nil }

func (a anything) CallInternal(_ *starlark.Thread, _ starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	for _, kw := range kwargs {
		if text(kw[0]) == "doc" {
			*a.docs = append(*a.docs, text(kw[1]))
		}
	}
	return a, nil
}

// TestFilesLoad parses and resolves every file and runs its top level.
func TestFilesLoad(t *testing.T) {
	files, err := filepath.Glob("*.bzl")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	var docs []string
	env := starlark.StringDict{"struct": starlark.NewBuiltin("struct", starlarkstruct.Make)}
	for _, name := range []string{
		"rule", "attr", "provider", "repository_rule", "native", "Label", "depset", "json", "gorules",
		"DefaultInfo", "OutputGroupInfo", "SummaryInfo", "TestResultsInfo", "TestVerdictInfo",
	} {
		env[name] = anything{&docs}
	}
	loaded := map[string]starlark.StringDict{}
	var load func(*starlark.Thread, string) (starlark.StringDict, error)
	load = func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		name := strings.TrimPrefix(module, ":")
		if m, ok := loaded[name]; ok {
			return m, nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := starlark.ExecFileOptions(&syntax.FileOptions{Set: true}, &starlark.Thread{Name: name, Load: load}, name, src, env)
		if err == nil {
			loaded[name] = m
		}
		return m, err
	}
	for _, f := range files {
		if _, err := load(nil, f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if data, _ := os.ReadFile(f); len(strings.Split(string(data), "\n")) > 500 {
			t.Errorf("%s is longer than 500 lines", f)
		}
	}
	for _, name := range []string{"cargo_deps", "cargo_package", "cargo_clippy", "cargo_test", "cargo_coverage", "cargo_fmt"} {
		if _, ok := loaded["defs.bzl"][name]; !ok {
			t.Errorf("defs.bzl has no %s", name)
		}
	}
	for _, name := range []string{"cargo_vendor", "rust_toolchain", "cc_toolchain", "host_tool", "host_library"} {
		if _, ok := loaded["repositories.bzl"][name]; !ok {
			t.Errorf("repositories.bzl has no %s", name)
		}
	}
	for _, d := range docs {
		if strings.TrimSpace(d) == "" {
			t.Error("an empty doc")
		}
	}
}
