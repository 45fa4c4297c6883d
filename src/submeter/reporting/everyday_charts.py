# SPDX-License-Identifier: Apache-2.0
"""Power of everyday tasks and of a training over time, drawn row by row on one scale."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.comparing.everyday import IDLE, WAYS, WORDS, Training
from submeter.records.everyday import Everyday
from submeter.reporting.numbers import write

_LEFT, _WIDTH, _ROW, _GAP, _TOP = 300, 560, 44, 10, 56  # pixels
_MOST: Final = 400  # points of a row
_INK, _SOFT, _FILL, _RUN = "#1d2330", "#6a7180", "#7fb39b", "#2f6f5e"


class Profile(NamedTuple):
    """Power of one task, or of the training, in slots [W]."""

    name: str
    power_w: tuple[float, ...]
    slot_s: float
    is_training: bool = False


def profiles(found: Everyday, training: Training | None = None) -> list[Profile]:
    """Power of the rounds of each task, joined; at full load and as it was served; the run."""
    rows: dict[tuple[str, str, str], list[float]] = {}
    slot_s = 0.0
    for r in found.rounds:
        if r.power_w and r.kind != "many":
            rows.setdefault((r.task, r.way, r.kind), []).extend(r.power_w)
            slot_s = r.slot_s
    made = [
        Profile(_name(task, way, kind), tuple(power), slot_s)
        for (task, way, kind), power in rows.items()
    ]
    if training is not None and training.power_w:
        made.append(Profile(f"the run {training.name}", training.power_w, training.slot_s, True))
    return made


def everyday_svg(found: Everyday, training: Training | None = None) -> str:
    """Give the drawing, without scripts and links."""
    rows = profiles(found, training)
    highest = max((max(p.power_w) for p in rows), default=1.0) or 1.0
    height = _TOP + len(rows) * (_ROW + _GAP) + 10
    legend = (
        "Power of the devices that are read, each row from 0 to "
        f"{write(highest, 'W', digits=2)}; its length of time stands behind it"
    )
    parts = [_drawn(p, _TOP + i * (_ROW + _GAP), highest) for i, p in enumerate(rows)]
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


def _drawn(row: Profile, top: float, highest_w: float) -> str:
    values = thinned(row.power_w)
    step = _WIDTH / len(values)
    foot = top + _ROW
    points = [f"{_LEFT},{foot:.1f}"]
    for i, power in enumerate(values):
        y = foot - _ROW * power / highest_w
        points += [f"{_LEFT + i * step:.1f},{y:.1f}", f"{_LEFT + (i + 1) * step:.1f},{y:.1f}"]
    points.append(f"{_LEFT + _WIDTH},{foot:.1f}")
    mean = write(sum(row.power_w) / len(row.power_w), "W", digits=2)
    length = write(len(row.power_w) * row.slot_s, "s", digits=2)
    fill = _RUN if row.is_training else _FILL
    return (
        f'<text x="{_LEFT - 10}" y="{top + _ROW / 2:.1f}" text-anchor="end">'
        f"{_escaped(row.name)}</text>"
        f'<polygon points="{" ".join(points)}" fill="{fill}"/>'
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{foot:.1f}" y2="{foot:.1f}" '
        f'stroke="{_SOFT}"/>'
        f'<text x="{_LEFT + _WIDTH + 10}" y="{top + _ROW / 2:.1f}" fill="{_SOFT}">'
        f"{_escaped(mean)}, {_escaped(length)}</text>"
    )


def _name(task: str, way: str, kind: str) -> str:
    words = WORDS.get(task, task).split(", a ")[0] if task != IDLE else "idle machine"
    if way in WAYS:
        words = f"{words}, {WAYS[way]}"
    return f"{words}, a quarter of full load" if kind == "paced" else words


def _escaped(words: str) -> str:
    from xml.sax.saxutils import escape  # nothing that reads XML is imported with it

    return escape(words)
