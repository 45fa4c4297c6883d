# SPDX-License-Identifier: Apache-2.0
"""Charts of a report as Vega-Lite specifications: plain data that notebooks show as well.

Series are thinned to what a screen can show by keeping the mean and the peak of each bin, so that
no spike is lost.
"""

import math
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import Any, Final, NamedTuple

from submeter.records.devices import DeviceKind
from submeter.records.figures import Missing
from submeter.records.runs import Run

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
MOST_BINS: Final = 480
WIDTH: Final = 1040
MOST_DOTS: Final = 60  # beyond, they merge
# Colours are names of roles, too: writers that know light and dark put their own in their place.
COLOURS: Final = {
    "gpu": "#2f6f5e",
    "cpu": "#7fb39b",
    "dram": "#a9cbb9",
    "rest": "#c9d8cf",
    "facility": "#dcd6c8",
    "node": "#e7eee9",
    "phase": "#8aa7c7",
    "outside": "#e2b98f",
    "quality": "#b45a1c",
    "ink": "#1d2330",
    "soft": "#6a7180",
    "line": "#e6e3dc",
}
_INSIDE: Final = frozenset({"gpu"})  # dark enough for light words
_ROLES: Final = {
    DeviceKind.GPU: "gpu", DeviceKind.CPU: "cpu", DeviceKind.DRAM: "dram", DeviceKind.REST: "rest",
}  # fmt: skip
_WORDS: Final = {"gpu": "GPU", "cpu": "CPU", "dram": "memory", "rest": "rest of the node"}


class Power(NamedTuple):
    """Power of one kind of device over time, in bins."""

    role: str
    start_s: list[float]
    mean_w: list[float]
    peak_w: list[float]


class Block(NamedTuple):
    """A box of the icicle: a part of what stands above it."""

    name: str
    role: str
    level: int
    begin_j: float
    end_j: float


def role_of(kind: DeviceKind) -> str:
    """Role, and with that colour, of a kind of device."""
    return _ROLES.get(kind, "rest")


def word_of(role: str) -> str:
    """What a role is called."""
    return _WORDS.get(role, role)


def power_of(run: Run, most_bins: int = MOST_BINS) -> list[Power]:
    """Power over time by kind of device, thinned by mean and peak; the rest of the node first."""
    sums = _energies_by_role(run)
    order = [r for r in ("rest", "dram", "cpu", "gpu") if r in sums]
    return [_binned(role, sums[role], _slot_s(run), most_bins) for role in order]


def whole_power_of(run: Run, most_bins: int = MOST_BINS) -> Power | None:
    """Power of all devices together; peaks of kinds that fell apart in time are not added."""
    sums = list(_energies_by_role(run).values())
    if not sums:
        return None
    whole = [math.fsum(slots) for slots in zip_longest(*sums, fillvalue=0.0)]
    return _binned("node", whole, _slot_s(run), most_bins)


def _slot_s(run: Run) -> float:
    return run.series.slot_s if run.series is not None else 0.0


def _energies_by_role(run: Run) -> dict[str, list[float]]:
    series = run.series
    if series is None or series.slot_s <= 0:
        return {}
    kinds = {d.device.id: role_of(d.device.kind) for d in run.devices
             if d.device.kind is not DeviceKind.NODE}  # fmt: skip
    sums: dict[str, list[float]] = {}
    for device_id, energies in series.devices.items():
        role = kinds.get(device_id)
        if role is None:
            continue
        total = sums.setdefault(role, [])
        total.extend([0.0] * (len(energies) - len(total)))
        for i, energy in enumerate(energies):
            total[i] += energy
    return {role: energies for role, energies in sums.items() if energies}


def _binned(role: str, energies_j: Sequence[float], slot_s: float, most: int) -> Power:
    size = max(1, math.ceil(len(energies_j) / most))
    starts, means, peaks = [], [], []
    for at in range(0, len(energies_j), size):
        part = [e / slot_s for e in energies_j[at : at + size]]
        starts.append(at * slot_s)
        means.append(math.fsum(part) / len(part))
        peaks.append(max(part))
    return Power(role, starts, means, peaks)


def _time(longest_s: float) -> tuple[float, str]:
    """Unit of the axis of time."""
    return next(
        ((size, name) for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min"))
         if longest_s >= 2 * size),
        (1.0, "s"),
    )  # fmt: skip


