"""cargo_deps: the third-party crates of a workspace, and the plan of it all."""

load(":compile.bzl", "closure", "declare_units", "show_members")
load(":guard.bzl", "guarded")
load(":package.bzl", "config_flags", "dirname", "label_text", "relative")
load(":plan.bzl", "plan_options", "plan_units")
load(":planning.bzl", "call_files", "declare_planning", "planning_inputs", "print_cfgs", "read_call", "read_manifests", "selection_flags")
load(":providers.bzl", "CargoPlanInfo", "CargoVendorInfo", "CcToolchainInfo", "HostFilesInfo", "RustToolchainInfo")
load(":structs.bzl", "extended")
load(":verdict.bzl", "plural")

def _files(targets):
    files = []
    for t in targets:
        files += t[HostFilesInfo].files
    return files

def _by_crate(targets):
    """{target: "crate other-crate"} as {"crate": [File]}."""
    out = {}
    for target, crates in targets.items():
        for crate in crates.replace(",", " ").split(" "):
            if crate:
                out.setdefault(crate, [])
                out[crate] += target[HostFilesInfo].files
    return out

# What of this machine actions may look into where host = "observed": programs,
# libraries and what they read to start, never anybody's own files.
_HOST = [
    "/bin",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/pki",
    "/etc/ssl",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/sbin",
    "/usr",
]

def make_world(ctx):
    """The world (see compile.bzl) of a cargo_deps."""
    vendor = ctx.attr.vendor[CargoVendorInfo]
    prefix = ctx.label.package
    return struct(
        root = "/w/" + prefix if prefix else "/w",
        prefix = prefix,
        rust = ctx.attr.rust[RustToolchainInfo] if ctx.attr.rust else vendor.rust,
        cc = ctx.attr.cc[CcToolchainInfo] if ctx.attr.cc else vendor.cc,
        crates = vendor.crates,
        vendor = vendor.all,
        config = ctx.actions.place(vendor.config, "/.cargo/config.toml"),
        host = [ctx.actions.host_tree(_HOST)] if ctx.attr.host == "observed" else [],
        git = {crate: ctx.actions.git_dir() for crate in ctx.attr.git},
        default_tools = [ctx.host_tools] if ctx.host_tools else [],
        tools = _files(ctx.attr.tools),
        libs = _files(ctx.attr.libs),
        crate_tools = _by_crate(ctx.attr.crate_tools),
        crate_libs = _by_crate(ctx.attr.crate_libs),
        env = ctx.attr.env,
        profile = ctx.attr.profile,
        deps = label_text(ctx.label),
        consumed = bool(ctx.label.workspace_name),
        folders = [],
        srcs = [],
    )

def _impl(ctx):
    world = make_world(ctx)
    inputs = planning_inputs(ctx, world.prefix, ctx.attr.vendor[CargoVendorInfo])
    asked = declare_planning(ctx, world, inputs)

    # Flags of .cargo/config.toml may change what `rustc --print cfg` says.
    cfgs = ctx.actions.declare_file(ctx.label.name + ".plan/cfgs.final")
    ctx.actions.plan(
        inputs = call_files([asked.calls["config"]]) + [asked.cfgs],
        outputs = [cfgs],
        data = struct(config = asked.calls["config"], cfgs = asked.cfgs, final = cfgs, world = world),
        implementation = _plan_cfgs,
        mnemonic = "CargoPlan",
    )

    # At a place of its own: crates are for other targets, not to be laid out for people.
    tree = ctx.actions.declare_directory(ctx.label.name, at = "/crates")
    plan = ctx.actions.plan(
        inputs = call_files(asked.calls.values()) + [asked.manifests, cfgs],
        outputs = [tree],
        data = struct(asked = asked, cfgs = cfgs, world = world, tree = tree, label = ctx.label),
        implementation = _plan_deps,
        mnemonic = "CargoPlan",
        progress_message = "Planning %s" % label_text(ctx.label),
    )
    return [
        DefaultInfo(files = depset([tree])),
        SummaryInfo(planned = plan),
        CargoPlanInfo(plan = guarded(ctx.actions, plan), world = world, asked = struct(inputs = inputs, flags = selection_flags(ctx))),
    ]

def _plan_cfgs(plan_ctx):
    data = plan_ctx.data
    config = read_call(plan_ctx, data.config)
    cfgs = plan_ctx.text(data.cfgs).strip().split("\n")
    flags = config_flags(config, data.world.rust.host, cfgs, "rustflags")
    if not flags:
        plan_ctx.bind(data.final, data.cfgs)
        return
    print_cfgs(plan_ctx.actions, data.world, flags, data.final)

