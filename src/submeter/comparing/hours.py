# SPDX-License-Identifier: Apache-2.0
"""What the carbon of two runs owes to their hours, which an annual figure does not tell.

Both are reckoned with one row of the catalog, whose doubt cancels. That the hours of one run were
cleaner than those of the other does not.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from submeter.errors import CoverageError
from submeter.grid.scatter import scatter
from submeter.records.footprints import Footprint
from submeter.records.places import Zone
from submeter.records.runs import Run
from submeter.units import S_PER_H

_GRIDS: Final = ("grid/", "grid_odbl/")
_INTENSITY: Final = "g_per_kwh"
_TOLD: Final = frozenset({"live", "declared"})  # of the very hours, or said to be of any
_REACH: Final = 3.0  # a window of so many lags has, on average, the correlation at one


class _Hours(NamedTuple):
    """When and where a run drew, as far as only a year's figure tells what the grid did."""

    zone: Zone
    middle_utc_s: float
    duration_h: float


def hour_log_sds(firsts: Sequence[tuple[Run, Footprint]]) -> list[float]:
    """Doubt of each run's grams per kWh over those of the first, by their hours [log].

    Notes
    -----
    A mean over a window of ``w`` hours scatters by ``s(w)`` around what a year and its profile
    tell (`submeter.grid.scatter`). The square of ``s(w) / s(d)`` is the mean correlation within
    the window of stretches as long as a run, ``d``; taken as that at a lag ``L`` of a third of it.
    The ratio of two runs then scatters by ``s(d) sqrt(2 (1 - r(L)))``.
    """
    hours = [_hours(run, made) for run, made in firsts]
    return [_between(hours[0], other) for other in hours]


# --- inside -------------------------------------------------------------------------------------


def _hours(run: Run, made: Footprint) -> _Hours | None:
    by_year = any(
        factor.key.startswith(_GRIDS) and _INTENSITY in factor.key and factor.verified not in _TOLD
        for factor in made.factors
    )
    if not by_year or made.zone is None:
        return None
    try:
        started_s = datetime.fromisoformat(run.started_utc).timestamp()
    except (ValueError, OverflowError):
        return None
    return _Hours(made.zone, started_s + run.duration_s / 2, run.duration_s / S_PER_H)


def _between(one: _Hours | None, other: _Hours | None) -> float:
    """Deviation of the ratio of their grams per kWh; 0 where no row of one grid is shared."""
    if one is None or other is None or one.zone.code != other.zone.code:
        return 0.0
    lag_h = abs(other.middle_utc_s - one.middle_utc_s) / S_PER_H
    if lag_h == 0:
        return 0.0
    try:
        windows = scatter(one.zone, one.middle_utc_s).windows
    except CoverageError:
        return 0.0
    span_h = (one.duration_h + other.duration_h) / 2
    own = _sd_at(windows, span_h)
    wide = min(own, _sd_at(windows, max(span_h, _REACH * lag_h)))
    return math.sqrt(2 * (own * own - wide * wide))


def _sd_at(windows: Sequence[tuple[float, float]], hours: float) -> float:
    """Deviation of a mean over so many *hours*, by its logarithm between the known windows."""
    if hours <= windows[0][0]:
        return windows[0][1]
    for (low_h, low), (high_h, high) in pairwise(windows):
        if hours <= high_h:
            share = math.log(hours / low_h) / math.log(high_h / low_h)
            return low + share * (high - low)
    return windows[-1][1]
