// Package narrate turns what the scheduler tells into events for people and
// entries of the journal. The scheduler's loop only hands over: everything that
// reads a blob, formats or emits happens on the narrator's own goroutine, in the
// order in which it happened.
package narrate

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// Options of a Narrator.
type Options struct {
	Sink event.Sink
	Jobs int

	// Open reads a text that a process printed.
	Open func(ctx context.Context, d digest.Digest) (io.ReadCloser, error)

	// Position says where the user declared a target; zero if that is not known.
	Position func(ctx context.Context, l label.Label) diag.Position

	// Report shows an error of the user's files.
	Report func(err error)

	// Shown replaces places in an action's root by those that people know.
	Shown func(text string) string
}

// A Narrator tells of one run of a graph.
type Narrator struct {
	opt Options
	ctx context.Context

	mu     sync.Mutex
	queue  []func()
	wake   chan struct{} // has a value if there may be something in the queue
	done   chan struct{}
	err    error
	closed bool

	story Story
	shown map[string]bool // texts shown already: a warning appears once
	spent time.Duration   // by actions that ran
	ran   int
}

// A Story is what there is to remember of a run.
type Story struct {
	Entries []*journal.Entry
	Runners map[string]int // how many actions each runner did

	// Said is what tools said although they succeeded: a later command with
	// nothing to do shows it again.
	Said []event.Output

	// Once is set where a result counts for this command only: something ran on the
	// host as it is, ran out of time, or failed under limits of the caller.
	Once bool

	times map[label.Label]spent
}

var _ schedule.Watcher = (*Narrator)(nil)

// New starts a narrator, which Close ends.
func New(ctx context.Context, o Options) *Narrator {
	n := &Narrator{
		opt: o, ctx: context.WithoutCancel(ctx), wake: make(chan struct{}, 1), done: make(chan struct{}),
		story: Story{Runners: map[string]int{}, times: map[label.Label]spent{}}, shown: map[string]bool{},
	}
	go n.tell()
	return n
}

