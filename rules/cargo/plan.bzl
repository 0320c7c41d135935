"""From cargo's unit graphs to the list of compiler calls.

`plan_units` is the pure core of these rules: JSON in, one description per
compiler call out. The rules turn descriptions into actions (compile.bzl).
"""

load(":build_script.bzl", "script_env")
load(":doctest.bzl", "doctest_env", "doctest_words")
load(":graph.bzl", "for_host", "identify", "read_graph")
load(":package.bzl", "config_env", "config_flags", "config_linker", "dirname", "has_harness", "lint_flags")
load(":rustc_args.bzl", "UNIT_DIR", "needs_upstream_objects", "output_files", "rustc_argv", "rustc_env", "source_path", "unit_flags")

def plan_options(root, host, cfgs, config = {}, env = {}, profile = "dev", instrument = False, cap_lints = False):
    """What decides command lines besides the graphs.

    Args:
      root: absolute path of the Cargo workspace in the input root.
      host: target triple of the machine, which is also the target's.
      cfgs: lines of `rustc --print cfg`.
      config: decoded output of `cargo config get`.
      env: the `env` attribute: "NAME" or "package/NAME" to value.
      profile: cargo's name of the profile.
      instrument: whether members are compiled for coverage.
      cap_lints: whether members are compiled as cargo compiles dependencies:
        a warning is neither shown nor denied.
    """
    return struct(
        root = root,
        host = host,
        cfgs = cfgs,
        config_env = config_env(config, root),
        rustflags = config_flags(config, host, cfgs, "rustflags"),
        target_named = bool(config.get("build", {}).get("target")),
        rustdocflags = config_flags(config, host, cfgs, "rustdocflags"),
        linker = config_linker(config, host, cfgs),
        env = env,
        profile = profile,
        instrument = instrument,
        cap_lints = cap_lints,
    )

def plan_units(metadata, graphs, manifests, options):
    """Plans every compiler call and build script run.

    Args:
      metadata: decoded `cargo metadata`.
      graphs: dict of decoded unit graphs by name: "build", "test", "check", any
        of which may be absent. Units of "check" are planned for members only
        and use the compiled dependencies of "test".
      manifests: decoded Cargo.toml files of folders' packages and of the
        workspace, by absolute path.
      options: from plan_options.

    Returns:
      struct(units = dict id -> unit, dependencies before dependents;
      roots = dict graph name -> list of ids; positions = dict graph name ->
      dict position in cargo's graph -> id; packages = dict package id ->
      package; members = list of package ids). For a unit's fields see _unit.
    """
    packages = {p["id"]: p for p in metadata["packages"]}
    state = struct(
        packages = packages,
        members = {m: True for m in metadata["workspace_members"]},
        manifests = manifests,
        workspace_manifest = manifests.get(metadata["workspace_root"] + "/Cargo.toml", {}),
        options = options,
        lints = {},
        units = {},
    )
    roots, positions = {}, {}
    tests = None
    for name in ["build", "test"]:
        if name in graphs:
            graph = read_graph(graphs[name])
            ids = _add_graph(state, graph)
            roots[name] = [ids[i] for i in graph.roots]
            positions[name] = ids
            tests = (graph, ids)
    if "check" in graphs:
        positions["check"] = _add_checks(state, read_graph(graphs["check"]), tests)
        roots["check"] = list(positions["check"].values())
    return struct(
        units = state.units,
        roots = roots,
        positions = positions,
        packages = packages,
        members = metadata["workspace_members"],
    )

def _is_member(state, node):
    return node["pkg"] in state.members

def _instrumented(state, node):
    # Macros and build scripts run inside compiles, where a profile would be a
    # side effect of a result that is cached.
    return state.options.instrument and _is_member(state, node) and not for_host(node)

def _identity(state, node, deps):
    extra = list(unit_flags(node, state.options))
    if _instrumented(state, node):
        extra.append("coverage")
    return identify(node, deps, state.options.root, extra)[:16]

