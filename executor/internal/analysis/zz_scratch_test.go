package analysis_test

import "testing"

func TestCargo(t *testing.T) {
	w := newWorld(t, `
-- BUILD --
load("@gorules//cargo:defs.bzl", "cargo_clippy", "cargo_coverage", "cargo_deps", "cargo_fmt", "cargo_package", "cargo_test")
load("@gorules//cargo:vendor.bzl", "cargo_vendored")
load("@gorules//cargo:toolchain.bzl", "rust_toolchain_files", "cc_toolchain_files")
cargo_vendored(name = "v", config = "c.toml", rust = ":rust", cc = ":cc", crates = ["serde-1"])
rust_toolchain_files(name = "rust", folders = ["rustc", "cargo", "clippy", "rustfmt", "rustdoc"], host = "x", version = "1", runtime = ["/lib"])
cc_toolchain_files(name = "cc", cc = "/usr/bin/cc", paths = ["/usr/bin/cc"])
cargo_deps(name = "deps", vendor = ":v")
cargo_package(name = "hello", deps = ":deps", visibility = ["//visibility:public"])
cargo_fmt(name = "fmt", package = ":hello")
cargo_clippy(name = "clippy", package = ":hello", clippy_flags = ["--deny", "warnings"])
cargo_test(name = "test", package = ":hello")
cargo_coverage(name = "coverage", package = ":hello", min_line_coverage = 80)
-- c.toml --
`)
	for _, n := range []string{"deps", "hello", "fmt", "clippy", "test", "coverage"} {
		c, err := w.Configure(t.Context(), parse(t, "//:"+n))
		if err != nil {
			t.Error(err)
			continue
		}
		t.Log(n, paths(c.Files), len(c.Specs), c.Verdict != nil)
	}
}
