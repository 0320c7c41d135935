"""Which files an action on a package of the workspace sees.

A vendored package is one tree, and counts whole. An action on a package of a
folder may look into the whole repository, as a clean checkout has it and with
what .gitignore leaves: which file it needs only it knows, and what it looked at
is its input.
"""

load(":package.bzl", "RUST_FILES", "dirname", "relative")

WORKSPACE = "/w"

def package_dir(pkg):
    """A package's folder relative to the repository, or None for one outside it."""
    return relative(dirname(pkg["manifest_path"]), WORKSPACE)

def _nested(folder, folders):
    """Globs, relative to folder, for the packages inside it."""
    prefix = "" if folder == "." else folder + "/"
    out = []
    for f in folders:
        if f != folder and f != "." and f.startswith(prefix):
            out.append(f[len(prefix):].replace("?", "*") + "/**")  # a glob has no other way to write "?"
    return out

def _folder(pkg):
    folder = package_dir(pkg)
    if folder == None:
        fail(("package %s is at %s, outside this repository: its sources cannot be seen. " +
              "Move it below the WORKSPACE file, or depend on it through git or a registry") % (pkg["name"], dirname(pkg["manifest_path"])))
    return folder

def package_sources(actions, world, pkg):
    """What an action on a package reads of it.

    Args:
      actions: ctx.actions or plan_ctx.actions.
      world: see compile.bzl.
      pkg: from `cargo metadata`.

    Returns:
      struct(inputs = Files that count whole, scope = directories to look into,
      config, cargo = the same for an action that may run cargo on the workspace).
    """
    vendored = vendored_sources(world, pkg)
    if vendored:
        return struct(inputs = vendored, scope = [], config = [], cargo = [])
    _folder(pkg)
    return struct(inputs = world.srcs, scope = workspace_scope(actions), config = [world.config], cargo = [world.vendor])

def workspace_scope(actions):
    """The whole repository as a clean checkout has it, and with what .gitignore leaves."""
    return [actions.source_tree(tracked = True)]

def vendored_sources(world, pkg):
    """The tree of a vendored package in a list; empty for packages of folders."""
    place = dirname(pkg["manifest_path"])
    if not place.startswith("/vendor/"):
        return []
    name = place[len("/vendor/"):].partition("/")[0]
    if name not in world.crates:
        fail("cargo planned %s, which is not vendored: run `gorules fetch` again" % name)
    return [world.crates[name]]

def rust_sources(actions, world, pkg):
    """Only the .rs files of a package and the formatter's configuration."""
    folder = _folder(pkg)
    path = "" if folder == "." else folder
    return [
        actions.source_tree(path = path, include = RUST_FILES, exclude = _nested(folder, world.folders), tracked = True),
        actions.source_tree(path = world.prefix, include = ["**/rustfmt.toml", "**/.rustfmt.toml"], tracked = True),
    ]
