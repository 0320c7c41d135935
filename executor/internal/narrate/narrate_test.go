package narrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/narrate"
	"gorules/executor/internal/schedule"
	"gorules/executor/internal/tree"
	"gorules/executor/label"
)

type listener struct {
	mu     sync.Mutex
	events []event.Event
	users  []error
	store  *cas.Memory
	slow   chan struct{} // where not nil, Read waits for it
}

func (l *listener) narrator(t *testing.T) *narrate.Narrator {
	l.store = &cas.Memory{}
	return narrate.New(t.Context(), narrate.Options{
		Sink: func(e event.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		},
		Jobs: 2,
		Open: func(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
			if l.slow != nil {
				<-l.slow
			}
			return l.store.Get(ctx, d)
		},
		Position: func(_ context.Context, l label.Label) diag.Position {
			if l.Name == "unknown" {
				return diag.Position{}
			}
			return diag.Position{File: "BUILD", Line: 7}
		},
		Report: func(err error) { l.users = append(l.users, err) },
		Shown:  func(text string) string { return strings.ReplaceAll(text, "/w/out", "gorules-bin") },
	})
}

func (l *listener) text(t *testing.T, text string) action.Content {
	d, err := cas.PutBytes(t.Context(), l.store, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return action.Content{File: d}
}

func of[E event.Event](l *listener) (out []E) {
	for _, e := range l.events {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

func bound(name string) *action.Bound {
	s := &action.Spec{Owner: label.Label{Name: name}, Mnemonic: "Make", Progress: "Making " + name, Position: diag.Position{File: "rule.bzl", Line: 1}}
	return &action.Bound{Spec: s, Argv: []string{"make", name}, Root: tree.Empty, Digest: digest.Of([]byte(name))}
}

func done(b *action.Bound, o *schedule.Outcome, f *schedule.Failure) schedule.Done {
	return schedule.Done{ID: 1, Spec: b.Spec, Bound: b, Outcome: o, Failure: f}
}

// The scheduler's loop never waits for the narrator, whatever it reads.
func TestNeverWaits(t *testing.T) {
	l := &listener{slow: make(chan struct{})}
	n := l.narrator(t)
	for i := range 1000 {
		b := bound(fmt.Sprint(i))
		b.Spec.Show = true
		n.Started(i, b)
		n.Done(done(b, &schedule.Outcome{Runner: "x", Stderr: l.text(t, fmt.Sprint("warning ", i))}, nil))
		n.Progress(schedule.Counts{Total: 1000, Done: i})
	}
	close(l.slow) // not reached if any of these waited
	story, err := n.Close()
	if err != nil || len(story.Entries) != 1000 || story.Runners["x"] != 1000 || len(story.Said) != 1000 {
		t.Fatalf("%d entries, runners %v, said %d: %v", len(story.Entries), story.Runners, len(story.Said), err)
	}
	if s := of[event.ActionStarted](l); !slices.IsSortedFunc(s, func(a, b event.ActionStarted) int { return a.ID - b.ID }) {
		t.Error("told in another order")
	}
	if _, err := n.Close(); err != nil { // as often as one likes
		t.Error(err)
	}
}

func TestFailures(t *testing.T) {
	l := &listener{}
	n := l.narrator(t)
	users := diag.Errorf(diag.Position{File: "BUILD", Line: 3}, "no such file")
	plan := bound("plan")
	n.Done(schedule.Done{Spec: plan.Spec, Failure: &schedule.Failure{Spec: plan.Spec, Err: users}})
	for _, name := range []string{"a", "b"} { // the same words of a tool appear once
		b := bound(name)
		o := &schedule.Outcome{Failure: "did not make /w/out/x", Notes: []string{"a note"}, Stderr: l.text(t, "error: odd\n")}
		n.Done(done(b, o, &schedule.Failure{Spec: b.Spec, Bound: b, Outcome: o}))
	}
	for _, name := range []string{"c", "d"} { // one file that cannot be read stops many
		b := bound(name)
		n.Done(schedule.Done{Spec: b.Spec, Failure: &schedule.Failure{Spec: b.Spec, Err: errors.New("no file")}})
	}
	u := bound("unknown")
	n.Done(done(u, &schedule.Outcome{Failure: "exit code 1"}, &schedule.Failure{Spec: u.Spec}))
	n.Done(done(bound("stopped"), nil, nil))
	story, err := n.Close()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.users) != 1 || l.users[0] != users {
		t.Errorf("errors of the user's files: %v", l.users)
	}
	fs := of[event.ActionFailed](l)
	if len(fs) != 4 {
		t.Fatalf("%d failures: %+v", len(fs), fs)
	}
	if f := fs[0]; f.Reason != "did not make gorules-bin/x" || f.Stderr != "error: odd\n" || f.Position.Line != 7 || f.Notes[0] != "a note" || f.Argv[1] != "a" {
		t.Errorf("%+v", f)
	}
	if fs[1].Stderr != "" || fs[2].Reason != "no file" || fs[3].Position.File != "rule.bzl" {
		t.Errorf("%+v", fs[1:])
	}
	if f := of[event.ActionFinished](l); len(f) != 4 || !f[3].Failed {
		t.Errorf("finished %+v", f)
	}
	if len(story.Entries) != 3 {
		t.Errorf("%d entries; what was stopped came to nothing", len(story.Entries))
	}
}

// What is shown of JSON lines is the field that is for people, each text once.
func TestSaid(t *testing.T) {
	l := &listener{}
	n := l.narrator(t)
	for _, cached := range []bool{false, true} {
		b := bound("a")
		b.Spec.Show = true
		b.Spec.Messages = &action.Messages{Show: "rendered", Hide: regexp.MustCompile("emitted")}
		n.Done(done(b, &schedule.Outcome{Cached: cached, Wall: time.Second,
			Stderr: l.text(t, "{\"rendered\":\"warning: odd\"}\n{\"artifact\":\"x\"}\n{\"rendered\":\"1 warning emitted\"}\nplain\n{broken\n")}, nil))
	}
	n.Told(bound("b").Spec, []string{"from a plan"})
	local := bound("c")
	local.NoSandbox = true
	n.Done(done(local, &schedule.Outcome{Runner: "local", Once: true}, nil))
	story, err := n.Close()
	if err != nil {
		t.Fatal(err)
	}
	out := of[event.Output](l)
	if len(out) != 2 || out[0].Text != "warning: odd\nplain\n{broken\n" || out[0].Cached || out[1].Text != "from a plan\n" {
		t.Errorf("%+v", out)
	}
	if len(story.Said) != 2 || !story.Said[0].Cached || !story.Once {
		t.Errorf("%+v", story)
	}
	if sum, cached := story.TestTime(label.Label{Name: "a"}); sum != time.Second || cached {
		t.Errorf("%v %v", sum, cached)
	}
	if sum, cached := story.TestTime(label.Label{Name: "nobody"}); sum != 0 || cached {
		t.Errorf("%v %v", sum, cached)
	}
}

// A fault while something is told is Close's error, and the rest is told.
func TestPanic(t *testing.T) {
	n := narrate.New(t.Context(), narrate.Options{Jobs: 1, Sink: func(e event.Event) {
		if _, ok := e.(event.Progress); ok {
			panic("lost")
		}
	}})
	n.Progress(schedule.Counts{})
	n.Done(done(bound("a"), &schedule.Outcome{Runner: "x"}, nil))
	story, err := n.Close()
	var b *bug.Error
	if !errors.As(err, &b) || b.Value != "lost" || len(story.Entries) != 1 {
		t.Errorf("%v, %d entries", err, len(story.Entries))
	}
}
