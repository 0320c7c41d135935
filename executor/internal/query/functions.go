package query

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

type argKind int

const (
	argExpr argKind = iota
	argWord
	argInt // optional, always last
)

// function is one function of the language.
type function struct {
	usage string
	args  []argKind
	eval  func(ctx context.Context, e *evaluator, args []any) (set, error) // args: set, string, int
}

func (f *function) required() int {
	n := len(f.args)
	if n > 0 && f.args[n-1] == argInt {
		n--
	}
	return n
}

// functionsByName is filled once, since the functions refer to the parser's table.
var functionsByName map[string]*function

func init() {
	functionsByName = map[string]*function{
		"allpaths":   {"allpaths(FROM, TO)", []argKind{argExpr, argExpr}, allpaths},
		"attr":       {"attr(NAME, PATTERN, X)", []argKind{argWord, argWord, argExpr}, attr},
		"buildfiles": {"buildfiles(X)", []argKind{argExpr}, buildfiles},
		"deps":       {"deps(X), deps(X, DEPTH)", []argKind{argExpr, argInt}, deps},
		"filter":     {"filter(PATTERN, X)", []argKind{argWord, argExpr}, filter},
		"kind":       {"kind(PATTERN, X)", []argKind{argWord, argExpr}, kind},
		"labels":     {"labels(ATTRIBUTE, X)", []argKind{argWord, argExpr}, labels},
		"loadfiles":  {"loadfiles(X)", []argKind{argExpr}, loadfiles},
		"rdeps":      {"rdeps(UNIVERSE, X), rdeps(UNIVERSE, X, DEPTH)", []argKind{argExpr, argExpr, argInt}, rdeps},
		"siblings":   {"siblings(X)", []argKind{argExpr}, siblings},
		"some":       {"some(X), some(X, COUNT)", []argKind{argExpr, argInt}, some},
		"somepath":   {"somepath(FROM, TO)", []argKind{argExpr, argExpr}, somepath},
		"tests":      {"tests(X)", []argKind{argExpr}, tests},
		"visible":    {"visible(FROM, X)", []argKind{argExpr, argExpr}, visible},
	}
}

// Functions lists the names of all functions, sorted.
func Functions() []string {
	var names []string
	for n := range functionsByName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// depthOf is the optional number at index i, -1 if it is not given.
func depthOf(args []any, i int) int {
	if len(args) > i {
		return args[i].(int)
	}
	return -1
}

func deps(ctx context.Context, e *evaluator, args []any) (set, error) {
	return e.closure(ctx, args[0].(set), depthOf(args, 1))
}

func rdeps(ctx context.Context, e *evaluator, args []any) (set, error) {
	universe, err := e.closure(ctx, args[0].(set), -1)
	if err != nil {
		return nil, err
	}
	back := e.reverse(universe)
	depth := depthOf(args, 2)
	out := set{}
	var level []label.Label
	for l, t := range args[1].(set) {
		if universe[l] != nil {
			out[l] = t
			level = append(level, l)
		}
	}
	for ; len(level) > 0 && depth != 0; depth-- {
		var next []label.Label
		for _, l := range level {
			for _, up := range back[l] {
				if out[up] == nil {
					out[up] = universe[up]
					next = append(next, up)
				}
			}
		}
		level = next
	}
	return out, nil
}

func allpaths(ctx context.Context, e *evaluator, args []any) (set, error) {
	universe, err := e.closure(ctx, args[0].(set), -1)
	if err != nil {
		return nil, err
	}
	return rdeps(ctx, e, []any{universe, args[1]})
}

func somepath(ctx context.Context, e *evaluator, args []any) (set, error) {
	from, to := args[0].(set), args[1].(set)
	universe, err := e.closure(ctx, from, -1)
	if err != nil {
		return nil, err
	}
	parent := map[label.Label]label.Label{}
	level := from.sorted()
	seen := map[label.Label]bool{}
	for _, l := range level {
		seen[l] = true
	}
	for len(level) > 0 {
		var next []label.Label
		for _, l := range level {
			if to[l] != nil {
				out := set{}
				for {
					out[l] = universe[l]
					up, ok := parent[l]
					if !ok {
						return out, nil
					}
					l = up
				}
			}
			for _, d := range e.edges(universe[l]) {
				if !seen[d] && universe[d] != nil {
					seen[d] = true
					parent[d] = l
					next = append(next, d)
				}
			}
		}
		level = next
	}
	return set{}, nil
}

func pattern(text string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("illegal pattern '%s': %w", text, err)
	}
	return re, nil
}

