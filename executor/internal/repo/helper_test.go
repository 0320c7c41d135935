package repo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"gorules/executor/event"
	"gorules/executor/internal/repo"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

const natives = `
filegroup = rule(implementation = lambda ctx: [], attrs = {"srcs": attr.label_list(allow_files = True)})
`

// world is a machine with folders; ws is the main workspace.
type world struct {
	t    *testing.T
	root string
	env  map[string]string
	mode repo.LockfileMode

	limits repo.Limits

	sources *source.Snapshot // of the last process
	warned  []string         // what that said
}

func newWorld(t *testing.T, archive string) *world {
	w := &world{t: t, root: t.TempDir(), env: map[string]string{"PATH": "/usr/bin:/bin"}}
	w.write(archive)
	return w
}

// write writes files; ROOT in their text becomes the folder of the world.
func (w *world) write(archive string) {
	w.t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		p := w.path(f.Name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.ReplaceAll(string(f.Data), "ROOT", w.root)), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) path(p string) string { return filepath.Join(w.root, filepath.FromSlash(p)) }

// shell runs a command in the folder of the world.
func (w *world) shell(command string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "sh", "-ec", command)
	cmd.Dir = w.root
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func (w *world) read(p string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.path(p))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// open is a new process: nothing is remembered but files.
func (w *world) open() *repo.Repositories {
	w.t.Helper()
	w.sources, w.warned = source.New(source.LoadCache("")), nil
	r, err := repo.New(repo.Options{
		Limits:  w.limits,
		Sources: w.sources,
		Sink: func(e event.Event) {
			if d, ok := e.(event.Diagnostic); ok {
				w.warned = append(w.warned, d.Text)
			}
		},
		Workspace:  w.path("ws"),
		OutputRoot: w.path("out"),
		Builtins:   "builtins",
		Env:        w.env,
		Lockfile:   w.mode,
		Embedded: fstest.MapFS{
			"builtins/rules.bzl":           {Data: []byte(natives)},
			"cargo/defs.bzl":               {Data: []byte("load(\"@bazel_tools//:x.bzl\", \"x\")\ny = x\nout = Label(\"@crates//:a\")\n")},
			"embedded/bazel_tools/x.bzl":   {Data: []byte("x = 1\n")},
			"embedded/bazel_tools/BUILD":   {Data: []byte("filegroup(name = 'f', srcs = ['x.bzl'])\n")},
			"embedded/platforms/cpu/BUILD": {Data: []byte("filegroup(name = 'arm')\n")},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// fresh reports whether a command that rests on what the last process read would
// read the same.
func (w *world) fresh() bool {
	ok, _ := source.Hold(w.sources.Facts(), w.env)
	return ok
}

// target loads one target in a new process and returns the repositories.
func (w *world) target(text string) (*repo.Repositories, error) {
	w.t.Helper()
	r := w.open()
	l, err := label.Parse(text, label.Package{})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = r.Loader().Target(w.t.Context(), l)
	return r, err
}
