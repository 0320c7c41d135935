package analysis_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gorules/executor/diag"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
)

const basics = `
-- defs.bzl --
Info = provider(fields = ["all"])

def _lib_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".o")
    args = ctx.actions.args()
    args.add("-o", out)
    args.add_all(ctx.files.srcs, before_each = "-s")
    args.add_joined("--deps", depset(transitive = [d[Info].all for d in ctx.attr.deps]), join_with = ",", map_each = _base)
    ctx.actions.run(
        outputs = [out], inputs = ctx.files.srcs, executable = "/bin/cc", arguments = [args, "end"],
        mnemonic = "Cc", progress_message = "Compiling %{label} to %{output}", env = {"A": "1"},
    )
    return [DefaultInfo(files = depset([out])), Info(all = depset([out], transitive = [d[Info].all for d in ctx.attr.deps]))]

def _base(f):
    return f.basename

lib = rule(implementation = _lib_impl, attrs = {
    "srcs": attr.label_list(allow_files = [".c"]),
    "deps": attr.label_list(providers = [Info]),
})

def _nothing(ctx):
    pass

nothing = rule(implementation = _nothing)

def _write_impl(ctx):
    ctx.actions.write(ctx.outputs.out, ctx.attr.content)

write = rule(implementation = _write_impl, attrs = {"out": attr.output(), "content": attr.string(default = "x")})

def _forget_impl(ctx):
    ctx.actions.declare_file("never")

forget = rule(implementation = _forget_impl)

def _boom_impl(ctx):
    _deep(ctx)

def _deep(ctx):
    fail("no luck", ctx.label)

boom = rule(implementation = _boom_impl)
-- BUILD --
load("//:defs.bzl", "boom", "forget", "lib", "nothing", "write")
lib(name = "a", srcs = ["a.c"])
lib(name = "b", srcs = ["b.c", "c.c"], deps = [":a"])
lib(name = "wrongkind", srcs = ["a.txt"])
lib(name = "noinfo", deps = [":n"])
nothing(name = "n")
write(name = "w", out = "w.txt", content = "hi")
filegroup(name = "useout", srcs = ["w.txt"])
forget(name = "forget")
boom(name = "boom")
nothing(name = "dep_on_boom", tags = ["x"])
filegroup(name = "on_boom", srcs = [":boom"])
filegroup(name = "cyc1", srcs = [":cyc2"])
filegroup(name = "cyc2", srcs = [":cyc1"])
filegroup(name = "hidden_user", srcs = ["//p:hidden"])
filegroup(name = "missing", srcs = ["nope.c"])
alias(name = "al", actual = ":b")
lib(name = "via_alias", deps = [":al"])
-- a.c --
-- b.c --
-- c.c --
-- a.txt --
-- p/BUILD --
filegroup(name = "hidden")
`

