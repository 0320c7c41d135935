package loading

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"golang.org/x/sync/errgroup"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// ExpandOptions say how target patterns are read.
type ExpandOptions struct {
	// KeepGoing collects errors of single patterns and packages in
	// Expansion.Errors and goes on with the others.
	KeepGoing bool

	// Suites replaces test_suites by their tests, as testing does.
	Suites bool

	// Tests keeps tests only; it implies Suites.
	Tests bool

	// Manual lets wildcards match targets that are tagged "manual" too.
	Manual bool
}

// An Expansion is what patterns stand for.
type Expansion struct {
	// Targets are in the order of the patterns, those of one wildcard sorted.
	Targets []*Target

	// Wildcard holds the targets that only wildcards named.
	Wildcard map[label.Label]bool

	Errors []error // with KeepGoing

	// Lost are the tests that test suites name which could not be read as a whole.
	Lost []label.Label
}

// Expand returns the targets that patterns stand for. A pattern that begins
// with "-" takes away what those before it added. Repository names are those
// of the main workspace. Beside an error there is what was found until then.
func (l *Loader) Expand(ctx context.Context, patterns []label.Pattern, o ExpandOptions) (*Expansion, error) {
	mapping, err := l.opts.Repos.Mapping(ctx, "")
	if err != nil {
		return nil, err
	}
	x := &Expansion{Wildcard: map[label.Label]bool{}}
	found := map[label.Label]*Target{}
	var order []label.Label
	collect := func() *Expansion {
		for _, lab := range order {
			if t := found[lab]; t != nil {
				x.Targets = append(x.Targets, t)
				delete(found, lab)
			}
		}
		return x
	}
	for _, p := range patterns {
		if p.Package.Repo != "" && !strings.HasPrefix(strings.TrimPrefix(p.Text, "-"), "@@") {
			p.Package.Repo = mapping(p.Package.Repo)
		}
		targets, err := l.expandOne(ctx, p, o, x)
		if err != nil {
			if !o.KeepGoing || ctx.Err() != nil {
				return collect(), err
			}
			x.Errors = append(x.Errors, err)
		}
		for _, t := range targets {
			_, known := found[t.Label]
			switch {
			case p.Negative:
				delete(found, t.Label)
				continue
			case !known:
				order = append(order, t.Label)
				x.Wildcard[t.Label] = p.Kind != label.One
			case p.Kind == label.One:
				x.Wildcard[t.Label] = false
			}
			found[t.Label] = t
		}
	}
	return collect(), nil
}

// expandOne reads one pattern. What it returns beside an error is still right.
func (l *Loader) expandOne(ctx context.Context, p label.Pattern, o ExpandOptions, x *Expansion) ([]*Target, error) {
	targets, err := l.match(ctx, p, o, x)
	if p.Negative {
		err = nothingToTake(p, err)
	}
	if !o.Tests && !o.Suites {
		return targets, err
	}
	var tests []*Target
	for _, t := range targets {
		switch {
		case t.IsTest(), !o.Tests && !t.IsTestSuite():
			tests = append(tests, t)
		case t.IsTestSuite():
			more, suiteErr := l.Tests(ctx, t)
			if suiteErr != nil {
				l.lost(t, map[label.Label]bool{}, x)
				if !o.KeepGoing {
					return nil, suiteErr
				}
				x.Errors = append(x.Errors, suiteErr)
			}
			tests = append(tests, more...)
		}
	}
	return tests, err
}

func (l *Loader) match(ctx context.Context, p label.Pattern, o ExpandOptions, x *Expansion) ([]*Target, error) {
	switch p.Kind {
	case label.One:
		t, err := l.single(ctx, p)
		if err != nil {
			return nil, err
		}
		return []*Target{t}, nil
	case label.Below:
		return l.below(ctx, p, o, x)
	}
	pkg, err := l.Package(ctx, p.Package)
	if err != nil {
		return nil, err
	}
	return l.wildcard(pkg, p, o), nil
}