def _plan_deps(plan_ctx):
    """Plans the workspace and declares its third-party units.

    Returns:
      struct(units = what plan_units returned, compiled = dict (compile.bzl) of
      third-party units, metadata, graphs, manifests, config, cfgs, options, folders).
    """
    data = plan_ctx.data
    calls = data.asked.calls
    metadata = read_call(plan_ctx, calls["metadata"])
    manifests = read_manifests(plan_ctx.text(data.asked.manifests), manifests_of(metadata))
    config = read_call(plan_ctx, calls["config"])
    cfgs = plan_ctx.text(data.cfgs).strip().split("\n")
    world = extended(data.world, folders = manifest_folders(manifests))
    options = plan_options(
        world.root,
        world.rust.host,
        cfgs,
        config = config,
        env = world.env,
        profile = world.profile,
        cap_lints = world.consumed,
    )
    graphs = {g: read_call(plan_ctx, calls[g]) for g in ["build", "test", "check"]}
    units = plan_units(metadata, graphs, manifests, options)

    # What third-party units need is theirs too: with [patch], even a member.
    third = [id for id, u in units.units.items() if not u.member and u.mode in ["build", "run"]]
    compiled = {}
    declare_units(plan_ctx.actions, world, units, compiled, third, show_members)

    entries = {}
    for id in third:
        for kind in ["rlib", "so", "a", "cdylib"]:
            file = compiled[id].files.get(kind)
            if file:
                entries[file.basename] = file
    plan_ctx.actions.tree(data.tree, entries)
    return struct(
        summary = _summary(units, third),
        units = units,
        compiled = compiled,
        metadata = metadata,
        graphs = graphs,
        manifests = manifests,
        config = config,
        cfgs = cfgs,
        options = options,
        folders = world.folders,
    )

def manifests_of(metadata):
    """What is a manifest: of the packages and of the workspace. A file with such a name may be a test's fixture."""
    paths = {p["manifest_path"]: True for p in metadata["packages"]}
    paths[metadata["workspace_root"] + "/Cargo.toml"] = True
    return paths

def manifest_folders(manifests):
    """Folders of the repository, relative to it, that hold a Cargo.toml."""
    folders = []
    for path in manifests:
        folder = relative(dirname(path), "/w")
        if folder:
            folders.append(folder)
    return folders

def _summary(units, third):
    """What the summary says of the crates."""
    crates = {}
    for id in third:
        u = units.units[id]
        if u.mode == "build" and u.kind != "custom-build":
            crates["%s v%s" % (u.package, u.version)] = True
    if not crates:
        return "no third-party crate"
    twice = len(forms(units))
    text = "%s, each compiled once" % plural(len(crates), "crate")
    return text + "; %d in two forms" % twice if twice else text

def forms(units):
    """Third-party packages that are compiled in more than one form, and why.

    Args:
      units: from plan_units.

    Returns:
      dict "name v1.0.0" -> list of (id, features, graphs that want it).
    """
    wanted = {}
    for graph in ["build", "test"]:
        for id in closure(units, [r for r in units.roots.get(graph, [])]):
            wanted.setdefault(id, []).append(graph)
    found = {}
    for id, u in units.units.items():
        if not u.member and u.mode == "build" and u.kind in ["lib", "proc-macro"]:
            found.setdefault("%s v%s" % (u.package, u.version), []).append((id, u.features, wanted.get(id, [])))
    return {name: uses for name, uses in found.items() if len(uses) > 1}

cargo_deps = rule(
    implementation = _impl,
    doc = """The third-party crates that a Cargo workspace uses, each compiled once.

The workspace is the one whose Cargo.toml stands beside the BUILD file. This
target owns its plan: which crates, features and flags there are is what cargo
itself says for `cargo build`, `cargo test --workspace` and
`cargo clippy --workspace --all-targets`. cargo_package and the checks use the
crates compiled here. `gorules build` of it compiles every third-party crate
and nothing of the workspace's own code.

    cargo_deps(
        name = "deps",
        vendor = "@crates",
        libs = ["@openssl"],
        crate_tools = {"@protoc": "prost-build"},
    )
""",
    attrs = {
        "vendor": attr.label(
            mandatory = True,
            providers = [CargoVendorInfo],
            doc = "The cargo_vendor that holds what Cargo.lock names.",
        ),
        "profile": attr.string(
            default = "dev",
            doc = "The cargo profile of everything in the workspace: \"dev\", \"release\" or one that Cargo.toml defines.",
        ),
        "features": attr.string_list(
            doc = "Features of the workspace's packages to turn on, as `cargo --features` takes them.",
        ),
        "all_features": attr.bool(doc = "As `cargo --all-features`."),
        "default_features": attr.bool(default = True, doc = "False is `cargo --no-default-features`."),
        "git": attr.string_list(doc = "Names of the workspace's packages whose build scripts may look at .git; what they read of it is their input."),
        "host": attr.string(
            default = "declared",
            values = ["declared", "observed"],
            doc = "\"observed\": build scripts, links and tests may look at the programs and libraries of the machine, and what they read is their input. \"declared\": they see what `tools`, `libs` and the toolchains name.",
        ),
        "tools": attr.label_list(
            providers = [HostFilesInfo],
            doc = "Programs (host_tool) that build scripts may run.",
        ),
        "libs": attr.label_list(
            providers = [HostFilesInfo],
            doc = "Libraries of the machine (host_library) that build scripts may find and that are linked.",
        ),
        "crate_tools": attr.label_keyed_string_dict(
            providers = [HostFilesInfo],
            doc = "As `tools`, for the named crates only: {\"@cmake\": \"libz-sys zstd-sys\"}.",
        ),
        "crate_libs": attr.label_keyed_string_dict(
            providers = [HostFilesInfo],
            doc = "As `libs`, shown to the build scripts of the named crates only.",
        ),
        "env": attr.string_dict(
            doc = "Variables for build scripts and compilers: {\"NAME\": \"value\"}, or {\"crate/NAME\": \"value\"} for one crate.",
        ),
        "rust": attr.label(
            providers = [RustToolchainInfo],
            doc = "A rust_toolchain other than the one of `vendor`.",
        ),
        "cc": attr.label(
            providers = [CcToolchainInfo],
            doc = "A cc_toolchain other than the one of `vendor`.",
        ),
    },
)
