package loading_test

import (
	"context"
	"testing"
	"time"

	"gorules/executor/diag"
	"gorules/executor/internal/bug"
)

// FuzzBuild: whatever a BUILD file says, loading it ends, with a package or with
// an error that stands in the file; and never with a fault.
func FuzzBuild(f *testing.F) {
	for _, text := range []string{
		`genrule(name = "a", srcs = glob(["*.txt"], exclude = ["b*"]), outs = ["o"], cmd = "x")`,
		"load(\":d.bzl\", \"f\")\nf(name = 'x')\n[sh_test(name = n) for n in ['a', 'b']]",
		`package(default_visibility = ["//visibility:public"])` + "\nfilegroup(name = 'f', srcs = select({'//x:y': [], '//conditions:default': ['z']}))",
		"x = {'a': 1}\nx.update([('b', 2)])\nprint(x)\nfail('no')",
		"exports_files(['a.txt'])\nlicenses([])\nalias(name = 'b', actual = ':a.txt')",
		"def f(): pass", "\"", "load(", "x = 1 +", "\x00", "a = lambda: a()\na()",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := write(t, "-- WORKSPACE --\n-- a.txt --\n-- d.bzl --\ndef f(name): native.filegroup(name = name)\n")
		writeFile(t, dir, "BUILD", text)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := loaderIn(map[string]string{"": dir}).Package(ctx, pkg(""))
		if err == nil || ctx.Err() != nil {
			return
		}
		if b, ok := err.(*bug.Error); ok {
			t.Fatalf("a fault: %v\n%s", b, b.Stack)
		}
		if diag.Of(err).Position().File == "" {
			t.Errorf("an error without a place: %v", err)
		}
	})
}
