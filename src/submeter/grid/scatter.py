# SPDX-License-Identifier: Apache-2.0
"""How the hours of a grid scatter around what an annual figure and its profile tell of them.

`submeter.grid.traces.intensity` says how far a whole trace may be off. To choose between hours,
its inside counts: how much single hours differ from the profile, for how long they do, and how
far the shape of a day itself may have changed.
"""

import math
from datetime import UTC, datetime
from typing import Final

import msgspec

from submeter.grid.annual import DECLARED, annual_of
from submeter.grid.spreads import (
    WINDOWS_H,
    flat_sd,
    profile_sd,
    proxy_flow_sd,
    proxy_place_sd,
    proxy_scope_sd,
)
from submeter.grid.traces import mix_shares, profile_for
from submeter.records.places import Zone
from submeter.records.traces import Kind

_HOUR: Final = WINDOWS_H[0]


class Scatter(msgspec.Struct, frozen=True):
    """Standard deviations of the logarithm around a month-by-hour profile, or a flat year.

    Attributes
    ----------
    windows
        Hours and sd of the mean over a window of so many hours; it falls as the window grows.
    shape_sd
        What the shape of a day itself may differ by: another year, another kind, a near place.
    profiled
        Whether hours are told apart at all; if not, one is as likely to be clean as another.
    """

    windows: tuple[tuple[int, float], ...]
    shape_sd: float
    profiled: bool


def scatter(zone: Zone, at_utc_s: float, *, kind: Kind | None = None) -> Scatter:
    """Scatter of the hours of *zone* around their offline trace in the year of an instant.

    Raises
    ------
    CoverageError
        If no figure of this *kind* is known.
    """
    year = datetime.fromtimestamp(at_utc_s, UTC).year
    annual = annual_of(zone, year, kind)
    if annual.factor.verified == DECLARED:  # said to be the same at every hour
        return Scatter(tuple((hours, 0.0) for hours in WINDOWS_H), 0.0, profiled=False)
    profile = profile_for(zone, annual)
    if profile is None:
        clean, moving = mix_shares(annual.code)
        found = tuple((hours, flat_sd(clean, moving, hours)) for hours in WINDOWS_H)
        return Scatter(found, 0.0, profiled=False)
    own = tuple((h, profile_sd(profile.id, h, other_year=False)) for h in WINDOWS_H)
    changed = profile_sd(profile.id, _HOUR, other_year=True) if year != profile.year else own[0][1]
    sds = [math.sqrt(max(0.0, changed**2 - own[0][1] ** 2))]
    if profile.kind.scope != annual.kind.scope:
        sds.append(proxy_scope_sd())
    if profile.kind.flow != annual.kind.flow:
        sds.append(proxy_flow_sd())
    if profile.zone != annual.code:
        sds.append(proxy_place_sd())
    return Scatter(own, math.hypot(*sds), profiled=True)
