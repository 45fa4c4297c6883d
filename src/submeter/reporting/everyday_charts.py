# SPDX-License-Identifier: Apache-2.0
"""Power of everyday tasks and of a training over time, drawn row by row on one scale."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.comparing.everyday import IDLE, WAYS, WORDS, Training
from submeter.records.everyday import Everyday, Round
from submeter.reporting.numbers import write

_LEFT, _WIDTH, _ROW, _GAP, _TOP = 300, 560, 44, 10, 56  # pixels
_MOST: Final = 400  # points of a row
_INK, _SOFT, _LINE = "#1d2330", "#6a7180", "#b45a1c"
_FILL, _RUN = "#a9cbb9", "#2f6f5e"


class Profile(NamedTuple):
    """A load over time: power as stretches of mean [s, W], and of a task its processors in use."""

    name: str
    power: tuple[tuple[float, float], ...]
    busy: tuple[float, ...] = ()
    is_training: bool = False

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return sum(length_s for length_s, _ in self.power)


def profiles(found: Everyday, training: Training | None = None) -> list[Profile]:
    """Each task with its rounds joined, at full load and as it was served; then the run."""
    rows: dict[tuple[str, str, str], list[Round]] = {}
    for r in found.rounds:
        if isinstance(r.power_w, float) and r.kind != "many":
            rows.setdefault((r.task, r.way, r.kind), []).append(r)
    made = [
        Profile(
            _name(*key),
            tuple((r.wall_s, r.power_w) for r in rounds if isinstance(r.power_w, float)),
            tuple(busy for r in rounds for busy in r.busy),
        )
        for key, rounds in rows.items()
    ]
    if training is not None and training.power_w:
        watts = thinned(training.power_w)
        each_s = len(training.power_w) * training.slot_s / len(watts)
        power = tuple((each_s, w) for w in watts)
        made.append(Profile(f"the run {training.name}", power, is_training=True))
    return made


def everyday_svg(found: Everyday, training: Training | None = None) -> str:
    """Give the drawing, without scripts and links."""
    rows = profiles(found, training)
    highest = max((w for p in rows for _, w in p.power), default=1.0) or 1.0
    height = _TOP + len(rows) * (_ROW + _GAP) + 10
    top = write(highest, "W", digits=2)
    legend = (
        f"Area: power, 0 to {top}; of tasks the node's by round, of the run its devices' by the "
        f"second. Line: processors in use, 0 to {found.processors}"
    )
    parts = [
        _drawn(p, _TOP + i * (_ROW + _GAP), highest, found.processors) for i, p in enumerate(rows)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 120} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">'
        "<title>Power of everyday computing and of a training</title>"
        f"<desc>{_escaped(legend)}</desc>"
        f'<text x="10" y="24" font-weight="bold">{_escaped(legend)}</text>'
    )
    return "\n".join((head, *parts, "</svg>")) + "\n"


def thinned(power_w: Sequence[float], most: int = _MOST) -> list[float]:
    """Means of neighbouring slots, so that at most so many are left."""
    size = max(1, -(-len(power_w) // most))
    return [
        sum(power_w[i : i + size]) / len(power_w[i : i + size])
        for i in range(0, len(power_w), size)
    ]


def _drawn(row: Profile, top: float, highest_w: float, processors: int) -> str:
    foot = top + _ROW
    area = _steps(row.power, foot, highest_w)
    points = [f"{_LEFT},{foot:.1f}", *area, f"{_LEFT + _WIDTH},{foot:.1f}"]
    slots = thinned(row.busy) if row.busy else []
    busy = " ".join(_steps([(1.0, b) for b in slots], foot, float(processors)))
    line = f'<polyline points="{busy}" fill="none" stroke="{_LINE}"/>' if row.busy else ""
    mean_w = sum(length_s * w for length_s, w in row.power) / row.length_s
    mean, length = write(mean_w, "W", digits=2), write(row.length_s, "s", digits=2)
    fill = _RUN if row.is_training else _FILL
    return (
        f'<text x="{_LEFT - 10}" y="{top + _ROW / 2:.1f}" text-anchor="end">'
        f"{_escaped(row.name)}</text>"
        f'<polygon points="{" ".join(points)}" fill="{fill}"/>{line}'
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{foot:.1f}" y2="{foot:.1f}" '
        f'stroke="{_SOFT}"/>'
        f'<text x="{_LEFT + _WIDTH + 10}" y="{top + _ROW / 2:.1f}" fill="{_SOFT}">'
        f"{_escaped(mean)}, {_escaped(length)}</text>"
    )


def _steps(stretches: Sequence[tuple[float, float]], foot: float, highest: float) -> list[str]:
    """Corners of a staircase of (length, value) over the whole width."""
    whole = sum(length for length, _ in stretches) or 1.0
    corners, at = [], 0.0
    for length, value in stretches:
        y = foot - _ROW * min(1.0, value / highest)
        ends = (_LEFT + _WIDTH * x / whole for x in (at, at + length))
        corners += [f"{x:.1f},{y:.1f}" for x in ends]
        at += length
    return corners


def _name(task: str, way: str, kind: str) -> str:
    words = WORDS.get(task, task).split(", a ")[0] if task != IDLE else "idle machine"
    if way in WAYS:
        words = f"{words}, {WAYS[way]}"
    return f"{words}, a quarter of full load" if kind == "paced" else words


def _escaped(words: str) -> str:
    from xml.sax.saxutils import escape  # nothing that reads XML is imported with it

    return escape(words)
