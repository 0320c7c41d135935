"""The repository of the program that reads coverage: a Cargo workspace that gorules builds with its own rules."""

_FILES = [
    "Cargo.lock",
    "Cargo.toml",
    "src/lines.rs",
    "src/main.rs",
    "src/mapping.rs",
    "src/objects.rs",
    "src/profile.rs",
]

_BUILD = """load("@gorules//cargo:defs.bzl", "cargo_deps", "cargo_package")

exports_files(["Cargo.lock"])

cargo_deps(
    name = "deps",
    vendor = {crates},
)

cargo_package(
    name = "gorules-coverage",
    visibility = ["//visibility:public"],
    deps = ":deps",
)
"""

def _impl(rctx):
    for name in _FILES:
        rctx.file(name, rctx.read(Label("//cargo:coverage_tool/" + name)))
    rctx.file("BUILD", _BUILD.format(crates = json.encode(rctx.attr.crates)))

coverage_tool_repository = repository_rule(
    implementation = _impl,
    doc = "The sources of gorules-coverage. Declared by cargo_vendor.",
    attrs = {"crates": attr.string(mandatory = True, doc = "The cargo_vendor of its Cargo.lock.")},
)
