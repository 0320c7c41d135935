"""cargo_clippy: lints the members, all targets, against the crates of the build."""

load(":build_script.bzl", "directive_args", "directive_env")
load(":compile.bzl", "compile_job", "metadata_inputs", "script_words", "unit_title")
load(":package.bzl", "label_text")
load(":providers.bzl", "CargoPackageInfo")
load(":rustc_args.bzl", "OUT_DIR")
load(":structs.bzl", "extended")
load(":verdict.bzl", "declare_verdict", "junit", "plural")

# What joins clippy's flags in CLIPPY_ARGS; cargo-clippy's own choice.
_SEPARATOR = "__CLIPPY_HACKERY__"

_FIX = """#!/bin/bash
# gorules run %s -- --fix: clippy with this target's flags, in the workspace itself.
cd "${BUILD_WORKSPACE_DIRECTORY:?run me with: gorules run %s -- --fix}/%s" || exit 1
exec cargo clippy --workspace --all-targets --allow-dirty --allow-staged "$@" -- %s
"""

def _quote(word):
    return "'" + word.replace("'", "'\\''") + "'"

def _impl(ctx):
    package = ctx.attr.package[CargoPackageInfo]
    if not package.world.rust.clippy:
        fail(("the toolchain %s has no clippy: run `rustup component add clippy`, " +
              "or name it in rust-toolchain.toml: components = [\"clippy\"]") % package.world.rust.version)
    verdict = ctx.actions.plan(
        waits = [package.plan],
        data = struct(plan = package.plan, label = ctx.label, flags = ctx.attr.clippy_flags),
        implementation = _plan_lints,
        mnemonic = "CargoPlan",
        progress_message = "Planning %s" % label_text(ctx.label),
    )
    return [
        DefaultInfo(
            executable = _fix_script(ctx, package.world.prefix),
            files = depset(),
        ),
        TestResultsInfo(verdict = verdict),
    ]

def _fix_script(ctx, prefix):
    script = ctx.actions.declare_file(ctx.label.name + ".fix")
    flags = " ".join([_quote(f) for f in ctx.attr.clippy_flags])
    ctx.actions.write(script, _FIX % (label_text(ctx.label), label_text(ctx.label), prefix, flags), is_executable = True)
    return script

def _plan_lints(plan_ctx):
    """Declares the lints; returns the plan that judges them."""
    data = plan_ctx.data
    value = plan_ctx.value(data.plan)
    own = {m: True for m in value.members}
    results = []
    for id in value.units.roots["check"]:
        unit = value.units.units[id]
        if unit.pkg in own:
            results.append(_declare_lint(plan_ctx, value, unit))
    return _judge_later(plan_ctx, results)

def _declare_lint(plan_ctx, value, unit):
    """One Clippy action; its diagnostics and exit code are outputs."""
    actions = plan_ctx.actions
    name = "%s.lints/%s-%s" % (plan_ctx.label.name, unit.package, unit.id)
    result = struct(
        unit_title = unit_title(unit),
        package = unit.package,
        stderr = actions.declare_file(name + ".json"),
        exit_code = actions.declare_file(name + ".exit"),
    )
    job = compile_job(actions, value.world, value.units, value.compiled, unit, False)
    job = extended(
        job,
        inputs = depset(value.world.rust.clippy, transitive = [job.inputs]),
        flags = plan_ctx.data.flags,
    )
    if job.waits:
        actions.plan(
            waits = job.waits,
            outputs = [result.stderr, result.exit_code],
            data = struct(job = job, stderr = result.stderr, exit_code = result.exit_code),
            implementation = _lint_after_scripts,
            mnemonic = "CargoPlan",
        )
    else:
        _run_clippy(actions, job, [], {}, result.stderr, result.exit_code)
    return result

def _lint_after_scripts(plan_ctx):
    data = plan_ctx.data
    words, env = script_words(plan_ctx, data.job)
    _run_clippy(plan_ctx.actions, data.job, words, env, data.stderr, data.exit_code)

def _run_clippy(actions, job, words, env, stderr, exit_code):
    unit = job.unit

    # What the lint writes is nobody's; naming one file gives it a folder to write in.
    dep_info = "%s-%s.d" % (unit.crate, unit.id)
    written = actions.declare_file("%s/%s" % (stderr.basename, dep_info), at = "%s/%s" % (OUT_DIR, dep_info))
    actions.run(
        executable = "/rust/bin/clippy-driver",
        arguments = ["/rust/bin/rustc"] + unit.argv + words,
        env = dict(unit.env, CLIPPY_ARGS = "".join([f + _SEPARATOR for f in job.flags]), **env),
        workdir = unit.cwd,
        inputs = job.inputs,
        scope = job.scope,
        outputs = [],
        optional_outputs = [written],
        stderr = stderr,
        exit_code = exit_code,
        mnemonic = "Clippy",
        progress_message = "Linting " + unit_title(unit),
    )

