package executor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"time"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// watcher turns what the scheduler tells into events and journal entries. Its
// methods are called by the scheduler's loop only.
type watcher struct {
	ctx     context.Context
	e       *Engine
	store   cas.Store
	targets *loading.Loader
	entries []*journal.Entry
	begin   time.Time

	runners map[string]int
	failed  []*schedule.Failure
	refusal error           // of this machine, see hostRefuses
	shown   map[string]bool // texts shown already: a warning appears once
	quiet   bool            // what succeeded was shown by an earlier command
	outputs []event.Event   // what a later command with nothing to do shows again
	spent   time.Duration   // by actions that ran
	ran     int
}

func newWatcher(ctx context.Context, s *session, store cas.Store) *watcher {
	return &watcher{ctx: ctx, e: s.e, store: store, targets: s.loader, begin: time.Now(), runners: map[string]int{}, shown: map[string]bool{}}
}

func (w *watcher) start(id int, b *action.Bound) {
	s := b.Spec
	w.e.opt.Sink(event.ActionStarted{ID: id, Owner: s.Owner, Mnemonic: s.Mnemonic, Progress: s.Progress,
		Start: time.Now(), Dir: b.Workdir, Argv: b.Argv})
}

func (w *watcher) done(d schedule.Done) {
	if d.Failure != nil {
		w.failed = append(w.failed, d.Failure)
		switch {
		case hostRefuses(d.Failure.Err):
			if w.refusal == nil {
				w.refusal = d.Failure.Err
			}
		case !errors.Is(d.Failure.Err, context.Canceled):
			w.fail(d)
		}
	}
	if d.Bound == nil || d.Outcome == nil {
		return
	}
	o := d.Outcome
	if o.Runner != "" {
		w.runners[o.Runner]++
	}
	if !o.Cached {
		w.spent += o.Wall
		w.ran++
	}
	entry := journal.New(d.Bound)
	entry.SetOutputs(withStreams(d.Spec, o))
	entry.Runner, entry.CacheHit, entry.ExitCode = o.Runner, o.Cached, o.ExitCode
	entry.Start, entry.Wall = o.Start, o.Wall
	w.entries = append(w.entries, entry)
	ev := event.ActionFinished{ID: d.ID, Owner: d.Spec.Owner, Mnemonic: d.Spec.Mnemonic, Progress: d.Spec.Progress,
		Runner: o.Runner, Start: o.Start, Wall: o.Wall, Failed: d.Failure != nil}
	w.e.opt.Sink(ev)
	if d.Failure == nil && d.Spec.Show {
		w.show(d.Spec.Owner, w.stderr(d.Spec, o), o.Cached)
	}
}

// minSample is how many actions must have run before their mean says anything.
const minSample = 5

// progress passes counts on, with an estimate of what is left: as if every
// action to come ran as long as those that ran so far did on average.
func (w *watcher) progress(c schedule.Counts) {
	p := event.Progress{Total: c.Total, Done: c.Done, Cached: c.Cached, Ran: c.Ran, Running: min(c.Running, w.e.opt.Jobs)}
	if w.ran >= minSample {
		p.Estimate = w.spent / time.Duration(w.ran) * time.Duration(c.Total-c.Done) / time.Duration(w.e.opt.Jobs)
	}
	w.e.opt.Sink(p)
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

// show prints what a tool said although it succeeded: warnings.
func (w *watcher) show(owner label.Label, text string, cached bool) {
	if w.quiet || strings.TrimSpace(text) == "" || w.shown[text] {
		return
	}
	w.shown[text] = true
	w.outputs = append(w.outputs, event.Output{Owner: owner, Text: text, Cached: true})
	w.e.opt.Sink(event.Output{Owner: owner, Text: text, Cached: cached})
}

// told shows what a plan has to tell.
func (w *watcher) told(s *action.Spec, texts []string) {
	for _, t := range texts {
		w.show(s.Owner, t+"\n", false)
	}
}

// stderr is what of a process's stderr is meant for people.
func (w *watcher) stderr(s *action.Spec, o *schedule.Outcome) string {
	if o.Stderr.File.Size == 0 {
		return ""
	}
	b, err := cas.ReadAll(w.ctx, w.store, o.Stderr.File)
	if err != nil {
		return "(its output is gone: " + err.Error() + ")"
	}
	if s.Messages == nil || s.Messages.Show == "" {
		return string(b)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "{") {
			out.WriteString(line)
			continue
		}
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) != nil {
			out.WriteString(line)
			continue
		}
		if text, ok := fields[s.Messages.Show].(string); ok && (s.Messages.Hide == nil || !s.Messages.Hide.MatchString(text)) {
			out.WriteString(text)
			if !strings.HasSuffix(text, "\n") {
				out.WriteByte('\n')
			}
		}
	}
	return out.String()
}

func (w *watcher) fail(d schedule.Done) {
	if diag.Placed(d.Failure.Err) != nil {
		w.e.report(d.Failure.Err) // a plan's: about the user's files, not about an action
		return
	}
	f := event.ActionFailed{Owner: d.Spec.Owner, Mnemonic: d.Spec.Mnemonic, Progress: d.Spec.Progress, Position: d.Spec.Position}
	if t, err := w.targets.Target(w.ctx, d.Spec.Owner); err == nil {
		f.Position = t.Position // the user's line, not the rule's
	}
	if d.Bound != nil {
		f.Argv = d.Bound.Argv
	}
	if o := d.Outcome; o != nil {
		f.Reason, f.Notes, f.Stderr = o.Failure, o.Notes, w.stderr(d.Spec, o)
	}
	if d.Failure.Err != nil {
		f.Reason = d.Failure.Err.Error()
		if d.Outcome == nil { // it could not even start: one bad file stops many actions
			if w.shown[f.Reason] {
				return
			}
			w.shown[f.Reason] = true
		}
	}
	f.Reason = strings.ReplaceAll(f.Reason, action.Abs(binPrefix)+"/", binLink+"/")
	if w.shown[f.Stderr] { // one mistake in a file that several actions compile
		f.Stderr = ""
	} else if f.Stderr != "" {
		w.shown[f.Stderr] = true
	}
	w.e.opt.Sink(f)
}
