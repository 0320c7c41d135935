package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gorules/cmd/gorules/internal/cli"
	"gorules/executor"
	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/label"
)

// fake is an Engine that builds nothing. Scripts choose what happens by the
// names of targets, and read what was asked for in request.json.
type fake struct {
	opt executor.Options
}

func newFake(_ context.Context, o executor.Options) (cli.Engine, error) {
	return &fake{o}, nil
}

// outcome says how the target called name ends.
func (f *fake) outcome(name string, test bool) event.TargetDone {
	t := event.TargetDone{Target: label.Label{Name: name}, Status: event.Built, Wall: 700 * time.Millisecond}
	switch name {
	case "hello":
		t.Outputs = []string{"gorules-bin/hello/"}
	case "clippy":
		t.Test, t.Status, t.Summary = true, event.Failed, "1 denied lint in hello-core"
		t.Text = "error: this could be written better\n --> crates/core/src/lib.rs:3:5\n"
		t.Notes = []string{"fix: gorules run //:clippy -- --fix"}
	case "later":
		t.Test, t.Status = test, event.NotAttempted
	case "test":
		t.Test, t.Status, t.Summary = true, event.Passed, "61 tests in 5 binaries, 7 doctests"
		t.Log = "test.log"
	}
	return t
}

func (f *fake) record(v any) error {
	data, err := json.MarshalIndent(struct {
		OutputUserRoot, DiskCache, LockfileMode, SymlinkPrefix, ExecutionLog string
		Jobs                                                                 int
		KeepGoing                                                            bool
		Request                                                              any
	}{f.opt.OutputUserRoot, f.opt.DiskCache, f.opt.LockfileMode, f.opt.SymlinkPrefix, f.opt.ExecutionLog, f.opt.Jobs, f.opt.KeepGoing, v}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.opt.Workspace, "request.json"), data, 0o666)
}

