# SPDX-License-Identifier: Apache-2.0
"""A trace over time as a person reads it: a line of blocks, its range, and where it is from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from submeter.records.figures import Missing
from submeter.records.places import Zone
from submeter.records.traces import Trace
from submeter.reporting.text import fill, plain

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_HOLE: Final = "·"
TRACE_SCHEMA: Final = 1


def blocks(values: Sequence[float | None], width: int) -> str:
    """Draw *values* in at most *width* characters, from the least (▁) to the most (█).

    Several values share a character by their mean; gaps are dots, and a flat series is half high.
    """
    size = -(-len(values) // width)
    means = [_mean(values[i : i + size]) for i in range(0, len(values), size)]
    known = [m for m in means if m is not None]
    if not known:
        return _HOLE * len(means)
    low, high = min(known), max(known)
    if high - low <= 1e-9 * abs(high):  # also where all is zero
        return "".join(_HOLE if m is None else _BLOCKS[3] for m in means)
    top = len(_BLOCKS) - 1
    return "".join(
        _HOLE if m is None else _BLOCKS[round((m - low) / (high - low) * top)] for m in means
    )


def trace_text(trace: Trace, zone: Zone, width: int) -> str:
    """Several lines about *trace* of *zone*, none wider than *width*."""
    known = [v for v in trace.values if v is not None]
    begin, end = _ends(trace)
    lines = [f"{zone.name} ({trace.zone})" if zone.name else trace.zone]
    lines.append(f"  {begin:%H} {blocks(trace.values, width - 8)} {end:%H}")
    day = "%Y-%m-%d %H:%M"
    lines.append(f"  time      {begin:{day}} – {end:{day}} UTC, {_step(trace.step_s)} each")
    if known:
        mean = sum(known) / len(known)
        lines.append(
            f"  range     {min(known):.0f} – {max(known):.0f} {trace.unit}, mean {mean:.0f}"
            f" ({mean * trace.low_ratio:.0f} – {mean * trace.high_ratio:.0f})"
        )
    about = {
        "kind": str(trace.kind or ""),
        "shape": trace.shape,
        "source": trace.source,
        "licence": trace.licence,
    }
    rows = [*about.items(), *(("note", note) for note in _notes(trace, zone))]
    for word, said in rows:
        if said:
            first, *others = fill(plain(said).split(), width - 12)
            lines.append(f"  {word:9} {first}")
            lines += [f"{'':12}{more}" for more in others]
    return "\n".join(lines)


def trace_document(trace: Trace, zone: Zone) -> dict[str, object]:
    """JSON words of *trace*: the level as a figure, and each slot as a number or missing."""
    known = [v for v in trace.values if v is not None]
    mean = sum(known) / len(known) if known else None
    level: object = Missing("no slot has a value")
    if mean is not None:
        level = {
            "value": mean,
            "low": mean * trace.low_ratio,
            "high": mean * trace.high_ratio,
            "level": 0.95,
            "unit": trace.unit,
            "source": trace.source,
        }
    begin, end = _ends(trace)
    return {
        "schema": TRACE_SCHEMA,
        "zone": {"code": trace.zone, "name": zone.name, "how": zone.how},
        "start_utc": begin.isoformat(),
        "end_utc": end.isoformat(),
        "step_s": trace.step_s,
        "unit": trace.unit,
        "kind": None if trace.kind is None else msgspec.structs.asdict(trace.kind),
        "shape": trace.shape,
        "mean": {"missing": level.why} if isinstance(level, Missing) else level,
        "values": [{"missing": "no usable value"} if v is None else v for v in trace.values],
        "source": trace.source,
        "licence": trace.licence,
        "year": trace.year,
        "notes": _notes(trace, zone),
    }


def _notes(trace: Trace, zone: Zone) -> list[str]:
    return [note for note in dict.fromkeys((zone.note, *trace.notes)) if note]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _ends(trace: Trace) -> tuple[datetime, datetime]:
    end_utc_s = trace.start_utc_s + len(trace.values) * trace.step_s
    return datetime.fromtimestamp(trace.start_utc_s, UTC), datetime.fromtimestamp(end_utc_s, UTC)


def _step(step_s: float) -> str:
    return f"{step_s / 3600:g} h" if step_s >= 3600 else f"{step_s / 60:g} min"  # noqa: PLR2004
