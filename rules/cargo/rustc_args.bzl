"""The command line and environment that cargo gives rustc for one unit.

The order of words is cargo's (src/compiler/mod.rs), so that a recorded call
can be compared word by word. Left out, because they say where cargo keeps its
files or how it talks to its user: -C incremental, --diagnostic-width. Paths
are those of the input root:

    /vendor/<name>-<version>    a vendored package
    /w                          the repository the Cargo workspace is in
    /out                        where a compile writes
    /unit                       where its dependencies are seen

Pure functions.
"""

load(":package.bzl", "check_cfg_flags", "dirname", "is_path_package", "package_env", "relative")

# Where the files of other units are seen by a unit that uses them.
UNIT_DIR = "/unit"

# Where a unit writes its files.
OUT_DIR = "/out"

# What stands for cargo's target/debug around a running test: programs that look
# for their siblings from their own path find them.
PROFILE_DIR = "/unit/debug"

_LTO = {
    "run": ["-C", "lto"],
    "off": ["-C", "lto=off", "-C", "embed-bitcode=no"],
    "only-bitcode": ["-C", "linker-plugin-lto"],
    "only-object": ["-C", "embed-bitcode=no"],
    "object-and-bitcode": [],
}

def lto_flags(lto):
    """The flags for a unit's link time optimisation (see graph.bzl)."""
    if lto.startswith("run:"):
        return ["-C", "lto=" + lto[4:]]
    return _LTO[lto]

def needs_upstream_objects(node):
    """Whether rustc needs the object code of dependencies: it links."""
    if node["test"] or node["mode"] == "doctest":
        return True
    for t in node["target"]["crate_types"]:
        if t not in ["lib", "rlib"]:
            return True
    return False

def strip_value(strip):
    """"symbols", "debuginfo" or None from a profile's `strip`."""
    if type(strip) == "string":
        return None if strip in ["None", "none"] else strip
    value = strip.get("resolved") or strip.get("deferred")
    if type(value) == "dict":
        value = value.get("Named")
    if not value or value == "None":
        return None
    return value

def output_files(node, id):
    """The files a compile writes, by what they are.

    Args:
      node: from read_graph.
      id: the unit's short identity.

    Returns:
      dict from "rmeta", "rlib", "so" (a proc macro or dylib), "cdylib", "a" or
      "bin" to a file name.
    """
    crate = node["crate"]
    if node["mode"] == "check":
        return {"rmeta": "lib%s-%s.rmeta" % (crate, id)}
    if node["test"] or node["kind"] in ["bin", "example", "custom-build", "test", "bench"]:
        return {"bin": "%s-%s" % (crate, id)}
    suffix = "-" + id if has_extra_filename(node) else ""
    types = node["target"]["crate_types"]
    files = {}
    for t in types:
        if t in ["lib", "rlib"]:
            files["rlib"] = "lib%s%s.rlib" % (crate, suffix)
        elif t in ["proc-macro", "dylib"]:
            files["so"] = "lib%s%s.so" % (crate, suffix)
        elif t == "cdylib":
            files["cdylib"] = "lib%s%s.so" % (crate, suffix)
        elif t == "staticlib":
            files["a"] = "lib%s%s.a" % (crate, suffix)
    if not needs_upstream_objects(node):
        files["rmeta"] = "lib%s%s.rmeta" % (crate, suffix)
    return files

def has_extra_filename(node):
    """cargo gives the files of cdylibs and dylibs of a folder their plain names."""
    if node["test"] or not node["pkg"].startswith("path+"):
        return True
    for t in node["target"]["crate_types"]:
        if t in ["dylib", "cdylib"]:
            return False
    return True

def _emit(node):
    if node["mode"] == "check":
        return "--emit=dep-info,metadata"
    if needs_upstream_objects(node):
        return "--emit=dep-info,link"
    return "--emit=dep-info,metadata,link"

def profile_flags(node, lints, primary):
    """-C flags of the profile, with the lints where cargo has them."""
    profile = node["profile"]
    a = []
    if node["kind"] == "proc-macro" or ("dylib" in node["target"]["crate_types"] and not primary):
        a += ["-C", "prefer-dynamic"]
    optimised = profile["opt_level"] != "0"
    if optimised:
        a += ["-C", "opt-level=" + profile["opt_level"]]
    if profile["panic"] != "unwind":
        a += ["-C", "panic=" + profile["panic"]]
    a += lto_flags(node["lto"])
    if profile.get("codegen_units"):
        a += ["-C", "codegen-units=%d" % profile["codegen_units"]]
    if profile["debuginfo"]:
        a += ["-C", "debuginfo=%s" % profile["debuginfo"]]
    if profile.get("split_debuginfo"):
        a += ["-C", "split-debuginfo=" + profile["split_debuginfo"]]
    a += lints
    a += list(profile.get("rustflags") or [])
    assertions = profile["debug_assertions"]
    if optimised and assertions:
        a += ["-C", "debug-assertions=on"]
    elif not optimised and not assertions:
        a += ["-C", "debug-assertions=off"]
    if profile["overflow_checks"] != assertions:
        a += ["-C", "overflow-checks=" + ("on" if profile["overflow_checks"] else "off")]
    return a

