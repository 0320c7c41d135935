"""What a WORKSPACE file declares: toolchains, programs and libraries of the machine, and third-party packages.

    load("@gorules//cargo:repositories.bzl", "cargo_vendor", "cc_toolchain", "rust_toolchain")

    rust_toolchain(name = "rust")
    cc_toolchain(name = "cc")
    cargo_vendor(name = "crates", lockfile = "//:Cargo.lock")
"""

load(":cc_repository.bzl", _cc_toolchain = "cc_toolchain")
load(":cover_repository.bzl", _coverage_tool_repository = "coverage_tool_repository")
load(":host_repositories.bzl", _host_library = "host_library", _host_tool = "host_tool")
load(":rust_repository.bzl", _rust_toolchain = "rust_toolchain")
load(":vendor_repository.bzl", _cargo_vendor_repository = "cargo_vendor_repository")

cc_toolchain = _cc_toolchain
host_library = _host_library
host_tool = _host_tool
rust_toolchain = _rust_toolchain

def cargo_vendor(name, lockfile = "//:Cargo.lock", rust = "@rust", cc = "@cc", **kwargs):
    """What Cargo.lock names, fetched through cargo, every checksum verified; offline afterwards.

    Args:
      name: of the repository; cargo_deps takes it as `vendor`.
      lockfile: the Cargo.lock, which stands beside the workspace's Cargo.toml.
      rust: the rust_toolchain whose cargo fetches, and which compiles the workspace.
      cc: the cc_toolchain that links it and that build scripts find.
      **kwargs: further attributes of the repository.
    """
    _cargo_vendor_repository(name = name, lockfile = lockfile, rust = rust, cc = cc, **kwargs)

    # What cargo_coverage reads profiles with. Both are fetched when a coverage
    # target first needs them.
    if not native.existing_rule("gorules_coverage_tool"):
        _coverage_tool_repository(name = "gorules_coverage_tool", crates = "@gorules_coverage_crates")
        _cargo_vendor_repository(
            name = "gorules_coverage_crates",
            lockfile = "@gorules_coverage_tool//:Cargo.lock",
            rust = rust,
            cc = cc,
        )
