package analysis_test

import (
	"slices"
	"strings"
	"testing"

	"gorules/executor/internal/analysis"
	"gorules/executor/label"
)

const shTests = `
-- BUILD --
sh_test(name = "t", size = "small", srcs = ["t.sh"], data = ["d.txt", "//p:lib"], args = ["$(location d.txt)", "'a b' c"], env = {"X": "$(location d.txt)"})
sh_library(name = "l")
-- t.sh --
-- d.txt --
-- p/BUILD --
sh_library(name = "lib", srcs = ["l.sh"], visibility = ["//:__pkg__"])
-- p/l.sh --
`

func TestTestAction(t *testing.T) {
	w := newWorld(t, shTests, func(o *analysis.Options) {
		o.Config.Test = analysis.TestOptions{Filter: "F", Args: []string{"--more"}, Env: map[string]string{"E": "1"}}
	})
	c := w.get("//:t")
	test, err := w.TestAction(c)
	if err != nil {
		t.Fatal(err)
	}
	s := test.Spec
	const root = "/w/bazel-out/k8-fastbuild/bin/t.runfiles"
	got := argv(t, s, dirs{})
	if strings.Join(got[3:], "|") != root+"/_main/t|./d.txt|a b|c|--more" {
		t.Errorf("argv %q", got[3:])
	}
	for k, v := range map[string]string{
		"TEST_SRCDIR": root, "RUNFILES_DIR": root, "TEST_WORKSPACE": "_main", "TEST_TARGET": "//:t", "TEST_SIZE": "small", "TEST_TIMEOUT": "60",
		"TESTBRIDGE_TEST_ONLY": "F", "E": "1", "X": "./d.txt", "BAZEL_TEST": "1", "TZ": "UTC", "XML_OUTPUT_FILE": "/w/bazel-out/testlogs/t/test.xml",
	} {
		if s.Env[k] != v {
			t.Errorf("%s = %q, want %q", k, s.Env[k], v)
		}
	}
	for _, p := range []string{"t", "t.sh", "d.txt", "p/l.sh"} {
		if !slices.Contains(inputs(s), root+"/_main/"+p) {
			t.Errorf("no runfile %s in %v", p, inputs(s))
		}
	}
	if s.Workdir != root+"/_main" || s.Timeout.Seconds() != 60 || !s.Test || s.Mnemonic != "TestRunner" || s.ExitCode != test.ExitCode || s.Stdout != test.Log {
		t.Errorf("spec %+v", s)
	}
	if _, err := w.TestAction(w.get("//:l")); err == nil {
		t.Error("a library has a test action")
	}
}

const chains = `
-- defs.bzl --
def _impl(ctx):
    tc = ctx.toolchains["//:kind"]
    if "//:kind" not in ctx.toolchains or ctx.toolchains[Label("//:optional")] != None:
        fail("toolchains")
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, tc.name + ctx.var["VAR"])
    return DefaultInfo(files = depset([out]))

user = rule(implementation = _impl, toolchains = ["//:kind", config_common.toolchain_type("//:optional", mandatory = False)])

def _tc(ctx):
    return [platform_common.ToolchainInfo(name = ctx.label.name), platform_common.TemplateVariableInfo({"VAR": "+v"})]

tc = rule(implementation = _tc)

needs_optional = rule(implementation = _impl, toolchains = ["//:optional"])
-- BUILD --
load(":defs.bzl", "needs_optional", "tc", "user")
toolchain_type(name = "kind")
toolchain_type(name = "optional")
tc(name = "win_tc")
tc(name = "linux_tc")
toolchain(name = "win", toolchain = ":win_tc", toolchain_type = ":kind", target_compatible_with = ["@platforms//os:windows"])
toolchain(name = "linux", toolchain = ":linux_tc", toolchain_type = ":kind", exec_compatible_with = ["@platforms//os:linux"])
platform(name = "windows", constraint_values = ["@platforms//os:windows"])
user(name = "u")
needs_optional(name = "none")
`

