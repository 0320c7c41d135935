"""Cargo's unit graphs as nodes with an identity.

`cargo ... --unit-graph` prints what cargo would do as a list of units that
name each other by position. This file reads such lists, works out the link
time optimisation of each unit, and gives each unit an identity: a hash over
everything that decides its output, which is the same on every machine. Units
of several graphs that have one identity are one unit.

Everything here is a pure function of JSON values.
"""

# The fields of a profile that change what rustc makes. Its name does not: the
# dev and test profiles differ in nothing else.
_PROFILE_FIELDS = [
    "opt_level",
    "lto",
    "codegen_backend",
    "codegen_units",
    "debuginfo",
    "split_debuginfo",
    "debug_assertions",
    "overflow_checks",
    "rpath",
    "panic",
    "strip",
    "rustflags",
    "trim_paths",
]

def target_kind(target):
    """One word for what cargo calls the kinds of a target.

    Args:
      target: the `target` object of a unit or of `cargo metadata`.

    Returns:
      "lib", "proc-macro", "bin", "test", "bench", "example" or "custom-build".
    """
    kind = target["kind"][0]
    if kind in ["bin", "test", "bench", "example", "custom-build", "proc-macro"]:
        return kind
    return "lib"

def crate_name(name):
    """The name rustc knows a target by: dashes become underscores."""
    return name.replace("-", "_")

def for_host(node):
    """Whether a node only ever runs while compiling (cargo's `for_host`)."""
    return node["kind"] in ["proc-macro", "custom-build"]

def _node(unit, is_root):
    target = unit["target"]
    kind = target_kind(target)
    mode = unit["mode"]
    if mode == "run-custom-build":
        mode = "run"
    if mode not in ["build", "test", "check", "run", "doctest"]:
        fail("cargo planned a unit of mode %r for %s, which these rules do not build" % (mode, unit["pkg_id"]))
    return {
        "pkg": unit["pkg_id"],
        "target": target,
        "kind": kind,
        "crate": crate_name(target["name"]),
        "mode": mode,
        # Whether rustc gets --test (or --cfg test, for a target with harness = false).
        "test": mode == "test" or (mode == "check" and kind in ["test", "bench"]),
        "profile": unit["profile"],
        "platform": unit.get("platform"),
        "features": unit["features"],
        "deps": unit["dependencies"],
        "root": is_root,
        "lto": "",
    }

def read_graph(graph):
    """Reads one unit graph.

    Args:
      graph: the decoded JSON of `--unit-graph`.

    Returns:
      struct(nodes = list of dicts in cargo's order, order = positions,
      dependencies first, roots = positions).
    """
    if graph.get("version") != 1:
        fail("cargo's unit graph has version %r; these rules read version 1" % graph.get("version"))
    roots = {i: True for i in graph["roots"]}
    nodes = [_node(u, i in roots) for i, u in enumerate(graph["units"])]
    order = _topological(nodes)
    _mark_tests(nodes)
    _assign_lto(nodes, order)
    return struct(nodes = nodes, order = order, roots = graph["roots"])

def _topological(nodes):
    """Positions of nodes, each after everything it depends on."""
    dependents = [[] for _ in nodes]
    missing = []
    layer = []
    for i, node in enumerate(nodes):
        missing.append(len(node["deps"]))
        if not node["deps"]:
            layer.append(i)
        for dep in node["deps"]:
            dependents[dep["index"]].append(i)
    order = []
    for _ in range(len(nodes)):
        following = []
        for i in layer:
            order.append(i)
            for j in dependents[i]:
                missing[j] -= 1
                if missing[j] == 0:
                    following.append(j)
        layer = following
        if not layer:
            break
    if len(order) != len(nodes):
        fail("cargo's unit graph has a cycle")
    return order

