package bzl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

func isTestName(name string) bool { return strings.HasSuffix(name, "_test") }

// rule is the built-in rule() of one .bzl file.
func (e Env) rule(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	r := &RuleClass{Position: CallerPosition(thread), File: e.File}
	var attrs, execGroups *starlark.Dict
	var test, executable, doc, toolchains, provides, fragments, outputs, buildSetting, execCompatible, cfg starlark.Value
	var ignored [12]starlark.Value
	err := starlark.UnpackArgs("rule", args, kwargs,
		"implementation?", &r.Impl, "test??", &test, "attrs??", &attrs, "outputs??", &outputs, "executable??", &executable,
		"output_to_genfiles??", &ignored[0], "fragments??", &fragments, "host_fragments??", &ignored[1],
		"_skylark_testable??", &ignored[2], "toolchains??", &toolchains, "incompatible_use_toolchain_transition??", &ignored[3],
		"doc??", &doc, "provides??", &provides, "dependency_resolution_rule??", &ignored[4],
		"exec_compatible_with??", &execCompatible, "analysis_test??", &r.AnalysisTest, "build_setting??", &buildSetting,
		"cfg??", &cfg, "exec_groups??", &execGroups, "initializer??", &ignored[5], "parent??", &ignored[6],
		"extendable??", &ignored[7], "subrules??", &ignored[8])
	if err != nil {
		return nil, err
	}
	if r.Impl == nil {
		return nil, fmt.Errorf("rule: missing argument for implementation")
	}
	for _, refused := range []struct {
		name string
		v    starlark.Value
	}{{"initializer", ignored[5]}, {"parent", ignored[6]}} {
		if refused.v != nil && refused.v != starlark.None {
			return nil, fmt.Errorf("rule: %s is not supported", refused.name)
		}
	}
	r.Test = test != nil && bool(test.Truth())
	if r.AnalysisTest {
		r.Test = true
	}
	r.Executable = r.Test || executable != nil && bool(executable.Truth())
	r.Doc, r.Cfg = docString(doc), cfg
	if outputs != nil && outputs != starlark.None {
		r.Outputs = outputs
	}
	if r.Toolchains, err = e.toolchainRefs(toolchains); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	if r.ExecCompatible, err = e.labels("exec_compatible_with", execCompatible); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	if r.Fragments, err = stringsOf("fragments", fragments); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	if r.Provides, err = providersOf(provides); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	if r.ExecGroups, err = execGroupsOf(execGroups); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	base := baseAttrs(r.Test, r.Executable)
	if buildSetting != nil && buildSetting != starlark.None {
		b, ok := buildSetting.(*buildSettingValue)
		if !ok {
			return nil, fmt.Errorf("rule: build_setting: expected config.string() or one of its siblings, got %s", Describe(buildSetting))
		}
		r.BuildSetting = &b.setting
		base["build_setting_default"] = b.defaultAttr()
		base["scope"] = &Attr{Name: "scope", Type: TypeString, Default: starlark.String("universal"), AllowEmpty: true, Implicit: true, Fixed: true}
	}
	if r.Attrs, err = mergeAttrs(base, attrs); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	return RuleValue{r}, nil
}

func (e Env) labels(what string, v starlark.Value) ([]label.Label, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	elems, ok := sequence(v)
	if !ok {
		return nil, fmt.Errorf("%s: expected a list of labels, got %s", what, Describe(v))
	}
	var out []label.Label
	for _, el := range elems {
		l, err := e.Scope.ToLabel(el)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func (e Env) toolchainRefs(v starlark.Value) ([]ToolchainRef, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	elems, ok := sequence(v)
	if !ok {
		return nil, fmt.Errorf("toolchains: expected a list of toolchain types, got %s", Describe(v))
	}
	var out []ToolchainRef
	for _, el := range elems {
		if t, ok := el.(*toolchainTypeValue); ok {
			out = append(out, t.ref)
			continue
		}
		l, err := e.Scope.ToLabel(el)
		if err != nil {
			return nil, fmt.Errorf("toolchains: %w", err)
		}
		out = append(out, ToolchainRef{Type: l})
	}
	return out, nil
}

func providersOf(v starlark.Value) ([]*Provider, error) {
	sets, err := providerSets(v)
	if err != nil || len(sets) == 0 {
		return nil, err
	}
	if len(sets) > 1 {
		return nil, fmt.Errorf("provides: expected a list of providers, got a list of lists")
	}
	return sets[0], nil
}

func execGroupsOf(d *starlark.Dict) (map[string]*ExecGroup, error) {
	if d == nil {
		return nil, nil
	}
	out := map[string]*ExecGroup{}
	for _, item := range d.Items() {
		g, ok := item[1].(*execGroupValue)
		if !ok {
			return nil, fmt.Errorf("exec_groups: expected exec_group(), got %s", Describe(item[1]))
		}
		out[Str(item[0])] = &g.ExecGroup
	}
	return out, nil
}
