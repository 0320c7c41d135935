package loading

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/glob"
	"gorules/executor/label"
)

// WorkspaceNatives answers native.existing_rule() and its siblings in a
// WORKSPACE file, for a context whose Extra implements it.
type WorkspaceNatives interface {
	Native(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)
}

type builtinFunc = func(*builder, *starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func functions(m map[string]builtinFunc) starlark.StringDict {
	d := make(starlark.StringDict, len(m))
	for name, f := range m {
		d[name] = starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			b, ok := bzl.ContextOf(thread).Extra.(*builder)
			if w, isWorkspace := bzl.ContextOf(thread).Extra.(WorkspaceNatives); isWorkspace {
				return w.Native(name, args, kwargs)
			}
			if !ok {
				return nil, errorf("%s", name+"() can only be called while a BUILD file is evaluated").
					WithHint("call it in a BUILD file, or in a macro that a BUILD file calls")
			}
			defer bzl.Follow(thread, &b.tree.listed)() // glob() may take long on a slow disk
			return f(b, thread, args, kwargs)
		})
	}
	return d
}

// buildFunctions are the functions of BUILD files, which native has too.
func buildFunctions() starlark.StringDict {
	return functions(map[string]builtinFunc{
		"distribs":               ignore,
		"existing_rule":          existingRule,
		"existing_rules":         existingRules,
		"exports_files":          exportsFiles,
		"glob":                   globFn,
		"licenses":               ignore,
		"module_name":            none,
		"module_version":         none,
		"package":                packageFn,
		"package_group":          packageGroup,
		"package_name":           packageName,
		"repo_name":              repoName,
		"repository_name":        repositoryName,
		"subpackages":            subpackages,
		"package_relative_label": packageRelativeLabel,
	})
}

// macroFunctions are members of native that BUILD files do not have as globals.
func macroFunctions() starlark.StringDict {
	return functions(map[string]builtinFunc{"package_default_visibility": packageDefaultVisibility})
}

func ignore(*builder, *starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return starlark.None, nil
}

func none(_ *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return starlark.None, starlark.UnpackArgs("module_name", args, kwargs)
}

func packageName(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return starlark.String(b.pkg.ID.Path), starlark.UnpackArgs("package_name", args, kwargs)
}

func repoName(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return starlark.String(b.pkg.ID.Repo), starlark.UnpackArgs("repo_name", args, kwargs)
}

func repositoryName(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return starlark.String("@" + b.pkg.ID.Repo), starlark.UnpackArgs("repository_name", args, kwargs)
}

func packageRelativeLabel(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var input starlark.Value
	if err := starlark.UnpackArgs("package_relative_label", args, kwargs, "input", &input); err != nil {
		return nil, err
	}
	l, err := b.scope.ToLabel(input)
	if err != nil {
		return nil, fmt.Errorf("package_relative_label: %w", err)
	}
	return bzl.Label{Label: l}, nil
}

func packageDefaultVisibility(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var out []starlark.Value
	add := func(repo, pkg, name string) {
		out = append(out, bzl.Label{Label: label.Label{Repo: repo, Package: pkg, Name: name}})
	}
	v := b.pkg.DefaultVisibility
	if v.Public {
		add("", "visibility", "public")
	}
	for _, s := range v.Packages {
		name := "__pkg__"
		if s.Below {
			name = "__subpackages__"
		}
		add(s.Package.Repo, s.Package.Path, name)
	}
	for _, g := range v.Groups {
		out = append(out, bzl.Label{Label: g})
	}
	if out == nil {
		add("", "visibility", "private")
	}
	return starlark.NewList(out), starlark.UnpackArgs("package_default_visibility", args, kwargs)
}

// emptyGlob is the end of Bazel's message for a glob that finds nothing.
const emptyGlob = "but allow_empty is set to False (the default value of allow_empty can be set with --incompatible_disallow_empty_glob)."

func globFn(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var includeArg, excludeArg, allowEmpty starlark.Value
	withoutDirs := starlark.Value(starlark.True)
	if err := starlark.UnpackArgs("glob", args, kwargs, "include?", &includeArg, "exclude?", &excludeArg,
		"exclude_directories?", &withoutDirs, "allow_empty?", &allowEmpty); err != nil {
		return nil, err
	}
	include, err := stringList("glob: include", includeArg)
	if err != nil {
		return nil, err
	}
	exclude, err := stringList("glob: exclude", excludeArg)
	if err != nil {
		return nil, err
	}
	dirs := !bool(withoutDirs.Truth())
	mayBeEmpty := allowEmpty != nil && allowEmpty != starlark.None && bool(allowEmpty.Truth())
	found, empty, err := b.tree.glob(b.pkg.ID.Path, include, exclude, dirs, b.skip)
	if err != nil {
		return nil, err
	}
	if empty != "" && !mayBeEmpty {
		return nil, errorf("glob pattern '%s' didn't match anything, %s", empty, emptyGlob).
			WithHint("mend the pattern, or write allow_empty = True")
	}
	if len(found) == 0 && !mayBeEmpty {
		return nil, errorf("%s", "all files in the glob have been excluded, "+emptyGlob).WithHint("exclude less, or write allow_empty = True")
	}
	return stringValues(found), nil
}

