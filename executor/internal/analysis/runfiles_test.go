package analysis_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gorules/executor/internal/action"
)

const runfilesRules = `
-- defs.bzl --
def _lib(ctx):
    r = ctx.runfiles(files = ctx.files.data, root_symlinks = {"root/x": ctx.files.data[0]}, symlinks = {"sym/y": ctx.files.data[0]})
    return DefaultInfo(runfiles = r)

lib = rule(implementation = _lib, attrs = {"data": attr.label_list(allow_files = True)})

def _bin(ctx):
    exe = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(exe, "echo")
    r = ctx.runfiles(collect_default = True).merge_all([ctx.runfiles(transitive_files = depset(ctx.files.data))])
    return DefaultInfo(executable = exe, runfiles = r)

bin = rule(implementation = _bin, executable = True, attrs = {"deps": attr.label_list(), "data": attr.label_list(allow_files = True)})

def _none(ctx):
    return DefaultInfo()

none = rule(implementation = _none, executable = True)

def _twice(ctx):
    return [DefaultInfo(), DefaultInfo()]

twice = rule(implementation = _twice)

def _string(ctx):
    return "x"

string = rule(implementation = _string)
-- BUILD --
load(":defs.bzl", "bin", "lib", "none", "string", "twice")
lib(name = "l", data = ["a.txt", "@ext//p:e.txt"])
bin(name = "b", deps = [":l"], data = ["b.txt"])
none(name = "n")
twice(name = "twice")
string(name = "s")
-- a.txt --
-- b.txt --
`

func TestRunfiles(t *testing.T) {
	ext := write(t, "-- p/BUILD --\nexports_files([\"e.txt\"])\n-- p/e.txt --\n")
	w := newWorldWith(t, runfilesRules, repos{"ext": ext})
	c := w.get("//:b")
	var got []string
	w.RunfilesAt("b.runfiles", c.Runfiles).Each(func(in action.Input) bool {
		got = append(got, in.Path+" = "+in.Artifact.Path)
		return true
	})
	want := []string{
		"/w/b.runfiles/_main/a.txt = a.txt",
		"/w/b.runfiles/ext/p/e.txt = external/ext/p/e.txt",
		"/w/b.runfiles/_main/b.txt = b.txt",
		"/w/b.runfiles/_main/b = bazel-out/k8-fastbuild/bin/b",
		"/w/b.runfiles/_main/sym/y = a.txt",
		"/w/b.runfiles/root/x = a.txt",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("runfiles (-want +got):\n%s", d)
	}
}

func TestReturnValueErrors(t *testing.T) {
	w := newWorld(t, runfilesRules)
	w.failsWith("//:n", "rule none is executable", "DefaultInfo(executable = file)")
	w.failsWith("//:twice", "multiple conflicting returned providers with key DefaultInfo")
	w.failsWith("//:s", `should return a struct, a provider instance or a list of those, but got "x" (string)`)
}
