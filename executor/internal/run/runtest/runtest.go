// Package runtest has the suites that every run.Runner and every
// run.ActionCache passes, and what tests of them share.
package runtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
)

// Bound returns an action of argv with the given input root, whose outputs are
// files at the given paths. Its digest depends on argv alone.
func Bound(argv []string, root *tree.Tree, outputs ...string) *action.Bound {
	b := &action.Bound{Argv: argv, Root: root, Workdir: action.Workspace, Timeout: time.Minute, Env: map[string]string{}}
	text := ""
	for _, a := range argv {
		text += a + "\x00"
	}
	b.Digest = digest.Of([]byte(text))
	for _, p := range outputs {
		b.Outputs = append(b.Outputs, action.BoundOutput{Path: p})
	}
	return b
}

// Cache tests the action caches that open makes; each must be empty. Blobs are in store.
func Cache(t *testing.T, open func(t *testing.T) (c run.ActionCache, store cas.Store)) {
	ctx := context.Background()
	put := func(t *testing.T, s cas.Store, text string) digest.Digest {
		t.Helper()
		d, err := cas.PutBytes(ctx, s, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	full := func(t *testing.T, s cas.Store) (*action.Bound, run.Result) {
		b := Bound([]string{"make"}, tree.Empty, "/out/file", "/w/tool")
		b.Outputs = append(b.Outputs,
			action.BoundOutput{Path: "/out/dir", Dir: true},
			action.BoundOutput{Path: "/out/link", Link: true},
			action.BoundOutput{Path: "/out/none", Optional: true})
		var tb tree.Builder
		if err := tb.AddFile("a/b", put(t, s, "in the tree"), true); err != nil {
			t.Fatal(err)
		}
		if err := tb.AddLink("l", "a/b"); err != nil {
			t.Fatal(err)
		}
		dir, err := tb.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b, run.Result{
			Key: b.Digest,
			Outputs: map[string]action.Content{
				"/out/file": {File: put(t, s, "a file")},
				"/w/tool":   {File: put(t, s, "a tool"), Executable: true},
				"/out/dir":  {Tree: dir},
				"/out/link": {Symlink: "file"},
			},
			Stdout: digest.Empty, Stderr: put(t, s, "warning: odd\n"), StderrBytes: []byte("warning: odd\n"),
			Start: time.Unix(1_700_000_000, 0), Wall: 1500 * time.Millisecond, Runner: run.SandboxRunner,
		}
	}

	t.Run("absent", func(t *testing.T) {
		c, _ := open(t)
		if _, ok, err := c.Lookup(ctx, Bound([]string{"x"}, tree.Empty)); ok || err != nil {
			t.Errorf("Lookup in an empty cache = %v, %v", ok, err)
		}
	})
	t.Run("round trip", func(t *testing.T) {
		c, s := open(t)
		b, want := full(t, s)
		if err := c.Record(ctx, b, want); err != nil {
			t.Fatal(err)
		}
		got, ok, err := c.Lookup(ctx, b)
		if err != nil || !ok {
			t.Fatalf("Lookup = %v, %v", ok, err)
		}
		if got.Cache == "" {
			t.Error("Result.Cache is empty")
		}
		Same(t, got, want)
	})
	t.Run("stored failure", func(t *testing.T) {
		c, s := open(t)
		b := Bound([]string{"lint"}, tree.Empty, "/out/report")
		b.AnyExit = true
		want := run.Result{Key: b.Digest, ExitCode: 101, Accesses: []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "1.2.3.4:80", Err: 101, Program: "curl"}}, Stdout: digest.Empty, Stderr: put(t, s, "error: no\n"), StderrBytes: []byte("error: no\n"), Runner: "r"}
		if err := c.Record(ctx, b, want); err != nil {
			t.Fatal(err)
		}
		got, ok, err := c.Lookup(ctx, b)
		if err != nil || !ok {
			t.Fatalf("Lookup = %v, %v", ok, err)
		}
		Same(t, got, want)
	})
	t.Run("refuses what is no result", func(t *testing.T) {
		c, _ := open(t)
		b := Bound([]string{"x"}, tree.Empty, "/out/x")
		local := Bound([]string{"y"}, tree.Empty)
		local.NoSandbox = true
		for name, r := range map[string]run.Result{
			"exit code": {ExitCode: 1}, "timeout": {TimedOut: true}, "signal": {Signal: 9, ExitCode: 137}, "not started": {NotStarted: "cannot run x"}, "unusable": {Unusable: map[string]string{"/out/x": "is a FIFO"}}, "missing": {},
		} {
			r.Key = b.Digest
			if c.Record(ctx, b, r) == nil {
				t.Errorf("%s: recorded", name)
			}
		}
		if c.Record(ctx, local, run.Result{Key: local.Digest}) == nil {
			t.Error("a result without a sandbox was recorded")
		}
		if _, ok, _ := c.Lookup(ctx, b); ok {
			t.Error("found what was refused")
		}
	})
	t.Run("another key", func(t *testing.T) {
		c, s := open(t)
		b, want := full(t, s)
		other := *b
		other.Digest = put(t, s, "the narrowed action")
		want.Key = other.Digest
		if err := c.Record(ctx, b, want); err != nil {
			t.Fatal(err)
		}
		if _, ok, _ := c.Lookup(ctx, b); ok {
			t.Error("found under the declared key")
		}
		if got, ok, err := c.Lookup(ctx, &other); !ok || err != nil {
			t.Errorf("Lookup under its own key = %v, %v", ok, err)
		} else {
			Same(t, got, want)
		}
	})
	t.Run("other judges", func(t *testing.T) {
		c, s := open(t)
		b, _ := full(t, s)
		b.AnyExit = true
		want := run.Result{Key: b.Digest, ExitCode: 1, Stdout: digest.Empty, Stderr: digest.Empty, Runner: "r"}
		if err := c.Record(ctx, b, want); err != nil {
			t.Fatal(err)
		}
		plain := *b
		plain.AnyExit = false
		if _, ok, err := c.Lookup(ctx, &plain); ok || err != nil {
			t.Errorf("a stored failure was found for who takes it for a failure: %v", err)
		}
	})
	t.Run("other outputs", func(t *testing.T) {
		c, s := open(t)
		b, want := full(t, s)
		if err := c.Record(ctx, b, want); err != nil {
			t.Fatal(err)
		}
		more := *b
		more.Outputs = append(more.Outputs, action.BoundOutput{Path: "/out/more"})
		if _, ok, err := c.Lookup(ctx, &more); ok || err != nil {
			t.Errorf("a result without a declared output: %v, %v", ok, err)
		}
	})
}

// Same fails the test where two results differ in what a cache must keep.
func Same(t *testing.T, got, want run.Result) {
	t.Helper()
	if got.ExitCode != want.ExitCode || got.Stdout != want.Stdout || got.Stderr != want.Stderr ||
		string(got.StderrBytes) != string(want.StderrBytes) || got.Wall != want.Wall || !got.Start.Equal(want.Start) && !want.Start.IsZero() || got.Runner != want.Runner ||
		got.Key != want.Key || !slices.Equal(got.Accesses, want.Accesses) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(got.Outputs) != len(want.Outputs) {
		t.Errorf("outputs %v, want %v", got.Outputs, want.Outputs)
	}
	for p, w := range want.Outputs {
		g, ok := got.Outputs[p]
		if w.Tree != nil && g.Tree != nil {
			if g.Tree.Digest() != w.Tree.Digest() {
				t.Errorf("%s: tree %s, want %s", p, g.Tree.Digest(), w.Tree.Digest())
			}
			continue
		}
		if !ok || g != w {
			t.Errorf("%s: %+v, want %+v", p, g, w)
		}
	}
}
