"""Reading what Rust's test harness prints. Pure functions."""

def _failure_texts(lines):
    """The blocks "---- name stdout ----" by name."""
    texts = {}
    name = None
    for line in lines:
        if line.startswith("---- ") and line.endswith(" ----"):
            name = line[len("---- "):-len(" ----")]
            name = name[:-len(" stdout")] if name.endswith(" stdout") else name
            texts[name] = []
        elif line == "failures:" or line.startswith("test result: "):
            name = None
        elif name != None:
            texts[name].append(line)
    return {n: "\n".join(t).strip("\n") + "\n" for n, t in texts.items()}

def _number(words, noun):
    """The number before a noun in "3 passed; 0 failed"."""
    for part in words.split(";"):
        fields = [f for f in part.strip().split(" ") if f]
        if len(fields) >= 2 and fields[1] == noun and fields[0].isdigit():
            return int(fields[0])
    return 0

def read_libtest(text):
    """Reads the output of a test program.

    Args:
      text: standard output, in libtest's plain format.

    Returns:
      struct(harness = whether it is libtest's output at all, passed, failed,
      ignored = numbers, cases = list of struct(name, status, text)). A program
      that dies in the middle has the cases it came to.
    """
    lines = text.split("\n")
    texts = _failure_texts(lines)
    passed, failed, ignored, harness = 0, 0, 0, False
    cases, running = [], []
    for line in lines:
        if line.startswith("test result: "):
            harness = True
            words = line.partition(". ")[2]
            passed += _number(words, "passed")
            failed += _number(words, "failed")
            ignored += _number(words, "ignored")
        elif line.startswith("test ") and " ... " in line:
            name, _, result = line[len("test "):].rpartition(" ... ")
            result = result.strip()
            if result == "ok" or result.startswith("ok "):
                status = "ok"
            elif result.startswith("FAILED") or result.startswith("failed"):
                status = "failed"
            elif result.startswith("ignored"):
                status = "ignored"
            else:
                continue
            if name.endswith(" - should panic"):
                name = name[:-len(" - should panic")]
            cases.append(struct(name = name, status = status, text = texts.get(name, "")))
        elif line.startswith("running ") and (line.endswith(" tests") or line.endswith(" test")):
            running.append(line)
    return struct(
        harness = harness or bool(running),
        passed = passed,
        failed = failed,
        ignored = ignored,
        cases = cases,
    )
