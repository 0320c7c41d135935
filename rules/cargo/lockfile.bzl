"""Reading Cargo.lock. Pure functions."""

def read_lock(text, where):
    """The packages of a Cargo.lock that are fetched.

    Args:
      text: of the file.
      where: its name, for errors.

    Returns:
      list of struct(name, version, source, checksum, git = whether it is from git, folder = "name-version"), sorted.
    """
    lock = gorules.toml_decode(text)

    # Format 1, which cargo still writes for a rust-version below 1.41, has the
    # checksums at its end.
    sums = lock.get("metadata", {})
    packages, seen = [], {}
    for p in lock.get("package", []):
        source = p.get("source")
        if not source:
            continue
        git = source.startswith("git+")
        checksum = p.get("checksum") or sums.get("checksum %s %s (%s)" % (p["name"], p["version"], source), "")
        if not git and not checksum:
            fail("%s names %s v%s without a checksum" % (where, p["name"], p["version"]))
        folder = "%s-%s" % (p["name"], p["version"])
        if folder in seen:
            fail("%s names %s v%s from two sources (%s and %s); cargo cannot vendor both" % (where, p["name"], p["version"], seen[folder], source))
        seen[folder] = source
        packages.append(struct(
            name = p["name"],
            version = p["version"],
            source = source,
            checksum = checksum,
            git = git,
            folder = folder,
        ))
    return packages

def source_config(packages):
    """cargo's configuration that finds every package below /vendor.

    Args:
      packages: from read_lock.

    Returns:
      text of a cargo config file.
    """
    lines = [
        "[source.vendored-sources]",
        'directory = "/vendor"',
        "",
        "[source.crates-io]",
        'replace-with = "vendored-sources"',
    ]
    seen = {}
    for p in packages:
        name = p.source.partition("#")[0]
        if name in seen or "github.com/rust-lang/crates.io-index" in name or "index.crates.io" in name:
            continue
        seen[name] = True
        lines += ["", "[source.%s]" % json.encode(name)]
        if p.git:
            url, _, query = name.removeprefix("git+").partition("?")
            lines.append("git = " + json.encode(url))
            for part in query.split("&"):
                key, equals, value = part.partition("=")
                if equals and key in ["branch", "tag", "rev"]:
                    lines.append("%s = %s" % (key, json.encode(value)))
        else:
            lines.append("registry = " + json.encode(name.removeprefix("registry+")))
        lines.append('replace-with = "vendored-sources"')
    return "\n".join(lines) + "\n"
