"""The Cargo rules: deps, package, clippy, test, coverage and format targets of a Cargo workspace.

    load("@gorules//cargo:defs.bzl", "cargo_clippy", "cargo_coverage", "cargo_deps", "cargo_fmt", "cargo_package", "cargo_test")

    cargo_deps(name = "deps", vendor = "@crates")
    cargo_package(name = "hello", deps = ":deps", visibility = ["//visibility:public"])
    cargo_fmt(name = "fmt", package = ":hello")
    cargo_clippy(name = "clippy", package = ":hello", clippy_flags = ["--deny", "warnings"])
    cargo_test(name = "test", package = ":hello")
    cargo_coverage(name = "coverage", package = ":hello", min_line_coverage = 80)
"""

load(":clippy.bzl", _cargo_clippy = "cargo_clippy")
load(":cover_rule.bzl", _cargo_coverage = "cargo_coverage")
load(":deps.bzl", _cargo_deps = "cargo_deps")
load(":fmt.bzl", _cargo_fmt = "cargo_fmt")
load(":package_rule.bzl", _cargo_package = "cargo_package")
load(":providers.bzl", _CargoPackageInfo = "CargoPackageInfo", _CargoPlanInfo = "CargoPlanInfo", _CoverageInfo = "CoverageInfo")
load(":test.bzl", _cargo_test = "cargo_test")

cargo_clippy = _cargo_clippy
cargo_coverage = _cargo_coverage
cargo_deps = _cargo_deps
cargo_fmt = _cargo_fmt
cargo_package = _cargo_package
cargo_test = _cargo_test

CargoPackageInfo = _CargoPackageInfo
CargoPlanInfo = _CargoPlanInfo
CoverageInfo = _CoverageInfo
