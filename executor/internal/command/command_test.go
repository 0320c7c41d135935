package command_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/command"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/narrate"
	"gorules/executor/internal/resume"
	"gorules/executor/internal/schedule"
	"gorules/executor/label"
)

// world is a command over fakes: targets that are given, actions that do what
// their mnemonic says. Only the graph, the layout and the memory are real.
type world struct {
	*testing.T
	dir     string
	store   *cas.Memory
	targets []*command.Target
	errs    []error // of analysis
	keep    bool

	mu     sync.Mutex
	ran    []string
	events []event.Event
	told   []error
	tool   error // what every action ends with
}

func newWorld(t *testing.T, targets ...*command.Target) *world {
	return &world{T: t, dir: t.TempDir(), store: &cas.Memory{}, targets: targets}
}

// Front.

func (w *world) Expand(context.Context, []label.Pattern, command.Verb, bool) (labels, lost []label.Label, errs []error) {
	var out []label.Label
	for _, t := range w.targets {
		out = append(out, t.Label)
	}
	return out, nil, nil
}

func (w *world) Analyze(context.Context, []label.Label) ([]*command.Target, []error) {
	return w.targets, w.errs
}

func (w *world) Gone(_ context.Context, name string) bool { return strings.Contains(name, "gone") }

func (w *world) Loaded(label.Label) bool { return true }

func (w *world) Facts() []byte { return []byte{0} }

// Worker.

func (w *world) Run(ctx context.Context, b *action.Bound, job schedule.Job) (*schedule.Outcome, error) {
	release, err := job.Slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	w.mu.Lock()
	w.ran = append(w.ran, b.Spec.Mnemonic)
	w.mu.Unlock()
	o := &schedule.Outcome{Outputs: map[string]action.Content{}, Runner: "fake", Key: b.Digest}
	for _, out := range b.Outputs {
		o.Outputs[out.Path] = w.file(out.Path)
	}
	o.Stdout = w.file("printed by " + b.Spec.Mnemonic)
	switch b.Spec.Mnemonic {
	case "Bad":
		o.Failure = "exit code 1"
	case "Failing":
		o.ExitCode = 1
	case "Late":
		o.ExitCode = 124
	case "Waits": // until the command knows of a failure
		for !w.knowsOfFailure() {
			time.Sleep(time.Millisecond)
		}
	}
	w.file(string(schedule.ExitText(o.ExitCode)))
	return o, w.tool
}

func (w *world) knowsOfFailure() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.events, func(e event.Event) bool { _, ok := e.(event.ActionFailed); return ok })
}

func (w *world) Internal(context.Context, *action.Spec, action.Resolver) (action.Content, error) {
	return action.Content{}, errors.New("nothing internal")
}

func (w *world) Source(*action.Source) (action.Content, error) { return w.file("source"), nil }

func (w *world) Text(ctx context.Context, c action.Content) ([]byte, error) {
	return cas.ReadAll(ctx, w.store, c.File)
}

func (w *world) file(text string) action.Content {
	d, err := cas.PutBytes(context.Background(), w.store, []byte(text))
	if err != nil {
		w.Fatal(err)
	}
	return action.Content{File: d}
}

// Targets.

func spec(owner, mnemonic string, outputs ...string) *action.Spec {
	s := &action.Spec{Owner: label.Label{Name: owner}, Mnemonic: mnemonic, Argv: []action.Arg{action.Lit(owner + mnemonic)}}
	for _, o := range outputs {
		s.Outputs = append(s.Outputs, &action.Artifact{Path: "bazel-out/k8-fastbuild/bin/" + o, Producer: s})
	}
	return s
}

// built is a target with one output, which an action of the given mnemonic makes.
func built(name, mnemonic string) *command.Target {
	return &command.Target{Label: label.Label{Name: name}, Kind: "genrule rule", Files: spec(name, mnemonic, name+".out").Outputs}
}

