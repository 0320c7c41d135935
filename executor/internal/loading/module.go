package loading

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// A Module is an evaluated .bzl file. It is frozen.
type Module struct {
	Label   label.Label
	Globals starlark.StringDict
	Loads   []*Module // in the order of the load() statements, each once

	// Digest covers the text of the file and of all that it loads.
	Digest [sha256.Size]byte
}

// Each calls f for the module and all that it loads, each once per seen.
func (m *Module) Each(seen map[*Module]bool, f func(*Module)) {
	if seen[m] {
		return
	}
	seen[m] = true
	f(m)
	for _, d := range m.Loads {
		d.Each(seen, f)
	}
}

// moduleKey names a module. Native definitions are evaluated without natives.
type moduleKey struct {
	label.Label
	builtin bool
}

// Module evaluates a .bzl file, or returns what that gave before.
func (l *Loader) Module(ctx context.Context, lab label.Label) (*Module, error) {
	m, err := l.module(ctx, moduleKey{lab, false})
	return m, l.wordCycle(ctx, err)
}

func (l *Loader) module(ctx context.Context, key moduleKey) (*Module, error) {
	if _, err := l.opts.Repos.Mapping(ctx, key.Repo); err != nil {
		return nil, err
	}
	return l.modules.Get(ctx, key)
}

func (l *Loader) loadModule(ctx context.Context, key moduleKey) (*Module, error) {
	view, tree, err := l.tree(ctx, key.Repo)
	if err != nil {
		return nil, err
	}
	full := path.Join(key.Package, key.Name)
	if view.Root != "" {
		if err := l.checkModulePackage(ctx, tree, key.Label); err != nil {
			return nil, err
		}
	}
	src, err := tree.readFile(full)
	if err != nil {
		return nil, l.cannotRead(tree, key.Label, err)
	}
	shown := view.Shown(full)
	f, err := Parse(src, shown, bzl.BzlFile)
	if err != nil {
		return nil, err
	}
	scope, err := l.scope(ctx, key.Pkg())
	if err != nil {
		return nil, err
	}
	loads, err := l.resolveLoads(ctx, f, scope, key.builtin)
	if err != nil {
		return nil, err
	}
	predeclared, err := l.bzlGlobals(ctx, key, scope)
	if err != nil {
		return nil, err
	}
	m := &Module{Label: key.Label}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n", key.Canonical(), len(src))
	h.Write(src)
	for _, s := range loads.order {
		d := loads.modules[s]
		h.Write(d.Digest[:])
		if !slices.Contains(m.Loads, d) {
			m.Loads = append(m.Loads, d)
		}
	}
	h.Sum(m.Digest[:0])
	thread, done := l.thread(ctx, shown, &bzl.Context{Package: key.Pkg(), File: key.Label, Scope: scope})
	defer done()
	thread.Load = loads.load
	prog, err := Compile(f, predeclared)
	if err != nil {
		return nil, err
	}
	// Init freezes the globals only on request, after rules have got their names.
	globals, err := prog.Init(thread, predeclared)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, Diagnose(err)
	}
	if err := bzl.Export(globals, key.Label, bound(f)); err != nil {
		if diag.Placed(err) != nil {
			return nil, err
		}
		return nil, diag.Errorf(diag.Position{File: shown}, "%w", err)
	}
	if err := freeze(f, globals); err != nil {
		return nil, err
	}
	m.Globals = globals
	return m, nil
}

// freeze freezes the globals of f.
func freeze(f *syntax.File, globals starlark.StringDict) error {
	var freezer bzl.Freezer
	for _, name := range globals.Keys() {
		if err := freezer.Freeze(globals[name]); err != nil {
			return diag.Errorf(boundAt(f, name), "global %s: %w", name, err)
		}
	}
	return nil
}

// boundAt is where an assignment of f binds a global.
func boundAt(f *syntax.File, name string) diag.Position {
	for _, s := range f.Stmts {
		switch s := s.(type) {
		case *syntax.AssignStmt:
			if id, ok := s.LHS.(*syntax.Ident); ok && id.Name == name {
				return bzl.Position(id.NamePos)
			}
		case *syntax.DefStmt:
			if s.Name.Name == name {
				return bzl.Position(s.Def)
			}
		}
	}
	return diag.Position{File: f.Path, Line: 1, Column: 1}
}

// checkModulePackage makes sure that a .bzl file's label names its own package.
func (l *Loader) checkModulePackage(ctx context.Context, t *tree, lab label.Label) error {
	build, err := t.findBuildFile(lab.Package)
	if err != nil {
		return errorf("looking for the BUILD file of %s: %w", lab.Pkg(), cause(err))
	}
	if build == "" {
		return errorf("Unable to find package for %s: BUILD file not found in folder '%s'", lab, lab.Package).
			WithHint("Add a BUILD file to a directory to mark it as a package.")
	}
	return l.crossing(ctx, lab)
}