func TestToolchains(t *testing.T) {
	register := func(o *analysis.Options) { o.Toolchains = []label.Label{parse(t, "//:win"), parse(t, "//:linux")} }
	w := newWorld(t, chains, register)
	if got := content(t, w.producer("//:u")); got != "linux_tc+v" {
		t.Errorf("got %q", got)
	}
	w.failsWith("//:none", "no matching toolchains found for types //:optional", "register_toolchains")
	w = newWorld(t, chains, register, func(o *analysis.Options) { o.Config.Platform = parse(t, "//:windows") })
	if got := content(t, w.producer("//:u")); got != "win_tc+v" {
		t.Errorf("for windows: got %q", got)
	}
}

const aspects = `
-- defs.bzl --
Count = provider(fields = ["n"])

def _aspect(target, ctx):
    n = len(ctx.rule.files.srcs)
    for d in ctx.rule.attr.deps:
        n += d[Count].n
    return [Count(n = n)]

count = aspect(implementation = _aspect, attr_aspects = ["deps"])

def _lib(ctx):
    return []

lib = rule(implementation = _lib, attrs = {"srcs": attr.label_list(allow_files = True), "deps": attr.label_list()})

def _report(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, str([d[Count].n for d in ctx.attr.of]))
    return DefaultInfo(files = depset([out]))

report = rule(implementation = _report, attrs = {"of": attr.label_list(aspects = [count])})

def _tr(settings, attr):
    return {"//:flag": settings["//:flag"] + "!"}

t = transition(implementation = _tr, inputs = ["//:flag"], outputs = ["//:flag"])

def _split(settings, attr):
    return {"x": {"//:flag": "x"}, "y": {"//:flag": "y"}}

split = transition(implementation = _split, inputs = [], outputs = ["//:flag"])
Val = provider(fields = ["v"])

def _flag(ctx):
    return Val(v = ctx.build_setting_value)

flag = rule(implementation = _flag, build_setting = config.string(flag = True))

def _read(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, ctx.attr.flag[Val].v)
    return [DefaultInfo(files = depset([out])), ctx.attr.flag[Val]]

read = rule(implementation = _read, attrs = {"flag": attr.label(default = "//:flag")})

def _dep(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, ctx.attr.one[0][Val].v + ",".join([k + v[Val].v for k, v in ctx.split_attr.two.items()]) + str(len(ctx.attr.two)))
    return DefaultInfo(files = depset([out]))

dep = rule(implementation = _dep, attrs = {"one": attr.label(cfg = t), "two": attr.label(cfg = split)})
self = rule(implementation = _read, attrs = {"flag": attr.label(default = "//:flag")}, cfg = t)

def _counted_test(ctx):
    return AnalysisTestResultInfo(success = ctx.attr.t[0].label.name == "b", message = "oh")

counted_test = rule(implementation = _counted_test, analysis_test = True, attrs = {"t": attr.label(cfg = analysis_test_transition(settings = {"//:flag": "z"}))})
-- BUILD --
load(":defs.bzl", "counted_test", "dep", "flag", "lib", "read", "report", "self")
lib(name = "a", srcs = ["1.c", "2.c"])
lib(name = "b", srcs = ["3.c"], deps = [":a"])
report(name = "r", of = [":b", ":a"])
flag(name = "flag", build_setting_default = "d")
read(name = "read")
dep(name = "dep", one = ":read", two = ":read")
self(name = "self")
-- 1.c --
-- 2.c --
-- 3.c --
`

func TestAspect(t *testing.T) {
	w := newWorld(t, aspects)
	if got := content(t, w.producer("//:r")); got != "[3, 2]" {
		t.Errorf("got %q", got)
	}
}

func TestTransitions(t *testing.T) {
	w := newWorld(t, aspects)
	if got := content(t, w.producer("//:dep")); got != "d!xx,yy2" {
		t.Errorf("got %q", got)
	}
	if got := content(t, w.producer("//:self")); got != "d!" {
		t.Errorf("got %q", got)
	}
	plain, changed := w.get("//:read").Files.Files()[0], w.get("//:self").Files.Files()[0]
	if !strings.HasPrefix(changed.Root, "bazel-out/k8-fastbuild-ST-") || plain.Root == changed.Root {
		t.Errorf("roots %q and %q", plain.Root, changed.Root)
	}
}
