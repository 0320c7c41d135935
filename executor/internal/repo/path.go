package repo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
)

// pathValue is the Starlark value of type "path": an absolute path of this machine.
type pathValue struct {
	c *repoContext
	p string
}

var _ starlark.HasAttrs = pathValue{}

func (p pathValue) String() string        { return p.p }
func (p pathValue) Type() string          { return "path" }
func (p pathValue) Freeze()               {}
func (p pathValue) Truth() starlark.Bool  { return true }
func (p pathValue) Hash() (uint32, error) { return starlark.String(p.p).Hash() }

// Attr returns a field or method.
func (p pathValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "basename":
		return starlark.String(filepath.Base(p.p)), nil
	case "dirname":
		if p.p == "/" {
			return starlark.None, nil
		}
		return pathValue{p.c, filepath.Dir(p.p)}, nil
	case "exists":
		_, err := os.Stat(p.p)
		return starlark.Bool(err == nil), nil
	case "is_dir":
		info, err := os.Stat(p.p)
		return starlark.Bool(err == nil && info.IsDir()), nil
	case "realpath":
		real, err := filepath.EvalSymlinks(p.p)
		if err != nil {
			return nil, fmt.Errorf("path.realpath: %w", err)
		}
		return pathValue{p.c, real}, nil
	case "get_child":
		return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			out := p.p
			for _, a := range args {
				s, ok := starlark.AsString(a)
				if !ok {
					return nil, fmt.Errorf("get_child: expected strings, got %s", a.Type())
				}
				out = filepath.Join(out, s)
			}
			return pathValue{p.c, out}, starlark.UnpackArgs(name, nil, kwargs)
		}), nil
	case "readdir":
		return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			watch := "auto"
			if err := starlark.UnpackArgs(name, args, kwargs, "watch?", &watch); err != nil {
				return nil, err
			}
			if watch != "no" && !p.c.inside(p.p) {
				_, _ = p.c.files.ReadDir(p.p) // an error is a fact as well
			}
			entries, err := os.ReadDir(p.p)
			if err != nil {
				return nil, fmt.Errorf("path.readdir: %w", err)
			}
			out := make([]starlark.Value, len(entries))
			for i, e := range entries {
				out[i] = pathValue{p.c, filepath.Join(p.p, e.Name())}
			}
			return starlark.NewList(out), nil
		}), nil
	}
	return nil, nil
}

// AttrNames lists the fields and methods.
func (p pathValue) AttrNames() []string {
	return []string{"basename", "dirname", "exists", "get_child", "is_dir", "readdir", "realpath"}
}

// inside reports whether an absolute path is in the repository that is made.
func (c *repoContext) inside(p string) bool {
	return p == c.dir || strings.HasPrefix(p, c.dir+string(filepath.Separator))
}

// path takes a path value, a label or text relative to the repository. A label
// names a file of another repository, which is fetched, and watched.
func (c *repoContext) path(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case pathValue:
		return v.p, nil
	case starlark.String:
		s := string(v)
		switch {
		case strings.HasPrefix(s, "//") || strings.HasPrefix(s, "@"):
			return "", fmt.Errorf("%q looks like a label: write Label(%q)", s, s)
		case filepath.IsAbs(s):
			return filepath.Clean(s), nil
		}
		return filepath.Join(c.dir, filepath.FromSlash(s)), nil
	case bzl.Label:
		root, err := c.r.Materialize(c.ctx, v.Repo)
		if err != nil {
			return "", err
		}
		p := filepath.Join(root, filepath.FromSlash(v.Label.Package), filepath.FromSlash(v.Label.Name))
		info, err := os.Stat(p)
		if err == nil && info.IsDir() {
			return p, nil
		}
		c.files.Watch(p)
		return p, nil
	}
	return "", fmt.Errorf("expected a path, a label or a string, got %s", v.Type())
}

// existing is path for something that is read and has to be there.
func (c *repoContext) existing(v starlark.Value) (string, error) {
	p, err := c.path(v)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(p); err != nil {
		if l, ok := v.(bzl.Label); ok {
			return "", fmt.Errorf("no such file: %s (%s)", l.Label, p)
		}
		return "", fmt.Errorf("no such file: %s", p)
	}
	return p, nil
}

// output is path for something that is written: it has to be in the repository,
// also after links are followed. Folders above it are made.
func (c *repoContext) output(v starlark.Value) (string, error) {
	p, err := c.path(v)
	if err != nil {
		return "", err
	}
	if !c.inside(p) {
		return "", fmt.Errorf("cannot write outside of the repository directory: %s", p)
	}
	if p == c.dir {
		return p, nil
	}
	inside, err := os.OpenRoot(c.dir)
	if err != nil {
		return "", err
	}
	defer inside.Close()
	above, err := filepath.Rel(c.dir, filepath.Dir(p))
	if err != nil {
		return "", err
	}
	if err := inside.MkdirAll(above, 0o755); err != nil {
		return "", fmt.Errorf("cannot write outside of the repository directory: %s: %w", p, err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(p))
	if err != nil {
		return "", err
	}
	root, err := filepath.EvalSymlinks(c.dir)
	if err != nil {
		return "", err
	}
	if parent != root && !strings.HasPrefix(parent, root+string(filepath.Separator)) {
		return "", fmt.Errorf("cannot write outside of the repository directory: %s leads to %s", p, parent)
	}
	return p, nil
}

// watch notes that the fetch depends on a file outside the repository.
func (c *repoContext) watch(p, mode string) error {
	switch mode {
	case "auto", "yes":
		if !c.inside(p) {
			c.files.Watch(p)
		}
	case "no":
	default:
		return fmt.Errorf("watch: expected \"yes\", \"no\" or \"auto\", got %q", mode)
	}
	return nil
}
