"""genrule: files made by a shell command."""

def _genrule_impl(ctx):
    outs = ctx.outputs.outs
    srcs = ctx.files.srcs
    cmd = ctx.attr.cmd_bash or ctx.attr.cmd
    if not cmd:
        fail("missing value for cmd", attr = "cmd")
    cmd = ctx.expand_location(cmd, ctx.attr.srcs + ctx.attr.tools)
    rule_dir = ctx.bin_dir.path
    for part in [ctx.label.workspace_root, ctx.label.package]:
        if part:
            rule_dir += "/" + part
    variables = {
        "SRCS": " ".join([f.path for f in srcs]),
        "OUTS": " ".join([f.path for f in outs]),
        "RULEDIR": rule_dir,
        "@D": outs[0].dirname if len(outs) == 1 else rule_dir,
    }
    if len(outs) == 1:
        variables["@"] = outs[0].path
    if len(srcs) == 1:
        variables["<"] = srcs[0].path
    cmd = ctx.expand_make_variables("cmd", cmd, variables)
    files = depset(transitive = [t.files for t in ctx.attr.srcs + ctx.attr.tools])
    ctx.actions.run_shell(
        outputs = outs,
        inputs = files,
        tools = [t.files_to_run for t in ctx.attr.tools],
        command = "set -e -o pipefail; " + cmd,
        mnemonic = "Genrule",
        progress_message = ctx.attr.message or "Executing genrule %{label}",
    )
    runfiles = ctx.runfiles(files = outs)
    if ctx.attr.executable:
        if len(outs) != 1:
            fail("an executable genrule must have exactly one output", attr = "executable")
        return [DefaultInfo(files = depset(outs), runfiles = runfiles, executable = outs[0])]
    return [DefaultInfo(files = depset(outs), runfiles = runfiles)]

genrule = rule(
    implementation = _genrule_impl,
    doc = "Makes files with a bash command.",
    attrs = {
        "srcs": attr.label_list(allow_files = True, doc = "Inputs of the command."),
        "outs": attr.output_list(mandatory = True, allow_empty = False, doc = "Files that the command makes."),
        "cmd": attr.string(doc = "The command; $@ is the output, $(SRCS) the inputs, $(location x) a file of x, $$ a dollar sign."),
        "cmd_bash": attr.string(doc = "Taken instead of cmd where it is set."),
        "cmd_bat": attr.string(),
        "cmd_ps": attr.string(),
        "tools": attr.label_list(allow_files = True, cfg = "exec", doc = "Programs that the command calls."),
        "message": attr.string(doc = "What is shown while the command runs."),
        "executable": attr.bool(doc = "Whether the output can be run."),
        "output_to_bindir": attr.bool(),
        "heuristic_label_expansion": attr.bool(),
        "local": attr.bool(doc = "Whether to run outside the sandbox."),
        "stamp": attr.int(),
    },
)
