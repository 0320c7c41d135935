package bzl_test

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// file is the .bzl file that the tests' code stands in.
var file = label.Label{Repo: "rs", Package: "defs", Name: "x.bzl"}

func env() bzl.Env {
	return bzl.Env{File: file, Scope: bzl.Scope{Package: file.Pkg(), Repo: func(s string) string {
		if s == "alias" {
			return "real"
		}
		return s
	}}}
}

// exec runs a .bzl file and returns its exported globals.
func exec(t testing.TB, src string) (starlark.StringDict, error) {
	t.Helper()
	thread, done := bzl.NewThread(t.Context(), "test", diag.Position{}, nil, &bzl.Context{Package: file.Pkg(), File: file, Scope: env().Scope})
	defer done()
	globals, err := starlark.ExecFileOptions(bzl.Options(bzl.BzlFile), thread, "defs/x.bzl", src, env().Predeclared())
	if err == nil {
		err = bzl.Export(globals, file, nil)
	}
	return globals, err
}

// eval returns what the last line's assignment to out gives.
func eval(t testing.TB, src string) starlark.Value {
	t.Helper()
	g, err := exec(t, src)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return g["out"]
}

// check runs a table of expressions and what they print as.
func check(t *testing.T, prelude string, table [][2]string) {
	t.Helper()
	for _, c := range table {
		if got := bzl.Str(eval(t, prelude+"\nout = "+c[0]+"\n")); got != c[1] {
			t.Errorf("%s = %s, want %s", c[0], got, c[1])
		}
	}
}

// refuse runs a table of expressions that fail and parts of their messages.
func refuse(t *testing.T, prelude string, table [][2]string) {
	t.Helper()
	for _, c := range table {
		_, err := exec(t, prelude+"\nout = "+c[0]+"\n")
		if err == nil {
			t.Errorf("%s: no error", c[0])
		} else if !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: error %q, want %q in it", c[0], err, c[1])
		}
	}
}
