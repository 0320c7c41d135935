"""Build scripts: the environment of a run, and what their output means.

Pure functions; cargo's src/compiler/custom_build.rs is what they follow.
"""

load(":package.bzl", "dirname", "env_name", "package_env")
load(":rustc_args.bzl", "UNIT_DIR", "base_env", "extra_env")

# How many jobs a build script may start. Part of the key, so a constant.
_NUM_JOBS = "4"

def script_out_dir(unit):
    """OUT_DIR of a build script's run: where it writes, and where the crate sees it."""
    return "%s/%s-%s/out" % (UNIT_DIR, unit.package, unit.id)

def _cfg_env(node, options):
    """CARGO_CFG_*: one variable a key of `rustc --print cfg`, several values joined by commas."""
    values = {}
    for line in options.cfgs:
        name, equals, value = line.partition("=")
        if name in ["debug_assertions", "proc_macro"]:
            continue
        values.setdefault(name, [])
        if equals:
            values[name].append(value.strip('"'))
    values["panic"] = [node["profile"]["panic"]]
    values["feature"] = node["features"]
    if node["profile"]["debug_assertions"]:
        values["debug_assertions"] = []
    return {"CARGO_CFG_" + env_name(k): ",".join(v) for k, v in values.items()}

def script_env(node, pkg, options):
    """The environment of a build script's run, without DEP_* and OUT_DIR.

    Nothing of the caller's environment is in it: cargo would pass all of it on.

    Args:
      node: the run-custom-build unit.
      pkg: its package.
      options: from plan_options.
    """
    profile = node["profile"]
    env = base_env(options)
    env.update(package_env(pkg))
    env.update(_cfg_env(node, options))
    for f in node["features"]:
        env["CARGO_FEATURE_" + env_name(f)] = "1"
    if pkg["links"]:
        env["CARGO_MANIFEST_LINKS"] = pkg["links"]
    debug = profile["debuginfo"]
    env.update({
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(options.rustflags),
        "DEBUG": "false" if debug in [0, None, "none"] else "true",
        "HOST": options.host,
        "NUM_JOBS": _NUM_JOBS,
        "OPT_LEVEL": profile["opt_level"],
        "PROFILE": "debug" if options.profile in ["dev", "test"] else "release",
        "RUSTC": "/rust/bin/rustc",
        "RUSTDOC": "/rust/bin/rustdoc",
        "TARGET": options.host,
    })
    if options.linker:
        env["RUSTC_LINKER"] = options.linker
    env.update(extra_env(pkg, options))
    return env

def dep_env(links, metadata):
    """DEP_<LINKS>_<KEY> variables for the scripts of packages that depend on a `links` package."""
    return {"DEP_%s_%s" % (env_name(links), env_name(k)): v for k, v in metadata}

_LINK_ARG = {
    "rustc-link-arg": "all",
    "rustc-link-arg-bins": "bin",
    "rustc-link-arg-tests": "test",
    "rustc-link-arg-benches": "bench",
    "rustc-link-arg-examples": "example",
    "rustc-link-arg-cdylib": "cdylib",
    "rustc-cdylib-link-arg": "cdylib",
}

# Directives that say when to run a script again. A run's inputs decide that here.
_IGNORED = ["rerun-if-changed", "rerun-if-env-changed"]

