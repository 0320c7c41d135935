package loading

import (
	"context"
	"fmt"
	"path"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// builder collects the targets of one BUILD file while it runs.
type builder struct {
	pkg   *Package
	scope bzl.Scope
	tree  *tree
	skip  func(string) bool

	defaults  map[string]starlark.Value // of package(): testonly, deprecation...
	hasConfig bool                      // package() was called
	exported  map[string]bool           // by exports_files()
}

func (l *Loader) loadPackage(ctx context.Context, id label.Package) (*Package, error) {
	view, tree, err := l.tree(ctx, id.Repo)
	if err != nil {
		return nil, err
	}
	build, err := tree.findBuildFile(id.Path)
	if err != nil {
		return nil, errorf("no such package '%s': %w", id, cause(err))
	}
	if build == "" {
		return nil, l.noSuchPackage(tree, id)
	}
	full := path.Join(id.Path, build)
	shown := view.Shown(full)
	src, err := tree.readFile(full)
	if err != nil {
		return nil, diag.Errorf(diag.Position{File: shown}, "cannot read the file: %w", cause(err))
	}
	f, err := Parse(src, shown, bzl.BuildFile)
	if err != nil {
		return nil, err
	}
	scope, err := l.scope(ctx, id)
	if err != nil {
		return nil, err
	}
	loads, err := l.resolveLoads(ctx, f, scope, false)
	if err != nil {
		return nil, err
	}
	predeclared, err := l.buildGlobals(ctx)
	if err != nil {
		return nil, err
	}
	ignored, err := tree.ignored()
	if err != nil {
		return nil, err
	}
	file := label.Label{Repo: id.Repo, Package: id.Path, Name: build}
	b := &builder{
		pkg:   &Package{ID: id, File: file, Shown: shown, Targets: map[string]*Target{}},
		scope: scope, tree: tree, skip: ignored.skips,
		defaults: map[string]starlark.Value{}, exported: map[string]bool{},
	}
	for _, text := range loads.order {
		b.pkg.Modules = append(b.pkg.Modules, loads.modules[text])
	}
	thread, done := l.thread(ctx, shown, &bzl.Context{Package: id, File: file, Scope: scope, Sink: b, Extra: b})
	defer done()
	thread.Load = loads.load
	prog, err := Compile(f, predeclared)
	if err != nil {
		return nil, err
	}
	if _, err := prog.Init(thread, predeclared); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, Diagnose(err)
	}
	if err := b.finish(build); err != nil {
		return nil, err
	}
	return b.pkg, nil
}

// noSuchPackage words the error for a folder without a BUILD file.
func (l *Loader) noSuchPackage(t *tree, id label.Package) error {
	fail := func(text string) error {
		return errorf("no such package '%s': BUILD file not found in %s", id, text).
			WithHint("Add a BUILD file to a directory to mark it as a package.")
	}
	if id.Path == "" {
		return fail("the root of the repository")
	}
	var names []string
	parent := path.Dir(id.Path)
	d, err := t.list(parent)
	if err != nil {
		return fail("folder '" + id.Path + "'")
	}
	for _, entry := range d.entries {
		p := path.Join(parent, entry.Name())
		if t.kind(p, entry) == folder {
			if sub, err := t.list(p); err == nil && t.buildFile(p, sub) != "" {
				names = append(names, p)
			}
		}
	}
	return fail("folder '" + id.Path + "'" + Suggest(id.Path, names))
}

// position is where the BUILD file is just now: the outermost Starlark frame.
func position(thread *starlark.Thread) diag.Position {
	for depth := thread.CallStackDepth() - 1; depth >= 0; depth-- {
		if pos := thread.CallFrame(depth).Pos; pos.Line > 0 {
			return bzl.Position(pos)
		}
	}
	return diag.Position{}
}

// macro is the name of the function that the BUILD file called, "" if that is a rule.
func macro(thread *starlark.Thread) string {
	if depth := thread.CallStackDepth(); depth > 2 {
		if f := thread.CallFrame(depth - 2); f.Pos.Line > 0 {
			return f.Name
		}
	}
	return ""
}

// AddTarget declares a rule's target.
func (b *builder) AddTarget(thread *starlark.Thread, class *bzl.RuleClass, kwargs []starlark.Tuple) error {
	attrs, err := class.Coerce(kwargs, b.scope)
	if err != nil {
		return err
	}
	t := &Target{Kind: Rule, Class: class, Attrs: attrs, Explicit: map[string]bool{}, Position: position(thread)}
	for _, kw := range kwargs {
		if kw[1] != starlark.None {
			t.Explicit[string(kw[0].(starlark.String))] = true
		}
	}
	name, _ := starlark.AsString(attrs["name"])
	if t.Label, err = b.pkg.ID.Label(name); err != nil {
		return fmt.Errorf("%s: invalid target name: %w", class.Name, err)
	}
	b.applyDefaults(t)
	if f := macro(thread); f != "" && class.Attrs["generator_function"] != nil {
		attrs["generator_function"] = starlark.String(f)
	}
	t.Visibility = b.pkg.DefaultVisibility
	if t.Explicit["visibility"] {
		if t.Visibility, err = visibilityOf(labelsIn(attrs["visibility"])); err != nil {
			return fmt.Errorf("%s %s: %w", class.Name, name, err)
		}
	}
	if err := b.add(t); err != nil {
		return err
	}
	return b.addOutputs(thread, t)
}

