package run_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
)

// looker is a Runner that looks at what it is told to, and prints a number.
type looker struct {
	store cas.Store
	looks action.Observation
	exit  int
	ran   int
}

func (l *looker) Run(ctx context.Context, b *action.Bound, _ run.Hints) (run.Result, error) {
	l.ran++
	text := []byte(fmt.Sprintf("run %d", l.ran))
	d, err := cas.PutBytes(ctx, l.store, text)
	return run.Result{ExitCode: l.exit, Outputs: map[string]action.Content{}, Stdout: d, Stderr: digest.Empty, Key: b.Digest, Looks: l.looks}, err
}

type observedWorld struct {
	*testing.T
	local *looker
	cache *run.DiskCache
	saw   []string
	o     *run.Observed
}

func newObservedWorld(t *testing.T) *observedWorld {
	store, err := cas.OpenDisk(t.TempDir(), cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	cache, err := run.OpenDiskCache(t.TempDir(), "full", store, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &observedWorld{T: t, local: &looker{store: store}, cache: cache}
	w.o = &run.Observed{Next: run.Cached(w.local, cache), Local: w.local, Cache: cache, Known: cache,
		Saw: func(src *action.Source, at string, looks []action.Look) error {
			for _, l := range looks {
				w.saw = append(w.saw, l.Path)
			}
			return nil
		}}
	return w
}

// bound is an action with the scope files (path -> text) at /w.
func (w *observedWorld) bound(files map[string]string) *action.Bound {
	w.Helper()
	var b tree.Builder
	for p, text := range files {
		if err := b.AddFile(p, digest.Of([]byte(text)), false); err != nil {
			w.Fatal(err)
		}
	}
	tr, err := b.Build()
	if err != nil {
		w.Fatal(err)
	}
	art := &action.Artifact{Path: "/w", Dir: true, Source: &action.Source{Root: "/x", Tree: &action.TreeQuery{}, Quiet: true}}
	s := &action.Spec{Mnemonic: "Test", Argv: []action.Arg{action.Lit("/bin/x")}, Stdout: &action.Artifact{Path: "out"},
		Scopes: []action.Input{{Path: "/w", Artifact: art}}}
	bound, err := action.Bind(s, contents{art: {Tree: tr}})
	if err != nil {
		w.Fatal(err)
	}
	return bound
}

type contents map[*action.Artifact]action.Content

func (c contents) Content(a *action.Artifact) (action.Content, error) { return c[a], nil }
func (c contents) Expand(*action.Artifact) ([]string, error)          { return nil, nil }

// run runs b, keeps a good result as a command does, and reports whether a process ran.
func (w *observedWorld) run(files map[string]string, looks ...action.Look) bool {
	w.Helper()
	before := w.local.ran
	w.local.looks = action.NewObservation(looks)
	b := w.bound(files)
	res, err := w.o.Run(w.Context(), b, run.Hints{})
	if err != nil {
		w.Fatal(err)
	}
	if res.Bound == nil || res.Bound.Digest != res.Key || res.Key == b.Digest {
		w.Errorf("stored under %s, want the narrowed action's key", res.Key)
	}
	if res.Cache == "" && run.Cacheable(b, res) {
		if err := w.cache.Record(w.Context(), b, res); err != nil {
			w.Fatal(err)
		}
	}
	return w.local.ran > before
}

func TestObserved(t *testing.T) {
	w := newObservedWorld(t)
	a := map[string]string{"a": "1", "b": "1"}
	readA := action.Look{Path: "/w/a", What: action.Bytes}
	if !w.run(a, readA) {
		t.Error("nothing ran at first")
	}
	if w.run(a) || w.run(map[string]string{"a": "1", "b": "2", "c": "3"}) {
		t.Error("it ran again although what it read is the same")
	}
	if !slices.Equal(w.saw, []string{"/w/a", "/w/a", "/w/a"}) {
		t.Errorf("results rest on %q", w.saw)
	}
	// In another state it looks elsewhere.
	if !w.run(map[string]string{"a": "2", "b": "2"}, readA, action.Look{Path: "/w/b", What: action.Bytes}) {
		t.Error("it did not run although what it read is another")
	}
	if w.run(map[string]string{"a": "2", "b": "2"}) || w.run(a) {
		t.Error("one of both states is not known any more")
	}
	if !w.run(map[string]string{"a": "2", "b": "3"}, readA) {
		t.Error("it did not run although b, which it reads where a is 2, is another")
	}
}

// TestObservedFailure: what failed is not remembered.
func TestObservedFailure(t *testing.T) {
	w := newObservedWorld(t)
	w.local.exit = 1
	files := map[string]string{"a": "1"}
	read := action.Look{Path: "/w/a", What: action.Bytes}
	for range 2 {
		if !w.run(files, read) {
			t.Error("a failure was answered from a cache")
		}
	}
	if k := w.cache.Known(w.bound(files).Digest); len(k) != 0 {
		t.Errorf("%d observations of failures", len(k))
	}
}

// TestObservedUnseen: where nothing can be observed all of a scope counts.
func TestObservedUnseen(t *testing.T) {
	w := newObservedWorld(t)
	w.o.Unseen = func() bool { return true }
	if !w.run(map[string]string{"a": "1"}) || w.run(map[string]string{"a": "1"}) || !w.run(map[string]string{"a": "1", "b": "1"}) {
		t.Error("not all of the scope is its input, or more than that")
	}
}

// TestLooked: an action's own outputs are none of its inputs; what stands beside them is.
func TestLooked(t *testing.T) {
	b := &action.Bound{Outputs: []action.BoundOutput{{Path: "/profiles", Dir: true}, {Path: "/w/bazel-out/x"}}}
	var all []sandbox.Look
	for _, p := range []string{"/w/a", "/profiles", "/profiles/x", "/profiles2", "/w/bazel-out/x", "/w/bazel-out/y"} {
		all = append(all, sandbox.Look{Path: p, What: sandbox.LookKind})
	}
	var got []string
	for _, l := range run.Looked(b, all) {
		got = append(got, l.Path)
	}
	if want := []string{"/profiles2", "/w/a", "/w/bazel-out/y"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestObservations: the last ones are kept, the newest first, and damage is nothing.
func TestObservations(t *testing.T) {
	w := newObservedWorld(t)
	key := digest.Of([]byte("key"))
	var all []action.Observation
	for i := range 20 {
		o := action.NewObservation([]action.Look{{Path: fmt.Sprintf("/w/dir/%d", i), What: action.Kind}, {Path: "/w/dir", What: action.Names}, {Path: "/w/directory", What: action.Bytes | action.Kind}})
		all = append([]action.Observation{o}, all...)
		if err := w.cache.Add(key, o); err != nil {
			t.Fatal(err)
		}
	}
	known := w.cache.Known(key)
	if len(known) != 16 {
		t.Fatalf("%d are kept", len(known))
	}
	for i := range known {
		if !slices.Equal(known[i], all[i]) {
			t.Errorf("%d is %v, want %v", i, known[i], all[i])
		}
	}
	if err := w.cache.Add(key, all[5]); err != nil {
		t.Fatal(err)
	}
	if known = w.cache.Known(key); len(known) != 16 || !slices.Equal(known[0], all[5]) || !slices.Equal(known[1], all[0]) {
		t.Error("one that is met again does not come to the front")
	}
	if len(w.cache.Known(digest.Of([]byte("other")))) != 0 {
		t.Error("another action has them too")
	}
}
