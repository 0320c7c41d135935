package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// Build makes the default outputs (or output groups) of targets.
func (e *Engine) Build(ctx context.Context, req BuildRequest) error {
	return e.command(ctx, "build", req, req, nil)
}

// Test makes the verdicts of test targets.
func (e *Engine) Test(ctx context.Context, req TestRequest) error {
	return e.command(ctx, "test", req, req.BuildRequest, &req)
}

// command runs build or test (test is nil for build): from the state file if
// nothing changed, in full otherwise.
func (e *Engine) command(ctx context.Context, verb string, keyed any, req BuildRequest, test *TestRequest) error {
	begin := time.Now()
	key, err := e.requestKey(verb, keyed)
	if err != nil {
		return err
	}
	if err := e.takeLock(ctx); err != nil {
		return err
	}
	if test == nil || !test.NoCacheResults {
		if st, why := e.loadState(key); st != nil {
			return e.replay(key, st, begin)
		} else {
			e.opt.Sink(event.Diagnostic{Severity: event.Debug, Text: "full run: " + why})
		}
	}
	config, err := configOf(req, test)
	if err != nil {
		return err
	}
	s, err := e.open(ctx, config)
	if err != nil {
		return err
	}
	defer s.close()
	b := &building{session: s, req: req, test: test, begin: begin}
	err = b.run(ctx)
	if serr := b.save(key, err); serr != nil {
		e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: fmt.Sprintf("the next command starts from nothing: %v", serr)})
	}
	return err
}

// configOf reads the flags that configure analysis.
func configOf(req BuildRequest, test *TestRequest) (analysis.Config, error) {
	c := analysis.Config{
		BuildSettings: map[label.Label]string{},
		Options:       map[string]string{},
		Define:        map[string]string{},
		ActionEnv:     envMap(req.ActionEnv),
	}
	for name, value := range req.Flags {
		switch {
		case strings.HasPrefix(name, "//") || strings.HasPrefix(name, "@"):
			l, err := label.Parse(name, label.Package{})
			if err != nil {
				return c, &Error{Kind: BadCommandLine, Err: fmt.Errorf("--%s: %w", name, err)}
			}
			c.BuildSettings[l] = value
		case strings.HasPrefix(name, "define "):
			c.Define[strings.TrimPrefix(name, "define ")] = value
		case name == "platforms":
			l, err := label.Parse(value, label.Package{})
			if err != nil {
				return c, &Error{Kind: BadCommandLine, Err: fmt.Errorf("--platforms: %w", err)}
			}
			c.Platform = l
		default:
			c.Options[name] = value
		}
	}
	if test != nil {
		c.Test = analysis.TestOptions{Filter: test.Filter, Args: test.Args, Env: envMap(test.Env), Timeout: int(test.Timeout / time.Second)}
	}
	return c, nil
}

// building is one build or test command at work.
type building struct {
	*session
	req   BuildRequest
	test  *TestRequest
	begin time.Time

	back    *back
	targets []*target
	laid    []string // host paths of what was laid out
	summary []event.Event
	final   event.Finished
}

// target is one requested target and what is wanted of it.
type target struct {
	*analysis.Configured
	files   []*bzl.File
	verdict *action.Spec   // plan giving a test's verdict
	single  *analysis.Test // of a test with an executable
	failure *schedule.Failure
}

