package schedule

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gorules/executor/internal/action"
)

// state is how far a node has come. Every change goes through set.
type state uint8

const (
	waiting  state = iota // some input does not exist yet
	starting              // a worker binds it and looks it up
	queued                // waits for a slot
	running               // a process, a plan's function or an in-process operation
	done                  // outputs exist; see settle
	failed                // it or something it needs failed
	held                  // nothing new may start, so this did not
)

func (s state) String() string {
	return [...]string{"waiting", "starting", "queued", "running", "done", "failed", "held"}[s]
}

// legal lists the states that may follow each state.
var legal = [...][]state{
	waiting:  {starting, running, failed},
	starting: {queued, done, failed, held},
	queued:   {running, done, failed, held}, // done: an equal action of another node was its answer
	running:  {done, failed, held},
	done:     {failed}, // a producer of an early output failed after all
	failed:   {},
	held:     {failed},
}

// A node is one Spec in the graph.
type node struct {
	id       int
	spec     *action.Spec
	state    state
	priority int

	request *request // for a slot; nil while it has none in the queue
	began   bool     // got a slot
	missing int      // inputs and values that it still waits for

	bound   *action.Bound
	outcome *Outcome
	failure *Failure
	cancel  context.CancelFunc

	outdated bool // see Options.Outdated

	// unsettled counts producers that this node took an early output from and
	// that have not settled. Until it is 0, nothing of this node is kept.
	unsettled int
	settled   bool
	users     []*node // took something before this node settled
	awaiting  []*node // plans that wait until this node settles
	value     value   // of a plan
}

// A value is what a plan comes to: what its function returned, or what the plan
// that it named comes to. Nobody makes the latter unless the value is wanted, so
// that a build that needs a plan's outputs alone runs no test.
type value struct {
	wanted  bool
	goals   bool // the artifacts that the result names are wanted too
	ready   bool
	of      any
	result  *action.PlanResult
	follows *node
	failure *Failure
	waiters []*node // plans that wait for it
	same    []*node // plans whose value it is
}

// A cell is what is known of one artifact.
type cell struct {
	artifact *action.Artifact
	wanted   bool
	priority int
	ready    bool
	content  action.Content
	failure  *Failure // of what was to make it
	refusal  error    // nothing failed, yet it is not there: each reader fails by itself
	goal     bool
	waiters  []*node
	maker    *node        // nil for a source, and while nobody wants it
	producer *action.Spec // the artifact's, or to whom a plan handed it

	alias *action.Artifact // of a promised output, once bound
	up    *cell            // nearer to the end of the aliases than alias is
}

type graph struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	opt    Options
	nodes  map[*action.Spec]*node
	cells  map[*action.Artifact]*cell
	inbox  chan message

	queue   queue // of requests for a slot
	running int   // slots in use
	busy    int   // goroutines that will send a last message

	failures []*Failure
	stopped  *Failure    // the first one, where it stops the rest
	stop     atomic.Bool // stopped is set; for workers
	broken   error       // a tool's

	fresh  []*node // nodes whose needs were not yet asked for
	fallen []*node // failed nodes whose dependents do not know yet
	valued []*node // plans whose value's dependents do not know yet

	counts   Counts
	reported time.Time
	told     Counts // by the last report of progress
}

func newGraph(ctx context.Context, opt Options) *graph {
	ctx, cancel := context.WithCancelCause(ctx)
	return &graph{
		ctx: ctx, cancel: cancel, opt: opt,
		nodes: map[*action.Spec]*node{},
		cells: map[*action.Artifact]*cell{},
		inbox: make(chan message, 64),
	}
}

func (g *graph) set(n *node, to state) {
	for _, ok := range legal[n.state] {
		if ok == to {
			n.state = to
			return
		}
	}
	panic(illegal(n, to))
}

// propagate tells everybody what they do not know yet.
func (g *graph) propagate() {
	for {
		switch {
		case len(g.fresh) > 0:
			g.demand(pop(&g.fresh))
		case len(g.fallen) > 0:
			g.tellFailure(pop(&g.fallen))
		case len(g.valued) > 0:
			g.tellValue(pop(&g.valued))
		default:
			return
		}
	}
}

