package bzl_test

import (
	"testing"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

func TestLabel(t *testing.T) {
	check(t, "", [][2]string{
		{`str(Label(":a"))`, "@@rs//defs:a"},
		{`Label("//p/q")`, "@@rs//p/q:q"},
		{`Label("@alias//p:n")`, "@@real//p:n"},
		{`Label("@@alias//p:n")`, "@@alias//p:n"},
		{`Label("@//p:n")`, "@@//p:n"},
		{`"%s {}".format(Label("//a")) % Label("//b")`, "@@rs//b:b @@rs//a:a"},
		{`Label("//p:n").name + Label("//p:n").package + Label("//p:n").workspace_name + Label("//p:n").repo_name`, "nprsrs"},
		{`Label("//p:n").workspace_root + Label("@//p:n").workspace_root`, "external/rs"},
		{`Label("//p:n").relative(":m") == Label("//p:m")`, "True"},
		{`Label("//p:n").same_package_label("o")`, "@@rs//p:o"},
		{`{Label("//a"): 1}[Label("//a:a")]`, "1"},
		{`sorted([Label("//b"), Label("//a")])[0].name`, "a"},
		{`type(Label("//a"))`, "Label"},
	})
	refuse(t, "", [][2]string{{`Label("//a:/b")`, "invalid label"}, {`Label(1)`, "expected a label, got 1 (int)"}})
}

func TestDepset(t *testing.T) {
	const prelude = `
def build(order):
    a = depset(["a1", "a2"], order = order)
    b = depset(["b"], transitive = [a], order = order)
    c = depset(["c", "a1"], transitive = [a], order = order)
    return depset(["d"], transitive = [b, c], order = order)
`
	check(t, prelude, [][2]string{
		{`build("default").to_list()`, `["a1", "a2", "b", "c", "d"]`},
		{`build("postorder").to_list()`, `["a1", "a2", "b", "c", "d"]`},
		{`build("preorder").to_list()`, `["d", "b", "a1", "a2", "c"]`},
		{`build("topological").to_list()`, `["d", "b", "c", "a1", "a2"]`},
		{`bool(depset())`, "False"},
		{`bool(depset(transitive = [depset()]))`, "False"},
		{`bool(depset([1]))`, "True"},
		{`type(depset())`, "depset"},
		{`depset([struct(a = 1), struct(a = 1)]).to_list()`, "[struct(a = 1)]"},
		{`{depset([1]): 2}.values()`, "[2]"},
		{`dir(depset())`, `["to_list"]`},
	})
	refuse(t, prelude, [][2]string{
		{`depset([[]])`, "hashable"},
		{`depset([1, "a"])`, "cannot add an item of type 'string' to a depset of 'int'"},
		{`depset(["a"], transitive = [depset([1])])`, "cannot merge a depset of 'int' into a depset of 'string'"},
		{`depset(order = "wild")`, "invalid order"},
		{`depset(transitive = [depset([1], order = "preorder")], order = "postorder")`, "incompatible"},
		{`[x for x in depset([1])]`, "not iterable"},
		{`len(depset([1]))`, "has no len"},
	})
}

func TestProvider(t *testing.T) {
	const prelude = `
Open = provider()
Info = provider("doc", fields = ["a", "b"])
Doc = provider(fields = {"a": "what a is"})

def _init(x):
    return {"a": x + 1}

Made, _raw = provider(init = _init, fields = ["a"])
`
	check(t, prelude, [][2]string{
		{`Info(a = 1)`, `Info(a = 1)`},
		{`Info(a = 1) == Info(a = 1)`, "True"},
		{`Info(a = 1) == Open(a = 1)`, "False"},
		{`type(Info(a = 1))`, "struct"},
		{`Made(1).a`, "2"},
		{`_raw(a = 1).a`, "1"},
		{`Open(anything = 1).anything`, "1"},
		{`struct(a = 1) + struct(b = 2)`, "struct(a = 1, b = 2)"},
		{`{Info(a = 1): 2}[Info(a = 1)]`, "2"},
		{`platform_common.TemplateVariableInfo({"A": "b"}).variables`, `{"A": "b"}`},
		{`"x" in OutputGroupInfo(x = depset()) and "y" not in OutputGroupInfo(x = depset())`, "True"},
		{`hasattr(Info(a = 1), "b")`, "False"},
	})
	refuse(t, prelude, [][2]string{
		{`Info(c = 1)`, `got unexpected field "c", expected one of: a, b`},
		{`Info(1)`, "keyword arguments only"},
		{`Info(a = 1).b`, "no .b attribute"},
	})
}

func TestProviderName(t *testing.T) {
	g, err := exec(t, "Info = provider()\nOther = Info\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := g["Info"].(*bzl.Provider).Name(); got != "Info" {
		t.Errorf("name %q", got)
	}
}

func TestFile(t *testing.T) {
	out := &bzl.File{Artifact: &action.Artifact{Path: "bazel-out/k8-fastbuild/bin/p/a.tar.gz"}, Path: "bazel-out/k8-fastbuild/bin/p/a.tar.gz", Root: "bazel-out/k8-fastbuild/bin"}
	ext := &bzl.File{Artifact: &action.Artifact{Source: &action.Source{}}, Path: "external/r/p/f", Owner: label.Label{Repo: "r", Package: "p", Name: "f"}}
	placed := &bzl.File{Artifact: out.Artifact, Path: "/unit/a.rlib"}
	for _, c := range []struct {
		f           *bzl.File
		field, want string
	}{
		{out, "path", "bazel-out/k8-fastbuild/bin/p/a.tar.gz"}, {out, "short_path", "p/a.tar.gz"}, {out, "basename", "a.tar.gz"},
		{out, "dirname", "bazel-out/k8-fastbuild/bin/p"}, {out, "extension", "gz"}, {out, "is_source", "False"},
		{ext, "short_path", "../r/p/f"}, {ext, "is_source", "True"}, {ext, "owner", "@@r//p:f"}, {ext, "extension", ""},
		{placed, "path", "/unit/a.rlib"}, {placed, "dirname", "/unit"},
	} {
		v, err := c.f.Attr(c.field)
		if err != nil || bzl.Str(v) != c.want {
			t.Errorf("%s.%s = %v, %v, want %s", c.f, c.field, v, err, c.want)
		}
	}
	if got := ext.RunfilesPath("_main") + " " + out.RunfilesPath("_main"); got != "r/p/f _main/p/a.tar.gz" {
		t.Errorf("runfiles paths %s", got)
	}
	same := &bzl.File{Artifact: out.Artifact, Path: out.Path}
	if eq, err := starlark.Equal(out, same); err != nil || !eq {
		t.Error("files of one artifact at one path differ")
	}
	if eq, err := starlark.Equal(out, placed); err != nil || eq {
		t.Error("a placed file equals the one it was made from")
	}
	if in := placed.Input(); in.Path != "/unit/a.rlib" || in.Artifact != out.Artifact {
		t.Errorf("input %+v", in)
	}
}

// TestDepsetInputs walks a graph with a shared node once.
func TestDepsetInputs(t *testing.T) {
	f := func(p string) *bzl.File { return &bzl.File{Artifact: &action.Artifact{Path: p}, Path: p} }
	shared := bzl.FileDepset([]*bzl.File{f("s")})
	d := bzl.FileDepset([]*bzl.File{f("d")}, bzl.FileDepset([]*bzl.File{f("a")}, shared), bzl.FileDepset([]*bzl.File{f("b")}, shared))
	var got []string
	d.Inputs().Each(func(in action.Input) bool {
		got = append(got, in.Path)
		return len(got) < 3
	})
	if len(got) != 3 || got[0] != "/w/s" || got[1] != "/w/a" || got[2] != "/w/b" {
		t.Errorf("walked %v", got)
	}
}

func TestJSON(t *testing.T) {
	check(t, "", [][2]string{
		{`json.encode({"b": [1, None, True], "a": struct(z = "<&>\n\x01é", y = 1.5)})`, `{"a":{"y":1.5,"z":"<&>\n\u0001é"},"b":[1,null,true]}`},
		{`json.encode_indent({"a": [1]}, indent = "  ")`, "{\n  \"a\": [\n    1\n  ]\n}"},
		{`json.decode('{"a": [1, 2.5, null]}')`, `{"a": [1, 2.5, None]}`},
		{`json.decode("nope", default = 3)`, "3"},
	})
	refuse(t, "", [][2]string{{`json.encode({1: 2})`, "dict has int key"}, {`json.encode(struct(f = len))`, "cannot encode builtin"}, {`json.decode("nope")`, "json.decode"}})
}

func TestGorulesModule(t *testing.T) {
	check(t, "", [][2]string{
		{`gorules.sha256("")`, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{`gorules.toml_decode("b = 1\na = [1.5, 'x']\n[t]\nd = 2020-01-02\ne = true\n")`, `{"a": [1.5, "x"], "b": 1, "t": {"d": "2020-01-02", "e": True}}`},
	})
	refuse(t, "", [][2]string{{`gorules.toml_decode("a = 1\nb = = 2\n")`, "line 2"}})
}

func TestShims(t *testing.T) {
	check(t, "", [][2]string{
		{`enumerate(["a"], start = 4)`, `[(4, "a")]`},
		{`str(set([1]))`, "set([1])"},
	})
	refuse(t, "", [][2]string{
		{`fail("a", 1, sep = "-")`, "a-1"},
		{`fail(msg = "m", attr = "srcs")`, "attribute srcs: m"},
	})
}
