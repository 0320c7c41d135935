"""cc_toolchain: the C compiler and linker of the machine, as declared files."""

load(":repository_util.bzl", "normalize", "own_name", "quote_list", "run", "with_closure")

_BUILD = """load("@gorules//cargo:toolchain.bzl", "cc_toolchain_files")

cc_toolchain_files(
    name = {name},
    cc = {cc},
    paths = {paths},
    visibility = ["//visibility:public"],
)
"""

# Programs that the driver starts, by -print-prog-name.
_PROGRAMS = ["cc1", "cc1plus", "collect2", "lto-wrapper", "as", "ld"]

# Programs that build scripts start themselves.
_BINUTILS = ["ar", "ranlib", "nm", "strip", "objcopy", "objdump", "ld.bfd", "gcc-ar", "gcc-ranlib", "gcc-nm"]

# Names of the driver under which build scripts look for it.
_DRIVERS = ["cc", "gcc", "c++", "g++"]

# Start files and libraries that a link may read, by -print-file-name.
_LIBRARIES = [
    "crt1.o",
    "crti.o",
    "crtn.o",
    "Scrt1.o",
    "rcrt1.o",
    "crtbegin.o",
    "crtbeginS.o",
    "crtbeginT.o",
    "crtend.o",
    "crtendS.o",
    "crtfastmath.o",
    "libgcc.a",
    "libgcc_eh.a",
    "libgcc_s.so",
    "libgcc_s.so.1",
    "libc.so",
    "libc.so.6",
    "libc.a",
    "libc_nonshared.a",
    "libm.so",
    "libm.so.6",
    "libm.a",
    "libmvec.so",
    "libmvec.so.1",
    "libmvec.a",
    "libdl.a",
    "libdl.so",
    "libdl.so.2",
    "libpthread.a",
    "libpthread.so",
    "libpthread.so.0",
    "librt.a",
    "librt.so",
    "librt.so.1",
    "libutil.a",
    "libutil.so",
    "libutil.so.1",
    "libresolv.a",
    "libresolv.so",
    "libresolv.so.2",
    "libatomic.a",
    "libatomic.so",
    "liblto_plugin.so",
    "libstdc++.a",
    "libstdc++.so",
    "libstdc++.so.6",
    "libsupc++.a",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
]

# The C library's and the kernel's headers. Not all of /usr/include: a header
# package that nobody names would change every key.
_HEADERS = (
    "a.out aio aliases alloca ar argp argz assert byteswap complex cpio crypt ctype dirent dlfcn elf endian envz err errno error " +
    "execinfo fcntl features features-time64 fenv fmtmsg fnmatch fpu_control fstab fts ftw gconv getopt glob gnu-versions grp gshadow " +
    "iconv ieee754 ifaddrs inttypes langinfo lastlog libgen libintl limits link locale malloc math mcheck memory mntent monetary mqueue " +
    "netdb nl_types nss obstack paths poll printf proc_service pthread pty pwd re_comp regex regexp resolv sched search semaphore " +
    "setjmp sgtty shadow signal spawn stab stdc-predef stdint stdio stdio_ext stdlib string strings syscall sysexits syslog tar termio " +
    "termios tgmath thread_db threads time ttyent uchar ucontext ulimit unistd utime utmp utmpx values wait wchar wctype wordexp"
).split(" ")
_HEADER_FOLDERS = (
    "arpa asm asm-generic bits finclude gnu linux misc mtd net netash netatalk netax25 neteconet netinet netipx netiucv netpacket " +
    "netrom netrose nfs protocols rdma rpc scsi sound sys video xen"
).split(" ")

def _include_dirs(rctx, driver, language):
    """The folders that the driver searches for headers, from `-E -v`."""
    result = rctx.execute([driver, "-E", "-v", "-x", language, "/dev/null"])
    dirs, inside = [], False
    for line in result.stderr.split("\n"):
        if line.startswith("#include <...>"):
            inside = True
        elif line.startswith("End of search list"):
            inside = False
        elif inside:
            dirs.append(normalize(line.strip().removesuffix(" (framework directory)")))
    return dirs

