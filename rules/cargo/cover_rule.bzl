"""cargo_coverage: runs the tests with the members instrumented, and judges the lines they run.

The steps, and why each is as it is, stand in coverage_report.bzl and
coverage_tool. In short: only the members are compiled again; what counts as a
line is what the compiler maps in the members' libraries and programs, not in
their tests.
"""

load(":compile.bzl", "declare_units", "never_show")
load(":cover_llvm.bzl", "exported", "llvm_exports", "unpack_libraries")
load(":coverage_html.bzl", "html_pages")
load(":coverage_report.bzl", "check_globs", "exclude", "merge_max", "parse_lcov", "restrict", "summarize", "to_lcov", "verdict")
load(":package.bzl", "label_text")
load(":plan.bzl", "plan_units")
load(":providers.bzl", "CargoPackageInfo", "CoverageInfo", "HostFilesInfo")
load(":sources.bzl", "workspace_scope")
load(":structs.bzl", "extended")
load(":test.bzl", "built_tree", "declare_test", "doctest_job", "test_job", "test_roots", "test_timeout")
load(":verdict.bzl", "declare_verdict", "junit")

_PROFILES = "/profiles"
_SOURCE_MARK = "#gorules-source "

# A recorded path may have "..", and one that is not there was made by a build script.
_PRINT_SOURCES = """
sed -n 's:^SF\\:/w/::p' "$2" | sort -u | while read -r f; do
    [[ -f $f ]] || continue
    printf '\\n%s%s\\n' "$1" "$(realpath -ms --relative-to=. "$f")"
    cat "$f"
done
"""

def _impl(ctx):
    package = ctx.attr.package[CargoPackageInfo]
    if not 0 <= ctx.attr.min_line_coverage or ctx.attr.min_line_coverage > 100:
        fail("%s: min_line_coverage is a percentage, 0 to 100, not %d" % (label_text(ctx.label), ctx.attr.min_line_coverage))
    check_globs(ctx.attr.exclude)
    tools = []
    for t in ctx.attr.tools:
        tools += t[HostFilesInfo].files
    lcov = ctx.actions.declare_file(ctx.label.name + ".lcov")
    html = ctx.actions.declare_directory(ctx.label.name)
    settings = struct(
        label = ctx.label,
        args = ctx.attr.args,
        env = ctx.attr.env,
        files = ctx.files.data + tools,
        size = ctx.attr.size,
        timeout = test_timeout(ctx),
        doctests = ctx.attr.doctests,
        exclude = ctx.attr.exclude,
        floor = ctx.attr.min_line_coverage,
    )
    judged = ctx.actions.plan(
        waits = [package.plan],
        outputs = [lcov, html],
        data = struct(
            plan = package.plan,
            settings = settings,
            reader = ctx.attr._reader[CargoPackageInfo].tree,
            lcov = lcov,
            html = html,
        ),
        implementation = _plan_coverage,
        mnemonic = "CargoPlan",
        progress_message = "Planning %s" % label_text(ctx.label),
    )
    return [
        DefaultInfo(files = depset()),
        CoverageInfo(lcov = lcov),
        OutputGroupInfo(html = depset([html]), lcov = depset([lcov])),
        TestResultsInfo(verdict = judged),
    ]

def _instrumented_value(value):
    """The package's plan once more, its members instrumented."""
    options = value.options
    instrumented = plan_units(
        value.metadata,
        {g: value.graphs[g] for g in ["build", "test"]},
        value.manifests,
        extended(options, instrument = True),
    )
    return struct(
        units = instrumented,
        compiled = value.compiled,
        world = value.world,
        options = options,
        members = value.members,
    )

def base_units(value):
    """Ids of the units whose lines count: the members' libraries and programs.

    From the test graph; a program that no test needs is in the build graph only.
    """
    own = {m: True for m in value.members}
    found, base = {}, []
    for graph in ["test", "build"]:
        for id in value.units.positions[graph].values():
            unit = value.units.units[id]
            key = (unit.pkg, unit.kind, unit.target["name"])
            if unit.pkg in own and unit.mode == "build" and unit.kind in ["lib", "bin"] and found.get(key, graph) == graph:
                found[key] = graph
                if id not in base:
                    base.append(id)
    return base