func (b *building) run(ctx context.Context) error {
	labels, loadErr := b.expand(ctx, b.req.Patterns, b.test != nil && b.test.BuildTestsOnly)
	if labels == nil && loadErr != nil {
		return loadErr
	}
	configured, analyzeErr := b.analyze(ctx, labels)
	if configured == nil {
		return cmp.Or(analyzeErr, error(&Error{Kind: AnalysisFailed, Err: errors.New("nothing to do")}))
	}
	if err := b.choose(configured); err != nil {
		return cmp.Or(analyzeErr, loadErr, err) // no tests, maybe because none could be analyzed
	}
	if err := analysis.Conflicts(slices.DeleteFunc(slices.Clone(configured), func(c *analysis.Configured) bool { return c == nil })); err != nil {
		return b.e.userError(err)
	}
	var err error
	if b.back, err = b.e.openBack(ctx, b.session, b.noLookup); err != nil {
		return err
	}
	defer b.back.close()
	b.e.opt.Sink(event.Phase{Text: "Running"})
	artifacts, plans := b.wants()
	if err := b.back.graph.Build(ctx, artifacts, plans); err != nil {
		return b.ended(ctx, err)
	}
	if err := b.back.watch.refusal; err != nil {
		var step *sandbox.StepError
		if errors.As(err, &step) {
			err = step // which action met it first says nothing
		}
		return environment("%w", err)
	}
	if err := b.finishTargets(ctx); err != nil {
		return b.ended(ctx, err)
	}
	return errors.Join(b.conclude(), loadErr, analyzeErr)
}

// ended words the end of a graph that could not go on.
func (b *building) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &Error{Kind: Interrupted, Err: errors.New("interrupted")}
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	return &Error{Kind: BuildFailed, Err: err}
}

func (b *building) noLookup(s *action.Spec) bool {
	return s.Test && b.test != nil && b.test.NoCacheResults
}

// choose decides what is wanted of each target.
func (b *building) choose(configured []*analysis.Configured) error {
	tests := 0
	for _, c := range configured {
		if c == nil {
			continue
		}
		t := &target{Configured: c}
		b.targets = append(b.targets, t)
		groups := b.req.OutputGroups
		if len(groups) == 0 {
			groups = []string{"default"}
		}
		for _, g := range groups {
			if d, ok := c.OutputGroup(strings.TrimPrefix(g, "+")); ok && d != nil {
				t.files = append(t.files, d.Files()...)
			}
		}
		if b.test == nil || !c.Target.IsTest() || !b.selected(c) {
			continue
		}
		tests++
		t.files = nil // a test's verdict says all; its binaries are built by it
		if t.verdict = c.Verdict; t.verdict == nil {
			var err error
			if t.single, err = b.analyzer.TestAction(c); err != nil {
				return b.e.userError(err)
			}
		}
	}
	slices.SortStableFunc(b.targets, byPlace)
	if b.test != nil && tests == 0 {
		return b.noTests()
	}
	return nil
}

// byPlace orders targets as their BUILD files do.
func byPlace(x, y *target) int {
	return cmp.Or(
		cmp.Compare(x.Label.Repo, y.Label.Repo),
		cmp.Compare(x.Label.Package, y.Label.Package),
		x.Target.Position.Compare(y.Target.Position),
		x.Label.Compare(y.Label),
	)
}

func (b *building) noTests() error {
	return &Error{Kind: NoTests, Err: errors.New("no test targets were found, yet testing was requested")}
}

// selected applies --test_tag_filters and --test_size_filters.
func (b *building) selected(c *analysis.Configured) bool {
	tags := c.Target.Tags()
	return filtered(b.test.TagFilters, func(f string) bool { return slices.Contains(tags, f) }) &&
		filtered(b.test.SizeFilters, func(f string) bool { return sizeOf(c) == f })
}

