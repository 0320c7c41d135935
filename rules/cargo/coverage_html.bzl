"""Line coverage as HTML pages: an index with a sortable table and one page a source file.

Pure functions on strings and dicts, like coverage_report.bzl. The pages need no network, name no machine, hold no
date (equal coverage gives equal bytes), follow the reader's light or dark setting, and work without JavaScript
(only sorting the table needs it). Colour is never the only sign: lines that never ran also carry a mark.
"""

load(":coverage_report.bzl", "format_ranges", "lines_short", "summarize")

_STYLE = """\
:root{color-scheme:light dark;--bg:#fff;--fg:#1f2328;--dim:#59636e;--line:#d1d9e0;--soft:#f6f8fa;--link:#0969da;
--hit:#1a7f37;--hit-bg:#e9f7ed;--miss:#cf222e;--miss-bg:#ffebe9;--warn:#9a6700;--track:#e3e8ed}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#30363d;--soft:#161b22;--link:#58a6ff;
--hit:#3fb950;--hit-bg:#12261e;--miss:#ff7b72;--miss-bg:#341a1d;--warn:#d29922;--track:#272e37}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header{max-width:76rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:1.75rem}
h1{font-size:1.3rem;font-weight:600;margin:0;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
code,pre,.path,.src{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.dim{color:var(--dim)}
.crumb{margin:0 0 .25rem;font-size:.9rem}
.total{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem 1.25rem;margin:1rem 0 .5rem}
.total strong{font-size:2.6rem;line-height:1.1;font-weight:650;font-variant-numeric:tabular-nums}
.total .unit{font-size:1.4rem;font-weight:500}
.verdict{font-weight:600}.ok{color:var(--hit)}.bad{color:var(--miss)}
.bar{position:relative;display:block;height:.55rem;border-radius:.3rem;background:var(--track);overflow:hidden}
.bar i{position:absolute;inset:0 auto 0 0;background:var(--hit)}
.bar.mid i{background:var(--warn)}.bar.low i{background:var(--miss)}
.bar b{position:absolute;top:0;bottom:0;width:2px;background:var(--fg)}
.big{height:.8rem;margin:.25rem 0 1.75rem}
table{border-collapse:collapse;width:100%;margin-bottom:2.5rem}
th,td{padding:.45rem .75rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:baseline}
thead th{border-bottom-width:2px;color:var(--dim);font-size:.85rem;font-weight:600;white-space:nowrap}
tbody th{font-weight:400;overflow-wrap:anywhere}
tbody tr:hover{background:var(--soft)}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.path{font-size:.88rem}
td.meter{width:9rem}td.where{font-size:.85rem;color:var(--dim);max-width:22rem}
thead button{all:unset;cursor:pointer}thead button:hover{color:var(--fg)}
thead button:focus-visible{outline:2px solid var(--link);outline-offset:2px}
thead button::after{content:"\\2195";opacity:.45;padding-left:.35em}
th[aria-sort=ascending] button::after{content:"\\2191";opacity:1}
th[aria-sort=descending] button::after{content:"\\2193";opacity:1}
.jump{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem;margin:0 0 1rem;padding:0;list-style:none;font-size:.85rem}
.jump a{display:block;padding:.05rem .5rem;border:1px solid var(--line);border-radius:1rem;font-variant-numeric:tabular-nums}
.src{border:1px solid var(--line);border-radius:6px;font-size:.82rem;line-height:1.5;overflow-x:auto;margin-bottom:3rem;tab-size:4}
.src table{margin:0;width:max-content;min-width:100%}
.src td,.src th{border:0;padding:0 .75rem;white-space:pre}
.src th{text-align:right;color:var(--dim);font-weight:400;user-select:none;width:1%}
.src th a{color:inherit}
.src td.n{text-align:right;color:var(--dim);width:1%;user-select:none;border-right:3px solid transparent}
.src tr.h td.n{border-right-color:var(--hit);color:var(--hit)}
.src tr.m td.n{border-right-color:var(--miss);color:var(--miss);font-weight:700}
.src tr.h td:last-child{background:var(--hit-bg)}.src tr.m td:last-child{background:var(--miss-bg)}
.src tr:target{outline:2px solid var(--link);outline-offset:-2px}
.gone{padding:1rem;color:var(--dim)}
@media (max-width:48rem){td.where,th.where,td.meter,th.meter{display:none}}
"""

