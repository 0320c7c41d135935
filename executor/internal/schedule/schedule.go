// Package schedule drives a growing graph of actions to its end. One goroutine,
// the loop, owns every node and every artifact; workers get values and send
// messages. The graph grows (plans add to it) and is never rewired: a promised
// output becomes a second name of another artifact, or the output of an action
// that the plan declared for it.
//
// A node is bound as soon as its inputs exist and then given to the Worker,
// which answers from a cache or asks for one of Jobs slots; the one with the
// longest way to a goal gets the next. An early output lets dependents start
// while its producer still runs; what they make counts only once the producer
// has succeeded (see settle).
//
// The package starts no process, knows no cache, and shares nothing between
// equal actions: all that is behind Worker. What propagates through the graph
// (wants, failures, priorities) does so by lists, never by recursion, since the
// depth of a graph is the user's.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/digest"
)

// A Worker does what the nodes of a graph stand for. It is safe for concurrent use.
type Worker interface {
	// Run makes b's outputs, or finds them in a cache. It must hold a slot of
	// job while a process runs. A failed command is an Outcome; an error means
	// that a tool failed, or is what Job.Slot returned.
	Run(ctx context.Context, b *action.Bound, job Job) (*Outcome, error)

	// Internal executes a Write, Link or Assemble.
	Internal(ctx context.Context, s *action.Spec, in action.Resolver) (action.Content, error)

	// Source resolves a source artifact.
	Source(src *action.Source) (action.Content, error)

	// Text reads a file's content.
	Text(ctx context.Context, c action.Content) ([]byte, error)
}

// A Job is what the scheduler lends to one Run.
type Job struct {
	// Early says that the output at path is complete while the process still
	// runs: at most once an output, and only before Run returns.
	Early func(path string, c action.Content)

	// Slot waits for the right to start a process. It fails with ErrStopped if
	// nothing new may start, and with ctx's cause when ctx ends.
	Slot func(ctx context.Context) (release func(), err error)

	// Start is to be asked right before the process starts: with a slot its inputs
	// are laid out first, and something may have failed meanwhile. Its error is
	// ErrStopped.
	Start func() error
}

// ErrStopped says that nothing new may start: something failed before.
var ErrStopped = errors.New("not started: something failed before")

// An Outcome is what became of an action, as its own Spec judges it.
type Outcome struct {
	Outputs  map[string]action.Content // by absolute path in the input root
	Stdout   action.Content
	Stderr   action.Content
	ExitCode int

	// Failure says in words why the action failed: "exit code 1", "timed out
	// after 60 s", "did not make x.o". Empty means success.
	Failure string
	Notes   []string // refused accesses and the lines that would allow them

	// Keep, where not nil, stores the result for later commands. It is called
	// once the node is settled. An error of it ends Run: a result that cannot
	// be kept must not look like success.
	Keep func(context.Context) error

	// Once says that the result counts for this command only.
	Once bool

	// Bound, where not nil, is the action narrowed to what it looked at.
	Bound *action.Bound

	Key    digest.Digest // under which the result is stored
	Runner string        // "linux-sandbox", "disk cache hit"
	Cached bool          // nothing ran for this node
	Start  time.Time
	Wall   time.Duration
}

// A Watcher is told what happens. It is called by the loop, so it must not wait
// for anything.
type Watcher interface {
	Started(id int, b *action.Bound)
	Done(d Done)

	// Told gets what a plan has to tell the user.
	Told(s *action.Spec, texts []string)

	// Progress is called after changes, at most every 50 ms.
	Progress(c Counts)
}

// Options of Run.
type Options struct {
	Jobs      int
	KeepGoing bool
	Worker    Worker
	Watcher   Watcher // may be nil

	// Outdated, where not nil, is told by the loop of each node, once, that it, or
	// something it waits for, is in no cache: what it came to before, it does not
	// come to again without something being run.
	Outdated func(s *action.Spec)

	// Fatal says of an error that nothing else can succeed either: it ends Run,
	// even with KeepGoing.
	Fatal func(err error) bool
}

// Done tells of one finished action.
type Done struct {
	ID      int
	Spec    *action.Spec
	Bound   *action.Bound // nil for plans and in-process actions
	Outcome *Outcome      // nil where there was none: the process was stopped
	Failure *Failure      // nil on success
}

// Counts describes the graph as far as it is known. Plans and in-process
// actions are not counted.
type Counts struct {
	Total, Done, Cached, Ran, Running int
}

// A Goal is what Run is to bring about: an artifact, or the value of a plan
// with the artifacts that the plan's result names as goals.
type Goal struct {
	Artifact *action.Artifact
	Plan     *action.Spec
}

// Run brings about goals as far as it can. On the first failure without
// KeepGoing nothing new starts; actions that run are let finish and their
// results are kept. The report says what failed and what was not attempted; it
// is there whatever the error. The error is a tool's, or the cause of ctx's end.
func Run(ctx context.Context, goals []Goal, opt Options) (*Report, error) {
	opt.Jobs = max(opt.Jobs, 1)
	g := newGraph(ctx, opt)
	defer g.cancel(nil)
	return &Report{g: g}, g.run(goals)
}

// run is the loop.
func (g *graph) run(goals []Goal) (err error) {
	defer func() {
		if b := bug.Recovered(recover()); b != nil {
			err, g.broken = b, b
			g.cancel(b)
			g.abandon()
		}
	}()
	for _, goal := range goals {
		switch {
		case goal.Artifact != nil:
			g.wantGoal(goal.Artifact, 0)
		case goal.Plan != nil:
			g.wantValue(g.want(goal.Plan, 0), true)
		}
	}
	done := g.ctx.Done()
	for {
		g.propagate()
		g.grant()
		later := g.progress(false)
		if g.busy == 0 {
			if g.halted() || !g.breakCircles() {
				break
			}
			continue
		}
		select {
		case m := <-g.inbox:
			m.apply(g)
		case <-done:
			done = nil // workers see ctx too; collect them all before leaving
		case <-later:
		}
	}
	g.progress(true)
	if g.broken == nil && g.ctx.Err() != nil {
		g.broken = context.Cause(g.ctx)
	}
	return g.broken
}

// abandon lets the workers of a loop that is no more end by themselves.
func (g *graph) abandon() {
	inbox := g.inbox
	go func() {
		for m := range inbox {
			if s, ok := m.(slotWanted); ok {
				s.r.granted <- ErrStopped
			}
		}
	}()
}

// halted reports whether nothing new may start.
func (g *graph) halted() bool { return g.ctx.Err() != nil || g.stopped != nil || g.broken != nil }

// breakDown ends Run with a tool's error.
func (g *graph) breakDown(err error) {
	if g.broken == nil {
		g.broken = err
	}
}

// progress reports counts that have changed, not more often than people can read:
// if it is too early, later fires when it is not.
func (g *graph) progress(now bool) (later <-chan time.Time) {
	const least = 50 * time.Millisecond
	c := g.counts
	c.Running = g.running
	if g.opt.Watcher == nil || c == g.told {
		return nil
	}
	if early := least - time.Since(g.reported); early > 0 && !now {
		return time.After(early)
	}
	g.reported, g.told = time.Now(), c
	g.opt.Watcher.Progress(c)
	return nil
}

// illegal is the panic of a step that cannot be.
func illegal(n *node, to state) string {
	return fmt.Sprintf("schedule: %s of %s: illegal step from %s to %s", n.spec.Mnemonic, n.spec.Owner, n.state, to)
}
