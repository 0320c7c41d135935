package repo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gorules/executor/internal/fsx"
)

const killedEnv = "GORULES_TEST_KILLED_WORLD"

// TestKilledChild is the process that TestKilled starts and that is killed in
// the middle of a fetch.
func TestKilledChild(t *testing.T) {
	root := os.Getenv(killedEnv)
	if root == "" {
		t.Skip("not started by TestKilled")
	}
	w := &world{t: t, root: root, env: map[string]string{"PATH": "/usr/bin:/bin"}}
	_, err := w.target("@r//:x")
	t.Fatalf("still alive: %v", err)
}

// A process that is killed while it fetches leaves nothing that the next one
// takes for the repository.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, `
-- ws/BUILD --
-- ws/WORKSPACE --
load("//:r.bzl", "r")
r(name = "r", version = "1")
-- ws/r.bzl --
def _impl(ctx):
    ctx.file("BUILD", "filegroup(name = 'half')\n")
    if ctx.attr.version == "2" and ctx.path(Label("//:kill")).exists:
        ctx.execute(["/bin/sh", "-c", "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 10"])
    ctx.file("BUILD", "filegroup(name = 'x')\n")

r = repository_rule(implementation = _impl, attrs = {"version": attr.string()})
`)
	if _, err := w.target("@r//:x"); err != nil {
		t.Fatal(err)
	}
	w.write("-- ws/kill --\n-- ws/WORKSPACE --\nload('//:r.bzl', 'r')\nr(name = 'r', version = '2')\n")
	child := exec.CommandContext(t.Context(), exe, "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), killedEnv+"="+w.root)
	out, err := child.CombinedOutput()
	if err == nil || child.ProcessState.Exited() {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
	if got := w.read("out/external/r/BUILD"); got != "filegroup(name = 'half')\n" {
		t.Fatalf("the child was killed at the wrong moment: BUILD = %q", got)
	}
	if err := os.Remove(w.path("ws/kill")); err != nil {
		t.Fatal(err)
	}
	r, err := w.target("@r//:x")
	if err != nil || r.Fetches() != 1 {
		t.Errorf("%d fetches, %v", r.Fetches(), err)
	}
	if left, _ := filepath.Glob(w.path("out/external/.old-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// A marker that is cut off or garbled, or an old gorules wrote, counts as none.
func TestBadMarker(t *testing.T) {
	w := newWorld(t, "")
	if _, err := run(w, "ctx.getenv('X')"); err != nil {
		t.Fatal(err)
	}
	at := w.path("out/external/@r.marker")
	good := w.read("out/external/@r.marker")
	magic, _, _ := strings.Cut(good, "\n")
	body, ok := fsx.Plain.ReadChecked(at, magic+"\n")
	if !ok || !strings.Contains(string(body), "Facts") {
		t.Fatalf("marker %q", good)
	}
	checked := func(body string) func() error {
		return func() error { return fsx.Plain.WriteChecked(at, magic+"\n", []byte(body)) }
	}
	plain := func(text string) func() error {
		return func() error { return os.WriteFile(at, []byte(text), 0o600) }
	}
	for name, spoil := range map[string]func() error{
		"empty": plain(""), "cut": plain(good[:len(good)-2]), "garbled": plain(strings.Replace(good, "Facts", "facts", 1)),
		"other version": plain("x" + good), "version 1": plain("gorules repository 1\nENV \"X\" \"\"\nEND\n"),
		"no marker": func() error { return os.Remove(at) }, "no folder": func() error { return os.RemoveAll(w.path("out/external/r")) },
		"no marker at all": checked("x"), "no facts": checked(strings.Replace(string(body), "Facts", "Stuff", 1)),
		"unknown fact": checked(strings.Replace(string(body), "\x08\x08DECLARED", "\x63\x08DECLARED", 1)),
	} {
		if !w.fresh() {
			t.Errorf("%s: not fresh before", name)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if w.fresh() {
			t.Errorf("%s: fresh", name)
		}
		for i, want := range []int{1, 0} {
			if r, err := w.target("@r//:x"); err != nil || r.Fetches() != want {
				t.Errorf("%s, command %d: %d fetches, want %d, %v", name, i, r.Fetches(), want, err)
			}
		}
	}
}
