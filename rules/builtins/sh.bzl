"""sh_library, sh_binary and sh_test."""

_ATTRS = {
    "srcs": attr.label_list(allow_files = True, mandatory = True, doc = "The script: exactly one file."),
    "data": attr.label_list(allow_files = True, doc = "Files that the script reads."),
    "deps": attr.label_list(doc = "sh_library targets that the script uses."),
    "env": attr.string_dict(doc = "Environment of the script; $(location x) is replaced."),
    "env_inherit": attr.string_list(),
    "use_bash_launcher": attr.bool(),
}

def _runfiles(ctx, files):
    parts = [ctx.runfiles(files = files + ctx.files.data)]
    for t in ctx.attr.srcs + ctx.attr.deps + ctx.attr.data:
        parts.append(t.default_runfiles)
    return parts[0].merge_all(parts[1:])

def _script_impl(ctx):
    if len(ctx.files.srcs) != 1:
        fail("you must specify exactly one file in 'srcs'", attr = "srcs")
    src = ctx.files.srcs[0]
    out = ctx.outputs.executable
    ctx.actions.symlink(output = out, target_file = src)
    env = {}
    for name, value in ctx.attr.env.items():
        env[name] = ctx.expand_make_variables("env", ctx.expand_location(value, ctx.attr.data, short_paths = True), {})
    return [
        DefaultInfo(files = depset([out, src]), executable = out, runfiles = _runfiles(ctx, [src, out])),
        RunEnvironmentInfo(environment = env, inherited_environment = ctx.attr.env_inherit),
    ]

def _library_impl(ctx):
    return [DefaultInfo(files = depset(ctx.files.srcs), runfiles = _runfiles(ctx, ctx.files.srcs))]

sh_library = rule(
    implementation = _library_impl,
    doc = "Shell scripts that others use.",
    attrs = {
        "srcs": attr.label_list(allow_files = True, doc = "The scripts."),
        "data": attr.label_list(allow_files = True, doc = "Files that the scripts read."),
        "deps": attr.label_list(doc = "sh_library targets that the scripts use."),
    },
)

sh_binary = rule(
    implementation = _script_impl,
    doc = "A shell script that can be run.",
    executable = True,
    attrs = _ATTRS,
)

sh_test = rule(
    implementation = _script_impl,
    doc = "A shell script that passes by exiting 0.",
    test = True,
    attrs = _ATTRS,
)
