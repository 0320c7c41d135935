package loading

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/memo"
	"gorules/executor/label"
)

// Repos finds repositories.
type Repos interface {
	// View returns the repository with the canonical name repo ("" for the
	// main workspace), fetching it if it is not there yet.
	View(ctx context.Context, repo string) (*View, error)

	// Mapping returns how the files of repo read repository names: a name as
	// written after one @ gives a canonical one. A name that is not declared
	// gives itself. The function is safe for concurrent use.
	Mapping(ctx context.Context, repo string) (func(apparent string) string, error)
}

// A View is where the files of one repository are.
type View struct {
	Repo string // canonical name

	// Root is its folder on this machine; "" if it is embedded in the program.
	Root string

	// Immutable says that gorules wrote what is in Root; see action.Source.
	Immutable bool

	// Files reads it. Loading reads through nothing else, so one that records what
	// it is asked, missing files and listings included, knows everything that the
	// result depends on.
	Files fs.FS
}

// Shown is the name of a file for messages: relative in the main workspace,
// absolute in others, @repo//... where it is embedded.
func (v *View) Shown(p string) string {
	switch {
	case v.Repo == "":
		return p
	case v.Root == "":
		return "@" + v.Repo + "//" + p
	}
	return path.Join(filepath.ToSlash(v.Root), p)
}

// Options configure a Loader.
type Options struct {
	Repos Repos

	// Builtins is the package whose .bzl files define the native rules: every
	// rule and function they export can be used in BUILD files and as
	// native.NAME, every other value in .bzl files. A zero value means no natives.
	Builtins label.Package

	// Native are more members of the module native: what WORKSPACE macros call.
	Native starlark.StringDict

	// Print gets what print() prints; nil drops it.
	Print func(at diag.Position, text string)

	// Jobs is how many BUILD files are read at a time; 0 means 8.
	Jobs int

	// Group, where not nil, is shared with other caches whose computations load
	// files, so that cycles through both are found.
	Group *memo.Group
}

// A Loader loads packages and modules, each once. See the package's page.
type Loader struct {
	opts     Options
	classes  map[string]*bzl.RuleClass // natives written in Go
	packages *memo.Cache[label.Package, *Package]
	modules  *memo.Cache[moduleKey, *Module]
	natives  *memo.Cache[struct{}, *natives]

	mu    sync.Mutex
	trees map[string]*tree
}

// New returns a Loader that has read nothing yet.
func New(o Options) *Loader {
	if o.Jobs == 0 {
		o.Jobs = 8
	}
	if o.Group == nil {
		o.Group = &memo.Group{}
	}
	l := &Loader{opts: o, classes: bzl.Natives(), trees: map[string]*tree{}}
	l.packages = memo.New(o.Group, l.loadPackage)
	l.modules = memo.New(o.Group, l.loadModule)
	l.natives = memo.New(o.Group, func(ctx context.Context, _ struct{}) (*natives, error) { return l.loadNatives(ctx) })
	return l
}

// Package returns the targets of a package.
func (l *Loader) Package(ctx context.Context, p label.Package) (*Package, error) {
	if _, err := l.opts.Repos.Mapping(ctx, p.Repo); err != nil {
		return nil, err
	}
	pkg, err := l.packages.Get(ctx, p)
	return pkg, l.wordCycle(ctx, err)
}