def _mark_tests(nodes):
    """Tells the two units of a library or binary under `cargo check --all-targets` apart.

    Cargo prints "check" for both, the plain one and the one with the test
    harness. The one with the harness never has panic=abort, nothing depends on
    it, it has the dev-dependencies too, and it comes second where nothing else
    differs.
    """
    depended = {}
    for node in nodes:
        for dep in node["deps"]:
            depended[dep["index"]] = True
    twins = {}
    for i, node in enumerate(nodes):
        if node["mode"] == "check" and node["kind"] in ["lib", "bin", "proc-macro"] and node["root"]:
            twins.setdefault((node["pkg"], node["kind"], node["target"]["name"]), []).append(i)
    for positions in twins.values():
        if len(positions) < 2:
            continue
        best = None
        for i in positions:
            unwinds = nodes[i]["profile"]["panic"] == "unwind"
            rank = (1 if unwinds else 0, 0 if i in depended else 1, len(nodes[i]["deps"]), i)
            if best == None or rank > best:
                best = rank
        nodes[best[-1]]["test"] = True

# --- link time optimisation: what cargo's src/compiler/lto.rs decides ---

def _can_lto(crate_type):
    return crate_type in ["bin", "staticlib", "cdylib"]

def _when_needs_object(crate_types):
    if all([_can_lto(t) for t in crate_types]):
        return "only-bitcode"
    return "object-and-bitcode"

def _needs_object(crate_types):
    return any([_can_lto(t) or t in ["dylib", "proc-macro"] for t in crate_types])

def _root_lto(node, crate_types):
    lto = node["profile"]["lto"]
    if lto == "false":
        return "only-object"
    if lto == "off":
        return "off"
    if for_host(node):
        return "only-object"
    if _needs_object(crate_types):
        return _when_needs_object(crate_types)
    return "only-bitcode"

def _own_lto(node, crate_types, parent):
    if for_host(node):
        return "only-object"
    if all([_can_lto(t) for t in crate_types]):
        lto = node["profile"]["lto"]
        if lto == "false":
            return "only-object"
        if lto == "off":
            return "off"
        return "run" if lto == "true" else "run:" + lto
    needs = _needs_object(crate_types)
    if parent.startswith("run"):
        return _when_needs_object(crate_types) if needs else "only-bitcode"
    if parent == "only-bitcode" and needs:
        return _when_needs_object(crate_types)
    return parent

def _merge_lto(a, b):
    if not a or a == b:
        return b
    for x in [a, b]:
        if x.startswith("run"):
            return x
    pair = sorted([a, b])
    if pair == ["off", "only-object"]:
        return "off"
    return "object-and-bitcode"

def _lto_types(node):
    if node["test"] or node["mode"] == "doctest":
        return ["bin"]
    return node["target"]["crate_types"]

def _assign_lto(nodes, order):
    for i in reversed(order):
        node = nodes[i]
        crate_types = _lto_types(node)
        if node["root"]:
            node["lto"] = _merge_lto(node["lto"], _own_lto(node, crate_types, _root_lto(node, crate_types)))
        for dep in node["deps"]:
            child = nodes[dep["index"]]
            child["lto"] = _merge_lto(child["lto"], _own_lto(child, _lto_types(child), node["lto"]))

# --- identity ---

def portable_id(pkg_id, root):
    """A package id without the place of the workspace on this machine.

    Args:
      pkg_id: cargo's package id, for example "path+file:///w/crates/core#0.1.0".
      root: absolute path of the Cargo workspace.
    """
    prefix = "path+file://"
    if not pkg_id.startswith(prefix):
        return pkg_id
    rest = pkg_id[len(prefix):]
    if rest == root or rest.startswith(root + "/") or rest.startswith(root + "#"):
        return prefix + rest[len(root):]
    return pkg_id

def identify(node, deps, root, extra):
    """The identity of a node.

    Args:
      node: from read_graph.
      deps: list of (identity, extern name) of its dependencies, in cargo's order.
      root: absolute path of the Cargo workspace.
      extra: list of strings, further things that decide the output (RUSTFLAGS,
        coverage).

    Returns:
      64 hex digits.
    """
    profile = node["profile"]
    target = node["target"]
    return gorules.sha256(json.encode([
        portable_id(node["pkg"], root),
        target["name"],
        target["kind"],
        target["crate_types"],
        target["edition"],
        node["mode"],
        node["test"],
        node["lto"],
        node["platform"],
        node["features"],
        [[f, profile.get(f)] for f in _PROFILE_FIELDS if profile.get(f) != None],
        [list(d) for d in deps],
        extra,
    ]))
