package loading_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorules/executor/diag"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

func TestPackage(t *testing.T) {
	l := newLoader(t, `
-- a/BUILD --
load(":defs.bzl", "many")
load("//b:defs.bzl", lib = "filegroups")
package(default_visibility = ["//b:__subpackages__"], features = ["x"], default_testonly = True)
exports_files(["data.txt"])
filegroup(name = "g", srcs = glob(["*.txt"]) + ["other/file"] + select({"//b:cond": [":gen.out"], "//conditions:default": []}))
genrule(name = "gen", srcs = ["in"], outs = ["gen.out", "d/gen2"], visibility = ["//visibility:public"])
many(name = "m", n = 2)
lib("f")
named(name = "n")
package_group(name = "friends", packages = ["//c/...", "-//c/d"])
x = 1
x = 2
-- a/defs.bzl --
def many(name, n):
    for i in range(n):
        native.filegroup(name = "%s%d" % (name, i), srcs = native.glob(["*.txt"]))
    if native.existing_rule("g")["kind"] != "filegroup":
        fail("no")
    if [k for k in native.existing_rules()] != ["g", "gen", "m0", "m1"]:
        fail(native.existing_rules().keys())
    if str(native.package_relative_label("x")) != "@@//a:x" or native.package_name() != "a" or native.repository_name() != "@":
        fail(native.package_relative_label("x"))
-- a/data.txt --
-- a/one.txt --
-- b/BUILD --
-- b/defs.bzl --
def filegroups(*names):
    [native.filegroup(name = n) for n in names]
`)
	p, err := l.Package(t.Context(), pkg("a"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"BUILD": "source file", "data.txt": "source file", "one.txt": "source file", "other/file": "source file", "in": "source file",
		"g": "filegroup rule", "gen": "genrule rule", "gen.out": "generated file", "d/gen2": "generated file",
		"m0": "filegroup rule", "m1": "filegroup rule", "f": "filegroup rule", "n": "named rule", "n.txt": "generated file",
		"friends": "package group",
	}
	for _, name := range p.Names() {
		if got := p.Targets[name].KindString(); got != want[name] {
			t.Errorf("%s is a %q, want %q", name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if got := p.Targets["m1"].Position.String(); got != "a/BUILD:7:5" {
		t.Errorf("position of a macro's target = %s", got)
	}
	if got := p.Targets["m1"].Attrs["generator_function"].String(); got != `"many"` {
		t.Errorf("generator_function = %s", got)
	}
	if got := p.Targets["g"].Attrs["testonly"].String(); got != "True" {
		t.Errorf("testonly = %s", got)
	}
	for _, tt := range []struct {
		target, from string
		want         bool
	}{
		{"g", "a", true}, {"g", "b", true}, {"g", "b/c", true}, {"g", "bc", false}, {"g", "c", false},
		{"gen", "c", true}, {"gen.out", "c", true}, {"data.txt", "c", true}, {"one.txt", "c", false},
	} {
		got, err := l.Visible(t.Context(), p.Targets[tt.target], pkg(tt.from))
		if err != nil || got != tt.want {
			t.Errorf("%s visible from //%s: %v, %v, want %v", tt.target, tt.from, got, err, tt.want)
		}
	}
	for from, want := range map[string]bool{"c": true, "c/e": true, "c/d": false, "x": false} {
		friends := &loading.Target{Label: parse(t, "//z:z"), Visibility: loading.Visibility{Groups: []label.Label{parse(t, "//a:friends")}}}
		if got, err := l.Visible(t.Context(), friends, pkg(from)); got != want || err != nil {
			t.Errorf("group has //%s: %v, %v", from, got, err)
		}
	}
}

// Each archive's package //a gives exactly this error.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ name, files, want string }{
		{"syntax", "-- a/BUILD --\nfilegroup(name = \n", "a/BUILD:2:1: got end of file, want primary expression"},
		{"undefined", "-- a/BUILD --\nfilegrup(name = 'x')\n", "a/BUILD:1:1: name 'filegrup' is not defined (did you mean 'filegroup'?)"},
		{"def", "-- a/BUILD --\nx = 1\ndef f(): pass\n",
			"a/BUILD:2:1: functions may not be defined in BUILD files.\n    You may move the function to a .bzl file and load it."},
		{"lambda", "-- a/BUILD --\nx = lambda: 1\n",
			"a/BUILD:1:5: functions may not be defined in BUILD files.\n    You may move the function to a .bzl file and load it."},
		{"for", "-- a/BUILD --\nfor x in []: pass\n",
			"a/BUILD:1:1: for statements are not allowed in BUILD files.\n    You may inline the loop, move it to a function definition (in a .bzl file), or as a last resort, use a list comprehension."},
		{"if", "-- a/BUILD --\nif 1: pass\n",
			"a/BUILD:1:1: if statements are not allowed in BUILD files.\n    You may move conditional logic to a function definition (in a .bzl file), or for simple cases, use an if expression."},
		{"star", "-- a/BUILD --\nglob(*[])\n", "a/BUILD:1:6: *args arguments are not allowed in BUILD files.\n    Pass the arguments in explicitly."},
		{"starstar", "-- a/BUILD --\nglob(**{})\n", "a/BUILD:1:6: **kwargs arguments are not allowed in BUILD files.\n    Pass the arguments in explicitly."},
		{"twice", "-- a/BUILD --\nfilegroup(name = 'x')\nsh_test(name = 'x')\n",
			"a/BUILD:2:8: sh_test rule 'x' in package 'a' conflicts with existing filegroup rule, defined at a/BUILD:1:10\n    give one of the two another name"},
		{"output twice", "-- a/BUILD --\ngenrule(name = 'x', outs = ['o'])\ngenrule(name = 'y', outs = ['o'])\n",
			"a/BUILD:2:8: generated file 'o' in rule 'y' conflicts with existing generated file from rule 'x', defined at a/BUILD:1:8\n    give one of the two another name"},
		{"unknown attribute", "-- a/BUILD --\nfilegroup(name = 'x', scrs = [])\n",
			`a/BUILD:1:10: filegroup x: rule filegroup has no attribute "scrs" (did you mean "srcs"?)`},
		{"bad label", "-- a/BUILD --\nfilegroup(name = 'x', srcs = ['../y'])\n",
			`a/BUILD:1:10: filegroup x: in attribute "srcs" of rule filegroup: invalid label "../y": target name "../y" may not contain the path segment ".."`},
		{"bad name", "-- a/BUILD --\nfilegroup(name = 'x:y')\n", `a/BUILD:1:10: filegroup: invalid target name: target name "x:y" may not contain ':'`},
		{"empty glob", "-- a/BUILD --\nfilegroup(name = 'x', srcs = glob(['*.rs']))\n",
			"a/BUILD:1:34: glob pattern '*.rs' didn't match anything, but allow_empty is set to False (the default value of allow_empty can be set with --incompatible_disallow_empty_glob).\n    mend the pattern, or write allow_empty = True"},
		{"excluded glob", "-- a/BUILD --\nfilegroup(name = 'x', srcs = glob(['BUILD'], exclude = ['B*']))\n",
			"a/BUILD:1:34: all files in the glob have been excluded, but allow_empty is set to False (the default value of allow_empty can be set with --incompatible_disallow_empty_glob).\n    exclude less, or write allow_empty = True"},
		{"glob up", "-- a/BUILD --\nglob(['../*'])\n", "a/BUILD:1:5: invalid glob pattern '../*': segment '..' not permitted"},
		{"glob select", "-- a/BUILD --\nglob(select({'//x': []}))\n",
			"a/BUILD:1:5: glob: include: a select() is not allowed here: files are found before the configuration is known"},
		{"load missing", "-- a/BUILD --\nload(':defs.bzl', 'x')\n-- a/def.bzl --\n",
			"a/BUILD:1:6: cannot load '//a:defs.bzl': no such file (did you mean 'def.bzl'?)"},
		{"load no label", "-- a/BUILD --\nload('defs.bzl', 'x')\n",
			"a/BUILD:1:6: First argument of 'load' must be a label and start with either '//', ':', or '@', got 'defs.bzl'\n    write load(\":defs.bzl\", ...) for a file of this package"},
		{"load no bzl", "-- a/BUILD --\nload(':defs.py', 'x')\n", "a/BUILD:1:6: The label must reference a file with extension \".bzl\" or \".scl\", got ':defs.py'"},
		{"load symbol", "-- a/BUILD --\nload(':d.bzl', 'fooo')\n-- a/d.bzl --\nfoo = 1\n",
			"a/BUILD:1:17: file '//a:d.bzl' does not contain symbol 'fooo' (did you mean 'foo'?)"},
		{"load private", "-- a/BUILD --\nload(':d.bzl', '_foo')\n-- a/d.bzl --\n_foo = 1\n", "a/BUILD:1:17: symbol '_foo' is private and cannot be imported"},
		{"load no package", "-- a/BUILD --\nload('//b:d.bzl', 'foo')\n-- b/d.bzl --\nfoo = 1\n",
			"a/BUILD:1:6: Unable to find package for //b:d.bzl: BUILD file not found in folder 'b'\n    Add a BUILD file to a directory to mark it as a package."},
		{"load late", "-- a/BUILD --\nload(':d.bzl', 'foo')\n-- a/d.bzl --\nfoo = 1\nload(':e.bzl', 'e')\n",
			"a/d.bzl:2:1: load statements must appear before any other statement\n    move it to the top of the file"},
		{"load cycle", "-- a/BUILD --\nload(':x.bzl', 'x')\n-- a/x.bzl --\nload(':y.bzl', 'x')\n-- a/y.bzl --\nload(':x.bzl', 'x')\n",
			"a/x.bzl:1:6: load() statements form a cycle:\n    //a:x.bzl ->\n    //a:y.bzl ->\n    //a:x.bzl\n    move what the files need from each other into a file that loads none of them"},
		{"fail in a macro", "-- a/BUILD --\nload(':x.bzl', 'f')\nf()\n-- a/x.bzl --\ndef g():\n    fail('bad', 1)\n\ndef f():\n    g()\n",
			"a/x.bzl:2:9: bad 1\n    called from a/x.bzl:5:6 in f\n    called from a/BUILD:2:2"},
		{"package late", "-- a/BUILD --\nfilegroup(name = 'x')\npackage()\n",
			"a/BUILD:2:8: 'package' must be called before the first target\n    move it up: its defaults hold for the targets below it"},
		{"not UTF-8", "-- a/BUILD --\n# ok\n# \xff\n", "a/BUILD:2:1: the file is not UTF-8\n    save it in the encoding UTF-8"},
		{"no package", "-- ab/BUILD --\n", "no such package '//a': BUILD file not found in folder 'a'\n    Add a BUILD file to a directory to mark it as a package."},
		{"unexported rule", "-- a/BUILD --\nload(':x.bzl', 'f')\nf()\n-- a/x.bzl --\ndef f():\n    native.fliegroup(name = 'x')\n",
			"a/x.bzl:2:11: module has no .fliegroup field or method (did you mean .filegroup?)\n    called from a/BUILD:2:2"},
		{"test name", "-- a/BUILD --\nload(':x.bzl', 'f_test')\n-- a/x.bzl --\nf_test = rule(implementation = lambda ctx: [])\n",
			"a/x.bzl:1:14: rule f_test ends in _test but is no test rule\n    add test = True, or rename it"},
		{"package arg", "-- a/BUILD --\npackage(default_visiblity = [])\n",
			"a/BUILD:1:8: unexpected keyword argument: 'default_visiblity' (did you mean 'default_visibility'?)\n    package() takes default_applicable_licenses, default_compatible_with, default_deprecation, default_package_metadata, default_restricted_to, default_testonly, default_visibility, features, licenses"},
		{"visibility", "-- a/BUILD --\nfilegroup(name = 'x', visibility = ['//visibility:pubic'])\n",
			"a/BUILD:1:10: filegroup x: visibility label '//visibility:pubic' is neither //visibility:public nor //visibility:private"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoader(t, tt.files)
			_, err := l.Package(t.Context(), pkg("a"))
			if got := told(err); got != tt.want {
				t.Errorf("error:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// The error that the loader keeps for a package is the same one for everybody
// who names it, and nobody gives it his own place.
func TestKeptErrorStaysAsItIs(t *testing.T) {
	l := newLoader(t, `
-- a/BUILD --
test_suite(name = "a", tests = ["//gone:t"])
-- b/BUILD --

test_suite(name = "b", tests = ["//gone:t"])
`)
	_, first := l.Package(t.Context(), pkg("gone"))
	var kept *diag.Error
	if !errors.As(first, &kept) {
		t.Fatal(first)
	}
	before := *kept
	for suite, want := range map[string]string{"//a:a": "a/BUILD:1:11: ", "//b:b": "b/BUILD:2:11: "} {
		s, err := l.Target(t.Context(), parse(t, suite))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Tests(t.Context(), s); err == nil || !strings.HasPrefix(err.Error(), want+"no such package '//gone'") {
			t.Errorf("%s: %v, want it at %s", suite, err, want)
		}
	}
	_, again := l.Package(t.Context(), pkg("gone"))
	if again != first || *kept != before {
		t.Errorf("the kept error was %v and is %v", &before, again)
	}
}

func TestTargetErrors(t *testing.T) {
	l := newLoader(t, `
-- a/BUILD --
filegroup(name = "files", srcs = ["here.txt", "her.txt", "sub/x"])
-- a/here.txt --
-- a/unlisted --
-- a/sub/BUILD --
-- a/sub/x --
`)
	for _, tt := range []struct{ label, want string }{
		{"//a:here.txt", "<nil>"},
		{"//a:fles", "no such target '//a:fles': target 'fles' not declared in package 'a' defined by a/BUILD (did you mean 'files'?)"},
		{"//a:unlisted", "no such target '//a:unlisted': target 'unlisted' not declared in package 'a' defined by a/BUILD\n    However, a source file of this name exists: add exports_files([\"unlisted\"]) to a/BUILD."},
		{"//a:her.txt", "a/BUILD:1:10: missing input file '//a:her.txt': no file and no target of this name (did you mean 'here.txt'?)\n    create the file, or take its name out of the target"},
		{"//a:sub/x", "a/BUILD:1:10: Label '//a:sub/x' is invalid because 'a/sub' is a subpackage\n    perhaps you meant to put the colon here: '//a/sub:x'?"},
		{"//a:sub/y", "Label '//a:sub/y' is invalid because 'a/sub' is a subpackage\n    perhaps you meant to put the colon here: '//a/sub:y'?"},
	} {
		_, err := l.Target(t.Context(), parse(t, tt.label))
		if got := told(err); got != tt.want {
			t.Errorf("%s: error:\n%s\nwant:\n%s", tt.label, got, tt.want)
		}
	}
}

const patternTree = `
-- BUILD --
filegroup(name = "root")
-- WORKSPACE --
-- .bazelignore --
# generated
ignored/deep
-- a/BUILD --
filegroup(name = "a", srcs = ["f"])
filegroup(name = "m", tags = ["manual"])
sh_test(name = "t", tags = ["slow"], size = "small")
test_suite(name = "all_tests")
test_suite(name = "slow", tags = ["slow"], tests = [":t", "//a/b:t2"])
-- a/f --
-- a/b/BUILD.bazel --
filegroup(name = "b")
filegroup(name = "c/d")
sh_test(name = "t2")
-- ignored/deep/BUILD --
filegroup(name = "x")
-- nested/MODULE.bazel --
-- nested/BUILD --
filegroup(name = "x")
-- gorules-bin/BUILD --
filegroup(name = "x")
-- bazel-x --
-> a
-- loop/back --
-> ../loop
-- broken/BUILD --
filegroup(
`

func TestExpand(t *testing.T) {
	l := newLoader(t, patternTree)
	for _, tt := range []struct {
		patterns, cwd string
		tests         bool
		want          string
	}{
		{"//a:a", "", false, "//a:a"},
		{"//a", "", false, "//a:a"},
		{":t a", "a", false, "//a:t //a:a"},
		{"//a:all", "", false, "//a:a //a:all_tests //a:slow //a:t"},
		{"//a:*", "", false, "//a:BUILD //a:a //a:all_tests //a:f //a:slow //a:t"},
		{"//a/...", "", false, "//a:a //a:all_tests //a:slow //a:t //a/b:b //a/b:c/d //a/b:t2"},
		{"... -//a/b:t2 -broken/... -//broken:all", "", false, "ERR no such package"},
		{"//a/... -//a/b/... //a/b:b", "", false, "//a:a //a:all_tests //a:slow //a:t //a/b:b"},
		{"//a/... -//a/...", "", false, ""},
		{"//a -//a/b:b", "", false, "//a:a"},
		{"//a -//a:nothing", "", false, "ERR nothing can be taken away by '-//a:nothing': no such target '//a:nothing': target 'nothing' not declared in package 'a' defined by a/BUILD"},
		{"//a -//nowhere:all", "", true, "ERR nothing can be taken away by '-//nowhere:all': no such package '//nowhere': BUILD file not found in folder 'nowhere'\n    Add a BUILD file to a directory to mark it as a package."},
		{"//a -zz/...", "", false, "ERR nothing can be taken away by '-zz/...': no targets found beneath 'zz'\n    no folder in it has a BUILD file: add one"},
		{"//a --nocapture", "", true, "ERR nothing can be taken away by '--nocapture': no such target '//:-nocapture': target '-nocapture' not declared in package '' defined by BUILD\n    program arguments go to `gorules run TARGET -- ARG...`, those of tests to --test_arg=ARG"},
		{"a/b", "", false, "//a/b:b"},
		{"a/t", "", false, "//a:t"},
		{"a/b/c/d", "", false, "//a/b:c/d"},
		{"b/c/d", "a", false, "//a/b:c/d"},
		{"//a:m", "", false, "//a:m"},
		{"//a/...", "", true, "//a:t //a/b:t2"},
		{"//a:slow", "", true, "//a:t"},
		{"//a:all_tests //a/b", "", true, "//a:t"},
		{"zz/...", "", false, "ERR no targets found beneath 'zz'\n    no folder in it has a BUILD file: add one"},
		{"x/y", "", false, "ERR no such target '//:x/y': target 'x/y' not declared in package '' defined by BUILD"},
	} {
		t.Run(tt.patterns, func(t *testing.T) {
			var patterns []label.Pattern
			for text := range strings.FieldsSeq(tt.patterns) {
				p, err := label.ParsePattern(text, tt.cwd)
				if err != nil {
					t.Fatal(err)
				}
				patterns = append(patterns, p)
			}
			x, err := l.Expand(t.Context(), patterns, loading.ExpandOptions{Tests: tt.tests})
			if err != nil {
				if !strings.HasPrefix(tt.want, "ERR ") || tt.want != "ERR "+told(err) && !strings.Contains(err.Error(), "broken/BUILD") {
					t.Fatal(err)
				}
				return
			}
			var got []string
			for _, target := range x.Targets {
				got = append(got, target.Label.String())
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

// A syntax error in one file leaves the other packages usable.
func TestKeepGoing(t *testing.T) {
	l := newLoader(t, patternTree)
	p, _ := label.ParsePattern("//...", "")
	x, err := l.Expand(t.Context(), []label.Pattern{p}, loading.ExpandOptions{KeepGoing: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, target := range x.Targets {
		got = append(got, target.Label.String())
	}
	want := []string{"//:root", "//a:a", "//a:all_tests", "//a:slow", "//a:t", "//a/b:b", "//a/b:c/d", "//a/b:t2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(x.Errors) != 1 || x.Errors[0].Error() != "broken/BUILD:2:1: got end of file, want ')'" {
		t.Errorf("errors = %v", x.Errors)
	}
}

// told is an error with its hint on a line of its own.
func told(err error) string {
	if hint := diag.Hint(err); hint != "" {
		return err.Error() + "\n    " + hint
	}
	return fmt.Sprint(err)
}