// later hands f over to the narrator's goroutine. It never waits.
func (n *Narrator) later(f func()) {
	n.mu.Lock()
	n.queue = append(n.queue, f)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// tell is the narrator's goroutine.
func (n *Narrator) tell() {
	defer close(n.done)
	for range n.wake {
		for {
			n.mu.Lock()
			todo, closed := n.queue, n.closed
			n.queue = nil
			n.mu.Unlock()
			for _, f := range todo {
				n.do(f)
			}
			if len(todo) > 0 {
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// do runs f. A fault in it is kept for Close; what follows is still told.
func (n *Narrator) do(f func()) {
	var err error
	defer func() {
		if err != nil && n.err == nil {
			n.err = err
		}
	}()
	defer bug.Catch(&err)
	f()
}

// Close waits until all is told and returns the story. The error is a fault of gorules.
func (n *Narrator) Close() (*Story, error) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
	<-n.done
	return &n.story, n.err
}

// Started implements schedule.Watcher.
func (n *Narrator) Started(id int, b *action.Bound) {
	begin := time.Now()
	n.later(func() {
		s := b.Spec
		n.opt.Sink(event.ActionStarted{ID: id, Owner: s.Owner, Mnemonic: s.Mnemonic, Progress: s.Progress,
			Start: begin, Dir: b.Workdir, Argv: b.Argv})
	})
}

// Done implements schedule.Watcher.
func (n *Narrator) Done(d schedule.Done) { n.later(func() { n.finished(d) }) }

func (n *Narrator) finished(d schedule.Done) {
	if d.Failure != nil && !errors.Is(d.Failure.Err, context.Canceled) {
		n.fail(d)
	}
	ev := event.ActionFinished{ID: d.ID, Owner: d.Spec.Owner, Mnemonic: d.Spec.Mnemonic, Progress: d.Spec.Progress,
		Failed: d.Failure != nil || d.Outcome == nil}
	if d.Bound == nil {
		return
	}
	o := d.Outcome
	if o == nil {
		n.opt.Sink(ev)
		return
	}
	n.story.Once = n.story.Once || o.Once
	if o.Runner != "" {
		n.story.Runners[o.Runner]++
	}
	t := n.story.times[d.Spec.Owner]
	if !o.Cached {
		n.spent += o.Wall
		n.ran++
		t = spent{t.sum + o.Wall, true}
	}
	n.story.times[d.Spec.Owner] = t
	entry := journal.New(cmp.Or(o.Bound, d.Bound))
	entry.SetOutputs(withStreams(d.Spec, o))
	entry.Runner, entry.CacheHit, entry.ExitCode = o.Runner, o.Cached, o.ExitCode
	entry.Start, entry.Wall = o.Start, o.Wall
	n.story.Entries = append(n.story.Entries, entry)
	ev.Runner, ev.Start, ev.Wall = o.Runner, o.Start, o.Wall
	n.opt.Sink(ev)
	if d.Failure == nil && d.Spec.Show {
		n.say(d.Spec.Owner, n.printed(d.Spec, o), o.Cached)
	}
}

// Told implements schedule.Watcher.
func (n *Narrator) Told(s *action.Spec, texts []string) {
	n.later(func() {
		for _, t := range texts {
			n.say(s.Owner, t+"\n", false)
		}
	})
}

// minSample is how many actions must have run before their mean says anything.
const minSample = 5

// Progress implements schedule.Watcher. It adds an estimate of what is left: as
// if every action to come ran as long as those that ran so far did on average.
func (n *Narrator) Progress(c schedule.Counts) {
	n.later(func() {
		p := event.Progress{Total: c.Total, Done: c.Done, Cached: c.Cached, Ran: c.Ran, Running: min(c.Running, n.opt.Jobs)}
		if n.ran >= minSample {
			p.Estimate = n.spent / time.Duration(n.ran) * time.Duration(c.Total-c.Done) / time.Duration(n.opt.Jobs)
		}
		n.opt.Sink(p)
	})
}

// withStreams is an action's outputs together with those that hold what it printed.
func withStreams(s *action.Spec, o *schedule.Outcome) map[string]action.Content {
	out := maps.Clone(o.Outputs)
	if out == nil {
		out = map[string]action.Content{}
	}
	if s.Stdout != nil {
		out[action.Abs(s.Stdout.Path)] = o.Stdout
	}
	if s.Stderr != nil {
		out[action.Abs(s.Stderr.Path)] = o.Stderr
	}
	return out
}

// say shows what a tool said although it succeeded: warnings.
func (n *Narrator) say(owner label.Label, text string, cached bool) {
	if strings.TrimSpace(text) == "" || n.shown[text] {
		return
	}
	n.shown[text] = true
	n.story.Said = append(n.story.Said, event.Output{Owner: owner, Text: text, Cached: true})
	n.opt.Sink(event.Output{Owner: owner, Text: text, Cached: cached})
}

func (n *Narrator) fail(d schedule.Done) {
	if diag.Placed(d.Failure.Err) != nil || d.Spec.Mnemonic == "" {
		// Of a plan or a file that nothing makes: about the user's files, not about an
		// action. An action that reads the file too may have said it, with its place.
		if !n.shown[d.Failure.Err.Error()] {
			n.opt.Report(d.Failure.Err)
		}
		return
	}
	f := event.ActionFailed{Owner: d.Spec.Owner, Mnemonic: d.Spec.Mnemonic, Progress: d.Spec.Progress, Position: d.Spec.Position}
	if !d.Spec.Owner.IsZero() {
		if p := n.opt.Position(n.ctx, d.Spec.Owner); !p.IsZero() {
			f.Position = p // the user's line, not the rule's
		}
	}
	if d.Bound != nil {
		f.Argv = d.Bound.Argv
	}
	if o := d.Outcome; o != nil {
		f.Reason, f.Notes, f.Stderr = o.Failure, o.Notes, n.printed(d.Spec, o)
	}
	if d.Failure.Err != nil {
		f.Reason = d.Failure.Err.Error()
		if d.Outcome == nil { // it could not even start: one bad file stops many actions
			if n.shown[f.Reason] {
				return
			}
			n.shown[f.Reason] = true
		}
	}
	f.Reason = n.opt.Shown(f.Reason)
	if n.shown[f.Stderr] { // one mistake in a file that several actions compile
		f.Stderr = ""
	} else if f.Stderr != "" {
		n.shown[f.Stderr] = true
	}
	n.opt.Sink(f)
}

// TestTime sums how long the actions of a target ran, and says whether it had some
// and all of them came from a cache.
func (s *Story) TestTime(l label.Label) (sum time.Duration, cached bool) {
	t, any := s.times[l]
	return t.sum, any && !t.ran
}

// spent is what the actions of one target took.
type spent struct {
	sum time.Duration
	ran bool
}
