"""What `cargo metadata` and the manifests say about a package, as rustc gets it.

Pure functions of JSON and TOML values.
"""

load(":graph.bzl", "target_kind")

_PKG_TEXT = ["description", "homepage", "repository", "license", "license_file", "rust_version", "readme"]

# Globs for Rust files: "*.rs" alone does not match a leading dot.
RUST_FILES = ["**/*.rs", "**/.*.rs"]

def dirname(path):
    """The folder of a path: "/w/Cargo.toml" gives "/w"."""
    return path.rpartition("/")[0]

def relative(path, root):
    """A path below root as rustc is given it, or None where it is not below root."""
    if path == root:
        return "."
    if path.startswith(root + "/"):
        return path[len(root) + 1:]
    return None

def env_name(text):
    """Text as part of a variable's name: upper case, dashes as underscores."""
    return text.upper().replace("-", "_")

def package_env(pkg):
    """The CARGO_MANIFEST_* and CARGO_PKG_* variables of a package.

    Args:
      pkg: an element of `packages` of `cargo metadata`.

    Returns:
      dict; every variable is there, empty where the manifest is silent.
    """
    version = pkg["version"]
    core, _, pre = version.partition("+")[0].partition("-")
    major, minor, patch = core.split(".")
    env = {
        "CARGO_MANIFEST_DIR": dirname(pkg["manifest_path"]),
        "CARGO_MANIFEST_PATH": pkg["manifest_path"],
        "CARGO_PKG_AUTHORS": ":".join(pkg["authors"]),
        "CARGO_PKG_NAME": pkg["name"],
        "CARGO_PKG_VERSION": version,
        "CARGO_PKG_VERSION_MAJOR": major,
        "CARGO_PKG_VERSION_MINOR": minor,
        "CARGO_PKG_VERSION_PATCH": patch,
        "CARGO_PKG_VERSION_PRE": pre,
    }
    for key in _PKG_TEXT:
        env["CARGO_PKG_" + key.upper()] = pkg[key] or ""
    return env

def lint_flags(manifest, workspace_manifest):
    """The flags that `[lints]` of a manifest stands for.

    Args:
      manifest: the package's decoded Cargo.toml.
      workspace_manifest: the workspace's, for `workspace = true`.

    Returns:
      list of words, in cargo's order: ascending priority, then descending name.
    """
    table = manifest.get("lints")
    if not table:
        return []
    if table.get("workspace"):
        table = workspace_manifest.get("workspace", {}).get("lints", {})
    rows = []
    for tool, lints in table.items():
        for name, value in lints.items():
            if type(value) == "string":
                value = {"level": value}
            full = name if tool == "rust" else tool + "::" + name
            rows.append((name, value.get("priority", 0), value["level"], full, value.get("check-cfg", [])))
    rows = sorted(rows, key = lambda r: r[0], reverse = True)
    rows = sorted(rows, key = lambda r: r[1])
    flags = ["--%s=%s" % (level, full) for _, _, level, full, _ in rows]
    for _, _, _, full, check_cfgs in rows:
        if full == "unexpected_cfgs":
            for check in check_cfgs:
                flags += ["--check-cfg", check]
    return flags

def check_cfg_flags(pkg):
    """The `--check-cfg` flags for the features a package declares."""
    values = ", ".join(['"%s"' % f for f in sorted(pkg["features"])])
    return [
        "--check-cfg",
        "cfg(docsrs,test)",
        "--check-cfg",
        "cfg(feature, values(%s))" % values,
    ]

def has_harness(target, manifest):
    """Whether a test, bench, library or binary is built with the test harness.

    Args:
      target: the `target` object of a unit.
      manifest: the package's decoded Cargo.toml, or None where it is not known.
    """
    if not manifest:
        return True
    kind = target["kind"][0]
    if kind in ["lib", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"]:
        return manifest.get("lib", {}).get("harness", True)
    for entry in manifest.get(kind, []):
        if entry.get("name") == target["name"]:
            return entry.get("harness", True)
    return True

def is_path_package(pkg):
    """Whether a package comes from a folder (its lints are then not capped)."""
    return pkg["source"] == None

# --- cargo's configuration ---

def _cfg_holds(expression, cfgs):
    """Evaluates `cfg(...)` of a [target] table against `rustc --print cfg`.

    The grammar is all(), any(), not() around names and name = "value".
    Evaluated from the inside out, because Starlark has no recursion.
    """
    text = expression.strip()
    if text.startswith("cfg(") and text.endswith(")"):
        text = text[4:-1]
    for _ in range(len(text) + 1):
        close = text.find(")")
        if close < 0:
            break
        open = text.rfind("(", 0, close)
        start = open
        for _ in range(open):
            if not (text[start - 1].isalnum() or text[start - 1] == "_"):
                break
            start -= 1
        results = [_atom_holds(a, cfgs) for a in text[open + 1:close].split(",") if a.strip()]
        operator = text[start:open]
        if operator == "all":
            value = all(results)
        elif operator == "any":
            value = any(results)
        elif operator == "not":
            value = not results[0]
        else:
            fail("cannot read %s in .cargo/config.toml" % expression)
        text = text[:start] + ("true" if value else "false") + text[close + 1:]
    return _atom_holds(text, cfgs)

def _atom_holds(atom, cfgs):
    atom = atom.strip()
    if atom in ["true", "false"]:
        return atom == "true"
    name, equals, value = atom.partition("=")
    if equals:
        atom = name.strip() + "=" + value.strip()
    return atom in cfgs

def _words(value):
    if type(value) == "string":
        return [w for w in value.split(" ") if w]
    return list(value or [])

def config_flags(config, host, cfgs, key):
    """The flags that .cargo/config.toml adds to rustc or rustdoc.

    Args:
      config: decoded output of `cargo config get`.
      host: the target triple.
      cfgs: lines of `rustc --print cfg`.
      key: "rustflags" or "rustdocflags".

    Returns:
      list of words. Flags of [target] tables come first and, as in cargo, keep
      those of [build] out.
    """
    flags = []
    targets = config.get("target", {})
    if host in targets:
        flags += _words(targets[host].get(key))
    for name in sorted(targets):
        if name.startswith("cfg(") and key in targets[name] and _cfg_holds(name, cfgs):
            flags += _words(targets[name][key])
    if flags:
        return flags
    return _words(config.get("build", {}).get(key))

def config_linker(config, host, cfgs):
    """The linker that .cargo/config.toml names for the host, or None."""
    targets = config.get("target", {})
    if host in targets and "linker" in targets[host]:
        return targets[host]["linker"]
    for name in sorted(targets):
        if name.startswith("cfg(") and "linker" in targets[name] and _cfg_holds(name, cfgs):
            return targets[name]["linker"]
    return None

def config_env(config, root):
    """The [env] table: what it sets for rustc, build scripts and tests.

    Args:
      config: decoded output of `cargo config get`.
      root: what relative values are relative to: the folder above .cargo.
    """
    env = {}
    for name, value in config.get("env", {}).items():
        if type(value) == "string":
            env[name] = value
        elif value.get("relative"):
            env[name] = root + "/" + value["value"]
        else:
            env[name] = value["value"]
    return env

def has_library(pkg):
    """Whether a package has a library or proc macro, which then takes its build script's -l flags."""
    for t in pkg["targets"]:
        if target_kind(t) in ["lib", "proc-macro"]:
            return True
    return False

def label_text(label):
    """A label as one types it: without the @@ of the main repository."""
    text = str(label)
    return text[2:] if text.startswith("@@//") else text
