package analysis

import (
	"context"
	"fmt"
	"path"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// actions is ctx.actions and plan_ctx.actions: it collects what one call of one
// function declares. It is used by one goroutine.
type actions struct {
	ctx   context.Context // of the call
	a     *Analyzer
	owner label.Label
	cfg   *configuration

	// tools are executables with runfiles that a File may stand for.
	tools map[*action.Artifact]*Configured

	platform  map[string]string // exec_properties
	noSandbox bool

	specs    []*action.Spec
	byPath   map[string]*bzl.File // ordinary outputs
	below    map[string]*bzl.File // by folder, one that is in it
	declared []*bzl.File
	own      map[*action.Artifact]bool         // declared here
	made     map[*action.Artifact]*action.Spec // and the output of an action
	promised map[*action.Artifact]bool         // of the plan whose function this is: what its actions may make
	closed   bool                              // the function returned
}

func newActions(ctx context.Context, a *Analyzer, owner label.Label, cfg *configuration) *actions {
	return &actions{ctx: ctx, a: a, owner: owner, cfg: cfg, byPath: map[string]*bzl.File{}, below: map[string]*bzl.File{}, own: map[*action.Artifact]bool{}, made: map[*action.Artifact]*action.Spec{}}
}

var _ starlark.HasAttrs = (*actions)(nil)

func (x *actions) String() string        { return "<actions for " + x.owner.String() + ">" }
func (x *actions) Type() string          { return "actions" }
func (x *actions) Freeze()               {}
func (x *actions) Truth() starlark.Bool  { return true }
func (x *actions) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: actions") }

func (x *actions) methods() map[string]starlarkFunc {
	return map[string]starlarkFunc{
		"args":              x.args,
		"tree":              x.tree,
		"declare_directory": x.declareDirectory,
		"declare_file":      x.declareFile,
		"declare_symlink":   x.declareSymlink,
		"do_nothing": func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return starlark.None, nil
		},
		"expand_template": x.expandTemplate,
		"host_tree":       x.hostTree,
		"git_dir":         x.gitDir,
		"place":           x.place,
		"plan":            x.plan,
		"run":             x.run,
		"run_shell":       x.runShell,
		"source_dir":      x.sourceDir,
		"source_tree":     x.sourceTree,
		"symlink":         x.symlink,
		"write":           x.write,
	}
}

// Attr returns a method.
func (x *actions) Attr(name string) (starlark.Value, error) {
	f := x.methods()[name]
	if f == nil {
		return nil, nil
	}
	return builtin(name, func(t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if x.closed {
			return nil, fmt.Errorf("%s: the function that these actions belong to has returned", name)
		}
		return f(t, args, kwargs)
	}), nil
}

// AttrNames lists the methods.
func (x *actions) AttrNames() []string { return sortedKeys(x.methods()) }

// declare returns the output called name in the target's package, or at the
// absolute path at. The same ordinary name gives the same file again.
func (x *actions) declare(name, at string, dir bool) (*bzl.File, error) {
	if at != "" {
		if !path.IsAbs(at) || path.Clean(at) != at {
			return nil, fmt.Errorf("at: expected an absolute path without . and .., got %q", at)
		}
		if err := tooLong(at); err != nil {
			return nil, err
		}
		f := &bzl.File{Artifact: &action.Artifact{Path: at, Dir: dir}, Path: at, Owner: x.owner}
		x.add(f)
		return f, nil
	}
	if name == "" || path.IsAbs(name) || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") {
		return nil, fmt.Errorf("%q is no name of an output: it must be a relative path that stays in the package", name)
	}
	root := x.cfg.outDir()
	p := path.Join(root, packageDir(x.owner), name)
	if f := x.byPath[p]; f != nil {
		if f.Artifact.Dir != dir {
			return nil, fmt.Errorf("%s is declared both as a file and as a directory", p)
		}
		return f, nil
	}
	if err := tooLong(p); err != nil {
		return nil, err
	}
	if x.below[p] != nil {
		return nil, prefixError(p, x.owner.String(), x.below[p].Path, x.owner.String())
	}
	for up := path.Dir(p); len(up) > len(root); up = path.Dir(up) {
		if x.byPath[up] != nil {
			return nil, prefixError(up, x.owner.String(), p, x.owner.String())
		}
	}
	f := &bzl.File{Artifact: &action.Artifact{Path: p, Dir: dir}, Path: p, Root: root, Owner: x.owner}
	for up := path.Dir(p); len(up) > len(root) && x.below[up] == nil; up = path.Dir(up) {
		x.below[up] = f
	}
	x.byPath[p] = f
	x.add(f)
	return f, nil
}

// What Linux's system calls take: of a path with its NUL, and of each name in it.
const (
	maxPath = 4096
	maxName = 255
)

// tooLong refuses an output of which no file could be made.
func tooLong(p string) error {
	const shown = 40
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > maxName {
			return fmt.Errorf("the output's name %s... has %d bytes; a file's name has at most %d", name[:shown], len(name), maxName)
		}
	}
	if p := action.Abs(p); len(p) >= maxPath {
		return fmt.Errorf("the output's path %s...%s has %d bytes in the action's root; a path has at most %d", p[:shown], p[len(p)-shown:], len(p), maxPath-1)
	}
	return nil
}

