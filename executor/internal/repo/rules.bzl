"""The repository rules that need no load()."""

def _urls(ctx):
    urls = list(ctx.attr.urls)
    if ctx.attr.url:
        urls = [ctx.attr.url] + urls
    if not urls:
        fail("give url or urls")
    return urls

def _build_file(ctx, required = False):
    if ctx.attr.build_file and ctx.attr.build_file_content:
        fail("give build_file or build_file_content, not both")
    if ctx.attr.build_file:
        ctx.file("BUILD.bazel", ctx.read(ctx.attr.build_file), executable = False)
    elif ctx.attr.build_file_content:
        ctx.file("BUILD.bazel", ctx.attr.build_file_content, executable = False)
    elif required:
        fail("give build_file or build_file_content")

def _strip(ctx):
    for arg in ctx.attr.patch_args:
        if arg.startswith("-p"):
            return int(arg[2:])
    return ctx.attr.patch_strip

def _http_archive(ctx):
    ctx.download_and_extract(
        _urls(ctx),
        output = ctx.attr.add_prefix,
        sha256 = ctx.attr.sha256,
        integrity = ctx.attr.integrity,
        type = ctx.attr.type,
        strip_prefix = ctx.attr.strip_prefix,
    )
    for p in ctx.attr.patches:
        ctx.patch(p, strip = _strip(ctx))
    for c in ctx.attr.patch_cmds:
        r = ctx.execute(["/bin/bash", "-c", c])
        if r.return_code:
            fail("patch command failed: %s\n%s%s" % (c, r.stdout, r.stderr))
    _build_file(ctx)

_archive_attrs = {
    "url": attr.string(doc = "Where the archive is."),
    "urls": attr.string_list(doc = "Mirrors, tried in order."),
    "sha256": attr.string(doc = "SHA-256 of the archive."),
    "integrity": attr.string(doc = "Checksum as in Subresource Integrity: sha256-, sha384- or sha512-BASE64."),
    "strip_prefix": attr.string(doc = "Folder of the archive that is taken off all names."),
    "add_prefix": attr.string(doc = "Folder that the archive is unpacked into."),
    "type": attr.string(doc = "Archive format, where the file name does not tell."),
    "build_file": attr.label(allow_single_file = True),
    "build_file_content": attr.string(),
    "patches": attr.label_list(allow_files = True),
    "patch_args": attr.string_list(default = ["-p0"]),
    "patch_strip": attr.int(),
    "patch_cmds": attr.string_list(),
    "patch_tool": attr.string(),
    "canonical_id": attr.string(),
    "netrc": attr.string(),
    "auth_patterns": attr.string_dict(),
    "workspace_file": attr.label(),
    "workspace_file_content": attr.string(),
}

http_archive = repository_rule(
    implementation = _http_archive,
    attrs = _archive_attrs,
    doc = "Downloads an archive and unpacks it.",
)

def _http_file(ctx):
    name = ctx.attr.downloaded_file_path
    ctx.download(
        _urls(ctx),
        output = "file/" + name,
        sha256 = ctx.attr.sha256,
        integrity = ctx.attr.integrity,
        executable = ctx.attr.executable,
    )
    ctx.file("file/BUILD.bazel", """filegroup(
    name = "file",
    srcs = [%r],
    visibility = ["//visibility:public"],
)
""" % name, executable = False)

http_file = repository_rule(
    implementation = _http_file,
    attrs = {
        "url": attr.string(),
        "urls": attr.string_list(),
        "sha256": attr.string(),
        "integrity": attr.string(),
        "executable": attr.bool(),
        "downloaded_file_path": attr.string(default = "downloaded"),
        "canonical_id": attr.string(),
        "netrc": attr.string(),
        "auth_patterns": attr.string_dict(),
    },
    doc = "Downloads one file, which is @NAME//file.",
)

def _new_local_repository(ctx):
    root = ctx.path(ctx.attr.path if ctx.attr.path.startswith("/") else str(ctx.workspace_root) + "/" + ctx.attr.path)
    if not root.exists:
        fail("there is no folder %s" % root)
    for entry in root.readdir():
        if entry.basename not in ["BUILD", "BUILD.bazel"]:
            ctx.symlink(entry, entry.basename)
    _build_file(ctx, required = True)

new_local_repository = repository_rule(
    implementation = _new_local_repository,
    local = True,
    attrs = {
        "path": attr.string(mandatory = True),
        "build_file": attr.label(allow_single_file = True),
        "build_file_content": attr.string(),
        "workspace_file": attr.label(),
        "workspace_file_content": attr.string(),
    },
    doc = "A folder of this machine, with a BUILD file that stands elsewhere.",
)

def _local_repository(_ctx):
    fail("local_repository is not fetched")

local_repository = repository_rule(
    implementation = _local_repository,
    local = True,
    attrs = {"path": attr.string(mandatory = True, doc = "The folder, relative to the workspace that declares it.")},
    doc = "A folder of this machine that has BUILD files, such as another workspace.",
)
