package layout_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/tree"
	"gorules/executor/label"
)

type world struct {
	*testing.T
	dir, workspace string
	store          *cas.Memory
}

func newWorld(t *testing.T) *world {
	return &world{t, t.TempDir(), t.TempDir(), &cas.Memory{}}
}

func (w *world) open(prefix string) *layout.Layout {
	return layout.Open(layout.Options{Workspace: w.workspace, Dir: w.dir, Prefix: prefix, Store: w.store,
		Digest: func(p string) (digest.Digest, error) {
			b, err := os.ReadFile(p)
			return digest.Of(b), err
		}})
}

func (w *world) file(text string) action.Content {
	d, err := cas.PutBytes(w.Context(), w.store, []byte(text))
	if err != nil {
		w.Fatal(err)
	}
	return action.Content{File: d}
}

func out(p string) *action.Artifact {
	return &action.Artifact{Path: "bazel-out/k8-fastbuild/bin/" + p}
}

// lay lays out files of a target as one command does.
func (w *world) lay(l *layout.Layout, kind layout.Kind, name string, files ...string) {
	w.Helper()
	t := l.Target(label.Label{Name: name}, kind)
	for _, f := range files {
		if _, err := t.Output(w.Context(), out(f), w.file(f)); err != nil {
			w.Fatal(err)
		}
	}
	if err := t.Done(); err != nil {
		w.Fatal(err)
	}
}

func (w *world) close(l *layout.Layout) {
	if err := l.Close(); err != nil {
		w.Error(err)
	}
}

// files lists what is below the folder of outputs.
func (w *world) files() string {
	var all []string
	root := filepath.Join(w.dir, "bin")
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(root, p)
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// What a target does not make any more disappears; what others made, or another
// kind of command did, stays.
func TestReplaced(t *testing.T) {
	w := newWorld(t)
	l := w.open("")
	w.lay(l, layout.Outputs, "a", "a/x", "a/y", "shared")
	w.lay(l, layout.Outputs, "b", "b/z")
	w.lay(l, layout.Results, "a", "a/report")
	w.close(l)
	l = w.open("")
	w.lay(l, layout.Outputs, "b", "b/z", "shared")
	w.lay(l, layout.Outputs, "a", "a/y")
	w.close(l)
	if got := w.files(); got != "a/report a/y b/z shared" {
		t.Errorf("after one output less: %s", got)
	}
	l = w.open("")
	w.lay(l, layout.Results, "a") // not judged this time
	w.close(l)
	if got := w.files(); got != "a/y b/z shared" {
		t.Errorf("after a run without a verdict: %s", got)
	}
	l = w.open("")
	if err := l.Forget(func(_ layout.Kind, name string) bool { return name == "//:b" }); err != nil {
		t.Fatal(err)
	}
	w.close(l)
	if got := w.files(); got != "a/y" {
		t.Errorf("after b was removed: %s", got)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "bin", "b")); err == nil {
		t.Error("an empty folder is left")
	}
}

// A folder that became a file, a file that became a folder, and a tree that is
// part of what another target had.
func TestChangesOfKind(t *testing.T) {
	w := newWorld(t)
	l := w.open("")
	w.lay(l, layout.Outputs, "a", "d/x", "e")
	w.close(l)
	l = w.open("")
	w.lay(l, layout.Outputs, "a", "d", "e/x")
	w.close(l)
	if got := w.files(); got != "d e/x" {
		t.Errorf("%s", got)
	}
}

