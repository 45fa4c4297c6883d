# SPDX-License-Identifier: Apache-2.0
"""Comparisons drawn: changes with their intervals, and quality against energy. SVG and HTML.

A drawing has no scripts and no links; what a mark stands for is its title, which browsers show
when one points at it.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.comparing.differences import Change
from submeter.comparing.runs import Comparison, Row
from submeter.comparing.work import SameWork
from submeter.reporting.comparisons import change_words
from submeter.reporting.numbers import write
from submeter.reporting.text import plain

_INK, _PALE, _LESS, _MORE = "#333333", "#8a8a8a", "#2e7d4f", "#b3541e"
_ROW, _LEFT, _PLOT, _RIGHT, _TOP = 22, 230, 420, 230, 48  # pixels
_LEAST_SPAN: Final = 1.25  # an axis reaches at least so far to both sides of no change
_LABEL: Final = 32
_MOST_TICKS: Final = 8
_MOST_POWERS: Final = 4  # of ten, between which an axis has finer marks
_FINE: Final = 8.0  # an axis of a lesser span has its own marks
_LEGEND: Final = (
    "ratio to {first}, logarithmic: ● best estimate, ━ 95 % interval; grey: not distinguishable"
)


class Mark(NamedTuple):
    """A point of a scatter of quality against energy, with both intervals."""

    label: str
    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float
    kept: bool
    words: str


def comparison_svg(made: Comparison, same_work: SameWork | None = None) -> str:
    """Every change of *made* to its first column, one panel a quantity."""
    rows = list(made.rows)
    if same_work is not None:
        reached = same_work.reached
        more = (reached.energy, reached.time) if reached else ()
        rows = [*same_work.per_unit, *more, *rows]
    labels = [plain(column.label, width=_LABEL) for column in made.columns]
    drawn = [row for row in rows if any(isinstance(c, Change) for c in row.changes[1:])]
    low, high = _reach([c for row in drawn for c in row.changes[1:] if isinstance(c, Change)])
    panels, top = [], float(_TOP)
    for row in drawn:
        panels.append(_panel(row, labels, top, low, high))
        top += _ROW * len(labels) + 12
    foot = _axis(low, high, _TOP, top)
    title = _LEGEND.format(first=labels[0])
    return _svg("Runs compared", title, top + 30, [foot, *panels])


def scatter_svg(title: str, words: str, marks: Sequence[Mark], x_name: str, y_name: str) -> str:
    """*marks* with their intervals, energy across on a logarithmic axis, quality upwards."""
    left, width, height = 70, 560, 320
    low = min(m.x_low for m in marks if m.x_low > 0) / 1.2
    high = max(m.x_high for m in marks) * 1.2
    bottom, ceiling = min(m.y_low for m in marks), max(m.y_high for m in marks)
    slack = 0.05 * (ceiling - bottom) or 0.05
    bottom, ceiling = bottom - slack, ceiling + slack

    def x(value: float) -> float:
        return left + width * math.log(max(value, low) / low) / math.log(high / low)

    def y(value: float) -> float:
        return _TOP + height * (ceiling - value) / (ceiling - bottom)

    parts = [_frame(left, width, height, x_name, y_name)]
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        at = x(10.0**power)
        parts.append(_vertical(at, _TOP, _TOP + height))
        parts.append(
            _text(at, _TOP + height + 16, write(10.0**power, "J", digits=1, joules=True), "middle")
        )
    ticks = _ticks(bottom, ceiling)
    parts += [_text(left - 8, y(value) + 4, f"{value:.4g}", "end") for value in ticks]
    for mark in marks:
        ink = _LESS if mark.kept else _PALE
        cx, cy = x(mark.x), y(mark.y)
        parts.append(
            f"<g><title>{_escaped(mark.words)}</title>"
            f'<line x1="{x(mark.x_low):.1f}" x2="{x(mark.x_high):.1f}" y1="{cy:.1f}" '
            f'y2="{cy:.1f}" stroke="{ink}" stroke-width="2"/>'
            f'<line x1="{cx:.1f}" x2="{cx:.1f}" y1="{y(mark.y_low):.1f}" '
            f'y2="{y(mark.y_high):.1f}" stroke="{ink}" stroke-width="2"/>'
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5" fill="{ink}"/></g>'
            + _text(cx + 8, cy - 8, ("* " if mark.kept else "") + mark.label, "start", ink)
        )
    return _svg(title, words, _TOP + height + 50, parts)


def page(title: str, drawing: str, words: str) -> str:
    """A page that holds *drawing* and *words*, and loads nothing."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_escaped(title)}</title>"
        "<style>body{font-family:sans-serif;max-width:60rem;margin:2rem auto;color:#333}"
        "svg{max-width:100%;height:auto}pre{overflow-x:auto;font-size:.8rem}</style></head><body>\n"
        f"{drawing}<pre>{_escaped(words)}</pre>\n</body></html>\n"
    )


