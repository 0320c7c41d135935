package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/schedule"
	"gorules/executor/internal/tree"
	"gorules/executor/internal/worker"
	"gorules/executor/label"
)

// runner gives one result, whatever it is asked.
type runner struct {
	res   run.Result
	err   error
	hints run.Hints
}

func (r *runner) Run(_ context.Context, b *action.Bound, h run.Hints) (run.Result, error) {
	r.hints = h
	res := r.res
	if res.Key.IsZero() {
		res.Key = b.Digest
	}
	return res, r.err
}

// cache notes what is recorded.
type cache struct {
	mu   sync.Mutex
	keys []digest.Digest
	err  error
}

func (c *cache) Lookup(context.Context, *action.Bound) (run.Result, bool, error) {
	panic("the worker looks nothing up: that is the runner's")
}

func (c *cache) Record(_ context.Context, _ *action.Bound, res run.Result) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, res.Key)
	return c.err
}

func bound(name string, anyExit bool) *action.Bound {
	b := runtest.Bound([]string{name}, tree.Empty)
	b.AnyExit = anyExit
	b.Spec = &action.Spec{Owner: label.Label{Name: name}, Explain: map[string]string{"ENOENT": "{path} is not declared"}}
	return b
}

// What the same raw result means depends on the Spec that asks.
func TestJudges(t *testing.T) {
	store := &cas.Memory{}
	text := func(s string) digest.Digest {
		d, err := cas.PutBytes(t.Context(), store, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	refused := []sandbox.Access{{Kind: sandbox.AccessRead, Path: "/secret", Err: syscall.ENOENT}}
	for name, tt := range map[string]struct {
		res     run.Result
		anyExit bool
		failure string
		exit    int
		keeps   bool
		runner  string
		cached  bool
		stderr  string
	}{
		"success":            {run.Result{Runner: "r"}, false, "", 0, true, "r", false, "said\n"},
		"failure":            {run.Result{Runner: "r", ExitCode: 3, Accesses: refused}, false, "exit code 3", 3, false, "r", false, "said\n"},
		"stored failure":     {run.Result{Runner: "r", ExitCode: 3, Accesses: refused}, true, "", 3, true, "r", false, "said\n/secret is not declared\n"},
		"stored, from cache": {run.Result{Runner: "r", Cache: "hit", ExitCode: 3, Accesses: refused}, true, "", 3, false, "hit", true, "said\n/secret is not declared\n"},
		"shared":             {run.Result{Runner: "r", Shared: true}, false, "", 0, true, "deduplicated", true, "said\n"},
		"timed out":          {run.Result{Runner: "r", TimedOut: true}, false, "timed out after 1m0s", 0, false, "r", false, "said\n"},
		"stored, timed out":  {run.Result{Runner: "r", TimedOut: true}, true, "", 124, false, "r", false, "said\n"},
		"killed":             {run.Result{Runner: "r", Signal: 9, ExitCode: 137}, false, "killed by signal 9", 137, false, "r", false, "said\n"},
		"stored, killed":     {run.Result{Runner: "r", Signal: 9, ExitCode: 137}, true, "", 137, false, "r", false, "said\n"},
		"not started":        {run.Result{Runner: "r", NotStarted: "cannot run x", ExitCode: 127}, true, "cannot run x", 127, false, "r", false, "said\n"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.res.Stderr, tt.res.Stdout = text("said\n"), digest.Empty
			c := &cache{}
			w := &worker.Worker{Store: store, Cache: c, Runner: &runner{res: tt.res}, Beside: func(string) string { return "worker_test.go" }}
			o, err := w.Run(t.Context(), bound(name, tt.anyExit), schedule.Job{})
			if err != nil {
				t.Fatal(err)
			}
			if o.Failure != tt.failure || o.ExitCode != tt.exit || o.Runner != tt.runner || o.Cached != tt.cached || (o.Keep != nil) != tt.keeps {
				t.Errorf("%+v", o)
			}
			if got, err := cas.ReadAll(t.Context(), store, o.Stderr.File); err != nil || string(got) != tt.stderr {
				t.Errorf("stderr %q, %v", got, err)
			}
			if tt.anyExit && tt.failure == "" {
				if _, err := cas.ReadAll(t.Context(), store, digest.Of(schedule.ExitText(o.ExitCode))); err != nil {
					t.Errorf("the exit code's text is not in the store: %v", err)
				}
			}
			if o.Keep == nil {
				return
			}
			if err := o.Keep(t.Context()); err != nil || len(c.keys) != 1 {
				t.Errorf("kept %v, %v", c.keys, err)
			}
		})
	}
}

// Equal actions have one result to keep, under the key that the runner found.
func TestKeepsOnce(t *testing.T) {
	c := &cache{}
	narrowed := digest.Of([]byte("narrowed"))
	w := &worker.Worker{Store: &cas.Memory{}, Cache: c, Runner: &runner{res: run.Result{Key: narrowed}}}
	for range 3 {
		o, err := w.Run(t.Context(), bound("a", false), schedule.Job{})
		if err != nil || o.Key != narrowed {
			t.Fatal(o, err)
		}
		if err := o.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.keys) != 1 || c.keys[0] != narrowed {
		t.Errorf("recorded %v", c.keys)
	}
	c.err = errors.New("disk full")
	o, err := (&worker.Worker{Store: &cas.Memory{}, Cache: c, Runner: &runner{}}).Run(t.Context(), bound("b", false), schedule.Job{})
	if err != nil || !errors.Is(o.Keep(t.Context()), c.err) {
		t.Errorf("%v", err)
	}
}

func TestHints(t *testing.T) {
	r := &runner{}
	w := &worker.Worker{Store: &cas.Memory{}, Cache: &cache{}, Runner: r, NoLookup: func(s *action.Spec) bool { return s.Test }}
	early, slot := 0, 0
	job := schedule.Job{Early: func(string, action.Content) { early++ }, Slot: func(context.Context) (func(), error) { slot++; return nil, nil }}
	b := bound("a", false)
	b.Spec.Test = true
	if _, err := w.Run(t.Context(), b, job); err != nil || !r.hints.NoLookup {
		t.Errorf("%+v %v", r.hints, err)
	}
	r.hints.Early("", action.Content{})
	_, _ = r.hints.Slot(t.Context())
	if early != 1 || slot != 1 {
		t.Error(early, slot)
	}
	r.err = errors.New("no sandbox")
	if _, err := w.Run(t.Context(), b, job); !errors.Is(err, r.err) {
		t.Errorf("%v", err)
	}
}

type inputs map[*action.Artifact]action.Content

func (in inputs) Content(a *action.Artifact) (action.Content, error) {
	c, ok := in[a]
	if !ok {
		return c, fmt.Errorf("%s is no input", a.Path)
	}
	return c, nil
}

func (in inputs) Expand(*action.Artifact) ([]string, error) { return nil, nil }

func TestInternal(t *testing.T) {
	store := &cas.Memory{}
	w := &worker.Worker{Store: store}
	d, err := cas.PutBytes(t.Context(), store, []byte("hello NAME"))
	if err != nil {
		t.Fatal(err)
	}
	file, folder := &action.Artifact{Path: "f"}, &action.Artifact{Path: "d", Dir: true}
	in := inputs{file: {File: d}, folder: {Tree: tree.Empty}}
	do := func(s *action.Spec) (action.Content, error) { return w.Internal(t.Context(), s, in) }
	c, err := do(&action.Spec{Write: &action.Write{Template: file, Replace: func(s string) (string, error) { return strings.ReplaceAll(s, "NAME", "you"), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := w.Text(t.Context(), c); err != nil || string(b) != "hello you" || !c.Executable {
		t.Errorf("%q %v %v", b, c, err)
	}
	if c, err := do(&action.Spec{Link: &action.Link{Target: file}}); err != nil || c.File != d {
		t.Error(c, err)
	}
	if _, err := do(&action.Spec{Link: &action.Link{Target: file, Executable: true}}); err == nil || !strings.Contains(err.Error(), "not executable") {
		t.Error(err)
	}
	if c, err := do(&action.Spec{Link: &action.Link{Path: "../x"}}); err != nil || c.Symlink != "../x" {
		t.Error(c, err)
	}
	c, err = do(&action.Spec{Assemble: &action.Assemble{Entries: map[string]*action.Artifact{"a/b": file, "e": folder}}})
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := c.Tree.Lookup("a/b"); !ok || e.File != d {
		t.Errorf("%+v", c.Tree.Entries())
	}
	if _, err := do(&action.Spec{Assemble: &action.Assemble{Entries: map[string]*action.Artifact{"x": {Path: "gone"}}}}); err == nil {
		t.Error("an input that is none")
	}
	if _, err := do(&action.Spec{Mnemonic: "Odd"}); err == nil || !strings.Contains(err.Error(), "Odd") {
		t.Error(err)
	}
}

// A source file is served as it was digested, or not at all.
func TestWithSources(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, []byte("source"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := digest.Of([]byte("source"))
	s := worker.WithSources(&cas.Memory{}, func(x digest.Digest) (string, bool) { return p, x == d })
	if b, err := cas.ReadAll(t.Context(), s, d); err != nil || string(b) != "source" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := cas.ReadAll(t.Context(), s, digest.Of([]byte("other"))); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(p, []byte("edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := cas.ReadAll(t.Context(), s, d); err == nil {
		t.Errorf("an edit during the build goes unnoticed: %q", b)
	}
}

func TestHostRefuses(t *testing.T) {
	for err, want := range map[error]bool{
		fmt.Errorf("x: %w", &sandbox.StepError{Step: "mount"}):                                         true,
		fmt.Errorf("x: %w", &sandbox.StepError{Step: "create directory", Errno: syscall.ENAMETOOLONG}): false,
		fmt.Errorf("x: %w", syscall.ENOSPC):                                                            true,
		fmt.Errorf("x: %w", syscall.EROFS):                                                             true,
		fmt.Errorf("x: %w", syscall.ENOENT):                                                            false,
		context.Canceled:                                                                               false,
	} {
		if worker.HostRefuses(err) != want {
			t.Errorf("%v: want %v", err, want)
		}
	}
}
