package schedule

import (
	"context"
	"errors"
	"fmt"

	"gorules/executor/internal/action"
)

// A message is what a worker sends to the loop.
type message interface {
	apply(ctx context.Context, s *Scheduler)
	last() int // 1 if the worker is gone after it
}

// spawn runs f on a goroutine of its own and delivers its message.
func (s *Scheduler) spawn(f func() message) {
	s.busy++
	go func() { s.inbox <- f() }()
}

// start is called when nothing that n needs is missing.
func (s *Scheduler) start(ctx context.Context, n *node) {
	if s.halted(ctx) {
		return // stays waiting: not attempted
	}
	in := s.view(n)
	switch {
	case n.spec.Plan != nil:
		s.set(n, running)
		values := map[*action.Spec]any{}
		for _, w := range n.spec.Plan.Waits {
			values[w] = s.nodes[w].value
		}
		s.spawn(func() message {
			r, err := s.plan(ctx, n.spec, in, values)
			return planDone{n, r, err}
		})
	case counted(n.spec):
		s.set(n, binding)
		s.spawn(func() message { return s.bind(ctx, n, in) })
	default:
		s.set(n, running)
		s.spawn(func() message {
			c, err := s.opt.Executor.Internal(ctx, n.spec, in)
			return internalDone{n, c, err}
		})
	}
}

// halted reports whether nothing new may start.
func (s *Scheduler) halted(ctx context.Context) bool { return ctx.Err() != nil || s.stop != nil }

// fill gives free slots to queued nodes.
func (s *Scheduler) fill(ctx context.Context) {
	for s.running < s.opt.Jobs && s.queue.len() > 0 && !s.halted(ctx) {
		n := s.queue.pop()
		s.set(n, running)
		s.running++
		runCtx, cancel := context.WithCancel(ctx)
		n.cancel = cancel
		if s.opt.OnStart != nil {
			s.opt.OnStart(n.id, n.bound)
		}
		s.spawn(func() message {
			defer cancel()
			o, err := s.opt.Executor.Run(runCtx, n.bound, func(p string, c action.Content) {
				s.inbox <- early{n, p, c}
			})
			return runDone{n, o, err}
		})
	}
}

// view copies the contents that n's worker needs, so that it never looks at
// the loop's maps.
func (s *Scheduler) view(n *node) view {
	v := view{}
	eachInput(n.spec, func(a *action.Artifact) {
		if _, ok := v[a]; !ok {
			v[a] = s.resolve(a).content
		}
	})
	return v
}

// view is the action.Resolver of one node.
type view map[*action.Artifact]action.Content

// Content returns what a turned out to be.
func (v view) Content(a *action.Artifact) (action.Content, error) {
	c, ok := v[a]
	if !ok {
		return c, fmt.Errorf("%s is not an input of the action that uses it", a.Path)
	}
	return c, nil
}

// Expand lists the files below a directory.
func (v view) Expand(a *action.Artifact) ([]string, error) {
	c, err := v.Content(a)
	if err != nil {
		return nil, err
	}
	return filesOf(c)
}

func (s *Scheduler) bind(ctx context.Context, n *node, in view) message {
	b, err := action.Bind(n.spec, in)
	if err != nil {
		return bindDone{n: n, err: err}
	}
	if s.opt.NoLookup != nil && s.opt.NoLookup(n.spec) {
		return bindDone{n: n, bound: b}
	}
	o, ok, err := s.opt.Executor.Lookup(ctx, b)
	if !ok {
		o = nil
	}
	return bindDone{n, b, o, err}
}

func (s *Scheduler) plan(ctx context.Context, spec *action.Spec, in view, values map[*action.Spec]any) (*action.PlanResult, error) {
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
		b, err := s.opt.Executor.Text(ctx, c)
		if err != nil {
			return nil, err
		}
		p.Text[a] = b
	}
	return spec.Plan.F(ctx, p)
}

type sourceDone struct {
	a       *action.Artifact
	content action.Content
	err     error
}

func (m sourceDone) last() int { return 1 }

func (m sourceDone) apply(ctx context.Context, s *Scheduler) {
	c := s.cells[m.a]
	if m.err != nil {
		c.failure = &Failure{Spec: &action.Spec{}, Err: m.err}
		for _, w := range take(&c.waiters) {
			s.fail(ctx, w, &Failure{Spec: w.spec, Err: m.err})
		}
		return
	}
	s.ready(ctx, c, m.content, nil)
}

