"""cargo_fmt: checks the format of the members with rustfmt."""

load(":graph.bzl", "target_kind")
load(":package.bzl", "label_text", "relative")
load(":package_rule.bzl", "member_packages")
load(":providers.bzl", "CargoPackageInfo")
load(":sources.bzl", "package_dir", "rust_sources")
load(":verdict.bzl", "declare_verdict", "junit", "plural")

_FIX = """#!/bin/bash
# gorules run %s: formats the workspace itself.
cd "${BUILD_WORKSPACE_DIRECTORY:?run me with: gorules run %s}/%s" || exit 1
exec cargo fmt --all "$@"
"""

def _impl(ctx):
    package = ctx.attr.package[CargoPackageInfo]
    if not package.world.rust.rustfmt:
        fail(("the toolchain %s has no rustfmt: run `rustup component add rustfmt`, " +
              "or name it in rust-toolchain.toml: components = [\"rustfmt\"]") % package.world.rust.version)
    verdict = ctx.actions.plan(
        waits = [package.plan],
        data = struct(plan = package.plan, label = ctx.label),
        implementation = _plan_formats,
        mnemonic = "CargoPlan",
        progress_message = "Planning %s" % label_text(ctx.label),
    )
    script = ctx.actions.declare_file(ctx.label.name + ".fix")
    ctx.actions.write(script, _FIX % (label_text(ctx.label), label_text(ctx.label), package.world.prefix), is_executable = True)
    return [
        DefaultInfo(executable = script, files = depset()),
        TestResultsInfo(verdict = verdict),
    ]

def format_calls(pkg, root):
    """The files of a package that rustfmt is given, by edition; it finds modules itself.

    Args:
      pkg: from `cargo metadata`.
      root: absolute path of the Cargo workspace.

    Returns:
      dict edition -> sorted paths relative to the workspace.
    """
    calls = {}
    for t in pkg["targets"]:
        if target_kind(t) in ["lib", "proc-macro", "bin", "test", "bench", "example", "custom-build"]:
            calls.setdefault(t["edition"], {})[relative(t["src_path"], root) or t["src_path"]] = True
    return {edition: sorted(files) for edition, files in calls.items()}

def _plan_formats(plan_ctx):
    """Declares one Rustfmt action a member; returns the plan that judges them."""
    value = plan_ctx.value(plan_ctx.data.plan)
    world = value.world
    results, trees = [], []
    for pkg in member_packages(value):
        sources = rust_sources(plan_ctx.actions, world, pkg)
        trees.append(sources[0])
        for edition, files in sorted(format_calls(pkg, world.root).items()):
            name = "%s.checks/%s-%s" % (plan_ctx.label.name, pkg["name"], edition)
            result = struct(
                package = pkg["name"],
                stdout = plan_ctx.actions.declare_file(name + ".diff"),
                stderr = plan_ctx.actions.declare_file(name + ".stderr"),
                exit_code = plan_ctx.actions.declare_file(name + ".exit"),
            )
            plan_ctx.actions.run(
                executable = "/rust/bin/rustfmt",
                arguments = ["--edition", edition, "--color", "never", "--check"] + files,
                env = {"PATH": "/usr/bin:/bin"},
                workdir = world.root,
                inputs = sources + world.rust.rustfmt + world.rust.rustc + world.rust.runtime,
                outputs = [],
                stdout = result.stdout,
                stderr = result.stderr,
                exit_code = result.exit_code,
                mnemonic = "Rustfmt",
                progress_message = "Checking the format of %s (%s)" % (pkg["name"], package_dir(pkg)),
            )
            results.append(result)
    files = list(trees)
    for r in results:
        files += [r.stdout, r.stderr, r.exit_code]
    return plan_ctx.actions.plan(
        inputs = files,
        data = struct(results = results, trees = trees, label = plan_ctx.label),
        implementation = _judge,
        mnemonic = "CargoPlan",
    )

def _judge(plan_ctx):
    data = plan_ctx.data
    parts, cases, bad = [], [], {}
    for r in data.results:
        ok = plan_ctx.text(r.exit_code).strip() == "0"
        text = (plan_ctx.text(r.stdout) + plan_ctx.text(r.stderr)).replace("Diff in /w/", "Diff in ")
        cases.append(struct(name = r.package, status = "ok" if ok else "failed", text = text))
        if not ok:
            bad[r.package] = True
            parts.append(text.rstrip("\n") + "\n")
    files = 0
    for t in data.trees:
        files += len(plan_ctx.files(t))
    run = declare_verdict(plan_ctx.actions, data.label.name + ".verdict", "".join(parts), bool(bad), "Judging the format of %s" % label_text(data.label))
    xml = plan_ctx.actions.declare_file(data.label.name + ".verdict.xml")
    plan_ctx.actions.write(xml, junit([struct(name = label_text(data.label), cases = cases)]))
    return TestVerdictInfo(
        status = "FAILED" if bad else "PASSED",
        summary = "not formatted: %s" % ", ".join(sorted(bad)) if bad else plural(files, "file"),
        text = "".join(parts),
        notes = ["fix: gorules run %s" % label_text(data.label)] if bad else [],
        log = run.log,
        xml = xml,
        outputs = [],
    )

cargo_fmt = rule(
    implementation = _impl,
    test = True,
    doc = """Checks that the workspace's packages are formatted as rustfmt formats them.

`gorules run` of it formats them. rustfmt.toml is an input.

    cargo_fmt(name = "fmt", package = ":hello")
""",
    attrs = {
        "package": attr.label(mandatory = True, providers = [CargoPackageInfo], doc = "The cargo_package to check."),
    },
)
