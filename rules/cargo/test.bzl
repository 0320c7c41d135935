"""cargo_test: runs the workspace's tests, one cached action a test program."""

load(":build_script.bzl", "directive_env")
load(":compile.bzl", "declare_units", "object_inputs", "program_path", "rustc_tools", "show_members", "unit_title")
load(":doctest.bzl", "doctest_argv")
load(":libtest.bzl", "read_libtest")
load(":package.bzl", "dirname", "label_text", "package_env")
load(":providers.bzl", "CargoPackageInfo", "HostFilesInfo")
load(":rustc_args.bzl", "PROFILE_DIR", "UNIT_DIR", "base_env", "extra_env", "program_env")
load(":sources.bzl", "WORKSPACE", "package_sources")
load(":verdict.bzl", "junit", "plain", "plural")

_TIMEOUTS = {"short": 60, "moderate": 300, "long": 900, "eternal": 3600}
_TIMEOUT_OF_SIZE = {"small": "short", "medium": "moderate", "large": "long", "enormous": "eternal"}

# The exit code of a program that was stopped when its time was over, as of timeout(1).
_TIMED_OUT = "124"

def test_timeout(ctx):
    """Seconds that one test program may take, by `timeout` or else `size`."""
    return _TIMEOUTS[ctx.attr.timeout or _TIMEOUT_OF_SIZE[ctx.attr.size]]

def _impl(ctx):
    package = ctx.attr.package[CargoPackageInfo]
    tools = []
    for t in ctx.attr.tools:
        tools += t[HostFilesInfo].files
    settings = struct(
        label = ctx.label,
        args = ctx.attr.args,
        env = ctx.attr.env,
        files = ctx.files.data + tools,
        size = ctx.attr.size,
        timeout = test_timeout(ctx),
        doctests = ctx.attr.doctests,
    )
    programs = ctx.actions.declare_directory(ctx.label.name + ".programs")
    verdict = ctx.actions.plan(
        waits = [package.plan],
        outputs = [programs],
        data = struct(plan = package.plan, settings = settings, programs = programs),
        implementation = _plan_tests,
        mnemonic = "CargoPlan",
        progress_message = "Planning %s" % label_text(ctx.label),
    )
    return [
        # `gorules build` compiles the tests and runs none.
        DefaultInfo(files = depset([programs])),
        TestResultsInfo(verdict = verdict),
    ]

def test_roots(value, mode):
    """Ids of the test graph's roots of a mode that belong to the package's members.

    Args:
      value: of the cargo_package's plan.
      mode: "test" or "doctest".
    """
    own = {m: True for m in value.members}
    units = value.units.units
    return [r for r in value.units.roots["test"] if units[r].mode == mode and units[r].pkg in own]

def _plan_tests(plan_ctx):
    """Declares the test programs; returns the plan that runs them."""
    data = plan_ctx.data
    value = plan_ctx.value(data.plan)
    world = value.world
    compiled = dict(value.compiled)
    tests = test_roots(value, "test")
    docs = test_roots(value, "doctest") if data.settings.doctests else []

    # `cargo test` builds examples too, so that they cannot rot.
    examples = test_roots(value, "build")
    declare_units(plan_ctx.actions, world, value.units, compiled, tests + examples, show_members)
    entries = {}
    for id in tests + examples:
        if "bin" in compiled[id].files:
            entries[compiled[id].files["bin"].basename] = compiled[id].files["bin"]
    plan_ctx.actions.tree(data.programs, entries)

    built = built_tree(plan_ctx.actions, value, compiled, data.settings)
    jobs = [test_job(plan_ctx.actions, value, compiled, id, data.settings, built) for id in tests]
    jobs += [doctest_job(plan_ctx.actions, value, compiled, id, data.settings) for id in docs]
    waits = {}
    for job in jobs:
        for s, planned in zip(job.scripts, job.waits):
            waits[s] = planned
    return plan_ctx.actions.plan(
        # Nothing is run before the examples compile, as with cargo.
        waits = list(waits.values()),
        data = struct(jobs = jobs, settings = data.settings),
        implementation = _run_tests,
        mnemonic = "CargoPlan",
    )