func (f *fake) play(ctx context.Context, patterns []label.Pattern, test bool) error {
	var names []string
	for _, p := range patterns {
		if p.Kind == label.One {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		names = []string{"hello"}
		if test {
			names = []string{"hello", "clippy", "test"}
		}
	}
	failed, later, tests, wrong := 0, 0, 0, 0
	for _, n := range names {
		switch n {
		case "analysis":
			f.opt.Sink(event.Diagnostic{Severity: event.Error, Position: diag.Position{File: "BUILD", Line: 2, Column: 5}, Text: `unknown attribute "nam"`, Hint: "did you mean name?"})
			return &executor.Error{Kind: executor.AnalysisFailed, Err: errors.New("analysis"), Reported: true}
		case "machine":
			return &executor.Error{Kind: executor.Environment, Err: errors.New("user namespaces are refused")}
		case "panic":
			panic("assignment to entry in nil map")
		case "wrong": // with -k: the others are built
			f.opt.Sink(event.Diagnostic{Severity: event.Error, Position: diag.Position{File: "BUILD", Line: 2, Column: 5}, Text: `unknown attribute "nam"`})
			f.opt.Sink(event.TargetDone{Target: label.Label{Name: n}, Status: event.NotAnalyzed})
			wrong++
			continue
		case "nomatch":
			t := f.outcome("test", test)
			t.Summary = "0 tests"
			f.opt.Sink(t)
			f.opt.Sink(event.Finished{Wall: time.Second, Targets: 1, Tests: 1})
			return &executor.Error{Kind: executor.NoTests, Err: errors.New("no test matches")}
		case "bug":
			return errors.New("broken invariant")
		case "notests":
			return &executor.Error{Kind: executor.NoTests, Err: errors.New("no test target is among //:notests")}
		case "broken":
			f.opt.Sink(event.ActionFailed{Owner: label.Label{Name: "broken"}, Mnemonic: "Rustc", Progress: "hello (lib)", Position: diag.Position{File: "BUILD", Line: 3, Column: 1},
				Reason: "exit code 1", Stderr: "\x1b[31merror[E0425]\x1b[0m: cannot find value\n", Argv: []string{"/rust/bin/rustc", "--cfg", `feature="std"`}})
			f.opt.Sink(event.Finished{Wall: time.Second, Processes: 3, ByRunner: map[string]int{"linux-sandbox": 3}, Targets: 1, Failed: 1})
			return &executor.Error{Kind: executor.BuildFailed, Err: errors.New("broken"), Reported: true}
		case "live": // long enough for the status line to be drawn
			f.opt.Sink(event.Phase{Text: "Running"})
			f.opt.Sink(event.Progress{Total: 57, Done: 3, Cached: 1, Ran: 2, Running: 1})
			f.opt.Sink(event.ActionStarted{ID: 1, Mnemonic: "Rustc", Progress: "serde", Start: time.Now().Add(-3 * time.Second)})
			time.Sleep(400 * time.Millisecond)
			f.opt.Sink(event.Output{Text: "warning: unused"})
			time.Sleep(200 * time.Millisecond)
			f.opt.Sink(event.ActionFinished{ID: 1})
		case "slow":
			if err := os.WriteFile(filepath.Join(f.opt.Workspace, "started"), nil, 0o666); err != nil {
				return err
			}
			<-ctx.Done()
			return &executor.Error{Kind: executor.Interrupted, Err: ctx.Err()}
		case "patient": // ends by itself, unless it is interrupted
			if err := os.WriteFile(filepath.Join(f.opt.Workspace, "started"), nil, 0o666); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return &executor.Error{Kind: executor.Interrupted, Err: ctx.Err()}
			case <-time.After(500 * time.Millisecond):
			}
		case "talkative": // until nobody listens
			for begin := time.Now(); ctx.Err() == nil; {
				if f.opt.Sink(event.Output{Text: "warning: unused"}); time.Since(begin) > 10*time.Second {
					return errors.New("nobody interrupted")
				}
			}
			return &executor.Error{Kind: executor.Interrupted, Err: ctx.Err()}
		case "stuck":
			if err := os.WriteFile(filepath.Join(f.opt.Workspace, "started"), nil, 0o666); err != nil {
				return err
			}
			select {}
		}
		t := f.outcome(n, test)
		switch t.Status {
		case event.Failed:
			failed++
		case event.NotAttempted:
			later++
		}
		if t.Test {
			tests++
		}
		f.opt.Sink(t)
	}
	f.opt.Sink(event.Finished{Wall: 4 * time.Second, Processes: 57, ByRunner: map[string]int{"linux-sandbox": 17, "disk cache hit": 40}, Targets: len(names) - wrong, Tests: tests, Failed: failed, NotAttempted: later, NotAnalyzed: wrong})
	switch {
	case later > 0:
		return &executor.Error{Kind: executor.BuildFailed, Err: errors.New("build failed"), Reported: true}
	case wrong > 0:
		return &executor.Error{Kind: executor.AnalysisFailed, Err: errors.New("1 target could not be analyzed"), Reported: true}
	case failed > 0:
		return &executor.Error{Kind: executor.TestsFailed, Err: errors.New("tests failed"), Reported: true}
	}
	return nil
}

func (f *fake) Build(ctx context.Context, r executor.BuildRequest) error {
	if err := f.record(r); err != nil {
		return err
	}
	return f.play(ctx, r.Patterns, false)
}

func (f *fake) Test(ctx context.Context, r executor.TestRequest) error {
	if err := f.record(r); err != nil {
		return err
	}
	return f.play(ctx, r.Patterns, true)
}

func (f *fake) Query(_ context.Context, expr string, o executor.QueryOptions) ([]executor.Target, error) {
	if expr == "deps(" {
		return nil, &executor.Error{Kind: executor.AnalysisFailed, Err: errors.New("query: 1:6: expected an expression")}
	}
	return []executor.Target{
		{Label: label.Label{Name: "hello"}, Kind: "cargo_package rule", Location: diag.Position{File: "BUILD", Line: 3, Column: 1}, Attributes: map[string]any{"expr": expr, "implicit": o.ImplicitDeps}},
		{Label: label.Label{Name: "BUILD"}, Kind: "source file", Location: diag.Position{File: "BUILD", Line: 1, Column: 1}},
	}, nil
}

