package bzl_test

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

const ruleFile = `
def _impl(ctx):
    pass

Info = provider()

def _computed(srcs):
    return "//x"

thing = rule(
    implementation = _impl,
    attrs = {
        "s": attr.string(default = "d", values = ["d", "e"]),
        "n": attr.int(default = 3),
        "b": attr.bool(),
        "srcs": attr.label_list(allow_files = [".c"], providers = [[Info], []], mandatory = True),
        "one": attr.label(allow_single_file = True),
        "map": attr.string_list_dict(),
        "out": attr.output(),
        "keyed": attr.label_keyed_string_dict(),
        "full": attr.string_list(allow_empty = False),
        "_tool": attr.label(default = ":tool", executable = True, cfg = "exec"),
        "_late": attr.label(default = _computed),
        "_field": attr.label(default = configuration_field("coverage", "output_generator")),
    },
    toolchains = [":tc", config_common.toolchain_type("@alias//:tc", mandatory = False)],
    doc = "Things.",
)
`

// sink takes what a BUILD file declares.
type sink struct {
	class  *bzl.RuleClass
	kwargs []starlark.Tuple
}

func (s *sink) AddTarget(_ *starlark.Thread, class *bzl.RuleClass, kwargs []starlark.Tuple) error {
	s.class, s.kwargs = class, kwargs
	return nil
}

// call evaluates a call of thing in the BUILD file of //pkg.
func call(t testing.TB, text string) (map[string]starlark.Value, error) {
	t.Helper()
	g, err := exec(t, ruleFile)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{}
	scope := bzl.Scope{Package: label.Package{Path: "pkg"}}
	thread, done := bzl.NewThread(t.Context(), "BUILD", diag.Position{}, nil, &bzl.Context{Package: scope.Package, Scope: scope, Sink: s})
	defer done()
	names := bzl.Common()
	names["thing"] = g["thing"]
	names["Label"] = env().Predeclared()["Label"]
	if _, err := starlark.ExecFileOptions(bzl.Options(bzl.BuildFile), thread, "pkg/BUILD", text, names); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.class.Coerce(s.kwargs, scope)
}

func TestCoerce(t *testing.T) {
	attrs, err := call(t, `thing(name = "x", srcs = ["a.c", "//q", Label(":l"), "@alias//z"], b = 1, one = None, map = {"k": ("v",)}, out = "o.txt", keyed = {":a": "1"}, tags = ["t"])`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"name": "x", "s": "d", "n": "3", "b": "True", "one": "None", "map": `{"k": ["v"]}`, "out": "@@//pkg:o.txt",
		"srcs": "[@@//pkg:a.c, @@//q:q, @@rs//defs:l, @@alias//z:z]", "keyed": `{@@//pkg:a: "1"}`, "tags": `["t"]`, "testonly": "False",
		"_tool": "@@rs//defs:tool", "_field": "None",
	} {
		if got := attrs[name]; got == nil || bzl.Str(got) != want {
			t.Errorf("%s = %v, want %s", name, got, want)
		}
	}
	if v, ok := attrs["_late"]; ok {
		t.Errorf("a computed default has the value %v", v)
	}
	if err := attrs["srcs"].(*starlark.List).Append(starlark.None); err == nil {
		t.Error("attribute values are not frozen")
	}
}

