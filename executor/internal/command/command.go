// Package command is one build, test or run: what is wanted becomes goals, one
// run of the graph brings them about, and one ending says what became of each
// target. The parts are given to it; it knows no Starlark, no sandbox and no
// place on disk.
package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/narrate"
	"gorules/executor/internal/resume"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// Verb is what to do with the targets.
type Verb string

// The verbs.
const (
	Build Verb = "build"
	Test  Verb = "test"
	Run   Verb = "run"
)

// A Request says what is wanted.
type Request struct {
	Verb           Verb
	Patterns       []label.Pattern
	TestsOnly      bool // build nothing but what the tests need
	TagFilters     []string
	SizeFilters    []string
	TestFilter     string
	NoCacheResults bool // run tests again although their results are known
}

// A Target is a requested target as far as a command is concerned.
type Target struct {
	Label label.Label
	Kind  string

	Test         bool
	Tags         []string
	Size         string
	Incompatible string // why it cannot be built for the target platform; "" if it can

	Files   []*action.Artifact // the default outputs, or those of the wanted groups
	Summary *action.Spec       // the plan whose value has a text for the summary; may be nil
	Verdict *action.Spec       // the plan that judges a test; nil if it has an executable

	// TestAction declares the one action of a test that has an executable.
	TestAction func() (*analysis.Test, error)

	// Whole is set where the default outputs are wanted, and so all that the
	// program needs to be run.
	Whole bool

	// What `run` starts, if it can be started, and the arguments that it always has.
	Executable *action.Artifact
	Args       []string
	Runfiles   action.Inputs // below "/"
	Env        func() (map[string]string, error)
}

// NotAnalyzed is why a target could not be configured.
type NotAnalyzed struct {
	Target label.Label
	Err    error
}

func (e *NotAnalyzed) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NotAnalyzed) Unwrap() error { return e.Err }

// A Front finds targets. Errors of the user's files are lists: with KeepGoing
// there may be several beside what could be found.
type Front interface {
	// Expand turns patterns into targets. What is lost was asked for too, and is
	// none of the targets because of an error.
	Expand(ctx context.Context, patterns []label.Pattern, verb Verb, testsOnly bool) (labels, lost []label.Label, errs []error)

	// Analyze configures targets, in the order in which BUILD files have them. With
	// KeepGoing its errors are NotAnalyzed, in the order of labels.
	Analyze(ctx context.Context, labels []label.Label) ([]*Target, []error)

	// Gone reports whether a target stood in a package that was loaded and does
	// not have it any more.
	Gone(ctx context.Context, name string) bool

	// Loaded reports whether the package of a target was.
	Loaded(l label.Label) bool

	// Facts are the source.Facts of what was read.
	Facts() []byte
}

// A Command is one request at work, with its parts.
type Command struct {
	Request
	Key       string // of the state that it leaves behind
	KeepGoing bool
	Begin     time.Time
	Sink      event.Sink

	// Report shows an error of the user's files.
	Report func(err error)

	// Position says where the user declared a target; zero if that is not known.
	Position func(ctx context.Context, l label.Label) diag.Position

	Front    Front
	Narrator *narrate.Narrator
	Layout   *layout.Layout
	Memory   *resume.Memory

	// Graph is schedule.Run with everything but the goals, and who is told of them.
	Graph func(ctx context.Context, goals []schedule.Goal, w schedule.Watcher, outdated func(*action.Spec)) (*schedule.Report, error)

	// Close ends what runs actions: helpers of the sandbox, and the removal of what
	// actions left. It may be called again.
	Close func()

	// Advise says what to do about an error of the machine; "" if there is nothing
	// to say.
	Advise func(err error) string

	// Text reads a file's content.
	Text func(ctx context.Context, c action.Content) ([]byte, error)

	// OutputFacts are the facts of files that were laid out.
	OutputFacts func(paths []string) ([]byte, error)

	// Log writes the execution log, also of what was broken off; nil if none is wanted.
	Log func(story *narrate.Story)

	found, lost []label.Label // what the patterns stand for
	wanted      []*wanted
	notAnalyzed []label.Label // targets that were found, but could not be configured
	problems    int           // targets and packages that could not be loaded or analysed
}

// wanted is a target and what is wanted of it.
type wanted struct {
	*Target
	files  []*action.Artifact
	judged bool           // as a test
	passed bool           // over, by a filter
	told   bool           // what became of it, although the command was broken off
	single *analysis.Test // of a test with an executable
	whole  bool           // with the program and its runfiles
}

