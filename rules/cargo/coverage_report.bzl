"""Line coverage as data: from lcov to the numbers, the verdict and the merged lcov of a cargo_coverage target.

Pure functions on strings and dicts: no ctx, no actions, no paths of this machine. "Coverage" below is a dict
{path: {line number: count}}. Coverage of other languages may use it too: nothing here knows Rust.
"""

# A subtraction of counters that lost a race wraps below zero: LLVM prints it as a number near 2^64.
_WRAPPED = 1 << 62

# What the verdict prints at most; the page has the rest.
_MAX_FILES = 10
_MAX_RANGES = 12

def parse_lcov(text):
    """Parses lcov line records. A line that occurs more than once keeps its largest count.

    Args:
      text: an lcov file. Only SF and DA records are read; the rest (functions, branches, totals) is passed over.
    Returns:
      coverage; fails with the record's line number when a DA record is malformed.
    """
    coverage = {}
    lines = None
    number = 0
    for record in text.split("\n"):
        number += 1
        if record.startswith("DA:"):
            fields = record[3:].split(",")
            if lines == None or len(fields) < 2 or not fields[0].isdigit() or not fields[1].strip().isdigit():
                fail("lcov line %d: expected DA:<line>,<count> below an SF record, got %r" % (number, record))
            line, count = int(fields[0]), int(fields[1])
            if count >= _WRAPPED:
                count = 0
            if count > lines.get(line, -1):
                lines[line] = count
        elif record.startswith("SF:"):
            path = record[3:].strip()
            lines = coverage.setdefault(path, {})
    return coverage

def merge_max(coverages):
    """Union of coverages of the same sources from several objects: each line keeps its largest count."""
    merged = {}
    for coverage in coverages:
        for path, lines in coverage.items():
            known = merged.setdefault(path, {})
            for line, count in lines.items():
                if count > known.get(line, -1):
                    known[line] = count
    return merged

def normalize_path(path):
    """Resolves "." and ".." in a path without looking at the file system."""
    if "/." not in path and not path.startswith("."):
        return path
    kept = []
    for segment in path.split("/"):
        if segment == ".." and kept and kept[-1] not in ("", ".."):
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)

def restrict(counts, baseline, prefix = "/w/", generated = ["bazel-out/"]):
    """Keeps of `counts` what counts: the lines that the non-test build maps, in files of the workspace.

    Args:
      counts: coverage over all objects; a line of the baseline that is missing here never ran.
      baseline: coverage whose files and lines are the denominator; its counts are ignored.
      prefix: where the workspace stands in recorded paths; files elsewhere (OUT_DIR, other crates) are dropped.
      generated: folders below the prefix that hold no sources.
    Returns:
      coverage by path relative to the workspace, files and lines in order.
    """
    by_path = {}
    for path, lines in counts.items():
        by_path.setdefault(normalize_path(path), []).append({"": lines})
    kept = {}
    for recorded in baseline:
        path = normalize_path(recorded)
        if not path.startswith(prefix):
            continue
        short = path[len(prefix):]
        if any([short.startswith(folder) for folder in generated]):
            continue
        found = merge_max(by_path.get(path, [])).get("", {})
        target = kept.setdefault(short, {})
        for line in baseline[recorded]:
            target[line] = found.get(line, 0)
    return {path: {line: kept[path][line] for line in sorted(kept[path])} for path in sorted(kept)}

# Bazel gives rules no function that matches a glob, and what coverage counts is
# known only when a plan reads it: these two are glob() once more, in Starlark.

def _segment_matches(pattern, name):
    """Whether `*` (any run of characters) and literal text of a pattern match one path segment."""
    if pattern == "*":
        return True
    if name.startswith(".") and not pattern.startswith("."):
        return False
    parts = pattern.split("*")
    if len(parts) == 1:
        return pattern == name
    if len(name) < len(parts[0]) + len(parts[-1]) or not name.startswith(parts[0]) or not name.endswith(parts[-1]):
        return False
    end = len(name) - len(parts[-1])
    at = len(parts[0])
    for part in parts[1:-1]:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True

def glob_matches(pattern, path):
    """Whether a path matches a pattern of Bazel's glob(): `*` within a segment, `**` for any number of segments."""
    names = path.split("/")

    # reachable[i]: the pattern's segments so far can match names[:i].
    reachable = [True] + [False] * len(names)
    for segment in pattern.split("/"):
        if segment == "**":
            for i in range(1, len(names) + 1):
                reachable[i] = reachable[i] or reachable[i - 1]
            continue
        following = [False] * (len(names) + 1)
        for i in range(len(names)):
            following[i + 1] = reachable[i] and _segment_matches(segment, names[i])
        reachable = following
    return reachable[-1]

def check_globs(patterns):
    """Fails on a pattern that Bazel's glob() would refuse."""
    for pattern in patterns:
        if not pattern or pattern.startswith("/"):
            fail("exclude: %r: expected a pattern relative to the package, e.g. \"**/generated/**\"" % pattern)
        for segment in pattern.split("/"):
            if segment in ("", ".", "..") or ("**" in segment and segment != "**"):
                fail("exclude: %r: expected segments of text and \"*\", or \"**\" alone, got %r" % (pattern, segment))

