"""From unit descriptions to actions.

A `world` is what every action of one workspace needs:

    root         absolute path of the Cargo workspace in the input root
    prefix       the same relative to the repository
    rust, cc     RustToolchainInfo, CcToolchainInfo
    crates       vendored trees by folder name
    vendor       all of them as one directory, for actions that run cargo
    config       cargo's configuration that says so, where cargo looks for it
    folders      folders, relative to the repository, that hold a Cargo.toml
    srcs         Files that members are compiled with besides their packages
    host         host folders as a scope, where the cargo_deps says so
    git          .git as a scope, by the names of packages whose build scripts may look at it
    default_tools  the small set of host programs
    tools, libs  Files of declared programs and libraries, for all packages
    crate_tools, crate_libs  the same by package name
    env          the `env` attribute
    profile, features  as cargo names them
    deps         label of the cargo_deps, for messages
    consumed     whether another workspace builds this one

`compiled` maps a unit's id to its outputs:

    files     dict: "rmeta", "rlib", "so", "cdylib", "a", "bin" -> File below /unit
    metadata  depset: what compiling against it reads
    objects   depset: what linking against it reads
    out_dir   of a run: the directory it wrote
    printed   of a run: the Planned whose value is parse_directives of its output
    changes   of a run: what it wrote among the sources, as Files at their places
"""

load(":build_script.bzl", "dep_env", "directive_args", "directive_env", "parse_directives", "script_out_dir")
load(":package.bzl", "has_library", "is_path_package")
load(":rustc_args.bzl", "OUT_DIR", "PROFILE_DIR", "UNIT_DIR")
load(":sources.bzl", "package_sources")

# rustc's closing lines, which cargo leaves out too.
_COUNTS = "(warnings? emitted|aborting due to [^\\n]*)(\\x1b\\[0m)?\\s*$"

# rustc's line that says a crate's metadata is complete.
_METADATA_DONE = {"$message_type": "artifact", "emit": "metadata"}

def unit_title(unit):
    """What people know a unit by."""
    what = ""
    if unit.kind == "custom-build":
        what = " (build script)"
    elif unit.test:
        what = " (test %s)" % unit.target["name"]
    elif unit.kind in ["bin", "example"]:
        what = " (%s %s)" % (unit.kind, unit.target["name"])
    return "%s v%s%s" % (unit.package, unit.version, what)

def rustc_tools(world):
    """Files that every rustc needs to run, and the cargo that macros run."""
    return world.rust.rustc + world.rust.cargo + world.rust.runtime

def declare_units(actions, world, plan, compiled, ids, show):
    """Declares the actions of units and of what they need.

    Args:
      actions: plan_ctx.actions.
      world: see above.
      plan: what plan_units returned.
      compiled: dict that is added to; units already in it are not declared again.
      ids: the units wanted.
      show: function of a unit: whether warnings are shown to the user.
    """
    for id in closure(plan, ids):
        if id in compiled:
            continue
        unit = plan.units[id]
        if unit.mode == "run":
            compiled[id] = _declare_run(actions, world, plan, compiled, unit)
        elif unit.mode in ["build", "test"]:
            compiled[id] = _declare_compile(actions, world, plan, compiled, unit, show(unit))

def closure(plan, ids):
    """Ids and everything they need to be compiled, dependencies first."""
    wanted = {}
    layer = list(ids)
    for _ in range(len(plan.units) + 1):
        following = []
        for id in layer:
            if id in wanted:
                continue
            wanted[id] = True
            unit = plan.units[id]
            following += unit.deps + unit.script_deps + unit.scripts
            if unit.script:
                following.append(unit.script)
            if unit.compile:
                following.append(unit.compile)
        layer = following
        if not layer:
            break

    # plan.units is in order: a unit comes after what it depends on.
    return [id for id in plan.units if id in wanted]

def metadata_inputs(compiled, unit):
    """depset of what a unit that does not link reads of its dependencies."""
    return depset(transitive = [compiled[d].metadata for d in unit.deps])

def object_inputs(compiled, unit):
    """depset of what a unit that links reads of its dependencies."""
    return depset(transitive = [compiled[d].objects for d in unit.deps])

def _outputs(compiled, unit, files):
    """The entry of `compiled` for a compile with these outputs."""
    if "so" in files and unit.kind == "proc-macro":
        # A user loads the macro; what it was made of is inside.
        only = depset([files["so"]])
        return struct(files = files, metadata = only, objects = only, out_dir = None, printed = None, changes = [])
    meta = [files[k] for k in ["rmeta"] if k in files] or [files[k] for k in ["rlib", "so"] if k in files]
    objects = [files[k] for k in ["rlib", "so"] if k in files]
    return struct(
        files = files,
        metadata = depset(meta, transitive = [compiled[d].metadata for d in unit.deps]),
        objects = depset(objects, transitive = [compiled[d].objects for d in unit.deps]),
        out_dir = None,
        printed = None,
        changes = [],
    )

