package analysis_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
)

const toolbox = `
-- defs.bzl --
def _gen(ctx):
    d = ctx.actions.declare_directory("tree")
    ctx.actions.run_shell(outputs = [d], command = "mkdir $1", arguments = [d.path], use_default_shell_env = True)
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    args = ctx.actions.args().add_all([d], map_each = _rel, uniquify = True, format_each = "<%s>").add_all("--none", [])
    args.use_param_file("@%s")
    ctx.actions.run(
        outputs = [out], inputs = [d], executable = ctx.executable._tool, arguments = [args], mnemonic = "Gen",
    )
    return [DefaultInfo(files = depset([out])), OutputGroupInfo(tree = depset([d]), empty = depset())]

def _rel(f):
    if f.tree_relative_path == "skip":
        return None
    return [f.basename, f.dirname]

gen = rule(implementation = _gen, attrs = {
    "_tool": attr.label(default = "//tools:tool", executable = True, cfg = "exec"),
})

def _group(ctx):
    i = ctx.attr.dep[OutputGroupInfo]
    if "tree" not in i or "nope" in i or len(i["tree"].to_list()) != 1 or i.tree != i["tree"]:
        fail("output groups")
    return DefaultInfo(files = i.tree)

group = rule(implementation = _group, attrs = {"dep": attr.label()})

def _template(ctx):
    ctx.actions.expand_template(template = ctx.file.t, output = ctx.outputs.out, substitutions = {"A": "B", "B": "C"})

template = rule(implementation = _template, attrs = {"t": attr.label(allow_single_file = True)}, outputs = {"out": "%{name}.out"})

def _link(ctx):
    f = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = f, target_file = ctx.file.src, is_executable = True)
    l = ctx.actions.declare_symlink("sym")
    ctx.actions.symlink(output = l, target_path = "a/b")
    d = ctx.actions.declare_directory("dir")
    ctx.actions.tree(d, {"bin/x": f, "y": ctx.file.src})
    args = ctx.actions.args().add("a b").add("c")
    w = ctx.actions.declare_file("w", sibling = f)
    ctx.actions.write(w, args)
    return [DefaultInfo(files = depset([f, l, d, w], order = "preorder"))]

link = rule(implementation = _link, attrs = {"src": attr.label(allow_single_file = True)})

def _extra(ctx):
    a = ctx.actions
    o = a.declare_file("o", at = "/out/lib.rmeta")
    o2 = a.declare_file("o2", at = "/out/lib.rlib")
    code = a.declare_file("code")
    err = a.declare_file("err")
    tree = a.source_tree("sub", include = ["**/*.rs"], tracked = True)
    vend = a.source_dir("sub", at = "/vendor/x-1")
    host = a.host_tree(["/usr/lib/x"])
    a.run(
        executable = "/rust/bin/rustc", outputs = [o], optional_outputs = [o2], exit_code = code, stderr = err,
        scope = [tree, host],
        inputs = depset([tree, vend, host, a.place(ctx.file.src, "/unit/x.in")]),
        workdir = "/vendor/x-1", writable = ["/w/a"], network = "loopback", timeout = 7, show = True, test = True,
        messages = struct(show = "rendered", early = [(o, {"$message_type": "artifact"})]), explain = {"ENOENT": "x {path}"},
        env = {"K": "v"},
    )
    return [DefaultInfo(files = depset([o, a.place(o, "/unit/liba.rmeta"), code, err]))]

extra = rule(implementation = _extra, attrs = {"src": attr.label(allow_single_file = True)})
def _bare(ctx):
    f = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run(executable = "python3", outputs = [f], arguments = ["-V"])
    return DefaultInfo(files = depset([f]))

bare = rule(implementation = _bare)
-- BUILD --
load(":defs.bzl", "bare", "extra", "gen", "group", "link", "template")
bare(name = "bare")
gen(name = "g")
group(name = "grp", dep = ":g")
filegroup(name = "fg", srcs = [":g"], output_group = "tree")
template(name = "t", t = "a.txt")
link(name = "l", src = "a.txt")
extra(name = "x", src = "a.txt")
genrule(name = "gr", srcs = ["a.txt", ":g"], outs = ["gr.out"], cmd = "$(location //tools:tool) $(location a.txt) $(SRCS) > $@ && echo $$HOME $(@D) $(RULEDIR)", tools = ["//tools:tool"])
-- a.txt --
-- sub/x.rs --
-- tools/BUILD --
sh_binary(name = "tool", srcs = ["tool.sh"], data = ["data.txt"], visibility = ["//visibility:public"])
-- tools/tool.sh --
-- tools/data.txt --
`

