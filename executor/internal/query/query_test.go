package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"gorules/executor/diag"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/query"
	"gorules/executor/label"
)

type repos struct{ main fstest.MapFS }

func (r repos) View(_ context.Context, repo string) (*loading.View, error) {
	if repo == "gorules" {
		return &loading.View{Repo: repo, Files: fstest.MapFS{"builtins/rules.bzl": {Data: []byte(natives)}}}, nil
	}
	if repo != "" {
		return nil, fmt.Errorf("no repository @%s", repo)
	}
	return &loading.View{Root: "/", Files: r.main}, nil
}

func (repos) Mapping(context.Context, string) (func(string) string, error) {
	return func(s string) string { return s }, nil
}

const natives = `
def _impl(ctx):
    return []

lib = rule(implementation = _impl, attrs = {
    "srcs": attr.label_list(allow_files = True),
    "deps": attr.label_list(),
    "flag": attr.bool(),
    "opts": attr.string_dict(),
    "_tool": attr.label(default = "@//tools:t"),
})
gen = rule(implementation = _impl, attrs = {"outs": attr.output_list()})
x_test = rule(implementation = _impl, test = True, attrs = {"deps": attr.label_list()})
`

func loader() *loading.Loader {
	fs := fstest.MapFS{}
	for name, text := range map[string]string{
		"a/BUILD": `load("//b:defs.bzl", "z")
lib(name = "top", srcs = ["f.x", ":gen.out"], deps = [":mid1", ":mid2"], flag = True)
lib(name = "mid1", deps = ["//b:leaf"])
lib(name = "mid2", deps = select({"//b:cond": ["//b:leaf"], "//conditions:default": [":alone"]}), opts = {"k": "v"})
lib(name = "alone", tags = ["manual"], visibility = ["//b:__pkg__"])
gen(name = "gen", outs = ["gen.out"])
x_test(name = "t_test", deps = [":top"])
test_suite(name = "suite", tests = [":t_test"])
`,
		"a/f.x": "", "b/defs.bzl": "z = 1", "tools/BUILD": "gen(name = 't')",
		"b/BUILD":   "lib(name = 'leaf')\nconfig_setting(name = 'cond', values = {'define': 'x=y'})\n",
		"bad/BUILD": "lib(name = 'broken', deps = ['//nowhere'])\nlib(name = 'fine')\n",
	} {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return loading.New(loading.Options{Repos: repos{fs}, Builtins: label.Package{Repo: "gorules", Path: "builtins"}})
}

func TestEval(t *testing.T) {
	l := loader()
	for _, tt := range []struct{ query, want string }{
		{"//a:top", "//a:top"},
		{"//a:all", "//a:alone //a:gen //a:mid1 //a:mid2 //a:suite //a:t_test //a:top"},
		{"deps(//a:mid1, 1)", "//a:mid1 //b:leaf //tools:t"},
		{"deps(//a:mid2)", "//a:alone //a:mid2 //b:cond //b:leaf //tools:t"},
		{"deps(//a:top, 0)", "//a:top"},
		{"deps(//a:gen.out)", "//a:gen //a:gen.out"},
		{"kind('source file', deps(//a:top))", "//a:f.x"},
		{"kind('^lib rule$', deps(//a:t_test)) - //b:leaf", "//a:alone //a:mid1 //a:mid2 //a:top"},
		{"rdeps(//a:t_test, //b:leaf)", "//a:mid1 //a:mid2 //a:t_test //a:top //b:leaf"},
		{"rdeps(//a:t_test, //b:leaf, 1)", "//a:mid1 //a:mid2 //b:leaf"},
		{"rdeps(//a:gen, //b:leaf)", ""},
		{"somepath(//a:t_test, //b:leaf)", "//a:mid1 //a:t_test //a:top //b:leaf"},
		{"somepath(//b:leaf, //a:top)", ""},
		{"allpaths(//a:top, //b:leaf)", "//a:mid1 //a:mid2 //a:top //b:leaf"},
		{"attr(flag, 1, //a:all)", "//a:top"},
		{"attr(tags, '\\[.*manual', //a:all)", "//a:alone"},
		{"attr(deps, '//b:leaf', //a:all)", "//a:mid1 //a:mid2"},
		{"attr(opts, 'k=v', //a:*)", "//a:mid2"},
		{"filter('mid', //a:*)", "//a:mid1 //a:mid2"},
		{"labels(srcs, //a:top)", "//a:f.x //a:gen.out"},
		{"labels(deps, //a:mid2)", "//a:alone //b:leaf"},
		{"tests(//a:suite)", "//a:t_test"},
		{"deps(//a:suite, 1)", "//a:suite //a:t_test"},
		{"buildfiles(//a:top)", "//a:BUILD //b:BUILD //b:defs.bzl"},
		{"loadfiles(//a:top)", "//b:defs.bzl"},
		{"siblings(//b:leaf)", "//b:BUILD //b:cond //b:leaf"},
		{"some(//a:all)", "//a:alone"},
		{"visible(//b:leaf, //a:alone + //a:top)", "//a:alone"},
		{"set(//a:top //a:mid1) ^ //a:mid1 + //b:leaf", "//a:mid1 //b:leaf"},
		{"//a:top union //a:mid1 except //a:top intersect //a:mid1", "//a:mid1"},
		{"//a:mid1 + (//a:top - //a:top)", "//a:mid1"},
		{"let x = deps(//a:mid1) in $x - //a:mid1", "//b:leaf //tools:t"},
		{"let x = //a:top in let y = //a:gen in $x + $y", "//a:gen //a:top"},
		{"'//a:top'", "//a:top"},
		{"//a/... - //a:all", ""},

		{"deps(//a:top", "ERR syntax error in query: expected ',', got end of the query"},
		{"dep(//a:top)", "ERR syntax error in query: unknown function dep: there are allpaths, attr,"},
		{"deps(//a:top, x)", "ERR syntax error in query: expected a number, got x: deps(X), deps(X, DEPTH)"},
		{"rdeps(//a:top)", "ERR syntax error in query: too few arguments: rdeps(UNIVERSE, X)"},
		{"kind('(', //a:top)", "ERR illegal pattern '('"},
		{"$x", "ERR undefined variable 'x' in query"},
		{"//a:top //a:mid1", "ERR syntax error in query: unexpected //a:mid1 after the end of an expression\n    //a:top //a:mid1\n            ^"},
		{"//a:tpo", "ERR no such target '//a:tpo': target 'tpo' not declared in package 'a' defined by a/BUILD (did you mean 'top'?)"},
		{"deps(//bad:broken)", "ERR bad/BUILD:1:4: no such package '//nowhere': BUILD file not found in folder 'nowhere', referenced by '//bad:broken'\n    Add a BUILD file"},
		{"'//a", "ERR syntax error in query: unclosed quotation"},
		{"", "ERR syntax error in query: expected an expression, got end of the query"},
		{"some(//a:top - //a:top)", "ERR argument set of 'some' is empty"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			r, err := query.Eval(t.Context(), l, tt.query, query.Options{})
			if want, ok := strings.CutPrefix(tt.want, "ERR "); ok {
				if err == nil || !strings.Contains(told(err), want) {
					t.Errorf("error = %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := names(r); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func names(r *query.Result) string {
	var out []string
	for _, target := range r.Targets {
		out = append(out, target.Label.String())
	}
	return strings.Join(out, " ")
}

func TestOptions(t *testing.T) {
	l := loader()
	r, err := query.Eval(t.Context(), l, "deps(:mid1)", query.Options{Cwd: "a", NoImplicitDeps: true})
	if err != nil || names(r) != "//a:mid1 //b:leaf" {
		t.Errorf("without implicit dependencies: %v, %v", r, err)
	}
	r, err = query.Eval(t.Context(), l, "deps(//bad/...)", query.Options{KeepGoing: true})
	if err != nil || names(r) != "//bad:broken //bad:fine //tools:t" || len(r.Errors) != 1 {
		t.Errorf("keep going: %v, %v", r, err)
	}
}

func TestRender(t *testing.T) {
	r, err := query.Eval(t.Context(), loader(), "//a:mid2", query.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(query.Attributes(r.Targets[0]))
	want := `{"deps":{"select":[{"//b:cond":["//b:leaf"],"//conditions:default":["//a:alone"]}]},"name":"mid2","opts":{"k":"v"}}`
	if err != nil || string(got) != want {
		t.Errorf("attributes %s, %v\nwant       %s", got, err, want)
	}
}

// Parsing never panics and every error comes from it or from loading.
func FuzzEval(f *testing.F) {
	for _, s := range []string{"deps(//a:top, 2) - set(//b:leaf)", "let x = //a:all in $x ^ tests($x)", "kind('x', \"//a:b\")"} {
		f.Add(s)
	}
	l := loader()
	f.Fuzz(func(t *testing.T, text string) {
		r, err := query.Eval(t.Context(), l, text, query.Options{KeepGoing: true})
		if (r == nil) == (err == nil) {
			t.Errorf("result %v, error %v", r, err)
		}
	})
}

// told is an error with its hint on a line of its own.
func told(err error) string {
	if hint := diag.Hint(err); hint != "" {
		return err.Error() + "\n    " + hint
	}
	return fmt.Sprint(err)
}
