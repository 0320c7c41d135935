"""cargo_package: the workspace's own libraries and programs."""

load(":compile.bzl", "declare_units", "show_members")
load(":package.bzl", "dirname", "label_text")
load(":plan.bzl", "plan_units")
load(":planning.bzl", "call_files", "graph_call", "read_call")
load(":providers.bzl", "CargoPackageInfo", "CargoPlanInfo")
load(":structs.bzl", "extended")

_RUN = """#!/bin/bash
# Runs the program of %s: the only one, or the package's default-run.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
programs=("$here"/%s/bin/*)
chosen=("$here"/%s/bin/%s)
[ ! -f "${chosen[0]}" ] || programs=("${chosen[@]}")
if [ ${#programs[@]} -ne 1 ] || [ ! -e "${programs[0]}" ]; then
    echo "%s has ${#programs[@]} programs: choose one with default-run in Cargo.toml, or with bins = [\\"...\\"]:" >&2
    printf '    %%s\\n' "${programs[@]##*/}" >&2
    exit 2
fi
exec "${programs[0]}" "$@"
"""

def _impl(ctx):
    deps = ctx.attr.deps[CargoPlanInfo]
    world = extended(deps.world, srcs = ctx.files.srcs)
    tree = ctx.actions.declare_directory(ctx.label.name)
    script = ctx.actions.declare_file(ctx.label.name + ".run")
    graph = None
    if ctx.attr.members:
        words = ["build"]
        for m in ctx.attr.members:
            words += ["--package", m]
        tools = world.rust.rustc + world.rust.cargo + world.rust.runtime
        graph = graph_call(
            ctx.actions,
            ctx.label.name + ".plan/build",
            words,
            deps.asked.flags,
            "Planning %s" % label_text(ctx.label),
            tools,
            deps.asked.inputs,
            world.root,
        )
    plan = ctx.actions.plan(
        inputs = call_files([graph]) if graph else [],
        waits = [deps.plan],
        outputs = [tree, script],
        data = struct(
            deps_plan = deps.plan,
            world = world,
            graph = graph,
            tree = tree,
            script = script,
            label = ctx.label,
            bins = ctx.attr.bins,
        ),
        implementation = _plan_package,
        mnemonic = "CargoPlan",
        progress_message = "Planning %s" % label_text(ctx.label),
    )
    return [
        DefaultInfo(
            files = depset([tree]),
            executable = script,
            runfiles = ctx.runfiles([tree]),
        ),
        CargoPackageInfo(
            label = ctx.label,
            plan = plan,
            deps_plan = deps.plan,
            world = world,
            members = ctx.attr.members,
            tree = tree,
        ),
    ]

def _plan_package(plan_ctx):
    """Declares the members' units and puts what they ship in one tree.

    Returns:
      struct: the fields of what _plan_deps of deps.bzl returns, `compiled` with
      the members' units added, and
        world    for actions of targets that use the package
        members  package ids of the members that belong to it
    """
    data = plan_ctx.data
    deps = plan_ctx.value(data.deps_plan)
    world = extended(data.world, folders = deps.folders)
    units = deps.units
    shipped = units.roots["build"]
    own = {m: True for m in units.members}
    build_graph = deps.graphs["build"]
    if data.graph:
        build_graph = read_call(plan_ctx, data.graph)
        selected = plan_units(deps.metadata, {"build": build_graph}, deps.manifests, deps.options)
        shipped = selected.roots["build"]
        own = {selected.units[r].pkg: True for r in shipped}
        units = extended(
            units,
            units = dict(units.units, **selected.units),
            roots = dict(units.roots, build = shipped),
        )
    compiled = dict(deps.compiled)
    wanted = [id for id, u in units.units.items() if u.mode in ["build", "run"] and (u.member or id not in compiled)]
    declare_units(plan_ctx.actions, world, units, compiled, wanted, show_members)

    plan_ctx.actions.tree(data.tree, _shipped(units, compiled, shipped, data.bins, data.label))
    chosen = {units.packages[m].get("default_run"): True for m in own if units.packages[m].get("default_run")}
    name, text = data.label.name, label_text(data.label)
    plan_ctx.actions.write(data.script, _RUN % (text, name, name, list(chosen)[0] if len(chosen) == 1 else "", text), is_executable = True)
    return extended(
        deps,
        units = units,
        compiled = compiled,
        graphs = dict(deps.graphs, build = build_graph),
        world = world,
        members = list(own),
        bins = data.bins,
    )

def _shipped(units, compiled, roots, bins, label):
    """{"bin/hello": File, "lib/libhello.rlib": File}."""
    entries = {}
    names = []
    for id in roots:
        unit = units.units[id]
        files = compiled[id].files
        if unit.kind == "bin":
            names.append(unit.target["name"])
            if not bins or unit.target["name"] in bins:
                entries["bin/" + unit.target["name"]] = files["bin"]
        elif unit.kind in ["lib", "proc-macro"]:
            for kind, suffix in {"rlib": ".rlib", "a": ".a", "so": ".so", "cdylib": ".so"}.items():
                if kind in files:
                    entries["lib/lib%s%s" % (unit.crate, suffix)] = files[kind]
    for b in bins:
        if b not in names:
            fail("%s: bins names %r, which is no program of the workspace. There are: %s" % (label_text(label), b, ", ".join(sorted(names)) or "none"))
    return entries

def member_packages(value):
    """Packages (of `cargo metadata`) of the members that belong to a cargo_package, by name."""
    packages = [value.units.packages[m] for m in value.members]
    return sorted(packages, key = lambda p: p["name"])

def package_root(pkg):
    """Absolute path of a package's folder in the input root."""
    return dirname(pkg["manifest_path"])

cargo_package = rule(
    implementation = _impl,
    executable = True,
    doc = """The libraries and programs of a Cargo workspace, in one tree: bin/ and lib/.

Lints, tests and coverage name this target; it names none of them, so that who
builds or consumes it runs none. `gorules run` of it runs its program.

    cargo_package(
        name = "hello",
        deps = ":deps",
        visibility = ["//visibility:public"],
    )
""",
    attrs = {
        "deps": attr.label(
            mandatory = True,
            providers = [CargoPlanInfo],
            doc = "The cargo_deps of the workspace.",
        ),
        "members": attr.string_list(
            doc = "Names of the workspace's packages to build. By default those that `cargo build` takes (default-members).",
        ),
        "bins": attr.string_list(doc = "Names of the programs to ship. By default all."),
        "srcs": attr.label_list(
            allow_files = True,
            doc = "Files that the members are compiled with and that are not in their folders, or that other targets make.",
        ),
    },
)