type bindDone struct {
	n     *node
	bound *action.Bound
	hit   *Outcome
	err   error
}

func (m bindDone) last() int { return 1 }

func (m bindDone) apply(ctx context.Context, s *Scheduler) {
	n := m.n
	if n.state == failed {
		return
	}
	n.bound = m.bound
	switch {
	case m.err != nil:
		s.fail(ctx, n, &Failure{Spec: n.spec, Bound: m.bound, Err: m.err})
	case m.hit != nil:
		s.set(n, done)
		s.finish(ctx, n, m.hit)
	default:
		s.set(n, queued)
		s.lead(ctx, n)
	}
}

type early struct {
	n *node
	p string
	c action.Content
}

func (m early) last() int { return 0 }

func (m early) apply(ctx context.Context, s *Scheduler) {
	if m.n.state != running {
		return
	}
	m.n.early = append(m.n.early, m)
	s.publish(ctx, m.n, m)
	for _, t := range m.n.twins {
		s.publish(ctx, t, m)
	}
}

// publish makes n's output at m's path available before n is done.
func (s *Scheduler) publish(ctx context.Context, n *node, m early) {
	if n.state == failed {
		return
	}
	for _, a := range n.spec.Outputs {
		if action.Abs(a.Path) == m.p {
			s.ready(ctx, s.cellOf(a), m.c, n)
		}
	}
}

type runDone struct {
	n   *node
	o   *Outcome
	err error
}

func (m runDone) last() int { return 1 }

func (m runDone) apply(ctx context.Context, s *Scheduler) {
	s.running--
	n := m.n
	if n.state == failed {
		s.tellTwins(ctx, n)
		return
	}
	n.cancel = nil
	switch {
	case m.err != nil && ctx.Err() != nil && errors.Is(m.err, context.Canceled):
		s.fail(ctx, n, &Failure{Spec: n.spec, Bound: n.bound, Err: context.Cause(ctx)})
	case m.err != nil:
		s.fail(ctx, n, &Failure{Spec: n.spec, Bound: n.bound, Err: m.err})
	case m.o.Failure != "":
		n.outcome = m.o
		s.fail(ctx, n, &Failure{Spec: n.spec, Bound: n.bound, Outcome: m.o})
	default:
		s.set(n, done)
		s.finish(ctx, n, m.o)
	}
	s.tellTwins(ctx, n)
}

type internalDone struct {
	n   *node
	c   action.Content
	err error
}

func (m internalDone) last() int { return 1 }

func (m internalDone) apply(ctx context.Context, s *Scheduler) {
	n := m.n
	if n.state == failed {
		return
	}
	if m.err != nil {
		s.fail(ctx, n, &Failure{Spec: n.spec, Err: m.err})
		return
	}
	s.set(n, done)
	for _, a := range n.spec.Outputs {
		s.ready(ctx, s.cellOf(a), m.c, n)
	}
	s.settle(ctx, n)
}

// circular reports whether a, with what a plan is about to bind, would stand for
// itself. It is asked before any alias is set: every walk along them ends.
func (s *Scheduler) circular(a *action.Artifact, bind map[*action.Artifact]*action.Artifact) bool {
	seen := map[*action.Artifact]bool{}
	for a != nil && !seen[a] {
		seen[a] = true
		next := bind[a]
		if c := s.cells[a]; next == nil && c != nil {
			next = c.alias
		}
		a = next
	}
	return a != nil
}

type planDone struct {
	n   *node
	r   *action.PlanResult
	err error
}

func (m planDone) last() int { return 1 }