def _declare_outputs(actions, unit):
    return {
        kind: actions.declare_file("units/%s-%s/%s" % (unit.package, unit.id, name), at = "%s/%s" % (OUT_DIR, name))
        for kind, name in unit.files.items()
    }

def needed_scripts(unit):
    """Runs whose output decides a unit's command line."""
    if unit.kind == "custom-build":
        return unit.scripts if unit.links else []
    ids = list(unit.scripts) if unit.links else []
    if unit.script and unit.script not in ids:
        ids.append(unit.script)
    return ids

def _declare_compile(actions, world, plan, compiled, unit, show):
    job = compile_job(actions, world, plan, compiled, unit, show)
    files = _declare_outputs(actions, unit)
    if not job.waits:
        run_rustc(actions, job, files, unit.argv, unit.env)
    else:
        actions.plan(
            waits = job.waits,
            expects = job.inputs,
            outputs = files.values(),
            data = struct(job = job, files = files),
            implementation = _compile_after_scripts,
            mnemonic = "CargoPlan",
        )
    placed = {k: actions.place(f, "%s/%s" % (UNIT_DIR, unit.files[k])) for k, f in files.items()}
    return _outputs(compiled, unit, placed)

def compile_job(actions, world, plan, compiled, unit, show):
    """Everything a compile needs besides what build scripts print.

    Returns:
      struct(unit, inputs, scope, scripts, waits, show, has_lib).
    """
    pkg = plan.packages[unit.pkg]
    scripts = needed_scripts(unit)
    sources = package_sources(actions, world, pkg)
    direct = sources.inputs + rustc_tools(world)
    if unit.script and unit.kind != "custom-build":
        direct.append(compiled[unit.script].out_dir)
        direct += compiled[unit.script].changes
    if unit.links:
        direct += world.cc.files + world.libs
        for files in world.crate_libs.values():
            direct += files
        direct += [compiled[s].out_dir for s in unit.scripts if s != unit.script]
    reads = object_inputs(compiled, unit) if unit.links else metadata_inputs(compiled, unit)
    return struct(
        unit = unit,
        inputs = depset(direct, transitive = [reads]),
        scope = sources.scope + (world.host if unit.links else []),
        scripts = scripts,
        waits = [compiled[s].printed for s in scripts],
        show = show,
        has_lib = has_library(pkg),
        deps = world.deps,
    )

def script_words(plan_ctx, job):
    """What the build scripts of a job add: (words, variables)."""
    unit = job.unit
    printed = {s: plan_ctx.value(p) for s, p in zip(job.scripts, job.waits)}
    own = printed.get(unit.script) if unit.kind != "custom-build" else None
    linked = [(s, printed[s]) for s in unit.scripts] if unit.links else []
    return directive_args(unit, own, linked, job.has_lib), directive_env(unit, own)

def _compile_after_scripts(plan_ctx):
    job = plan_ctx.data.job
    unit = job.unit
    words, env = script_words(plan_ctx, job)
    run_rustc(plan_ctx.actions, job, plan_ctx.data.files, unit.argv + words, dict(unit.env, **env))

def run_rustc(actions, job, files, argv, env):
    """Declares the one action of a compile."""
    unit = job.unit
    early = [(files["rmeta"], _METADATA_DONE)] if "rmeta" in files and len(files) > 1 else []
    actions.run(
        executable = "/rust/bin/rustc",
        arguments = argv,
        env = env,
        workdir = unit.cwd,
        inputs = job.inputs,
        scope = job.scope,
        outputs = files.values(),
        mnemonic = "Rustc",
        progress_message = "Compiling " + unit_title(unit),
        messages = struct(show = "rendered", hide = _COUNTS, early = early),
        show = job.show,
    )

# --- build scripts ---

def _declare_run(actions, world, plan, compiled, unit):
    pkg = plan.packages[unit.pkg]
    parents = [d for d in unit.script_deps if plan.packages[plan.units[d].pkg]["links"]]
    name = "units/%s-%s" % (unit.package, unit.id)
    out_dir = actions.declare_directory(name + "/out", at = script_out_dir(unit))
    stdout = actions.declare_file(name + "/output")
    changes = actions.declare_directory(name + "/changes", at = "/changes/%s" % unit.id) if is_path_package(pkg) else None
    extra_tools = world.crate_tools.get(unit.package, [])
    extra_libs = world.crate_libs.get(unit.package, [])
    sources = package_sources(actions, world, pkg)
    inputs = depset(
        sources.inputs + sources.config + rustc_tools(world) + world.cc.files + world.default_tools +
        world.tools + world.libs + extra_tools + extra_libs +
        [compiled[unit.compile].files["bin"]] +
        [compiled[d].out_dir for d in _all_parents(plan, parents)],
    )
    job = struct(
        unit = unit,
        inputs = inputs,
        scope = sources.scope + sources.cargo + ([world.git[unit.package]] if unit.package in world.git and sources.scope else []) + world.host,
        program = compiled[unit.compile].files["bin"].path,
        links = [plan.packages[plan.units[d].pkg]["links"] for d in parents],
        waits = [compiled[d].printed for d in parents],
        deps = world.deps,
    )
    if job.waits:
        actions.plan(
            waits = job.waits,
            expects = job.inputs,
            outputs = [out_dir, stdout] + ([changes] if changes else []),
            data = struct(job = job, out_dir = out_dir, stdout = stdout, changes = changes),
            implementation = _run_after_scripts,
            mnemonic = "CargoPlan",
        )
    else:
        _run_script(actions, job, out_dir, stdout, changes, {})
    printed = actions.plan(
        inputs = [stdout] + ([changes] if changes else []),
        data = struct(stdout = stdout, changes = changes, unit = unit),
        implementation = _read_directives,
        mnemonic = "CargoPlan",
    )
    return struct(
        files = {},
        metadata = depset(),
        objects = depset(),
        out_dir = out_dir,
        printed = printed,
        changes = [actions.place(changes, "/w")] if changes else [],
    )

