package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/source"
	"gorules/executor/regular"
)

// repoContext is the value of type "repository_ctx": the one argument of a
// repository rule's implementation.
type repoContext struct {
	ctx   context.Context
	r     *Repositories
	d     *declaration
	dir   string
	files *source.Snapshot // of what is read outside the repository
	made  *marker
	scope bzl.Scope // of the .bzl file
	links []string  // symbolic links that archives made, relative to dir
}

var _ starlark.HasAttrs = (*repoContext)(nil)

func (c *repoContext) String() string        { return "<repository_ctx of @" + c.d.repo + ">" }
func (c *repoContext) Type() string          { return "repository_ctx" }
func (c *repoContext) Freeze()               {}
func (c *repoContext) Truth() starlark.Bool  { return true }
func (c *repoContext) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: repository_ctx") }

// method is a function of repository_ctx.
type method = func(c *repoContext, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

// methods are Bazel's, and elf_closure, sha256 and lock.
var methods = map[string]method{
	"delete":               (*repoContext).delete,
	"download":             (*repoContext).download,
	"download_and_extract": (*repoContext).downloadAndExtract,
	"elf_closure":          (*repoContext).elfClosure,
	"execute":              (*repoContext).execute,
	"extract":              (*repoContext).extract,
	"file":                 (*repoContext).file,
	"getenv":               (*repoContext).getenv,
	"lock":                 (*repoContext).lockFact,
	"patch":                (*repoContext).patch,
	"path":                 (*repoContext).pathFn,
	"read":                 (*repoContext).read,
	"rename":               (*repoContext).rename,
	"repo_metadata":        (*repoContext).metadata,
	"report_progress":      (*repoContext).progress,
	"sha256":               (*repoContext).sha256,
	"symlink":              (*repoContext).symlink,
	"template":             (*repoContext).template,
	"watch":                (*repoContext).watchFn,
	"watch_tree":           (*repoContext).watchTree,
	"which":                (*repoContext).whichFn,
}

// Attr returns a field or method.
func (c *repoContext) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(c.d.repo), nil
	case "original_name":
		return starlark.String(c.d.name), nil
	case "workspace_root":
		return pathValue{c, c.d.root}, nil
	case "os":
		return c.os(), nil
	case "attr":
		fields := starlark.StringDict{}
		for k, v := range c.d.attrs {
			fields[k] = v
		}
		return starlarkstruct.FromStringDict(starlark.String("struct"), fields), nil
	}
	m := methods[name]
	if m == nil {
		return nil, nil
	}
	return starlark.NewBuiltin("repository_ctx."+name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		defer bzl.Waiting(thread)() // for files, downloads and processes
		if err := c.ctx.Err(); err != nil {
			return nil, context.Cause(c.ctx)
		}
		v, err := m(c, name, args, kwargs)
		if err != nil && !strings.HasPrefix(err.Error(), name+":") {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return v, err
	}), nil
}

// AttrNames lists the fields and methods.
func (c *repoContext) AttrNames() []string {
	return append(sorted(methods), "attr", "name", "original_name", "os", "workspace_root")
}

func (c *repoContext) os() starlark.Value {
	environ := new(starlark.Dict)
	for _, name := range sorted(c.r.opts.Env) {
		_ = environ.SetKey(starlark.String(name), starlark.String(c.r.opts.Env[name])) // cannot fail: a new dict, string keys
	}
	return starlarkstruct.FromStringDict(starlark.String("repository_os"), starlark.StringDict{
		"name": starlark.String(osName), "arch": starlark.String(archName), "environ": environ,
	})
}

func (c *repoContext) pathFn(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &v); err != nil {
		return nil, err
	}
	p, err := c.path(v)
	if err != nil {
		return nil, err
	}
	return pathValue{c, p}, nil
}

func (c *repoContext) read(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	watch := "auto"
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &v, "watch?", &watch); err != nil {
		return nil, err
	}
	p, err := c.existing(v)
	if err != nil {
		return nil, err
	}
	if err := c.watch(p, watch); err != nil {
		return nil, err
	}
	b, err := regular.Read(p)
	return starlark.String(b), err
}

func modeOf(executable bool) os.FileMode {
	if executable {
		return 0o755
	}
	return 0o644
}

// put writes a file of the repository; what stood there is replaced, a link too.
func (c *repoContext) put(to starlark.Value, content []byte, executable bool) error {
	p, err := c.output(to)
	if err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(p)); err != nil {
		return err
	}
	if err := os.WriteFile(p, content, modeOf(executable)); err != nil {
		return err
	}
	return os.Chmod(p, modeOf(executable)) // whatever the umask
}

func (c *repoContext) file(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var to starlark.Value
	var content string
	executable, legacy := true, false
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &to, "content?", &content, "executable?", &executable, "legacy_utf8?", &legacy); err != nil {
		return nil, err
	}
	return starlark.None, c.put(to, []byte(content), executable)
}