// Target returns one target. Its package's other targets may be wrong; a source
// file must exist.
func (l *Loader) Target(ctx context.Context, lab label.Label) (*Target, error) {
	p, err := l.Package(ctx, lab.Pkg())
	if err != nil {
		return nil, err
	}
	t := p.Targets[lab.Name]
	if t == nil {
		return nil, l.noSuchTarget(ctx, p, lab)
	}
	if t.Kind == SourceFile {
		if err := l.checkSource(ctx, p, t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// BuildFile returns the label of a package's BUILD file without evaluating it.
func (l *Loader) BuildFile(ctx context.Context, p label.Package) (label.Label, error) {
	if _, err := l.opts.Repos.Mapping(ctx, p.Repo); err != nil {
		return label.Label{}, err
	}
	_, t, err := l.tree(ctx, p.Repo)
	if err != nil {
		return label.Label{}, err
	}
	name, err := t.findBuildFile(p.Path)
	if err != nil {
		return label.Label{}, err
	}
	if name == "" {
		return label.Label{}, l.noSuchPackage(t, p)
	}
	return label.Label{Repo: p.Repo, Package: p.Path, Name: name}, nil
}

// tree returns the view of a repository and its files, listings kept.
func (l *Loader) tree(ctx context.Context, repo string) (*View, *tree, error) {
	v, err := l.opts.Repos.View(ctx, repo)
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.trees[repo]
	if t == nil {
		t = newTree(v.Files)
		l.trees[repo] = t
	}
	return v, t, nil
}

// scope is how labels in the files of p are read.
func (l *Loader) scope(ctx context.Context, p label.Package) (bzl.Scope, error) {
	m, err := l.opts.Repos.Mapping(ctx, p.Repo)
	return bzl.Scope{Package: p, Repo: m}, err
}

// Loaded returns a package if it was loaded already.
func (l *Loader) Loaded(p label.Package) (*Package, bool) { return l.packages.Peek(p) }

// noSuchTarget words the error for a name that a package does not declare.
func (l *Loader) noSuchTarget(ctx context.Context, p *Package, lab label.Label) error {
	if err := l.crossing(ctx, lab); err != nil {
		return err
	}
	names := make([]string, 0, len(p.Targets))
	for n := range p.Targets {
		names = append(names, n)
	}
	e := errorf("no such target '%s': target '%s' not declared in package '%s' defined by %s%s",
		lab, lab.Name, lab.Package, p.Shown, Suggest(lab.Name, names))
	_, t, err := l.tree(ctx, lab.Repo)
	if err != nil {
		return err
	}
	if info, err := t.stat(path.Join(lab.Package, lab.Name)); err == nil && !info.IsDir() {
		return e.WithHint(fmt.Sprintf("However, a source file of this name exists: add exports_files([\"%s\"]) to %s.", lab.Name, p.Shown))
	}
	return e
}

// crossing says that a label's name leads into another package, if it does.
func (l *Loader) crossing(ctx context.Context, lab label.Label) error {
	_, t, err := l.tree(ctx, lab.Repo)
	if err != nil {
		return err
	}
	for i := len(lab.Name) - 1; i > 0; i-- {
		if lab.Name[i] != '/' {
			continue
		}
		sub := path.Join(lab.Package, lab.Name[:i])
		build, err := t.findBuildFile(sub)
		if err != nil {
			return err
		}
		if build != "" {
			right := label.Label{Repo: lab.Repo, Package: sub, Name: lab.Name[i+1:]}
			return errorf("Label '%s' is invalid because '%s' is a subpackage", lab, sub).
				WithHint(fmt.Sprintf("perhaps you meant to put the colon here: '%s'?", right))
		}
	}
	return nil
}

// checkSource returns an error that names the user of the file if it is missing.
func (l *Loader) checkSource(ctx context.Context, p *Package, t *Target) error {
	_, tree, err := l.tree(ctx, t.Label.Repo)
	if err != nil {
		return err
	}
	if err := l.crossing(ctx, t.Label); err != nil {
		return diag.Place(err, t.Position)
	}
	full := path.Join(t.Label.Package, t.Label.Name)
	_, err = tree.stat(full)
	if err == nil {
		return nil
	}
	if !isMissing(err) {
		return diag.Errorf(t.Position, "reading %s: %w", t.Label, cause(err))
	}
	var names []string
	for n := range p.Targets {
		names = append(names, n)
	}
	if d, err := tree.list(path.Dir(full)); err == nil {
		dir := strings.TrimPrefix(strings.TrimPrefix(path.Dir(full), t.Label.Package), "/")
		for n := range d.names {
			names = append(names, path.Join(dir, n))
		}
	}
	return diag.Errorf(t.Position, "missing input file '%s': no file and no target of this name%s", t.Label, Suggest(t.Label.Name, names)).
		WithHint("create the file, or take its name out of the target")
}

// Referenced adds to the error of loading a dependency which target names it,
// and gives it that target's position unless it has one.
func Referenced(err error, by *Target) error {
	e, ok := err.(*diag.Error)
	if !ok || diag.Placed(e) != nil {
		return err
	}
	return e.WithText(fmt.Sprintf("%s, referenced by '%s'", e.Text(), by.Label)).At(by.Position)
}

// thread returns a thread that evaluates the file shown; done must be called at the end.
func (l *Loader) thread(ctx context.Context, shown string, c *bzl.Context) (thread *starlark.Thread, done func()) {
	return bzl.NewThread(ctx, shown, diag.Position{File: shown, Line: 1, Column: 1}, l.opts.Print, c)
}