func (f *fake) Why(_ context.Context, l label.Label) ([]executor.WhyEntry, error) {
	if l.Name == "deps" {
		return nil, nil
	}
	return []executor.WhyEntry{{Owner: l, Mnemonic: "Rustc", Progress: "hello-core (lib)", Reason: "crates/core/src/lib.rs changed"}}, nil
}

func (f *fake) Fetch(context.Context) error { return f.record("fetch") }

func (f *fake) Clean(_ context.Context, expunge bool) error {
	return f.record(fmt.Sprintf("clean expunge=%v", expunge))
}

func (f *fake) CacheStats(context.Context) ([]executor.CacheFolder, error) {
	return []executor.CacheFolder{{Dir: "/cache"}}, f.record("stats")
}

func (f *fake) CacheGC(_ context.Context, r executor.CacheGCRequest) ([]executor.CacheFolder, error) {
	return []executor.CacheFolder{{Dir: "/cache", Budget: f.opt.CacheBudget}}, f.record(r)
}

func (f *fake) CacheVerify(context.Context) ([]executor.CacheFolder, error) {
	return []executor.CacheFolder{{Dir: "/cache", Wrong: []executor.CacheWrong{{Kind: "content", Path: "/cache/x", Reason: "altered"}}}}, f.record("verify")
}

func (f *fake) Info(context.Context) ([]executor.InfoEntry, error) {
	return []executor.InfoEntry{{Key: "workspace", Value: f.opt.Workspace}, {Key: "release", Value: "gorules test"}}, nil
}

func (f *fake) Run(ctx context.Context, r executor.BuildRequest) (executor.RunSpec, error) {
	if err := f.Build(ctx, r); err != nil {
		return executor.RunSpec{}, err
	}
	if name := r.Patterns[0].Name; name != "hello" {
		return executor.RunSpec{}, &executor.Error{Kind: executor.BadCommandLine, Err: fmt.Errorf("//:%s is not executable", name)}
	}
	argv := []string{"/bin/sh", "-c", `echo "args: $*"; echo "ws: $BUILD_WORKSPACE_DIRECTORY"; echo "from: $BUILD_WORKING_DIRECTORY"; echo "dir: $PWD"; cat; exit 5`, "hello"}
	return executor.RunSpec{Argv: argv, Env: []string{"RUNFILES_DIR=/r"}, Dir: f.opt.Workspace}, nil
}

func (f *fake) RuleDocs(_ context.Context, load string) ([]executor.RuleDoc, error) {
	switch load {
	case "":
		return []executor.RuleDoc{{Name: "filegroup", Kind: "rule", Doc: "Names a set of files.", Example: "filegroup(name = \"all\", srcs = [\"a\"])"}}, nil
	case "@gorules//cargo:defs.bzl":
		return []executor.RuleDoc{{Name: "cargo_clippy", Load: load, Doc: "Lints the members.", Attributes: []executor.AttributeDoc{
			{Name: "name", Type: "string", Mandatory: true},
			{Name: "package", Type: "label", Mandatory: true, Doc: "The cargo_package whose members are linted."},
			{Name: "clippy_flags", Type: "list of strings", Default: "[]", Doc: "Flags for clippy-driver."},
		}}}, nil
	}
	if strings.HasPrefix(load, "//") {
		return nil, &executor.Error{Kind: executor.AnalysisFailed, Err: fmt.Errorf("%s does not exist", load)}
	}
	return nil, nil
}

func (f *fake) Close() error { return nil }

func (f *fake) Abort() {
	if err := os.WriteFile(filepath.Join(f.opt.Workspace, "aborted"), nil, 0o666); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
