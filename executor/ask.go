package executor

import (
	"context"
	"fmt"
	"time"

	"gorules/executor/internal/analysis"
	"gorules/executor/internal/front"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/query"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

// ask opens a front end for a question. Questions wait for no command, only for
// a repository that another one fetches.
func (e *Engine) ask(ctx context.Context) (s *front.Session, close func(), err error) {
	unpin, err := e.pin()
	if err != nil {
		return nil, nil, err
	}
	if s, err = front.Open(ctx, e.front(), analysis.Config{}, nil); err != nil {
		unpin()
		return nil, nil, e.full(err)
	}
	return s, func() {
		s.Close()
		unpin()
	}, nil
}

// Query evaluates an expression of Bazel's query language. Targets come back
// sorted; with KeepGoing those that could be found come with an error.
func (e *Engine) Query(ctx context.Context, expr string, o QueryOptions) (out []Target, err error) {
	defer e.guard(&err)
	ctx, end := e.watched(ctx)
	defer end(&err)
	s, close, err := e.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer close()
	r, err := query.Eval(ctx, s.Loader, expr, query.Options{
		Cwd:            o.Package,
		NoImplicitDeps: !o.ImplicitDeps,
		KeepGoing:      o.KeepGoing,
		Jobs:           e.opt.Jobs,
	})
	if err != nil {
		return nil, s.Fail(ctx, err)
	}
	for _, t := range r.Targets {
		out = append(out, Target{
			Label:      t.Label,
			Kind:       t.KindString(),
			Attributes: query.Attributes(t),
			Location:   t.Position,
		})
	}
	if len(r.Errors) == 0 {
		return out, nil
	}
	for _, err := range r.Errors {
		front.Report(e.opt.Sink, err)
	}
	return out, &Error{Kind: AnalysisFailed, Err: fmt.Errorf("%d errors", len(r.Errors)), Reported: true}
}

// Why tells, for each action of l and of what it depends on that the last build
// ran, the first thing that differs from the result it replaced.
func (e *Engine) Why(ctx context.Context, l label.Label) (out []WhyEntry, err error) {
	defer e.guard(&err)
	ctx, end := e.watched(ctx)
	defer end(&err)
	s, close, err := e.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer close()
	below, err := closure(ctx, s.Loader, l)
	if err != nil {
		return nil, s.Fail(ctx, err)
	}
	for _, r := range e.memory().Reasons() {
		if below[r.Owner] {
			out = append(out, WhyEntry(r))
		}
	}
	return out, nil
}

// closure returns l and every target that it depends on.
func closure(ctx context.Context, loader *loading.Loader, l label.Label) (map[label.Label]bool, error) {
	seen := map[label.Label]bool{}
	todo := []label.Label{l}
	for len(todo) > 0 {
		l := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[l] {
			continue
		}
		t, err := loader.Target(ctx, l)
		if err != nil {
			return nil, err
		}
		seen[l] = true
		for _, d := range t.Dependencies() {
			todo = append(todo, d.Label)
		}
	}
	return seen, nil
}

// Fetch gets every external repository that the workspace declares.
func (e *Engine) Fetch(ctx context.Context) (err error) {
	defer e.guard(&err)
	begin := time.Now()
	if err := e.takeLock(ctx); err != nil {
		return err
	}
	whole := ctx // outlives what is watched
	defer func() { err = e.trim(whole, time.Since(begin), 0, err) }()
	unpin, err := e.pin()
	if err != nil {
		return err
	}
	defer unpin()
	ctx, end := e.watched(ctx)
	defer end(&err)
	o := e.front()
	digests := source.LoadCache(o.DigestsPath()) // of what is fetched, so that no build waits for them
	repos, err := o.Repositories(source.New(digests, o.Hidden()...))
	if err != nil {
		return err
	}
	err = repos.FetchAll(ctx)
	e.fetched = e.fetched || repos.Fetches() > 0
	if err != nil {
		return front.Fail(ctx, e.opt.Sink, err)
	}
	return digests.Save(o.DigestsPath())
}