func TestRunnable(t *testing.T) {
	w := newWorld(t)
	var b tree.Builder
	if err := b.AddFile("t", w.file("t").File, false); err != nil {
		t.Fatal(err)
	}
	dir, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	content := func(a *action.Artifact) (action.Content, error) {
		if a.Dir {
			return action.Content{Tree: dir}, nil
		}
		return w.file(a.Path), nil
	}
	run := func(exe *action.Artifact, data ...string) (string, string) {
		l := w.open("")
		in := action.InputList{{Path: "/_main/tree", Artifact: &action.Artifact{Path: "tree", Dir: true}}}
		for _, d := range data {
			in = append(in, action.Input{Path: "/_main/" + d, Artifact: out(d)})
		}
		tl := l.Target(label.Label{Name: "p"}, layout.Program)
		program, root, err := tl.Runnable(t.Context(), exe, action.Content{File: w.file("exe").File, Executable: true}, in, content)
		if err != nil {
			t.Fatal(err)
		}
		if err := tl.Done(); err != nil {
			t.Fatal(err)
		}
		w.close(l)
		return program, root
	}
	run(out("p"), "a", "sub/b")
	program, root := run(out("p"), "a")
	if got := w.files(); got != "p p.runfiles/_main/a p.runfiles/_main/tree/t" {
		t.Errorf("after data was removed: %s", got)
	}
	if info, err := os.Stat(program); err != nil || info.Mode()&0o100 == 0 || root != program+".runfiles" {
		t.Errorf("%s %s: %v", program, root, err)
	}
	// At an absolute path of the action's root, in no package.
	if program, _ = run(&action.Artifact{Path: "/opt/tool"}); !strings.HasSuffix(program, "bin/_run/opt/tool") {
		t.Errorf("at=: %s", program)
	}
	if _, err := os.Stat(program); err != nil {
		t.Error(err)
	}
	src := t.TempDir()
	if program, root = run(&action.Artifact{Path: "s.sh", Source: &action.Source{Root: src, Path: "s.sh"}}); program != filepath.Join(src, "s.sh") {
		t.Errorf("source: %s", program)
	}
	if info, err := os.Stat(filepath.Join(root, "_main")); err != nil || !info.IsDir() {
		t.Error(err)
	}
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	l := w.open("")
	if warning, err := l.Links(); warning != "" || err != nil {
		t.Fatal(warning, err)
	}
	if to, err := os.Readlink(filepath.Join(w.workspace, "gorules-bin")); err != nil || to != filepath.Join(w.dir, "bin") {
		t.Error(to, err)
	}
	if err := layout.Unlink(w.workspace, w.dir, ""); err != nil {
		t.Fatal(err)
	}
	if es, _ := os.ReadDir(w.workspace); len(es) != 0 {
		t.Errorf("left %v", es)
	}
	l = w.open("links/x-")
	if _, err := l.Links(); err != nil {
		t.Fatal(err)
	}
	shown, err := l.Target(label.Label{Name: "a"}, layout.Outputs).Output(t.Context(), out("a"), w.file("a"))
	if err != nil || shown != "links/x-bin/a" {
		t.Error(shown, err)
	}
	if b, err := os.ReadFile(filepath.Join(w.workspace, shown)); err != nil || string(b) != "a" {
		t.Error(string(b), err)
	}
	l = w.open(layout.NoLinks)
	if warning, err := l.Links(); warning != "" || err != nil {
		t.Fatal(warning, err)
	}
	if shown, err = l.Target(label.Label{Name: "a"}, layout.Outputs).Output(t.Context(), out("a"), w.file("a")); shown != filepath.Join(w.dir, "bin", "a") {
		t.Error(shown, err)
	}
	if err := os.WriteFile(filepath.Join(w.workspace, "gorules-testlogs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.open("").Links(); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("a file of that name: %v", err)
	}
}

// A name that is as long as a file system takes can be laid out; one that is too
// long is an error of its own.
func TestLongNames(t *testing.T) {
	w := newWorld(t)
	l := w.open("")
	if _, err := l.Links(); err != nil {
		t.Fatal(err)
	}
	w.lay(l, layout.Outputs, "longest", strings.Repeat("n", 255))
	var unfit *layout.Unfit
	_, err := l.Target(label.Label{Name: "longer"}, layout.Outputs).Output(t.Context(), out(strings.Repeat("n", 256)), w.file("x"))
	if !errors.As(err, &unfit) || !strings.HasSuffix(err.Error(), ": file name too long") {
		t.Errorf("%v", err)
	}
}

func TestBeside(t *testing.T) {
	w := newWorld(t)
	l := w.open("")
	for p, want := range map[string]string{
		"/usr/bin/cc": "/usr/bin/cc", "/w/a/b": w.workspace + "/a/b", "/wide": "/wide",
		"/w/bazel-out/k8-fastbuild/bin/a/b": w.dir + "/bin/a/b",
	} {
		if got := l.Beside(p); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}
