"""The rules that BUILD files of toolchain and host repositories use.

People write rust_toolchain, cc_toolchain, host_tool and host_library in
WORKSPACE (repositories.bzl); what those find out stands in generated BUILD
files that use the rules here.
"""

load(":providers.bzl", "CcToolchainInfo", "HostFilesInfo", "RustToolchainInfo")

def _rust_impl(ctx):
    def tree(folder):
        return [ctx.actions.source_dir(folder, at = "/rust")] if folder in ctx.attr.folders else None

    def tool(folder):
        files = tree(folder)
        if files and ctx.attr.runtime.get(folder):
            files = files + [ctx.actions.host_tree(ctx.attr.runtime[folder])]
        return files

    return [
        DefaultInfo(files = depset()),
        RustToolchainInfo(
            host = ctx.attr.host,
            version = ctx.attr.version,
            rustc = tree("rustc"),
            cargo = tool("cargo"),
            clippy = tool("clippy"),
            rustdoc = tool("rustdoc"),
            rustfmt = tool("rustfmt"),
            llvm_tools = tool("llvm-tools"),
            runtime = [ctx.actions.host_tree(ctx.attr.runtime["rustc"])],
        ),
    ]

rust_toolchain_files = rule(
    implementation = _rust_impl,
    doc = "The trees of a toolchain repository. Written by rust_toolchain.",
    attrs = {
        "folders": attr.string_list(mandatory = True, doc = "Which of rustc, cargo, clippy, rustdoc, rustfmt, llvm-tools there are."),
        "host": attr.string(mandatory = True, doc = "The toolchain's host triple."),
        "version": attr.string(mandatory = True, doc = "What rustc --version prints."),
        "runtime": attr.string_list_dict(mandatory = True, doc = "The host's loader and shared libraries, by the folder whose programs need them."),
    },
)

def _cc_impl(ctx):
    return [
        DefaultInfo(files = depset()),
        CcToolchainInfo(files = [ctx.actions.host_tree(ctx.attr.paths)], cc = ctx.attr.cc),
    ]

cc_toolchain_files = rule(
    implementation = _cc_impl,
    doc = "The files of a C toolchain. Written by cc_toolchain.",
    attrs = {
        "cc": attr.string(mandatory = True, doc = "Absolute path of the driver."),
        "paths": attr.string_list(mandatory = True, doc = "Everything it reads."),
    },
)

def _host_impl(ctx):
    return [
        DefaultInfo(files = depset()),
        HostFilesInfo(files = [ctx.actions.host_tree(ctx.attr.paths)], name = ctx.attr.what),
    ]

host_files = rule(
    implementation = _host_impl,
    doc = "A program or library of the machine. Written by host_tool and host_library.",
    attrs = {
        "paths": attr.string_list(mandatory = True, doc = "Files and folders of the machine."),
        "what": attr.string(mandatory = True, doc = "Its name for people."),
    },
)
