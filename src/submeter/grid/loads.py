# SPDX-License-Identifier: Apache-2.0
"""When a run drew its energy: what is weighed against prices and intensities over time."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from submeter.errors import CoverageError, UsageError
from submeter.records.figures import Missing
from submeter.records.runs import Run, Series
from submeter.records.traces import Load

LEAST_SLOT_S: Final = 1e-3
LONGEST_S: Final = 20 * 366 * 86400.0  # of a run
_DAY_S: Final = 86400.0


def load_of(run: Run) -> Load:
    """Energy of *run* by slot, from its start on [J].

    Notes
    -----
    Only the shape matters: the energies are those of the devices that have a time line, and what
    follows them (rest of the node, overhead) is drawn when they draw. A run without a time line
    is spread evenly over its duration, and so is one whose time line cannot be: slots below zero,
    not finite, shorter than a millisecond, or longer than 20 years in all.

    Raises
    ------
    CoverageError
        If it is not known when the run began.
    """
    start_utc_s = _epoch_s(run.started_utc)
    series = run.series
    if series is not None and series.devices:
        sums = _by_slot(series)
        if LEAST_SLOT_S <= series.slot_s <= LONGEST_S / max(1, len(sums)) and _drawn(sums):
            return Load(start_utc_s, series.slot_s, sums)
    span_s = run.duration_s if 1 <= run.duration_s <= LONGEST_S else 1.0
    return Load(start_utc_s, span_s, (1.0,))


def _by_slot(series: Series) -> tuple[float, ...]:
    """Energy of all devices by slot [J]."""
    sums = [0.0] * max(map(len, series.devices.values()))
    for row in series.devices.values():
        for i, energy_j in enumerate(row):
            sums[i] += energy_j
    return tuple(sums)


def _drawn(sums: tuple[float, ...]) -> bool:
    """Whether these can be energies that were drawn."""
    return all(map(math.isfinite, sums)) and min(sums, default=-1.0) >= 0 < sum(sums)


def _epoch_s(started_utc: str) -> float:
    try:
        return datetime.fromisoformat(started_utc).timestamp()
    except (ValueError, OverflowError) as exc:
        raise CoverageError(
            f"it is not known when the run began: {started_utc[:40]!r} is no instant",
            remedy="submeter replay RUN --at 2026-01-10",
        ) from exc


def year_of(load: Load) -> int:
    """Year in which the middle of *load* lies, in UTC.

    Raises
    ------
    UsageError
        If the load, or the day around it, lies outside the years 1 to 9999.
    """
    span_s = load.slot_s * len(load.energies_j)
    try:
        for edge_utc_s in (load.start_utc_s - _DAY_S, load.start_utc_s + span_s + _DAY_S):
            datetime.fromtimestamp(edge_utc_s, UTC)
        return datetime.fromtimestamp(load.start_utc_s + span_s / 2, UTC).year
    except (ValueError, OverflowError, OSError) as exc:
        raise UsageError(
            "the run would lie outside the years 1 to 9999",
            remedy="give a time such as --at 2026-01-10",
        ) from exc


def started_at(utc_s: float) -> str:
    """Instant *utc_s* as a Run writes it."""
    words = datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds")
    return words.replace("+00:00", "Z")


def utc_offset_s(timezone: str) -> Callable[[float], float] | Missing:
    """How far the clocks of an IANA time zone are ahead of UTC at an instant [s]."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        place = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return Missing("the time zone of the place is not known: give coordinates or a country")

    def offset_s(utc_s: float) -> float:
        ahead = datetime.fromtimestamp(utc_s, UTC).astimezone(place).utcoffset()
        return 0.0 if ahead is None else ahead.total_seconds()

    return offset_s
