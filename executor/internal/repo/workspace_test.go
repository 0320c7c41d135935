package repo_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gorules/executor/diag"
	"gorules/executor/internal/repo"
	"gorules/executor/label"
)

const rules = `
-- ws/BUILD --
filegroup(name = "main", srcs = ["@r//:a.txt", "data"])
-- ws/data --
one
-- ws/rules.bzl --
def _impl(ctx):
    ctx.file("BUILD", "filegroup(name = 'g', srcs = ['a.txt'])\n", executable = False)
    ctx.file("a.txt", ctx.attr.text + ctx.getenv("VAR", "unset") + (ctx.read(ctx.attr.src) if ctx.attr.src else ""))

make = repository_rule(implementation = _impl, attrs = {
    "text": attr.string(),
    "src": attr.label(),
})
`

func TestFetchOnlyWhenSomethingChanged(t *testing.T) {
	w := newWorld(t, rules+`
-- ws/WORKSPACE --
workspace(name = "top")
load("//:rules.bzl", "make")
make(name = "r", text = "x", src = "//:data")
make(name = "unused")
`)
	step := func(what string, want int, text string) {
		t.Helper()
		r, err := w.target("@r//:a.txt")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := r.Fetches(); got != want {
			t.Errorf("%s: %d fetches, want %d", what, got, want)
		}
		if got := w.read("out/external/r/a.txt"); got != text {
			t.Errorf("%s: a.txt = %q, want %q", what, got, text)
		}
		if !w.fresh() {
			t.Errorf("%s: not fresh", what)
		}
	}
	step("first", 1, "xunsetone\n")
	step("again", 0, "xunsetone\n")
	w.write("-- ws/data --\none\n") // touched, not changed
	step("touched", 0, "xunsetone\n")
	w.write("-- ws/data --\ntwo\n")
	if w.fresh() {
		t.Error("fresh after a change of a file it read")
	}
	step("file", 1, "xunsettwo\n")
	w.env["VAR"] = "!"
	step("variable", 1, "x!two\n")
	w.env["OTHER"] = "!"
	step("other variable", 0, "x!two\n")
	w.write("-- ws/WORKSPACE --\nload('//:rules.bzl', 'make')\nmake(name = 'r', text = 'y', src = '//:data')\n")
	step("attribute", 1, "y!two\n")
	w.write("-- ws/rules.bzl --\n# comment\n" + strings.TrimPrefix(w.read("ws/rules.bzl"), "\n"))
	step("rule", 1, "y!two\n")
	if err := os.Remove(w.path("out/external/@r.marker")); err != nil {
		t.Fatal(err)
	}
	step("no marker, as after kill -9", 1, "y!two\n")
	if _, err := os.Stat(w.path("out/external/unused")); err == nil {
		t.Error("@unused was fetched")
	}
	if err := w.open().FetchAll(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFailedFetchKeepsTheOldOne(t *testing.T) {
	w := newWorld(t, rules+"-- ws/WORKSPACE --\nload('//:rules.bzl', 'make')\nmake(name = 'r', text = 'x')\n")
	if _, err := w.target("@r//:a.txt"); err != nil {
		t.Fatal(err)
	}
	w.write("-- ws/WORKSPACE --\nload('//:rules.bzl', 'make')\nmake(name = 'r', text = 'x', src = '//:nothing')\n")
	_, err := w.target("@r//:a.txt")
	want := "WORKSPACE:2:5: fetching @r (make): rules.bzl:3:77: read: no such file: //:nothing (" + w.path("ws/nothing") + ")"
	if fmt.Sprint(err) != want {
		t.Errorf("error = %v\nwant    %s", err, want)
	}
	w.write("-- ws/WORKSPACE --\nload('//:rules.bzl', 'make')\nmake(name = 'r', text = 'x')\n")
	r, err := w.target("@r//:a.txt")
	if err != nil || r.Fetches() != 0 {
		t.Errorf("%d fetches, %v; want the old repository", r.Fetches(), err)
	}
}

func TestWorkspaceErrors(t *testing.T) {
	for _, tt := range []struct{ name, workspace, target, want string }{
		{"undeclared", "make_it = 1\n", "@r//:x", "no repository @r is declared in WORKSPACE\n    declare it there: a repository rule with name = \"r\""},
		{"misspelt", "local_repository(name = 'rules', path = 'x')\n", "@rulse//:x", "no repository @rulse is declared in WORKSPACE (did you mean 'rules'?)\n    declare it there: a repository rule with name = \"rulse\""},
		{"local missing", "local_repository(name = 'r', path = '../x')\n", "@r//:x", "WORKSPACE:1:17: local_repository @r: there is no folder ROOT/x"},
		{"load undeclared", "load('@r//:x.bzl', 'x')\n", "//:main", "WORKSPACE:1:6: no repository @r is declared in WORKSPACE\n    declare it there: a repository rule with name = \"r\""},
		{"attribute", "local_repository(name = 'r', pth = 'x')\n", "//:main", `WORKSPACE:1:17: local_repository r: repository rule local_repository has no attribute "pth" (did you mean "path"?)`},
		{"def", "def f(): pass\n", "//:main", "WORKSPACE:1:1: functions may not be defined in WORKSPACE files.\n    You may move the function to a .bzl file and load it."},
		{"name", "local_repository(name = 'a b', path = 'x')\n", "//:main", "WORKSPACE:1:17: local_repository: invalid repository name \"a b\": use letters, digits, '_', '-' and '.'"},
		{"cycle", "load('//:rules.bzl', 'make')\nmake(name = 'a', src = '@b//:a.txt')\nmake(name = 'b', src = '@a//:a.txt')\n", "@a//:x",
			"WORKSPACE:2:5: repositories form a cycle:\n    fetching @a ->\n    fetching @b ->\n    fetching @a\n    one of them must do without the file of the next"},
		{"redeclared after use", "load('//:rules.bzl', 'make')\nmake(name = 'r')\nload('@r//:x.bzl', 'x')\n", "//:main",
			"WORKSPACE:3:6: cannot load '@r//:x.bzl': no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, rules)
			w.write("-- ws/WORKSPACE --\n" + tt.workspace)
			_, err := w.target(tt.target)
			if got, want := told(err), strings.ReplaceAll(tt.want, "ROOT", w.root); got != want {
				t.Errorf("error:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// A workspace that is consumed through local_repository brings its own
// repositories; those marked root_wins give way to the root's.
func TestNestedWorkspace(t *testing.T) {
	w := newWorld(t, `
-- rules.bzl --
def _impl(ctx):
    ctx.file("BUILD", "filegroup(name = '%s')\n" % ctx.attr.what)
crates = repository_rule(implementation = _impl, attrs = {"what": attr.string()})
toolchain = repository_rule(implementation = _impl, attrs = {"what": attr.string()}, root_wins = True)
-- hello/BUILD --
load("//:defs.bzl", "name")
load("@gorules//cargo:defs.bzl", "y")
filegroup(name = name, srcs = ["@crates//:hello_crate", "@rust//:top_rust", "@hello_ws//:x", "@cc//:hello_cc", "@shared//:s"])
filegroup(name = "x")
-- hello/defs.bzl --
name = "hello"
-- hello/rules.bzl --
-- hello/WORKSPACE --
workspace(name = "hello_ws")
load("//:r.bzl", "crates", "toolchain")
crates(name = "crates", what = "hello_crate")
toolchain(name = "rust", what = "hello_rust")
toolchain(name = "cc", what = "hello_cc")
register_toolchains("@rust//:all", "//:mine")
-- ws/BUILD --
filegroup(name = "main", srcs = ["@hello//:hello", "@crates//:top_crate"])
-- ws/WORKSPACE --
workspace(name = "top")
load("//:r.bzl", "crates", "toolchain")
local_repository(name = "hello", path = "../hello")
crates(name = "crates", what = "top_crate")
crates(name = "shared", what = "s")
toolchain(name = "rust", what = "top_rust")
register_toolchains("@rust//:all")
`)
	for _, dir := range []string{"ws", "hello"} {
		w.write("-- " + dir + "/r.bzl --\n" + w.read("rules.bzl"))
	}
	r := w.open()
	p, err := r.Loader().Package(t.Context(), label.Package{Repo: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range p.Targets["hello"].Dependencies() {
		got = append(got, d.Label.String())
		if _, err := r.Loader().Target(t.Context(), d.Label); err != nil {
			t.Error(err)
		}
	}
	want := "@hello+crates//:hello_crate @rust//:top_rust @hello//:x @hello+cc//:hello_cc @shared//:s"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("dependencies %s\nwant         %s", s, want)
	}
	if _, err := os.Stat(w.path("out/external/hello+rust")); err == nil {
		t.Error("the nested toolchain was fetched")
	}
	regs, err := r.Registered(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, reg := range regs.Toolchains {
		names = append(names, reg.Pattern.Package.String()+":"+reg.Pattern.Name)
	}
	if s := strings.Join(names, " "); s != "@rust//:" {
		t.Errorf("registered %s", s)
	}
	if err := r.FetchAll(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(w.path("out/external/hello+rust")); err == nil {
		t.Error("FetchAll fetched a repository that the root's takes the place of")
	}
}

func TestModuleFile(t *testing.T) {
	w := newWorld(t, `
-- ws/MODULE.bazel --
module(name = "top", version = "1")
bazel_dep(name = "platforms", version = "1")
bazel_dep(name = "dep", version = "1", repo_name = "d")
local_path_override(module_name = "dep", path = "../dep")
bazel_dep(name = "far", version = "2")
register_toolchains("//:tc")
-- ws/BUILD --
filegroup(name = "main", srcs = ["@d//:x", "@platforms//cpu:arm", "@top//:main2"])
filegroup(name = "main2")
-- dep/BUILD --
filegroup(name = "x")
-- dep/MODULE.bazel --
module(name = "dep")
`)
	r, err := w.target("//:main")
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Loader().Package(t.Context(), label.Package{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range p.Targets["main"].Dependencies() {
		if _, err := r.Loader().Target(t.Context(), d.Label); err != nil {
			t.Errorf("%s: %v", d.Label, err)
		}
	}
	_, err = w.target("@far//:x")
	if err == nil || !strings.Contains(err.Error(), `bazel_dep "far" has no local_path_override`) {
		t.Errorf("error = %v", err)
	}
	w.write("-- ws/MODULE.bazel --\nuse_repo(1)\n")
	_, err = w.target("//:main")
	if err == nil || !strings.HasPrefix(err.Error(), "MODULE.bazel:1:9: use_repo() is not supported") {
		t.Errorf("error = %v", err)
	}
}

func TestEmbedded(t *testing.T) {
	w := newWorld(t, "-- ws/WORKSPACE --\nload('@gorules//cargo:defs.bzl', 'y', 'out')\n-- ws/BUILD --\n")
	r, err := w.target("@bazel_tools//:x.bzl")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dir, err := r.Materialize(t.Context(), "bazel_tools")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(dir + "/x.bzl"); err != nil || string(b) != "x = 1\n" {
			t.Errorf("x.bzl = %q, %v", b, err)
		}
	}
	v, err := r.View(t.Context(), "bazel_tools")
	if err != nil || !v.Immutable || v.Root != "" || v.Files == nil {
		t.Errorf("view = %+v, %v", v, err)
	}
}

func TestLockFile(t *testing.T) {
	w := newWorld(t, rules+`
-- ws/lock.bzl --
def _impl(ctx):
    ctx.file("BUILD", "filegroup(name = '%s')" % ctx.lock("git:x", ctx.attr.commit))
pin = repository_rule(implementation = _impl, attrs = {"commit": attr.string()})
-- ws/WORKSPACE --
load("//:lock.bzl", "pin")
pin(name = "p", commit = "c1")
`)
	w.mode = repo.LockError
	_, err := w.target("@p//:c1")
	if err == nil || !strings.Contains(err.Error(), "gorules.lock: a fact is missing and --lockfile_mode=error forbids to add it: git:x c1") {
		t.Errorf("error = %v", err)
	}
	w.mode = repo.LockUpdate
	if _, err := w.target("@p//:c1"); err != nil {
		t.Fatal(err)
	}
	if got := w.read("ws/gorules.lock"); !strings.HasSuffix(got, "\ngit:x c1\n") || strings.Count(got, "\n") != 2 {
		t.Errorf("gorules.lock = %q", got)
	}
	w.mode = repo.LockError
	if r, err := w.target("@p//:c1"); err != nil || r.Fetches() != 0 {
		t.Errorf("%d fetches, %v", r.Fetches(), err)
	}
	w.mode = repo.LockUpdate
	w.write("-- ws/WORKSPACE --\nload('//:lock.bzl', 'pin')\npin(name = 'p', commit = 'c2')\n")
	_, err = w.target("@p//:c2")
	if err == nil || !strings.HasPrefix(told(err), "gorules.lock:2:1: git:x is pinned to\n        c1\n    but is now\n        c2\n    if that is intended") {
		t.Errorf("error = %v", err)
	}
	w.write("-- ws/gorules.lock --\ngit:x c1\n<<<<<<< HEAD\n")
	_, err = w.target("@p//:c2")
	if err == nil || !strings.HasPrefix(err.Error(), "gorules.lock:2:1: expected a line 'KEY VALUE', got '<<<<<<< HEAD'") {
		t.Errorf("error = %v", err)
	}
}

// What another command added to gorules.lock since it was read stays there.
func TestLockFileOfTwo(t *testing.T) {
	w := newWorld(t, rules+`
-- ws/lock.bzl --
def _impl(ctx):
    ctx.lock("b", "1")
    ctx.execute(["sh", "-c", "echo '%s' >>ROOT/ws/gorules.lock" % ctx.attr.other])
    ctx.file("BUILD", "filegroup(name = 'x')")
pin = repository_rule(implementation = _impl, attrs = {"other": attr.string()})
-- ws/WORKSPACE --
load("//:lock.bzl", "pin")
pin(name = "p", other = "a 1")
pin(name = "q", other = "c 1\nb 1")
pin(name = "r", other = "b 2")
-- ws/gorules.lock --
gone 1
`)
	for _, tt := range []struct{ repo, lines, err string }{
		{"p", "a 1\nb 1\ngone 1\n", ""},
		{"q", "a 1\nb 1\nc 1\ngone 1\n", ""},
		{"r", "b 2\n", "gorules.lock:1:1: b is pinned to\n        2\n    but is now\n        1"},
	} {
		if tt.repo != "p" {
			w.shell("rm ws/gorules.lock")
			w.write("-- ws/gorules.lock --\na 1\ngone 1\n")
		}
		if tt.err != "" {
			w.shell("rm ws/gorules.lock")
		}
		_, err := w.target("@" + tt.repo + "//:x")
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
			t.Errorf("@%s: %v", tt.repo, err)
		}
		if got := w.read("ws/gorules.lock"); !strings.HasSuffix("\n"+got, "\n"+tt.lines) {
			t.Errorf("@%s: gorules.lock = %q", tt.repo, got)
		}
	}
}

// told is an error with its hint on a line of its own.
func told(err error) string {
	if hint := diag.Hint(err); hint != "" {
		return err.Error() + "\n    " + hint
	}
	return fmt.Sprint(err)
}