def _add_graph(state, graph):
    """Adds the units of a build or test graph; returns the id of each position."""
    ids = {}
    for i in graph.order:
        node = graph.nodes[i]
        deps = [(ids[d["index"]], d["extern_crate_name"]) for d in node["deps"]]
        if _instrumented(state, node) and node["lto"] == "only-bitcode":
            # The mapping of lines is read from object code.
            node["lto"] = "object-and-bitcode"
        id = _identity(state, node, deps)
        ids[i] = id
        if id not in state.units:
            state.units[id] = _unit(state, node, id, deps, node["deps"])
    return ids

def _modifiers(dep):
    """cargo's modifiers of an --extern."""
    words = []
    if dep.get("noprelude"):
        words.append("noprelude")
    if dep.get("nounused"):
        words.append("nounused")
    return ",".join(words) + ":" if words else ""

def _extern_file(unit, user):
    """The file of a dependency that its user is given, or None where there is none."""
    if unit.mode != "build" or unit.kind not in ["lib", "proc-macro"]:
        return None
    files = unit.files
    if "so" in files:
        return files["so"]
    if not needs_upstream_objects(user) and "rmeta" in files:
        return files["rmeta"]
    if user["mode"] == "check" and "rmeta" in files:
        return files["rmeta"]
    return files.get("rlib")

def _lints(state, pkg):
    path = pkg["manifest_path"]
    if path not in state.lints:
        state.lints[path] = lint_flags(state.manifests.get(path, {}), state.workspace_manifest)
    return state.lints[path]

def _unit(state, node, id, deps, raw_deps):
    """Describes one unit.

    Returns:
      struct with these fields:
        id: 16 hex digits, the -C metadata of a compile
        pkg, package, version: package id, name, version
        crate, kind, mode, test: what it is; mode is "build", "test", "check", "run" or "doctest"
        harness: a test with rustc's test harness
        member: whether the package is a member of the workspace
        links: whether rustc links (needs object code and a linker)
        target: cargo's target object
        deps: ids of the compiled crates it uses directly, of its --externs
        externs: (modifiers, crate name, file name) of each of deps
        programs: ids of binaries that it is told the place of (CARGO_BIN_EXE_*)
        script: id of the run of its package's build script, or None
        script_deps: of a run: ids of the runs whose metadata it gets
        scripts: ids of the runs whose link flags it gets, its own first
        compile: of a run: id of the build script's compile
        files: dict of output files (see rustc_args.bzl)
        doc: of a doctest: what doctest_argv needs
        argv, env, cwd: the call, without what build scripts add to it
    """
    pkg = state.packages[node["pkg"]]
    member = _is_member(state, node)
    manifest = state.manifests.get(pkg["manifest_path"])
    harness = has_harness(node["target"], manifest)
    externs, used, programs, script_deps, runs = [], [], [], [], []
    compile = None
    for (dep_id, name), raw in zip(deps, raw_deps):
        dep = state.units[dep_id]
        if dep.mode == "run":
            runs.append(dep_id)
        elif dep.kind == "custom-build":
            compile = dep_id
        elif dep.kind == "bin":
            programs.append(dep_id)
        else:
            file = _extern_file(dep, node)
            if file:
                externs.append((_modifiers(raw), name, file))
                used.append(dep_id)
    script = None
    if node["mode"] == "run":
        script_deps = runs
    else:
        for r in runs:
            if state.units[r].pkg == node["pkg"]:
                script = r
    cwd = dirname(pkg["manifest_path"])
    argv, env, doc = [], {}, None
    if node["mode"] == "run":
        env = script_env(node, pkg, state.options)
    elif node["mode"] != "doctest":
        argv = rustc_argv(node, pkg, id, externs, state.options, _lints(state, pkg), harness, member)
        if _instrumented(state, node):
            argv = argv + ["-C", "instrument-coverage"]
        env = rustc_env(node, pkg, state.options, member)
        _, cwd = source_path(node, pkg, state.options.root)
    else:
        doc = doctest_words(node, pkg, externs, state.options, _lints(state, pkg))
        if _instrumented(state, node):
            doc = (doc[0], doc[1], doc[2] + ["-C", "instrument-coverage"])
        env = doctest_env(node, pkg, state.options)
        cwd = state.options.root
    return struct(
        id = id,
        pkg = node["pkg"],
        package = pkg["name"],
        version = pkg["version"],
        crate = node["crate"],
        kind = node["kind"],
        mode = node["mode"],
        test = node["test"],
        harness = harness,
        member = member,
        links = node["mode"] in ["build", "test"] and needs_upstream_objects(node),
        target = node["target"],
        features = node["features"],
        lto = node["lto"],
        profile = node["profile"],
        deps = used,
        externs = externs,
        programs = programs,
        script = script,
        script_deps = script_deps,
        scripts = _link_scripts(state, node, deps, script),
        compile = compile,
        files = {} if node["mode"] in ["run", "doctest"] else output_files(node, id),
        argv = argv,
        doc = doc,
        env = env,
        cwd = cwd,
    )

