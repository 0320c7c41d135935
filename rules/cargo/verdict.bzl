"""What lint, format and test targets have in common: stored results, one verdict."""

# Prints what was found and ends as the check does.
_VERDICT = 'cat "$1"; exit "$2"'

def plain(text):
    """Text without the terminal's colours."""
    out = []
    for i, part in enumerate(text.split("\x1b[")):
        out.append(part if i == 0 else part.partition("m")[2])
    return "".join(out)

def plural(n, noun):
    """"1 file", "2 files"."""
    return "%d %s%s" % (n, noun, "" if n == 1 else "s")

def xml_escape(text):
    """Text for an XML attribute or element; characters XML cannot hold are left out."""
    text = plain(text)
    for a, b in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")]:
        text = text.replace(a, b)
    return "".join([c for c in text.elems() if c >= " " or c in "\n\t\r"])

def junit(suites):
    """A JUnit report.

    Args:
      suites: list of struct(name, seconds, cases = list of struct(name,
        status = "ok" | "failed" | "ignored", seconds = number or None, text)).

    Returns:
      the XML text.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for s in suites:
        failed = len([c for c in s.cases if c.status == "failed"])
        skipped = len([c for c in s.cases if c.status == "ignored"])
        lines.append('  <testsuite name="%s" tests="%d" failures="%d" errors="0" skipped="%d">' % (xml_escape(s.name), len(s.cases), failed, skipped))
        for c in s.cases:
            head = '    <testcase classname="%s" name="%s"' % (xml_escape(s.name), xml_escape(c.name))
            if c.status == "failed":
                lines += [head + ">", '      <failure message="failed">%s</failure>' % xml_escape(c.text), "    </testcase>"]
            elif c.status == "ignored":
                lines.append(head + "><skipped/></testcase>")
            else:
                lines.append(head + "/>")
        lines.append("  </testsuite>")
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"

def declare_verdict(actions, name, text, failed, progress):
    """The TestRunner action of a target whose check has run: prints the text, exits 0 or 1.

    Returns:
      struct(exit_code, log) of Files, both made by the action.
    """
    report = actions.declare_file(name + ".report")
    actions.write(report, text)
    log = actions.declare_file(name + ".log")
    exit_code = actions.declare_file(name + ".exit")
    actions.run_shell(
        command = _VERDICT,
        arguments = [report.path, "1" if failed else "0"],
        inputs = [report],
        outputs = [],
        stdout = log,
        exit_code = exit_code,
        mnemonic = "TestRunner",
        progress_message = progress,
        test = True,
    )
    return struct(exit_code = exit_code, log = log)