func TestRunAction(t *testing.T) {
	w := newWorld(t, basics)
	s := w.producer("//:b")
	want := []string{"/bin/cc", "-o", "bazel-out/k8-fastbuild/bin/b.o", "-s", "b.c", "-s", "c.c", "--deps", "a.o", "end"}
	if d := cmp.Diff(want, argv(t, s, dirs{})); d != "" {
		t.Errorf("argv (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"/w/b.c", "/w/c.c"}, inputs(s)); d != "" {
		t.Errorf("inputs (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"A": "1"}, s.Env); d != "" {
		t.Errorf("env (-want +got):\n%s", d)
	}
	if s.Mnemonic != "Cc" || s.Progress != "Compiling //:b to bazel-out/k8-fastbuild/bin/b.o" {
		t.Errorf("mnemonic %q, progress %q", s.Mnemonic, s.Progress)
	}
	if !strings.HasSuffix(s.Position.String(), "defs.bzl:9:20") {
		t.Errorf("position %q", s.Position)
	}
}

func TestDefaultOutputs(t *testing.T) {
	w := newWorld(t, basics)
	if got := paths(w.get("//:n").Files); len(got) != 0 {
		t.Errorf("a rule that returns nothing has files %v", got)
	}
	if d := cmp.Diff([]string{"bazel-out/k8-fastbuild/bin/w.txt"}, paths(w.get("//:w").Files)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(paths(w.get("//:w").Files), paths(w.get("//:useout").Files)); d != "" {
		t.Error(d)
	}
	if got := content(t, w.producer("//:w")); got != "hi" {
		t.Errorf("content %q", got)
	}
	if w.get("//:w.txt").File() == nil {
		t.Error("the generated file has no file")
	}
	if got := w.get("//:al"); got.Label.Name != "b" {
		t.Errorf("alias gives %s", got.Label)
	}
	if got := argv(t, w.producer("//:via_alias"), dirs{}); !slices.Contains(got, "b.o") && !strings.Contains(strings.Join(got, " "), "a.o,b.o") {
		t.Errorf("argv %v", got)
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t, basics)
	for target, parts := range map[string][]string{
		"//:wrongkind":   {"BUILD:4:4", `in attribute "srcs"`, "a.txt", "expected .c"},
		"//:noinfo":      {"does not have mandatory providers: 'Info'", "//:n"},
		"//:forget":      {"have no generating action", "bazel-out/k8-fastbuild/bin/never"},
		"//:boom":        {"BUILD:10:5: in boom rule //:boom: no luck @@//:boom", `defs.bzl", line 42, column 9, in _deep`, "Traceback"},
		"//:on_boom":     {"in boom rule //:boom: no luck"},
		"//:cyc1":        {"cycle in dependency graph:", "//:cyc1", "//:cyc2"},
		"//:hidden_user": {"//p:hidden is not visible from target //:hidden_user", "__pkg__"},
		"//:missing":     {"nope.c"},
	} {
		w.failsWith(target, parts...)
	}
}

// A target that fails is kept with its error, and whoever depends on it fails
// with that very error, placed at the target that is to blame.
func TestKeptErrorStaysAsItIs(t *testing.T) {
	w := newWorld(t, basics)
	var kept error
	for _, target := range []string{"//:boom", "//:on_boom", "//:boom"} {
		_, err := w.Configure(t.Context(), parse(t, target))
		e, ok := err.(*diag.Error)
		if !ok || e.Position().Line != 10 {
			t.Fatalf("%s: %v", target, err)
		}
		if kept == nil {
			kept = e
		}
		if err != kept {
			t.Errorf("%s: %v is another error than %v", target, err, kept)
		}
	}
}

const testonly = `
-- BUILD --
filegroup(name = "t", testonly = True)
filegroup(name = "bad", srcs = [":t"])
filegroup(name = "good", srcs = [":t"], testonly = True)
`

func TestTestonly(t *testing.T) {
	w := newWorld(t, testonly)
	w.failsWith("//:bad", "depends on testonly target //:t")
	w.get("//:good")
}

const selects = `
-- BUILD --
load(":defs.bzl", "flag", "show", "listflag")
config_setting(name = "opt", values = {"compilation_mode": "opt"})
config_setting(name = "fast", flag_values = {":mode": "fast"})
config_setting(name = "fast_opt", flag_values = {":mode": "fast"}, values = {"compilation_mode": "opt"})
config_setting(name = "linux", constraint_values = ["@platforms//os:linux"])
config_setting(name = "windows", constraint_values = ["@platforms//os:windows"])
config_setting(name = "def", define_values = {"x": "1"})
flag(name = "mode", build_setting_default = "slow")
listflag(name = "many", build_setting_default = ["a"])
config_setting(name = "has_b", flag_values = {":many": "b"})
alias(name = "fast_alias", actual = ":fast")
show(name = "one", value = select({":opt": "opt", "fast_alias": "fast", ":fast_opt": "both", "//conditions:default": "none"}))
show(name = "two", value = "[" + select({":linux": "l", ":windows": "w"}) + "]")
show(name = "con", value = select({"@platforms//os:linux": "L", "//conditions:default": "?"}))
show(name = "nomatch", value = select({":windows": "w"}))
show(name = "noerr", value = select({":windows": "w"}, no_match_error = "buy windows"))
show(name = "none", value = select({":linux": None, ":windows": "w"}))
show(name = "notcond", value = select({":one": "w"}))
show(name = "d", value = select({":def": "yes", "//conditions:default": "no"}))
show(name = "b", value = select({":has_b": "yes", "//conditions:default": "no"}))
platform(name = "win", constraint_values = ["@platforms//os:windows"])
filegroup(name = "only_win", target_compatible_with = ["@platforms//os:windows"])
filegroup(name = "uses_win", srcs = [":only_win"])
-- defs.bzl --
def _show(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, ctx.attr.value)
    return DefaultInfo(files = depset([out]))

show = rule(implementation = _show, attrs = {"value": attr.string(default = "DEFAULT")})

def _flag(ctx):
    return []

flag = rule(implementation = _flag, build_setting = config.string(flag = True))
listflag = rule(implementation = _flag, build_setting = config.string_list(flag = True))
`

func TestSelect(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*analysis.Options)
		want map[string]string
	}{
		{"plain", func(*analysis.Options) {}, map[string]string{"//:one": "none", "//:two": "[l]", "//:con": "L", "//:none": "DEFAULT", "//:d": "no", "//:b": "no"}},
		{"opt", func(o *analysis.Options) { o.Config.Options = map[string]string{"compilation_mode": "opt"} }, map[string]string{"//:one": "opt"}},
		{"flag and option", func(o *analysis.Options) {
			o.Config.Options = map[string]string{"compilation_mode": "opt"}
			o.Config.BuildSettings = settings(t, "//:mode", "fast")
		}, map[string]string{"//:one": "both"}},
		{"flag", func(o *analysis.Options) { o.Config.BuildSettings = settings(t, "//:mode", "fast", "//:many", "a,b") }, map[string]string{"//:one": "fast", "//:b": "yes"}},
		{"define", func(o *analysis.Options) { o.Config.Define = map[string]string{"x": "1"} }, map[string]string{"//:d": "yes"}},
		{"platform", func(o *analysis.Options) { o.Config.Platform = parse(t, "//:win") }, map[string]string{"//:two": "[w]", "//:con": "?"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, selects, tt.edit)
			for target, want := range tt.want {
				if got := content(t, w.producer(target)); got != want {
					t.Errorf("%s = %q, want %q", target, got, want)
				}
			}
		})
	}
}