// after makes what t's first action needs wait for a failure elsewhere.
func after(t *command.Target) *command.Target {
	waits := spec(t.Label.Name, "Waits", t.Label.Name+".waited").Outputs[0]
	in := action.InputList{{Path: "/in", Artifact: waits}}
	if t.Files != nil {
		t.Files[0].Producer.Inputs = in
		return t
	}
	declare := t.TestAction
	t.TestAction = func() (*analysis.Test, error) {
		test, err := declare()
		test.Spec.Inputs = in
		return test, err
	}
	return t
}

// single is a test with an executable.
func single(name, mnemonic string) *command.Target {
	return &command.Target{Label: label.Label{Name: name}, Kind: "sh_test rule", Test: true, Size: "small", TestAction: func() (*analysis.Test, error) {
		s := spec(name, mnemonic)
		t := &analysis.Test{Spec: s, Timeout: time.Minute}
		t.Log = &action.Artifact{Path: name + ".log", Producer: s}
		t.ExitCode = &action.Artifact{Path: name + ".exit", Producer: s}
		t.XML = &action.Artifact{Path: name + ".xml", Producer: s}
		t.Outputs = &action.Artifact{Path: name + ".outputs", Dir: true, Producer: s}
		s.Stdout, s.ExitCode = t.Log, t.ExitCode
		return t, nil
	}}
}

// planned is a test whose plan reads what an action made, and names a log and a page.
func planned(name, mnemonic, status string, tests int) *command.Target {
	checked := spec(name, mnemonic, name+".result").Outputs[0]
	log, page := spec(name, "Log", name+".log").Outputs[0], spec(name, "Page", name+".html").Outputs[0]
	verdict := &action.Spec{Owner: label.Label{Name: name}, Mnemonic: "Judge", Plan: &action.Plan{Inputs: []*action.Artifact{checked},
		F: func(context.Context, action.PlanInput) (*action.PlanResult, error) {
			fields := starlark.StringDict{"status": starlark.String(status), "log": &bzl.File{Artifact: log}, "xml": starlark.None,
				"outputs": starlark.NewList([]starlark.Value{&bzl.File{Artifact: page}})}
			if tests >= 0 {
				fields["tests"] = starlark.MakeInt(tests)
			}
			return &action.PlanResult{Value: bzl.TestVerdictInfo.New(fields), Goals: []*action.Artifact{log, page}}, nil
		}}}
	return &command.Target{Label: label.Label{Name: name}, Kind: "cargo_test rule", Test: true, Verdict: verdict, Files: []*action.Artifact{checked}}
}

// execute runs a command and returns its kind of error, 0 for none.
func (w *world) execute(r command.Request) (exit.Kind, *resume.Program) {
	w.Helper()
	w.ran, w.events, w.told = nil, nil, nil
	sink := func(e event.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}
	l := layout.Open(layout.Options{Workspace: w.dir, Dir: filepath.Join(w.dir, "out"), Store: w.store, Digest: func(p string) (digest.Digest, error) {
		b, err := os.ReadFile(p)
		return digest.Of(b), err
	}})
	c := &command.Command{
		Close:   func() {},
		Request: r, Key: "key", Begin: time.Now(), Sink: sink, Report: func(err error) { w.told = append(w.told, err) },
		Advise:   func(error) string { return "" },
		Position: func(context.Context, label.Label) diag.Position { return diag.Position{} },
		Front:    w, Layout: l, Text: w.Text, OutputFacts: func([]string) ([]byte, error) { return []byte{0}, nil },
		Memory: w.memory(),
		Narrator: narrate.New(w.Context(), narrate.Options{Sink: sink, Jobs: 2, Report: func(error) {}, Shown: l.Shown,
			Open:     w.store.Get,
			Position: func(context.Context, label.Label) diag.Position { return diag.Position{} }}),
		Graph: func(ctx context.Context, goals []schedule.Goal, watcher schedule.Watcher, outdated func(*action.Spec)) (*schedule.Report, error) {
			return schedule.Run(ctx, goals, schedule.Options{Jobs: 2, KeepGoing: w.keep, Worker: w, Watcher: watcher, Outdated: outdated,
				Fatal: func(error) bool { return true }})
		},
	}
	p, err := c.Execute(w.Context())
	var e *exit.Error
	if err != nil && !errors.As(err, &e) {
		w.Fatalf("error without a kind: %v", err)
	}
	if e == nil {
		return 0, p
	}
	return e.Kind, p
}

