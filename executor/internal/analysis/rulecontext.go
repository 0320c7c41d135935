package analysis

import (
	"context"
	"fmt"
	"path"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// ruleContext is ctx: what an implementation function sees. It lives for one
// call of one function and is used by one goroutine.
type ruleContext struct {
	ctx   context.Context
	a     *Analyzer
	t     *loading.Target
	cfg   *configuration
	attrs map[string]starlark.Value
	class map[string]*bzl.Attr
	deps  map[string][]*dep
	scope bzl.Scope // of the BUILD file

	actions    *actions
	toolchains *toolchainSet
	setting    starlark.Value
	features   []string

	attr, file, files, executable *starlarkstruct.Struct
	splitAttr                     *starlarkstruct.Struct
	outputs                       *outputsValue
	makeVars                      map[string]string

	// tools are the executables among the dependencies, so that a File taken
	// from ctx.executable brings its runfiles along.
	tools map[*action.Artifact]*Configured

	aspect *aspectCall // nil for rules
}

func newRuleContext(ctx context.Context, a *Analyzer, r *resolver, attrs map[string]starlark.Value, deps map[string][]*dep, chains *toolchainSet) (*ruleContext, error) {
	c := &ruleContext{
		ctx: ctx, a: a, t: r.t, cfg: r.cfg, attrs: attrs, class: r.t.Class.Attrs, deps: deps,
		toolchains: chains, setting: r.setting, tools: map[*action.Artifact]*Configured{},
	}
	if err := c.init(); err != nil {
		return nil, err
	}
	return c, nil
}

// init fills what is derived from attributes and dependencies.
func (c *ruleContext) init() error {
	mapping, err := c.a.opts.Repos.Mapping(c.ctx, c.t.Label.Repo)
	if err != nil {
		return err
	}
	c.scope = bzl.Scope{Package: c.t.Label.Pkg(), Repo: mapping}
	c.actions = newActions(c.ctx, c.a, c.t.Label, c.cfg)
	c.actions.tools = c.tools
	if props, err := stringDict("exec_properties", c.attrs["exec_properties"]); err == nil && len(props) > 0 {
		c.actions.platform = props
	}
	tags := c.t.Tags()
	c.actions.noSandbox = contains(tags, "local") || contains(tags, "no-sandbox") || c.attrs["local"] == starlark.True
	p, err := c.a.opts.Loader.Package(c.ctx, c.t.Label.Pkg())
	if err != nil {
		return err
	}
	c.features = mergeFeatures(p.Features, c.attrs["features"])
	for _, ds := range c.deps {
		for _, d := range ds {
			if d.Executable != nil {
				c.tools[d.Executable.Artifact] = d.Configured
			}
		}
	}
	if err := c.initOutputs(); err != nil {
		return err
	}
	c.initAttrs()
	return nil
}

// mergeFeatures returns the features that are on: those of the package and the
// target, without those that a later "-name" takes away.
func mergeFeatures(pkg []string, own starlark.Value) []string {
	all := append([]string(nil), pkg...)
	if l, ok := own.(*starlark.List); ok {
		for v := range l.Elements() {
			all = append(all, textOf(v))
		}
	}
	on := map[string]bool{}
	for _, f := range all {
		if f != "" && f[0] == '-' {
			delete(on, f[1:])
		} else {
			on[f] = true
		}
	}
	return sortedKeys(on)
}

// initAttrs builds ctx.attr, ctx.file, ctx.files and ctx.executable.
func (c *ruleContext) initAttrs() {
	attr, file, files, exe, split := starlark.StringDict{}, starlark.StringDict{}, starlark.StringDict{}, starlark.StringDict{}, starlark.StringDict{}
	for name, at := range c.class {
		v := c.attrs[name]
		if !at.IsLabels() {
			attr[name] = v
			continue
		}
		attr[name] = c.depsValue(at, v)
		all := []*bzl.File{}
		seen := map[*bzl.File]bool{}
		for _, d := range c.deps[name] {
			for _, f := range d.Files.Files() {
				if !seen[f] {
					seen[f] = true
					all = append(all, f)
				}
			}
		}
		files[name] = frozen(starlark.NewList(fileValues(all)))
		if at.Type != bzl.TypeLabel {
			c.addSplit(split, name)
			continue
		}
		if at.SingleFile {
			file[name] = starlark.None
			if len(all) == 1 {
				file[name] = all[0]
			}
		}
		if at.Executable {
			exe[name] = starlark.None
			if ds := c.deps[name]; len(ds) == 1 {
				exe[name] = fileOrNone(ds[0].Executable)
				if ds[0].Executable == nil && len(all) == 1 {
					exe[name] = all[0]
				}
			}
		}
		c.addSplit(split, name)
	}
	c.attr, c.file, c.files, c.executable, c.splitAttr = newStruct(attr), newStruct(file), newStruct(files), newStruct(exe), newStruct(split)
	for _, s := range []*starlarkstruct.Struct{c.attr, c.file, c.files, c.executable, c.splitAttr} {
		s.Freeze()
	}
}

func (c *ruleContext) addSplit(split starlark.StringDict, name string) {
	ds := c.deps[name]
	if len(ds) == 0 || ds[0].split == "" {
		return
	}
	d := starlark.NewDict(len(ds))
	for _, dep := range ds {
		_ = d.SetKey(starlark.String(dep.split), dep.value) // string keys cannot fail
	}
	split[name] = d
}

func frozen[V starlark.Value](v V) V {
	v.Freeze()
	return v
}

// depsValue replaces the labels in a value by targets.
func (c *ruleContext) depsValue(at *bzl.Attr, v starlark.Value) starlark.Value {
	byLabel := map[label.Label]starlark.Value{}
	ds := c.deps[at.Name]
	var all []starlark.Value
	i := 0
	bzl.Labels(v, func(l label.Label, _ bool) {
		if _, ok := byLabel[l]; ok || i >= len(ds) {
			return
		}
		byLabel[l] = ds[i].value
		all = append(all, ds[i].value)
		for i++; i < len(ds) && ds[i].split != "" && ds[i-1].split != "" && ds[i].split != ds[i-1].split && ds[i].Target == ds[i-1].Target; i++ {
			all = append(all, ds[i].value)
		}
	})
	_, transitioned := at.Cfg.(*bzl.Transition)
	switch at.Type {
	case bzl.TypeLabel:
		if transitioned {
			return starlark.NewList(all)
		}
		if len(all) == 0 {
			return starlark.None
		}
		return all[0]
	case bzl.TypeLabelList:
		return starlark.NewList(all)
	}
	return mapLabels(v, byLabel)
}

func mapLabels(v starlark.Value, to map[label.Label]starlark.Value) starlark.Value {
	switch v := v.(type) {
	case bzl.Label:
		if t, ok := to[v.Label]; ok {
			return t
		}
	case *starlark.List:
		out := make([]starlark.Value, v.Len())
		for i := range out {
			out[i] = mapLabels(v.Index(i), to)
		}
		return starlark.NewList(out)
	case *starlark.Dict:
		d := starlark.NewDict(v.Len())
		for _, item := range v.Items() {
			_ = d.SetKey(mapLabels(item[0], to), mapLabels(item[1], to)) // strings and targets are hashable
		}
		return d
	}
	return v
}

// outputsValue is ctx.outputs.
type outputsValue struct {
	c       *ruleContext
	fields  starlark.StringDict
	files   []*bzl.File // all predeclared outputs but the executable
	byLabel map[label.Label]*bzl.File
	exe     *bzl.File // made when first asked for
}

func (o *outputsValue) String() string        { return "<outputs>" }
func (o *outputsValue) Type() string          { return "ctx.outputs" }
func (o *outputsValue) Freeze()               {}
func (o *outputsValue) Truth() starlark.Bool  { return true }
func (o *outputsValue) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: ctx.outputs") }

// AttrNames lists the output attributes.
func (o *outputsValue) AttrNames() []string {
	names := sortedKeys(o.fields)
	if o.c.t.Class.Executable {
		names = append(names, "executable")
	}
	return names
}

// Attr returns the file or files of an attribute.
func (o *outputsValue) Attr(name string) (starlark.Value, error) {
	if v, ok := o.fields[name]; ok {
		return v, nil
	}
	if name != "executable" || !o.c.t.Class.Executable {
		return nil, nil
	}
	if o.exe == nil {
		f, err := o.c.actions.declare(o.c.t.Label.Name, "", false)
		if err != nil {
			return nil, err
		}
		o.exe = f
	}
	return o.exe, nil
}

func (c *ruleContext) initOutputs() error {
	o := &outputsValue{c: c, fields: starlark.StringDict{}, byLabel: map[label.Label]*bzl.File{}}
	c.outputs = o
	if c.aspect != nil {
		return nil
	}
	declare := func(l label.Label) (*bzl.File, error) {
		f, err := c.actions.declare(l.Name, "", false)
		if err == nil {
			o.files = append(o.files, f)
			o.byLabel[l] = f
		}
		return f, err
	}
	for _, name := range sortedKeys(c.class) {
		at := c.class[name]
		if !at.IsOutput() {
			continue
		}
		var list []starlark.Value
		var failed error
		bzl.Labels(c.attrs[name], func(l label.Label, _ bool) {
			f, err := declare(l)
			if err != nil {
				failed = err
				return
			}
			list = append(list, f)
		})
		if failed != nil {
			return failed
		}
		switch {
		case at.Type == bzl.TypeOutputList:
			o.fields[name] = frozen(starlark.NewList(list))
		case len(list) == 1:
			o.fields[name] = list[0]
		default:
			o.fields[name] = starlark.None
		}
	}
	for _, k := range sortedKeys(c.t.ImplicitOutputs) {
		l, err := c.t.Label.Pkg().Label(c.t.ImplicitOutputs[k])
		if err != nil {
			return err
		}
		f, err := declare(l)
		if err != nil {
			return err
		}
		o.fields[k] = f
	}
	return nil
}

// packageDir is where the target's package stands below its repository's root
// as actions see it: external/<repo>/<pkg> or <pkg>.
func packageDir(l label.Label) string { return path.Join(bzl.WorkspaceRoot(l.Repo), l.Package) }