# Sorts the table by the column of the pressed button; the second press turns the order round.
_SORT = """\
<script>
document.querySelectorAll("thead button").forEach(function(button){button.addEventListener("click",function(){
var th=button.closest("th"),col=th.cellIndex,body=th.closest("table").tBodies[0];
var up=th.getAttribute("aria-sort")?th.getAttribute("aria-sort")!=="ascending":col===0;
th.parentNode.querySelectorAll("th").forEach(function(o){o.removeAttribute("aria-sort")});
th.setAttribute("aria-sort",up?"ascending":"descending");
Array.from(body.rows).sort(function(a,b){var x=a.cells[col].dataset.v,y=b.cells[col].dataset.v;
var d=col===0?(x<y?-1:x>y?1:0):x-y;return up?d:-d}).forEach(function(row){body.appendChild(row)})})});
</script>
"""

def escape(text):
    """Escapes text for HTML content and double-quoted attributes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;")

def _page(title, root, body):
    return """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<link rel="stylesheet" href="%sstyle.css">
</head>
<body>
%s</body>
</html>
""" % (escape(title), root, body)

def _level(file, floor):
    """Class of a bar: against the floor where there is one, in thirds of the usual scale otherwise."""
    high = floor if floor else 80
    if file.hit * 100 >= high * file.lines:
        return ""
    return " mid" if file.hit * 100 >= (high - 25) * file.lines else " low"

def _bar(file, floor, extra = ""):
    marker = "<b style=\"left:calc(%d%% - 1px)\"></b>" % floor if extra and floor else ""
    width = "0" if not file.lines else file.percent
    return "<span class=\"bar%s%s\" aria-hidden=\"true\"><i style=\"width:%s%%\"></i>%s</span>" % (
        extra,
        _level(file, floor),
        width,
        marker,
    )

def _total(summary, floor):
    if not summary.lines:
        return "<p class=\"total\"><span>No lines to cover.</span></p>\n"
    parts = ["<div class=\"total\"><strong>%s<span class=\"unit\">&thinsp;%%</span></strong>" % summary.percent]
    parts.append("<span>%d of %d lines ran</span>" % (summary.hit, summary.lines))
    short = lines_short(summary, floor)
    if short:
        parts.append("<span class=\"verdict bad\">&#10007; floor %d&thinsp;%%: %d line%s short</span>" % (
            floor,
            short,
            "" if short == 1 else "s",
        ))
    elif floor:
        parts.append("<span class=\"verdict ok\">&#10003; floor %d&thinsp;%% reached</span>" % floor)
    return "".join(parts) + "</div>\n" + _bar(summary, floor, " big") + "\n"

def page_path(path):
    """Where the page of a source file stands in the report."""
    return "src/" + path + ".html"

def _href(path):
    """A relative URL: the characters that URLs or HTML give a meaning are percent-encoded."""
    for char, code in [("%", "%25"), ("#", "%23"), ("?", "%3F"), ("\"", "%22"), ("&", "%26"), (" ", "%20"), ("<", "%3C"), (">", "%3E")]:
        path = path.replace(char, code)
    return path

def _row(file, floor):
    name = escape(file.path)
    folder, _, base = name.rpartition("/")
    return """\