// needs calls f for what the program and its runfiles are made of, where they
// are wanted.
func (w *wanted) needs(f func(*action.Artifact)) {
	if !w.whole {
		return
	}
	f(w.Executable)
	w.Runfiles.Each(func(in action.Input) bool {
		f(in.Artifact)
		return true
	})
}

// Execute does what was asked. The program is what `run` starts.
func (c *Command) Execute(ctx context.Context) (*resume.Program, error) {
	if err := c.choose(ctx); err != nil {
		c.forgetUnjudged(err)
		return nil, err
	}
	c.forgetUnjudged(nil)
	warning, err := c.Layout.Links()
	if err != nil {
		err = exit.OfMachine("%w", err)
		c.forgetUnjudged(err)
		return nil, err
	}
	if warning != "" {
		c.Sink(event.Diagnostic{Severity: event.Warning, Text: warning})
	}
	c.Sink(event.Phase{Text: "Running"})
	report, runErr := c.Graph(ctx, c.goals(), c.Narrator, c.outdated())
	story, err := c.Narrator.Close()
	if c.Log != nil {
		c.Log(story)
	}
	if err = errors.Join(runErr, err); err != nil {
		return nil, c.brokenOff(ctx, err, report, story)
	}
	results, err := c.results(ctx, report, story)
	if err != nil {
		return nil, c.classified(ctx, err)
	}
	end := c.ending(results, report)
	var program *resume.Program
	if c.Verb == Run && end == nil {
		if program, err = c.program(ctx, report); err != nil {
			return nil, c.classified(ctx, err)
		}
	}
	// Whoever reads the last line may take the command for over.
	c.Close()
	c.remember(ctx, results, story, program, end)
	c.tell(results, story)
	if end != nil {
		return nil, end
	}
	return program, nil
}