def _judge_later(plan_ctx, results):
    """Reads the diagnostics, lets a TestRunner action show them, and judges."""
    data = plan_ctx.data
    judged = plan_ctx.actions.plan(
        inputs = [r.stderr for r in results] + [r.exit_code for r in results],
        data = struct(results = results, label = data.label),
        implementation = _read_lints,
        mnemonic = "CargoPlan",
    )
    return judged

def read_diagnostics(text):
    """The diagnostics in what rustc or clippy-driver wrote with --error-format=json.

    Returns:
      list of struct(level, text, code); summaries such as "2 warnings emitted"
      are left out. A line that is not JSON is kept as an error: the tool crashed.
    """
    found = []
    for line in text.split("\n"):
        if not line:
            continue
        if not line.startswith("{"):
            found.append(struct(level = "error", text = line + "\n", code = ""))
            continue
        message = json.decode(line)
        if message.get("$message_type") != "diagnostic":
            continue
        plain = message["message"]
        if not message["spans"] and not message["code"] and (" emitted" in plain or plain.startswith("aborting due to")):
            continue
        code = message["code"]["code"] if message["code"] else ""
        found.append(struct(level = message["level"], text = message["rendered"], code = code))
    return found

def _read_lints(plan_ctx):
    data = plan_ctx.data
    seen, parts, cases = {}, [], []
    errors, denied, warnings, failed = {}, 0, 0, False
    for r in data.results:
        exit_code = plan_ctx.text(r.exit_code).strip()
        said = []
        for d in read_diagnostics(plan_ctx.text(r.stderr)):
            said.append(d.text)

            # The library and its test harness are the same source: once is enough.
            if d.text in seen:
                continue
            seen[d.text] = True
            parts.append(d.text)
            if d.level.startswith("error"):
                errors[r.package] = errors.get(r.package, 0) + 1
                if is_lint(d.code):
                    denied += 1
            elif d.level == "warning":
                warnings += 1
        if exit_code != "0":
            failed = True
            errors.setdefault(r.package, 0)
        cases.append(struct(name = r.unit_title, status = "ok" if exit_code == "0" else "failed", text = "\n".join(said)))
    text = "\n".join([p.rstrip("\n") + "\n" for p in parts])
    name = data.label.name
    run = declare_verdict(plan_ctx.actions, name + ".verdict", text, failed, "Judging the lints of %s" % label_text(data.label))
    xml = plan_ctx.actions.declare_file(name + ".verdict.xml")
    plan_ctx.actions.write(xml, junit([struct(name = label_text(data.label), cases = cases)]))
    if failed:
        broken = sum_of(errors.values()) - denied
        counts = [plural(n, what) for n, what in [(broken, "error"), (denied, "denied lint")] if n]
        summary = "%s in %s" % (", ".join(counts) or "clippy failed", ", ".join(sorted(errors)))
    else:
        summary = plural(len(data.results), "target") + (", " + plural(warnings, "warning") if warnings else "")
    return TestVerdictInfo(
        status = "FAILED" if failed else "PASSED",
        summary = summary,
        text = text,
        notes = ["fix: gorules run %s -- --fix" % label_text(data.label)] if denied else [],
        log = run.log,
        xml = xml,
        outputs = [],
    )

def is_lint(code):
    """Whether a diagnostic's code is a lint's name; the compiler's own errors have E0001 and the like, or none."""
    return code != "" and not (code[0] == "E" and code[1:].isdigit())

def sum_of(numbers):
    """Their sum."""
    total = 0
    for n in numbers:
        total += n
    return total

cargo_clippy = rule(
    implementation = _impl,
    test = True,
    doc = """Lints the workspace's packages with clippy: libraries, programs, tests, examples, build scripts.

Nothing is compiled for it: clippy reads the metadata of the crates that the
build made. Every target is linted, even when one fails. A change of
`clippy_flags` or clippy.toml lints again and does nothing else.
`gorules run //:clippy -- --fix` applies what clippy suggests.

    cargo_clippy(
        name = "clippy",
        package = ":hello",
        clippy_flags = ["--deny", "warnings"],
    )
""",
    attrs = {
        "package": attr.label(mandatory = True, providers = [CargoPackageInfo], doc = "The cargo_package to lint."),
        "clippy_flags": attr.string_list(doc = "What stands after `--` of `cargo clippy`."),
    },
)