func TestToolRunfilesAndArgs(t *testing.T) {
	w := newWorld(t, toolbox)
	s := w.producer("//:g")
	var tree *action.Artifact
	s.Inputs.Each(func(in action.Input) bool {
		if in.Artifact.Dir && in.Artifact.Source == nil {
			tree = in.Artifact
		}
		return true
	})
	if tree == nil {
		t.Fatal("the directory is no input")
	}
	got := argv(t, s, dirs{tree: {"a/x", "b/x", "skip"}})
	want := []string{"bazel-out/k8-fastbuild/bin/tools/tool", "<x>", "<bazel-out/k8-fastbuild/bin/tree/a>", "<bazel-out/k8-fastbuild/bin/tree/b>"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("argv (-want +got):\n%s", d)
	}
	for _, p := range []string{"tool", "tool.runfiles/_main/tools/tool", "tool.runfiles/_main/tools/tool.sh", "tool.runfiles/_main/tools/data.txt"} {
		if !slices.Contains(inputs(s), "/w/bazel-out/k8-fastbuild/bin/tools/"+p) {
			t.Errorf("no input %s in %v", p, inputs(s))
		}
	}
	if !slices.Contains(inputs(s), "/") || s.Env["PATH"] == "" {
		t.Error("a tool below the workspace gets no host tools or environment")
	}
	if d := cmp.Diff([]string{"bazel-out/k8-fastbuild/bin/tree"}, paths(w.get("//:grp").Files)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"bazel-out/k8-fastbuild/bin/tree"}, paths(w.get("//:fg").Files)); d != "" {
		t.Error(d)
	}
}

func TestFileActions(t *testing.T) {
	w := newWorld(t, toolbox)
	s := w.producer("//:t")
	if got, err := s.Write.Replace("A B D"); err != nil || got != "C C D" {
		t.Errorf("template gives %q, %v", got, err)
	}
	if s.Write.Template == nil || s.Write.Template.Path != "a.txt" {
		t.Errorf("template %v", s.Write.Template)
	}
	files := w.get("//:l").Files.Files()
	if l := files[0].Artifact.Producer.Link; l == nil || l.Target.Path != "a.txt" || !l.Executable {
		t.Errorf("symlink %+v", l)
	}
	if l := files[1].Artifact.Producer.Link; l == nil || l.Path != "a/b" || !files[1].Artifact.Link {
		t.Errorf("declared symlink %+v", l)
	}
	as := files[2].Artifact.Producer.Assemble
	if as == nil || as.Entries["bin/x"] != files[0].Artifact || as.Entries["y"].Path != "a.txt" {
		t.Errorf("tree %+v", as)
	}
	if got := content(t, files[3].Artifact.Producer); got != "'a b'\nc\n" {
		t.Errorf("args in a file: %q", got)
	}
}

