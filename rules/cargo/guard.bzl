"""No target is lost: what cargo finds in the real folder by names is in the plan, or an error.

The plan is made from what a clean checkout has. A file that .gitignore leaves out
and that git does not track is not there, but cargo on this machine finds it, and
a test in it would be missing from a gate that is green.
"""

load(":package.bzl", "dirname", "relative")

# Where cargo finds targets by their names, by the key of a manifest that turns it off.
_FOUND = {
    "autobins": ["src/main.rs", "src/bin/*.rs", "src/bin/*/main.rs"],
    "autolib": ["src/lib.rs"],
    "autotests": ["tests/*.rs", "tests/*/main.rs"],
    "autobenches": ["benches/*.rs", "benches/*/main.rs"],
    "autoexamples": ["examples/*.rs", "examples/*/main.rs"],
}

def guarded(actions, planned):
    """A plan whose value is that of `planned`, unless a target is lost.

    Args:
      actions: ctx.actions of a cargo_deps.
      planned: the plan whose value has `metadata` and `manifests`.
    """
    return actions.plan(
        waits = [planned],
        data = struct(planned = planned),
        implementation = _look,
        mnemonic = "CargoPlan",
    )

def _names(actions, folder, include, real):
    return actions.source_tree(
        path = folder,
        include = include,
        blank = ["**"],
        gitignore = not real,
        tracked = not real,
    )

def _look(plan_ctx):
    value = plan_ctx.value(plan_ctx.data.planned)
    actions = plan_ctx.actions
    members = {m: True for m in value.metadata["workspace_members"]}
    pairs = []
    for pkg in value.metadata["packages"]:
        folder = relative(dirname(pkg["manifest_path"]), "/w")
        if pkg["id"] not in members or folder == None:
            continue
        manifest = value.manifests.get(pkg["manifest_path"], {}).get("package", {})
        include = [f for key, files in _FOUND.items() if manifest.get(key, True) for f in files]
        if manifest.get("build") == None:
            include.append("build.rs")
        pairs.append(_pair(actions, "" if folder == "." else folder, include))
    root = value.metadata["workspace_root"]
    folder = relative(root, "/w")
    globs = value.manifests.get(root + "/Cargo.toml", {}).get("workspace", {}).get("members", [])
    inside = [g.removeprefix("./").rstrip("/") + "/Cargo.toml" for g in globs if "*" in g and "**" not in g and "[" not in g and "?" not in g and not g.startswith("..")]
    if folder != None and inside:
        pairs.append(_pair(actions, "" if folder == "." else folder, inside))
    return actions.plan(
        inputs = [t for pair in pairs for t in [pair.real, pair.seen]],
        data = struct(pairs = pairs, value = value),
        implementation = _compare,
        mnemonic = "CargoPlan",
    )

def _pair(actions, folder, include):
    return struct(real = _names(actions, folder, include, True), seen = _names(actions, folder, include, False))

def _compare(plan_ctx):
    lost = {}
    for pair in plan_ctx.data.pairs:
        seen = {f: True for f in plan_ctx.files(pair.seen)}
        for f in plan_ctx.files(pair.real):
            if f not in seen:
                lost[f] = True
    if lost:
        names = sorted(lost)
        fail(("cargo finds %s in this folder, and a clean checkout does not have %s: .gitignore leaves it out and git does not track it, " +
              "so it would be missing from every check. Add it (git add -f %s), take it out of .gitignore, or remove it") %
             (", ".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else ""), "it" if len(names) == 1 else "them", names[0]))
    return plan_ctx.data.value
