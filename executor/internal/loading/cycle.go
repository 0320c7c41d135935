package loading

import (
	"context"
	"errors"
	"path"

	"go.starlark.net/syntax"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/memo"
)

// wordCycle turns a cycle of load() statements into a *diag.Error that stands at
// the load() of its first file. Other errors are returned as they are.
func (l *Loader) wordCycle(ctx context.Context, err error) error {
	var cycle *memo.CycleError
	if !errors.As(err, &cycle) {
		return err
	}
	var keys []moduleKey
	for _, k := range cycle.Path {
		key, ok := k.(moduleKey)
		if !ok {
			return err
		}
		keys = append(keys, key)
	}
	at := diag.Position{}
	if pos, ok := l.findLoad(ctx, keys[0], keys[1%len(keys)]); ok {
		at = bzl.Position(pos)
	}
	return diag.Errorf(at, "load() statements form a %w", cycle).
		WithHint("move what the files need from each other into a file that loads none of them")
}

// findLoad returns where from loads to.
func (l *Loader) findLoad(ctx context.Context, from, to moduleKey) (syntax.Position, bool) {
	view, tree, err := l.tree(ctx, from.Repo)
	if err != nil {
		return syntax.Position{}, false
	}
	full := path.Join(from.Package, from.Name)
	src, err := tree.readFile(full)
	if err != nil {
		return syntax.Position{}, false
	}
	f, err := Parse(src, view.Shown(full), bzl.BzlFile)
	if err != nil {
		return syntax.Position{}, false
	}
	scope, err := l.scope(ctx, from.Pkg())
	if err != nil {
		return syntax.Position{}, false
	}
	for _, s := range f.Stmts {
		if ls, ok := s.(*syntax.LoadStmt); ok {
			if lab, err := LoadLabel(ls, scope); err == nil && lab == to.Label {
				return ls.Module.TokenPos, true
			}
		}
	}
	return syntax.Position{}, false
}