def parse_directives(text, out_dir, who):
    """Reads what a build script printed.

    Args:
      text: its standard output.
      out_dir: its OUT_DIR; search paths inside it come first, as in cargo.
      who: "name v1.0.0", for errors.

    Returns:
      struct(search, libs, cfgs, check_cfgs, env, link_args = [(where, arg)],
      metadata = [(key, value)], warnings, errors).
    """
    own, other = [], []
    libs, cfgs, check_cfgs, link_args, metadata, warnings, errors = [], [], [], [], [], [], []
    env = {}
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("cargo::"):
            key, equals, value = line[len("cargo::"):].partition("=")
            new = True
        elif line.startswith("cargo:"):
            key, equals, value = line[len("cargo:"):].partition("=")
            new = False
        else:
            continue
        if not equals:
            fail("the build script of %s printed %r, which has no value: cargo expects cargo::KEY=VALUE" % (who, line))
        value = value.rstrip()
        if new and key == "metadata":
            name, _, value = value.partition("=")
            metadata.append((name, value))
        elif key == "rustc-link-search":
            place = value.rpartition("=")[2]
            (own if place == out_dir or place.startswith(out_dir + "/") else other).append(value)
        elif key == "rustc-link-lib":
            libs.append(value)
        elif key == "rustc-flags":
            _read_flags(value, own, other, libs, out_dir, who)
        elif key == "rustc-cfg":
            cfgs.append(value)
        elif key == "rustc-check-cfg":
            check_cfgs.append(value)
        elif key == "rustc-env":
            name, _, value = value.partition("=")
            if name == "RUSTC_BOOTSTRAP":
                fail("the build script of %s sets RUSTC_BOOTSTRAP, which cargo refuses too" % who)
            env[name] = value
        elif key in _LINK_ARG:
            link_args.append((_LINK_ARG[key], value))
        elif key == "rustc-link-arg-bin":
            name, _, value = value.partition("=")
            link_args.append(("bin=" + name, value))
        elif key == "warning":
            warnings.append(value)
        elif key == "error":
            errors.append(value)
        elif key in _IGNORED:
            pass
        elif new:
            fail("the build script of %s printed the unknown directive %r" % (who, line))
        else:
            metadata.append((key, value))
    return struct(
        search = own + other,
        libs = libs,
        cfgs = cfgs,
        check_cfgs = check_cfgs,
        env = env,
        link_args = link_args,
        metadata = metadata,
        warnings = warnings,
        errors = errors,
    )

def _read_flags(value, own, other, libs, out_dir, who):
    """The old `rustc-flags`: only -l and -L."""
    words = [w for w in value.split(" ") if w]
    pending = ""
    for word in words:
        flag = pending
        pending = ""
        if not flag:
            flag, word = word[:2], word[2:]
            if flag not in ["-l", "-L"]:
                fail("the build script of %s printed rustc-flags=%s: only -l and -L are allowed" % (who, value))
            if not word:
                pending = flag
                continue
        if flag == "-l":
            libs.append(word)
        else:
            place = word.rpartition("=")[2]
            (own if place == out_dir or place.startswith(out_dir + "/") else other).append(word)

def _applies(where, unit):
    if where == "all":
        return True
    if where == "cdylib":
        return "cdylib" in unit.target["crate_types"] and not unit.test
    if where.startswith("bin="):
        return unit.kind == "bin" and unit.target["name"] == where[4:]
    return unit.kind == where

def directive_args(unit, own, linked, has_lib):
    """What build scripts add to a unit's command line.

    Args:
      unit: from plan_units.
      own: what its own package's script printed (parse_directives), or None.
      linked: of a unit that links: list of (id of the run, what it printed) in
        the order of unit.scripts, its own included. Units that do not link get
        only their own (cargo gives them all, which they do not use).
      has_lib: whether the package has a library, which then takes the -l flags.

    Returns:
      list of words, to follow unit.argv.
    """
    if not linked and own:
        linked = [(unit.script, own)]
    inside, outside = {}, {}
    for _, printed in linked:
        for path in printed.search:
            place = path.rpartition("=")[2]
            (inside if place.startswith(UNIT_DIR + "/") else outside)[path] = True
    a = []
    for path in list(inside) + list(outside):
        a += ["-L", path]
    if own and (unit.kind in ["lib", "proc-macro"] or not has_lib):
        for lib in own.libs:
            a += ["-l", lib]
    for id, printed in linked:
        for where, arg in printed.link_args:
            if _applies(where, unit) and (id == unit.script or where == "cdylib"):
                a += ["-C", "link-arg=" + arg]
    if own:
        for cfg in own.cfgs:
            a += ["--cfg", cfg]
        for check in own.check_cfgs:
            a += ["--check-cfg", check]
    return a

def directive_env(unit, own):
    """What a package's build script adds to the environment of its compiles."""
    if not own:
        return {}
    env = dict(own.env)
    env["OUT_DIR"] = "%s/%s-%s/out" % (UNIT_DIR, unit.package, unit.script)
    return env