// nothingToTake adds to an error of a negative pattern that it is one: a misspelt
// one would otherwise take nothing away in silence, and words that were meant
// for a program read as negative patterns too.
func nothingToTake(p label.Pattern, err error) error {
	var e *diag.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Text(), "no such ") && !strings.HasPrefix(e.Text(), "no targets ") {
		return err
	}
	e = e.WithText(fmt.Sprintf("nothing can be taken away by '%s': %s", p.Text, e.Text()))
	if strings.HasPrefix(p.Text, "--") || !strings.ContainsAny(p.Text, "/:") {
		e = e.WithHint("program arguments go to `gorules run TARGET -- ARG...`, those of tests to --test_arg=ARG")
	}
	return e
}

// wildcard picks the targets of one package that p means.
func (l *Loader) wildcard(pkg *Package, p label.Pattern, o ExpandOptions) []*Target {
	var out []*Target
	for _, name := range pkg.Names() {
		t := pkg.Targets[name]
		switch {
		case t.Kind == PackageGroup:
		case t.Kind != Rule && p.Kind != label.AllTargets:
		case t.Kind == Rule && t.IsManual() && !o.Manual && !p.Negative:
		default:
			out = append(out, t)
		}
	}
	return out
}

// below expands //a/... .
func (l *Loader) below(ctx context.Context, p label.Pattern, o ExpandOptions, x *Expansion) ([]*Target, error) {
	if _, err := l.opts.Repos.Mapping(ctx, p.Package.Repo); err != nil {
		return nil, err
	}
	_, t, err := l.tree(ctx, p.Package.Repo)
	if err != nil {
		return nil, err
	}
	paths, unlisted := l.packagesBelow(t, p.Package.Repo, p.Package.Path)
	if len(unlisted) > 0 && !o.KeepGoing {
		return nil, unlisted[0]
	}
	x.Errors = append(x.Errors, unlisted...)
	if len(paths) == 0 && len(unlisted) == 0 {
		return nil, errorf("no targets found beneath '%s'", p.Package.Path).WithHint("no folder in it has a BUILD file: add one")
	}
	pkgs := make([]*Package, len(paths))
	errs := make([]error, len(paths))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(l.opts.Jobs)
	for i, path := range paths {
		g.Go(func() error {
			pkgs[i], errs[i] = l.Package(gctx, label.Package{Repo: p.Package.Repo, Path: path})
			if o.KeepGoing {
				return nil
			}
			return errs[i]
		})
	}
	firstDone := g.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var out []*Target
	for i, pkg := range pkgs {
		if err := errs[i]; err != nil {
			if !o.KeepGoing {
				// The first in the order of packages, not in time; one that
				// was only cancelled does not count.
				if errors.Is(err, context.Canceled) {
					continue
				}
				return nil, err
			}
			x.Errors = append(x.Errors, err)
			continue
		}
		out = append(out, l.wildcard(pkg, p, o)...)
	}
	if firstDone != nil {
		return nil, firstDone
	}
	return out, nil
}

// single finds the target of a pattern that means one.
func (l *Loader) single(ctx context.Context, p label.Pattern) (*Target, error) {
	if !p.Slash {
		return l.Target(ctx, label.Label{Repo: p.Package.Repo, Package: p.Package.Path, Name: p.Name})
	}
	if _, err := l.opts.Repos.Mapping(ctx, p.Package.Repo); err != nil {
		return nil, err
	}
	_, t, err := l.tree(ctx, p.Package.Repo)
	if err != nil {
		return nil, err
	}
	// a/b/c is the target c of the package a/b/c, or else what the longest
	// prefix that is a package calls the rest.
	full := strings.TrimPrefix(p.Package.Path+"/"+p.Name, "/")
	if build, err := t.findBuildFile(full); err != nil {
		return nil, err
	} else if build != "" {
		return l.Target(ctx, label.Label{Repo: p.Package.Repo, Package: full, Name: full[strings.LastIndexByte(full, '/')+1:]})
	}
	segments := strings.Split(full, "/")
	for i := len(segments) - 1; i >= 0; i-- {
		pkg := strings.Join(segments[:i], "/")
		build, err := t.findBuildFile(pkg)
		if err != nil {
			return nil, err
		}
		if build != "" {
			return l.Target(ctx, label.Label{Repo: p.Package.Repo, Package: pkg, Name: strings.Join(segments[i:], "/")})
		}
	}
	return nil, errorf("no such target '%s': no folder of this path has a BUILD file", p.Text).
		WithHint("Add a BUILD file to a directory to mark it as a package.")
}