func (x *actions) add(f *bzl.File) {
	x.declared = append(x.declared, f)
	x.own[f.Artifact] = true
}

func (x *actions) declareFile(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return x.declareAny("declare_file", args, kwargs, false)
}

func (x *actions) declareDirectory(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return x.declareAny("declare_directory", args, kwargs, true)
}

func (x *actions) declareSymlink(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	v, err := x.declareAny("declare_symlink", args, kwargs, false)
	if err != nil {
		return nil, err
	}
	v.(*bzl.File).Artifact.Link = true
	return v, nil
}

func (x *actions) declareAny(what string, args starlark.Tuple, kwargs []starlark.Tuple, dir bool) (starlark.Value, error) {
	var name string
	var sibling, at starlark.Value
	if err := starlark.UnpackArgs(what, args, kwargs, "filename", &name, "sibling?", &sibling, "at?", &at); err != nil {
		if err2 := starlark.UnpackArgs(what, args, kwargs, "name", &name, "sibling?", &sibling, "at?", &at); err2 != nil {
			return nil, err
		}
	}
	if isSet(sibling) {
		s, ok := sibling.(*bzl.File)
		if !ok {
			return nil, fmt.Errorf("%s: sibling: expected a File, got %s", what, sibling.Type())
		}
		below := path.Join(x.cfg.outDir(), packageDir(x.owner))
		if s.Artifact.Source != nil {
			below = packageDir(x.owner)
		}
		rel, ok := relTo(path.Dir(s.Path), below)
		if !ok {
			return nil, fmt.Errorf("%s: sibling %s is not in the package of the target", what, s.Path)
		}
		name = path.Join(rel, name)
	}
	place := ""
	if isSet(at) {
		var ok bool
		if place, ok = starlark.AsString(at); !ok {
			return nil, fmt.Errorf("%s: at: expected a string, got %s", what, at.Type())
		}
	}
	f, err := x.declare(name, place, dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return f, nil
}

// relTo returns p relative to the folder base.
func relTo(p, base string) (string, bool) {
	if base == "" || base == "." {
		return p, !path.IsAbs(p)
	}
	if p == base {
		return "", true
	}
	return strings.CutPrefix(p, base+"/")
}

// newSpec returns a Spec with what all have.
func (x *actions) newSpec(thread *starlark.Thread, mnemonic string) *action.Spec {
	return &action.Spec{Owner: x.owner, Position: bzl.CallerPosition(thread), Mnemonic: mnemonic, Platform: x.platform}
}

// register makes spec the producer of its outputs and of more.
func (x *actions) register(spec *action.Spec, outputs ...*bzl.File) error {
	for _, f := range outputs {
		if err := x.produce(spec, f); err != nil {
			return err
		}
		spec.Outputs = append(spec.Outputs, f.Artifact)
	}
	if spec.Progress == "" && len(outputs) > 0 {
		spec.Progress = spec.Mnemonic + " " + outputs[0].ShortPath()
	}
	if spec.Inputs == nil {
		spec.Inputs = action.InputList(nil)
	}
	x.specs = append(x.specs, spec)
	return nil
}

// produce makes spec the producer of f: of a file declared here, or of one that
// the plan promised whose function this is.
func (x *actions) produce(spec *action.Spec, f *bzl.File) error {
	a := f.Artifact
	switch made := x.made[a]; {
	case !x.own[a] && !x.promised[a]:
		return errorf("output %s was not declared by this function", f.Path).
			WithHint("declare it with declare_file(), or promise it among the outputs of the plan that this function belongs to")
	case made != nil:
		return errorf("output %s is made by two actions: here and at %s", f.Path, made.Position).
			WithHint("declare another file for one of them")
	case f.Path != a.Path:
		return fmt.Errorf("output %s is a placed file: name the one that declare_file() returned", f.Path)
	}
	x.made[a] = spec
	if x.own[a] { // who makes a promise the plan tells the graph, which reads the artifact meanwhile
		a.Producer = spec
	}
	return nil
}

// unmade returns an error that lists declared files which no action makes.
func (x *actions) unmade() error {
	var names []string
	for _, f := range x.declared {
		if x.made[f.Artifact] == nil {
			names = append(names, "\n    "+f.Path)
		}
	}
	if names == nil {
		return nil
	}
	return errorf("%s", "the following files have no generating action:"+strings.Join(names, "")).
		WithHint("pass each to outputs of ctx.actions.run(), or do not declare it")
}

// mnemonicOf returns a given mnemonic or the usual one.
func mnemonicOf(v starlark.Value, usual string) (string, error) {
	if !isSet(v) {
		return usual, nil
	}
	s, ok := starlark.AsString(v)
	if !ok {
		return "", fmt.Errorf("mnemonic: expected a string, got %s", v.Type())
	}
	return s, nil
}

// progress fills the verbs of a progress_message.
func progress(v starlark.Value, owner label.Label, in, out string) string {
	s, ok := v.(starlark.String)
	if !ok {
		return ""
	}
	return strings.NewReplacer("%{label}", owner.String(), "%{input}", in, "%{output}", out).Replace(string(s))
}