func sizeOf(c *analysis.Configured) string {
	s, _ := starlark.AsString(c.Attrs["size"])
	return cmp.Or(s, "medium")
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

func (b *building) wants() (artifacts []*action.Artifact, plans []*action.Spec) {
	for _, t := range b.targets {
		for _, f := range t.files {
			artifacts = append(artifacts, f.Artifact)
		}
		if t.verdict != nil {
			plans = append(plans, t.verdict)
		}
		if t.single != nil {
			artifacts = append(artifacts, t.single.ExitCode, t.single.Log)
		}
	}
	return artifacts, plans
}

// finishTargets makes the logs that verdicts name, lays outputs out, and says
// what became of each target.
func (b *building) finishTargets(ctx context.Context) error {
	verdicts := make([]*verdict, len(b.targets))
	var more []*action.Artifact
	for i, t := range b.targets {
		v, err := b.judge(ctx, t)
		if err != nil {
			return err
		}
		verdicts[i] = v
		if v != nil {
			more = append(more, v.files()...)
		}
	}
	if len(more) > 0 {
		if err := b.back.graph.Build(ctx, more, nil); err != nil {
			return err
		}
	}
	if err := b.back.out.link(); err != nil {
		return environment("%w", err)
	}
	for i, t := range b.targets {
		done, err := b.finishTarget(ctx, t, verdicts[i])
		if err != nil {
			return err
		}
		b.summary = append(b.summary, done)
	}
	return nil
}

func (b *building) finishTarget(ctx context.Context, t *target, v *verdict) (event.TargetDone, error) {
	done := event.TargetDone{Target: t.Label, Kind: t.Kind, Test: v != nil, Status: event.Built}
	files := t.files
	switch {
	case t.Incompatible != "":
		done.Status, done.Summary = event.Skipped, t.Incompatible
	case v != nil:
		v.fill(&done)
		files = v.outputs
		for name, a := range map[string]*action.Artifact{"test.log": v.log, "test.xml": v.xml} {
			var c action.Content
			var err error
			switch {
			case a != nil:
				c, err = b.back.graph.Content(a)
			case name == "test.xml" && v.junit != nil:
				c.File, err = cas.PutBytes(ctx, b.back.peer.store, v.junit)
			default:
				continue
			}
			if err != nil {
				return done, err
			}
			p, err := b.back.out.layLog(ctx, path.Join(t.Label.Package, t.Label.Name, name), c)
			if err != nil {
				return done, environment("%w", err)
			}
			b.laid = append(b.laid, filepath.Join(b.e.opt.Workspace, p))
			if name == "test.log" {
				done.Log = p
			} else {
				done.XML = p
			}
		}
	}
	if t.Summary != nil {
		if value, ok := b.back.graph.Value(t.Summary); ok {
			done.Summary = summaryOf(value)
		}
	}
	for _, f := range files {
		c, err := b.back.graph.Content(f.Artifact)
		if err != nil {
			t.failure = b.back.graph.Failure(f.Artifact)
			done.Status = event.NotBuilt
			if t.failure != nil && t.failure.Spec != nil && t.failure.Spec.Owner == t.Label {
				done.Status = event.Failed
			}
			continue
		}
		p, err := b.back.out.lay(ctx, f.Artifact, c)
		if err != nil {
			return done, environment("%w", err)
		}
		if p != "" {
			b.laid = append(b.laid, filepath.Join(b.e.opt.Workspace, p))
			done.Outputs = append(done.Outputs, p)
		}
	}
	if done.Status == event.Built && done.Summary == "" && len(done.Outputs) == 0 && len(files) > 0 {
		done.Summary = strconv.Itoa(len(files)) + " files"
	}
	return done, nil
}

// conclude reports the targets and the counts, and says how the command ends.
func (b *building) conclude() error {
	f := event.Finished{Wall: time.Since(b.begin), ByRunner: b.back.watch.runners, Targets: len(b.targets)}
	for _, n := range f.ByRunner {
		f.Processes += n
	}
	var notBuilt, failed int
	for _, ev := range b.summary {
		d := ev.(event.TargetDone)
		b.e.opt.Sink(d)
		if d.Test {
			f.Tests++
		}
		switch d.Status {
		case event.Built, event.UpToDate, event.Passed, event.Flaky, event.Skipped:
		case event.NotBuilt:
			notBuilt++
		default:
			failed++
			if !d.Test {
				notBuilt++
			}
		}
	}
	if n := len(b.back.watch.failed); n > 0 && notBuilt == 0 {
		notBuilt = n
	}
	f.Failed = failed
	if notBuilt > failed {
		f.Failed = notBuilt
	}
	b.final = f
	b.e.opt.Sink(f)
	switch {
	case notBuilt > 0:
		return &Error{Kind: BuildFailed, Err: errors.New("build failed"), Reported: true}
	case failed > 0:
		return &Error{Kind: TestsFailed, Err: errors.New("tests failed"), Reported: true}
	}
	return nil
}
