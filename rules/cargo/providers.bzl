"""What the Cargo rules tell each other."""

RustToolchainInfo = provider(
    doc = "One Rust toolchain, as trees by tool that all stand at /rust.",
    fields = {
        "host": "target triple of the machine it runs on",
        "version": "what `rustc --version` prints",
        "rustc": "files of rustc: the compiler, the standard library and its linker",
        "cargo": "files of cargo",
        "clippy": "files of clippy-driver, or None where the component is not installed",
        "rustdoc": "files of rustdoc",
        "rustfmt": "files of rustfmt, or None",
        "llvm_tools": "files of llvm-profdata and llvm-cov, or None",
        "runtime": "the host's loader and C library, which rustc and what it makes need to run",
    },
)

CcToolchainInfo = provider(
    doc = "The host's C compiler and linker, at their own places.",
    fields = {
        "files": "list of Files: driver, compilers, assembler, linker, start files, C library and its headers",
        "cc": "absolute path of the driver, as programs find it on PATH",
    },
)

HostFilesInfo = provider(
    doc = "A declared program or library of the machine.",
    fields = {
        "files": "list of Files, at their own places",
        "name": "what was asked for",
    },
)

CargoVendorInfo = provider(
    doc = "The third-party packages of a Cargo.lock.",
    fields = {
        "crates": "dict from folder name below /vendor, such as \"serde-1.0.1\", to its tree",
        "all": "one directory with all of them, as a scope of actions that run cargo",
        "config": "the File with cargo's [source] table for them",
        "rust": "the RustToolchainInfo that goes with the workspace",
        "cc": "the CcToolchainInfo that goes with the workspace",
    },
)

CargoPlanInfo = provider(
    doc = "The one plan of a Cargo workspace, which cargo_deps owns.",
    fields = {
        "plan": "Planned; its value is what _plan_deps of deps.bzl returns",
        "world": "struct of what every action of the workspace needs (compile.bzl)",
        "asked": "struct(inputs, flags): what cargo plans from, and its flags for profile and features",
    },
)

CargoPackageInfo = provider(
    doc = "Libraries and programs of a workspace.",
    fields = {
        "label": "of the cargo_package",
        "plan": "Planned; its value is what _plan_package of package_rule.bzl returns",
        "deps_plan": "the Planned of its cargo_deps",
        "world": "as in CargoPlanInfo",
        "members": "names given in `members`; empty for cargo's default-members",
        "tree": "the directory with bin/ and lib/",
    },
)

CoverageInfo = provider(
    doc = "Line coverage of a package.",
    fields = {"lcov": "File in lcov's format"},
)