func TestExtensions(t *testing.T) {
	w := newWorld(t, toolbox)
	files := w.get("//:x").Files.Files()
	s := files[0].Artifact.Producer
	if files[0].Path != "/out/lib.rmeta" || files[1].Path != "/unit/liba.rmeta" || files[1].Artifact != files[0].Artifact {
		t.Errorf("files %v", files)
	}
	if s.ExitCode != files[2].Artifact || s.Stderr != files[3].Artifact || s.ExitCode.Producer != s || s.Stdout != nil {
		t.Error("exit code or stderr is not captured")
	}
	if len(s.Outputs) != 2 || !s.Optional[s.Outputs[1]] || s.Optional[s.Outputs[0]] {
		t.Errorf("outputs %v, optional %v", s.Outputs, s.Optional)
	}
	if d := cmp.Diff(map[string]string{"K": "v"}, s.Env); d != "" {
		t.Errorf("an absolute executable has another environment:\n%s", d)
	}
	in := map[string]*action.Artifact{}
	s.Inputs.Each(func(i action.Input) bool { in[i.Path] = i.Artifact; return true })
	if len(in) != 4 || !in["/w"].Source.Tree.Tracked || in["/w"].Source.Path != "sub" || in["/vendor/x-1"].Source.Path != "sub" ||
		in["/"].Source.Host.Paths[0] != "/usr/lib/x" || in["/unit/x.in"].Path != "a.txt" {
		t.Errorf("inputs %v", in)
	}
	if len(s.Scopes) != 2 || s.Scopes[0].Path != "/w" || s.Scopes[1].Path != "/" || !s.Scopes[0].Artifact.Source.Quiet || in["/w"].Source.Quiet {
		t.Errorf("scopes %+v", s.Scopes)
	}
	if s.Workdir != "/vendor/x-1" || !s.Loopback || s.Timeout.Seconds() != 7 || !s.Show || !s.Test || s.Writable[0] != "/w/a" {
		t.Errorf("spec %+v", s)
	}
	if s.Messages.Show != "rendered" || s.Messages.Early[s.Outputs[0]]["$message_type"] != "artifact" || s.Explain["ENOENT"] != "x {path}" {
		t.Errorf("messages %+v, explain %v", s.Messages, s.Explain)
	}
}

// TestBareName: a name without a slash is found by the process itself.
func TestBareName(t *testing.T) {
	s := newWorld(t, toolbox).producer("//:bare")
	if d := cmp.Diff([]string{"/usr/bin/env", "python3", "-V"}, argv(t, s, dirs{})); d != "" {
		t.Error(d)
	}
	if s.Env["PATH"] != "/usr/local/bin:/usr/bin:/bin" {
		t.Errorf("env %v", s.Env)
	}
}

func TestGenrule(t *testing.T) {
	w := newWorld(t, toolbox)
	s := w.producer("//:gr")
	want := "set -e -o pipefail; bazel-out/k8-fastbuild/bin/tools/tool ./a.txt a.txt bazel-out/k8-fastbuild/bin/g.txt > bazel-out/k8-fastbuild/bin/gr.out" +
		" && echo $HOME bazel-out/k8-fastbuild/bin bazel-out/k8-fastbuild/bin"
	if got := argv(t, s, dirs{}); got[0] != "/bin/bash" || got[2] != want {
		t.Errorf("argv %q\nwant   %q", got, want)
	}
	if s.Mnemonic != "Genrule" || !slices.Contains(inputs(s), "/w/bazel-out/k8-fastbuild/bin/tools/tool.runfiles/_main/tools/data.txt") {
		t.Errorf("mnemonic %s, inputs %v", s.Mnemonic, inputs(s))
	}
}