func pop(ns *[]*node) *node {
	last := len(*ns) - 1
	n := (*ns)[last]
	*ns = (*ns)[:last]
	return n
}

func take[T any](list *[]T) []T {
	out := *list
	*list = nil
	return out
}

// cellOf returns a's own cell.
func (g *graph) cellOf(a *action.Artifact) *cell {
	c := g.cells[a]
	if c == nil {
		c = &cell{artifact: a, producer: a.Producer}
		g.cells[a] = c
	}
	return c
}

// end returns the cell that holds c's content: c, or the last one that it
// stands for. Long chains are walked once.
func (c *cell) end() *cell {
	e := c
	for e.up != nil {
		e = e.up
	}
	for c != e {
		c.up, c = e, c.up
	}
	return e
}

// find returns the cell that holds a's content, or nil if nobody asked for a.
func (g *graph) find(a *action.Artifact) *cell {
	if c := g.cells[a]; c != nil {
		return c.end()
	}
	return nil
}

// wantArtifact makes sure that a is or will be made, and returns the cell that
// holds its content.
func (g *graph) wantArtifact(a *action.Artifact, priority int) *cell {
	c := g.cellOf(a).end()
	first := !c.wanted
	c.wanted, c.priority = true, max(c.priority, priority)
	switch {
	case c.producer != nil:
		c.maker = g.want(c.producer, priority)
		if c.failure == nil && c.maker.state == failed {
			c.failure = c.maker.failure
		}
	case !first:
	case c.artifact.Source == nil:
		g.refuse(c, fmt.Errorf("%s: no action makes this file", c.artifact.Path))
	default:
		g.spawn(c.artifact.Path, func() message {
			content, err := g.opt.Worker.Source(c.artifact.Source)
			return sourceDone{c, content, err}
		})
	}
	return c
}

// want puts spec into the graph, or raises its priority there.
func (g *graph) want(spec *action.Spec, priority int) *node {
	n := g.nodes[spec]
	if n != nil {
		g.raise(n, priority)
		return n
	}
	n = &node{id: len(g.nodes) + 1, spec: spec, priority: priority, missing: 1}
	g.nodes[spec] = n
	if counted(spec) {
		g.counts.Total++
	}
	g.fresh = append(g.fresh, n)
	return n
}

// counted tells processes from plans and in-process actions.
func counted(s *action.Spec) bool { return s.Argv != nil }

// cost is a node's part of the longest way.
func cost(s *action.Spec) int {
	if counted(s) {
		return 1
	}
	return 0
}

// demand asks for everything n needs and counts what is not there yet.
func (g *graph) demand(n *node) {
	p := n.priority + cost(n.spec)
	eachInput(n.spec, func(a *action.Artifact) { g.needs(n, g.wantArtifact(a, p)) })
	if n.spec.Plan != nil {
		// What the plan's actions will need is as urgent as they will be, and can
		// be made before the plan says so.
		eachExpected(n.spec, func(a *action.Artifact) { g.wantArtifact(a, p+1) })
		for _, w := range n.spec.Plan.Waits {
			m := g.want(w, p)
			g.wantValue(m, false)
			switch {
			case m.value.failure != nil:
				g.fail(n, m.value.failure)
			case !m.value.ready:
				n.missing++
				m.value.waiters = append(m.value.waiters, n)
				g.after(n, m)
			}
		}
	}
	g.arrived(n) // takes off the one that want put there
}

// needs makes n wait for c if c is not there.
func (g *graph) needs(n *node, c *cell) {
	switch {
	case c.failure != nil:
		g.fail(n, c.failure)
	case c.refusal != nil:
		g.fail(n, &Failure{Spec: n.spec, Err: c.refusal})
	case !c.ready:
		n.missing++
		c.waiters = append(c.waiters, n)
		g.after(n, c.maker)
	case c.maker != nil && !c.maker.settled:
		if n.spec.Plan != nil { // a plan reads only what is final
			n.missing++
			c.maker.awaiting = append(c.maker.awaiting, n)
			g.after(n, c.maker)
			return
		}
		g.usesEarly(n, c.maker)
	}
}