<tr><th scope="row" class="path" data-v="%s"><a href="%s">%s%s</a></th>\
<td class="num" data-v="%d">%s&thinsp;%%</td><td class="meter" data-v="%d">%s</td>\
<td class="num" data-v="%d">%d</td><td class="num" data-v="%d">%d</td><td class="where" data-v="%d">%s</td></tr>
""" % (
        name,
        _href(page_path(file.path)),
        "<span class=\"dim\">%s/</span>" % folder if folder else "",
        base,
        file.hit * 100000 // file.lines if file.lines else 0,
        file.percent,
        file.hit * 100000 // file.lines if file.lines else 0,
        _bar(file, floor),
        file.lines - file.hit,
        file.lines - file.hit,
        file.lines,
        file.lines,
        len(file.ranges),
        format_ranges(file.ranges, 8),
    )

def index_page(summary, title, floor = 0):
    """The index: the total against the floor, and all files.

    Args:
      summary: of summarize().
      title: what was measured, e.g. "//:coverage".
      floor: `min_line_coverage`, marked in the bar.
    """
    body = [
        "<header>\n<p class=\"crumb dim\">Line coverage</p>\n<h1>%s</h1>\n%s</header>\n<main>\n" % (
            escape(title),
            _total(summary, floor),
        ),
        "<table>\n<thead><tr><th scope=\"col\" aria-sort=\"ascending\"><button type=\"button\">File</button></th>",
        "<th scope=\"col\" class=\"num\"><button type=\"button\">Lines run</button></th><th scope=\"col\" class=\"meter\"><span class=\"dim\"></span></th>",
        "<th scope=\"col\" class=\"num\"><button type=\"button\">Never run</button></th>",
        "<th scope=\"col\" class=\"num\"><button type=\"button\">Lines</button></th>",
        "<th scope=\"col\" class=\"where\">Where</th></tr></thead>\n<tbody>\n",
    ]
    for file in summary.files:
        body.append(_row(file, floor))
    body.append("</tbody>\n</table>\n</main>\n" + _SORT)
    return _page("%s %% of lines: %s" % (summary.percent, title), "", "".join(body))

def _short_count(count):
    """A count in few characters: "12", "3.4k", "5M"."""
    if count < 10000:
        return str(count)
    if count < 1000000:
        return "%dk" % (count // 1000)
    if count < 1000000000:
        return "%dM" % (count // 1000000)
    return "%dG" % (count // 1000000000)

def source_page(file, lines, source, title, floor = 0):
    """The page of one file: its text, with a count at each line that has code.

    Args:
      file: its entry of summarize().files.
      lines: its dict of line to count.
      source: its text; None if it cannot be shown (then the page says so).
      title: as in index_page.
    """
    root = "../" * (file.path.count("/") + 1)
    body = [
        "<header>\n<p class=\"crumb\"><a href=\"%sindex.html\">%s</a></p>\n<h1 class=\"path\">%s</h1>\n%s</header>\n<main>\n" % (
            root,
            escape(title),
            escape(file.path),
            _total(file, 0).replace("<strong>", "<strong style=\"font-size:1.7rem\">"),
        ),
    ]
    if file.ranges:
        body.append("<nav aria-label=\"Lines that never ran\"><ul class=\"jump\"><li class=\"dim\">never run:</li>")
        for first, last in file.ranges:
            body.append("<li><a href=\"#L%d\">%s</a></li>" % (first, str(first) if first == last else "%d-%d" % (first, last)))
        body.append("</ul></nav>\n")
    body.append("<div class=\"src\" tabindex=\"0\" role=\"region\" aria-label=\"Source\">")
    if source == None:
        body.append("<p class=\"gone\">The source is not at hand; the counts are in the lcov file.</p>")
    else:
        body.append("<table>\n")
        number = 0
        texts = escape(source.replace("\r\n", "\n")).split("\n")
        if texts[-1] == "":
            texts.pop()
        for text in texts:
            number += 1
            count = lines.get(number)
            if count == None:
                mark, shown = "", ""
            elif count:
                mark, shown = " class=\"h\"", _short_count(count)
            else:
                mark, shown = " class=\"m\"", "<span aria-label=\"never run\">&#10007; 0</span>"
            body.append("<tr id=\"L%d\"%s><th><a href=\"#L%d\">%d</a></th><td class=\"n\">%s</td><td>%s</td></tr>\n" % (
                number,
                mark,
                number,
                number,
                shown,
                text,
            ))
        body.append("</table>")
    body.append("</div>\n</main>\n")
    return _page("%s %% %s" % (file.percent, file.path), root, "".join(body))

def html_pages(coverage, sources, title, floor = 0):
    """All pages of a report.

    Args:
      coverage: by workspace-relative path, as restrict() and exclude() give it.
      sources: {path: text}; a file without text gets a page that says so.
      title: what was measured, e.g. "//:coverage".
      floor: `min_line_coverage`; 0 for none.
    Returns:
      {path in the report: text}: index.html, style.css and src/<path>.html.
    """
    summary = summarize(coverage)
    pages = {"index.html": index_page(summary, title, floor), "style.css": _STYLE}
    for file in summary.files:
        pages[page_path(file.path)] = source_page(file, coverage[file.path], sources.get(file.path), title, floor)
    return pages
