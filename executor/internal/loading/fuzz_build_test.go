package loading_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gorules/executor/diag"
	"gorules/executor/internal/bug"
)

// FuzzBuild: whatever a BUILD file says and the .bzl file that it loads, loading
// it ends, with a package or with an error that stands in a file; and never with
// a fault.
func FuzzBuild(f *testing.F) {
	const bzl = "def f(name): native.filegroup(name = name)\n"
	for _, text := range []string{
		`genrule(name = "a", srcs = glob(["*.txt"], exclude = ["b*"]), outs = ["o"], cmd = "x")`,
		"load(\":d.bzl\", \"f\")\nf(name = 'x')\n[sh_test(name = n) for n in ['a', 'b']]",
		`package(default_visibility = ["//visibility:public"])` + "\nfilegroup(name = 'f', srcs = select({'//x:y': [], '//conditions:default': ['z']}))",
		"x = {'a': 1}\nx.update([('b', 2)])\nprint(x)\nfail('no')",
		"exports_files(['a.txt'])\nlicenses([])\nalias(name = 'b', actual = ':a.txt')",
		"def f(): pass", "\"", "load(", "x = 1 +", "\x00", "a = lambda: a()\na()",
	} {
		f.Add(text, bzl)
	}
	for _, text := range []string{
		"def f(name):\n  for i in range(1 << 40):\n    pass\n",
		"def f(name):\n  f(name)\n",
		"def f(name):\n  native.glob([name + '/**'])\n  [native.filegroup(name = n) for n in native.existing_rules()]\n",
		"r = rule(implementation = lambda ctx: [], attrs = {'deps': attr.label_list()})\ndef f(name): r(name = name, deps = [name])\n",
		"load(':d.bzl', 'f')",
	} {
		f.Add("load(\":d.bzl\", \"f\")\nf(name = 'x')", text)
	}
	// An input that takes 10 seconds is a failure (internal/fuzz of Go).
	f.Fuzz(func(t *testing.T, build, bzl string) {
		dir := write(t, "-- WORKSPACE --\n-- a.txt --\n")
		writeFile(t, dir, "BUILD", build)
		writeFile(t, dir, "d.bzl", bzl)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := loaderIn(map[string]string{"": dir}).Package(ctx, pkg(""))
		if err == nil || ctx.Err() != nil {
			return
		}
		var b *bug.Error
		if errors.As(err, &b) {
			t.Fatalf("a fault: %v\n%s", b, b.Stack)
		}
		if diag.Of(err).Position().File == "" {
			t.Errorf("an error without a place: %v", err)
		}
	})
}
