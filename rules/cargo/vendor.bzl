"""The rule that the BUILD file of a cargo_vendor repository uses."""

load(":providers.bzl", "CargoVendorInfo", "CcToolchainInfo", "RustToolchainInfo")

def _impl(ctx):
    crates = {}
    for name in ctx.attr.crates:
        crates[name] = ctx.actions.source_dir(name, at = "/vendor/" + name)
    return [
        DefaultInfo(files = depset()),
        CargoVendorInfo(
            crates = crates,
            all = ctx.actions.source_dir("", at = "/vendor"),
            config = ctx.file.config,
            rust = ctx.attr.rust[RustToolchainInfo],
            cc = ctx.attr.cc[CcToolchainInfo],
        ),
    ]

cargo_vendored = rule(
    implementation = _impl,
    doc = "The packages of a Cargo.lock. Written by cargo_vendor.",
    attrs = {
        "crates": attr.string_list(doc = "Folders of the repository: name-version."),
        "config": attr.label(allow_single_file = True, mandatory = True, doc = "cargo's [source] tables."),
        "rust": attr.label(mandatory = True, providers = [RustToolchainInfo], doc = "The rust_toolchain that goes with the workspace."),
        "cc": attr.label(mandatory = True, providers = [CcToolchainInfo], doc = "The cc_toolchain that goes with the workspace."),
    },
)
