# SPDX-License-Identifier: Apache-2.0
"""Where the joules went, drawn: each row splits the one above it, to the joule.

Four ways of the same boxes: characters for a terminal, SVG, Vega-Lite that is zoomed by dragging,
and a page on which a click opens a box. Nothing in that page can run: its style alone does it.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final, NamedTuple

from submeter.records.amounts import Amount
from submeter.records.explanations import Branch
from submeter.reporting.charts import VEGA_LITE
from submeter.reporting.numbers import interval, write, write_count, write_ratio
from submeter.reporting.text import columns, cut, pad, plain

__all__ = ["COLOURS", "Box", "boxes_of", "html", "svg", "terminal", "vega_lite"]

LEAST_RATIO: Final = 2e-4  # of the whole: what is smaller has no box in a picture
MOST_NAME: Final = 60
COLOURS: Final = {
    "wall": "#dcd6c8", "overhead": "#c9c1ae", "node": "#e7eee9", "device": "#7fb39b",
    "phase": "#8aa7c7", "state": "#a9bfd8", "class": "#d9b48f", "layer": "#b9cfe4",
    "compute": "#2f6f5e", "memory": "#8fc0ac", "communication": "#b45a1c", "waiting": "#e2b98f",
    "unattributed": "#eeeae2",
}  # fmt: skip
LEGEND: Final = {
    "compute": "compute-bound", "memory": "memory-bound", "communication": "communication",
    "waiting": "waiting or idle",
}  # fmt: skip
_LIGHT: Final = frozenset({"compute", "communication"})  # words on these are white
_WIDTH, _ROW, _LETTER, _PAD = 1040, 34, 6.6, 8.0  # pixels
_NARROW: Final = 3  # columns: less holds no word
_EDGE: Final = "▏"


class Box(NamedTuple):
    """A branch as a box: where it stands in its row, from 0 to 1, and what it says."""

    name: str
    role: str
    level: int
    begin: float
    end: float
    energy_j: float
    words: str  # energy with its interval, share, what else is known of it
    path: tuple[int, ...]

    @property
    def ratio(self) -> float:
        """Share of the whole [1]."""
        return self.end - self.begin


def boxes_of(tree: Branch, *, least_ratio: float = LEAST_RATIO) -> list[Box]:
    """Boxes of *tree*, row by row from the left; what is smaller than *least_ratio* has none."""
    if not isinstance(tree.energy, Amount) or tree.energy.value <= 0:
        return []
    whole_j = tree.energy.value
    return sorted(
        _boxes(tree, whole_j, 0.0, (), least_ratio), key=lambda box: (box.level, box.begin)
    )


def _boxes(
    branch: Branch, whole_j: float, begin_j: float, path: tuple[int, ...], least_ratio: float
) -> Iterator[Box]:
    if not isinstance(branch.energy, Amount):
        return
    energy_j = branch.energy.value
    if energy_j < least_ratio * whole_j:
        return
    yield Box(
        plain(branch.name, width=MOST_NAME),
        role_of(branch),
        len(path),
        begin_j / whole_j,
        (begin_j + energy_j) / whole_j,
        energy_j,
        _words(branch, energy_j / whole_j),
        path,
    )
    for number, child in enumerate(branch.children):
        yield from _boxes(child, whole_j, begin_j, (*path, number), least_ratio)
        if isinstance(child.energy, Amount):
            begin_j += child.energy.value


def role_of(branch: Branch) -> str:
    """What a box is coloured by: the class of operators where one is known, else its kind."""
    operators = str(branch.detail.get("operators", ""))
    if operators in COLOURS:
        return operators
    state = str(branch.detail.get("state", ""))
    if branch.kind == "state" and state.startswith(("waiting", "idle", "paused")):
        return "waiting"
    return branch.kind if branch.kind in COLOURS else "layer"


def _words(branch: Branch, ratio: float) -> str:
    """What a box says when it is asked."""
    assert isinstance(branch.energy, Amount)  # noqa: S101
    figure = branch.energy.figure("J")
    words = [f"{write(figure)} {interval(figure)}".strip(), write_ratio(ratio)]
    detail = branch.detail
    for key, word in (("class", ""), ("operators", "-bound"), ("state", "")):
        value = detail.get(key)
        if isinstance(value, str) and value:
            words.append(plain(value) + (word if value in ("compute", "memory") else ""))
    for key in ("forward", "backward", "recomputation"):
        part = detail.get(f"{key}_ratio")
        if isinstance(part, float):
            words.append(f"{key} {write_ratio(part)}")
    flop = detail.get("operations")
    if isinstance(flop, float):
        words.append(f"{write(flop, 'FLOP')} a step")
    count = detail.get("count")
    if isinstance(count, float) and branch.kind in ("layer", "class"):
        words.append(f"{write_count(round(count, 1))} calls a step")
    return ", ".join([*words, plain(branch.note)] if branch.note else words)


# --- terminal ------------------------------------------------------------------------------------


def terminal(boxes: Sequence[Box], width: int = 80, *, most_levels: int = 14) -> str:
    """Rows of characters, one a level: names where there is room, shares behind them."""
    lines = []
    for level in range(min(most_levels, 1 + max((b.level for b in boxes), default=-1))):
        line, at = "", 0
        for box in (b for b in boxes if b.level == level):
            begin, end = round(box.begin * width), round(box.end * width)
            if end <= max(begin, at):
                continue
            begin = max(begin, at)
            line += " " * (begin - at) + _cell(box, end - begin)
            at = end
        lines.append(line.rstrip())
    while lines and not lines[-1].strip(f" {_EDGE}·"):
        lines.pop()
    return "\n".join(lines)


def _cell(box: Box, width: int) -> str:
    """A box *width* columns wide: its name and share, its name alone, or a dot."""
    room = width - 1
    if room < _NARROW:
        return _EDGE + pad("·" if room else "", room)
    full = f"{box.name} {write_ratio(box.ratio)}"
    text = full if columns(full) <= room else cut(box.name, room)
    return _EDGE + pad(text, room)


# --- pictures ------------------------------------------------------------------------------------


def svg(boxes: Sequence[Box], title: str = "Where the joules went") -> str:
    """A drawing without scripts and links; each box says what it is when it is pointed at."""
    levels = 1 + max((b.level for b in boxes), default=0)
    parts = []
    for box in boxes:
        x, w, y = box.begin * _WIDTH, box.ratio * _WIDTH, box.level * _ROW + 26
        ink = "#ffffff" if box.role in _LIGHT else "#1d2330"
        letters = int((w - _PAD) / _LETTER)
        label = cut(box.name, letters) if letters >= _NARROW else ""
        parts.append(
            f'<g><title>{escape(box.name)}: {escape(box.words)}</title>'
            f'<rect x="{x:.2f}" y="{y}" width="{max(0.5, w - 1):.2f}" height="{_ROW - 2}" rx="2" '
            f'fill="{COLOURS[box.role]}"/>'
            + (f'<text x="{x + 6:.2f}" y="{y + 21}" fill="{ink}">{escape(label)}</text>'
               if label else "")
            + "</g>"
        )  # fmt: skip
    keys = [role for role in LEGEND if any(b.role == role for b in boxes)]
    for number, role in enumerate(keys):
        x = _WIDTH - 130 * (len(keys) - number)
        parts.append(
            f'<rect x="{x}" y="5" width="11" height="11" rx="2" fill="{COLOURS[role]}"/>'
            f'<text x="{x + 16}" y="15" fill="#5d6574">{LEGEND[role]}</text>'
        )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {levels * _ROW + 30}" '
        'font-family="Inter, system-ui, sans-serif" font-size="12">'
        f"<title>{escape(plain(title))}</title>"
        "<desc>Each row splits the one above it; widths are shares of the energy.</desc>"
        f'<text x="0" y="15" fill="#5d6574">{escape(plain(title))}</text>'
    )
    return "\n".join((head, *parts, "</svg>")) + "\n"


def vega_lite(boxes: Sequence[Box], title: str = "Where the joules went") -> dict[str, Any]:
    """Specification for Vega-Lite 5 with its data inside: drag and turn the wheel to zoom."""
    levels = 1 + max((b.level for b in boxes), default=0)
    values = [
        {
            "begin": b.begin, "end": b.end, "top": b.level, "bottom": b.level + 0.94,
            "middle": b.level + 0.5, "centre": (b.begin + b.end) / 2, "name": b.name,
            "kind": b.role, "energy_j": b.energy_j, "says": b.words,
            "label": b.name if b.ratio * _WIDTH > _LETTER * len(b.name) + _PAD else "",
        }
        for b in boxes
    ]  # fmt: skip
    roles = list(dict.fromkeys(b.role for b in boxes))
    flat = {"type": "quantitative", "axis": None}
    rows = {**flat, "scale": {"domain": [0, levels], "reverse": True}}
    return {
        "$schema": VEGA_LITE,
        "description": plain(title),
        "title": plain(title),
        "width": _WIDTH,
        "height": _ROW * levels,
        "background": None,
        "config": {"view": {"stroke": None}, "font": "Inter, system-ui, sans-serif"},
        "data": {"values": values},
        "layer": [
            {
                "params": [{"name": "zoom", "bind": "scales",
                            "select": {"type": "interval", "encodings": ["x"]}}],
                "mark": {"type": "rect", "cornerRadius": 2, "stroke": "white", "strokeWidth": 1,
                         "clip": True},
                "encoding": {
                    "x": {"field": "begin", **flat, "scale": {"domain": [0, 1]}},
                    "x2": {"field": "end"},
                    "y": {"field": "top", **rows}, "y2": {"field": "bottom"},
                    "color": {"field": "kind", "type": "nominal", "title": None,
                              "scale": {"domain": roles, "range": [COLOURS[r] for r in roles]}},
                    "tooltip": [{"field": "name", "title": "part"},
                                {"field": "says", "title": "energy"}],
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "fontSize": 12, "clip": True},
                "encoding": {
                    "x": {"field": "begin", **flat}, "y": {"field": "middle", **rows},
                    "text": {"field": "label"},
                    "color": {"condition": {
                        "test": " || ".join(f"datum.kind == '{r}'" for r in sorted(_LIGHT)),
                        "value": "#ffffff"}, "value": "#1d2330"},
                },
            },
        ],
    }  # fmt: skip


# --- a page --------------------------------------------------------------------------------------

_STYLE: Final = """
:root{color-scheme:light dark;--bg:#fbfaf7;--ink:#1d2330;--soft:#5d6574;--line:#e6e3dc}
@media (prefers-color-scheme:dark){:root{--bg:#14171c;--ink:#e8e9ec;--soft:#a3abb8;--line:#2b313b}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 Inter,system-ui,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1200px;margin:0 auto;padding:36px 24px 64px}
h1{font-size:22px;font-weight:640;margin:0 0 4px}
p,summary{color:var(--soft);font-size:13.5px;margin:4px 0 14px}
.n{min-width:0;overflow:hidden}
.k{display:flex;width:100%}
.b{display:block;height:32px;margin:0 1px 2px 0;padding:6px 8px;border-radius:3px;font-size:13px;
color:#1d2330;text-decoration:none;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.b:hover,.b:focus-visible{outline:2px solid var(--ink);outline-offset:-2px}
.l{color:#fff}
.k:has(:target)>.n:not(:target):not(:has(:target)){display:none}
.n:target>.b{outline:2px solid var(--ink);outline-offset:-2px}
.c{display:inline-block;width:11px;height:11px;border-radius:2px;margin:0 6px 0 12px}
.s{display:none;font-size:13.5px;margin:0 0 6px}
.n:target>.s{display:block}
table{border-collapse:collapse;width:100%;font-size:13.5px}
td,th{text-align:left;font-weight:400;padding:4px 12px 4px 0;border-bottom:1px solid var(--line)}
td.v{text-align:right;white-space:nowrap}
"""


def html(tree: Branch, title: str = "Where the joules went") -> str:
    """One file that opens offline: a click opens a box, another on the top row closes it again."""
    boxes = boxes_of(tree)
    inside: dict[tuple[int, ...], list[Box]] = {}
    for box in boxes:
        inside.setdefault(box.path[:-1] if box.path else (-1,), []).append(box)
    style = _STYLE + "".join(f".{r}{{background:{c}}}" for r, c in COLOURS.items())
    drawn = "".join(_nested(box, inside) for box in inside.get((-1,), []))
    rows = "".join(
        f'<tr><td style="padding-left:{16 * b.level}px">{escape(b.name)}</td>'
        f'<td class="v">{escape(write_ratio(b.ratio))}</td><td>{escape(b.words)}</td></tr>'
        for b in sorted(boxes, key=lambda b: b.path)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(plain(title))}</title><style>{style}</style></head><body><main>"
        f"<h1>{escape(plain(title))}</h1>"
        "<p>Each row splits the one above it; widths are shares of the energy. "
        "Click a box to open it; click the top one to see all.</p>"
        f"<p>{_keys(boxes)}</p>"
        f"{drawn}<details><summary>The numbers</summary><table>"
        f"<tr><th>part</th><th>share</th><th>energy</th></tr>{rows}</table></details>"
        "</main></body></html>\n"
    )


def _keys(boxes: Sequence[Box]) -> str:
    """What the colours of layers mean, as far as they are there."""
    return "".join(
        f'<i class="c {role}"></i>{words} '
        for role, words in LEGEND.items()
        if any(b.role == role for b in boxes)
    )


def _nested(box: Box, inside: dict[tuple[int, ...], list[Box]]) -> str:
    name = "-".join(["b", *map(str, box.path)])
    children = inside.get(box.path, [])
    within = "".join(_nested(child, inside) for child in children)
    rest = box.ratio - sum(child.ratio for child in children)
    gap = f'<div class="n" style="flex:{rest:.6f} 1 0"></div>' if within and rest > 0 else ""
    light = " l" if box.role in _LIGHT else ""
    said = escape(f"{box.name}: {box.words}", quote=True)
    return (
        f'<div class="n" id="{name}" style="flex:{max(box.ratio, 1e-6):.6f} 1 0">'
        f'<a class="b {box.role}{light}" href="#{name}" title="{said}">{escape(box.name)}</a>'
        f'<div class="s">{said}</div>'
        + (f'<div class="k">{within}{gap}</div>' if within else "")
        + "</div>"
    )