func stringValues(ss []string) *starlark.List {
	out := make([]starlark.Value, len(ss))
	for i, s := range ss {
		out[i] = starlark.String(s)
	}
	return starlark.NewList(out)
}

func subpackages(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var includeArg, excludeArg starlark.Value
	allowEmpty := false
	if err := starlark.UnpackArgs("subpackages", args, kwargs, "include", &includeArg, "exclude?", &excludeArg, "allow_empty?", &allowEmpty); err != nil {
		return nil, err
	}
	include, err := stringList("subpackages: include", includeArg)
	if err != nil {
		return nil, err
	}
	exclude, err := stringList("subpackages: exclude", excludeArg)
	if err != nil {
		return nil, err
	}
	wanted, err := glob.ParseAll(include)
	if err != nil {
		return nil, err
	}
	not, err := glob.ParseAll(exclude)
	if err != nil {
		return nil, err
	}
	var found []string
	if err := b.subpackagesBelow("", func(name string) {
		if wanted.Match(name) && !not.Match(name) {
			found = append(found, name)
		}
	}); err != nil {
		return nil, err
	}
	if len(found) == 0 && !allowEmpty {
		return nil, errorf("%s", "subpackages pattern "+stringValues(include).String()+" didn't match anything, but allow_empty is set to False.").
			WithHint("mend the pattern, or write allow_empty = True")
	}
	slices.Sort(found)
	return stringValues(found), nil
}

// subpackagesBelow finds the nearest packages below at, relative to the builder's package.
func (b *builder) subpackagesBelow(at string, yield func(string)) error {
	d, err := b.tree.list(path.Join(b.pkg.ID.Path, at))
	if err != nil {
		return err
	}
	if at != "" && b.tree.buildFile(path.Join(b.pkg.ID.Path, at), d) != "" {
		yield(at)
		return nil
	}
	for _, e := range d.entries {
		p := path.Join(at, e.Name())
		full := path.Join(b.pkg.ID.Path, p)
		if b.skip(full) || b.tree.kind(full, e) != folder {
			continue
		}
		if err := b.subpackagesBelow(p, yield); err != nil {
			return err
		}
	}
	return nil
}

func exportsFiles(b *builder, thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var srcs, vis, licenses starlark.Value
	if err := starlark.UnpackArgs("exports_files", args, kwargs, "srcs", &srcs, "visibility?", &vis, "licenses?", &licenses); err != nil {
		return nil, err
	}
	names, err := stringList("exports_files: srcs", srcs)
	if err != nil {
		return nil, err
	}
	v := Visibility{Public: true}
	if vis != nil && vis != starlark.None {
		labels, err := labelList("exports_files: visibility", vis, b.scope)
		if err != nil {
			return nil, err
		}
		if v, err = visibilityOf(labels); err != nil {
			return nil, fmt.Errorf("exports_files: %w", err)
		}
	}
	for _, name := range names {
		l, err := b.pkg.ID.Label(strings.TrimPrefix(name, ":"))
		if err != nil {
			return nil, fmt.Errorf("exports_files: %w", err)
		}
		if b.exported[l.Name] && b.pkg.Targets[l.Name].Kind == SourceFile {
			continue // exported twice: the first wins
		}
		b.exported[l.Name] = true
		if err := b.add(&Target{Label: l, Kind: SourceFile, Visibility: v, Position: position(thread)}); err != nil {
			return nil, err
		}
	}
	return starlark.None, nil
}

func packageGroup(b *builder, thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	var packages, includes starlark.Value
	if err := starlark.UnpackArgs("package_group", args, kwargs, "name", &name, "packages?", &packages, "includes?", &includes); err != nil {
		return nil, err
	}
	l, err := b.pkg.ID.Label(name)
	if err != nil {
		return nil, fmt.Errorf("package_group: %w", err)
	}
	t := &Target{Label: l, Kind: PackageGroup, Group: &Group{}, Visibility: Visibility{Public: true}, Position: position(thread)}
	texts, err := stringList("package_group: packages", packages)
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		s, err := parsePackageSpec(text, b.pkg.ID)
		if err != nil {
			return nil, fmt.Errorf("package_group %s: %w", name, err)
		}
		if strings.HasPrefix(strings.TrimPrefix(text, "-"), "@") && !strings.HasPrefix(strings.TrimPrefix(text, "-"), "@@") && b.scope.Repo != nil {
			s.Package.Repo = b.scope.Repo(s.Package.Repo)
		}
		t.Group.Specs = append(t.Group.Specs, s)
	}
	if t.Group.Includes, err = labelList("package_group: includes", includes, b.scope); err != nil {
		return nil, err
	}
	return starlark.None, b.add(t)
}