def power_chart(
    rows: Sequence[Power], duration_s: float, whole: Power | None = None
) -> dict[str, Any]:
    """Power over time as stacked areas; the last value lasts to the end of the run.

    Where several readings share a bin, a line along the peaks of *whole* stands over them.
    """
    size, unit = _time(duration_s)
    values: list[dict[str, Any]] = []
    for n, row in enumerate(rows):
        ends = [*row.start_s[1:], max(duration_s, row.start_s[-1])]
        for start, end, watts in zip(row.start_s, ends, row.mean_w, strict=True):
            values += [
                {"t": round(t / size, 6), "w": round(watts, 3), "kind": word_of(row.role), "n": n}
                for t in ({start, end} if end == ends[-1] else {start})
            ]
    names = [word_of(r.role) for r in rows]
    x = {"field": "t", "type": "quantitative", "title": unit,
         "scale": {"nice": False}, "axis": _axis(grid=False)}  # fmt: skip
    y = {"field": "w", "type": "quantitative", "title": "W", "axis": _axis(grid=True)}
    areas = {
        "data": {"values": values},
        "mark": {"type": "area", "interpolate": "step-after", "line": False},
        "encoding": {
            "x": x, "y": {**y, "stack": "zero"},
            "color": {"field": "kind", "type": "nominal", "legend": None, "sort": None,
                      "scale": {"domain": names, "range": [COLOURS[r.role] for r in rows]}},
            "order": {"field": "n", "type": "ordinal"},
        },
    }  # fmt: skip
    if whole is None or whole.peak_w == whole.mean_w:
        return _framed(areas, height=200)
    starts = [*whole.start_s, max(duration_s, whole.start_s[-1])]
    tops_w = [*whole.peak_w, whole.peak_w[-1]]
    peaks = {
        "data": {"values": [{"t": round(t / size, 6), "w": round(w, 3)}
                            for t, w in zip(starts, tops_w, strict=True)]},
        "mark": {"type": "line", "interpolate": "step-after", "color": COLOURS["soft"],
                 "strokeWidth": 0.7},
        "encoding": {"x": x, "y": {**y, "stack": None}},
    }  # fmt: skip
    return _framed({"layer": [areas, peaks]}, height=200)


def icicle_chart(blocks: Sequence[Block]) -> dict[str, Any]:
    """Where the joules went: each row splits the one above it, to the joule."""
    whole = max((b.end_j for b in blocks), default=1.0) or 1.0
    levels = 1 + max((b.level for b in blocks), default=0)
    values = [
        {
            "x": b.begin_j / whole, "x2": b.end_j / whole, "y": b.level, "y2": b.level + 0.94,
            "name": b.name if _fits(b, whole) else "", "role": b.role,
            "mid": b.level + 0.5,
        }
        for b in blocks
    ]  # fmt: skip
    roles = list(dict.fromkeys(b.role for b in blocks))
    flat = {"axis": None, "type": "quantitative"}
    rows = {"field": "y", **flat, "scale": {"domain": [0, levels], "reverse": True}}
    return _framed(
        {
            "data": {"values": values},
            "layer": [
                {
                    "mark": {"type": "rect", "cornerRadius": 2, "stroke": "white",
                             "strokeWidth": 1},
                    "encoding": {
                        "x": {"field": "x", **flat, "scale": {"domain": [0, 1]}},
                        "x2": {"field": "x2"}, "y": rows, "y2": {"field": "y2"},
                        "color": {"field": "role", "type": "nominal", "legend": None,
                                  "scale": {"domain": roles,
                                            "range": [COLOURS[r] for r in roles]}},
                    },
                },
                {
                    "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 12},
                    "encoding": {
                        "x": {"field": "x", **flat}, "text": {"field": "name"},
                        "y": {**rows, "field": "mid"},
                        "color": {"condition": {"test": _light_words(),
                                                "value": "#ffffff"},
                                  "value": COLOURS["ink"]},
                    },
                },
            ],
        },
        height=34 * levels,
    )  # fmt: skip


def _light_words() -> str:
    return " || ".join(f"datum.role == '{role}'" for role in sorted(_INSIDE))


def _fits(block: Block, whole: float) -> bool:
    """Whether the name has room in its box, at about seven pixels a letter."""
    return (block.end_j - block.begin_j) / whole * WIDTH > 7 * len(block.name) + 12


