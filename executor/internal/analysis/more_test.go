package analysis_test

import (
	"strings"
	"testing"

	"gorules/executor/internal/analysis"
)

func TestAnalysisTest(t *testing.T) {
	w := newWorld(t, aspects+`
-- p/BUILD --
load("//:defs.bzl", "counted_test")
counted_test(name = "a", t = "//q:a")
counted_test(name = "b", t = "//q:b")
-- q/BUILD --
package(default_visibility = ["//p:__pkg__"])
filegroup(name = "a")
filegroup(name = "b")
`)
	for target, end := range map[string]string{"//p:a": "exit 1\n", "//p:b": "exit 0\n"} {
		c := w.get(target)
		if got := content(t, c.Executable.Artifact.Producer); !strings.HasSuffix(got, end) || !strings.Contains(got, "\noh\n") {
			t.Errorf("%s: script %q", target, got)
		}
		if _, err := w.TestAction(c); err != nil {
			t.Error(err)
		}
	}
}

const expected = `
-- defs.bzl --
def _bad(ctx):
    fail("as planned")

bad = rule(implementation = _bad)

def _expect_test(ctx):
    causes = ctx.attr.t[0][AnalysisFailureInfo].causes.to_list()
    return AnalysisTestResultInfo(success = "as planned" in causes[0].message and causes[0].label == ctx.attr.t[0].label, message = "")

expect_test = rule(implementation = _expect_test, analysis_test = True, attrs = {
    "t": attr.label(cfg = analysis_test_transition(settings = {"//command_line_option:allow_analysis_failures": "True"})),
})
-- BUILD --
load(":defs.bzl", "bad", "expect_test")
bad(name = "b")
expect_test(name = "e", t = ":b")
`

func TestExpectedFailure(t *testing.T) {
	w := newWorld(t, expected)
	if got := content(t, w.get("//:e").Executable.Artifact.Producer); !strings.HasSuffix(got, "exit 0\n") {
		t.Errorf("script %q", got)
	}
	w.failsWith("//:b", "as planned")
}

func TestCheckFlags(t *testing.T) {
	for _, c := range []struct{ flag, value, want string }{
		{"//:mode", "x", ""},
		{"//:many", "a,b", ""},
		{"//:nope", "x", "no such target"},
		{"//:one", "x", "//:one is a show rule, not a build setting"},
	} {
		w := newWorld(t, selects, func(o *analysis.Options) { o.Config.BuildSettings = settings(t, c.flag, c.value) })
		err := w.CheckFlags(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("--%s=%s: %v, want %q", c.flag, c.value, err, c.want)
		}
	}
}

const shared = `
-- defs.bzl --
def _out(ctx):
    f = ctx.actions.declare_file("same.txt")
    ctx.actions.write(f, ctx.label.name)
    tree = ctx.actions.source_tree(include = ["*.c"])
    return [DefaultInfo(files = depset([f, tree]))]

out = rule(implementation = _out)

def _far(ctx):
    d = ctx.actions.declare_directory(ctx.label.name, at = "/far")
    ctx.actions.run(executable = "/bin/far", outputs = [d], arguments = [ctx.label.name])
    return [DefaultInfo(files = depset([d]))]

far = rule(implementation = _far)
-- BUILD --
load(":defs.bzl", "far", "out")
out(name = "a")
out(name = "b")
far(name = "far1")
far(name = "far2")
label_flag(name = "lf", build_setting_default = ":a")
config_setting(name = "is_b", flag_values = {":lf": ":b"})
config_setting(name = "empty")
filegroup(name = "sel", srcs = select({":is_b": [":b"], "//conditions:default": [":a"]}))
genrule(name = "g", outs = ["g.out"], cmd = "$(location :nope)")
genrule(name = "v", outs = ["v.out"], cmd = "echo $(NOPE)")
genrule(name = "d", outs = ["d.out"], cmd = "echo $$")
`

func TestConflictsAndSharedSources(t *testing.T) {
	w := newWorld(t, shared)
	a, b := w.get("//:a"), w.get("//:b")
	err := analysis.Conflicts([]*analysis.Configured{a, b})
	if err == nil || !strings.Contains(err.Error(), "same.txt is made by //:a too") {
		t.Errorf("Conflicts = %v", err)
	}
	if err := analysis.Conflicts([]*analysis.Configured{a, a}); err != nil {
		t.Errorf("a target conflicts with itself: %v", err)
	}
	// As two cargo_deps are: each at the same place of roots of their own.
	if err := analysis.Conflicts([]*analysis.Configured{w.get("//:far1"), w.get("//:far2")}); err != nil {
		t.Errorf("outputs that are laid out nowhere conflict: %v", err)
	}
	if a.Files.Files()[1].Artifact != b.Files.Files()[1].Artifact {
		t.Error("equal source trees are two artifacts")
	}
}

func TestLabelFlag(t *testing.T) {
	if got := newWorld(t, shared).get("//:sel").Files.Files()[0].Owner.Name; got != "a" {
		t.Errorf("default: %s", got)
	}
	set := func(o *analysis.Options) { o.Config.BuildSettings = settings(t, "//:lf", "//:b") }
	w := newWorld(t, shared, set)
	if got := w.get("//:sel").Files.Files()[0].Owner.Name; got != "b" {
		t.Errorf("set: %s", got)
	}
	if got := w.get("//:lf").Label.Name; got != "b" {
		t.Errorf("label_flag gives %s", got)
	}
}

func TestExpansionErrors(t *testing.T) {
	w := newWorld(t, shared)
	w.failsWith("//:g", "label '//:nope' in $(location) expression is not a declared prerequisite", "name it in srcs")
	w.failsWith("//:v", "$(NOPE) is not defined", "write $$")
	w.failsWith("//:empty", "config_setting tests nothing")
	if got := argv(t, w.producer("//:d"), dirs{}); !strings.HasSuffix(got[2], "echo $") {
		t.Errorf("command %q", got[2])
	}
}
