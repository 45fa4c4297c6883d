# SPDX-License-Identifier: Apache-2.0
"""A run over time: power of each device, phases under it, gaps and stalls marked.

As lines for a terminal, as a Vega-Lite specification, and as a drawing in SVG that needs nothing
to be made and in which nothing runs: what a box is stands in its title.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final, NamedTuple

from submeter.explaining.timeline import shown_devices
from submeter.records.devices import DeviceKind
from submeter.records.explanations import Stall
from submeter.records.observations import DeviceCourse, Observations
from submeter.reporting.numbers import write_duration, write_power
from submeter.reporting.report.charts import COLOURS, role_of
from submeter.reporting.series import blocks
from submeter.reporting.text import columns, cut, fill, pad, plain

VEGA_LITE: Final = "https://vega.github.io/schema/vega-lite/v5.json"
MOST_LANES: Final = 8
MOST_SPANS: Final = 1500  # of phases in a drawing; what is shorter than a pixel is not seen
_LABEL: Final = 12
_LEFT, _WIDTH, _RIGHT = 150, 820, 20  # pixels
_LANE, _BAND, _GAP, _TOP = 56, 16, 10, 46
_STALL: Final = "#c2571a"
_STALLS: Final = ("#c2571a", "#b03a6b", "#d99a2b", "#8a5a44", "#7a4a8c", "#a33a2a")
_HOLE: Final = "·"
_SIGNS: Final = "abcdefghijklmnopqrstuvwxyz"


class Lane(NamedTuple):
    """Power of one device, or of all boards together, slot by slot [W]."""

    name: str
    role: str
    mean_w: list[float | None]
    peak_w: list[float | None]


class Span(NamedTuple):
    """A phase that stood open."""

    path: str
    start_s: float
    end_s: float


def lanes_of(seen: Observations) -> list[Lane]:
    """Devices of *seen*, boards first; beyond eight lanes those of a kind are one."""
    devices = shown_devices(seen)
    kinds = list(dict.fromkeys(d.kind for d in devices))
    words = {DeviceKind.GPU: "GPU", DeviceKind.CPU: "CPU", DeviceKind.DRAM: "memory"}
    found = []
    for kind in kinds:
        alike = [d for d in devices if d.kind is kind]
        word = words.get(kind, str(kind))
        if len(devices) > MOST_LANES and len(alike) > 1:
            name = f"{word} 0–{len(alike) - 1}"
            found.append(Lane(name, role_of(kind), _sum(alike, "mean_w"), _sum(alike, "peak_w")))
            continue
        for i, d in enumerate(alike):
            name = word if len(alike) == 1 else f"{word} {i}"
            found.append(Lane(name, role_of(kind), list(d.mean_w), list(d.peak_w)))
    return found


def _sum(devices: Sequence[DeviceCourse], field: str) -> list[float | None]:
    rows = [getattr(d, field) for d in devices]
    found: list[float | None] = []
    for i in range(max(map(len, rows), default=0)):
        known = [r[i] for r in rows if i < len(r) and r[i] is not None]
        found.append(math.fsum(known) if known else None)
    return found


def spans_of(seen: Observations) -> list[Span]:
    """Phases of the first rank that marked any, in order."""
    pids = {i.pid: (i.rank if i.rank is not None else 1 << 30, i.pid) for i in seen.intervals}
    if not pids:
        return []
    first = min(pids, key=pids.__getitem__)
    return [Span(i.path, i.start_s, i.end_s) for i in seen.intervals if i.pid == first]


# -- terminal ------------------------------------------------------------------------------


def timeline_words(seen: Observations, stalls: Sequence[Stall], width: int = 80) -> str:
    """Power of each device as a line of blocks, phases as letters, stalls as marks under them."""
    width = max(60, width)
    room = width - _LABEL - 26
    lines = []
    for lane in lanes_of(seen):
        known = [w for w in lane.mean_w if w is not None]
        peak = max((w for w in lane.peak_w if w is not None), default=0.0)
        told = f"{write_power(_mean(known))}, peak {write_power(peak)}" if known else "not read"
        drawn = _bars(lane.mean_w, seen, room)
        lines.append(f"{pad(lane.name, _LABEL)}{drawn}  {told}")
    spans = spans_of(seen)
    if spans:
        line, legend = _letters(spans, seen.duration_s, room)
        lines.append(f"{pad('phases', _LABEL)}{line}")
        lines += _indented(legend, width)
    if stalls:
        lines.append(f"{pad('stalls', _LABEL)}{_marks(stalls, seen.duration_s, room)}")
        lines += _indented(_told(stalls), width)
    end = write_duration(seen.duration_s)
    lines.append(f"{'':{_LABEL}}0{' ' * max(1, room - 1 - columns(end))}{end}")
    return "\n".join(cut(line, width) for line in lines)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _bars(values: Sequence[float | None], seen: Observations, room: int) -> str:
    """*values* in *room* characters that hold equal times."""
    cells = [_cell(values, seen, i, room) for i in range(room)]
    return blocks([0.0, *cells], room + 1)[1:]  # heights count from zero


def _cell(values: Sequence[float | None], seen: Observations, i: int, room: int) -> float | None:
    begin_s, end_s = i * seen.duration_s / room, (i + 1) * seen.duration_s / room
    first = int(begin_s / seen.slot_s)
    last = max(first, math.ceil(end_s / seen.slot_s - 1e-9) - 1)
    known = [v for v in values[first : last + 1] if v is not None]
    return _mean(known) if known else None


def _letters(spans: Sequence[Span], duration_s: float, room: int) -> tuple[str, list[str]]:
    """A letter for each path where it fills most of a character; and what the letters mean."""
    seconds: dict[str, float] = {}
    for span in spans:
        seconds[span.path] = seconds.get(span.path, 0.0) + span.end_s - span.start_s
    order = sorted(seconds, key=lambda p: -seconds[p])[: len(_SIGNS)]
    signs = {path: _SIGNS[i] for i, path in enumerate(order)}
    step_s = duration_s / room
    fill_s: list[dict[str, float]] = [{} for _ in range(room)]
    for span in spans:
        for i in range(int(span.start_s / step_s), min(room, math.ceil(span.end_s / step_s))):
            inside = min(span.end_s, (i + 1) * step_s) - max(span.start_s, i * step_s)
            fill_s[i][span.path] = fill_s[i].get(span.path, 0.0) + inside
    line = ""
    for row in fill_s:
        best = max(row, key=row.__getitem__, default="")
        line += signs.get(best, "…") if best and 2 * row[best] >= step_s else _HOLE
    legend = [f"{signs[p]} {plain(p)} {write_duration(seconds[p])}" for p in order]
    return line, legend


def _marks(stalls: Sequence[Stall], duration_s: float, room: int) -> str:
    step_s = duration_s / room
    line = [" "] * room
    for stall in stalls:
        for i in range(int(stall.start_s / step_s), min(room, math.ceil(stall.end_s / step_s))):
            line[i] = "▔"
    return "".join(line)


def _told(stalls: Sequence[Stall]) -> list[str]:
    """Each stall, those of one cause and place together."""
    sums: dict[tuple[str, str], tuple[float, int, float]] = {}
    for stall in stalls:
        key = stall.cause, stall.where
        seconds, count, first = sums.get(key, (0.0, 0, stall.start_s))
        sums[key] = seconds + stall.end_s - stall.start_s, count + 1, first
    told = []
    for (cause, where), (seconds, count, first) in sorted(sums.items(), key=lambda r: -r[1][0])[
        :12
    ]:
        place = f" ({plain(where, width=30)})" if where else ""
        times = f", {count}×" if count > 1 else f" from {write_duration(first)}"
        told.append(f"{cause}{place} {write_duration(seconds)}{times}")
    return told


def _indented(pieces: Iterable[str], width: int) -> list[str]:
    return [" " * _LABEL + line for line in fill(pieces, width - _LABEL, between=" · ")]


# -- Vega-Lite -----------------------------------------------------------------------------


def timeline_specification(seen: Observations, stalls: Sequence[Stall]) -> dict[str, Any]:
    """Power, phases and stalls over one axis of time; draws with any Vega-Lite 5."""
    size, unit = _unit(seen.duration_s)
    watts = [
        {"t": round(i * seen.slot_s / size, 6), "w": round(w, 3), "device": lane.name}
        for lane in lanes_of(seen)
        for i, w in enumerate(lane.mean_w)
        if w is not None
    ]
    phases = [
        {"phase": s.path, "t": s.start_s / size, "t2": s.end_s / size}
        for s in _long(spans_of(seen), seen.duration_s)
    ]
    marks = [
        {"cause": s.cause, "where": s.where, "t": s.start_s / size, "t2": s.end_s / size}
        for s in stalls
    ]
    x = {"field": "t", "type": "quantitative", "title": unit, "scale": {"nice": False}}
    return {
        "$schema": VEGA_LITE,
        "description": "A run over time: power by device, phases, stalls (submeter explain)",
        "vconcat": [
            _view(watts, 220, {
                "mark": {"type": "line", "interpolate": "step-after"},
                "encoding": {"x": x, "y": {"field": "w", "type": "quantitative", "title": "W"},
                             "color": {"field": "device", "type": "nominal"}},
            }),
            _view(phases, 60, {
                "mark": "bar",
                "encoding": {"x": x, "x2": {"field": "t2"},
                             "color": {"field": "phase", "type": "nominal"},
                             "tooltip": {"field": "phase"}},
            }),
            _view(marks, 60, {
                "mark": {"type": "bar", "color": _STALL},
                "encoding": {"x": x, "x2": {"field": "t2"},
                             "y": {"field": "cause", "type": "nominal", "title": None},
                             "tooltip": [{"field": "cause"}, {"field": "where"}]},
            }),
        ],
        "resolve": {"scale": {"x": "shared", "color": "independent"}},
    }  # fmt: skip


def _view(values: list[dict[str, Any]], height: int, spec: dict[str, Any]) -> dict[str, Any]:
    return {"width": 900, "height": height, "data": {"values": values}, **spec}


def _unit(longest_s: float) -> tuple[float, str]:
    return next(
        ((size, name) for size, name in ((3600.0, "h"), (60.0, "min")) if longest_s >= 2 * size),
        (1.0, "s"),
    )


def _long(spans: Sequence[Span], duration_s: float) -> list[Span]:
    """What a pixel shows; where there is more, the longest."""
    seen = [s for s in spans if (s.end_s - s.start_s) * _WIDTH >= 0.3 * duration_s]
    if len(seen) > MOST_SPANS:
        shortest = sorted((s.end_s - s.start_s for s in seen), reverse=True)[MOST_SPANS]
        seen = [s for s in seen if s.end_s - s.start_s > shortest]
    return seen


# -- SVG -----------------------------------------------------------------------------------


def timeline_svg(seen: Observations, stalls: Sequence[Stall], title: str) -> str:
    """A drawing of the time line, without scripts and links."""
    lanes, spans = lanes_of(seen), _long(spans_of(seen), seen.duration_s)
    parts: list[str] = []
    y = float(_TOP)
    for lane in lanes:
        parts += _lane(lane, seen, y)
        y += _LANE + _GAP
    bottom = y
    if spans:
        parts += _phases(spans, seen.duration_s, y)
        y += _BAND + _GAP
        bottom = y
    if stalls:
        parts += _stall_bands(stalls, seen.duration_s, bottom)
        bottom += _BAND + _GAP
    parts += _clock(seen.duration_s, bottom)
    names = list(dict.fromkeys(s.path for s in spans))
    parts += _keys(names, stalls, bottom + 34)
    height = bottom + 62
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} '
        f'{height:.0f}" font-family="sans-serif" font-size="12" fill="{COLOURS["ink"]}">'
        f"<title>{escape(plain(title))}</title>"
        f'<text x="10" y="20" font-size="14">{escape(plain(title))}</text>'
        + "".join(parts)
        + "</svg>\n"
    )


def _x(t_s: float, duration_s: float) -> float:
    return _LEFT + _WIDTH * min(1.0, max(0.0, t_s / duration_s if duration_s > 0 else 0.0))


def _lane(lane: Lane, seen: Observations, y: float) -> list[str]:
    """Mean as an area, peaks as a pale one behind it; slots that were not read stay empty."""
    top = max((w for w in (*lane.peak_w, *lane.mean_w) if w is not None), default=0.0) or 1.0
    base = y + _LANE
    colour = COLOURS.get(lane.role, COLOURS["rest"])
    known = [w for w in lane.mean_w if w is not None]
    words = (
        f"{lane.name}: mean {write_power(_mean(known))}, peak {write_power(top)}" if known else ""
    )
    told = escape(write_power(_mean(known)) if known else "not read")
    parts = [
        _text(10, y + 14, lane.name),
        f'<text x="10" y="{y + 30:.0f}" fill="{COLOURS["soft"]}" font-size="11">{told}</text>',
        _floor(base),
    ]
    for row, opacity in ((lane.peak_w, 0.3), (lane.mean_w, 1.0)):
        path = _area(row, seen, base, top)
        if path:
            parts.append(
                f'<path d="{path}" fill="{colour}" fill-opacity="{opacity:g}">'
                f"<title>{escape(words)}</title></path>"
            )
    return parts


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'


def _floor(y: float) -> str:
    colour = COLOURS["line"]
    return f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + _WIDTH}" y2="{y}" stroke="{colour}"/>'


def _area(row: Sequence[float | None], seen: Observations, base: float, top: float) -> str:
    path, open_ = "", False
    for i, watts in enumerate(row):
        a = _x(i * seen.slot_s, seen.duration_s)
        b = _x((i + 1) * seen.slot_s, seen.duration_s)
        if watts is None:
            path += f"V{base:.1f}Z" if open_ else ""
            open_ = False
            continue
        height = base - _LANE * watts / top
        path += "" if open_ else f"M{a:.1f} {base:.1f}"
        path += f"V{height:.1f}H{b:.1f}"
        open_ = True
    return path + (f"V{base:.1f}Z" if open_ else "")


def _colour(name: str, names: Sequence[str]) -> str:
    shades = ("#8aa7c7", "#5f7fa6", "#b3c5da", "#7d94b5", "#9fb8a8", "#c8d3e0", "#6f8fae")
    return shades[names.index(name) % len(shades)]


def _phases(spans: Sequence[Span], duration_s: float, y: float) -> list[str]:
    names = list(dict.fromkeys(s.path for s in spans))
    parts = [f'<text x="10" y="{y + 12:.0f}">phases</text>']
    for span in spans:
        a, b = _x(span.start_s, duration_s), _x(span.end_s, duration_s)
        told = f"{plain(span.path)}, {write_duration(span.end_s - span.start_s)}"
        parts.append(
            f'<rect x="{a:.1f}" y="{y:.0f}" width="{max(b - a, 0.3):.1f}" height="{_BAND}" '
            f'fill="{_colour(span.path, names)}"><title>{escape(told)}</title></rect>'
        )
    return parts


def _stall_bands(stalls: Sequence[Stall], duration_s: float, y: float) -> list[str]:
    """A lane of stalls by cause, and a pale band over the power above each."""
    parts = [f'<text x="10" y="{y + 12:.0f}">stalls</text>']
    causes = _causes(stalls)
    for stall in stalls:
        a, b = _x(stall.start_s, duration_s), _x(stall.end_s, duration_s)
        colour = _cause_colour(stall.cause, causes)
        told = f"{stall.cause} {plain(stall.where)}, {write_duration(stall.end_s - stall.start_s)}"
        for top, height, opacity in ((_TOP - 6.0, y - _TOP, 0.08), (y, _BAND, 1.0)):
            parts.append(
                f'<rect x="{a:.1f}" y="{top:.0f}" width="{max(b - a, 0.5):.1f}" '
                f'height="{height:.0f}" fill="{colour}" fill-opacity="{opacity:g}">'
                f"<title>{escape(told)}</title></rect>"
            )
    return parts


def _causes(stalls: Sequence[Stall]) -> list[str]:
    return list(dict.fromkeys(s.cause for s in stalls))


def _cause_colour(cause: str, causes: Sequence[str]) -> str:
    return _STALLS[causes.index(cause) % len(_STALLS)]


def _clock(duration_s: float, y: float) -> list[str]:
    size, unit = _unit(duration_s)
    step = _step(duration_s / size)
    parts, t = [], 0.0
    while t <= duration_s / size * (1 + 1e-9):
        x = _x(t * size, duration_s)
        parts.append(
            f'<text x="{x:.1f}" y="{y + 14:.0f}" text-anchor="middle" font-size="11" '
            f'fill="{COLOURS["soft"]}">{t:g}{" " + unit if not t else ""}</text>'
        )
        t += step
    return parts


def _step(whole: float) -> float:
    """A round step that gives five to ten of them."""
    if whole <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(whole / 5))
    return next(size * m for m in (1.0, 2.0, 5.0, 10.0) if whole / (size * m) <= 10)  # noqa: PLR2004


def _keys(names: Sequence[str], stalls: Sequence[Stall], y: float) -> list[str]:
    """What colours mean, as far as a line holds it."""
    keys = [(plain(n, width=24), _colour(n, names)) for n in names[:6]]
    causes = _causes(stalls)
    keys += [(c, _cause_colour(c, causes)) for c in causes[:4]]
    parts, x = [], float(_LEFT)
    for words, colour in keys:
        wide = 22 + 7 * columns(words)
        if x + wide > _LEFT + _WIDTH:
            break
        parts.append(
            f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="12" height="12" fill="{colour}"/>'
            f'<text x="{x + 16:.0f}" y="{y:.0f}" font-size="11">{escape(words)}</text>'
        )
        x += wide
    return parts


def page(svg: str, title: str) -> str:
    """One file of HTML around a drawing; it opens offline, and nothing in it runs."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(plain(title))}</title><style>"
        "body{margin:2rem auto;max-width:70rem;background:#fff;font-family:sans-serif}"
        "svg{width:100%;height:auto}rect:hover,path:hover{opacity:.7}"
        f"</style></head><body>\n{svg}</body></html>\n"
    )
