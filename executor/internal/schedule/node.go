package schedule

import (
	"context"
	"errors"
	"fmt"

	"gorules/executor/internal/action"
)

// state is how far a node has come. Every change goes through set.
type state uint8

const (
	waiting state = iota // some input does not exist yet
	binding              // a worker makes the bytes to run and looks them up
	queued               // not in the cache; waits for a slot
	running              // a process, or an in-process operation
	done                 // outputs exist; see unsettled
	failed               // it or something it needs failed
)

// legal lists the states that may follow each state.
var legal = map[state][]state{
	waiting: {binding, running, failed},
	binding: {queued, done, failed},
	queued:  {running, done, failed},
	running: {done, failed},
	done:    {failed}, // a producer of an early output failed after all
	failed:  {},
}

// A node is one Spec in the graph.
type node struct {
	id       int
	spec     *action.Spec
	state    state
	priority int
	index    int // in the queue's heap

	missing int // inputs and plans it still waits for

	bound   *action.Bound
	outcome *Outcome
	value   any // of a plan
	failure *Failure
	cancel  context.CancelFunc

	// unsettled counts producers that this node took an early output from and
	// that have not settled. Until it is 0, nothing of this node is recorded.
	unsettled int
	users     []*node // nodes that took something before this node settled
	waiters   []*node // nodes that wait for this plan
	followers []*node // plans whose value is this plan's
	twins     []*node // nodes with the same action, see twin.go
	early     []early // what was announced so far
	settled   bool
}

// A cell is what is known of one artifact.
type cell struct {
	ready   bool
	content action.Content
	failure *Failure
	alias   *action.Artifact // of a promised output, once bound
	waiters []*node
	maker   *node // nil for a source
	started bool  // a source is being resolved
}

func (s *Scheduler) set(n *node, to state) {
	for _, ok := range legal[n.state] {
		if ok == to {
			n.state = to
			return
		}
	}
	panic(fmt.Sprintf("schedule: %s of %s: illegal step from state %d to %d", n.spec.Mnemonic, n.spec.Owner, n.state, to))
}

// resolve follows aliases to the cell that holds a's content.
func (s *Scheduler) resolve(a *action.Artifact) *cell {
	c := s.cells[a]
	for c != nil && c.alias != nil {
		c = s.cells[c.alias]
	}
	return c
}

// wantArtifact makes sure that a is or will be made, and returns its cell.
func (s *Scheduler) wantArtifact(ctx context.Context, a *action.Artifact, priority int) *cell {
	c := s.cells[a]
	if c == nil {
		c = &cell{}
		s.cells[a] = c
	}
	if c.alias != nil {
		return s.wantArtifact(ctx, c.alias, priority)
	}
	switch {
	case a.Producer != nil:
		c.maker = s.want(ctx, a.Producer, priority)
		if c.failure == nil && c.maker.state == failed {
			c.failure = c.maker.failure
		}
		if c.alias != nil { // the plan was there already and bound it meanwhile
			return s.wantArtifact(ctx, c.alias, priority)
		}
	case a.Source == nil && !c.ready && c.failure == nil:
		c.failure = &Failure{Spec: &action.Spec{}, Err: fmt.Errorf("%s: no action makes this file", a.Path)}
	case a.Source != nil && !c.started:
		c.started = true
		s.spawn(func() message {
			content, err := s.opt.Executor.Source(a.Source)
			return sourceDone{a, content, err}
		})
	}
	return c
}

