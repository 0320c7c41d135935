package schedule

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// A message is what a worker sends to the loop.
type message interface{ apply(g *graph) }

// spawn runs f on a goroutine of its own and delivers its message, which takes
// one off busy.
func (g *graph) spawn(what string, f func() message) {
	g.busy++
	go func() {
		defer func() {
			if b := bug.Recovered(recover()); b != nil {
				g.inbox <- panicked{fmt.Errorf("%s: %w", what, b)}
			}
		}()
		g.inbox <- f()
	}()
}

// panicked is the last message of a worker that hit a fault of gorules.
type panicked struct{ err error }

func (m panicked) apply(g *graph) {
	g.busy--
	g.breakDown(m.err)
	g.cancel(m.err)
}

// start is called when nothing that n needs is missing.
func (g *graph) start(n *node) {
	if g.halted() {
		return // stays waiting: not attempted
	}
	in := g.view(n)
	switch {
	case n.spec.Plan != nil:
		g.set(n, running)
		values := map[*action.Spec]any{}
		for _, w := range n.spec.Plan.Waits {
			values[w] = g.nodes[w].value.of
		}
		g.spawn(n.spec.Mnemonic, func() message {
			r, err := g.callPlan(g.ctx, n.spec, in, values)
			return planDone{n, r, err}
		})
	case counted(n.spec):
		g.set(n, starting)
		ctx, cancel := context.WithCancel(g.ctx)
		n.cancel = cancel
		g.spawn(n.spec.Mnemonic, func() message {
			defer cancel()
			return g.runAction(ctx, n, in)
		})
	default:
		g.set(n, running)
		g.spawn(n.spec.Mnemonic, func() message {
			c, err := g.opt.Worker.Internal(g.ctx, n.spec, in)
			return internalDone{n, c, err}
		})
	}
}

// runAction is the work of one node with a process.
func (g *graph) runAction(ctx context.Context, n *node, in view) message {
	b, err := action.Bind(n.spec, in)
	if err != nil {
		return ran{n: n, err: err}
	}
	g.inbox <- bound{n, b}
	o, err := g.opt.Worker.Run(ctx, b, Job{
		Early: func(p string, c action.Content) { g.inbox <- early{n, p, c} },
		Slot:  func(ctx context.Context) (func(), error) { return g.slot(ctx, n) },
		Start: func() error {
			if g.stop.Load() {
				return ErrStopped
			}
			return nil
		},
	})
	return ran{n, o, err}
}

// view copies the contents that n's worker needs, so that it never looks at
// the loop's maps.
func (g *graph) view(n *node) view {
	v := view{}
	eachInput(n.spec, func(a *action.Artifact) {
		if _, ok := v[a]; !ok {
			v[a] = g.find(a).content
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

func filesOf(c action.Content) ([]string, error) {
	if c.Tree == nil {
		return nil, errors.New("not a directory")
	}
	var files []string
	err := c.Tree.Walk(func(p string, _ tree.Entry) error {
		files = append(files, p)
		return nil
	})
	return files, err
}

type sourceDone struct {
	c       *cell
	content action.Content
	err     error
}

func (m sourceDone) apply(g *graph) {
	g.busy--
	if m.err == nil {
		g.ready(m.c, m.content, nil)
		return
	}
	g.refuse(m.c, m.err)
}

// bound tells the loop what is about to run.
type bound struct {
	n *node
	b *action.Bound
}

func (m bound) apply(*graph) { m.n.bound = m.b }

type early struct {
	n *node
	p string
	c action.Content
}

// apply makes n's output at p available before n is done.
func (m early) apply(g *graph) {
	if m.n.state != running && m.n.state != queued && m.n.state != starting {
		return
	}
	for _, a := range m.n.spec.Outputs {
		if action.Abs(a.Path) == m.p {
			g.ready(g.cellOf(a), m.c, m.n)
		}
	}
}

type ran struct {
	n   *node
	o   *Outcome
	err error
}

func (m ran) apply(g *graph) {
	g.busy--
	n := m.n
	n.cancel = nil
	switch {
	case n.state == failed:
		g.gone(n)
	case errors.Is(m.err, ErrStopped), m.err != nil && canceled(g.ctx, m.err):
		g.set(n, held)
		g.gone(n)
	case m.err != nil:
		g.fail(n, &Failure{Spec: n.spec, Bound: n.bound, Err: m.err})
	case m.o.Failure != "":
		n.outcome = m.o
		g.fail(n, &Failure{Spec: n.spec, Bound: n.bound, Outcome: m.o})
	default:
		g.set(n, done)
		g.finish(n, m.o)
	}
}

// gone tells of a process that was stopped before it came to anything.
func (g *graph) gone(n *node) {
	if n.began && n.failure.of() != n.spec && g.opt.Watcher != nil {
		g.opt.Watcher.Done(Done{n.id, n.spec, n.bound, nil, nil})
	}
}

type internalDone struct {
	n   *node
	c   action.Content
	err error
}

func (m internalDone) apply(g *graph) {
	g.busy--
	n := m.n
	switch {
	case n.state == failed:
	case m.err != nil && canceled(g.ctx, m.err):
		g.set(n, held)
	case m.err != nil:
		g.fail(n, &Failure{Spec: n.spec, Err: m.err})
	default:
		g.set(n, done)
		for _, a := range n.spec.Outputs {
			g.ready(g.cellOf(a), m.c, n)
		}
		g.settle(n)
	}
}

// finish publishes the outputs of a process that succeeded.
func (g *graph) finish(n *node, o *Outcome) {
	n.outcome = o
	g.counts.Done++
	if o.Cached {
		g.counts.Cached++
	} else {
		g.counts.Ran++
	}
	put := func(a *action.Artifact, c action.Content) {
		if a != nil {
			g.ready(g.cellOf(a), c, n)
		}
	}
	for _, a := range n.spec.Outputs {
		if c, ok := o.Outputs[action.Abs(a.Path)]; ok {
			put(a, c)
		} else if n.spec.Optional[a] {
			c := g.cellOf(a)
			c.goal = false // nobody minds, unless it is read
			g.refuse(c, fmt.Errorf("the optional output %s of %s was not made", a.Path, n.spec.Owner))
		}
	}
	put(n.spec.Stdout, o.Stdout)
	put(n.spec.Stderr, o.Stderr)
	put(n.spec.ExitCode, action.Content{File: digest.Of(ExitText(o.ExitCode)), Executable: true})
	g.settle(n)
	if g.opt.Watcher != nil {
		g.opt.Watcher.Done(Done{n.id, n.spec, n.bound, o, nil})
	}
}

// ExitText returns the content of an exit code artifact, which the Worker puts
// into the store.
func ExitText(code int) []byte { return strconv.AppendInt(nil, int64(code), 10) }

type kept struct{ err error }

// apply ends Run when a result cannot be kept: a full disk must not look like success.
func (m kept) apply(g *graph) {
	g.busy--
	if m.err != nil {
		g.breakDown(m.err)
	}
}
