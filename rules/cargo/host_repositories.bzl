"""host_tool and host_library: programs and libraries of the machine that a workspace needs."""

load(":repository_util.bzl", "normalize", "own_name", "quote_list", "run", "with_closure")

_BUILD = """load("@gorules//cargo:toolchain.bzl", "host_files")

host_files(
    name = {name},
    paths = {paths},
    what = {what},
    visibility = ["//visibility:public"],
)
"""

def _write_build(rctx, paths, what):
    rctx.file("BUILD", _BUILD.format(
        name = json.encode(own_name(rctx)),
        paths = quote_list(sorted(paths)),
        what = json.encode(what),
    ))

def _checked(rctx, paths, attribute):
    for p in paths:
        if not p.startswith("/"):
            fail("%s: %s: %r is not an absolute path" % (own_name(rctx), attribute, p))
        if not rctx.path(p).exists:
            fail("%s: %s: %s does not exist on this machine" % (own_name(rctx), attribute, p))
    return [normalize(p) for p in paths]

def _program(rctx, path):
    """A program with its libraries, or a script with its interpreter."""
    paths = [path]
    if rctx.execute(["head", "-c", "2", path]).stdout == "#!":
        words = rctx.execute(["head", "-n", "1", path]).stdout[2:].split()
        interpreter = words[0] if words else ""
        paths.append(interpreter)
        if interpreter.endswith("/env") and len(words) > 1:
            found = rctx.which(words[-1])
            if found:
                paths.append(str(found))
    return with_closure(rctx, paths)

def _tool_impl(rctx):
    program = rctx.attr.program or own_name(rctx)
    found = rctx.which(program)
    if not found:
        fail("host_tool(name = \"%s\"): there is no program %r on PATH. Install it, or name another: program = \"...\"" % (own_name(rctx), program))
    rctx.watch(found)
    _write_build(rctx, _program(rctx, str(found)) + _checked(rctx, rctx.attr.data, "data"), program)

host_tool = repository_rule(
    implementation = _tool_impl,
    environ = ["PATH"],
    doc = """A program of the machine with the libraries it needs, for `tools` of cargo_deps and cargo_test.

    host_tool(name = "protoc")
    host_tool(name = "cmake", data = ["/usr/share/cmake-3.25"])
""",
    attrs = {
        "program": attr.string(doc = "Its name on PATH; by default the name of the repository."),
        "data": attr.string_list(doc = "Files and folders of the machine that it reads."),
    },
)

def _modules(rctx, pkg_config, module):
    """A pkg-config module and all it requires."""
    found = {}
    layer = [module]
    for _ in range(100):
        following = []
        for m in layer:
            if m in found:
                continue
            found[m] = True
            for flag in ["--print-requires", "--print-requires-private"]:
                said = rctx.execute([pkg_config, flag, m]).stdout
                following += [line.split()[0] for line in said.split("\n") if line.strip()]
        layer = following
        if not layer:
            break
    return list(found)

def _library_files(rctx, words, dirs):
    """The files that -l words stand for."""
    paths = []
    for w in words:
        if not w.startswith("-l"):
            continue
        for d in dirs:
            for suffix in [".so", ".a"]:
                file = "%s/lib%s%s" % (d, w[2:], suffix)
                if rctx.path(file).exists:
                    paths.append(normalize(file))
    return paths

_SYSTEM_INCLUDE = ["/usr/include", "/usr/local/include"]

def _header_paths(rctx, words, names):
    """Header folders of a library; in the system's shared folders only what bears its name."""
    paths = []
    for w in words:
        if w.startswith("-I") and normalize(w[2:]) not in _SYSTEM_INCLUDE:
            paths.append(normalize(w[2:]))
    shared = list(_SYSTEM_INCLUDE)
    for entry in rctx.path("/usr/include").readdir():
        if entry.basename.endswith("-linux-gnu"):
            shared.append(str(entry))
    for d in shared:
        for n in names:
            for file in [d + "/" + n, d + "/" + n + ".h"]:
                if rctx.path(file).exists:
                    paths.append(file)
    return paths + _included(rctx, [p for p in paths if p.endswith(".h")])

def _included(rctx, headers):
    """Headers that headers include (zlib.h includes zconf.h), as the C compiler finds them."""
    cc = rctx.which("cc")
    if not cc or not headers:
        return []
    found = []
    for header in headers:
        said = rctx.execute([str(cc), "-M", "-x", "c", header]).stdout
        for word in said.partition(":")[2].replace("\\\n", " ").split():
            word = normalize(word)
            if word.startswith("/usr/include/") or word.startswith("/usr/local/include/"):
                found.append(word)
    return found

def _library_impl(rctx):
    module = rctx.attr.module or own_name(rctx)
    what = "host_library(name = \"%s\")" % own_name(rctx)
    pkg_config = rctx.which("pkg-config") or rctx.which("pkgconf")
    if not pkg_config:
        fail("%s: there is no pkg-config on PATH to ask for %s. Install it (Debian: apt install pkg-config)" % (what, module))
    pkg_config = str(pkg_config)
    if rctx.execute([pkg_config, "--exists", module]).return_code != 0:
        fail(("%s: pkg-config knows no module %r. Install the library's development files (Debian: often lib%s-dev), " +
              "or name the module: module = \"...\"") % (what, module, module.removeprefix("lib")))
    paths, names = _program(rctx, pkg_config), [own_name(rctx)]
    for m in _modules(rctx, pkg_config, module):
        pc = run(rctx, [pkg_config, "--variable=pcfiledir", m], what).strip() + "/" + m + ".pc"
        if rctx.path(pc).exists:
            paths.append(normalize(pc))
            rctx.watch(pc)
        names += [m, m.removeprefix("lib")]
        libs = run(rctx, [pkg_config, "--libs", m], what).split()
        names += [w[2:] for w in libs if w.startswith("-l")]
        dirs = [w[2:] for w in libs if w.startswith("-L")]
        dirs.append(run(rctx, [pkg_config, "--variable=libdir", m], what).strip())
        dirs += ["/usr/lib", "/usr/local/lib"]
        paths += with_closure(rctx, _library_files(rctx, libs, [d for d in dirs if d]))
        paths += _header_paths(rctx, run(rctx, [pkg_config, "--cflags", m], what).split(), names)
    paths += _checked(rctx, rctx.attr.headers, "headers")
    paths += _checked(rctx, rctx.attr.data, "data")
    _write_build(rctx, {p: True for p in paths}.keys(), module)

host_library = repository_rule(
    implementation = _library_impl,
    environ = ["PATH", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"],
    doc = """A library of the machine that pkg-config knows, with its headers and pkg-config itself, for `libs` of cargo_deps.

    host_library(name = "openssl")
    host_library(name = "z", module = "zlib")
""",
    attrs = {
        "module": attr.string(doc = "The pkg-config module; by default the name of the repository."),
        "headers": attr.string_list(doc = "Headers beyond those that pkg-config or the library's name lead to."),
        "data": attr.string_list(doc = "Files and folders of the machine that its users read."),
    },
)