def _headers(rctx, dirs, shared):
    """Header files and folders of the compiler and of the C library.

    Args:
      dirs: search folders.
      shared: those among them that hold everybody's headers.
    """
    paths = []
    for d in dirs:
        if not rctx.path(d).exists:
            continue
        if d not in shared:
            paths.append(d)
            continue
        there = {e.basename: True for e in rctx.path(d).readdir()}
        for name in [h + ".h" for h in _HEADERS] + _HEADER_FOLDERS:
            if name in there:
                paths.append(d + "/" + name)
    return paths

def _is_shared(dir):
    """Whether a header folder belongs to the whole system: /usr/include, /usr/include/x86_64-linux-gnu, /usr/local/include."""
    return dir in ["/usr/include", "/usr/local/include"] or (dir.startswith("/usr/include/") and dir.count("/") == 3 and dir.endswith("-linux-gnu"))

def _script_paths(rctx, file):
    """Files that a linker script such as libc.so names."""
    head = rctx.execute(["head", "-c", "20", file]).stdout
    if not head.startswith("/* GNU ld"):
        return []
    words = rctx.read(file).replace("(", " ").replace(")", " ").split()
    return [w for w in words if w.startswith("/") and not w.startswith("/*") and rctx.path(w).exists]

def _impl(rctx):
    driver = rctx.which(rctx.attr.cc)
    if not driver:
        fail(("there is no C compiler %r on PATH, and every link needs one: install gcc or clang (Debian: apt install gcc libc6-dev), " +
              "or name another with cc_toolchain(name = \"%s\", cc = \"clang\")") % (rctx.attr.cc, own_name(rctx)))
    driver = str(driver)
    rctx.watch(driver)
    programs, files = [driver], []
    for name in _DRIVERS + _BINUTILS:
        found = rctx.which(name)
        if found:
            programs.append(str(found))
    for name in _PROGRAMS:
        found = rctx.execute([driver, "-print-prog-name=" + name]).stdout.strip()
        if found and not found.startswith("/"):
            found = str(rctx.which(found) or "")
        if found and rctx.path(found).exists:
            programs.append(normalize(found))
    for name in _LIBRARIES:
        found = run(rctx, [driver, "-print-file-name=" + name], "cc_toolchain").strip()
        if found.startswith("/") and rctx.path(found).exists:
            found = normalize(found)
            files.append(found)
            if name.endswith(".so"):
                files += _script_paths(rctx, found)
    if "crti.o" not in [f.rpartition("/")[2] for f in files]:
        fail("%s cannot link: it has no crti.o. Install the C library's development files (Debian: apt install libc6-dev)" % driver)
    resource = rctx.execute([driver, "-print-resource-dir"])
    if resource.return_code == 0 and resource.stdout.strip().startswith("/"):
        files.append(normalize(resource.stdout.strip()))
    dirs = _include_dirs(rctx, driver, "c")
    if rctx.which("g++") or rctx.which("c++"):
        dirs += [d for d in _include_dirs(rctx, driver, "c++") if d not in dirs]
    files += _headers(rctx, dirs, [d for d in dirs if _is_shared(d)])
    paths = with_closure(rctx, programs)
    for f in files:
        if f not in paths:
            paths.append(f)
    rctx.file("BUILD", _BUILD.format(
        name = json.encode(own_name(rctx)),
        cc = json.encode(driver),
        paths = quote_list(sorted(paths)),
    ))

cc_toolchain = repository_rule(
    implementation = _impl,
    root_wins = True,
    environ = ["PATH"],
    doc = """The C compiler, assembler, linker, start files and C library of the machine.

Every link uses them, and so do build scripts that compile C. Headers are the
compiler's own and those of the C library and kernel; a library's are declared
with host_library.

    cc_toolchain(name = "cc")
""",
    attrs = {
        "cc": attr.string(default = "cc", doc = "Name of the driver on PATH: \"cc\", \"gcc-14\", \"clang\"."),
    },
)