// where keeps the targets of x that f takes.
func where(x set, f func(*loading.Target) bool) set {
	out := set{}
	for l, t := range x {
		if f(t) {
			out[l] = t
		}
	}
	return out
}

func filter(_ context.Context, _ *evaluator, args []any) (set, error) {
	re, err := pattern(args[0].(string))
	if err != nil {
		return nil, err
	}
	return where(args[1].(set), func(t *loading.Target) bool { return re.MatchString(t.Label.String()) }), nil
}

func kind(_ context.Context, _ *evaluator, args []any) (set, error) {
	re, err := pattern(args[0].(string))
	if err != nil {
		return nil, err
	}
	return where(args[1].(set), func(t *loading.Target) bool { return re.MatchString(t.KindString()) }), nil
}

func attr(_ context.Context, _ *evaluator, args []any) (set, error) {
	re, err := pattern(args[1].(string))
	if err != nil {
		return nil, err
	}
	return where(args[2].(set), func(t *loading.Target) bool {
		v := t.Attrs[args[0].(string)]
		if v == nil {
			return false
		}
		for _, text := range attrTexts(v) {
			if re.MatchString(text) {
				return true
			}
		}
		return false
	}), nil
}

func labels(ctx context.Context, e *evaluator, args []any) (set, error) {
	out := set{}
	for _, l := range args[1].(set).sorted() {
		for _, d := range args[1].(set)[l].Dependencies() {
			if d.Attr == nil || d.Attr.Name != args[0].(string) || d.Condition {
				continue
			}
			t, err := e.loader.Target(ctx, d.Label)
			if err != nil {
				if err := e.tolerate(err); err != nil {
					return nil, err
				}
				continue
			}
			out[d.Label] = t
		}
	}
	return out, nil
}

func tests(ctx context.Context, e *evaluator, args []any) (set, error) {
	out := set{}
	for _, l := range args[0].(set).sorted() {
		found, err := e.loader.Tests(ctx, args[0].(set)[l])
		if err != nil {
			if err := e.tolerate(err); err != nil {
				return nil, err
			}
		}
		for _, t := range found {
			out[t.Label] = t
		}
	}
	return out, nil
}

// fileTarget stands for a BUILD or .bzl file, which need not be a target.
func fileTarget(l label.Label) *loading.Target {
	return &loading.Target{Label: l, Kind: loading.SourceFile}
}

func buildfiles(ctx context.Context, e *evaluator, args []any) (set, error) {
	out, err := loadfiles(ctx, e, args)
	if err != nil {
		return nil, err
	}
	for l := range out { // a .bzl file is found through the BUILD file beside it
		if b, err := e.loader.BuildFile(ctx, l.Pkg()); err == nil {
			out[b] = fileTarget(b)
		}
	}
	for l := range args[0].(set) {
		p, err := e.loader.Package(ctx, l.Pkg())
		if err != nil {
			return nil, err
		}
		out[p.File] = fileTarget(p.File)
	}
	return out, nil
}

func loadfiles(ctx context.Context, e *evaluator, args []any) (set, error) {
	out := set{}
	seen := map[*loading.Module]bool{}
	for l := range args[0].(set) {
		p, err := e.loader.Package(ctx, l.Pkg())
		if err != nil {
			return nil, err
		}
		for _, m := range p.Modules {
			m.Each(seen, func(m *loading.Module) { out[m.Label] = fileTarget(m.Label) })
		}
	}
	return out, nil
}

func siblings(ctx context.Context, e *evaluator, args []any) (set, error) {
	out := set{}
	for l := range args[0].(set) {
		p, err := e.loader.Package(ctx, l.Pkg())
		if err != nil {
			return nil, err
		}
		for _, t := range p.Targets {
			out[t.Label] = t
		}
	}
	return out, nil
}

func some(_ context.Context, _ *evaluator, args []any) (set, error) {
	x := args[0].(set)
	if len(x) == 0 {
		return nil, fmt.Errorf("argument set of 'some' is empty")
	}
	n := 1
	if len(args) > 1 {
		n = args[1].(int)
	}
	out := set{}
	for _, l := range x.sorted()[:min(n, len(x))] {
		out[l] = x[l]
	}
	return out, nil
}

func visible(ctx context.Context, e *evaluator, args []any) (set, error) {
	out := set{}
	for l, t := range args[1].(set) {
		all := true
		for from := range args[0].(set) {
			ok, err := e.loader.Visible(ctx, t, from.Pkg())
			if err != nil {
				return nil, err
			}
			all = all && ok
		}
		if all {
			out[l] = t
		}
	}
	return out, nil
}
