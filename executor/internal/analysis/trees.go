package analysis

import (
	"fmt"
	"path"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/glob"
	"gorules/executor/internal/loading"
)

// absolute checks a path of the input root.
func absolute(what, p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p {
		return fmt.Errorf("%s: expected an absolute path without . and .., got %q", what, p)
	}
	return nil
}

// inside checks a path relative to a repository's root; "" is the root.
func inside(what, p string) error {
	if p == "" {
		return nil
	}
	if path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../") {
		return fmt.Errorf("%s: expected a path inside the repository without . and .., got %q", what, p)
	}
	return nil
}

// place is ctx.actions.place: the same artifact at another path.
func (x *actions) place(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f *bzl.File
	var p string
	if err := starlark.UnpackArgs("place", args, kwargs, "file", &f, "path", &p); err != nil {
		return nil, err
	}
	if err := absolute("place: path", p); err != nil {
		return nil, err
	}
	return &bzl.File{Artifact: f.Artifact, Path: p, Owner: f.Owner}, nil
}

func (x *actions) view() (*loading.View, error) {
	v, err := x.a.opts.Repos.View(x.ctx, x.owner.Repo)
	if err != nil {
		return nil, err
	}
	if v.Root == "" {
		return nil, fmt.Errorf("repository @%s is part of gorules: it has no folder", x.owner.Repo)
	}
	return v, nil
}

// sourceTree is ctx.actions.source_tree.
func (x *actions) sourceTree(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var p, at string
	at = action.Workspace
	gitignore, tracked := true, false
	var include, exclude, blank, atValue starlark.Value
	err := starlark.UnpackArgs("source_tree", args, kwargs, "path?", &p, "include?", &include, "exclude?", &exclude,
		"gitignore?", &gitignore, "tracked?", &tracked, "blank?", &blank, "at?", &atValue)
	if err != nil {
		return nil, err
	}
	if isSet(atValue) {
		at = textOf(atValue)
	}
	if err := absolute("source_tree: at", at); err != nil {
		return nil, err
	}
	if err := inside("source_tree: path", p); err != nil {
		return nil, err
	}
	if tracked && !gitignore {
		return nil, fmt.Errorf("source_tree: tracked says what .gitignore does not leave out; without gitignore it says nothing")
	}
	q := &action.TreeQuery{Gitignore: gitignore, Tracked: tracked}
	for _, l := range []struct {
		name string
		v    starlark.Value
		to   *glob.Set
	}{{"include", include, &q.Include}, {"exclude", exclude, &q.Exclude}, {"blank", blank, &q.Blank}} {
		texts, err := stringList("source_tree: "+l.name, l.v)
		if err != nil {
			return nil, err
		}
		if *l.to, err = glob.ParseAll(texts); err != nil {
			return nil, fmt.Errorf("source_tree: %s: %w", l.name, err)
		}
	}
	v, err := x.view()
	if err != nil {
		return nil, fmt.Errorf("source_tree: %w", err)
	}
	return x.source(at, &action.Source{Root: v.Root, Path: p, Immutable: v.Immutable, Tree: q}), nil
}

// sourceDir is ctx.actions.source_dir.
func (x *actions) sourceDir(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var p, at string
	if err := starlark.UnpackArgs("source_dir", args, kwargs, "path", &p, "at", &at); err != nil {
		return nil, err
	}
	if err := absolute("source_dir: at", at); err != nil {
		return nil, err
	}
	if err := inside("source_dir: path", p); err != nil {
		return nil, err
	}
	v, err := x.view()
	if err != nil {
		return nil, fmt.Errorf("source_dir: %w", err)
	}
	return x.source(at, &action.Source{Root: v.Root, Path: p, Immutable: v.Immutable}), nil
}

// hostTree is ctx.actions.host_tree.
func (x *actions) hostTree(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var paths starlark.Value
	if err := starlark.UnpackArgs("host_tree", args, kwargs, "paths", &paths); err != nil {
		return nil, err
	}
	list, err := stringList("host_tree: paths", paths)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if err := absolute("host_tree: paths", p); err != nil {
			return nil, err
		}
	}
	return x.source("/", &action.Source{Host: &action.HostTree{Paths: list}}), nil
}

// gitDir is ctx.actions.git_dir.
func (x *actions) gitDir(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("git_dir", args, kwargs); err != nil {
		return nil, err
	}
	v, err := x.view()
	if err != nil {
		return nil, fmt.Errorf("git_dir: %w", err)
	}
	at := action.Workspace + "/.git"
	return x.source(at, &action.Source{Root: v.Root + "/.git", At: at}), nil
}

// sourceArtifact returns the one artifact for a source: rules ask for the same
// tree for every action, and each artifact is looked at once.
func (a *Analyzer) sourceArtifact(at string, s *action.Source) *action.Artifact {
	key := at + " " + s.Key()
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.sources[key]; old != nil {
		return old
	}
	art := &action.Artifact{Path: at, Dir: true, Source: s}
	a.sources[key] = art
	return art
}

func (x *actions) source(at string, s *action.Source) *bzl.File {
	return &bzl.File{Artifact: x.a.sourceArtifact(at, s), Path: at, Owner: x.owner}
}