func (w *world) memory() *resume.Memory {
	return &resume.Memory{Dir: filepath.Join(w.dir, "out"), Binary: "x"}
}

// statuses lists what became of the targets.
func (w *world) statuses() string {
	var out []string
	for _, e := range w.events {
		if d, ok := e.(event.TargetDone); ok {
			out = append(out, d.Target.Name+" "+string(d.Status))
		}
	}
	return strings.Join(out, ", ")
}

func (w *world) finished() event.Finished {
	for _, e := range w.events {
		if f, ok := e.(event.Finished); ok {
			return f
		}
	}
	w.Fatal("no Finished event")
	return event.Finished{}
}

func (w *world) exists(p string) bool {
	_, err := os.Stat(filepath.Join(w.dir, "out", p))
	return err == nil
}

// The exit code is a function of what became of the targets.
func TestEndings(t *testing.T) {
	broken := &command.NotAnalyzed{Target: label.Label{Name: "broken"}, Err: errors.New("no such attribute")}
	for name, tt := range map[string]struct {
		verb     command.Verb
		targets  []*command.Target
		errs     []error
		keep     bool
		filter   string
		kind     exit.Kind
		statuses string
	}{
		"built":                {command.Build, []*command.Target{built("a", "Good")}, nil, false, "", 0, "a BUILT"},
		"failed":               {command.Build, []*command.Target{built("a", "Bad")}, nil, false, "", exit.BuildFailed, "a FAILED"},
		"not attempted":        {command.Build, []*command.Target{built("a", "Bad"), after(built("b", "Good"))}, nil, false, "", exit.BuildFailed, "a FAILED, b NOT ATTEMPTED"},
		"with -k":              {command.Build, []*command.Target{built("a", "Bad"), built("b", "Good")}, nil, true, "", exit.BuildFailed, "a FAILED, b BUILT"},
		"passed":               {command.Test, []*command.Target{single("a", "Good"), planned("b", "Good", "PASSED", 3)}, nil, false, "", 0, "a PASSED, b PASSED"},
		"failing tests":        {command.Test, []*command.Target{single("a", "Failing"), planned("b", "Good", "FAILED", 3), single("c", "Late")}, nil, false, "", exit.TestsFailed, "a FAILED, b FAILED, c TIMEOUT"},
		"not judged":           {command.Test, []*command.Target{planned("b", "Good", "NOT JUDGED", -1)}, nil, false, "", exit.TestsFailed, "b NOT JUDGED"},
		"test not built":       {command.Test, []*command.Target{planned("b", "Bad", "PASSED", 3)}, nil, false, "", exit.BuildFailed, "b NOT BUILT"},
		"tests not attempted":  {command.Test, []*command.Target{built("a", "Bad"), after(single("b", "Good"))}, nil, false, "", exit.BuildFailed, "a FAILED, b NOT ATTEMPTED"},
		"not analyzed with -k": {command.Test, []*command.Target{single("a", "Good")}, []error{broken}, true, "", exit.AnalysisFailed, "a PASSED, broken NOT ANALYZED"},
		"worst wins":           {command.Test, []*command.Target{single("a", "Failing"), built("b", "Bad")}, []error{broken}, true, "", exit.BuildFailed, "a FAILED, b FAILED, broken NOT ANALYZED"},
		"analysis over tests":  {command.Test, []*command.Target{single("a", "Failing")}, []error{broken}, true, "", exit.AnalysisFailed, "a FAILED, broken NOT ANALYZED"},
		"no tests":             {command.Test, []*command.Target{built("a", "Good")}, nil, false, "", exit.NoTests, ""},
		"filter matches":       {command.Test, []*command.Target{planned("a", "Good", "PASSED", 0), planned("b", "Good", "PASSED", 1)}, nil, false, "x", 0, "a PASSED, b PASSED"},
		"filter matches none":  {command.Test, []*command.Target{planned("a", "Good", "PASSED", 0), planned("lint", "Good", "PASSED", -1)}, nil, false, "x", exit.NoTests, "a PASSED, lint PASSED"},
		"filter unknown":       {command.Test, []*command.Target{planned("a", "Good", "PASSED", 0), single("b", "Good")}, nil, false, "x", 0, "a PASSED, b PASSED"},
		"nothing to filter":    {command.Test, []*command.Target{planned("lint", "Good", "PASSED", -1)}, nil, false, "x", 0, "lint PASSED"},
		"incompatible":         {command.Build, []*command.Target{{Label: label.Label{Name: "a"}, Incompatible: "not for this"}}, nil, false, "", 0, "a SKIPPED"},
		"incompatible test":    {command.Test, []*command.Target{{Label: label.Label{Name: "a"}, Test: true, Incompatible: "not for this"}}, nil, false, "", 0, "a SKIPPED"},
		"run what cannot run":  {command.Run, []*command.Target{built("a", "Good")}, nil, false, "", exit.RunFailed, ""},
		"run two":              {command.Run, []*command.Target{built("a", "Good"), built("b", "Good")}, nil, false, "", exit.BadCommandLine, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.targets...)
			w.errs, w.keep = tt.errs, tt.keep
			kind, _ := w.execute(command.Request{Verb: tt.verb, TestFilter: tt.filter})
			if kind != tt.kind || w.statuses() != tt.statuses {
				t.Errorf("kind %d, %q; want %d, %q", kind, w.statuses(), tt.kind, tt.statuses)
			}
			if len(w.told) != len(tt.errs) {
				t.Errorf("told %v", w.told)
			}
			// Only what ended as it would end again is shown again.
			st, _ := w.memory().Load("key")
			if again := kind == 0 || kind == exit.TestsFailed; (st != nil) != again {
				t.Errorf("state %v after kind %d", st, kind)
			}
		})
	}
}