def _link_scripts(state, node, deps, script):
    """Runs whose native libraries a unit links: its own, then those of what it links, in cargo's order."""
    if node["mode"] == "run":
        return []
    ids = {}
    if script and node["kind"] != "custom-build":
        ids[script] = True
    for dep_id, _ in deps:
        dep = state.units[dep_id]
        if dep.mode == "build" and dep.kind == "lib":
            for s in dep.scripts:
                ids[s] = True
    return list(ids)

def _forms(node, deps):
    """What tells the units of one target apart within a graph, closest first.

    The unit that a build script links and the one that a program links may differ in
    their dependencies or their profile. A profile alone makes no other unit, since
    cargo gives a crate that scripts and programs share the program's profile, but
    shares none between a script and a check. Link time optimisation, which the roots
    of a graph decide, makes none either.
    """
    node = dict(node, lto = "")
    return [identify(n, deps, "", []) for n in [node, dict(node, profile = {})]]

def _add_checks(state, graph, tests):
    """Adds a unit for each target of a member that `cargo check` compiles.

    Its dependencies are compiled units: those of the same target in the test
    graph where it is there, otherwise those of the test graph of the same form,
    otherwise compiled forms of what cargo would check.
    """
    twins, candidates = {}, {}
    if tests:
        test_graph, test_ids = tests
        for i in test_graph.order:
            node = test_graph.nodes[i]
            key = (node["pkg"], node["kind"], node["target"]["name"])
            if node["mode"] in ["build", "test"] and node["kind"] != "custom-build":
                twins.setdefault(key + (node["test"],), i)
            if node["mode"] in ["build", "run"] and not node["test"]:
                deps = [(test_ids[d["index"]], d["extern_crate_name"]) for d in node["deps"]]
                for form in _forms(node, deps):
                    candidates.setdefault(form, test_ids[i])
    ids, checks = {}, {}
    for i in graph.order:
        node = graph.nodes[i]
        linted = _is_member(state, node) and (node["mode"] == "check" or (node["mode"] == "build" and node["kind"] == "custom-build"))
        if linted and (node["root"] or node["kind"] == "custom-build"):
            checks[i] = _add_check(state, graph, node, ids, twins, tests)
        built = dict(node)
        if node["mode"] == "check":
            built["mode"] = "test" if node["test"] else "build"
        if built["test"]:
            continue
        deps = [(ids[d["index"]], d["extern_crate_name"]) for d in node["deps"]]
        same = [candidates[form] for form in _forms(built, deps) if form in candidates]
        if same:
            ids[i] = same[0]
            continue
        ids[i] = _identity(state, built, deps)
        if ids[i] not in state.units:
            state.units[ids[i]] = _unit(state, built, ids[i], deps, node["deps"])
    return checks

def _add_check(state, graph, node, ids, twins, tests):
    """Adds the unit that checks one target of a member; returns its id."""
    twin = twins.get((node["pkg"], node["kind"], node["target"]["name"], node["test"]))
    if twin != None and node["kind"] != "custom-build":
        test_graph, test_ids = tests
        raw = test_graph.nodes[twin]["deps"]
        deps = [(test_ids[d["index"]], d["extern_crate_name"]) for d in raw]
    else:
        raw = node["deps"]
        deps = [(ids[d["index"]], d["extern_crate_name"]) for d in raw]
    check = dict(node)
    check["mode"] = "check"
    id = _identity(state, check, deps)
    if id not in state.units:
        state.units[id] = _unit(state, check, id, deps, raw)
    return id
