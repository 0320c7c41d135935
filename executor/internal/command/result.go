package command

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/narrate"
	"gorules/executor/internal/run"
	"gorules/executor/internal/schedule"
)

// A result is what became of one target.
type result struct {
	done  event.TargetDone
	tests int // that --test_filter left; -1 where that is not known, -2 for what has none
}

// The values of result.tests that are no counts.
const (
	unknownTests = -1
	noTests      = -2
)

// results judges and lays out every target. The error is a tool's, or a rule's.
func (c *Command) results(ctx context.Context, r *schedule.Report, story *narrate.Story) ([]*result, error) {
	var out []*result
	for _, w := range c.wanted {
		res, err := c.result(ctx, w, r, story)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	return out, nil
}

// unfit makes a failure of one target of the error that its results cannot be at
// their places. Another error it returns.
func (c *Command) unfit(ctx context.Context, w *wanted, res *result, err error) error {
	var unfit *layout.Unfit
	if !errors.As(err, &unfit) {
		return err
	}
	c.Sink(event.ActionFailed{Owner: w.Label, Progress: "Showing the results", Position: c.Position(ctx, w.Label), Reason: unfit.Error()})
	res.done = event.TargetDone{Target: w.Label, Kind: w.Kind, Test: w.judged, Status: event.Failed}
	if !w.judged {
		return nil
	}
	res.done.Status = event.NotBuilt // the test may well have passed
	return laidOut(c.Layout.Target(w.Label, layout.Results))
}

// result judges and lays out one target.
func (c *Command) result(ctx context.Context, w *wanted, r *schedule.Report, story *narrate.Story) (*result, error) {
	res := &result{tests: noTests, done: event.TargetDone{Target: w.Label, Kind: w.Kind, Test: w.judged, Status: event.Built}}
	var err error
	switch {
	case w.Incompatible != "":
		res.done.Status, res.done.Summary = event.Skipped, w.Incompatible
	case w.single != nil:
		err = c.judgeSingle(ctx, w, res, r)
	case w.judged:
		err = c.judge(ctx, w, res, r)
	default:
		err = c.built(ctx, w, res, r)
	}
	if err != nil {
		return res, c.unfit(ctx, w, res, err)
	}
	if s := res.done.Status; w.judged && s != event.NotBuilt && s != event.NotAttempted {
		res.done.Wall, res.done.Cached = story.TestTime(w.Label)
	}
	return res, nil
}

// absent is the status of what is not there for the given reason.
func absent(w *wanted, err error) event.Status {
	var f *schedule.Failure
	switch {
	case !errors.As(err, &f) || isNotAttempted(err):
		return event.NotAttempted
	case f.Spec.Owner == w.Label && !w.judged:
		return event.Failed
	}
	return event.NotBuilt
}

func isNotAttempted(err error) bool {
	_, ok := err.(*schedule.NotAttempted) // what it wraps is somebody else's failure
	return ok
}

// built lays out the outputs of a target that is no test. What failed leaves no
// older output in the place of the one that could not be made; what was not
// attempted leaves all, since nothing is known of it.
func (c *Command) built(ctx context.Context, w *wanted, res *result, r *schedule.Report) error {
	t := c.Layout.Target(w.Label, layout.Outputs)
	missing := func(err error) {
		// A failure says more than that something was not attempted because of it.
		if s := absent(w, err); res.done.Status == event.Built || s != event.NotAttempted {
			res.done.Status = s
		}
	}
	w.needs(func(a *action.Artifact) {
		if _, err := r.Content(a); err != nil {
			missing(err)
		}
	})
	for _, f := range w.files {
		content, err := r.Content(f)
		if err != nil {
			missing(err)
			if isNotAttempted(err) {
				continue
			}
			if err := t.Missing(f); err != nil {
				return exit.OfMachine("%w", err)
			}
			continue
		}
		p, err := t.Output(ctx, f, content)
		if err != nil {
			return exit.OfMachine("%w", err)
		}
		if p != "" {
			res.done.Outputs = append(res.done.Outputs, p)
		}
	}
	switch res.done.Status {
	case event.Built:
	case event.NotAttempted:
		return nil
	default:
		return laidOut(t, c.Layout.Target(w.Label, layout.Program))
	}
	if w.Summary != nil {
		if value, err := r.Value(w.Summary); err == nil {
			res.done.Summary = analysis.SummaryOf(value)
		}
	}
	if n := len(w.files); res.done.Summary == "" && len(res.done.Outputs) == 0 && n > 0 {
		res.done.Summary = strconv.Itoa(n) + " files"
		if n == 1 {
			res.done.Summary = "1 file"
		}
	}
	return laidOut(t)
}

// laidOut ends the layout of a target's results: what it had before and has not
// now goes.
func laidOut(results ...*layout.Target) error {
	for _, t := range results {
		if err := t.Done(); err != nil {
			return exit.OfMachine("%w", err)
		}
	}
	return nil
}

// judge asks the plan of a test what came of it. What was not judged has no
// log, report or page: those of an earlier command go.
func (c *Command) judge(ctx context.Context, w *wanted, res *result, r *schedule.Report) error {
	value, err := r.Value(w.Verdict)
	if err != nil {
		return c.unjudged(w, res, err)
	}
	v, err := analysis.ReadVerdict(value)
	if err != nil {
		return &bug.Error{Value: fmt.Errorf("verdict of %s: %w", w.Label, err)}
	}
	contents := map[*action.Artifact]action.Content{}
	for _, a := range v.Files() {
		if contents[a], err = r.Content(a); err != nil {
			return c.unjudged(w, res, err)
		}
	}
	t := c.Layout.Target(w.Label, layout.Results)
	d := &res.done
	d.Status, d.Summary, d.Text, d.Notes = v.Status, v.Summary, v.Text, v.Notes
	if v.Tests >= 0 {
		res.tests = v.Tests
	}
	if v.Log != nil {
		if d.Log, err = t.Log(ctx, "test.log", contents[v.Log]); err != nil {
			return exit.OfMachine("%w", err)
		}
	}
	if v.XML != nil {
		if d.XML, err = t.Log(ctx, "test.xml", contents[v.XML]); err != nil {
			return exit.OfMachine("%w", err)
		}
	}
	for _, a := range v.Outputs {
		p, err := t.Output(ctx, a, contents[a])
		if err != nil {
			return exit.OfMachine("%w", err)
		}
		if p != "" {
			d.Outputs = append(d.Outputs, p)
		}
	}
	return laidOut(t)
}

// unjudged ends a test without a verdict for the reason err.
func (c *Command) unjudged(w *wanted, res *result, err error) error {
	res.done.Status = absent(w, err)
	return laidOut(c.Layout.Target(w.Label, layout.Results))
}

// judgeSingle is the verdict of one test program by its exit code.
func (c *Command) judgeSingle(ctx context.Context, w *wanted, res *result, r *schedule.Report) error {
	code, err := r.Content(w.single.ExitCode)
	var log action.Content
	if err == nil {
		log, err = r.Content(w.single.Log)
	}
	if err != nil {
		return c.unjudged(w, res, err)
	}
	exitText, err := c.Text(ctx, code)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(exitText))
	if err != nil {
		return fmt.Errorf("exit code %q of %s: %w", exitText, w.Label, err)
	}
	text, err := c.Text(ctx, log)
	if err != nil {
		return err
	}
	t := c.Layout.Target(w.Label, layout.Results)
	d := &res.done
	d.Status, res.tests = event.Passed, unknownTests
	switch {
	case n == run.ExitTimeout:
		d.Status, d.Summary = event.TimedOut, "no end after "+w.single.Timeout.String()
	case n != 0:
		d.Status, d.Summary = event.Failed, "exit code "+strconv.Itoa(n)
	}
	if n != 0 {
		d.Text = string(text)
	}
	if d.Log, err = t.Log(ctx, "test.log", log); err != nil {
		return exit.OfMachine("%w", err)
	}
	if own, cerr := r.Content(w.single.XML); cerr == nil && own.File.Size > 0 {
		d.XML, err = t.Log(ctx, "test.xml", own)
	} else {
		var report []byte
		if report, err = junit(w.Label.String(), d, text); err == nil {
			d.XML, err = t.LogText(ctx, "test.xml", report)
		}
	}
	if undeclared, cerr := r.Content(w.single.Outputs); err == nil && cerr == nil && undeclared.Tree != nil && len(undeclared.Tree.Entries()) > 0 {
		_, err = t.Log(ctx, "test.outputs", undeclared)
	}
	if err != nil {
		return exit.OfMachine("%w", err)
	}
	return laidOut(t)
}

// junit is the report of a test that wrote none: one case, with its log.
func junit(name string, d *event.TargetDone, log []byte) ([]byte, error) {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure,omitempty"`
		Out     string   `xml:"system-out"`
	}
	type suite struct {
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Case     testcase `xml:"testcase"`
	}
	doc := struct {
		XMLName xml.Name `xml:"testsuites"`
		Suite   suite    `xml:"testsuite"`
	}{Suite: suite{Name: name, Tests: 1, Case: testcase{Name: name, Out: string(log)}}}
	if d.Status != event.Passed {
		doc.Suite.Failures, doc.Suite.Case.Failure = 1, &failure{d.Summary}
	}
	b, err := xml.MarshalIndent(doc, "", "  ")
	return append([]byte(xml.Header), b...), err
}