# --- inside -------------------------------------------------------------------------------------


def _reach(changes: Sequence[Change]) -> tuple[float, float]:
    """Ends of the axis of ratios: all finite ends, and no change."""
    ends = [r for c in changes for r in (c.ratio_low, c.ratio, c.ratio_high)]
    found = [r for r in ends if 0 < r < math.inf]
    low, high = min([1 / _LEAST_SPAN, *found]), max([_LEAST_SPAN, *found])
    return low / 1.05, high * 1.05


def _axis(low: float, high: float, top: float, bottom: float) -> str:
    parts = [_vertical(_x(1.0, low, high), top, bottom, _INK)]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, len(powers) // 6)
    within = (1.0,) if len(powers) > _MOST_POWERS else (1.0, 2.0, 5.0)
    values = [m * 10.0**p for p in powers if p % step == 0 for m in within]
    if high / low < _FINE:
        values = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0]
    values = [value for value in values if low < value < high and value != 1]
    for value in values:
        at = _x(value, low, high)
        parts.append(_vertical(at, top, bottom))
        parts.append(_text(at, bottom + 14, f"{value:g}", "middle", _PALE))
    parts.append(_text(_x(1.0, low, high), top - 6, "1", "middle"))
    return "\n".join(parts)


def _panel(row: Row, labels: Sequence[str], top: float, low: float, high: float) -> str:
    parts = [_text(10, top + _ROW * 0.7, row.name, "start", weight="bold")]
    for i, change in enumerate(row.changes[1:], start=1):
        y = top + _ROW * (i + 0.5)
        parts.append(_text(_LEFT - 12, y + 4, labels[i], "end"))
        said = " ".join(change_words(change))
        parts.append(_text(_LEFT + _PLOT + 12, y + 4, said.strip(), "start"))
        if isinstance(change, Change):
            parts.append(_bar(change, y, low, high, f"{row.name}, {labels[i]}: {said}"))
    return "\n".join(parts)


def _bar(change: Change, y: float, low: float, high: float, words: str) -> str:
    ink = _PALE
    if change.distinguishable:
        ink = _LESS if change.ratio < 1 else _MORE
    begin = _x(change.ratio_low, low, high)
    end = _x(change.ratio_high, low, high)
    return (
        f"<g><title>{_escaped(words)}</title>"
        f'<line x1="{begin:.1f}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{ink}" '
        'stroke-width="3"/>'
        f'<circle cx="{_x(change.ratio, low, high):.1f}" cy="{y:.1f}" r="5" fill="{ink}"/></g>'
    )


def _x(ratio: float, low: float, high: float) -> float:
    held = min(high, max(low, ratio))
    return _LEFT + _PLOT * math.log(held / low) / math.log(high / low)


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10(high - low))
    finer = (step / 10, step / 5, step / 2, step)
    step = next((s for s in finer if (high - low) / s <= _MOST_TICKS), step)
    first = math.ceil(low / step)
    return [step * n for n in range(first, math.floor(high / step) + 1)]


def _frame(left: float, width: float, height: float, x_name: str, y_name: str) -> str:
    return (
        f'<rect x="{left}" y="{_TOP}" width="{width}" height="{height}" fill="none" '
        'stroke="#cccccc"/>'
        + _text(left + width / 2, _TOP + height + 36, x_name, "middle")
        + _text(left, _TOP - 8, y_name, "start")
    )


def _vertical(x: float, top: float, bottom: float, ink: str = "#dddddd") -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{ink}"/>'


def _text(
    x: float, y: float, words: str, anchor: str, ink: str = _INK, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{ink}" '
        f'font-weight="{weight}">{_escaped(words)}</text>'
    )


def _svg(title: str, words: str, height: float, parts: Sequence[str]) -> str:
    width = _LEFT + _PLOT + _RIGHT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        'font-family="sans-serif" font-size="12">'
        f"<title>{_escaped(title)}</title><desc>{_escaped(words)}</desc>"
        f'<rect width="{width}" height="{height:.0f}" fill="#ffffff"/>'
        + _text(10, 20, words, "start")
    )
    return "\n".join((head, *parts, "</svg>")) + "\n"


def _escaped(words: str) -> str:
    from xml.sax.saxutils import escape  # nothing that reads XML is imported with it

    return escape(plain(words) if "\n" not in words else words)