// applyDefaults sets what package() says for attributes that the target leaves open.
func (b *builder) applyDefaults(t *Target) {
	for name, v := range b.defaults {
		if t.Class.Attrs[name] != nil && !t.Explicit[name] {
			t.Attrs[name] = v
		}
	}
}

// addOutputs declares the files that a target's attributes and its class name.
func (b *builder) addOutputs(thread *starlark.Thread, t *Target) error {
	var err error
	out := func(l label.Label) {
		if l == t.Label {
			return // as in Bazel, the name means the rule, whose default output the file is
		}
		if err == nil {
			err = b.add(&Target{Label: l, Kind: GeneratedFile, Generator: t, Visibility: t.Visibility, Position: t.Position})
		}
	}
	for _, a := range sortedAttrs(t.Class) {
		if a.IsOutput() {
			bzl.Labels(t.Attrs[a.Name], func(l label.Label, _ bool) { out(l) })
		}
	}
	if err != nil || t.Class.Outputs == nil {
		return err
	}
	if t.ImplicitOutputs, err = implicitOutputs(thread, t); err != nil {
		return fmt.Errorf("%s %s: in outputs: %w", t.Class.Name, t.Label.Name, err)
	}
	for _, key := range sortedKeys(t.ImplicitOutputs) {
		l, err := b.pkg.ID.Label(t.ImplicitOutputs[key])
		if err != nil {
			return fmt.Errorf("%s %s: in outputs: %w", t.Class.Name, t.Label.Name, err)
		}
		out(l)
	}
	return err
}

// add puts t into the package unless its name is taken.
func (b *builder) add(t *Target) error {
	old := b.pkg.Targets[t.Label.Name]
	if old == nil {
		b.pkg.Targets[t.Label.Name] = t
		return nil
	}
	text := fmt.Sprintf("%s '%s' in package '%s' conflicts with existing %s, defined at %s",
		t.describe(), t.Label.Name, b.pkg.ID.Path, old.describeOld(), old.Position)
	if t.Kind == GeneratedFile {
		text = fmt.Sprintf("generated file '%s' in rule '%s' conflicts with existing %s, defined at %s",
			t.Label.Name, t.Generator.Label.Name, old.describeOld(), old.Position)
	}
	return errorf("%s", text).WithHint("give one of the two another name")
}

func (t *Target) describe() string {
	switch t.Kind {
	case Rule:
		return t.Class.Name + " rule"
	case PackageGroup:
		return "package group"
	}
	return t.KindString()
}

func (t *Target) describeOld() string {
	if t.Kind == GeneratedFile {
		return fmt.Sprintf("generated file from rule '%s'", t.Generator.Label.Name)
	}
	return t.describe()
}

// finish adds the files that rules of the package use and the BUILD file itself.
func (b *builder) finish(build string) error {
	p := b.pkg
	for _, name := range p.Names() {
		t := p.Targets[name]
		if t.Kind != Rule {
			continue
		}
		t.labels(func(a *bzl.Attr, l label.Label, _ bool) {
			if l.Pkg() != p.ID || p.Targets[l.Name] != nil || isSystemPackage(l) {
				return
			}
			p.Targets[l.Name] = &Target{Label: l, Kind: SourceFile, Visibility: p.DefaultVisibility, Position: t.Position}
		})
	}
	if p.Targets[build] == nil {
		p.Targets[build] = &Target{Label: p.File, Kind: SourceFile, Visibility: p.DefaultVisibility, Position: diag.Position{File: p.Shown, Line: 1, Column: 1}}
	}
	for _, t := range p.Targets {
		for _, v := range t.Attrs {
			if v != nil {
				v.Freeze()
			}
		}
	}
	return nil
}

// labelsIn returns the labels of a coerced value.
func labelsIn(v starlark.Value) []label.Label {
	var out []label.Label
	bzl.Labels(v, func(l label.Label, _ bool) { out = append(out, l) })
	return out
}

// stringList takes a list of strings as written.
func stringList(what string, v starlark.Value) ([]string, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	bad := func(v starlark.Value) error {
		if _, ok := v.(*bzl.Select); ok {
			return fmt.Errorf("%s: a select() is not allowed here: files are found before the configuration is known", what)
		}
		return fmt.Errorf("%s: expected a list of strings, got %s", what, bzl.Describe(v))
	}
	it, ok := v.(starlark.Iterable)
	if _, isDict := v.(*starlark.Dict); !ok || isDict {
		return nil, bad(v)
	}
	var out []string
	for e := range starlark.Elements(it) {
		s, ok := starlark.AsString(e)
		if !ok {
			return nil, bad(e)
		}
		out = append(out, s)
	}
	return out, nil
}
