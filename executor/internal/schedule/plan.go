package schedule

import (
	"context"
	"fmt"

	"gorules/executor/internal/action"
)

// callPlan runs a plan's function on a worker.
func (g *graph) callPlan(ctx context.Context, spec *action.Spec, in view, values map[*action.Spec]any) (*action.PlanResult, error) {
	p := action.PlanInput{
		Text:   map[*action.Artifact][]byte{},
		Files:  map[*action.Artifact][]string{},
		Values: values,
	}
	for _, a := range spec.Plan.Inputs {
		c := in[a]
		if c.Tree != nil {
			files, err := filesOf(c)
			if err != nil {
				return nil, err
			}
			p.Files[a] = files
			continue
		}
		b, err := g.opt.Worker.Text(ctx, c)
		if err != nil {
			return nil, err
		}
		p.Text[a] = b
	}
	return spec.Plan.F(ctx, p)
}

type planDone struct {
	n   *node
	r   *action.PlanResult
	err error
}

func (m planDone) apply(g *graph) {
	g.busy--
	n := m.n
	switch {
	case n.state == failed:
		return
	case m.err != nil && canceled(g.ctx, m.err):
		g.set(n, held)
		return
	case m.err != nil:
		g.fail(n, &Failure{Spec: n.spec, Err: m.err})
		return
	}
	for _, a := range n.spec.Plan.Outputs {
		if err := g.bindOutput(n, a, m.r); err != nil {
			g.fail(n, &Failure{Spec: n.spec, Err: err})
			return
		}
	}
	if len(m.r.Show) > 0 && g.opt.Watcher != nil {
		g.opt.Watcher.Told(n.spec, m.r.Show)
	}
	g.set(n, done)
	n.value.result = m.r
	g.settle(n)
	if n.value.wanted {
		g.makeValue(n)
	}
}

// bindOutput makes the promised output a what n's plan says that it is.
func (g *graph) bindOutput(n *node, a *action.Artifact, r *action.PlanResult) error {
	c := g.cellOf(a)
	to, maker := r.Bind[a], r.Makers[a]
	switch {
	case to == nil && maker == nil:
		return fmt.Errorf("the plan promised %s and did not bind it", a.Path)
	case maker != nil:
		c.producer = maker
		if c.wanted {
			c.maker = g.want(maker, c.priority)
		}
		return nil
	}
	end := g.cellOf(to).end()
	if end == c {
		return g.aliasCircle(a, to)
	}
	c.alias, c.up = to, end
	if !c.wanted {
		return nil
	}
	end.goal = end.goal || c.goal
	end = g.wantArtifact(to, c.priority)
	for _, w := range take(&c.waiters) {
		g.needs(w, end)
		g.arrived(w)
	}
	return nil
}

// wantValue asks for what the plan n comes to; goals asks also for the
// artifacts that the result names.
func (g *graph) wantValue(n *node, goals bool) {
	for n != nil {
		v := &n.value
		again := v.wanted && (v.goals || !goals)
		v.wanted, v.goals = true, v.goals || goals
		if again || n.state != done {
			return
		}
		if v.result != nil && v.result.Follow == nil || v.follows == nil {
			g.makeValue(n)
			return
		}
		n = v.follows
	}
}

// makeValue turns the wanted result of n's function into its value, or asks the
// plan that it named for one.
func (g *graph) makeValue(n *node) {
	v := &n.value
	if v.goals && v.failure == nil && v.result.Follow == nil && n.spec.Plan.Goal != nil {
		if err := n.spec.Plan.Goal(v.result.Value); err != nil {
			f := &Failure{Spec: n.spec, Err: err}
			g.failValue(n, f)
			g.report(f, Done{n.id, n.spec, nil, nil, f})
			return
		}
	}
	if v.goals {
		for _, a := range v.result.Goals {
			g.wantGoal(a, n.priority)
		}
	}
	if v.result.Follow == nil {
		if !v.ready {
			v.ready, v.of = true, v.result.Value
			g.valued = append(g.valued, n)
		}
		return
	}
	if v.follows != nil {
		return
	}
	m := g.want(v.result.Follow, n.priority)
	v.follows = m
	m.value.same = append(m.value.same, n)
	g.after(n, m)
	g.wantValue(m, v.goals)
	if m.value.ready || m.value.failure != nil {
		g.valued = append(g.valued, m)
	}
}

// tellValue gives n's value, or its failure, to those who want it.
func (g *graph) tellValue(n *node) {
	v := &n.value
	for _, w := range take(&v.waiters) {
		if v.failure != nil {
			g.fail(w, v.failure)
			continue
		}
		g.arrived(w)
	}
	for _, s := range take(&v.same) {
		switch {
		case v.failure != nil:
			g.failValue(s, v.failure)
		case !s.value.ready:
			s.value.ready, s.value.of = true, v.of
			g.valued = append(g.valued, s)
		}
	}
}