def _plan_coverage(plan_ctx):
    """Declares instrumented units; returns the plan that runs the tests."""
    data = plan_ctx.data
    settings = data.settings
    plain = plan_ctx.value(data.plan)
    value = _instrumented_value(plain)
    units = value.units.units
    compiled = dict(value.compiled)
    tests = [t for t in test_roots(value, "test") if units[t].kind != "proc-macro"]
    docs = [d for d in test_roots(value, "doctest") if units[d].kind != "proc-macro"] if settings.doctests else []
    base = base_units(value)
    declare_units(plan_ctx.actions, value.world, value.units, compiled, tests + base + docs, never_show)

    built = built_tree(plan_ctx.actions, value, compiled, settings)
    jobs = [test_job(plan_ctx.actions, value, compiled, t, settings, built) for t in tests]
    jobs += [doctest_job(plan_ctx.actions, value, compiled, d, settings) for d in docs]
    waits = {}
    for job in jobs:
        for s, planned in zip(job.scripts, job.waits):
            waits[s] = planned
    return plan_ctx.actions.plan(
        waits = list(waits.values()),
        outputs = [data.lcov, data.html],
        data = extended(
            data,
            jobs = jobs,
            rust = value.world.rust,
            base = [_object(compiled[b].files) for b in base],
            objects = [compiled[t].files["bin"] for t in tests],
        ),
        implementation = _run_tests,
        mnemonic = "CargoPlan",
    )

def _object(files):
    """The file of a unit that holds its coverage mapping."""
    for kind in ["rlib", "bin", "cdylib", "a", "so"]:
        if kind in files:
            return files[kind]
    fail("a member makes no object code to measure")

def _run_tests(plan_ctx):
    """Runs the instrumented tests and reads their profiles."""
    data = plan_ctx.data
    actions = plan_ctx.actions
    settings = data.settings
    results, profiles = [], []
    for i, job in enumerate(data.jobs):
        printed = {s: plan_ctx.value(p) for s, p in zip(job.scripts, job.waits)}
        name = "%s.runs/%s-%s" % (settings.label.name, job.unit.crate, job.unit.id)
        written = actions.declare_directory(name + ".profiles", at = _PROFILES)

        # %m keeps one file a program, however often it is started. Doctests are
        # many small programs that it would take for one.
        pattern = "%p-%m.profraw" if job.kind == "doctest" else "%m.profraw"
        results.append(declare_test(
            actions,
            job,
            printed,
            name,
            settings,
            plan_ctx.test_options,
            more_env = {"LLVM_PROFILE_FILE": _PROFILES + "/" + pattern},
            outputs = [written],
        ))
        profiles.append(actions.place(written, "%s/%d" % (_PROFILES, i)))

    return actions.plan(
        inputs = [r.exit_code for r in results],
        outputs = [data.lcov, data.html],
        data = extended(data, results = results, profiles = profiles),
        implementation = _after_tests,
        mnemonic = "CargoPlan",
    )

def _after_tests(plan_ctx):
    """Goes on to the report if all tests passed."""
    data = plan_ctx.data
    actions = plan_ctx.actions
    settings = data.settings
    name = settings.label.name + ".report/"
    failed = [r.title for r in data.results if plan_ctx.text(r.exit_code).strip() != "0"]
    if failed:
        actions.write(data.lcov, "")
        actions.tree(data.html, {})
        return TestVerdictInfo(
            status = "NOT JUDGED",
            summary = "%s failed" % ", ".join(failed),
            text = "",
            notes = ["coverage is judged when the tests pass"],
            log = None,
            xml = None,
            outputs = [],
        )
    if data.rust.llvm_tools:
        # Profiles and unpacked libraries must be listed before they can be read.
        unpacked = unpack_libraries(actions, data.rust, data.base, name, settings.label)
        return actions.plan(
            inputs = data.profiles + unpacked.folders,
            outputs = [data.lcov, data.html],
            data = extended(data, unpacked = unpacked),
            implementation = _read_with_llvm,
            mnemonic = "CargoPlan",
        )
    counts = actions.declare_file(name + "counts.lcov")
    baseline = actions.declare_file(name + "baseline.lcov")
    reader = actions.place(data.reader, "/reader")
    actions.run(
        executable = "/reader/bin/gorules-coverage",
        arguments = ["--out=" + counts.path, "--baseline_out=" + baseline.path] +
                    ["--profiles=" + p.path for p in data.profiles] +
                    ["--base=" + b.path for b in data.base] +
                    ["--object=" + o.path for o in data.objects],
        inputs = [reader] + data.rust.runtime + data.profiles + data.base + data.objects,
        outputs = [counts, baseline],
        mnemonic = "CoverageReport",
        progress_message = "Reading the coverage of %s" % label_text(settings.label),
    )
    return _report_later(actions, data, [struct(stdout = counts, stderr = None, exit_code = None)], struct(stdout = baseline, stderr = None, exit_code = None))

