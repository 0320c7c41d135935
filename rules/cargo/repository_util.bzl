"""Small things that the repository rules share."""

def own_name(rctx):
    """The name a repository was declared with: what its main target is called too."""
    return getattr(rctx, "original_name", None) or rctx.name

def quote_list(values):
    """A list of strings as BUILD text."""
    return "[\n%s    ]" % "".join(["        %s,\n" % json.encode(v) for v in values])

def quote_lists(lists):
    """A dict of lists of strings as BUILD text."""
    return "{\n%s    }" % "".join(["        %s: %s,\n" % (json.encode(k), json.encode(v)) for k, v in lists.items()])

def run(rctx, words, what, **kwargs):
    """Runs a program of the machine that must succeed; returns its standard output."""
    result = rctx.execute(words, **kwargs)
    if result.return_code != 0:
        fail("%s: `%s` failed:\n%s" % (what, " ".join([str(w) for w in words]), (result.stderr or result.stdout).strip()))
    return result.stdout

def normalize(path):
    """An absolute path without "." and ".."; symbolic links are not looked at."""
    out = []
    for part in path.split("/"):
        if part == "..":
            if out:
                out.pop()
        elif part and part != ".":
            out.append(part)
    return "/" + "/".join(out)

def link_copy(rctx, source, target):
    """Copies files or folders by hard link where the file system allows it, otherwise by content."""
    parent = target.rpartition("/")[0]
    run(rctx, ["mkdir", "-p", str(rctx.path(parent or "."))], "mkdir")
    result = rctx.execute(["cp", "-al", str(source), str(rctx.path(target))])
    if result.return_code != 0:
        # Another file system, or another user's files. A folder that was begun
        # must go: cp would make its copy inside of it.
        rctx.delete(target)
        run(rctx, ["cp", "-a", str(source), str(rctx.path(target))], "cp")

def with_closure(rctx, paths):
    """paths and the shared libraries that the programs among them need, sorted."""
    found = {p: True for p in paths}
    for p in rctx.elf_closure(paths):
        found[str(p)] = True
    return sorted(found)
