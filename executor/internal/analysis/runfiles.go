package analysis

import (
	"fmt"
	"path"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// Runfiles is the value of ctx.runfiles(): files that an executable finds below
// its .runfiles folder when it runs.
type Runfiles struct {
	files        *bzl.Depset
	symlinks     []runfilesLink // below the workspace's folder
	rootSymlinks []runfilesLink // below .runfiles
}

// runfilesLink puts a file at a path of its own.
type runfilesLink struct {
	path string
	file *bzl.File
}

var _ starlark.HasAttrs = (*Runfiles)(nil)

func emptyRunfiles() *Runfiles { return &Runfiles{files: bzl.EmptyDepset()} }

// merge returns the union.
func (r *Runfiles) merge(others ...*Runfiles) *Runfiles {
	out := &Runfiles{
		symlinks:     append([]runfilesLink(nil), r.symlinks...),
		rootSymlinks: append([]runfilesLink(nil), r.rootSymlinks...),
	}
	sets := []*bzl.Depset{r.files}
	for _, o := range others {
		sets = append(sets, o.files)
		out.symlinks = append(out.symlinks, o.symlinks...)
		out.rootSymlinks = append(out.rootSymlinks, o.rootSymlinks...)
	}
	out.files = bzl.FileDepset(nil, sets...)
	return out
}

// Empty reports whether nothing is in r.
func (r *Runfiles) Empty() bool {
	return !bool(r.files.Truth()) && len(r.symlinks) == 0 && len(r.rootSymlinks) == 0
}

func (r *Runfiles) String() string        { return "<runfiles>" }
func (r *Runfiles) Type() string          { return "runfiles" }
func (r *Runfiles) Freeze()               {}
func (r *Runfiles) Truth() starlark.Bool  { return true }
func (r *Runfiles) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: runfiles") }

// AttrNames lists the fields and methods.
func (r *Runfiles) AttrNames() []string {
	return []string{"empty_filenames", "files", "merge", "merge_all", "root_symlinks", "symlinks"}
}

// Attr returns a field or method.
func (r *Runfiles) Attr(name string) (starlark.Value, error) {
	switch name {
	case "files":
		return r.files, nil
	case "empty_filenames":
		return bzl.EmptyDepset(), nil
	case "symlinks", "root_symlinks":
		links := r.symlinks
		if name == "root_symlinks" {
			links = r.rootSymlinks
		}
		var out []starlark.Value
		for _, l := range links {
			out = append(out, newStruct(starlark.StringDict{"path": starlark.String(l.path), "target_file": l.file}))
		}
		return bzl.NewDepset(out)
	case "merge":
		return builtin(name, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var other *Runfiles
			if err := starlark.UnpackArgs(name, args, kwargs, "other", &other); err != nil {
				return nil, err
			}
			return r.merge(other), nil
		}), nil
	case "merge_all":
		return builtin(name, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var list starlark.Iterable
			if err := starlark.UnpackArgs(name, args, kwargs, "other", &list); err != nil {
				return nil, err
			}
			var others []*Runfiles
			for v := range starlark.Elements(list) {
				o, ok := v.(*Runfiles)
				if !ok {
					return nil, fmt.Errorf("merge_all: expected a list of runfiles, got %s in it", v.Type())
				}
				others = append(others, o)
			}
			return r.merge(others...), nil
		}), nil
	}
	return nil, nil
}

// RunfilesAt lays r out below dir, which is relative to the workspace or
// absolute: <dir>/<workspace>/<short path>, <dir>/<repo>/... and the symlinks.
func (a *Analyzer) RunfilesAt(dir string, r *Runfiles) action.Inputs { return runfilesTree{a, dir, r} }

type runfilesTree struct {
	a   *Analyzer
	dir string
	r   *Runfiles
}

