package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/narrate"
	"gorules/executor/internal/resume"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/schedule"
)

// counts is what the results come to.
type counts struct {
	failed       int // targets: failed, timed out, not built, not judged
	notBuilt     int // of them, those for which the build failed
	notAttempted int
	tests        int
}

func count(results []*result) counts {
	var n counts
	for _, r := range results {
		if r.done.Test {
			n.tests++
		}
		switch r.done.Status {
		case event.Built, event.UpToDate, event.Passed, event.Flaky, event.Skipped:
		case event.NotAttempted:
			n.notAttempted++
		case event.NotBuilt:
			n.failed++
			n.notBuilt++
		default:
			n.failed++
			if !r.done.Test {
				n.notBuilt++
			}
		}
	}
	return n
}

// ending says how the command ends; nil is well. It is a function of the results,
// the report and what could not be analysed, and of nothing else.
func (c *Command) ending(results []*result, report *schedule.Report) *exit.Error {
	n := count(results)
	switch {
	case n.notBuilt > 0, n.notAttempted > 0, len(report.Failures()) > 0:
		return &exit.Error{Kind: exit.BuildFailed, Err: errors.New("build failed"), Reported: true}
	case c.problems > 0:
		return &exit.Error{Kind: exit.AnalysisFailed, Err: fmt.Errorf("%d targets could not be analyzed", c.problems), Reported: true}
	case n.failed > 0:
		return &exit.Error{Kind: exit.TestsFailed, Err: errors.New("tests failed"), Reported: true}
	case c.TestFilter != "" && filteredAll(results):
		return exit.New(exit.NoTests, "no test matches --test_filter=%s: nothing was tested", c.TestFilter)
	}
	return nil
}

// filteredAll reports whether tests were counted and the filter left none of them.
func filteredAll(results []*result) bool {
	any := false
	for _, r := range results {
		if r.tests > 0 || r.tests == unknownTests {
			return false
		}
		any = any || r.tests == 0
	}
	return any
}

// tell shows what became of each target, and the counts.
func (c *Command) tell(results []*result, story *narrate.Story) {
	n := count(results)
	f := event.Finished{
		Wall: time.Since(c.Begin), ByRunner: story.Runners, Targets: len(results), Tests: n.tests,
		Failed: n.failed, NotAttempted: n.notAttempted, NotAnalyzed: c.problems,
	}
	for _, k := range f.ByRunner {
		f.Processes += k
	}
	for _, r := range results {
		c.Sink(r.done)
	}
	for _, l := range c.notAnalyzed {
		c.Sink(event.TargetDone{Target: l, Status: event.NotAnalyzed})
	}
	c.Sink(f)
}

// brokenOff ends a command whose graph a tool's error, or the user, broke off. No
// verdict of an earlier command is left to be taken for this one's, and the user
// learns what had failed until then.
func (c *Command) brokenOff(ctx context.Context, cause error, report *schedule.Report, story *narrate.Story) error {
	end := c.classified(ctx, cause)
	if e, ok := end.(*exit.Error); ok && e.Kind == exit.Interrupted {
		c.failedSoFar(context.WithoutCancel(ctx), report, story)
	}
	for _, w := range c.wanted {
		if w.judged && !w.told && c.Layout.Target(w.Label, layout.Results).Done() != nil {
			break // what broke the command off also keeps it from tidying
		}
	}
	// Without these the next command only does more than it need.
	_, _ = c.Layout.Close(), c.Memory.Forget(c.Key)
	return end
}

// failedSoFar tells which targets of a command that the user ended had failed, a
// line each; what they said is in their logs, or was shown.
func (c *Command) failedSoFar(ctx context.Context, report *schedule.Report, story *narrate.Story) {
	for _, w := range c.wanted {
		if !c.known(w, report) {
			continue
		}
		res, err := c.result(ctx, w, report, story)
		if err != nil {
			continue // the results of the test go
		}
		w.told = true
		if n := count([]*result{res}); n.failed > 0 {
			res.done.Text = ""
			c.Sink(res.done)
		}
	}
	for _, l := range c.notAnalyzed {
		c.Sink(event.TargetDone{Target: l, Status: event.NotAnalyzed})
	}
	c.Sink(event.BrokenOff{})
}

// known reports whether w was judged although the command was broken off, or
// could not be built: the rest need not be laid out.
func (c *Command) known(w *wanted, r *schedule.Report) bool {
	var err error
	switch {
	case w.single != nil:
		_, err = r.Content(w.single.ExitCode)
	case w.judged:
		_, err = r.Value(w.Verdict)
	default:
		failed := false
		look := func(a *action.Artifact) {
			_, err := r.Content(a)
			failed = failed || err != nil && !isNotAttempted(err)
		}
		w.needs(look)
		for _, f := range w.files {
			look(f)
		}
		return failed
	}
	return err == nil || !isNotAttempted(err)
}

// classified gives an error that broke a command off its kind.
func (c *Command) classified(ctx context.Context, err error) error {
	var known *exit.Error
	var fault *bug.Error
	var step *sandbox.StepError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &fault):
		return &exit.Error{Kind: exit.Internal, Err: fault}
	case ctx.Err() != nil:
		return interrupted()
	case errors.As(err, &step):
		return exit.OfMachine("%w", step) // which action met it first says nothing
	}
	return exit.OfMachine("%w", err)
}

// interrupted is the end of a command that the user ended.
func interrupted() error {
	return &exit.Error{Kind: exit.Interrupted, Err: errors.New("interrupted")}
}

// Replay says what the last run of the same command said: nothing changed.
func Replay(st *resume.State, begin time.Time, sink event.Sink) (*resume.Program, error) {
	f := event.Finished{UpToDate: true, Processes: st.Actions, ByRunner: map[string]int{resume.UpToDate: st.Actions}}
	for _, s := range st.Said {
		sink(event.Output{Owner: s.Owner, Text: s.Text, Cached: true})
	}
	var results []*result
	for _, t := range st.Targets {
		d := event.TargetDone{Target: t.Label, Kind: t.Kind, Test: t.Test, Status: event.Status(t.Status), Cached: true,
			Summary: t.Summary, Text: t.Text, Outputs: t.Outputs, Notes: t.Notes, Log: t.Log, XML: t.XML}
		if d.Status == event.Built {
			d.Status = event.UpToDate
		}
		results = append(results, &result{done: d})
		sink(d)
	}
	n := count(results)
	f.Targets, f.Tests, f.Failed, f.NotAttempted = len(results), n.tests, n.failed, n.notAttempted
	f.Wall = time.Since(begin)
	sink(f)
	if st.Exit != 0 {
		return nil, &exit.Error{Kind: exit.Kind(st.Exit), Err: errors.New("tests failed"), Reported: true}
	}
	return st.Program, nil
}
