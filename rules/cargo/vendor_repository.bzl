"""cargo_vendor: what Cargo.lock names, fetched through cargo and verified."""

load(":lockfile.bzl", "read_lock", "source_config")
load(":repository_util.bzl", "own_name", "quote_list", "run")

_BUILD = """load("@gorules//cargo:vendor.bzl", "cargo_vendored")

exports_files(["cargo-config.toml"])

cargo_vendored(
    name = {name},
    cc = {cc},
    config = "cargo-config.toml",
    crates = {crates},
    rust = {rust},
    visibility = ["//visibility:public"],
)
"""

_GIT_DIGEST = "cd \"$1\" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"

def _cargo_home(rctx):
    return rctx.getenv("CARGO_HOME") or (rctx.getenv("HOME") or "") + "/.cargo"

def _cached_archives(rctx):
    """cargo's archives by file name: a list of paths each, one per registry or mirror.

    Not watched: what is taken has the lock's checksum, whatever else is there.
    """
    found = {}
    cache = rctx.path(_cargo_home(rctx) + "/registry/cache")
    if cache.exists:
        for registry in cache.readdir(watch = "no"):
            for file in registry.readdir(watch = "no"):
                found.setdefault(file.basename, []).append(file)
    return found

def _verified(rctx, package, archives):
    """The archive of a package with the checksum that the lock demands, or None where there is none."""
    wrong = None
    for file in archives.get(package.folder + ".crate", []):
        digest = rctx.sha256(file)
        if digest == package.checksum:
            return file
        wrong = (file, digest)
    if wrong:
        fail(("checksum mismatch: %s v%s\n  Cargo.lock says %s\n  %s has %s\n" +
              "The archive was changed after the lock was made. Delete that file and fetch again; if it happens again, do not trust the registry.") %
             (package.name, package.version, package.checksum, wrong[0], wrong[1]))
    return None

def _cargo(rctx, words, what):
    """Runs the toolchain's cargo on the workspace with the user's own configuration."""
    cargo = str(rctx.path(rctx.attr.rust.same_package_label("cargo/bin/cargo")))
    rustc = str(rctx.path(rctx.attr.rust.same_package_label("rustc/bin/rustc")))
    root = str(rctx.path(rctx.attr.lockfile).dirname)
    rctx.report_progress(what)
    result = rctx.execute(
        [cargo] + words + ["--manifest-path", root + "/Cargo.toml"],
        environment = {"RUSTC": rustc, "CARGO_TERM_COLOR": "never"},
        working_directory = root,
        timeout = 1800,
    )
    if result.return_code == 0:
        return result.stdout
    said = result.stderr.strip()
    if "--locked" in said:
        fail("%s\nCargo.lock is out of step with a Cargo.toml. Run `cargo update --workspace` (or any cargo command without --locked), then build again." % said)
    fail("cargo could not fetch what Cargo.lock names:\n%s" % said)

def _unpack(rctx, package, archive):
    rctx.extract(archive, output = package.folder, stripPrefix = package.folder, type = "tar.gz", watch_archive = "no")
    rctx.file(package.folder + "/.cargo-checksum.json", json.encode({"files": {}, "package": package.checksum}))

def _take_vendored(rctx, packages):
    """Packages that only `cargo vendor` can lay out: those from git, and all if cargo's sources are folders."""
    _cargo(rctx, ["vendor", "--locked", "--versioned-dirs", "--respect-source-config", str(rctx.path("vendored"))], "Vendoring")
    for p in packages:
        folder = rctx.path("vendored/" + p.folder)
        if not folder.exists:
            fail("cargo vendored no %s" % p.folder)
        run(rctx, ["mv", str(folder), str(rctx.path(p.folder))], "mv")
        if p.git:
            digest = run(rctx, ["sh", "-c", _GIT_DIGEST, "sh", str(rctx.path(p.folder))], "sha256sum").split(" ")[0]
            rctx.lock("%s@%s" % (p.folder, p.source.replace("#", "@")), "sha256:" + digest)
        else:
            said = json.decode(rctx.read(p.folder + "/.cargo-checksum.json")).get("package")
            if said != p.checksum:
                fail("checksum mismatch: %s v%s\n  Cargo.lock says %s\n  the vendored source says %s" % (p.name, p.version, p.checksum, said))
    rctx.delete("vendored")

def _impl(rctx):
    if not rctx.path(rctx.attr.lockfile).exists:
        fail("there is no %s: run `cargo generate-lockfile` in the workspace's folder, and commit the file" % rctx.path(rctx.attr.lockfile).basename)
    packages = read_lock(rctx.read(rctx.attr.lockfile), str(rctx.attr.lockfile))
    archives = _cached_archives(rctx)
    found = {p.folder: _verified(rctx, p, archives) for p in packages if not p.git}
    if None in found.values():
        _cargo(rctx, ["fetch", "--locked"], "Fetching")
        archives = _cached_archives(rctx)
        found = {p.folder: _verified(rctx, p, archives) for p in packages if not p.git}
    left = []
    for p in packages:
        if found.get(p.folder):
            _unpack(rctx, p, found[p.folder])
        else:
            left.append(p)
    if left:
        _take_vendored(rctx, left)
    rctx.file("cargo-config.toml", source_config(packages))
    rctx.file("BUILD", _BUILD.format(
        name = json.encode(own_name(rctx)),
        cc = json.encode(str(rctx.attr.cc)),
        rust = json.encode(str(rctx.attr.rust)),
        crates = quote_list([p.folder for p in packages]),
    ))

cargo_vendor_repository = repository_rule(
    implementation = _impl,
    environ = ["CARGO_HOME", "HOME"],
    doc = "The packages of a Cargo.lock; see cargo_vendor of repositories.bzl.",
    attrs = {
        "lockfile": attr.label(mandatory = True, doc = "The Cargo.lock, beside the workspace's Cargo.toml."),
        "rust": attr.label(mandatory = True, doc = "The rust_toolchain."),
        "cc": attr.label(mandatory = True, doc = "The cc_toolchain."),
    },
)