// usesEarly notes that n uses what producer made, which matters until producer settles.
func (g *graph) usesEarly(n, producer *node) {
	if producer.settled {
		return
	}
	n.unsettled++
	producer.users = append(producer.users, n)
	g.after(n, producer)
}

// after notes that n cannot be done before m, which may be nil.
func (g *graph) after(n, m *node) {
	if m != nil && m.outdated {
		g.outdate(n)
	}
}

// outdate says of n, and so of all that waits for it, that no cache has it.
func (g *graph) outdate(n *node) {
	if g.opt.Outdated == nil {
		return
	}
	for todo := []*node{n}; len(todo) > 0; {
		n := pop(&todo)
		if n.outdated {
			continue
		}
		n.outdated = true
		g.opt.Outdated(n.spec)
		for _, a := range outputsOf(n.spec) {
			if c := g.cells[a]; c != nil {
				todo = append(todo, c.waiters...)
			}
		}
		todo = append(todo, n.users...)
		todo = append(todo, n.awaiting...)
		todo = append(todo, n.value.waiters...)
		todo = append(todo, n.value.same...)
	}
}

// arrived takes one off what n waits for and starts it when nothing is left.
func (g *graph) arrived(n *node) {
	n.missing--
	if n.state == waiting && n.missing == 0 {
		g.start(n)
	}
}

// eachInput calls f for every artifact that spec needs before it can start.
func eachInput(spec *action.Spec, f func(*action.Artifact)) {
	if spec.Inputs != nil {
		spec.Inputs.Each(func(in action.Input) bool { f(in.Artifact); return true })
	}
	for _, in := range spec.Scopes {
		f(in.Artifact)
	}
	switch {
	case spec.Plan != nil:
		for _, a := range spec.Plan.Inputs {
			f(a)
		}
	case spec.Write != nil && spec.Write.Template != nil:
		f(spec.Write.Template)
	case spec.Link != nil && spec.Link.Target != nil:
		f(spec.Link.Target)
	case spec.Assemble != nil:
		for _, a := range spec.Assemble.Entries {
			f(a)
		}
	}
}

// eachExpected calls f for every artifact that spec's plan expects its actions to need.
func eachExpected(spec *action.Spec, f func(*action.Artifact)) {
	if spec.Plan.Expects != nil {
		spec.Plan.Expects.Each(func(in action.Input) bool { f(in.Artifact); return true })
	}
}

// outputsOf lists every artifact that spec makes, promised ones included.
func outputsOf(spec *action.Spec) []*action.Artifact {
	out := spec.Outputs
	if spec.Plan != nil {
		out = spec.Plan.Outputs
	}
	for _, a := range []*action.Artifact{spec.Stdout, spec.Stderr, spec.ExitCode} {
		if a != nil {
			out = append(out[:len(out):len(out)], a)
		}
	}
	return out
}

// raise gives n and what it still waits for a higher priority.
func (g *graph) raise(n *node, priority int) {
	type lift struct {
		n *node
		p int
	}
	for todo := []lift{{n, priority}}; len(todo) > 0; {
		l := todo[0]
		todo = todo[1:]
		// No way through the graph is longer than the graph: more means a circle.
		if n = l.n; l.p <= n.priority || l.p > len(g.nodes)+1 {
			continue
		}
		n.priority = l.p
		if n.request != nil {
			g.queue.fix(n.request)
		}
		if n.state != waiting {
			continue
		}
		p := l.p + cost(n.spec)
		eachInput(n.spec, func(a *action.Artifact) {
			if c := g.find(a); c != nil && c.maker != nil {
				todo = append(todo, lift{c.maker, p})
			}
		})
		if n.spec.Plan == nil {
			continue
		}
		for _, w := range n.spec.Plan.Waits {
			for m := g.nodes[w]; m != nil && p > m.priority; m = m.value.follows {
				todo = append(todo, lift{m, p})
			}
		}
		eachExpected(n.spec, func(a *action.Artifact) {
			if c := g.find(a); c != nil && c.maker != nil {
				todo = append(todo, lift{c.maker, p + 1})
			}
		})
	}
}

