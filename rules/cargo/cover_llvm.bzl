"""Reading profiles with a toolchain's own llvm-profdata, llvm-cov and llvm-ar.

The same lines and counts as with gorules-coverage. Each export is a call of its
own, and a line's count is the largest of them: where objects disagree about a
function that only one of them compiled, llvm-cov may drop the real counts.
"""

load(":package.bzl", "label_text")

_NOTHING = "no coverage data found"

def _tool(rust, name):
    return "/rust/lib/rustlib/%s/bin/%s" % (rust.host, name)

def _tool_files(rust):
    return rust.llvm_tools + rust.rustc + rust.runtime

def unpack_libraries(actions, rust, base, name, label):
    """Unpacks libraries, which llvm-cov does not read itself.

    Args:
      actions: plan_ctx.actions.
      rust: RustToolchainInfo.
      base: Files: libraries and programs.
      name: prefix of output names.
      label: of the target, for people.

    Returns:
      struct(programs = Files that need no unpacking, folders = directories of objects).
    """
    programs, folders = [], []
    for i, file in enumerate(base):
        if not file.basename.endswith(".rlib") and not file.basename.endswith(".a"):
            programs.append(file)
            continue
        at = "/objects/%d" % i
        folder = actions.declare_directory("%sobjects/%d" % (name, i), at = at)
        actions.run(
            executable = _tool(rust, "llvm-ar"),
            arguments = ["x", "--output=" + at, file.path],
            inputs = _tool_files(rust) + [file],
            outputs = [folder],
            mnemonic = "CoverageReport",
            progress_message = "Unpacking %s for %s" % (file.basename, label_text(label)),
        )
        folders.append(folder)
    return struct(programs = programs, folders = folders)

def llvm_exports(plan_ctx, rust, unpacked, harnesses, profiles, name, label):
    """Declares the merge and the exports.

    Args:
      plan_ctx: of a plan whose inputs are the profile and object directories.
      rust: RustToolchainInfo.
      unpacked: from unpack_libraries.
      harnesses: Files of the test programs.
      profiles: directories of raw profiles.
      name: prefix of output names.
      label: of the target, for people.

    Returns:
      struct(counts, baseline): exports, of which exported() reads the text.
    """
    actions = plan_ctx.actions
    base = [p.path for p in unpacked.programs]
    for folder in unpacked.folders:
        base += ["%s/%s" % (folder.path, f) for f in plan_ctx.files(folder) if f.endswith(".o")]
    inputs = _tool_files(rust) + unpacked.programs + unpacked.folders + harnesses
    profile = "--empty-profile"
    if any([plan_ctx.files(p) for p in profiles]):
        merged = actions.declare_file(name + "merged.profdata")
        actions.run(
            executable = _tool(rust, "llvm-profdata"),
            arguments = ["merge", "-sparse", "--failure-mode=all", "-o", merged.path] + [p.path for p in profiles if plan_ctx.files(p)],
            inputs = _tool_files(rust) + profiles,
            outputs = [merged],
            mnemonic = "CoverageReport",
            progress_message = "Merging the profiles of %s" % label_text(label),
        )
        inputs.append(merged)
        profile = "-instr-profile=" + merged.path
    tests = [h.path for h in harnesses]
    sets = [base + tests, base] + [[t] for t in tests]
    return struct(
        counts = [_export(actions, rust, profile, objects, inputs, "%sexport-%d" % (name, i), label) for i, objects in enumerate(sets)],
        baseline = _export(actions, rust, "--empty-profile", base, inputs, name + "export-base", label),
    )

def _export(actions, rust, profile, objects, inputs, name, label):
    result = struct(
        stdout = actions.declare_file(name + ".lcov"),
        stderr = actions.declare_file(name + ".stderr"),
        exit_code = actions.declare_file(name + ".exit"),
    )
    words = ["export", "-format=lcov", "--skip-functions", "--skip-branches", profile]
    for o in objects:
        words += ["-object", o]
    actions.run(
        executable = _tool(rust, "llvm-cov"),
        arguments = words,
        inputs = inputs,
        outputs = [],
        stdout = result.stdout,
        stderr = result.stderr,
        exit_code = result.exit_code,
        mnemonic = "CoverageReport",
        progress_message = "Reading the coverage of %s" % label_text(label),
    )
    return result

def exported(plan_ctx, read):
    """The lcov text of an export; empty where its objects hold nothing to cover."""
    if read.exit_code and plan_ctx.text(read.exit_code).strip() != "0":
        said = plan_ctx.text(read.stderr)
        if _NOTHING not in said:
            fail("llvm-cov could not read the coverage:\n" + said)
        return ""
    return plan_ctx.text(read.stdout)