// cannotRead words the error for a .bzl file that cannot be read.
func (l *Loader) cannotRead(t *tree, lab label.Label, err error) error {
	if !isMissing(err) {
		return errorf("cannot load '%s': %w", lab, cause(err))
	}
	var names []string
	if d, err := t.list(path.Join(lab.Package, path.Dir(lab.Name))); err == nil {
		for n := range d.names {
			if strings.HasSuffix(n, ".bzl") {
				names = append(names, path.Join(path.Dir(lab.Name), n))
			}
		}
	}
	return diag.Wrap(diag.Position{}, err, fmt.Sprintf("cannot load '%s': no such file%s", lab, Suggest(lab.Name, names)))
}

// loads are the modules that one file loads, by the text of the load() statement.
type loads struct {
	order   []string
	modules map[string]*Module
}

// load is the Load function of a thread; everything was loaded before.
func (ls *loads) load(_ *starlark.Thread, text string) (starlark.StringDict, error) {
	return ls.modules[text].Globals, nil
}

// resolveLoads evaluates what f loads, all modules at the same time, and checks
// that the names it takes from them are there.
func (l *Loader) resolveLoads(ctx context.Context, f *syntax.File, scope bzl.Scope, builtin bool) (*loads, error) {
	var stmts []*syntax.LoadStmt
	for _, s := range f.Stmts {
		if ls, ok := s.(*syntax.LoadStmt); ok {
			stmts = append(stmts, ls)
		}
	}
	mods := make([]*Module, len(stmts))
	errs := make([]error, len(stmts))
	var wg sync.WaitGroup
	for i, s := range stmts {
		lab, err := LoadLabel(s, scope)
		if err != nil {
			errs[i] = err
			continue
		}
		get := func() {
			if mods[i], errs[i] = l.module(ctx, moduleKey{lab, builtin}); errs[i] != nil {
				errs[i] = LoadFailed(s, errs[i])
			}
		}
		if len(stmts) == 1 {
			get()
			continue
		}
		wg.Go(get)
	}
	wg.Wait()
	out := &loads{modules: map[string]*Module{}}
	for i, s := range stmts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if err := CheckLoadedNames(s, mods[i].Label, mods[i].Globals); err != nil {
			return nil, err
		}
		text := s.ModuleName()
		if out.modules[text] == nil {
			out.order = append(out.order, text)
		}
		out.modules[text] = mods[i]
	}
	return out, nil
}

// LoadFailed gives an error without a position that of the load() statement.
func LoadFailed(s *syntax.LoadStmt, err error) error {
	return diag.Place(err, bzl.Position(s.Module.TokenPos))
}

// LoadLabel reads the label of a load() statement.
func LoadLabel(s *syntax.LoadStmt, scope bzl.Scope) (label.Label, error) {
	pos, text := s.Module.TokenPos, s.ModuleName()
	if !strings.HasPrefix(text, ":") && !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "@") {
		return label.Label{}, At(pos, "First argument of 'load' must be a label and start with either '//', ':', or '@', got '%s'", text).
			WithHint(fmt.Sprintf("write load(\":%s\", ...) for a file of this package", text))
	}
	lab, err := scope.Label(text)
	if err != nil {
		return label.Label{}, At(pos, "in load statement: %w", err)
	}
	if !strings.HasSuffix(lab.Name, ".bzl") && !strings.HasSuffix(lab.Name, ".scl") {
		return label.Label{}, At(pos, "The label must reference a file with extension \".bzl\" or \".scl\", got '%s'", text)
	}
	return lab, nil
}

// CheckLoadedNames checks that a module has the names that s takes from it.
func CheckLoadedNames(s *syntax.LoadStmt, mod label.Label, globals starlark.StringDict) error {
	for _, from := range s.From {
		if strings.HasPrefix(from.Name, "_") {
			return At(from.NamePos, "symbol '%s' is private and cannot be imported", from.Name)
		}
		if globals.Has(from.Name) {
			continue
		}
		var names []string
		for _, n := range globals.Keys() {
			if !strings.HasPrefix(n, "_") {
				names = append(names, n)
			}
		}
		return At(from.NamePos, "file '%s' does not contain symbol '%s'%s", mod, from.Name, Suggest(from.Name, names))
	}
	return nil
}

// bound lists the names that the assignments of a file bind, in their order.
func bound(f *syntax.File) []string {
	var names []string
	for _, s := range f.Stmts {
		if as, ok := s.(*syntax.AssignStmt); ok {
			if id, ok := as.LHS.(*syntax.Ident); ok {
				names = append(names, id.Name)
			}
		}
	}
	return names
}