func TestCoerceErrors(t *testing.T) {
	for _, c := range [][2]string{
		{`thing(name = "x")`, `thing x: missing value for mandatory attribute "srcs" of rule thing`},
		{`thing(name = "x", srcs = None)`, `missing value for mandatory attribute "srcs"`},
		{`thing(name = "x", srcs = 5)`, `thing x: in attribute "srcs" of rule thing: expected a list of labels, got 5 (int)`},
		{`thing(name = "x", srcs = ["a", 5])`, "got 5 (int) at index 1"},
		{`thing(name = "x", srcs = ["a", ":a"])`, "label //pkg:a is listed twice"},
		{`thing(name = "x", srcs = [], src = [])`, `thing x: rule thing has no attribute "src" (did you mean "srcs"?)`},
		{`thing(name = "x", srcs = [], _tool = ":t")`, `has no attribute "_tool"`},
		{`thing(name = "x", srcs = [], s = "f")`, `expected one of "d", "e", got "f"`},
		{`thing(name = "x", srcs = [], n = "1")`, `expected an int, got "1" (string)`},
		{`thing(name = "x", srcs = [], b = 2)`, "expected a bool, got 2 (int)"},
		{`thing(name = "x", srcs = [], full = [])`, "may not be empty"},
		{`thing(name = "x", srcs = [], out = "//other:o")`, "not in the package //pkg"},
		{`thing(name = "x", srcs = [], out = select({"//a": "o"}))`, "not configurable"},
		{`thing(name = "x", srcs = ["a//b"])`, "invalid label"},
		{`thing(name = "x", srcs = [], s = select({"//a": 1}))`, "expected a string, got 1 (int)"},
	} {
		_, err := call(t, c[0])
		if err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: error %v, want %q in it", c[0], err, c[1])
		}
	}
}

func TestSelect(t *testing.T) {
	attrs, err := call(t, `thing(name = "x", srcs = ["a"] + select({"on": ["b"], Label("//l"): None, "//conditions:default": []}, no_match_error = "m") + ["c"])`)
	if err != nil {
		t.Fatal(err)
	}
	s := attrs["srcs"].(*bzl.Select)
	var labels, conds []string
	bzl.Labels(s, func(l label.Label, cond bool) {
		if cond {
			conds = append(conds, l.String())
		} else {
			labels = append(labels, l.String())
		}
	})
	if strings.Join(conds, " ") != "//pkg:on @rs//l:l" || strings.Join(labels, " ") != "//pkg:a //pkg:b //pkg:c" {
		t.Errorf("conditions %v, labels %v", conds, labels)
	}
	for i, want := range []string{"[@@//pkg:a, @@//pkg:b, @@//pkg:c]", "[@@//pkg:a, @@//pkg:c]", "[@@//pkg:a, @@//pkg:c]"} {
		v, err := s.Resolve(func(bzl.SelectPart) (int, error) { return i, nil })
		if err != nil || v.String() != want {
			t.Errorf("branch %d: %v, %v, want %s", i, v, err, want)
		}
	}
}

func TestRuleClass(t *testing.T) {
	g, err := exec(t, ruleFile)
	if err != nil {
		t.Fatal(err)
	}
	r := g["thing"].(bzl.RuleValue).RuleClass
	if r.Name != "thing" || r.File != file || r.Doc != "Things." || r.Kind() != "thing rule" {
		t.Errorf("class %+v", r)
	}
	if len(r.Toolchains) != 2 || r.Toolchains[0].Type.Canonical() != "@@rs//defs:tc" || r.Toolchains[0].Optional ||
		r.Toolchains[1].Type.Canonical() != "@@real//:tc" || !r.Toolchains[1].Optional {
		t.Errorf("toolchains %v", r.Toolchains)
	}
	srcs := r.Attrs["srcs"]
	if !srcs.Files.Allows("x.c") || srcs.Files.Allows("x.h") || len(srcs.Providers) != 2 || !srcs.Mandatory || srcs.Implicit {
		t.Errorf("srcs %+v", srcs)
	}
	if !r.Attrs["one"].SingleFile || !r.Attrs["one"].Files.Allows("any") || !r.Attrs["keyed"].Files.None || !r.Attrs["visibility"].Implicit {
		t.Error("attributes have wrong file filters")
	}
}