// want puts spec into the graph, or raises its priority there.
func (s *Scheduler) want(ctx context.Context, spec *action.Spec, priority int) *node {
	n := s.nodes[spec]
	if n == nil {
		s.nextID++
		n = &node{id: s.nextID, spec: spec, priority: priority, index: -1}
		s.nodes[spec] = n
		if counted(spec) {
			s.counts.Total++
		}
		s.demand(ctx, n)
		return n
	}
	if priority > n.priority {
		s.raise(n, priority)
	}
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
func (s *Scheduler) demand(ctx context.Context, n *node) {
	p := n.priority + cost(n.spec)
	n.missing++ // so that nothing below can find it ready before the end
	eachInput(n.spec, func(a *action.Artifact) {
		s.needs(n, s.wantArtifact(ctx, a, p))
	})
	if n.spec.Plan != nil {
		// What the plan's actions will need is as urgent as they will be, and can
		// be made before the plan says so.
		eachExpected(n.spec, func(a *action.Artifact) { s.wantArtifact(ctx, a, p+1) })
		for _, w := range n.spec.Plan.Waits {
			m := s.want(ctx, w, p)
			switch {
			case m.state == failed:
				s.fail(ctx, n, m.failure)
			case m.state == done:
				s.follow(n, m)
			default:
				n.missing++
				m.waiters = append(m.waiters, n)
			}
		}
	}
	s.arrived(ctx, n)
}

// needs makes n wait for c if c is not there.
func (s *Scheduler) needs(n *node, c *cell) {
	switch {
	case c.failure != nil:
		if n.failure == nil {
			n.failure = c.failure
		}
	case c.ready:
		if c.maker != nil {
			s.follow(n, c.maker)
		}
	default:
		n.missing++
		c.waiters = append(c.waiters, n)
	}
}

// follow notes that n uses what producer made, which matters until producer settles.
func (s *Scheduler) follow(n, producer *node) {
	if producer.settled {
		return
	}
	n.unsettled++
	producer.users = append(producer.users, n)
}

// arrived takes one off what n waits for and starts it when nothing is left.
func (s *Scheduler) arrived(ctx context.Context, n *node) {
	n.missing--
	if n.state != waiting {
		return
	}
	if n.failure != nil {
		s.fail(ctx, n, n.failure)
		return
	}
	if n.missing == 0 {
		s.start(ctx, n)
	}
}

// eachInput calls f for every artifact that spec needs before it can start.
func eachInput(spec *action.Spec, f func(*action.Artifact)) {
	if spec.Inputs != nil {
		spec.Inputs.Each(func(in action.Input) bool { f(in.Artifact); return true })
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

// raise gives n and what it still waits for a higher priority.
func (s *Scheduler) raise(n *node, priority int) {
	n.priority = priority
	if n.index >= 0 {
		s.queue.fix(n)
	}
	if n.state != waiting {
		return
	}
	p := priority + cost(n.spec)
	up := func(m *node) {
		if m != nil && p > m.priority {
			s.raise(m, p)
		}
	}
	eachInput(n.spec, func(a *action.Artifact) {
		if c := s.resolve(a); c != nil {
			up(c.maker)
		}
	})
	if n.spec.Plan != nil {
		for _, w := range n.spec.Plan.Waits {
			up(s.nodes[w])
		}
		p++
		eachExpected(n.spec, func(a *action.Artifact) {
			if c := s.resolve(a); c != nil {
				up(c.maker)
			}
		})
	}
}

// fail ends n, and everything that needs it, with the first cause f.
func (s *Scheduler) fail(ctx context.Context, n *node, f *Failure) {
	if n.state == failed {
		return
	}
	own := f.Spec == n.spec
	if n.cancel != nil {
		n.cancel()
	}
	if n.index >= 0 {
		s.queue.remove(n)
	}
	wasRunning := n.state == running
	s.set(n, failed)
	n.failure = f
	fatal := f.Err != nil && s.opt.Fatal != nil && s.opt.Fatal(f.Err)
	if own && (fatal || !s.opt.KeepGoing) && s.stop == nil && !errors.Is(f.Err, context.Canceled) {
		s.stop = f
	}
	if own && s.opt.OnDone != nil {
		s.opt.OnDone(Done{n.id, n.spec, n.bound, n.outcome, f})
	}
	if own && counted(n.spec) {
		s.counts.Done++
	}
	for _, a := range outputsOf(n.spec) {
		if c := s.cells[a]; c != nil && c.alias == nil {
			c.ready, c.failure = false, f
			ws := c.waiters
			c.waiters = nil
			for _, w := range ws {
				s.fail(ctx, w, f)
			}
		}
	}
	for _, w := range n.waiters {
		s.fail(ctx, w, f)
	}
	for _, u := range n.users { // they took an early output of something that failed
		s.fail(ctx, u, f)
	}
	for _, w := range n.followers {
		s.fail(ctx, w, f)
	}
	n.waiters, n.users, n.followers = nil, nil, nil
	if !wasRunning { // a running leader tells its twins when its worker has ended
		s.tellTwins(ctx, n)
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