const plans = `
-- defs.bzl --
def _impl(ctx):
    graph = ctx.actions.declare_file("graph.json")
    ctx.actions.run(executable = "/bin/graph", outputs = [graph])
    out = ctx.actions.declare_directory("out")
    first = ctx.actions.plan(inputs = [graph], implementation = _first, data = struct(n = 3))
    verdict = ctx.actions.plan(inputs = [graph], waits = [first], outputs = [out], data = struct(out = out, first = first), implementation = _second, mnemonic = "TestRunner")
    return [DefaultInfo(files = depset([out])), TestResultsInfo(verdict = verdict)]

def _first(p):
    return {"n": p.data.n, "text": json.decode(p.text(p.inputs[0]) if hasattr(p, "inputs") else "{}")}

def _second(p):
    d = p.actions.declare_directory("real", at = "/out/real")
    n = p.value(p.data.first)["n"]
    p.actions.run(executable = "/bin/x", outputs = [d], arguments = [str(n)] + p.test_options.args)
    p.actions.plan(implementation = _third, data = d)
    p.bind(p.data.out, d)
    return struct(status = "PASSED", summary = p.test_options.filter)

def _third(p):
    return p.label.name

planned_test = rule(implementation = _impl, test = True)

def _bad(ctx):
    o = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.plan(outputs = [o], implementation = _forget)
    return DefaultInfo(files = depset([o]))

def _forget(p):
    return None

bad = rule(implementation = _bad)

def _itself(ctx):
    o = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.plan(outputs = [o], data = o, implementation = _bind_itself)
    return DefaultInfo(files = depset([o]))

def _bind_itself(p):
    p.bind(p.data, p.data)

itself = rule(implementation = _itself)

def _closure(ctx):
    x = 1
    def f(p):
        return x
    ctx.actions.plan(implementation = f)

closure = rule(implementation = _closure)
-- BUILD --
load(":defs.bzl", "bad", "closure", "itself", "planned_test")
planned_test(name = "t")
bad(name = "bad")
closure(name = "closure")
itself(name = "itself")
`

func TestPlan(t *testing.T) {
	w := newWorld(t, plans, func(o *analysis.Options) {
		o.Config.Test = analysis.TestOptions{Filter: "only", Args: []string{"-q"}}
	})
	c := w.get("//:t")
	second := c.Verdict
	if second == nil || second.Mnemonic != "TestRunner" || c.Executable != nil {
		t.Fatalf("verdict %+v", second)
	}
	out := c.Files.Files()[0].Artifact
	if out.Producer != second || second.Plan.Outputs[0] != out || len(second.Plan.Inputs) != 1 || len(second.Plan.Waits) != 1 {
		t.Fatalf("plan %+v", second.Plan)
	}
	first := second.Plan.Waits[0]
	r1, err := first.Plan.F(t.Context(), action.PlanInput{})
	if err != nil {
		t.Fatal(err)
	}
	r2, err := second.Plan.F(t.Context(), action.PlanInput{Values: map[*action.Spec]any{first: r1.Value}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r2.Specs) != 2 || r2.Bind[out] == nil || r2.Bind[out].Path != "/out/real" || r2.Specs[1].Plan == nil {
		t.Errorf("result %+v", r2)
	}
	if d := cmp.Diff([]string{"/bin/x", "3", "-q"}, argv(t, r2.Specs[0], dirs{})); d != "" {
		t.Error(d)
	}
	if got := r2.Value.(starlark.Value).String(); got != `struct(status = "PASSED", summary = "only")` {
		t.Errorf("value %s", got)
	}
	r3, err := r2.Specs[1].Plan.F(t.Context(), action.PlanInput{})
	if err != nil || r3.Value != starlark.String("t") {
		t.Errorf("nested plan gives %v, %v", r3, err)
	}
}

func TestPlanErrors(t *testing.T) {
	w := newWorld(t, plans)
	_, err := w.producer("//:bad").Plan.F(t.Context(), action.PlanInput{})
	if err == nil || !strings.Contains(err.Error(), "without anything that makes its output bazel-out/k8-fastbuild/bin/bad") || !strings.Contains(err.Error(), "BUILD:3:4") {
		t.Errorf("err = %v", err)
	}
	_, err = w.producer("//:itself").Plan.F(t.Context(), action.PlanInput{})
	if err == nil || !strings.Contains(err.Error(), "itself is bound to itself") {
		t.Errorf("err = %v", err)
	}
	w.failsWith("//:closure", "f is a closure")
}
