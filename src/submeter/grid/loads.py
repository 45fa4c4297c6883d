# SPDX-License-Identifier: Apache-2.0
"""When a run drew its energy: what is weighed against prices and intensities over time."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from submeter.errors import CoverageError
from submeter.records.figures import Missing
from submeter.records.runs import Run
from submeter.records.traces import Load


def load_of(run: Run) -> Load:
    """Energy of *run* by slot, from its start on [J].

    Notes
    -----
    Only the shape matters: the energies are those of the devices that have a time line, and what
    follows them (rest of the node, overhead) is drawn when they draw. A run without a time line
    is spread evenly over its duration.

    Raises
    ------
    CoverageError
        If it is not known when the run began.
    """
    start_utc_s = _epoch_s(run.started_utc)
    series = run.series
    if series is not None and series.slot_s > 0 and series.devices:
        slots = max(map(len, series.devices.values()))
        sums = [0.0] * slots
        for row in series.devices.values():
            for i, energy_j in enumerate(row):
                sums[i] += energy_j
        if all(map(math.isfinite, sums)) and sum(sums) > 0:
            return Load(start_utc_s, series.slot_s, tuple(sums))
    return Load(start_utc_s, max(run.duration_s, 1.0), (1.0,))


def _epoch_s(started_utc: str) -> float:
    try:
        return datetime.fromisoformat(started_utc).timestamp()
    except (ValueError, OverflowError) as exc:
        raise CoverageError(
            f"it is not known when the run began: {started_utc[:40]!r} is no instant",
            remedy="submeter replay RUN --at 2026-01-10",
        ) from exc


def year_of(load: Load) -> int:
    """Year in which the middle of *load* lies, in UTC."""
    middle_utc_s = load.start_utc_s + load.slot_s * len(load.energies_j) / 2
    return datetime.fromtimestamp(middle_utc_s, UTC).year


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
