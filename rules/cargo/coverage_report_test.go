// Package cargo_test runs the pure Starlark of the Cargo rules in a bare interpreter: no engine, no actions.
package cargo_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// loadStarlark evaluates a .bzl file next to this test, and the files it loads, in Bazel's dialect.
func loadStarlark(t testing.TB, name string) starlark.StringDict {
	t.Helper()
	loaded := map[string]starlark.StringDict{}
	predeclared := starlark.StringDict{
		"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	var load func(thread *starlark.Thread, module string) (starlark.StringDict, error)
	load = func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		file := strings.TrimPrefix(module, ":")
		if globals, ok := loaded[file]; ok {
			return globals, nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		thread := &starlark.Thread{Name: file, Load: load}
		globals, err := starlark.ExecFileOptions(&syntax.FileOptions{}, thread, file, text, predeclared)
		if err != nil {
			return nil, err
		}
		globals.Freeze()
		loaded[file] = globals
		return globals, nil
	}
	globals, err := load(nil, name)
	if err != nil {
		t.Fatalf("load %s: %v", name, err)
	}
	return globals
}

// evalStarlark evaluates an expression over the globals of the coverage files.
func evalStarlark(t testing.TB, expression string, extra starlark.StringDict) (starlark.Value, error) {
	t.Helper()
	env := starlark.StringDict{"struct": starlark.NewBuiltin("struct", starlarkstruct.Make)}
	for _, file := range []string{"coverage_report.bzl", "coverage_html.bzl"} {
		for name, value := range loadStarlark(t, file) {
			env[name] = value
		}
	}
	for name, value := range extra {
		env[name] = value
	}
	return starlark.EvalOptions(&syntax.FileOptions{}, &starlark.Thread{Name: "test"}, "test", expression, env)
}

func TestCoverageExpressions(t *testing.T) {
	const lcov = `"TN:\nSF:/w/a.rs\nFN:1,f\nDA:1,5\nDA:2,0\nDA:2,3,hash\nDA:3,18446744073709551615\nLF:3\nend_of_record\nSF:/w/b.rs\nDA:9,1\nend_of_record\n"`
	tests := []struct{ name, expression, want string }{
		{"parse: largest count, other records, wrapped counts", `parse_lcov(` + lcov + `)`,
			`{"/w/a.rs": {1: 5, 2: 3, 3: 0}, "/w/b.rs": {9: 1}}`},
		{"parse nothing", `parse_lcov("")`, `{}`},
		{"merge", `merge_max([{"a": {1: 0, 2: 7}}, {"a": {1: 4, 2: 1}, "b": {1: 0}}])`, `{"a": {1: 4, 2: 7}, "b": {1: 0}}`},
		{"restrict: only the baseline's lines; a line without count never ran",
			`restrict({"/w/s/a.rs": {1: 2, 8: 9}, "/w/t.rs": {1: 1}}, {"/w/s/a.rs": {3: 0, 1: 0}})`,
			`{"s/a.rs": {1: 2, 3: 0}}`},
		{"restrict: outside files, generated files, paths with dots",
			`restrict({"/w/x/../s/a.rs": {1: 2}, "/w/s/a.rs": {1: 1}}, {"/out/g.rs": {1: 0}, "/w/bazel-out/g.rs": {1: 0}, "/w/s/./a.rs": {1: 0}})`,
			`{"s/a.rs": {1: 2}}`},
		{"normalize", `[normalize_path(p) for p in ["/w/a/../b/./c", "a", "../a", "/w/.x/y..z", "./a"]]`,
			`["/w/b/c", "a", "../a", "/w/.x/y..z", "a"]`},
		{"glob", `[glob_matches(p, "crates/x/generated/deep/api.pb.rs") for p in ["**/generated/**", "**", "crates/*/generated/**/*.rs", "**/*.pb.*", "*.rs", "generated/**", "crates/**/api.pb", "crates/x/**/generated/deep/api.pb.rs"]]`,
			`[True, True, True, True, False, False, False, True]`},
		{"glob: ends do not overlap, several stars", `[glob_matches("ab*ba", "aba"), glob_matches("a*b*c", "a1b2b3c"), glob_matches("a*b*c", "acb"), glob_matches("*b*", "b")]`,
			`[False, True, False, True]`},
		{"glob: leading dots", `[glob_matches(p, "d/.x.rs") for p in ["**", "**/*", "d/*.rs", "d/.*", "**/.x.rs"]]`, `[True, True, False, True, True]`},
		{"exclude, relative to the package", `exclude({"p/gen/a.rs": {}, "gen/a.rs": {}, "p/b.rs": {}}, ["gen/**"], "p").keys()`,
			`["gen/a.rs", "p/b.rs"]`},
		{"percent rounds down", `[percent(7999, 10000), percent(8, 10), percent(0, 0), percent(3, 3)]`, `["79.9", "80.0", "-", "100.0"]`},
		{"ranges run over lines without code, not over covered ones",
			`format_ranges(missed_ranges({1: 1, 3: 0, 4: 0, 9: 0, 10: 2, 12: 0, 14: 1, 15: 0}))`, `"3-9, 12, 15"`},
		{"ranges are cut", `format_ranges([(1, 2), (4, 4), (6, 6)], 1)`, `"1-2, and 2 more places"`},
		{"lcov out", `to_lcov({"b": {2: 0, 1: 3}, "a": {}})`,
			`"TN:\nSF:a\nLF:0\nLH:0\nend_of_record\nTN:\nSF:b\nDA:1,3\nDA:2,0\nLF:2\nLH:1\nend_of_record\n"`},
		{"lcov round trip", `parse_lcov(to_lcov({"b": {1: 3, 2: 0}})) == {"b": {1: 3, 2: 0}}`, `True`},
		{"floor just reached", `verdict(summarize({"a": {i: 1 if i < 80 else 0 for i in range(100)}}), 80).summary`, `"80.0 % of lines, floor 80"`},
		{"no floor", `verdict(summarize({"a": {1: 1, 2: 0}})).summary`, `"50.0 % of lines"`},
		{"one line short", `verdict(summarize({"a": {i: 1 if i < 79 else 0 for i in range(100)}}), 80, "BUILD:35").summary`,
			`"79.0 % of lines, floor 80 (BUILD:35): 1 line short"`},
		{"floor missed by a fraction", `verdict(summarize({"a": {1: 1, 2: 1, 3: 0}}), 67).summary`, `"66.6 % of lines, floor 67: 1 line short"`},
		{"worst file first, aligned", `verdict(summarize({"a.rs": {1: 1, 2: 0}, "long/b.rs": {1: 0, 2: 0, 4: 1}, "ok.rs": {1: 1}}), 90).notes`,
			`["long/b.rs   33.3 %: 1-2 never run", "a.rs        50.0 %: 2 never run"]`},
		{"many files", `verdict(summarize({"f%d" % i: {1: 0} for i in range(12)}), 1).notes[-1]`, `"and 2 more files"`},
		{"nothing to cover", `[verdict(summarize({})).passed, verdict(summarize({}), 1).passed]`, `[True, False]`},
		{"escape", `escape("a<b> & \"c\"")`, `"a&lt;b&gt; &amp; &quot;c&quot;"`},
		{"pages", `sorted(html_pages({"s/a b.rs": {1: 1}}, {}, "//:c").keys())`, `["index.html", "src/s/a b.rs.html", "style.css"]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := evalStarlark(t, test.expression, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.expression, got, test.want)
			}
		})
	}
}

func TestCoverageErrors(t *testing.T) {
	tests := []struct{ expression, want string }{
		{`parse_lcov("SF:a\nDA:x,1\n")`, `lcov line 2: expected DA:<line>,<count>`},
		{`parse_lcov("DA:1,1\n")`, `below an SF record`},
		{`exclude({}, ["a//b"])`, `exclude: "a//b"`},
		{`exclude({}, ["a/**b"])`, `got "**b"`},
		{`exclude({}, ["/abs"])`, `relative to the package`},
	}
	for _, test := range tests {
		_, err := evalStarlark(t, test.expression, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.expression, err, test.want)
		}
	}
}

// TestCoverageSourcePage checks that each kind of line is marked, that text is escaped, and links lead back.
func TestCoverageSourcePage(t *testing.T) {
	got, err := evalStarlark(t,
		`html_pages({"src/a.rs": {1: 12345, 2: 0}}, {"src/a.rs": "fn a<T>() {\r\n  b(\"&\")\n}\n"}, "//:c", 80)["src/src/a.rs.html"]`, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := starlark.AsString(got)
	for _, want := range []string{
		`href="../../index.html"`, `href="../../style.css"`, `<a href="#L2">2</a></li>`,
		`<tr id="L1" class="h"><th><a href="#L1">1</a></th><td class="n">12k</td><td>fn a&lt;T&gt;() {</td></tr>`,
		`<tr id="L2" class="m">`, `b(&quot;&amp;&quot;)`,
		`<tr id="L3"><th><a href="#L3">3</a></th><td class="n"></td><td>}</td></tr>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	if strings.Contains(page, `id="L4"`) {
		t.Error("the end of the last line counts as a line")
	}
}

// bigCoverage is an lcov of 200 files with 100 lines each, and the sources.
func bigCoverage() (lcov string, sources *starlark.Dict) {
	var text strings.Builder
	sources = starlark.NewDict(200)
	for file := range 200 {
		fmt.Fprintf(&text, "SF:/w/crates/x/src/f%03d.rs\n", file)
		for line := 1; line <= 100; line++ {
			fmt.Fprintf(&text, "DA:%d,%d\n", line, (line*7+file)%5)
		}
		text.WriteString("end_of_record\n")
		source := strings.Repeat("    let value = compute::<T>(\"&\", 1 < 2);\n", 120)
		_ = sources.SetKey(starlark.String(fmt.Sprintf("crates/x/src/f%03d.rs", file)), starlark.String(source))
	}
	return text.String(), sources
}

const wholeReport = `[(verdict(summarize(c), 99).summary, len(to_lcov(c)), len(html_pages(c, sources, "//:c", 99)))
	for c in [exclude(restrict(merge_max([parse_lcov(lcov), parse_lcov(lcov)]), parse_lcov(lcov)), ["**/gen/**"])]][0]`

// TestCoverageBigReport makes a whole report of 20,000 lines. The bound is a hundred times what a quick machine needs:
// it catches quadratic behaviour only.
func TestCoverageBigReport(t *testing.T) {
	lcov, sources := bigCoverage()
	start := time.Now()
	got, err := evalStarlark(t, wholeReport, starlark.StringDict{"lcov": starlark.String(lcov), "sources": sources})
	if err != nil {
		t.Fatal(err)
	}
	if want := `("80.0 % of lines, floor 99: 3800 lines short", `; !strings.HasPrefix(got.String(), want) || !strings.HasSuffix(got.String(), ", 202)") {
		t.Errorf("got %s, want %s..., 202)", got, want)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("a report of 20,000 lines took %v", took)
	}
}

func BenchmarkCoverageBigReport(b *testing.B) {
	lcov, sources := bigCoverage()
	for b.Loop() {
		if _, err := evalStarlark(b, wholeReport, starlark.StringDict{"lcov": starlark.String(lcov), "sources": sources}); err != nil {
			b.Fatal(err)
		}
	}
}
