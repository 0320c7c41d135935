package analysis

import (
	"fmt"
	"maps"
	"path"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

var _ starlark.HasAttrs = (*ruleContext)(nil)

func (c *ruleContext) String() string        { return "<rule context for " + c.t.Label.String() + ">" }
func (c *ruleContext) Type() string          { return "ctx" }
func (c *ruleContext) Freeze()               {}
func (c *ruleContext) Truth() starlark.Bool  { return true }
func (c *ruleContext) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: ctx") }

var ctxNames = []string{
	"actions", "aspect_ids", "attr", "bin_dir", "build_file_path", "build_setting_value", "configuration", "coverage_instrumented",
	"created_actions", "disabled_features", "exec_groups", "executable", "expand_location", "expand_make_variables", "features",
	"file", "files", "fragments", "genfiles_dir", "host_tools", "info_file", "label", "outputs", "resolve_tools", "rule", "runfiles", "split_attr",
	"target_platform_has_constraint", "toolchains", "var", "version_file", "workspace_name",
}

// AttrNames lists the fields.
func (c *ruleContext) AttrNames() []string { return ctxNames }

// Attr returns a field or method.
func (c *ruleContext) Attr(name string) (starlark.Value, error) {
	switch name {
	case "actions":
		return c.actions, nil
	case "attr":
		return c.attr, nil
	case "file":
		return c.file, nil
	case "files":
		return c.files, nil
	case "executable":
		return c.executable, nil
	case "outputs":
		return c.outputs, nil
	case "split_attr":
		return c.splitAttr, nil
	case "label":
		return bzl.Label{Label: c.t.Label}, nil
	case "workspace_name":
		return starlark.String(c.a.opts.Workspace), nil
	case "build_file_path":
		p, err := c.a.opts.Loader.Package(c.ctx, c.t.Label.Pkg())
		if err != nil {
			return nil, err
		}
		return starlark.String(path.Join(packageDir(c.t.Label), p.File.Name)), nil
	case "bin_dir", "genfiles_dir":
		return bzl.NewRoot(c.cfg.outDir()), nil
	case "features":
		return stringsValue(c.features), nil
	case "disabled_features", "aspect_ids":
		return starlark.NewList(nil), nil
	case "toolchains":
		return c.toolchains, nil
	case "exec_groups":
		return c.execGroups(), nil
	case "build_setting_value":
		if c.setting == nil {
			return nil, fmt.Errorf("attempting to access 'build_setting_value' of non-build setting %s", c.t.Label)
		}
		return c.setting, nil
	case "var":
		return c.vars()
	case "configuration":
		return c.configuration(), nil
	case "fragments":
		return newStruct(starlark.StringDict{}), nil
	case "host_tools":
		return c.hostTools(), nil
	case "info_file", "version_file":
		return c.statusFile(name)
	case "rule":
		if c.aspect == nil {
			return nil, nil
		}
		return c.aspect.rule, nil
	}
	if f := c.method(name); f != nil {
		return builtin(name, f), nil
	}
	return nil, nil
}

type starlarkFunc = func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func (c *ruleContext) method(name string) starlarkFunc {
	switch name {
	case "runfiles":
		return func(t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return c.runfiles(t, args, kwargs)
		}
	case "expand_location":
		return c.expandLocation
	case "expand_make_variables":
		return c.expandMakeVariables
	case "target_platform_has_constraint":
		return c.platformHas
	case "coverage_instrumented":
		return func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return starlark.False, nil
		}
	}
	return nil
}

func stringsValue(list []string) *starlark.List {
	out := make([]starlark.Value, len(list))
	for i, s := range list {
		out[i] = starlark.String(s)
	}
	return starlark.NewList(out)
}

func (c *ruleContext) configuration() starlark.Value {
	env := starlark.NewDict(8)
	base := c.a.baseEnv()
	for _, k := range sortedKeys(base) {
		_ = env.SetKey(starlark.String(k), starlark.String(base[k])) // string keys cannot fail
	}
	return frozen(newStruct(starlark.StringDict{
		"coverage_enabled": starlark.False, "host_path_separator": starlark.String(":"), "default_shell_env": env, "test_env": new(starlark.Dict),
		"stamp_binaries": builtin("stamp_binaries", func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return starlark.False, nil
		}),
		"is_tool_configuration": builtin("is_tool_configuration", func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return starlark.False, nil
		}),
		"short_id": starlark.String(c.cfg.id),
	}))
}

// hostTools is the directory of default host tools, None if there is none.
func (c *ruleContext) hostTools() starlark.Value {
	f := c.a.hostTools()
	return fileOrNone(f)
}

func (a *Analyzer) hostTools() *bzl.File {
	if a.opts.HostTools == nil {
		return nil
	}
	art := a.opts.HostTools()
	if art == nil {
		return nil
	}
	return &bzl.File{Artifact: art, Path: art.Path}
}

// statusFile gives ctx.info_file and ctx.version_file: constant files, since a
// stamp would give every build other keys.
func (c *ruleContext) statusFile(name string) (starlark.Value, error) {
	text := "BUILD_EMBED_LABEL \nBUILD_HOST unknown\nBUILD_USER unknown\n"
	if name == "version_file" {
		text = "BUILD_TIMESTAMP 0\n"
	}
	art := &action.Artifact{Path: "bazel-out/" + name + ".txt"}
	art.Producer = &action.Spec{
		Owner: c.t.Label, Position: c.t.Position, Mnemonic: "BazelWorkspaceStatusAction", Progress: "Writing " + art.Path, Outputs: []*action.Artifact{art}, Inputs: action.InputList(nil),
		Write: &action.Write{Content: func(action.Expander) ([]byte, error) { return []byte(text), nil }},
	}
	return &bzl.File{Artifact: art, Path: art.Path}, nil
}

// baseEnv is the environment described in the package's page.
func (a *Analyzer) baseEnv() map[string]string {
	env := map[string]string{
		"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC",
	}
	maps.Copy(env, a.opts.Config.ActionEnv)
	return env
}
