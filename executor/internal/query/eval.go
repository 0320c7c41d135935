package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// Options of a query.
type Options struct {
	// Cwd is the folder, relative to the workspace, that patterns are relative to.
	Cwd string

	// NoImplicitDeps leaves out what BUILD files do not name: values of private
	// attributes and defaults (--noimplicit_deps).
	NoImplicitDeps bool

	// KeepGoing collects errors in Result.Errors and goes on without what they
	// are about.
	KeepGoing bool

	Jobs int // packages loaded at a time; 0 means 8
}

// Result of a query.
type Result struct {
	Targets []*loading.Target // sorted by label
	Errors  []error
}

// set holds targets by label.
type set map[label.Label]*loading.Target

func (s set) sorted() []label.Label {
	out := make([]label.Label, 0, len(s))
	for l := range s {
		out = append(out, l)
	}
	slices.SortFunc(out, label.Label.Compare)
	return out
}

// evaluator is the state of one query.
type evaluator struct {
	loader *loading.Loader
	opts   Options

	mu     sync.Mutex
	errors []error
	told   map[string]bool
}

// Eval evaluates a query.
func Eval(ctx context.Context, l *loading.Loader, text string, o Options) (*Result, error) {
	if o.Jobs == 0 {
		o.Jobs = 8
	}
	x, err := parse(text)
	if err != nil {
		return nil, err
	}
	e := &evaluator{loader: l, opts: o, told: map[string]bool{}}
	s, err := e.eval(ctx, x, nil)
	if err != nil {
		return nil, err
	}
	r := &Result{Errors: e.errors}
	for _, lab := range s.sorted() {
		r.Targets = append(r.Targets, s[lab])
	}
	return r, nil
}

// tolerate notes err with KeepGoing and returns it without.
func (e *evaluator) tolerate(err error) error {
	if !e.opts.KeepGoing {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if text := err.Error(); !e.told[text] {
		e.told[text] = true
		e.errors = append(e.errors, err)
	}
	return nil
}

// scope is the chain of let variables.
type scope struct {
	name  string
	value set
	up    *scope
}

func (e *evaluator) eval(ctx context.Context, x expr, vars *scope) (set, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	switch x := x.(type) {
	case wordExpr:
		if name, ok := strings.CutPrefix(x.text, "$"); ok {
			for v := vars; v != nil; v = v.up {
				if v.name == name {
					return v.value, nil
				}
			}
			return nil, fmt.Errorf("undefined variable '%s' in query: define it with let %s = EXPRESSION in EXPRESSION", name, name)
		}
		return e.words(ctx, []string{x.text})
	case setExpr:
		return e.words(ctx, x.words)
	case letExpr:
		value, err := e.eval(ctx, x.value, vars)
		if err != nil {
			return nil, err
		}
		return e.eval(ctx, x.body, &scope{x.name, value, vars})
	case binaryExpr:
		a, err := e.eval(ctx, x.x, vars)
		if err != nil {
			return nil, err
		}
		b, err := e.eval(ctx, x.y, vars)
		if err != nil {
			return nil, err
		}
		return combine(x.op, a, b), nil
	case callExpr:
		args := make([]any, len(x.args))
		for i, a := range x.args {
			if x.f.args[i] != argExpr {
				args[i] = a
				continue
			}
			s, err := e.eval(ctx, a, vars)
			if err != nil {
				return nil, err
			}
			args[i] = s
		}
		return x.f.eval(ctx, e, args)
	}
	return nil, fmt.Errorf("query: %T is no expression", x)
}

func combine(op string, a, b set) set {
	out := set{}
	for l, t := range a {
		if (op == "+") || (b[l] != nil) == (op == "^") {
			out[l] = t
		}
	}
	if op == "+" {
		for l, t := range b {
			out[l] = t
		}
	}
	return out
}

// words expands target patterns; the tag manual has no meaning in a query.
func (e *evaluator) words(ctx context.Context, words []string) (set, error) {
	var patterns []label.Pattern
	for _, w := range words {
		p, err := label.ParsePattern(w, e.opts.Cwd)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	x, err := e.loader.Expand(ctx, patterns, loading.ExpandOptions{KeepGoing: e.opts.KeepGoing, Manual: true})
	if err != nil {
		return nil, err
	}
	for _, err := range x.Errors {
		if err := e.tolerate(err); err != nil {
			return nil, err
		}
	}
	out := set{}
	for _, t := range x.Targets {
		out[t.Label] = t
	}
	return out, nil
}

// edges lists what t depends on, as the options say.
func (e *evaluator) edges(t *loading.Target) []label.Label {
	var out []label.Label
	for _, d := range t.Dependencies() {
		if !d.Implicit || !e.opts.NoImplicitDeps {
			out = append(out, d.Label)
		}
	}
	return out
}

// closure returns from and what it depends on, up to depth edges away; -1
// means without limit. Packages of one level are loaded at the same time.
func (e *evaluator) closure(ctx context.Context, from set, depth int) (set, error) {
	out := set{}
	level := from.sorted()
	for l, t := range from {
		out[l] = t
	}
	for ; len(level) > 0 && depth != 0; depth-- {
		next := set{} // to the target that names it
		for _, l := range level {
			for _, d := range e.edges(out[l]) {
				if out[d] == nil && next[d] == nil {
					next[d] = out[l]
				}
			}
		}
		labels := next.sorted()
		targets := make([]*loading.Target, len(labels))
		errs := make([]error, len(labels))
		var g errgroup.Group
		g.SetLimit(e.opts.Jobs)
		for i, l := range labels {
			g.Go(func() error {
				if targets[i], errs[i] = e.loader.Target(ctx, l); errs[i] != nil {
					errs[i] = loading.Referenced(errs[i], next[l])
				}
				return nil
			})
		}
		_ = g.Wait() // errors are in errs
		level = level[:0]
		for i, l := range labels {
			if errs[i] != nil {
				if err := e.tolerate(errs[i]); err != nil {
					return nil, err
				}
				continue
			}
			out[l] = targets[i]
			level = append(level, l)
		}
	}
	return out, nil
}

// reverse returns, for each label, the targets of universe that depend on it.
func (e *evaluator) reverse(universe set) map[label.Label][]label.Label {
	back := map[label.Label][]label.Label{}
	for l, t := range universe {
		for _, d := range e.edges(t) {
			back[d] = append(back[d], l)
		}
	}
	return back
}