// fail ends n with the first cause f. Those that need it are told by propagate.
func (g *graph) fail(n *node, f *Failure) {
	if n.state == failed {
		return
	}
	if n.cancel != nil {
		n.cancel()
	}
	g.set(n, failed)
	n.failure = f
	g.fallen = append(g.fallen, n)
	if f.Spec != n.spec {
		return
	}
	if counted(n.spec) {
		g.counts.Done++
	}
	g.report(f, Done{n.id, n.spec, n.bound, n.outcome, f})
}

// report notes a first cause, and what follows from it for the rest. An error
// that is Fatal is a tool's: it is what Run returns, not a failure of this node.
func (g *graph) report(f *Failure, d Done) {
	if f.Err != nil && g.opt.Fatal != nil && g.opt.Fatal(f.Err) {
		g.breakDown(f.Err)
		d.Failure = nil
	} else {
		g.failures = append(g.failures, f)
		if !g.opt.KeepGoing && g.stopped == nil {
			g.stopped = f
			g.stop.Store(true)
		}
	}
	if g.opt.Watcher != nil {
		g.opt.Watcher.Done(d)
	}
}

// refuse says that c's content is not there although nothing failed.
func (g *graph) refuse(c *cell, err error) {
	c.refusal = err
	for _, w := range take(&c.waiters) {
		g.fail(w, &Failure{Spec: w.spec, Err: err})
	}
	if c.goal {
		f := &Failure{Spec: &action.Spec{}, Err: err}
		g.report(f, Done{Spec: f.Spec, Failure: f})
	}
}

// wantGoal asks for what a command wants for itself: if it is not there,
// that is a failure although nobody reads it.
func (g *graph) wantGoal(a *action.Artifact, priority int) {
	c := g.cellOf(a).end()
	c.goal = true
	if c.refusal != nil && c.maker == nil {
		g.refuse(c, c.refusal)
		return
	}
	g.wantArtifact(a, priority)
}

// tellFailure fails everything that needs n.
func (g *graph) tellFailure(n *node) {
	f := n.failure
	for _, a := range outputsOf(n.spec) {
		c := g.cells[a]
		if c == nil || c.alias != nil || c.producer != n.spec {
			continue
		}
		c.ready, c.failure = false, f
		for _, w := range take(&c.waiters) {
			g.fail(w, f)
		}
	}
	for _, u := range take(&n.users) { // they took an early output of something that failed
		g.fail(u, f)
	}
	for _, w := range take(&n.awaiting) {
		g.fail(w, f)
	}
	if n.spec.Plan != nil {
		g.failValue(n, f)
	}
}

// failValue says that n's value cannot be had: its function failed, or the plan
// that it named did.
func (g *graph) failValue(n *node, f *Failure) {
	if n.value.failure == nil {
		n.value.failure = f
		g.valued = append(g.valued, n)
	}
}

// settle makes n's result final once every producer it took an early output
// from has settled: only then is it kept, and only then do those who used it
// early settle in turn.
func (g *graph) settle(n *node) {
	for todo := []*node{n}; len(todo) > 0; {
		n := pop(&todo)
		if n.state != done || n.unsettled > 0 || n.settled {
			continue
		}
		n.settled = true
		if n.outcome != nil && n.outcome.Keep != nil {
			keep := n.outcome.Keep
			n.outcome.Keep = nil
			g.spawn(n.spec.Mnemonic, func() message { return kept{keep(context.WithoutCancel(g.ctx))} })
		}
		for _, u := range take(&n.users) {
			u.unsettled--
			todo = append(todo, u)
		}
		for _, w := range take(&n.awaiting) {
			g.arrived(w)
		}
	}
}

// ready publishes an artifact's content to those who wait for it.
func (g *graph) ready(c *cell, content action.Content, maker *node) {
	if c.ready {
		return // announced early before
	}
	c.ready, c.content, c.maker = true, content, maker
	for _, w := range take(&c.waiters) {
		g.needs(w, c)
		g.arrived(w)
	}
}

// canceled reports whether err only says that ctx ended.
func canceled(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}
