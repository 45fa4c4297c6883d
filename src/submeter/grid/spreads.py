# SPDX-License-Identifier: Apache-2.0
"""How far an hour, a year, a place may be from its annual figure, as standard deviations.

All are of the logarithm, measured by ``benchmarks/grid_spread.py`` and cited row by row in
``grid_spread.csv``. docs/grid.md tells how each was derived.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Final

from submeter.catalog.factors import grid_spread
from submeter.errors import CoverageError
from submeter.records.factors import NORMAL_95
from submeter.units import H_PER_YEAR

WINDOWS_H: Final = (1, 6, 24, 168, 730)
PRIOR_CHANGES: Final = 2  # so many yearly changes the prior weighs
# Of a zone whose mix nobody knows: no measured zone has more of either (GB 2024, NO 2022).
UNKNOWN_CARBON_FREE: Final = 1.0
UNKNOWN_VARIABLE: Final = 0.43


def profile_sd(profile_id: str, hours: float, *, other_year: bool) -> float:
    """Doubt of the mean over *hours* that a month-by-hour profile tells.

    Notes
    -----
    ``sqrt(own(hours)**2 + (r * own(1 h))**2)``: what the hours of its own year scatter around it,
    and, in any other year, what its shape changes from year to year.
    """

    @cache
    def own(window_h: int) -> float:
        return _value(f"profile/{profile_id}/{window_h}h", f"profile/other/{window_h}h")

    scatter = _over_windows(own, hours)
    if not other_year:
        return scatter
    fading = max(0.0, 1 - hours / H_PER_YEAR)  # a whole year has the mean of the year
    return math.hypot(scatter, _value("profile-other-year") * own(1) * fading)


def flat_sd(carbon_free_ratio: float | None, variable_ratio: float | None, hours: float) -> float:
    """Doubt of the mean over *hours* of a grid of which only the year is known.

    Parameters
    ----------
    carbon_free_ratio, variable_ratio
        Shares of its generation without carbon, and from wind and sun; None where unknown.
    hours
        Length of the window.

    Notes
    -----
    ``sqrt((a c)**2 + (b v)**2) * part(hours)``. The less fossil power a grid has, the more each
    plant of it counts, and wind and sun move it themselves.
    """
    clean = UNKNOWN_CARBON_FREE if carbon_free_ratio is None else carbon_free_ratio
    moving = UNKNOWN_VARIABLE if variable_ratio is None else variable_ratio
    of_hour = math.hypot(_value("flat-carbon-free") * clean, _value("flat-variable") * moving)
    return of_hour * _over_windows(lambda h: _value(f"flat-window/{h}h"), hours)


def drift_sd(annual: Sequence[tuple[int, float]], years: int) -> float:
    """Doubt of an annual figure that is *years* older or younger than the run.

    Parameters
    ----------
    annual
        Year and figure of the same zone, as far as known; its own changes count for it.

    Notes
    -----
    ``sqrt((2 prior**2 + sum d**2) / (2 + n)) * sqrt(years)`` with the yearly changes d of the
    logarithm: intensities walk at random, by and large.
    """
    known = dict(annual)
    changes = [
        math.log(value / known[year - 1])
        for year, value in known.items()
        if value > 0 and known.get(year - 1, 0.0) > 0
    ]
    prior = _value("drift-prior")
    square = PRIOR_CHANGES * prior**2 + math.fsum(d * d for d in changes)
    return math.sqrt(square / (PRIOR_CHANGES + len(changes)) * abs(years))


def inside_country_sd(country: str) -> float:
    """How far the grids of a country are from its mean."""
    return _value(f"country/{country}", "country/other")


def around_world_sd() -> float:
    """How far countries are from the mean of the world, weighted by generation."""
    return _value("world")


def around_world_ratios(scope: str) -> tuple[float, float]:
    """Interval of the single places of the world over its mean: low and high, 95 %.

    Notes
    -----
    Not the spread by generation: it leaves out the small clean grids, and a machine of which
    nobody knows where it stands may well stand in one. Of lifecycle figures the quantiles of
    all places are known; of direct ones, whose low end is near zero, the low one.
    """
    if scope == "lifecycle":
        return _value("world-low"), _value("world-high")
    return _value("world-direct-low"), math.exp(NORMAL_95 * _value("world"))


def proxy_scope_sd() -> float:
    """How far the shape of direct emissions is from that of a whole life cycle."""
    return _value("proxy-scope")


def proxy_flow_sd() -> float:
    """How far the shape of what is generated is from that of what is consumed."""
    return _value("proxy-flow")


def proxy_place_sd() -> float:
    """How far the shapes of two grids of one country are from each other."""
    return _value("proxy-place")


def _value(*keys: str) -> float:
    """Value of the first of *keys* that the table has."""
    for key in keys[:-1]:
        try:
            return grid_spread(key).value
        except CoverageError:
            continue
    return grid_spread(keys[-1]).value


def _over_windows(sd: Callable[[int], float], hours: float) -> float:
    """Interpolate *sd* between its windows, by the logarithm of time; none over a year."""
    if hours <= WINDOWS_H[0]:
        return sd(WINDOWS_H[0])
    known = [*((h, sd(h)) for h in WINDOWS_H), (H_PER_YEAR, 0.0)]
    for (h0, s0), (h1, s1) in pairwise(known):
        if hours <= h1:
            part = math.log(hours / h0) / math.log(h1 / h0)
            return s0 + (s1 - s0) * part
    return 0.0
