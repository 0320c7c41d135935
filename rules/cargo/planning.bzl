"""Asking cargo what it would do: the CargoUnitGraph actions.

Each runs the toolchain's cargo on the manifests, offline, with vendored sources
in place of registries. Rust files have their names but no content: cargo's
plan is the same, and an edit of the source plans nothing again. Every call is
a stored result, so that a refusal is reported once, with what to do about it.
"""

load(":package.bzl", "RUST_FILES", "label_text")

# Two folders deep: cargo resolves relative paths against the second one up.
_CONFIG = "/vendored/.cargo/config.toml"

# What cargo plans from, the latter by name alone. Readme files count because
# CARGO_PKG_README says whether there is one.
_BLANK = RUST_FILES + ["**/README", "**/README.md", "**/README.txt"]
_INCLUDE = [
    "**/Cargo.toml",
    "**/.cargo/config.toml",
    "**/.cargo/config",
] + _BLANK
_MANIFEST_MARK = "#gorules-manifest "

# Prints every manifest of the workspace, and the lints of vendored ones.
_PRINT_MANIFESTS = """
shopt -s globstar nullglob dotglob
for f in /w/**/Cargo.toml; do
    printf '\\n%s%s\\n' "$1" "$f"
    cat "$f"
done
grep -l '^\\[lints' /vendor/*/Cargo.toml | while read -r f; do
    printf '\\n%s%s\\n' "$1" "$f"
    sed -n '/^\\[lints/,$p' "$f"
done
"""

def planning_inputs(ctx, prefix, vendor):
    """Files that cargo plans from.

    Args:
      ctx: rule context.
      prefix: the Cargo workspace's folder relative to the repository.
      vendor: CargoVendorInfo.
    """
    direct = [
        # Not of the workspace's folder alone: cargo looks for configuration above it, and
        # packages that it depends on may stand beside it.
        ctx.actions.source_tree(path = "", include = _INCLUDE, blank = _BLANK, tracked = True),
        # Many libraries list Cargo.lock in .gitignore.
        ctx.actions.source_tree(path = prefix, include = ["Cargo.lock"], exclude = ["*/*"], gitignore = False),
        ctx.actions.place(vendor.config, _CONFIG),
    ]
    return depset(direct + vendor.crates.values())

def feature_flags(ctx):
    """cargo's flags for the features that a cargo_deps names."""
    flags = []
    if ctx.attr.all_features:
        flags.append("--all-features")
    if not ctx.attr.default_features:
        flags.append("--no-default-features")
    if ctx.attr.features:
        flags += ["--features", ",".join(ctx.attr.features)]
    return flags

def selection_flags(ctx):
    """cargo's flags for the profile and features that a cargo_deps names."""
    profile = [] if ctx.attr.profile == "dev" else ["--profile", ctx.attr.profile]
    return profile + feature_flags(ctx)

def cargo_call(actions, name, words, what, tools, inputs, root):
    """Runs cargo in the sandbox.

    Args:
      actions: ctx.actions.
      name: prefix of the outputs' names.
      words: the words after "cargo".
      what: for people: "Planning the build".
      tools: list of Files: rustc, cargo and what they need.
      inputs: depset from planning_inputs.
      root: absolute path of the Cargo workspace.

    Returns:
      struct(stdout, stderr, exit_code, command) of Files and the call as text.
    """
    stdout = actions.declare_file(name + ".json")
    stderr = actions.declare_file(name + ".stderr")
    exit_code = actions.declare_file(name + ".exit")
    actions.run(
        executable = "/rust/bin/cargo",
        arguments = ["--config", _CONFIG] + words,
        env = {
            "CARGO_HOME": "/tmp/cargo",
            "CARGO_TARGET_DIR": "/tmp/target",
            "CARGO_TERM_COLOR": "never",
            "PATH": "/rust/bin:/usr/bin:/bin",
            # Nothing may stand between cargo and the compiler it asks.
            "RUSTC": "/rust/bin/rustc",
            "RUSTC_WRAPPER": "",
            "RUSTC_WORKSPACE_WRAPPER": "",
            # --unit-graph is unstable. It says what stable cargo does, and no
            # compiler call ever sees this variable.
            "RUSTC_BOOTSTRAP": "1",
        },
        workdir = root,
        inputs = depset(tools, transitive = [inputs]),
        outputs = [],
        stdout = stdout,
        stderr = stderr,
        exit_code = exit_code,
        mnemonic = "CargoUnitGraph",
        progress_message = what,
    )
    return struct(stdout = stdout, stderr = stderr, exit_code = exit_code, command = "cargo " + " ".join(words))

