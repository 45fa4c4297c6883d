# SPDX-License-Identifier: Apache-2.0
"""What-ifs as a chart: bars of characters, a Vega-Lite specification, or a drawing in SVG.

Each has time, energy and carbon with their 95 % intervals on logarithmic axes, and marks the
points that nothing else beats in all that is judged.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from submeter.estimating.varying import Point, Table, pareto
from submeter.records.figures import Figure
from submeter.reporting.estimates import TITLES, bar, in_time
from submeter.reporting.numbers import shared_unit, write
from submeter.reporting.text import cut, pad, plain

CHARTED: Final = ("duration", "energy", "carbon")
UNITS: Final = {"duration": "h", "energy": "kWh", "carbon": "kg CO2e"}  # of files, not of people
MOST_BARS: Final = 60
_SCALES: Final = {"duration": 3600.0, "energy": 3.6e6, "carbon": 1000.0}
_LABEL: Final = 30  # columns
_SHORT: Final = 7
_WIDE: Final = 100.0  # from here on values of a panel do not share a unit
_BAR: Final = 44
VEGA_LITE: Final = "https://vega.github.io/schema/vega-lite/v5.json"
_INK, _PALE, _MARK = "#333333", "#8a8a8a", "#2e7d4f"
_ROW, _LEFT, _WIDTH, _TOP = 22, 250, 480, 44  # pixels
_LEGEND: Final = "● best estimate, ━ 95 % interval, logarithmic; * nothing else here is as good"


class Bar(NamedTuple):
    """One point in one measure."""

    label: str
    figure: Figure
    kept: bool


def bars_of(made: Table, measure: str) -> list[Bar]:
    """Points of *made* whose *measure* is known; the Pareto ones if there are very many."""
    best = pareto(made.points)
    rows = list(zip(made.points, best, strict=True))
    if len(rows) > MOST_BARS:
        rows = [row for row in rows if row[1]][:MOST_BARS]
    found = ((point, kept, point.figure(measure)) for point, kept in rows)
    return [Bar(label(p), figure, kept) for p, kept, figure in found if isinstance(figure, Figure)]


def label(point: Point) -> str:
    """Values that a point was given, in one line."""
    return plain(", ".join(map(_short, point.words.values())), width=_LABEL) or "as asked"


def _short(word: str) -> str:
    """A number in three digits, 5.62341e+08 as 5.62e08; any other word as it is."""
    try:
        number = float(word)
    except ValueError:
        return word
    if len(word) <= _SHORT and "e+" not in word:
        return word
    return f"{number:.3g}".replace("e+0", "e").replace("e+", "e")


def bars_words(made: Table, width: int) -> str:
    """Panels of bars of characters, one a measure, at most *width* columns wide."""
    lines: list[str] = []
    for measure in CHARTED:
        bars = bars_of(made, measure)
        if bars:
            lines += [TITLES[measure], *_panel(bars, measure, width), ""]
    return "\n".join(cut(line, width) for line in (*lines, _LEGEND))


def ends_of(bars: Sequence[Bar]) -> tuple[float, float]:
    """Least and largest end that an axis holds; an interval from zero begins far below."""
    high = max(b.figure.high for b in bars)
    positive = [x for b in bars for x in (b.figure.low, b.figure.value) if x > 0]
    low = min(positive, default=1.0)
    return low, max(high, low * 1.1)


def vega_lite(made: Table) -> dict[str, Any]:
    """Specification of the chart with its data inside; draws with any Vega-Lite 5."""
    values = [
        {
            "point": b.label,
            "measure": measure,
            "value": b.figure.value / _SCALES[measure],
            "low": b.figure.low / _SCALES[measure],
            "high": b.figure.high / _SCALES[measure],
            "pareto": b.kept,
        }
        for measure in CHARTED
        for b in bars_of(made, measure)
    ]
    return {
        "$schema": VEGA_LITE,
        "description": "What-ifs of a training with their 95 % intervals (submeter estimate)",
        "data": {"values": values},
        "hconcat": [_view(measure) for measure in CHARTED],
    }


def svg(made: Table) -> str:
    """A drawing of the chart, without scripts and links."""
    panels, y = [], float(_TOP)
    for measure in CHARTED:
        bars = bars_of(made, measure)
        if bars:
            panels.append(_drawn(bars, measure, y))
            y += _ROW * (len(bars) + 2) + 22
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 130} {y:.0f}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">'
        "<title>What-ifs of a training</title>"
        f"<desc>{_escaped(_LEGEND)}</desc>"
        f'<text x="10" y="20">{_escaped(_LEGEND)}</text>'
    )
    return "\n".join((head, *panels, "</svg>")) + "\n"


# --- inside -------------------------------------------------------------------------------------


def _panel(bars: Sequence[Bar], measure: str, width: int) -> list[str]:
    low, high = ends_of(bars)
    names = min(_LABEL, max(len(b.label) for b in bars))
    values = [b.figure.value for b in bars]
    alike = measure != "duration" and max(values) < _WIDE * min(values)
    like = shared_unit(values) if alike else None
    room = max(12, min(_BAR, width - names - 16))
    return [
        f"{'*' if b.kept else ' '} {pad(b.label, names)} {bar(b.figure, low, high, room)} "
        + _written(b.figure, measure, like)
        for b in bars
    ]


def _written(figure: Figure, measure: str, like: float | None) -> str:
    return write(in_time(figure)) if measure == "duration" else write(figure, like=like)


def _view(measure: str) -> dict[str, Any]:
    """One panel: a rule from low to high, a point at the best estimate."""
    y = {"field": "point", "type": "nominal", "sort": None, "title": None}
    title = f"{TITLES[measure]} [{UNITS[measure]}]"
    x = {"type": "quantitative", "scale": {"type": "log"}, "title": title}
    colour = {
        "field": "pareto",
        "type": "nominal",
        "scale": {"domain": [True, False], "range": [_MARK, _PALE]},
        "title": "nothing is as good",
    }
    return {
        "transform": [{"filter": f"datum.measure == '{measure}' && datum.low > 0"}],
        "layer": [
            {"mark": {"type": "rule"},
             "encoding": {"y": y, "x": {"field": "low", **x}, "x2": {"field": "high"},
                          "color": colour}},
            {"mark": {"type": "point", "filled": True, "tooltip": True},
             "encoding": {"y": y, "x": {"field": "value", **x}, "color": colour}},
        ],
    }  # fmt: skip


def _drawn(bars: Sequence[Bar], measure: str, top: float) -> str:
    low, high = ends_of(bars)
    span = math.log(high / low)

    def x(value: float) -> float:
        return _LEFT + _WIDTH * min(1.0, max(0.0, math.log(max(value, low) / low) / span))

    foot = top + _ROW * (len(bars) + 1)
    parts = [f'<text x="10" y="{top:.0f}" font-weight="bold">{TITLES[measure]}</text>']
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        at = x(10.0**power)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top + 6:.1f}" y2="{foot:.1f}" '
            'stroke="#dddddd"/>'
        )
    for i, b in enumerate(bars):
        y = top + _ROW * (i + 1)
        ink = _MARK if b.kept else _PALE
        words = f"{'* ' if b.kept else ''}{b.label}"
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{_escaped(words)}</text>'
            f'<line x1="{x(b.figure.low):.1f}" x2="{x(b.figure.high):.1f}" y1="{y:.1f}" '
            f'y2="{y:.1f}" stroke="{ink}" stroke-width="3"/>'
            f'<circle cx="{x(b.figure.value):.1f}" cy="{y:.1f}" r="5" fill="{ink}"/>'
            f'<text x="{_LEFT + _WIDTH + 12}" y="{y + 4:.1f}">'
            f"{_escaped(_written(b.figure, measure, None))}</text>"
        )
    return "\n".join(parts)


def _escaped(words: str) -> str:
    from xml.sax.saxutils import escape  # nothing that reads XML is imported with it

    return escape(words)
