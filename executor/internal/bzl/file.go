package bzl

import (
	"fmt"
	"hash/fnv"
	"path"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/internal/action"
	"gorules/executor/label"
)

// A File is an artifact as rules see it: content with a path. Files are equal
// when artifact and path are; they are ordered by path.
type File struct {
	Artifact *action.Artifact

	// Path is where actions see it: relative to the workspace, or absolute.
	Path string

	// Root is the leading part of Path that is not part of the short path:
	// "bazel-out/k8-fastbuild/bin" for outputs, "" for sources.
	Root string

	// Owner is the target that makes it, or its own label for a source.
	Owner label.Label

	// TreeRelative is the path inside the directory that the file was expanded
	// from; "" for other files.
	TreeRelative string
}

var (
	_ starlark.HasAttrs   = (*File)(nil)
	_ starlark.Comparable = (*File)(nil)
)

// Input returns the file as actions take it.
func (f *File) Input() action.Input {
	return action.Input{Path: action.Abs(f.Path), Artifact: f.Artifact}
}

// IsSource reports whether no action makes the file. A declared output counts
// as none even before its action exists.
func (f *File) IsSource() bool { return f.Artifact.Source != nil }

// ShortPath is the path below Root; files of external repositories start with ../<repo>.
func (f *File) ShortPath() string {
	p := f.Path
	if f.Root != "" {
		p = strings.TrimPrefix(strings.TrimPrefix(p, f.Root), "/")
	}
	if rest, ok := strings.CutPrefix(p, "external/"); ok {
		return "../" + rest
	}
	return p
}

// RunfilesPath is where the file stands in a runfiles tree: <workspace>/<short
// path>, or <repo>/<path> for files of external repositories.
func (f *File) RunfilesPath(workspace string) string {
	s := f.ShortPath()
	if rest, ok := strings.CutPrefix(s, "../"); ok {
		return rest
	}
	if strings.HasPrefix(s, "/") {
		return workspace + s
	}
	return workspace + "/" + s
}

func (f *File) String() string {
	kind := "generated "
	if f.IsSource() {
		kind = "source "
	}
	what := "file"
	if f.Artifact.Dir {
		what = "directory"
	}
	return "<" + kind + what + " " + f.ShortPath() + ">"
}

// Type is "File".
func (f *File) Type() string         { return "File" }
func (f *File) Freeze()              {}
func (f *File) Truth() starlark.Bool { return true }

// Hash returns a hash of the path.
func (f *File) Hash() (uint32, error) {
	h := fnv.New32a()
	h.Write([]byte(f.Path))
	return h.Sum32(), nil
}

func (f *File) same(g *File) bool {
	return f == g || f.Artifact == g.Artifact && f.Path == g.Path
}

// CompareSameType compares by identity for == and by path for <.
func (f *File) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	g := y.(*File)
	switch op {
	case syntax.EQL:
		return f.same(g), nil
	case syntax.NEQ:
		return !f.same(g), nil
	case syntax.LT:
		return f.Path < g.Path, nil
	case syntax.LE:
		return f.Path <= g.Path, nil
	case syntax.GT:
		return f.Path > g.Path, nil
	case syntax.GE:
		return f.Path >= g.Path, nil
	}
	return false, fmt.Errorf("files do not support %s", op)
}

var fileAttrs = []string{"basename", "dirname", "extension", "is_directory", "is_source", "is_symlink", "owner", "path", "root", "short_path", "tree_relative_path"}

// AttrNames lists the fields.
func (f *File) AttrNames() []string { return fileAttrs }

// Attr returns a field.
func (f *File) Attr(name string) (starlark.Value, error) {
	switch name {
	case "path":
		return starlark.String(f.Path), nil
	case "short_path":
		return starlark.String(f.ShortPath()), nil
	case "basename":
		return starlark.String(path.Base(f.Path)), nil
	case "dirname":
		d := path.Dir(f.Path)
		if d == "." {
			d = ""
		}
		return starlark.String(d), nil
	case "extension":
		return starlark.String(strings.TrimPrefix(path.Ext(path.Base(f.Path)), ".")), nil
	case "root":
		return fileRoot{f.Root}, nil
	case "owner":
		if f.Owner.IsZero() {
			return starlark.None, nil
		}
		return Label{f.Owner}, nil
	case "is_directory":
		return starlark.Bool(f.Artifact.Dir && f.TreeRelative == ""), nil
	case "is_source":
		return starlark.Bool(f.IsSource()), nil
	case "is_symlink":
		return starlark.Bool(f.Artifact.Link), nil
	case "tree_relative_path":
		if f.TreeRelative == "" {
			return nil, fmt.Errorf("tree_relative_path is there only for files that Args expanded from a directory; %s is not one", f.Path)
		}
		return starlark.String(f.TreeRelative), nil
	}
	return nil, nil
}

// fileRoot is File.root, and ctx.bin_dir.
type fileRoot struct{ path string }

// NewRoot returns the value of ctx.bin_dir for the folder path.
func NewRoot(path string) starlark.Value { return fileRoot{path} }

func (r fileRoot) String() string        { return "<root " + r.path + ">" }
func (r fileRoot) Type() string          { return "root" }
func (r fileRoot) Freeze()               {}
func (r fileRoot) Truth() starlark.Bool  { return true }
func (r fileRoot) Hash() (uint32, error) { return starlark.String(r.path).Hash() }
func (r fileRoot) AttrNames() []string   { return []string{"path"} }
func (r fileRoot) Attr(name string) (starlark.Value, error) {
	if name == "path" {
		return starlark.String(r.path), nil
	}
	return nil, nil
}