def exclude(coverage, patterns, package = ""):
    """Drops the files that match a glob pattern.

    Args:
      coverage: coverage by workspace-relative path.
      patterns: patterns as in Bazel's glob(), relative to `package`.
      package: the package of the target that wrote the patterns; a pattern never matches files outside it.
    """
    if not patterns:
        return coverage
    check_globs(patterns)
    prefix = package + "/" if package else ""
    return {
        path: lines
        for path, lines in coverage.items()
        if not path.startswith(prefix) or not any([glob_matches(p, path[len(prefix):]) for p in patterns])
    }

def percent(hit, lines):
    """Percentage with one decimal, rounded down: what prints as 80.0 reaches a floor of 80."""
    if lines == 0:
        return "-"
    tenths = hit * 1000 // lines
    return "%d.%d" % (tenths // 10, tenths % 10)

def missed_ranges(lines):
    """Runs of lines that never ran, as (first, last). Lines without code between two of them do not end a run."""
    ranges = []
    first = None
    last = None
    for line in sorted(lines):
        if lines[line] == 0:
            first = line if first == None else first
            last = line
        elif first != None:
            ranges.append((first, last))
            first = None
    if first != None:
        ranges.append((first, last))
    return ranges

def summarize(coverage):
    """Totals of a coverage.

    Returns:
      struct(lines, hit, percent, files), files being structs (path, lines, hit, percent, ranges) by path;
      `ranges` as missed_ranges gives them.
    """
    files = []
    for path in sorted(coverage):
        lines = coverage[path]
        hit = len([None for count in lines.values() if count > 0])
        files.append(struct(
            path = path,
            lines = len(lines),
            hit = hit,
            percent = percent(hit, len(lines)),
            ranges = missed_ranges(lines) if hit < len(lines) else [],
        ))
    total = 0
    total_hit = 0
    for file in files:
        total += file.lines
        total_hit += file.hit
    return struct(lines = total, hit = total_hit, percent = percent(total_hit, total), files = files)

def _plural(number, noun):
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")

def format_ranges(ranges, limit = _MAX_RANGES):
    """Ranges for people: "88-97, 131", at most `limit` of them."""
    shown = [str(a) if a == b else "%d-%d" % (a, b) for a, b in ranges[:limit]]
    if len(ranges) > limit:
        shown.append("and " + _plural(len(ranges) - limit, "more place"))
    return ", ".join(shown)

def lines_short(summary, floor):
    """How many more lines must run to reach a floor in percent; 0 when it is reached."""
    need = (floor * summary.lines + 99) // 100
    return max(need - summary.hit, 0)

def verdict(summary, floor = 0, where = ""):
    """Judges a coverage against its floor.

    Args:
      summary: of summarize().
      floor: percent of lines that must run, 0 to 100 (`min_line_coverage`).
      where: "BUILD:35", the place of the floor; may be empty.
    Returns:
      struct(passed, summary, notes): one line, and, only if the floor is missed, a line for each of the worst files.
    """
    if summary.lines == 0:
        if floor == 0:
            return struct(passed = True, summary = "no lines to cover", notes = [])
        return struct(
            passed = False,
            summary = "no lines to cover, floor %d" % floor,
            notes = ["nothing of the package is compiled for coverage: check members and exclude"],
        )
    short = lines_short(summary, floor)
    if short == 0:
        text = "%s %% of lines" % summary.percent
        return struct(passed = True, summary = text + (", floor %d" % floor if floor else ""), notes = [])
    files = [(file.hit - file.lines, file.path, file) for file in summary.files if file.ranges]
    files = [entry[2] for entry in sorted(files, key = lambda entry: entry[:2])]
    width = max([len(file.path) for file in files[:_MAX_FILES]])
    notes = [
        "%s%s  %s %%: %s never run" % (
            file.path,
            " " * (width - len(file.path)),
            " " * (5 - len(file.percent)) + file.percent,
            format_ranges(file.ranges),
        )
        for file in files[:_MAX_FILES]
    ]
    if len(files) > _MAX_FILES:
        notes.append("and " + _plural(len(files) - _MAX_FILES, "more file"))
    return struct(
        passed = False,
        summary = "%s %% of lines, floor %d%s: %s short" % (
            summary.percent,
            floor,
            " (%s)" % where if where else "",
            _plural(short, "line"),
        ),
        notes = notes,
    )

def to_lcov(coverage):
    """The coverage as lcov, files and lines in order."""
    out = []
    for path in sorted(coverage):
        lines = coverage[path]
        out.append("TN:\nSF:" + path)
        hit = 0
        for line in sorted(lines):
            out.append("DA:%d,%d" % (line, lines[line]))
            if lines[line]:
                hit += 1
        out.append("LF:%d\nLH:%d\nend_of_record" % (len(lines), hit))
    return "\n".join(out) + "\n" if out else ""