def feature_flags(features):
    """--cfg feature="..." for each feature."""
    a = []
    for f in features:
        a += ["--cfg", 'feature="%s"' % f]
    return a

def source_path(node, pkg, root):
    """The crate's main file as cargo names it, and the working directory.

    Returns:
      (path, cwd): relative to the workspace for packages of folders inside it,
      absolute with the package's folder as working directory for others.
    """
    src = node["target"]["src_path"]
    if is_path_package(pkg):
        inside = relative(src, root)
        if inside:
            return inside, root
    return src, dirname(pkg["manifest_path"])

def rustc_argv(node, pkg, id, externs, options, lints, harness, primary):
    """The words after "rustc" for a unit, without what build scripts add.

    Args:
      node: from read_graph.
      pkg: its package, from `cargo metadata`.
      id: the unit's short identity.
      externs: list of (modifiers, name, file name) of direct dependencies.
      options: struct(root, rustflags, linker, ...) of plan_units.
      lints: words from lint_flags.
      harness: whether a test has rustc's test harness.
      primary: whether the package is a member of the workspace.

    Returns:
      list of words.
    """
    src, _ = source_path(node, pkg, options.root)
    a = [
        "--crate-name",
        node["crate"],
        "--edition=" + node["target"]["edition"],
        src,
        "--error-format=json",
        "--json=diagnostic-rendered-ansi,artifacts,future-incompat",
    ]
    if not node["test"] or not harness:
        for t in node["target"]["crate_types"]:
            a += ["--crate-type", t]
    a.append(_emit(node))
    a += profile_flags(node, lints, primary)
    if node["test"]:
        a += ["--test"] if harness else ["--cfg", "test"]
    a += feature_flags(node["features"])
    a += check_cfg_flags(pkg)
    a += ["-C", "metadata=" + id]
    if has_extra_filename(node):
        a += ["-C", "extra-filename=-" + id]
    if node["profile"].get("rpath"):
        a += ["-C", "rpath"]
    a += ["--out-dir", OUT_DIR]
    if options.linker:
        a += ["-C", "linker=" + options.linker]
    strip = strip_value(node["profile"]["strip"])
    if strip:
        a += ["-C", "strip=" + strip]
    a += ["-L", "dependency=" + UNIT_DIR]
    for modifiers, name, file in externs:
        a += ["--extern", "%s%s=%s/%s" % (modifiers, name, UNIT_DIR, file)]
    if node["kind"] == "proc-macro":
        a += ["--extern", "proc_macro"]
    if not is_path_package(pkg) or options.cap_lints and node["mode"] != "check":
        a += ["--cap-lints", "allow"]
    return a + unit_flags(node, options)

def unit_flags(node, options):
    """The flags of .cargo/config.toml for a unit. Where that names a target, they are for what runs there: not for macros, build scripts and what those are made of."""
    return [] if options.target_named and not node["platform"] else options.rustflags

def base_env(options):
    """Variables of every process that stands for one that cargo starts."""
    env = {"CARGO": "/rust/bin/cargo", "PATH": "/rust/bin:/usr/bin:/bin"}
    env.update(options.config_env)
    return env

def rustc_env(node, pkg, options, primary):
    """The environment of a unit's compile, without what build scripts add."""
    env = base_env(options)
    env.update(package_env(pkg))
    env["CARGO_CRATE_NAME"] = node["crate"]
    if node["kind"] in ["bin", "example"]:
        env["CARGO_BIN_NAME"] = node["target"]["name"]
    if primary:
        env["CARGO_PRIMARY_PACKAGE"] = "1"
    if node["kind"] in ["test", "bench"]:
        env.update(program_env(pkg, node["mode"] == "check"))
    env.update(extra_env(pkg, options))
    return env

def program_env(pkg, placeholder):
    """What integration tests and benches learn of their package's programs.

    Args:
      pkg: the package.
      placeholder: whether the programs are not built (a check).
    """
    env = {"CARGO_TARGET_TMPDIR": "/tmp"}
    for t in pkg["targets"]:
        if t["kind"] == ["bin"]:
            value = "placeholder:" + t["name"] if placeholder else PROFILE_DIR + "/" + t["name"]
            env["CARGO_BIN_EXE_" + t["name"]] = value
    return env

def extra_env(pkg, options):
    """Variables that the `env` attribute gives this package ("NAME" or "package/NAME")."""
    env = {}
    for key, value in options.env.items():
        owner, slash, name = key.rpartition("/")
        if not slash or owner == pkg["name"]:
            env[name] = value
    return env