def built_tree(actions, value, compiled, settings):
    """A directory with what cargo leaves in target/debug for tests to find: programs, and libraries for other languages.

    It is a scope: of these a test has as input what it looks at.
    """
    entries = {}
    for id in value.units.roots["test"] + value.units.roots["build"]:
        if id not in compiled:
            continue
        unit = value.units.units[id]
        files = compiled[id].files
        if unit.kind == "bin" and not unit.test and "bin" in files:
            entries.setdefault(unit.target["name"], files["bin"])
        if unit.kind in ["lib", "example"] and not unit.test:
            for kind in ["cdylib", "so"]:
                if kind in files:
                    name = "lib%s.so" % unit.crate
                    entries.setdefault(name, files[kind])
                    entries.setdefault("deps/" + name, files[kind])
    built = actions.declare_directory(settings.label.name + ".built", at = PROFILE_DIR)
    actions.tree(built, entries)
    return built

def test_job(actions, value, compiled, id, settings, built):
    """What running one test program needs.

    Returns:
      struct(unit, title, inputs, program, env, scripts, waits, pkg_root, ...).
    """
    unit = value.units.units[id]
    world = value.world
    pkg = value.units.packages[unit.pkg]
    program = actions.place(compiled[id].files["bin"], "%s/deps/%s" % (PROFILE_DIR, unit.files["bin"]))
    sources = package_sources(actions, world, pkg)
    inputs = [program] + sources.inputs + sources.config + rustc_tools(world) + world.cc.files + world.default_tools + world.libs + settings.files
    for p in unit.programs:
        bin = value.units.units[p]
        inputs.append(actions.place(compiled[p].files["bin"], program_path(bin.target["name"])))
    scripts = _run_scripts(unit)
    inputs += [compiled[s].out_dir for s in scripts]
    if unit.script:
        inputs += compiled[unit.script].changes

    # Where insta and expect-test take file!() from; without them they run
    # cargo, or look upwards for the workspace's Cargo.toml.
    env = {"CARGO_WORKSPACE_DIR": world.root, "INSTA_WORKSPACE_ROOT": world.root}
    env.update(base_env(value.options))
    env.update(package_env(pkg))
    if unit.kind in ["test", "bench"]:
        env.update({k: v for k, v in program_env(pkg, False).items() if k != "CARGO_TARGET_TMPDIR"})
    env.update(extra_env(pkg, value.options))
    return struct(
        kind = "program",
        unit = unit,
        title = _title(unit, pkg),
        inputs = depset(inputs),
        scope = sources.scope + sources.cargo + [built] + world.host,
        executable = program.path,
        env = env,
        scripts = scripts,
        waits = [compiled[s].printed for s in scripts],
        cwd = dirname(pkg["manifest_path"]),
        host = world.rust.host,
    )

def doctest_job(actions, value, compiled, id, settings):
    """What compiling and running a library's documentation examples needs."""
    unit = value.units.units[id]
    world = value.world
    pkg = value.units.packages[unit.pkg]
    scripts = _run_scripts(unit)
    sources = package_sources(actions, world, pkg)
    inputs = sources.inputs + sources.config + rustc_tools(world) + world.rust.rustdoc + world.cc.files + world.libs + settings.files
    inputs += [compiled[s].out_dir for s in scripts]
    if unit.script:
        inputs += compiled[unit.script].changes
    return struct(
        kind = "doctest",
        unit = unit,
        title = "Doc-tests " + unit.crate,
        inputs = depset(inputs, transitive = [object_inputs(compiled, unit)]),
        scope = sources.scope + sources.cargo + world.host,
        executable = "/rust/bin/rustdoc",
        env = unit.env,
        scripts = scripts,
        waits = [compiled[s].printed for s in scripts],
        cwd = unit.cwd,
        host = world.rust.host,
    )

def _run_scripts(unit):
    scripts = list(unit.scripts)
    if unit.script and unit.script not in scripts:
        scripts.append(unit.script)
    return scripts

def _title(unit, pkg):
    """What cargo calls a test program: "unittests src/lib.rs", "tests/cli.rs"."""
    src = unit.target["src_path"]
    root = dirname(pkg["manifest_path"]) + "/"
    if src.startswith(root):
        src = src[len(root):]
    return ("%s: " % unit.package) + (src if unit.kind == "test" else "unittests " + src)

def library_path(job, printed):
    """LD_LIBRARY_PATH of a test: native folders that build scripts made, then the crates' and rustc's."""
    places = {}
    for s in job.unit.scripts:
        for path in printed[s].search:
            place = path.rpartition("=")[2]
            if place.startswith(UNIT_DIR + "/"):
                places[place] = True
    dirs = sorted(places)
    if job.kind == "program":
        dirs += [PROFILE_DIR, PROFILE_DIR + "/deps", "/rust/lib/rustlib/%s/lib" % job.host]
    else:
        dirs.append(UNIT_DIR)
    return ":".join(dirs)

