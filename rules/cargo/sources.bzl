"""Which files an action on a package of the workspace sees.

A vendored package is one tree. A package of a folder is what .gitignore leaves
of it, without nested packages and without what only other tools read, so that
editing those compiles nothing.
"""

load(":package.bzl", "RUST_FILES", "dirname", "relative")

WORKSPACE = "/w"

# Read by people and other tools, never by a compiler.
_TOOLS_ONLY = [
    "target/**",
    "**/BUILD",
    "**/BUILD.bazel",
    "**/*.bzl",
    "**/WORKSPACE*",
    "**/MODULE.bazel*",
    "gorules*",
    "gorules*/**",
    "**/.gorulesrc",
    "**/Cargo.lock",
    "**/clippy.toml",
    "**/.clippy.toml",
    "**/rustfmt.toml",
    "**/.rustfmt.toml",
    "**/deny.toml",
    "**/.config/nextest.toml",
    "**/.github/**",
    "**/.gitignore",
]

_DOCUMENTS = ["**/*.md", "**/LICENSE*", "**/COPYING*"]

# include!, include_str!, include_bytes! and #[path] with a literal. The first
# group is relative to the file, the second to the package.
_MENTION = (
    '(?:include(?:_str|_bytes)?!\\s*[({\\[]\\s*|\\bpath\\s*=\\s*)"([^"]+)"' +
    '|include(?:_str|_bytes)?!\\s*[({\\[]\\s*concat!\\s*[({\\[]\\s*env!\\s*\\(\\s*"CARGO_MANIFEST_DIR"\\s*\\)\\s*,\\s*"/?([^"]+)"'
)

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

# Where cargo looks for targets of its own accord.
_TARGET_DIRS = {
    "lib": "src",
    "proc-macro": "src",
    "bin": "src",
    "test": "tests",
    "bench": "benches",
    "example": "examples",
}

def _of_other_targets(pkg, unit):
    """Globs for Rust files that only other targets of the package are made of.

    An edit of a test compiles no library, and an edit of the library does not
    compile its build script again. A library's own folder is never left out,
    nor is one that the unit's own source stands in.
    """
    own = relative(unit.target["src_path"], dirname(pkg["manifest_path"])) or ""
    dirs = ["tests", "benches", "examples"]
    if _TARGET_DIRS.get(unit.kind) != "src":
        dirs.append("src")
    return [d + "/" + files for d in dirs if not own.startswith(d + "/") for files in RUST_FILES]

def compile_sources(actions, world, pkg, unit):
    """The Files that compiling a target of a package reads.

    Args:
      actions: ctx.actions or plan_ctx.actions.
      world: see compile.bzl.
      pkg: from `cargo metadata`.
      unit: from plan_units.
    """
    vendored = vendored_sources(world, pkg)
    if vendored:
        return vendored
    folder = _folder(pkg)
    return [actions.source_tree(
        path = "" if folder == "." else folder,
        exclude = _TOOLS_ONLY + _nested(folder, world.folders),
        mentioned_files = _DOCUMENTS,
        mentioned_together = _of_other_targets(pkg, unit),
        mentioned_by = RUST_FILES,
        mentioned_pattern = _MENTION,
    )] + world.srcs

def run_sources(actions, world, pkg):
    """The Files that a test or build script of a package may read: all of it."""
    vendored = vendored_sources(world, pkg)
    if vendored:
        return vendored
    folder = _folder(pkg)
    return [actions.source_tree(
        path = "" if folder == "." else folder,
        exclude = _TOOLS_ONLY + _nested(folder, world.folders),
    )] + world.srcs

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
        actions.source_tree(path = path, include = RUST_FILES, exclude = ["target/**"] + _nested(folder, world.folders)),
        actions.source_tree(path = world.prefix, include = ["**/rustfmt.toml", "**/.rustfmt.toml"], exclude = ["**/target/**"]),
    ]

def clippy_config(actions, world):
    """clippy.toml files: clippy looks for one from the package's folder upwards."""
    return [actions.source_tree(path = world.prefix, include = ["**/clippy.toml", "**/.clippy.toml"], exclude = ["**/target/**"])]