def graph_call(actions, name, words, flags, what, tools, inputs, root):
    """cargo_call for a unit graph."""
    all = words + ["--unit-graph", "-Zunstable-options", "--locked", "--offline"] + flags
    return cargo_call(actions, name, all, what, tools, inputs, root)

def declare_planning(ctx, world, inputs):
    """Declares every call that planning a workspace needs.

    Args:
      ctx: of a cargo_deps.
      world: see compile.bzl.
      inputs: depset from planning_inputs.

    Returns:
      struct(calls = dict of what cargo_call returned: "metadata", "build",
      "test", "check", "config"; cfgs = File; manifests = File).
    """
    name = ctx.label.name + ".plan/"
    tools = world.rust.rustc + world.rust.cargo + world.rust.runtime
    flags = selection_flags(ctx)
    where = " of %s" % label_text(ctx.label)
    calls = {
        "metadata": cargo_call(
            ctx.actions,
            name + "metadata",
            ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", world.rust.host] + feature_flags(ctx),
            "Reading the packages" + where,
            tools,
            inputs,
            world.root,
        ),
        "config": cargo_call(
            ctx.actions,
            name + "config",
            ["config", "get", "--format", "json", "-Zunstable-options"],
            "Reading the configuration" + where,
            tools,
            inputs,
            world.root,
        ),
    }
    for graph, words in {
        "build": ["build"],
        "test": ["test", "--workspace"],
        "check": ["check", "--workspace", "--all-targets"],
    }.items():
        calls[graph] = graph_call(ctx.actions, name + graph, words, flags, "Planning cargo %s%s" % (graph, where), tools, inputs, world.root)

    manifests = ctx.actions.declare_file(name + "manifests")
    ctx.actions.run_shell(
        command = _PRINT_MANIFESTS,
        arguments = [_MANIFEST_MARK],
        workdir = world.root,
        inputs = inputs,
        outputs = [],
        stdout = manifests,
        mnemonic = "CargoUnitGraph",
        progress_message = "Reading the manifests" + where,
    )
    cfgs = ctx.actions.declare_file(name + "cfgs")
    print_cfgs(ctx.actions, world, [], cfgs)
    return struct(calls = calls, cfgs = cfgs, manifests = manifests)

def print_cfgs(actions, world, flags, stdout):
    """Runs `rustc --print cfg`."""
    actions.run(
        executable = "/rust/bin/rustc",
        arguments = ["--print", "cfg"] + flags,
        inputs = world.rust.rustc + world.rust.runtime,
        env = {"PATH": "/usr/bin:/bin"},
        outputs = [],
        stdout = stdout,
        mnemonic = "CargoUnitGraph",
        progress_message = "Asking rustc for its cfgs",
    )

def call_files(calls):
    """Every output of calls, as inputs of a plan."""
    files = []
    for call in calls:
        files += [call.stdout, call.stderr, call.exit_code]
    return files

def read_call(plan_ctx, call):
    """The decoded output of a cargo_call; fails with cargo's message and what to do."""
    if plan_ctx.text(call.exit_code).strip() == "0":
        return json.decode(plan_ctx.text(call.stdout))
    said = plan_ctx.text(call.stderr).strip()
    fail(explain_refusal(call.command, said))

def explain_refusal(command, said):
    """Text for a cargo that refused to plan: its own words and the way out."""
    lines = [l for l in said.split("\n") if not l.startswith("note: The following environment variables")]
    outside = said.partition("failed to read `")[2].partition("`")[0]
    if "--locked" in said or "lock file" in said and "needs to be updated" in said:
        todo = "Cargo.lock is out of step with a Cargo.toml. Run `cargo update --workspace` (or any cargo command without --locked), then build again."
    elif outside and not outside.startswith("/w/") and not outside.startswith("/vendor/"):
        todo = ("A path dependency leads out of the folder of the WORKSPACE file, where nothing is seen. Move the package below it, " +
                "move WORKSPACE up to a folder that holds both, or depend on the package through git or a registry.")
    elif "no matching package" in said or "failed to load source" in said:
        todo = "A package that Cargo.lock names is not vendored. Run `gorules fetch`."
    else:
        todo = "This is what `%s` says; the same command in the workspace's folder shows it too." % command
    return "cargo could not plan the workspace:\n%s\n%s" % ("\n".join(lines), todo)

def read_manifests(text, wanted):
    """Decodes what _PRINT_MANIFESTS printed.

    Args:
      text: that.
      wanted: dict or list of the absolute paths that are manifests.

    Returns:
      dict from absolute path to decoded Cargo.toml.
    """
    manifests = {}
    for part in ("\n" + text).split("\n" + _MANIFEST_MARK)[1:]:
        path, _, body = part.partition("\n")
        if path in wanted:
            manifests[path] = gorules.toml_decode(body)
    return manifests