def declare_test(actions, job, printed, name, settings, options, more_env = {}, outputs = []):
    """The TestRunner action of a job.

    Args:
      actions: plan_ctx.actions.
      job: from test_job or doctest_job.
      printed: dict of what each of job.scripts printed.
      name: prefix of the outputs' names.
      settings: of the rule.
      options: plan_ctx.test_options.
      more_env: more variables.
      outputs: directories that the test writes.

    Returns:
      struct(title, kind, stdout, stderr, exit_code).
    """
    unit = job.unit
    own = printed.get(unit.script)
    env = dict(job.env, **directive_env(unit, own))
    env["LD_LIBRARY_PATH"] = library_path(job, printed)
    env.update({
        "TEST_SIZE": settings.size,
        # Empty, and gone afterwards.
        "HOME": "/tmp/home",
        "USER": "gorules",
        "TEST_SRCDIR": "/w",
        "TEST_TARGET": label_text(settings.label),
        "TEST_TIMEOUT": str(options.timeout or settings.timeout),
        "TEST_TMPDIR": "/tmp",
        "TEST_WORKSPACE": "_main",
        "BAZEL_TEST": "1",
    })
    env.update(settings.env)
    env.update(options.env)
    env.update(more_env)
    test_args = list(settings.args) + list(options.args)
    if options.filter:
        test_args.append(options.filter)
    if job.kind == "doctest":
        argv = doctest_argv(unit, own, [printed[s] for s in unit.scripts], test_args)
    else:
        argv = test_args
    who, label = unit_title(unit), label_text(settings.label)
    explain = {
        "ENOENT": who + " looked for {path}. A test sees the workspace and what %s names in data and tools: add data = [\"//...\"] or tools = [\"@...\"]" % label,
        "ENOENT /w": who + " looked for {path}, which is not there, or which .gitignore leaves out: data = [\"//:{rest}\"] on %s" % label,
        "ENOENT PATH": who + " looked for the program {rest}, which is not declared: host_tool(name = \"{rest}\") in WORKSPACE and tools = [\"@{rest}\"] on %s" % label,

        # The search path of libraries is longer than what is there.
        "ENOENT /rust": "",
        "ENOENT /rust/bin": who + " looked for {rest} of the Rust toolchain, of which tests see rustc and cargo",
        "ENOENT /unit": "",
        "ENETUNREACH": unit_title(unit) + " wanted to connect to {address}: tests have a loopback and no other network",
    }
    result = struct(
        title = job.title,
        kind = job.kind,
        stdout = actions.declare_file(name + ".stdout"),
        stderr = actions.declare_file(name + ".stderr"),
        exit_code = actions.declare_file(name + ".exit"),
    )
    actions.run(
        executable = job.executable,
        arguments = argv,
        env = env,
        workdir = job.cwd,
        writable = [WORKSPACE] + ([PROFILE_DIR] if job.kind == "program" else []),
        inputs = job.inputs,
        scope = job.scope,
        outputs = outputs,
        stdout = result.stdout,
        stderr = result.stderr,
        exit_code = result.exit_code,
        network = "loopback",
        terminals = True,
        timeout = options.timeout or settings.timeout,
        test = True,
        mnemonic = "TestRunner",
        progress_message = "Testing %s" % job.title,
        explain = explain,
    )
    return result

def _run_tests(plan_ctx):
    """Declares the runs; returns the plan that judges them."""
    data = plan_ctx.data
    results = []
    for job in data.jobs:
        printed = {s: plan_ctx.value(p) for s, p in zip(job.scripts, job.waits)}
        name = "%s.runs/%s-%s" % (data.settings.label.name, job.unit.crate, job.unit.id)
        results.append(declare_test(plan_ctx.actions, job, printed, name, data.settings, plan_ctx.test_options))
    files = []
    for r in results:
        files += [r.stdout, r.stderr, r.exit_code]
    return plan_ctx.actions.plan(
        inputs = files,
        data = struct(results = results, settings = data.settings),
        implementation = _judge,
        mnemonic = "CargoPlan",
    )

