"""rust_toolchain: one Rust toolchain of the machine, or from an archive."""

load(":repository_util.bzl", "link_copy", "own_name", "quote_list", "quote_lists", "run")

_BUILD = """load("@gorules//cargo:toolchain.bzl", "rust_toolchain_files")

rust_toolchain_files(
    name = {name},
    folders = {folders},
    host = {host},
    runtime = {runtime},
    version = {version},
    visibility = ["//visibility:public"],
)
"""

def _wanted(rctx):
    """What is asked for: struct(channel, path, why), empty where nothing is."""
    if rctx.attr.channel:
        return struct(channel = rctx.attr.channel, path = "", why = "channel of rust_toolchain(name = \"%s\")" % own_name(rctx))
    for name in ["rust-toolchain", "rust-toolchain.toml"]:  # rustup's order
        file = rctx.path(str(rctx.workspace_root) + "/" + name)
        rctx.watch(file)
        if file.exists:
            text = rctx.read(file)
            if name == "rust-toolchain" and "[" not in text:
                return struct(channel = text.strip(), path = "", why = name)
            table = gorules.toml_decode(text).get("toolchain", {})
            return struct(channel = table.get("channel", ""), path = table.get("path", ""), why = name)
    return struct(channel = "", path = "", why = "")

def _from_rustup(rctx, rustup, wanted):
    """The sysroot that rustup has for a channel; fails where it is not installed."""
    words = [rustup, "which", "rustc"]
    if wanted.channel:
        words = [rustup, "which", "--toolchain", wanted.channel, "rustc"]
    result = rctx.execute(
        words,
        environment = {"RUSTUP_AUTO_INSTALL": "0", "RUST_BACKTRACE": "0"},
        working_directory = str(rctx.workspace_root),
    )
    if result.return_code != 0:
        if wanted.channel:
            fail(("the Rust toolchain %s, which %s asks for, is not installed: run `rustup toolchain install %s`") %
                 (wanted.channel, wanted.why, wanted.channel))
        fail("rustup has no toolchain for %s: install the one that it names, run `rustup default stable`, or write a rust-toolchain.toml there\n%s" %
             (rctx.workspace_root, result.stderr.strip()))
    return result.stdout.strip().removesuffix("/bin/rustc")

def _from_path(rctx, rustc, wanted):
    """The sysroot of the rustc on PATH, which must be the release asked for."""
    sysroot = run(rctx, [rustc, "--print", "sysroot"], "rust_toolchain").strip()
    version = run(rctx, [rustc, "--version"], "rust_toolchain").split(" ")[1]
    if wanted.channel and wanted.channel[0].isdigit() and not (version == wanted.channel or version.startswith(wanted.channel + ".")):
        fail(("%s asks for Rust %s, and the rustc on PATH is %s (there is no rustup): install Rust %s, " +
              "or name an archive with rust_toolchain(url = ..., sha256 = ...)") % (wanted.why, wanted.channel, version, wanted.channel))
    return sysroot

def _from_archive(rctx):
    """Unpacks a standalone installer and lays its components over each other."""
    rctx.download_and_extract(rctx.attr.url, output = "archive", sha256 = rctx.attr.sha256)
    top = rctx.path("archive").readdir()
    if len(top) != 1:
        fail("%s is not a Rust installer: it has %d folders at its top" % (rctx.attr.url, len(top)))
    run(rctx, ["mkdir", "-p", str(rctx.path("sysroot"))], "mkdir")
    for part in run(rctx, ["cat", str(top[0]) + "/components"], "rust_toolchain").split():
        if not part.startswith("rust-docs"):
            run(rctx, ["cp", "-a", "%s/%s/." % (top[0], part), str(rctx.path("sysroot"))], "cp")
    rctx.delete("archive")
    return str(rctx.path("sysroot"))

def _sysroot(rctx):
    if rctx.attr.url:
        if not rctx.attr.sha256:
            fail("rust_toolchain(name = \"%s\"): url needs sha256" % own_name(rctx))
        return _from_archive(rctx)
    wanted = _wanted(rctx)
    if wanted.path:
        return str(rctx.workspace_root) + "/" + wanted.path if not wanted.path.startswith("/") else wanted.path
    rustup = rctx.which("rustup")
    if rustup:
        return _from_rustup(rctx, rustup, wanted)
    rustc = rctx.which("rustc")
    if rustc:
        return _from_path(rctx, rustc, wanted)
    fail("there is no Rust toolchain: neither rustup nor rustc is on PATH. Install one from https://rustup.rs, " +
         "or name an archive: rust_toolchain(name = \"%s\", url = \"...\", sha256 = \"...\")" % own_name(rctx))

