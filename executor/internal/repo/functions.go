package repo

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

type workspaceFunc = func(*workspace, *starlark.Thread, starlark.Tuple, []starlark.Tuple) error

func functions(m map[string]workspaceFunc) starlark.StringDict {
	d := make(starlark.StringDict, len(m))
	for name, f := range m {
		d[name] = starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			w, ok := bzl.ContextOf(thread).Repos.(*workspace)
			if !ok {
				return nil, fmt.Errorf("%s() can only be called while a WORKSPACE file is evaluated: in it, or in a macro that it calls", name)
			}
			return starlark.None, f(w, thread, args, kwargs)
		})
	}
	return d
}

// workspaceFunctions are the functions of WORKSPACE files; macros call all but
// workspace() through native.
func workspaceFunctions() starlark.StringDict {
	return functions(map[string]workspaceFunc{
		"bind": func(*workspace, *starlark.Thread, starlark.Tuple, []starlark.Tuple) error { return nil },
		"register_execution_platforms": func(w *workspace, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
			return w.register("register_execution_platforms", &w.platforms, t, args, kwargs)
		},
		"register_toolchains": func(w *workspace, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
			return w.register("register_toolchains", &w.toolchains, t, args, kwargs)
		},
		"workspace": func(w *workspace, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
			var name string
			var managed starlark.Value
			if err := starlark.UnpackArgs("workspace", args, kwargs, "name", &name, "managed_directories?", &managed); err != nil {
				return err
			}
			return w.setName(name)
		},
	})
}