def quality_chart(points: Sequence[tuple[float, float]], metric: str) -> dict[str, Any]:
    """A metric over the energy spent until then [Wh]."""
    values = [{"e": round(e, 9), "m": m} for e, m in points]
    return _framed(
        {
            "data": {"values": values},
            "mark": {"type": "line", "color": COLOURS["quality"], "interpolate": "step-after",
                     "point": len(values) <= MOST_DOTS and {"color": COLOURS["quality"]}},
            "encoding": {
                "x": {"field": "e", "type": "quantitative", "title": "Wh at the wall",
                      "axis": _axis(grid=False)},
                "y": {"field": "m", "type": "quantitative", "title": metric,
                      "scale": {"zero": False}, "axis": _axis(grid=True)},
            },
        },
        height=180,
    )  # fmt: skip


def _axis(*, grid: bool) -> dict[str, Any]:
    return {
        "tickCount": 8, "grid": grid, "gridColor": COLOURS["line"], "domain": False,
        "ticks": False,
        "labelColor": COLOURS["soft"], "titleColor": COLOURS["soft"], "labelPadding": 6,
        "titleFontWeight": "normal",
    }  # fmt: skip


def _framed(spec: dict[str, Any], *, height: int) -> dict[str, Any]:
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": height,
        "background": None,
        "padding": 4,
        "config": {"view": {"stroke": None}, "font": "Inter, system-ui, sans-serif"},
        **spec,
    }


def blocks_of(run: Run, facility_j: float, node_j: float) -> list[Block]:
    """Boxes from the wall to the phases; what is left of a level is a box without a name.

    Parameters
    ----------
    facility_j, node_j
        Energy at the wall and of the node [J].
    """
    blocks = [Block("at the wall", "facility", 0, 0.0, facility_j)]
    overhead_j = max(0.0, facility_j - node_j)
    blocks += [Block("facility overhead", "facility", 1, 0.0, overhead_j)] if overhead_j else []
    blocks.append(Block("node", "node", 1, overhead_j, overhead_j + node_j))
    at = overhead_j
    order = {"gpu": 0, "cpu": 1, "dram": 2, "rest": 3}
    rows = [
        d for d in run.devices
        if d.device.kind is not DeviceKind.NODE and not isinstance(d.share, Missing)
    ]  # fmt: skip
    for row in sorted(rows, key=lambda d: order.get(role_of(d.device.kind), 9)):
        assert not isinstance(row.share, Missing)  # noqa: S101
        role = role_of(row.device.kind)
        end = at + row.share.value
        blocks.append(Block(row.device.id.partition(":")[0].upper() if role == "gpu"
                            else word_of(role), role, 2, at, end))  # fmt: skip
        blocks += _phases(run, row.device.id, at, end)
        at = end
    return blocks


def _phases(run: Run, device_id: str, begin_j: float, end_j: float) -> list[Block]:
    """Phases of one device side by side; joint ones are one box."""
    boxes: list[Block] = []
    at, seen = begin_j, set[frozenset[str]]()
    for phase in run.phases:
        group = frozenset({phase.path, *phase.joint_with})
        energy = phase.devices.get(device_id, 0.0)
        if group in seen or energy <= 0:
            continue
        seen.add(group)
        name = " + ".join(sorted(group)) if len(group) > 1 else phase.path
        boxes.append(Block(name, "phase", 3, at, min(end_j, at + energy)))
        at += energy
    if boxes and end_j - at > 1e-9 * max(1.0, end_j):
        boxes.append(Block("outside phases", "outside", 3, at, end_j))
    return boxes


def spent_until(run: Run, elapsed_s: Sequence[float], facility_over_devices: float) -> list[float]:
    """Energy at the wall that was spent until each instant [J], by the run's own series."""
    series = run.series
    length = max(map(len, series.devices.values()), default=0) if series is not None else 0
    if series is None or series.slot_s <= 0 or not length:
        return []
    totals = [0.0]
    for i in range(length):
        step = math.fsum(e[i] for e in series.devices.values() if i < len(e))
        totals.append(totals[-1] + step)
    found = []
    for t in elapsed_s:
        place = min(max(t / series.slot_s, 0.0), float(length))
        whole = min(int(place), length - 1)
        steps = [b - a for a, b in pairwise(totals[whole : whole + 2])]
        found.append((totals[whole] + (place - whole) * steps[0]) * facility_over_devices)
    return found