func (c *repoContext) template(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var to, from starlark.Value
	var substitutions *starlark.Dict
	executable, watch := true, "auto"
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &to, "template", &from, "substitutions?", &substitutions, "executable?", &executable, "watch_template?", &watch); err != nil {
		return nil, err
	}
	p, err := c.existing(from)
	if err != nil {
		return nil, err
	}
	if err := c.watch(p, watch); err != nil {
		return nil, err
	}
	b, err := regular.Read(p)
	if err != nil {
		return nil, err
	}
	text := string(b)
	if substitutions != nil {
		for _, item := range substitutions.Items() {
			old, ok1 := starlark.AsString(item[0])
			now, ok2 := starlark.AsString(item[1])
			if !ok1 || !ok2 {
				return nil, fmt.Errorf("substitutions: expected strings by string")
			}
			text = strings.ReplaceAll(text, old, now)
		}
	}
	return starlark.None, c.put(to, []byte(text), executable)
}

func (c *repoContext) symlink(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var target, link starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "target", &target, "link_name", &link); err != nil {
		return nil, err
	}
	to, err := c.path(target)
	if err != nil {
		return nil, err
	}
	at, err := c.output(link)
	if err != nil {
		return nil, err
	}
	if err := ignoreMissing(os.Remove(at)); err != nil {
		return nil, err
	}
	return starlark.None, os.Symlink(to, at)
}

func (c *repoContext) rename(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var from, to starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "src", &from, "dst", &to); err != nil {
		return nil, err
	}
	src, err := c.output(from)
	if err != nil {
		return nil, err
	}
	dst, err := c.output(to)
	if err != nil {
		return nil, err
	}
	return starlark.None, os.Rename(src, dst)
}

func (c *repoContext) delete(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &v); err != nil {
		return nil, err
	}
	p, err := c.output(v)
	if err != nil {
		return nil, err
	}
	if p == c.dir {
		return nil, fmt.Errorf("cannot delete the repository itself")
	}
	_, statErr := os.Lstat(p)
	return starlark.Bool(statErr == nil), fsx.Plain.RemoveAll(p)
}

func (c *repoContext) getenv(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var variable string
	var def starlark.Value = starlark.None
	if err := starlark.UnpackArgs(name, args, kwargs, "name", &variable, "default?", &def); err != nil {
		return nil, err
	}
	if v, ok := c.files.Getenv(variable); ok {
		return starlark.String(v), nil
	}
	return def, nil
}

func (c *repoContext) whichFn(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var program string
	if err := starlark.UnpackArgs(name, args, kwargs, "program", &program); err != nil {
		return nil, err
	}
	if program == "" || strings.Contains(program, "/") {
		return nil, fmt.Errorf("program argument of which() may not contain a / or be empty, got %q", program)
	}
	p := c.files.Which(program)
	if p == "" {
		return starlark.None, nil
	}
	return pathValue{c, p}, nil
}

func (c *repoContext) watchFn(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &v); err != nil {
		return nil, err
	}
	p, err := c.path(v)
	if err != nil {
		return nil, err
	}
	if c.inside(p) {
		return nil, fmt.Errorf("attempted to watch path inside the repository that is made: %s", p)
	}
	c.files.Watch(p)
	return starlark.None, nil
}

func (c *repoContext) watchTree(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &v); err != nil {
		return nil, err
	}
	p, err := c.existing(v)
	if err != nil {
		return nil, err
	}
	if c.inside(p) {
		return nil, fmt.Errorf("attempted to watch path inside the repository that is made: %s", p)
	}
	c.files.WatchTree(p)
	return starlark.None, nil
}

func (c *repoContext) progress(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var status string
	if err := starlark.UnpackArgs(name, args, kwargs, "status?", &status); err != nil {
		return nil, err
	}
	c.r.emit(strings.TrimSuffix("Fetching @"+c.d.repo+": "+status, ": "))
	return starlark.None, nil
}

// metadata returns a marker value: what Bazel makes of it does not apply here.
func (c *repoContext) metadata(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var reproducible bool
	var attrs starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "reproducible?", &reproducible, "attrs_for_reproducibility?", &attrs); err != nil {
		return nil, err
	}
	return starlarkstruct.FromStringDict(starlark.String("repo_metadata"), starlark.StringDict{"reproducible": starlark.Bool(reproducible)}), nil
}

func (c *repoContext) sha256(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "path", &v); err != nil {
		return nil, err
	}
	p, err := c.existing(v)
	if err != nil {
		return nil, err
	}
	if err := c.watch(p, "auto"); err != nil {
		return nil, err
	}
	f, err := regular.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return starlark.String(hex.EncodeToString(h.Sum(nil))), err
}

func (c *repoContext) lockFact(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key, value string
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "value", &value); err != nil {
		return nil, err
	}
	return starlark.String(value), c.pin(key, value)
}

// pin adds a fact to gorules.lock and notes that the fetch depends on it.
func (c *repoContext) pin(key, value string) error {
	if err := c.r.lock.add(key, value); err != nil {
		return err
	}
	c.made.Lock[key] = value
	return nil
}
