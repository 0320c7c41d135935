package bzl

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// lateBound is the value of configuration_field(): a default nobody configured.
type lateBound struct{ opaque }

// buildSettingValue is what config.string() and its siblings return.
type buildSettingValue struct {
	opaque
	setting BuildSetting
}

func (b *buildSettingValue) defaultAttr() *Attr {
	a := &Attr{Name: "build_setting_default", AllowEmpty: true, Implicit: true, Fixed: true, Mandatory: true}
	switch b.setting.Type {
	case "bool":
		a.Type = TypeBool
	case "int":
		a.Type = TypeInt
	case "string_list", "string_set":
		a.Type = TypeStringList
	default:
		a.Type = TypeString
	}
	a.Default = zeroValue(a.Type)
	return a
}

type toolchainTypeValue struct {
	opaque
	ref ToolchainRef
}

type execGroupValue struct {
	opaque
	ExecGroup
}

func module(name string, members starlark.StringDict) *starlarkstruct.Module {
	return &starlarkstruct.Module{Name: name, Members: members}
}

func configModule() starlark.Value {
	m := starlark.StringDict{}
	for _, t := range []string{"string", "bool", "int", "string_list", "string_set"} {
		m[t] = starlark.NewBuiltin("config."+t, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			v := &buildSettingValue{opaque: opaque{"BuildSetting", "<build_setting." + t + ">"}, setting: BuildSetting{Type: t}}
			var repeatable bool
			err := starlark.UnpackArgs(b.Name(), args, kwargs, "flag?", &v.setting.Flag, "allow_multiple?", &v.setting.AllowMulti, "repeatable?", &repeatable)
			v.setting.AllowMulti = v.setting.AllowMulti || repeatable
			return v, err
		})
	}
	marker := func(name string) *starlark.Builtin {
		return starlark.NewBuiltin("config."+name, func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return &opaque{"transition", "<config." + name + ">"}, nil
		})
	}
	m["exec"], m["none"], m["target"] = marker("exec"), marker("none"), marker("target")
	return module("config", m)
}

func (e Env) configCommon() starlark.Value {
	return module("config_common", starlark.StringDict{
		"FeatureFlagInfo": FeatureFlagInfo,
		"toolchain_type": starlark.NewBuiltin("toolchain_type", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var name starlark.Value
			mandatory := true
			if err := starlark.UnpackArgs("toolchain_type", args, kwargs, "name", &name, "mandatory?", &mandatory); err != nil {
				return nil, err
			}
			l, err := e.Scope.ToLabel(name)
			if err != nil {
				return nil, fmt.Errorf("toolchain_type: %w", err)
			}
			return &toolchainTypeValue{opaque{"toolchain_type", l.Canonical()}, ToolchainRef{Type: l, Optional: !mandatory}}, nil
		}),
	})
}

func platformCommon() starlark.Value {
	return module("platform_common", starlark.StringDict{
		"ToolchainInfo": ToolchainInfo, "TemplateVariableInfo": TemplateVariableInfo, "PlatformInfo": PlatformInfo,
		"ConstraintSettingInfo": ConstraintSettingInfo, "ConstraintValueInfo": ConstraintValueInfo,
	})
}

func coverageCommon() starlark.Value {
	return module("coverage_common", starlark.StringDict{
		"instrumented_files_info": starlark.NewBuiltin("instrumented_files_info", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return InstrumentedFilesInfo.New(starlark.StringDict{"instrumented_files": EmptyDepset(), "metadata_files": EmptyDepset()}), nil
		}),
	})
}

func (e Env) testingModule() starlark.Value {
	return module("testing", starlark.StringDict{
		"ExecutionInfo": ExecutionInfo, "TestEnvironment": RunEnvironmentInfo,
		"analysis_test": starlark.NewBuiltin("analysis_test", e.analysisTest),
	})
}

// analysisTest declares a rule and one target of it in a single call.
func (e Env) analysisTest(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	var impl starlark.Callable
	var attrs, values *starlark.Dict
	var fragments, toolchains starlark.Value
	err := starlark.UnpackArgs("analysis_test", args, kwargs, "name", &name, "implementation", &impl, "attrs?", &attrs,
		"fragments?", &fragments, "toolchains?", &toolchains, "attr_values?", &values)
	if err != nil {
		return nil, err
	}
	class := &RuleClass{Name: "analysis_test", File: e.File, Impl: impl, Test: true, Executable: true, AnalysisTest: true, Position: CallerPosition(thread)}
	if class.Toolchains, err = e.toolchainRefs(toolchains); err != nil {
		return nil, err
	}
	if class.Attrs, err = mergeAttrs(baseAttrs(true, true), attrs); err != nil {
		return nil, err
	}
	call := []starlark.Tuple{{starlark.String("name"), starlark.String(name)}}
	if values != nil {
		call = append(call, values.Items()...)
	}
	return starlark.Call(thread, RuleValue{class}, nil, call)
}

func (e Env) execGroup(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var toolchains, compatible starlark.Value
	if err := starlark.UnpackArgs("exec_group", args, kwargs, "toolchains??", &toolchains, "exec_compatible_with??", &compatible); err != nil {
		return nil, err
	}
	g := &execGroupValue{opaque: opaque{"exec_group", "<exec_group>"}}
	var err error
	if g.Toolchains, err = e.toolchainRefs(toolchains); err != nil {
		return nil, fmt.Errorf("exec_group: %w", err)
	}
	g.ExecCompatible, err = e.labels("exec_compatible_with", compatible)
	return g, err
}

func configurationField(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return &lateBound{opaque{"LateBoundDefault", "<late-bound default>"}}, nil
}

// placeholder accepts any arguments and returns a value of the given kind, so
// that files which define module extensions and the like load.
func placeholder(name, kind string) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		return &opaque{kind, "<" + kind + ">"}, nil
	})
}

func noop(name string) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		return starlark.None, nil
	})
}

func (e Env) labelFn(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs("Label", args, kwargs, "input", &v); err != nil {
		return nil, err
	}
	l, err := e.Scope.ToLabel(v)
	if err != nil {
		return nil, fmt.Errorf("Label: %w", err)
	}
	return Label{l}, nil
}
