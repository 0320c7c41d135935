package runtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
)

// A Setup is a Runner to test and how to make actions for it.
type Setup struct {
	Runner run.Runner
	Store  cas.Store

	// Shell returns the action of a script for /bin/sh with the given files,
	// by absolute path, as inputs, and files as outputs.
	Shell func(script string, files map[string]string, outputs ...string) *action.Bound
}

// Runner tests the runners that open makes. All paths it uses are below /w.
func Runner(t *testing.T, open func(t *testing.T) Setup) {
	ctx := context.Background()
	type check func(t *testing.T, s Setup, b *action.Bound, res run.Result)
	text := func(t *testing.T, s Setup, d digest.Digest) string {
		t.Helper()
		b, err := cas.ReadAll(ctx, s.Store, d)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	fails := func(reason string) check {
		return func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
			if res.OK(b) || !strings.Contains(run.Judge(b, res), reason) {
				t.Errorf("%+v, want a failure that says %q", res, reason)
			}
		}
	}
	for _, c := range []struct {
		name, script string
		change       func(b *action.Bound)
		outputs      []string
		check        check
	}{
		{"file", "cat src/in sub/tool.sh > bin/out; chmod +x bin/out; sub/tool.sh; echo oops >&2", nil, []string{"/w/bin/out"},
			func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
				c := res.Outputs["/w/bin/out"]
				if !res.OK(b) || len(res.Outputs) != 1 || !c.Executable || !strings.HasPrefix(text(t, s, c.File), "input") {
					t.Errorf("%+v", res)
				}
				if got := text(t, s, res.Stdout); got != "ran\n" || string(res.StdoutBytes) != got {
					t.Errorf("stdout %q", got)
				}
				if got := text(t, s, res.Stderr); got != "oops\n" {
					t.Errorf("stderr %q", got)
				}
				if res.Runner == "" || res.Cache != "" || res.Wall <= 0 || time.Since(res.Start) > time.Minute {
					t.Errorf("runner %q, cache %q, start %v, wall %v", res.Runner, res.Cache, res.Start, res.Wall)
				}
			}},
		{"nothing printed", "true", nil, nil, func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
			if !res.OK(b) || res.Stdout != digest.Empty || res.Stderr != digest.Empty {
				t.Errorf("%+v", res)
			}
		}},
		{"folder", "test -d d/out && mkdir d/out/a && echo x > d/out/a/f && ln -s a/f d/out/l", func(b *action.Bound) {
			b.Outputs = []action.BoundOutput{{Path: "/w/d/out", Dir: true}}
		}, nil, func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
			d := res.Outputs["/w/d/out"].Tree
			if !res.OK(b) || d == nil || d.Files() != 2 {
				t.Fatalf("%+v", res)
			}
			if e, ok := d.Lookup("a/f"); !ok || text(t, s, e.File) != "x\n" {
				t.Errorf("a/f: %+v", e)
			}
			if e, ok := d.Lookup("l"); !ok || e.Target != "a/f" {
				t.Errorf("l: %+v", e)
			}
		}},
		{"exit code", "echo > bin/out; exit 7", nil, []string{"/w/bin/out"}, func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
			if res.ExitCode != 7 || run.Judge(b, res) != "exit code 7" || res.OK(b) {
				t.Errorf("%+v", res)
			}
		}},
		{"stored exit code", "echo > bin/out; exit 7", func(b *action.Bound) { b.AnyExit = true }, []string{"/w/bin/out"},
			func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
				if res.ExitCode != 7 || !res.OK(b) || len(res.Outputs) != 1 {
					t.Errorf("%+v", res)
				}
			}},
		{"signal", "kill -9 $$", func(b *action.Bound) { b.AnyExit = true }, nil, func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
			if res.Signal != 9 || res.ExitCode != 137 || res.OK(b) {
				t.Errorf("%+v", res)
			}
		}},
		{"timeout", "sleep 60", func(b *action.Bound) { b.Timeout = 100 * time.Millisecond }, nil,
			func(t *testing.T, s Setup, b *action.Bound, res run.Result) {
				if !res.TimedOut || res.OK(b) {
					t.Errorf("%+v", res)
				}
			}},
		{"missing output", "true", nil, []string{"/w/bin/a", "/w/bin/b"}, fails("/w/bin/a, /w/bin/b")},
		{"link for a file", "ln -s /etc/passwd bin/out", nil, []string{"/w/bin/out"}, fails("symbolic link")},
		{"no program", "", func(b *action.Bound) { b.Argv = []string{"/no/such/program"} }, nil, fails("/no/such/program")},
		{"escaping link", "ln -s ../../x d/out/l", func(b *action.Bound) {
			b.Outputs = []action.BoundOutput{{Path: "/w/d/out", Dir: true}}
		}, nil, fails("l -> ../../x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			b := s.Shell(c.script, map[string]string{"/w/src/in": "input", "/w/sub/tool.sh": "#!/bin/sh\necho ran\n"}, c.outputs...)
			if c.change != nil {
				c.change(b)
			}
			res, err := s.Runner.Run(ctx, b, run.Hints{})
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, s, b, res)
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := s.Runner.Run(ctx, s.Shell("sleep 60", nil), run.Hints{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want context.DeadlineExceeded", err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