// Tests returns the tests that t stands for: t itself, or for a test_suite the
// tests it names, those of its package if it names none, as its tags choose.
func (l *Loader) Tests(ctx context.Context, t *Target) ([]*Target, error) {
	var out []*Target
	err := l.tests(ctx, t, map[label.Label]bool{}, func(t *Target) { out = append(out, t) })
	return out, err
}

// lost adds to x.Lost what the suite t names, as far as it is known.
func (l *Loader) lost(t *Target, seen map[label.Label]bool, x *Expansion) {
	for _, lab := range labelsIn(t.Attrs["tests"]) {
		if seen[lab] {
			continue
		}
		seen[lab] = true
		p, loaded := l.Loaded(lab.Pkg())
		if loaded && p.Targets[lab.Name] != nil && p.Targets[lab.Name].IsTestSuite() {
			l.lost(p.Targets[lab.Name], seen, x)
			continue
		}
		x.Lost = append(x.Lost, lab)
	}
}

func (l *Loader) tests(ctx context.Context, t *Target, seen map[label.Label]bool, yield func(*Target)) error {
	if seen[t.Label] {
		return nil
	}
	seen[t.Label] = true
	if t.IsTest() {
		yield(t)
		return nil
	}
	if !t.IsTestSuite() {
		return nil
	}
	pkg, err := l.Package(ctx, t.Label.Pkg())
	if err != nil {
		return err
	}
	named := labelsIn(t.Attrs["tests"])
	if len(named) == 0 {
		for _, name := range pkg.Names() {
			if m := pkg.Targets[name]; m.IsTest() && !m.IsManual() && t.suiteTakes(m) && !seen[m.Label] {
				seen[m.Label] = true
				yield(m)
			}
		}
		return nil
	}
	for _, lab := range named {
		m, err := l.Target(ctx, lab)
		if err != nil {
			return diag.Place(err, t.Position)
		}
		switch {
		case m.IsTestSuite():
			if err := l.tests(ctx, m, seen, func(m *Target) {
				if t.suiteTakes(m) {
					yield(m)
				}
			}); err != nil {
				return err
			}
		case !m.IsTest():
			return diag.Errorf(t.Position, "in tests attribute of test_suite rule %s: '%s' is not a test (it is a %s)", t.Label, m.Label, m.KindString()).
				WithHint("name tests and test suites only")
		case t.suiteTakes(m) && !seen[m.Label]:
			seen[m.Label] = true
			yield(m)
		}
	}
	return nil
}

// suiteTakes applies the tags of a test_suite: "-x" refuses tests tagged x, "x"
// and "+x" ask for it. A test's size is a tag too.
func (t *Target) suiteTakes(test *Target) bool {
	have := test.Tags()
	if size, ok := starlark.AsString(test.Attrs["size"]); ok {
		have = append(have, size)
	}
	for _, tag := range t.Tags() {
		switch {
		case tag == "manual": // says something of the suite itself
		case strings.HasPrefix(tag, "-"):
			if slices.Contains(have, tag[1:]) {
				return false
			}
		case !slices.Contains(have, strings.TrimPrefix(tag, "+")):
			return false
		}
	}
	return true
}
