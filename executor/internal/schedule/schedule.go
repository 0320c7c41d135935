// Package schedule drives a growing graph of actions to completion. One
// goroutine, the loop, owns every node and every artifact; workers get values
// and send one message each. The graph grows (plans add to it) and is never
// rewired: a promised output becomes a second name of another artifact.
//
// A node is bound as soon as its inputs exist, looked up in the cache, and only
// if that misses does it queue for one of Jobs slots, the one with the longest
// way to the goal first. An early output lets dependents start while its
// producer still runs; what they make counts only once the producer has
// succeeded (see settle).
//
// The package starts no process and knows no cache: both are behind Executor.
package schedule

import (
	"context"
	"fmt"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
)

// An Executor makes the outputs of bound actions.
type Executor interface {
	// Lookup returns a stored outcome; ok is false if there is none.
	Lookup(ctx context.Context, b *action.Bound) (o *Outcome, ok bool, err error)

	// Run executes b. early is called at most once per early output, before Run
	// returns. A failed command is an Outcome; an error means the tool failed.
	Run(ctx context.Context, b *action.Bound, early func(path string, c action.Content)) (*Outcome, error)

	// Record stores a successful (or stored) outcome for Lookup.
	Record(ctx context.Context, b *action.Bound, o *Outcome) error

	// Internal executes a Write, Link or Assemble.
	Internal(ctx context.Context, s *action.Spec, in action.Resolver) (action.Content, error)

	// Source resolves a source artifact.
	Source(src *action.Source) (action.Content, error)

	// Text reads a file's content.
	Text(ctx context.Context, c action.Content) ([]byte, error)
}

// An Outcome is what became of an action.
type Outcome struct {
	Outputs  map[string]action.Content // by absolute path in the input root
	Stdout   action.Content
	Stderr   action.Content
	ExitCode int

	// Failure says in words why the action failed: "exit code 1", "timed out
	// after 60 s", "did not make x.o". Empty means success.
	Failure string
	Notes   []string // refused accesses and the lines that would allow them

	// Storable says that Record may keep it.
	Storable bool

	Runner string // "linux-sandbox", "disk cache hit"
	Cached bool
	Start  time.Time
	Wall   time.Duration
}

// Options of a Scheduler.
type Options struct {
	Jobs      int
	KeepGoing bool
	Executor  Executor

	// OnStart and OnDone, where set, are called by the loop.
	OnStart func(id int, b *action.Bound)
	OnDone  func(d Done)

	// OnShow, where set, gets what a plan has to tell the user.
	OnShow func(s *action.Spec, texts []string)

	// OnProgress is called by the loop after changes, at most every 50 ms.
	OnProgress func(Counts)

	// Fatal says of an error that nothing else can succeed either, so that
	// even KeepGoing stops.
	Fatal func(err error) bool

	// NoLookup says which actions skip the cache.
	NoLookup func(s *action.Spec) bool
}

// Done tells of one finished action.
type Done struct {
	ID      int
	Spec    *action.Spec
	Bound   *action.Bound // nil for plans and in-process actions
	Outcome *Outcome
	Failure *Failure // nil on success
}

// Counts describes the graph as far as it is known. Plans and in-process
// actions are not counted.
type Counts struct {
	Total, Done, Cached, Ran, Running int
}

// A Failure is the first cause why something could not be made.
type Failure struct {
	Spec    *action.Spec
	Bound   *action.Bound
	Outcome *Outcome // of a command that failed
	Err     error    // otherwise: a user error, or a tool error
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return fmt.Sprintf("%s of %s: %s", f.Spec.Mnemonic, f.Spec.Owner, f.Outcome.Failure)
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// A Scheduler holds one graph. Build may be called again to want more; calls
// must not overlap.
type Scheduler struct {
	opt   Options
	nodes map[*action.Spec]*node
	cells map[*action.Artifact]*cell
	inbox chan message

	leaders map[digest.Digest]*node // by action; see twin.go
	queue   queue                   // nodes that missed the cache and wait for a slot
	running int                     // slots in use
	busy    int                     // goroutines that will send a message
	stop    *Failure

	counts   Counts
	nextID   int
	reported time.Time
}

// New returns a Scheduler with an empty graph.
func New(opt Options) *Scheduler {
	if opt.Jobs < 1 {
		opt.Jobs = 1
	}
	return &Scheduler{
		opt:     opt,
		nodes:   map[*action.Spec]*node{},
		cells:   map[*action.Artifact]*cell{},
		inbox:   make(chan message, 64),
		leaders: map[digest.Digest]*node{},
	}
}

// Build makes the wanted artifacts and runs the wanted plans. It returns when
// nothing more can be done: with ctx's cause if it was cancelled, otherwise
// nil, whatever failed; ask Content, Value and Failure.
func (s *Scheduler) Build(ctx context.Context, artifacts []*action.Artifact, plans []*action.Spec) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.stop = nil
	for _, a := range artifacts {
		s.wantArtifact(ctx, a, 0)
	}
	for _, p := range plans {
		s.want(ctx, p, 0)
	}
	done := ctx.Done()
	for {
		s.fill(ctx)
		if s.busy == 0 {
			break
		}
		select {
		case m := <-s.inbox:
			s.busy -= m.last()
			m.apply(ctx, s)
		case <-done:
			done = nil // workers see ctx too; collect them all before leaving
		}
		s.progress(false)
	}
	s.progress(true)
	if s.halted(ctx) {
		return context.Cause(ctx)
	}
	for _, a := range artifacts {
		if c := s.resolve(a); !c.ready && c.failure == nil {
			return fmt.Errorf("%s can never be made: a plan bound an output to something that waits for that output", a.Path)
		}
	}
	return nil
}

// Content returns what an artifact turned out to be, once Build has made it.
func (s *Scheduler) Content(a *action.Artifact) (action.Content, error) {
	c := s.resolve(a)
	switch {
	case c == nil:
		return action.Content{}, fmt.Errorf("%s was never asked for", a.Path)
	case c.failure != nil:
		return action.Content{}, c.failure
	case !c.ready:
		return action.Content{}, fmt.Errorf("%s was not made", a.Path)
	}
	return c.content, nil
}

// Value returns what a plan returned; ok is false if it did not finish.
func (s *Scheduler) Value(p *action.Spec) (v any, ok bool) {
	n := s.nodes[p]
	if n == nil || n.state != done || n.unsettled > 0 {
		return nil, false
	}
	return n.value, true
}

// Failure returns why a could not be made, or nil.
func (s *Scheduler) Failure(a *action.Artifact) *Failure {
	if c := s.resolve(a); c != nil {
		return c.failure
	}
	return nil
}

// PlanFailure returns why plan p did not finish, or nil.
func (s *Scheduler) PlanFailure(p *action.Spec) *Failure {
	if n := s.nodes[p]; n != nil {
		return n.failure
	}
	return nil
}

// progress reports counts, not more often than people can read.
func (s *Scheduler) progress(now bool) {
	if s.opt.OnProgress == nil || !now && time.Since(s.reported) < 50*time.Millisecond {
		return
	}
	s.reported = time.Now()
	c := s.counts
	c.Running = s.running
	s.opt.OnProgress(c)
}