// build needs programs and judges nothing; run needs runfiles.
func TestGoals(t *testing.T) {
	w := newWorld(t, planned("a", "Good", "PASSED", 1))
	if kind, _ := w.execute(command.Request{Verb: command.Build}); kind != 0 || !slices.Equal(w.ran, []string{"Good"}) {
		t.Errorf("build: kind %d, ran %v", kind, w.ran)
	}
	if kind, _ := w.execute(command.Request{Verb: command.Test}); kind != 0 || len(w.ran) != 3 {
		t.Errorf("test: kind %d, ran %v, want the check, the log and the page in one run", kind, w.ran)
	}
	if !w.exists("testlogs/a/test.log") || !w.exists("bin/a.html") {
		t.Error("the log and the page are not laid out")
	}
	data := spec("p", "Data", "data").Outputs[0]
	prog := built("p", "Prog")
	prog.Executable, prog.Runfiles = prog.Files[0], action.InputList{{Path: "/_main/data", Artifact: data}}
	prog.Env = func() (map[string]string, error) { return map[string]string{"B": "2", "A": "1"}, nil }
	w = newWorld(t, prog)
	kind, p := w.execute(command.Request{Verb: command.Run})
	if kind != 0 || p == nil || !w.exists("bin/p.out.runfiles/_main/data") {
		t.Fatalf("run: kind %d, %+v", kind, p)
	}
	if want := []string{"RUNFILES_DIR=" + p.Argv[0] + ".runfiles", "A=1", "B=2"}; !slices.Equal(p.Env, want) {
		t.Errorf("environment %v, want %v", p.Env, want)
	}
	st, why := w.memory().Load("key")
	if st == nil {
		t.Fatal(why)
	}
	if q, err := command.Replay(st, time.Now(), func(event.Event) {}); err != nil || q == nil || q.Argv[0] != p.Argv[0] {
		t.Errorf("replayed: %+v %v", q, err)
	}
}