func TestSelectErrors(t *testing.T) {
	w := newWorld(t, selects)
	w.failsWith("//:nomatch", `configurable attribute "value" doesn't match this configuration`, "//:windows", "//conditions:default")
	w.failsWith("//:noerr", "buy windows")
	w.failsWith("//:notcond", "//:one is a show rule: a key of select() must be a config_setting")
}

func TestIncompatible(t *testing.T) {
	w := newWorld(t, selects)
	if got := w.get("//:only_win").Incompatible; !strings.Contains(got, "@platforms//os:windows") {
		t.Errorf("Incompatible = %q", got)
	}
	if got := w.get("//:uses_win").Incompatible; !strings.Contains(got, "//:only_win") {
		t.Errorf("Incompatible = %q", got)
	}
}

// TestParallel analyses one graph from many goroutines.
func TestParallel(t *testing.T) {
	w := newWorld(t, basics)
	done := make(chan *action.Spec)
	for range 20 {
		go func() {
			c, err := w.Configure(t.Context(), parse(t, "//:b"))
			if err != nil {
				t.Error(err)
				done <- nil
				return
			}
			done <- c.Files.Files()[0].Artifact.Producer
		}()
	}
	first := <-done
	for range 19 {
		if got := <-done; got != first {
			t.Error("analysed twice")
		}
	}
}