def _read_with_llvm(plan_ctx):
    """Reads the profiles with the toolchain's own LLVM tools."""
    data = plan_ctx.data
    actions = plan_ctx.actions
    name = data.settings.label.name + ".report/"
    read = llvm_exports(plan_ctx, data.rust, data.unpacked, data.objects, data.profiles, name, data.settings.label)
    return _report_later(actions, data, read.counts, read.baseline)

def _report_later(actions, data, counts, baseline):
    """The plan that reports when everything is read."""
    texts = actions.declare_file(data.settings.label.name + ".report/sources")
    actions.run_shell(
        command = _PRINT_SOURCES,
        arguments = [_SOURCE_MARK, baseline.stdout.path],
        inputs = [baseline.stdout],
        scope = workspace_scope(actions),
        outputs = [],
        stdout = texts,
        mnemonic = "CoverageReport",
        progress_message = "Collecting the sources of %s" % label_text(data.settings.label),
    )
    files = [texts]
    for read in counts + [baseline]:
        files += [f for f in [read.stdout, read.stderr, read.exit_code] if f]
    return actions.plan(
        inputs = files,
        outputs = [data.lcov, data.html],
        data = extended(data, counts = counts, baseline = baseline, texts = texts),
        implementation = _report,
        mnemonic = "CargoPlan",
    )

def _read_sources(text):
    sources = {}
    for part in ("\n" + text).split("\n" + _SOURCE_MARK)[1:]:
        path, _, body = part.partition("\n")
        sources[path] = body
    return sources

def _report(plan_ctx):
    """Writes lcov and pages, and judges."""
    data = plan_ctx.data
    actions = plan_ctx.actions
    settings = data.settings
    label = label_text(settings.label)
    name = settings.label.name + ".report/"
    counts = merge_max([parse_lcov(exported(plan_ctx, c)) for c in data.counts])
    measured = restrict(counts, parse_lcov(exported(plan_ctx, data.baseline)))
    measured = exclude(measured, settings.exclude, settings.label.package)

    actions.write(data.lcov, to_lcov(measured))
    pages = {}
    for path, page in html_pages(measured, _read_sources(plan_ctx.text(data.texts)), label).items():
        pages[path] = actions.declare_file(name + "html/" + path)
        actions.write(pages[path], page)
    actions.tree(data.html, pages)

    judged = verdict(summarize(measured), settings.floor)
    text = "\n".join([judged.summary] + judged.notes) + "\n"
    run = declare_verdict(actions, settings.label.name + ".verdict", text, not judged.passed, "Judging the coverage of %s" % label)
    xml = actions.declare_file(settings.label.name + ".verdict.xml")
    actions.write(xml, junit([struct(
        name = label,
        cases = [struct(name = "line coverage", status = "ok" if judged.passed else "failed", text = text)],
    )]))
    return TestVerdictInfo(
        status = "PASSED" if judged.passed else "FAILED",
        summary = judged.summary,
        text = "",
        notes = judged.notes,
        log = run.log,
        xml = xml,
        outputs = [data.html, data.lcov],
    )

cargo_coverage = rule(
    implementation = _impl,
    test = True,
    doc = """Measures which lines the tests run, and fails below a floor.

The workspace's own packages are compiled once more with instrumentation;
dependencies are those of the build. Lines of tests do not count. The report is
lcov and HTML. When a test fails, nothing is judged and the failure is
cargo_test's to tell.

    cargo_coverage(
        name = "coverage",
        package = ":hello",
        min_line_coverage = 80,
        exclude = ["crates/generated/**"],
    )
""",
    attrs = {
        "package": attr.label(mandatory = True, providers = [CargoPackageInfo], doc = "The cargo_package to measure."),
        "min_line_coverage": attr.int(default = 0, doc = "Percent of lines that must run. 0 only reports."),
        "exclude": attr.string_list(doc = "Globs of files, relative to the BUILD file's folder, that do not count."),
        "data": attr.label_list(allow_files = True, doc = "As in cargo_test."),
        "env": attr.string_dict(doc = "As in cargo_test."),
        "tools": attr.label_list(providers = [HostFilesInfo], doc = "As in cargo_test."),
        "doctests": attr.bool(default = True, doc = "Whether examples in documentation count."),
        "_reader": attr.label(
            default = "@gorules_coverage_tool//:gorules-coverage",
            providers = [CargoPackageInfo],
        ),
    },
)
