"""The `rustdoc --test` call that compiles and runs the examples in a library's documentation.

Pure functions; cargo's src/ops/cargo_test.rs is what they follow.
"""

load(":package.bzl", "check_cfg_flags", "dirname", "package_env")
load(":rustc_args.bzl", "UNIT_DIR", "base_env", "extra_env", "feature_flags", "lto_flags", "source_path")

def doctest_words(node, pkg, externs, options, lints):
    """The fixed parts of the call.

    Returns:
      (head, middle, tail): search paths of native libraries belong between the
      first two, what the package's build script printed between the last two.
    """
    src, _ = source_path(node, pkg, options.root)
    head = ["--edition=" + node["target"]["edition"]]
    for t in node["target"]["crate_types"]:
        head += ["--crate-type", t]
    head += [
        "--color",
        "auto",
        "--crate-name",
        node["crate"],
        "--test",
        src,
        "--test-run-directory",
        dirname(pkg["manifest_path"]),
    ]
    middle = list(lints)
    for modifiers, name, file in externs:
        middle += ["--extern", "%s%s=%s/%s" % (modifiers, name, UNIT_DIR, file)]
    if node["kind"] == "proc-macro":
        middle += ["--extern", "proc_macro"]
    middle += ["-L", "dependency=" + UNIT_DIR]
    middle += lto_flags(node["lto"])
    middle += feature_flags(node["features"])
    middle += check_cfg_flags(pkg)
    tail = options.rustdocflags + ["--error-format", "human"]
    return head, middle, tail

def doctest_env(node, pkg, options):
    """The environment of the call, without what the build script adds."""
    env = base_env(options)
    env.update(package_env(pkg))
    env["CARGO_CRATE_NAME"] = node["crate"]
    env.update(extra_env(pkg, options))
    return env

def doctest_argv(unit, own, linked, test_args = []):
    """The words after "rustdoc" for a doctest unit.

    Args:
      unit: from plan_units, of mode "doctest".
      own: what its package's build script printed (parse_directives), or None.
      linked: list of what the scripts in unit.scripts printed.
      test_args: words for the test program: filters and flags.
    """
    head, middle, tail = unit.doc
    paths = {}
    for printed in linked:
        for path in printed.search:
            paths[path] = True
    a = list(head)
    for path in sorted(paths):
        a += ["-L", path]
    a += middle
    if own:
        for cfg in own.cfgs:
            a += ["--cfg", cfg]
        for check in own.check_cfgs:
            a += ["--check-cfg", check]
        for where, arg in own.link_args:
            if where == "all":
                a += ["-C", "link-arg=" + arg]
    a += tail
    for word in test_args:
        a += ["--test-args", word]
    return a