func TestFilters(t *testing.T) {
	small, flaky := single("small", "Good"), single("flaky", "Good")
	flaky.Tags, flaky.Size = []string{"flaky"}, "large"
	for _, tt := range []struct {
		r    command.Request
		want string
	}{
		{command.Request{TagFilters: []string{"-flaky"}}, "small PASSED"},
		{command.Request{TagFilters: []string{"flaky"}}, "flaky PASSED"},
		{command.Request{SizeFilters: []string{"large", "enormous"}}, "flaky PASSED"},
		{command.Request{SizeFilters: []string{"-large"}}, "small PASSED"},
	} {
		w := newWorld(t, small, flaky)
		tt.r.Verb = command.Test
		if kind, _ := w.execute(tt.r); kind != 0 || !strings.Contains(w.statuses(), tt.want) || w.finished().Tests != 1 {
			t.Errorf("%+v: kind %d, %s", tt.r, kind, w.statuses())
		}
	}
}

// A verdict of an earlier command is not left where this one came to none.
func TestNoStaleVerdict(t *testing.T) {
	for name, breakIt := range map[string]func(w *world) exit.Kind{
		"not built": func(w *world) exit.Kind {
			w.targets = []*command.Target{planned("a", "Bad", "PASSED", 1)}
			return exit.BuildFailed
		},
		"not attempted": func(w *world) exit.Kind {
			w.targets = []*command.Target{built("x", "Bad"), after(planned("a", "Good", "PASSED", 1))}
			return exit.BuildFailed
		},
		"tool": func(w *world) exit.Kind {
			w.tool = errors.New("disk full")
			return exit.Environment
		},
		"fault": func(w *world) exit.Kind {
			w.tool = &bug.Error{Value: "lost"}
			return exit.Internal
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, planned("a", "Good", "PASSED", 1))
			if kind, _ := w.execute(command.Request{Verb: command.Test}); kind != 0 || !w.exists("testlogs/a/test.log") || !w.exists("bin/a.html") {
				t.Fatal("no verdict to begin with")
			}
			want := breakIt(w)
			if kind, _ := w.execute(command.Request{Verb: command.Test}); kind != want {
				t.Errorf("kind %d, want %d", kind, want)
			}
			if w.exists("testlogs/a/test.log") || w.exists("bin/a.html") {
				t.Error("the old verdict is left")
			}
			if st, _ := w.memory().Load("key"); st != nil {
				t.Error("the old state is left")
			}
		})
	}
}

// What is shown again is what was said, with other words for what was built now.
func TestReplay(t *testing.T) {
	w := newWorld(t, built("b", "Good"), planned("a", "Good", "FAILED", 1))
	if kind, _ := w.execute(command.Request{Verb: command.Test}); kind != exit.TestsFailed {
		t.Fatalf("kind %d", kind)
	}
	first := w.finished()
	st, why := w.memory().Load("key")
	if st == nil {
		t.Fatal(why)
	}
	w.events = nil
	_, err := command.Replay(st, time.Now(), func(e event.Event) { w.events = append(w.events, e) })
	var e *exit.Error
	if !errors.As(err, &e) || e.Kind != exit.TestsFailed || !e.Reported {
		t.Errorf("error %v", err)
	}
	if got := w.statuses(); got != "b UP-TO-DATE, a FAILED" {
		t.Errorf("%s", got)
	}
	again := w.finished()
	if !again.UpToDate || again.Failed != first.Failed || again.Tests != first.Tests || again.Targets != first.Targets || again.Processes != first.Processes {
		t.Errorf("%+v, first %+v", again, first)
	}
}
