# SPDX-License-Identifier: Apache-2.0
"""Write a document down: HTML, Markdown, PDF, SVG. The same document gives the same bytes.

HTML is one file that opens offline, and nothing in it can run. Charts become static pictures once,
by vl-convert, which needs neither a browser nor the network.
"""

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from submeter.errors import UsageError
from submeter.reporting.report.charts import COLOURS
from submeter.reporting.report.document import Chart, Document, Table

INSTALL: Final = "pip install 'submeter[report]'"
INSTALL_PDF: Final = "pip install 'submeter[report,pdf]'"
_BAR_PX: Final = 300
_HATCH: Final = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" fill="var(--rest)"/>'
    '<line y2="6" stroke="var(--hatch)" stroke-width="2"/></pattern></defs>'
)


def svg_of(chart: Chart) -> str:
    """Static picture of *chart*, with what it shows as its title."""
    return _drawn(json.dumps(chart.spec, sort_keys=True))


@functools.lru_cache(maxsize=64)
def _drawn(spec: str) -> str:
    try:
        import vl_convert
    except ImportError as exc:
        raise UsageError("pictures need vl-convert", remedy=INSTALL) from exc
    drawn: str = vl_convert.vegalite_to_svg(json.loads(spec), vl_version="5.20")
    return drawn


def themed(colour: str) -> str:
    """Colour of light or dark, whichever the reader has, for one of a chart's own."""
    role = next((r for r, c in COLOURS.items() if c == colour), "")
    if role == "rest":
        return "repeating-linear-gradient(45deg,var(--rest) 0 3px,var(--hatch) 3px 5px)"
    return f"var(--{role})" if role else colour


def _themed_svg(svg: str, says: str) -> str:
    from html import escape

    for role, colour in COLOURS.items():
        svg = svg.replace(f'"{colour}"', '"url(#hatch)"' if role == "rest" else f'"var(--{role})"')
    head, _, rest = svg.partition(">")
    head = head.replace("<svg", f'<svg role="img" aria-label="{escape(says, quote=True)}"', 1)
    return f"{head}>{_HATCH}{rest}"


def html(document: Document) -> str:
    """One file: style and pictures inside, light and dark, printable, no script."""
    try:
        from jinja2 import Environment
        from markupsafe import Markup
    except ImportError as exc:
        raise UsageError("a report in HTML needs Jinja", remedy=INSTALL) from exc
    environment = Environment(autoescape=True, trim_blocks=False)
    template = environment.from_string(
        files("submeter.reporting.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    names = iter(range(1, 100))

    def picture(chart: Chart) -> Markup:
        svg = _themed_svg(svg_of(chart), chart.says)
        own = f"c{next(names)}"  # ids of several pictures on one page must differ
        for word in ("clip", "gradient_", "hatch"):
            svg = svg.replace(f'id="{word}', f'id="{own}-{word}').replace(
                f"url(#{word}", f"url(#{own}-{word}"
            )
        return Markup(svg)  # noqa: S704  # drawn by vl-convert, which escapes all words in it

    def px(part: float) -> str:
        return f"{_BAR_PX * part:.1f}"

    return template.render(doc=document, svg=picture, themed=themed, px=px) + "\n"


def markdown(document: Document) -> str:
    """For a README, an issue or a merge request; charts as their tables."""
    lines = [f"# {_md(document.title)}", "", _md(document.about), ""]
    lines += ["| | | |", "| --- | ---: | --- |"]
    lines += [f"| {_md(h.name)} | **{_md(h.value)}** | {_md(h.below)} |"
              for h in document.headlines]  # fmt: skip
    lines += ["", _md(" ".join(document.lead)), ""] if document.lead else [""]
    for section in document.sections:
        lines += [f"## {_md(section.title)}", ""]
        for words in section.text:
            lines += [_md(words), ""]
        for table in (*(c.table for c in section.charts), *section.tables):
            lines += [*_md_table(table), ""]
    lines += [f"*{_md(document.made_by)}*", ""]
    return "\n".join(lines)


def _md(words: str) -> str:
    """*words* with nothing in them that Markdown or HTML would obey."""
    for sign in "\\`*_[]<>|#":
        words = words.replace(sign, "\\" + sign)
    return words.replace("&", "&amp;").replace("://", ":\u200b//")


def _md_table(table: Table) -> list[str]:
    numbers = [any(c.number for c in column) for column in zip(*table.rows, strict=False)]
    rules = ["---:" if n else "---" for n in numbers] or ["---"] * len(table.heads)
    rows = [" | ".join(_md(c.words) for c in row) for row in table.rows]
    heads = " | ".join(_md(h) for h in table.heads)
    return [f"| {heads} |", f"| {' | '.join(rules)} |", *(f"| {row} |" for row in rows)]


def pdf(document: Document) -> bytes:
    """For print: A4, by Typst, with the pictures as vectors."""
    try:
        import typst
    except ImportError as exc:
        raise UsageError("a report in PDF needs Typst", remedy=INSTALL_PDF) from exc
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="submeter-report-") as folder:
        place = Path(folder)
        for section in document.sections:
            for chart in section.charts:
                (place / f"{chart.name}.svg").write_text(svg_of(chart), encoding="utf-8")
        (place / "report.typ").write_text(_typst(document), encoding="utf-8")
        made: bytes = typst.compile(str(place / "report.typ"), root=folder, timestamp=0)
    return made


def _typst(document: Document) -> str:
    lines = [
        "#set document(date: none)",
        '#set page(paper: "a4", margin: 2cm, numbering: "1")',
        "#set text(size: 9.5pt, fallback: true)",
        "#set par(justify: false)",
        f"= {_str(document.title)}",
        _str(document.about),
        "#grid(columns: (1.3fr, 1fr, 1fr, 1fr), gutter: 10pt, row-gutter: 4pt,",
    ]
    lines += [
        f"[{_str(h.name)} #linebreak() #text(size: 16pt, weight: 600)[{_str(h.value)}] "
        f"#linebreak() #text(size: 8pt)[{_str(h.below)}]],"
        for h in document.headlines
    ]
    lines += [")", _str(" ".join(document.lead))]
    for section in document.sections:
        lines += ["", f"== {_str(section.title)}"]
        lines += [_str(words) + " #parbreak()" for words in section.text]
        lines += [f'#image("{c.name}.svg", width: 100%)' for c in section.charts]
        lines += [_typst_table(t) for t in section.tables]
    lines += ["", f"#text(size: 8pt)[{_str(document.made_by)}]"]
    return "\n".join(lines)


def _str(words: str) -> str:
    """*words* as a string of Typst, so that nothing in them is markup."""
    quoted = words.replace("\\", "\\\\").replace('"', '\\"')
    return f'#text("{quoted}")'


def _typst_table(table: Table) -> str:
    columns = ", ".join(["auto"] * (len(table.heads) - 1) + ["1fr"])
    cells = [f"[*{_str(h)}*]" for h in table.heads]
    cells += [f"[{_str(c.words)}]" for row in table.rows for c in row]
    return (
        f"#text(size: 8pt, table(columns: ({columns}), stroke: none, inset: 3pt, "
        + ", ".join(cells)
        + "))"
    )


def specifications(document: Document) -> Mapping[str, Any]:
    """Charts as Vega-Lite, by name, for notebooks and dashboards."""
    return {c.name: c.spec for section in document.sections for c in section.charts}