func (m planDone) apply(ctx context.Context, s *Scheduler) {
	n := m.n
	if n.state == failed {
		return
	}
	if m.err != nil {
		s.fail(ctx, n, &Failure{Spec: n.spec, Err: m.err})
		return
	}
	for _, a := range n.spec.Plan.Outputs {
		if m.r.Bind[a] == nil {
			s.fail(ctx, n, &Failure{Spec: n.spec, Err: fmt.Errorf("the plan promised %s and did not bind it", a.Path)})
			return
		}
		if s.circular(a, m.r.Bind) {
			s.fail(ctx, n, &Failure{Spec: n.spec, Err: fmt.Errorf("the plan bound %s to a promise that is bound to it", a.Path)})
			return
		}
	}
	for _, a := range n.spec.Plan.Outputs {
		asked := s.cells[a] != nil
		c := s.cellOf(a)
		c.alias = m.r.Bind[a]
		if asked {
			s.wantArtifact(ctx, c.alias, n.priority)
		}
		for _, w := range take(&c.waiters) {
			t := s.wantArtifact(ctx, c.alias, w.priority+cost(w.spec))
			s.needs(w, t)
			s.arrived(ctx, w)
		}
	}
	if len(m.r.Show) > 0 && s.opt.OnShow != nil {
		s.opt.OnShow(n.spec, m.r.Show)
	}
	if m.r.Follow == nil {
		s.finishPlan(ctx, n, m.r.Value)
		return
	}
	switch next := s.want(ctx, m.r.Follow, n.priority); next.state {
	case done:
		s.follow(n, next)
		s.finishPlan(ctx, n, next.value)
	case failed:
		s.fail(ctx, n, next.failure)
	default:
		next.followers = append(next.followers, n)
	}
}

// finishPlan gives n its value and starts those that waited for it.
func (s *Scheduler) finishPlan(ctx context.Context, n *node, value any) {
	s.set(n, done)
	n.value = value
	for _, w := range take(&n.waiters) {
		s.follow(w, n)
		s.arrived(ctx, w)
	}
	for _, w := range take(&n.followers) {
		if w.state == running {
			s.follow(w, n)
			s.finishPlan(ctx, w, value)
		}
	}
	s.settle(ctx, n)
}

func (s *Scheduler) cellOf(a *action.Artifact) *cell {
	c := s.cells[a]
	if c == nil {
		c = &cell{}
		s.cells[a] = c
	}
	return c
}

// ready publishes an artifact's content to those who wait for it.
func (s *Scheduler) ready(ctx context.Context, c *cell, content action.Content, maker *node) {
	if c.ready {
		return // announced early before
	}
	c.ready, c.content, c.maker = true, content, maker
	for _, w := range take(&c.waiters) {
		if maker != nil {
			s.follow(w, maker)
		}
		s.arrived(ctx, w)
	}
}

// finish publishes the outputs of a process that succeeded.
func (s *Scheduler) finish(ctx context.Context, n *node, o *Outcome) {
	n.outcome = o
	s.counts.Done++
	if o.Cached {
		s.counts.Cached++
	} else {
		s.counts.Ran++
	}
	put := func(a *action.Artifact, c action.Content) {
		if a != nil {
			s.ready(ctx, s.cellOf(a), c, n)
		}
	}
	for _, a := range n.spec.Outputs {
		if c, ok := o.Outputs[action.Abs(a.Path)]; ok {
			put(a, c)
		} else if c := s.cellOf(a); n.spec.Optional[a] {
			c.failure = &Failure{Spec: n.spec, Err: fmt.Errorf("%s: the optional output %s was not made", n.spec.Owner, a.Path)}
			for _, w := range take(&c.waiters) {
				s.fail(ctx, w, c.failure)
			}
		}
	}
	put(n.spec.Stdout, o.Stdout)
	put(n.spec.Stderr, o.Stderr)
	put(n.spec.ExitCode, exitContent(o.ExitCode))
	s.settle(ctx, n)
	if s.opt.OnDone != nil {
		s.opt.OnDone(Done{n.id, n.spec, n.bound, o, nil})
	}
}

// settle makes n's result final once every producer it took an early output
// from has settled: only then is it recorded, and only then do those who used
// it early settle in turn.
func (s *Scheduler) settle(ctx context.Context, n *node) {
	if n.state != done || n.unsettled > 0 || n.settled {
		return
	}
	n.settled = true
	if n.bound != nil && !n.outcome.Cached {
		s.spawn(func() message {
			return recorded{s.opt.Executor.Record(context.WithoutCancel(ctx), n.bound, n.outcome), n}
		})
	}
	for _, u := range n.users {
		u.unsettled--
		s.settle(ctx, u)
	}
	n.users = nil
}

type recorded struct {
	err error
	n   *node
}

func (m recorded) last() int { return 1 }

// apply fails the node when its result cannot be kept: a full disk must not
// look like success.
func (m recorded) apply(ctx context.Context, s *Scheduler) {
	if m.err != nil {
		s.stop = &Failure{Spec: m.n.spec, Bound: m.n.bound, Err: m.err}
	}
}

func take(ws *[]*node) []*node {
	out := *ws
	*ws = nil
	return out
}