def _all_parents(plan, parents):
    """Runs whose output directories a script may be pointed into."""
    seen = {}
    layer = parents
    for _ in range(len(plan.units)):
        following = []
        for d in layer:
            if d not in seen:
                seen[d] = True
                following += plan.units[d].script_deps
        layer = following
        if not layer:
            break
    return list(seen)

def _run_after_scripts(plan_ctx):
    data = plan_ctx.data
    job = data.job
    env = {}
    for links, planned in zip(job.links, job.waits):
        env.update(dep_env(links, plan_ctx.value(planned).metadata))
    _run_script(plan_ctx.actions, job, data.out_dir, data.stdout, data.changes, env)

def _run_script(actions, job, out_dir, stdout, changes, dep_vars):
    unit = job.unit
    actions.run(
        executable = job.program,
        env = dict(unit.env, OUT_DIR = script_out_dir(unit), **dep_vars),
        workdir = unit.cwd,
        inputs = job.inputs,
        scope = job.scope,
        outputs = [out_dir],
        changes = changes,
        stdout = stdout,
        mnemonic = "CargoBuildScriptRun",
        progress_message = "Running the build script of %s v%s" % (unit.package, unit.version),
        explain = _script_explain(unit, job.deps),
    )

def _script_explain(unit, deps):
    who = "the build script of %s v%s" % (unit.package, unit.version)
    return {
        "ENOENT": (who + " looked for {path}, which is not declared. A library: host_library(name = \"...\", module = \"...\") in WORKSPACE and " +
                   "libs = [\"@...\"] on cargo_deps %s. A program: host_tool and tools = [\"@...\"]. A path it only has to be told: env = {\"%s/NAME\": \"...\"}") % (deps, unit.package),
        "ENOENT PATH": who + " looked for the program {rest}, which is not declared: host_tool(name = \"{rest}\") in WORKSPACE and tools = [\"@{rest}\"] on cargo_deps %s" % deps,
        "ENOENT /w": who + " looked for {path}, which is not there, or which .gitignore leaves out: srcs = [\"//:{rest}\"] on the cargo_package",
        "ENOENT /w/.git": who + " looked for .git, which is not shown: git = [\"%s\"] on cargo_deps %s" % (unit.package, deps),
        "ENETUNREACH": (who + " wanted to connect to {address}; actions have no network. Fetch the file with http_archive in WORKSPACE, " +
                        "or tell the script not to with env = {\"%s/NAME\": \"...\"} on cargo_deps %s") % (unit.package, deps),
        "EROFS": who + " wanted to write {path}; it may write below OUT_DIR only",
    }

def _read_directives(plan_ctx):
    data = plan_ctx.data
    unit = data.unit
    who = "%s v%s" % (unit.package, unit.version)
    printed = parse_directives(plan_ctx.text(data.stdout), script_out_dir(unit), who)
    if printed.errors:
        fail("the build script of %s gave up:\n  %s" % (who, "\n  ".join(printed.errors)))
    wrote = plan_ctx.files(data.changes) if data.changes else []
    if wrote:
        plan_ctx.show("note: the build script of %s wrote %s among the sources: what is compiled after it sees that, and the checkout stays as it is" %
                      (who, ", ".join(wrote[:3]) + (" and %d more" % (len(wrote) - 3) if len(wrote) > 3 else "")))
    if unit.member:
        for w in printed.warnings:
            plan_ctx.show("warning: %s@%s: %s" % (unit.package, unit.version, w))
    return printed

def program_path(name):
    """Where a program of the workspace stands for tests (CARGO_BIN_EXE_*)."""
    return PROFILE_DIR + "/" + name

def never_show(_unit):
    """`show` of declare_units for units of other people."""
    return False

def show_members(unit):
    """`show` of declare_units for the workspace's own units."""
    return unit.member