func (w *workspace) setName(name string) error {
	if _, err := label.Parse("@"+name+"//:x", label.Package{}); err != nil || name == "" {
		return fmt.Errorf("%q is no valid workspace name", name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.name = name
	return nil
}

// register takes target patterns.
func (w *workspace) register(what string, into *[]Registration, thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
	for _, kw := range kwargs {
		if kw[0] != starlark.String("dev_dependency") {
			return fmt.Errorf("%s: unexpected keyword argument %s", what, kw[0])
		}
		if kw[1].Truth() && w.repo != "" {
			return nil // of the root module only
		}
	}
	scope := bzl.ContextOf(thread).Scope
	for _, a := range args {
		text, ok := starlark.AsString(a)
		if l, isLabel := a.(bzl.Label); isLabel {
			text, ok = l.Canonical(), true
		}
		if !ok {
			return fmt.Errorf("%s: expected labels or target patterns, got %s", what, a.Type())
		}
		p, err := label.ParsePattern(text, "")
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		switch {
		case !strings.HasPrefix(text, "@"):
			p.Package.Repo = w.repo
		case !strings.HasPrefix(text, "@@") && p.Package.Repo != "" && scope.Repo != nil:
			p.Package.Repo = scope.Repo(p.Package.Repo)
		}
		if i := strings.Index(text, "//"); i >= 0 {
			p.Text = "@@" + p.Package.Repo + text[i:] // the name is canonical now
		}
		w.mu.Lock()
		*into = append(*into, Registration{p, outermost(thread)})
		w.mu.Unlock()
	}
	return nil
}

// Native implements loading.WorkspaceNatives.
func (w *workspace) Native(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	switch name {
	case "existing_rule":
		var n string
		if err := starlark.UnpackArgs(name, args, kwargs, "name", &n); err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if d := w.decls[n]; d != nil {
			return d.dict(), nil
		}
		return starlark.None, nil
	case "existing_rules":
		out := new(starlark.Dict)
		for _, n := range w.names() {
			if err := out.SetKey(starlark.String(n), w.find(n).dict()); err != nil {
				return nil, err
			}
		}
		return out, starlark.UnpackArgs(name, args, kwargs)
	case "repository_name":
		return starlark.String("@" + w.repo), nil
	case "package_name":
		return starlark.String(""), nil
	}
	return nil, fmt.Errorf("%s() cannot be called while a WORKSPACE file is evaluated", name)
}

// dict is what native.existing_rule() tells of a repository.
func (d *declaration) dict() starlark.Value {
	out := new(starlark.Dict)
	set := func(name string, v starlark.Value) {
		_ = out.SetKey(starlark.String(name), v) // a string key in a dict nobody iterates
	}
	set("kind", starlark.String(d.rule.Name))
	for _, name := range sorted(d.attrs) {
		v := d.attrs[name]
		if l, ok := v.(bzl.Label); ok {
			v = starlark.String(l.Canonical())
		}
		if !strings.HasPrefix(name, "_") {
			set(name, v)
		}
	}
	return out
}

// moduleFunctions are what MODULE.bazel files may call.
func moduleFunctions() starlark.StringDict {
	d := functions(map[string]workspaceFunc{
		"bazel_dep":           bazelDep,
		"local_path_override": localPathOverride,
		"module":              module,
	})
	for name, v := range workspaceFunctions() {
		if strings.HasPrefix(name, "register_") {
			d[name] = v
		}
	}
	for _, name := range []string{
		"archive_override", "git_override", "include", "inject_repo", "multiple_version_override", "override_repo",
		"single_version_override", "use_extension", "use_repo", "use_repo_rule",
	} {
		d[name] = starlark.NewBuiltin(name, func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return nil, fmt.Errorf("%s() is not supported: in MODULE.bazel gorules reads module, bazel_dep with local_path_override, register_toolchains and register_execution_platforms; a WORKSPACE file beside it takes its place and can declare anything", name)
		})
	}
	return d
}

func module(w *workspace, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
	var name, version, repoName string
	var rest [2]starlark.Value
	if err := starlark.UnpackArgs("module", args, kwargs, "name?", &name, "version?", &version,
		"compatibility_level?", &rest[0], "repo_name?", &repoName, "bazel_compatibility?", &rest[1]); err != nil {
		return err
	}
	if repoName != "" {
		name = repoName
	}
	if name == "" {
		return nil
	}
	return w.setName(name)
}

// bazelDep notes a dependency; whether it can be had is checked when it is used.
func bazelDep(w *workspace, thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
	var name, version string
	var repoName, level starlark.Value
	var dev bool
	if err := starlark.UnpackArgs("bazel_dep", args, kwargs, "name", &name, "version?", &version,
		"max_compatibility_level?", &level, "repo_name?", &repoName, "dev_dependency?", &dev); err != nil {
		return err
	}
	if dev && w.repo != "" || w.r.embedded(name) != nil {
		return nil
	}
	apparent := name
	if s, ok := starlark.AsString(repoName); ok && s != "" {
		apparent = s
	}
	d := &declaration{repo: w.canonical(apparent), name: apparent, root: w.root, position: outermost(thread),
		rule: unavailable, attrs: map[string]starlark.Value{"module": starlark.String(name)}}
	if w.repo != "" { // a module that the root has is the same one everywhere
		w.r.mu.Lock()
		root := w.r.begun[""]
		w.r.mu.Unlock()
		if root.find(apparent) != nil {
			return nil
		}
	}
	w.mu.Lock()
	path, overridden := w.overrides[name]
	w.mu.Unlock()
	if overridden {
		d.rule, d.attrs = w.r.rules["local_repository"], map[string]starlark.Value{"path": starlark.String(path)}
	}
	return w.declare(d)
}

// unavailable is the rule of a module that no override provides.
var unavailable = &bzl.RepoRule{Name: "bazel_dep", Impl: starlark.NewBuiltin("bazel_dep",
	func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		name := ""
		if s, ok := args[0].(starlark.HasAttrs); ok {
			if attrs, err := s.Attr("attr"); err == nil {
				if v, err := attrs.(*starlarkstruct.Struct).Attr("module"); err == nil {
					name, _ = starlark.AsString(v)
				}
			}
		}
		return nil, fmt.Errorf("bazel_dep %q has no local_path_override: gorules takes modules from folders of this machine only; add local_path_override(module_name = %q, path = \"...\")", name, name)
	})}

func localPathOverride(w *workspace, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
	var name, path string
	if err := starlark.UnpackArgs("local_path_override", args, kwargs, "module_name", &name, "path", &path); err != nil {
		return err
	}
	if w.repo != "" {
		return nil // only the root module overrides
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.decls {
		if s, _ := starlark.AsString(d.attrs["module"]); d.rule == unavailable && s == name {
			d.rule, d.attrs = w.r.rules["local_repository"], map[string]starlark.Value{"path": starlark.String(path)}
		}
	}
	w.overrides[name] = path
	return nil
}

// suggest proposes the nearest of names.
func suggest(name string, names []string) string { return loading.Suggest(name, names) }