# Programs of a toolchain that are trees of their own: only actions that run
# one are given it.
_PROGRAMS = {
    "cargo": "bin/cargo",
    "clippy": "bin/clippy-driver",
    "rustdoc": "bin/rustdoc",
    "rustfmt": "bin/rustfmt",
}

# What rustc itself runs from its target's bin folder.
_LINKERS = ["rust-lld", "gcc-ld", "self-contained"]
_LLVM_TOOLS = ["llvm-profdata", "llvm-cov", "llvm-ar"]

def _impl(rctx):
    sysroot = _sysroot(rctx)
    rustc = sysroot + "/bin/rustc"
    if not rctx.path(rustc).exists:
        fail("%s is no Rust toolchain: it has no bin/rustc" % sysroot)
    for watched in [rustc, sysroot + "/lib/rustlib/multirust-channel-manifest.toml"]:
        if not rctx.attr.url:
            rctx.watch(watched)
    verbose = run(rctx, [rustc, "-vV"], "rust_toolchain")
    facts = {}
    for line in verbose.split("\n")[1:]:
        key, _, value = line.partition(": ")
        facts[key] = value
    host = facts["host"]

    folders = ["rustc"]
    programs = {"rustc": [rustc]}
    link_copy(rctx, rustc, "rustc/bin/rustc")
    for entry in rctx.path(sysroot + "/lib").readdir():
        if ".so" in entry.basename:
            link_copy(rctx, entry, "rustc/lib/" + entry.basename)
            programs["rustc"].append(str(entry))
    target = "lib/rustlib/" + host
    if not rctx.path(sysroot + "/" + target + "/lib").exists:
        fail("the toolchain at %s has no standard library for %s: run `rustup component add rust-std`" % (sysroot, host))
    link_copy(rctx, sysroot + "/" + target + "/lib", "rustc/" + target + "/lib")
    backends = sysroot + "/" + target + "/codegen-backends"
    if rctx.path(backends).exists:
        link_copy(rctx, backends, "rustc/" + target + "/codegen-backends")
    for name in _LINKERS:
        if rctx.path(sysroot + "/" + target + "/bin/" + name).exists:
            link_copy(rctx, sysroot + "/" + target + "/bin/" + name, "rustc/" + target + "/bin/" + name)
            if name == "rust-lld":
                programs["rustc"].append(sysroot + "/" + target + "/bin/" + name)
    for folder, file in _PROGRAMS.items():
        if rctx.path(sysroot + "/" + file).exists:
            link_copy(rctx, sysroot + "/" + file, folder + "/" + file)
            folders.append(folder)
            programs[folder] = [sysroot + "/" + file]
    if "cargo" not in folders:
        fail("the toolchain at %s has no cargo: run `rustup component add cargo`" % sysroot)
    for name in _LLVM_TOOLS:
        tool = sysroot + "/" + target + "/bin/" + name
        if rctx.path(tool).exists:
            link_copy(rctx, tool, "llvm-tools/" + target + "/bin/" + name)
            programs.setdefault("llvm-tools", []).append(tool)
            if "llvm-tools" not in folders:
                folders.append("llvm-tools")

    # The loader and libraries outside the toolchain, by tool: what cargo needs
    # is no input of a compile.
    runtime = {}
    for folder, files in programs.items():
        runtime[folder] = [str(p) for p in rctx.elf_closure(files) if not str(p).startswith(sysroot + "/")]
    if rctx.attr.url:
        rctx.delete("sysroot")
    rctx.file("BUILD", _BUILD.format(
        name = json.encode(own_name(rctx)),
        folders = quote_list(folders),
        host = json.encode(host),
        runtime = quote_lists(runtime),
        version = json.encode(verbose.split("\n")[0].strip()),
    ))

rust_toolchain = repository_rule(
    implementation = _impl,
    root_wins = True,
    environ = ["PATH", "RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN"],
    doc = """One Rust toolchain. The workspace that is built decides: one that it consumes does not bring its own.

Without attributes it is what rust-toolchain.toml beside WORKSPACE says, and
without that what `rustup` or the `rustc` on PATH gives by default.

    rust_toolchain(name = "rust")
    rust_toolchain(name = "rust", channel = "1.95.0")
""",
    attrs = {
        "channel": attr.string(doc = "A channel as rustup names it: \"1.95.0\", \"stable\", \"nightly-2026-05-01\". Decides before rust-toolchain.toml."),
        "url": attr.string(doc = "A standalone installer archive (rust-<version>-<host>.tar.xz) to use instead of an installed toolchain."),
        "sha256": attr.string(doc = "Checksum of the archive; required with url."),
    },
)