// Each calls yield for each file at its place.
func (t runfilesTree) Each(yield func(action.Input) bool) bool {
	dir := action.Abs(t.dir)
	for _, f := range t.r.files.Files() {
		if !yield(action.Input{Path: path.Join(dir, f.RunfilesPath(t.a.opts.Workspace)), Artifact: f.Artifact}) {
			return false
		}
	}
	for _, l := range t.r.symlinks {
		if !yield(action.Input{Path: path.Join(dir, t.a.opts.Workspace, l.path), Artifact: l.file.Artifact}) {
			return false
		}
	}
	for _, l := range t.r.rootSymlinks {
		if !yield(action.Input{Path: path.Join(dir, l.path), Artifact: l.file.Artifact}) {
			return false
		}
	}
	return true
}

// runfiles is ctx.runfiles().
func (c *ruleContext) runfiles(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var files, transitive, symlinks, rootSymlinks starlark.Value
	var collectData, collectDefault, skip bool
	err := starlark.UnpackArgs("runfiles", args, kwargs, "files?", &files, "transitive_files?", &transitive,
		"collect_data?", &collectData, "collect_default?", &collectDefault, "symlinks?", &symlinks,
		"root_symlinks?", &rootSymlinks, "skip_conflict_checking?", &skip)
	if err != nil {
		return nil, err
	}
	list, err := fileList("runfiles: files", files)
	if err != nil {
		return nil, err
	}
	var sets []*bzl.Depset
	if isSet(transitive) {
		d, ok := transitive.(*bzl.Depset)
		if !ok || d.Kind() != "" && d.Kind() != "File" {
			return nil, fmt.Errorf("runfiles: transitive_files: expected a depset of files, got %s", transitive.Type())
		}
		sets = append(sets, d)
	}
	r := &Runfiles{files: bzl.FileDepset(list, sets...)}
	if r.symlinks, err = runfilesLinks("symlinks", symlinks); err != nil {
		return nil, err
	}
	if r.rootSymlinks, err = runfilesLinks("root_symlinks", rootSymlinks); err != nil {
		return nil, err
	}
	if collectDefault || collectData {
		var more []*Runfiles
		for _, name := range []string{"srcs", "deps", "data"} {
			for _, d := range c.deps[name] {
				if collectDefault {
					more = append(more, d.Runfiles)
				} else {
					more = append(more, d.DataRunfiles)
				}
				if name == "data" {
					more = append(more, &Runfiles{files: d.Files})
				}
			}
		}
		r = r.merge(more...)
	}
	return r, nil
}

// runfilesLinks takes a dict from path to File, or a depset of SymlinkEntry.
func runfilesLinks(what string, v starlark.Value) ([]runfilesLink, error) {
	if !isSet(v) {
		return nil, nil
	}
	var out []runfilesLink
	switch v := v.(type) {
	case *starlark.Dict:
		for _, item := range v.Items() {
			f, ok := item[1].(*bzl.File)
			if !ok {
				return nil, fmt.Errorf("runfiles: %s: expected files as values, got %s", what, item[1].Type())
			}
			out = append(out, runfilesLink{textOf(item[0]), f})
		}
		return out, nil
	case *bzl.Depset:
		for _, e := range v.List() {
			s, ok := e.(starlark.HasAttrs)
			if !ok {
				return nil, fmt.Errorf("runfiles: %s: expected a depset of symlink entries, got %s", what, e.Type())
			}
			p, err := s.Attr("path")
			if err != nil {
				return nil, fmt.Errorf("runfiles: %s: %w", what, err)
			}
			t, err := s.Attr("target_file")
			if err != nil {
				return nil, fmt.Errorf("runfiles: %s: %w", what, err)
			}
			f, ok := t.(*bzl.File)
			if !ok {
				return nil, fmt.Errorf("runfiles: %s: target_file: expected a File, got %s", what, t.Type())
			}
			out = append(out, runfilesLink{textOf(p), f})
		}
		return out, nil
	}
	return nil, fmt.Errorf("runfiles: %s: expected a dict, got %s", what, v.Type())
}