def read_result(title, kind, stdout, stderr, exit_code):
    """One test program's result.

    Returns:
      struct(title, kind, cases, failed, ignored, broken = failed without a failing case, text).
    """
    read = read_libtest(plain(stdout))
    cases = read.cases
    ok = exit_code.strip() == "0"
    if not read.harness:
        # A program of its own: it is one test.
        cases = [struct(name = title, status = "ok" if ok else "failed", text = stdout + stderr)]
    failed = len([c for c in cases if c.status == "failed"])
    broken = not ok and failed == 0
    if broken:
        cases = cases + [struct(name = title, status = "failed", text = stdout + stderr + "\nexit code " + exit_code)]
    text = stdout + (stderr if stderr.strip() else "")
    return struct(
        title = title,
        kind = kind,
        cases = cases,
        failed = failed + (1 if broken else 0),
        ignored = len([c for c in cases if c.status == "ignored"]),
        broken = broken,
        ok = ok,
        exit_code = exit_code.strip(),
        text = "     Running %s\n%s" % (title, text),
    )

def summary_of(results):
    """"61 tests in 5 binaries, 7 doctests", with what failed first."""
    tests, docs, programs, failed, ignored = 0, 0, 0, 0, 0
    for r in results:
        n = len(r.cases) - r.ignored
        failed += r.failed
        ignored += r.ignored
        if r.kind == "doctest":
            docs += n
        else:
            tests += n
            programs += 1
    words = "%s in %s" % (plural(tests, "test"), "1 binary" if programs == 1 else "%d binaries" % programs)
    if docs:
        words += ", " + plural(docs, "doctest")
    if ignored:
        words += ", %d ignored" % ignored
    return "%d failed: %s" % (failed, words) if failed else words

def _judge(plan_ctx):
    data = plan_ctx.data
    label = data.settings.label
    results = [
        read_result(r.title, r.kind, plan_ctx.text(r.stdout), plan_ctx.text(r.stderr), plan_ctx.text(r.exit_code))
        for r in data.results
    ]
    failed = [r for r in results if not r.ok]
    log = plan_ctx.actions.declare_file(label.name + ".test.log")
    plan_ctx.actions.write(log, "\n".join([r.text for r in results]))
    xml = plan_ctx.actions.declare_file(label.name + ".test.xml")
    plan_ctx.actions.write(xml, junit([struct(name = r.title, cases = r.cases) for r in results]))
    return TestVerdictInfo(
        status = "FAILED" if failed else "PASSED",
        summary = summary_of(results),
        text = "\n".join([r.text + again(label, r) for r in failed]),
        notes = [],
        log = log,
        xml = xml,
        outputs = [],
        tests = len([c for r in results for c in r.cases if c.status != "ignored"]),
    )

def again(label, result):
    """The end of a failing program's block: what died, and how to run it again."""
    lines = []
    if result.broken:
        if result.exit_code == _TIMED_OUT:
            lines.append("%s was stopped: its time was over (timeout = ... on %s, or --test_timeout)" % (result.title, label_text(label)))
        else:
            lines.append("%s ended with exit code %s before all its tests were done" % (result.title, result.exit_code))
    names = [c.name for c in result.cases if c.status == "failed"]
    for n in names[:5]:
        if n != result.title and " " not in n:
            lines.append("again: gorules test %s --test_filter=%s" % (label_text(label), n))
    if not lines:
        lines.append("again: gorules test %s" % label_text(label))
    return "\n".join(lines) + "\n"

cargo_test = rule(
    implementation = _impl,
    test = True,
    doc = """Runs what `cargo test --workspace` runs: unit and integration tests and the examples in documentation.

Each test program is one cached action. It runs in its package's folder, of which
it sees a writable copy that is thrown away, with cargo's variables and
CARGO_BIN_EXE_*, a loopback network and a /tmp of its own.
`--test_filter=NAME` and `--test_arg` are given to every test program.

    cargo_test(
        name = "test",
        package = ":hello",
        data = ["//fixtures:all"],
    )
""",
    attrs = {
        "package": attr.label(mandatory = True, providers = [CargoPackageInfo], doc = "The cargo_package to test."),
        "data": attr.label_list(allow_files = True, doc = "Files that tests read besides their package's, at their places in the workspace."),
        "env": attr.string_dict(doc = "Variables for the tests."),
        "tools": attr.label_list(providers = [HostFilesInfo], doc = "Programs (host_tool) that tests start."),
        "doctests": attr.bool(default = True, doc = "Whether to run the examples in documentation."),
    },
)