// choose finds the targets and what is wanted of each.
func (c *Command) choose(ctx context.Context) error {
	c.Sink(event.Phase{Text: "Loading"})
	labels, lost, errs := c.Front.Expand(ctx, c.Patterns, c.Verb, c.TestsOnly)
	c.found, c.lost = labels, lost
	if len(labels) == 0 && len(errs) > 0 {
		return c.reported(ctx, errs)
	}
	c.Sink(event.Phase{Text: "Analyzing"})
	targets, more := c.Front.Analyze(ctx, labels)
	errs = append(errs, more...)
	if targets == nil && len(errs) > 0 {
		return c.reported(ctx, errs)
	}
	for _, err := range more {
		var of *NotAnalyzed
		if errors.As(err, &of) {
			c.notAnalyzed = append(c.notAnalyzed, of.Target)
		}
	}
	tests := 0
	for _, t := range targets {
		w := &wanted{Target: t, files: t.Files, whole: t.Executable != nil && (t.Whole || c.Verb == Run)}
		c.wanted = append(c.wanted, w)
		if c.Verb != Test || !t.Test {
			continue
		}
		if w.passed = !c.selected(t); w.passed {
			continue
		}
		tests++
		if t.Incompatible != "" {
			continue // there is nothing to run
		}
		// A test's verdict says all; its programs are built by it.
		w.files, w.judged, w.whole = nil, true, false
		if t.Verdict == nil {
			var err error
			if w.single, err = t.TestAction(); err != nil {
				if !c.KeepGoing {
					return c.reported(ctx, []error{err})
				}
				c.wanted = c.wanted[:len(c.wanted)-1]
				c.notAnalyzed, errs = append(c.notAnalyzed, t.Label), append(errs, err)
			}
		}
	}
	switch {
	case c.Verb == Test && tests == 0 && len(errs) > 0:
		return c.reported(ctx, errs)
	case c.Verb == Test && tests == 0:
		return exit.New(exit.NoTests, "no test targets were found, yet testing was requested")
	case c.Verb == Run && len(c.wanted) != 1:
		return exit.New(exit.BadCommandLine, "run takes one target, the pattern stands for %d", len(c.wanted))
	case c.Verb == Run && c.wanted[0].Executable == nil:
		t := c.wanted[0]
		return exit.New(exit.RunFailed, "cannot run %s: %s targets are not executable", t.Label, strings.TrimSuffix(t.Kind, " rule"))
	}
	if len(errs) > 0 {
		c.problems = len(errs)
		if err := c.reported(ctx, errs); errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// reported shows errors of the user's files, each once, and returns what they
// come to.
func (c *Command) reported(ctx context.Context, errs []error) error {
	if ctx.Err() != nil {
		return interrupted()
	}
	seen := map[string]bool{}
	for _, err := range errs {
		var known *exit.Error
		if errors.As(err, &known) {
			return known
		}
		if !seen[err.Error()] {
			seen[err.Error()] = true
			c.Report(err)
		}
	}
	return &exit.Error{Kind: exit.AnalysisFailed, Err: errs[0], Reported: true}
}

// selected applies --test_tag_filters and --test_size_filters.
func (c *Command) selected(t *Target) bool {
	return filtered(c.TagFilters, func(f string) bool { return slices.Contains(t.Tags, f) }) &&
		filtered(c.SizeFilters, func(f string) bool { return t.Size == f })
}

// filtered applies a list of wanted and "-unwanted" words as Bazel does.
func filtered(filters []string, has func(string) bool) bool {
	wanted, any := false, false
	for _, f := range filters {
		if no, ok := strings.CutPrefix(f, "-"); ok {
			if has(no) {
				return false
			}
			continue
		}
		any = true
		wanted = wanted || has(f)
	}
	return wanted || !any
}

// goals are what the one run of the graph is to bring about.
func (c *Command) goals() []schedule.Goal {
	var goals []schedule.Goal
	for _, w := range c.wanted {
		for _, f := range w.files {
			goals = append(goals, schedule.Goal{Artifact: f})
		}
		switch {
		case w.single != nil:
			goals = append(goals, schedule.Goal{Artifact: w.single.ExitCode}, schedule.Goal{Artifact: w.single.Log})
		case w.judged:
			goals = append(goals, schedule.Goal{Plan: w.Verdict})
		}
		w.needs(func(a *action.Artifact) { goals = append(goals, schedule.Goal{Artifact: a}) })
	}
	return goals
}

// program lays out what `run` starts.
func (c *Command) program(ctx context.Context, r *schedule.Report) (*resume.Program, error) {
	w := c.wanted[0]
	content, err := r.Content(w.Executable)
	if err != nil {
		return nil, err
	}
	t := c.Layout.Target(w.Label, layout.Program)
	exe, runfiles, err := t.Runnable(ctx, w.Executable, content, w.Runfiles, r.Content)
	if err = errors.Join(err, t.Done()); err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	own, err := w.Env()
	if err != nil {
		return nil, c.reported(ctx, []error{err})
	}
	p := &resume.Program{Argv: append([]string{exe}, w.Args...), Env: []string{"RUNFILES_DIR=" + runfiles}, Dir: runfiles + "/_main"}
	for name, value := range own {
		p.Env = append(p.Env, name+"="+value)
	}
	slices.Sort(p.Env[1:])
	return p, nil
}

// remember keeps what a later command need not do again. What goes wrong with
// that is a warning: the results are there.
func (c *Command) remember(ctx context.Context, results []*result, story *narrate.Story, program *resume.Program, end *exit.Error) {
	err := errors.Join(c.Memory.Remember(story.Entries), c.forgetGone(ctx), c.Layout.Close())
	// Only what ended as it would end again can be shown again.
	if c.problems > 0 || story.Once || end != nil && end.Kind != exit.TestsFailed {
		err = errors.Join(err, c.Memory.Forget(c.Key))
	} else {
		err = errors.Join(err, c.save(results, story, program, end))
	}
	if err != nil {
		c.Sink(event.Diagnostic{Severity: event.Warning, Text: fmt.Sprintf("the next command starts from nothing: %v", err), Hint: c.Advise(err)})
	}
}

// forgetGone removes the results of targets that BUILD files do not have any more.
func (c *Command) forgetGone(ctx context.Context) error {
	return c.Layout.Forget(func(_ layout.Kind, name string) bool { return c.Front.Gone(ctx, name) })
}

func (c *Command) save(results []*result, story *narrate.Story, program *resume.Program, end *exit.Error) error {
	facts, err := c.OutputFacts(c.Layout.Paths())
	if err != nil {
		return err
	}
	st := &resume.State{Sources: c.Front.Facts(), Outputs: facts, Actions: len(story.Entries), Program: program}
	for _, s := range story.Said {
		st.Said = append(st.Said, resume.Said{Owner: s.Owner, Text: s.Text})
	}
	for _, r := range results {
		d := r.done
		st.Targets = append(st.Targets, resume.Target{Label: d.Target, Kind: d.Kind, Status: string(d.Status), Test: d.Test,
			Summary: d.Summary, Text: d.Text, Outputs: d.Outputs, Notes: d.Notes, Log: d.Log, XML: d.XML})
	}
	if end != nil {
		st.Exit = int(end.Kind)
	}
	return c.Memory.Save(c.Key, st, story.Entries)
}
