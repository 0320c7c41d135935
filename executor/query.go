package executor

import (
	"context"
	"fmt"

	"gorules/executor/internal/analysis"
	"gorules/executor/internal/query"
)

// Query evaluates an expression of Bazel's query language. Targets come back
// sorted; with KeepGoing those that could be found come with an error.
func (e *Engine) Query(ctx context.Context, expr string, o QueryOptions) ([]Target, error) {
	s, err := e.open(ctx, analysis.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	r, err := query.Eval(ctx, s.loader, expr, query.Options{
		Cwd:            o.Package,
		NoImplicitDeps: !o.ImplicitDeps,
		KeepGoing:      o.KeepGoing,
		Jobs:           e.opt.Jobs,
	})
	if err != nil {
		return nil, e.userError(err)
	}
	out := make([]Target, 0, len(r.Targets))
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
		e.report(err)
	}
	return out, &Error{Kind: AnalysisFailed, Err: fmt.Errorf("%d errors", len(r.Errors)), Reported: true}
}