func TestRuleErrors(t *testing.T) {
	for _, c := range [][2]string{
		{"def _i(ctx): pass\nx_test = rule(implementation = _i)", "ends in _test but is no test rule"},
		{"rule()", "missing argument for implementation"},
		{"def _i(ctx): pass\nx = rule(_i, attrs = {'a': 1})", "expected attr.string()"},
		{"def _i(ctx): pass\nx = rule(_i, attrs = {'name': attr.string()})", "cannot be declared again"},
		{"def _i(ctx): pass\nx = rule(_i, attrs = {'_p': attr.string(mandatory = True)})", "cannot be mandatory"},
		{"def _i(ctx): pass\nx = rule(_i, nope = 1)", "unexpected keyword argument"},
		{"attr.string(default = 5)", "default: expected a string, got 5 (int)"},
		{"attr.label(allow_files = True, allow_single_file = True)", "not both"},
		{"attr.label(cfg = 'moon')", "cfg: expected"},
		{"def _i(ctx): pass\nx = rule(_i)\nx(name = 'a')", "no name yet"},
	} {
		_, err := exec(t, c[0])
		if err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: error %v, want %q in it", c[0], err, c[1])
		}
	}
}

// repoSink takes what a WORKSPACE file declares.
type repoSink struct {
	class  *bzl.RepoRule
	kwargs []starlark.Tuple
}

func (s *repoSink) AddRepo(_ *starlark.Thread, class *bzl.RepoRule, kwargs []starlark.Tuple) error {
	s.class, s.kwargs = class, kwargs
	return nil
}

func TestRepositoryRule(t *testing.T) {
	g, err := exec(t, `
def _impl(rctx):
    pass

fetch = repository_rule(implementation = _impl, attrs = {"lockfile": attr.label(mandatory = True)}, environ = ["HOME"], root_wins = True, local = True)
`)
	if err != nil {
		t.Fatal(err)
	}
	s := &repoSink{}
	thread, done := bzl.NewThread(t.Context(), "WORKSPACE", diag.Position{}, nil, &bzl.Context{Repos: s})
	defer done()
	names := bzl.Common()
	names["fetch"] = g["fetch"]
	if _, err := starlark.ExecFileOptions(bzl.Options(bzl.WorkspaceFile), thread, "WORKSPACE", `fetch(name = "crates", lockfile = "//:Cargo.lock")`, names); err != nil {
		t.Fatal(err)
	}
	if s.class.Name != "fetch" || !s.class.RootWins || !s.class.Local || s.class.Environ[0] != "HOME" {
		t.Errorf("class %+v", s.class)
	}
	attrs, err := s.class.Coerce(s.kwargs, bzl.Scope{})
	if err != nil || bzl.Str(attrs["lockfile"]) != "@@//:Cargo.lock" || bzl.Str(attrs["name"]) != "crates" {
		t.Errorf("attributes %v, %v", attrs, err)
	}
}

func TestMacro(t *testing.T) {
	g, err := exec(t, ruleFile+`
def _m(name, visibility, deps, **kwargs):
    thing(name = name + "_" + str(len(deps)), srcs = deps, **kwargs)

m = macro(implementation = _m, attrs = {"deps": attr.label_list(mandatory = True)}, inherit_attrs = "common")
`)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{}
	thread, done := bzl.NewThread(t.Context(), "BUILD", diag.Position{}, nil, &bzl.Context{Package: label.Package{Path: "pkg"}, Scope: bzl.Scope{Package: label.Package{Path: "pkg"}}, Sink: s})
	defer done()
	kwargs := []starlark.Tuple{
		{starlark.String("name"), starlark.String("n")}, {starlark.String("tags"), starlark.NewList(nil)},
		{starlark.String("deps"), starlark.NewList([]starlark.Value{starlark.String(":d")})},
	}
	if _, err := starlark.Call(thread, g["m"], nil, kwargs); err != nil {
		t.Fatal(err)
	}
	attrs, err := s.class.Coerce(s.kwargs, bzl.Scope{})
	if err != nil || bzl.Str(attrs["name"]) != "n_1" || bzl.Str(attrs["srcs"]) != "[@@//pkg:d]" {
		t.Errorf("attributes %v, %v", attrs, err)
	}
}
