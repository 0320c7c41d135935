"""filegroup: a name for a set of files."""

def _filegroup_impl(ctx):
    group = ctx.attr.output_group
    files = []
    for src in ctx.attr.srcs:
        if not group:
            files.append(src.files)
        elif OutputGroupInfo in src and group in src[OutputGroupInfo]:
            files.append(src[OutputGroupInfo][group])
    all = depset(transitive = files)
    runfiles = ctx.runfiles(transitive_files = depset(ctx.files.data)).merge_all(
        [t.default_runfiles for t in ctx.attr.srcs + ctx.attr.data],
    )
    data_runfiles = runfiles.merge(ctx.runfiles(transitive_files = all))
    return [DefaultInfo(files = all, default_runfiles = runfiles, data_runfiles = data_runfiles)]

filegroup = rule(
    implementation = _filegroup_impl,
    doc = "Gives a set of files a name.",
    attrs = {
        "srcs": attr.label_list(allow_files = True, doc = "Files, and targets whose files are meant."),
        "data": attr.label_list(allow_files = True, doc = "Files that whoever uses this target needs when it runs."),
        "output_group": attr.string(doc = "The output group of srcs to take instead of their default outputs."),
        "path": attr.string(),
        "licenses": attr.string_list(),
    },
)
