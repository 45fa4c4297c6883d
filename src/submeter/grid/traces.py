# SPDX-License-Identifier: Apache-2.0
"""Carbon intensity over time without a key: an annual figure times a month-by-hour profile."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from submeter.catalog.facts import cited, facts
from submeter.catalog.tables import rows
from submeter.errors import UsageError
from submeter.grid.annual import DECLARED, Annual, annual_of
from submeter.grid.factors import keys_of, shares_of
from submeter.grid.place import WORLD as NOWHERE
from submeter.grid.spreads import (
    flat_sd,
    profile_sd,
    proxy_flow_sd,
    proxy_place_sd,
    proxy_scope_sd,
)
from submeter.grid.weighting import widened_ratios
from submeter.records.places import Zone
from submeter.records.traces import Kind, Shape, Trace

STEP_S: Final = 3600
LONGEST_S: Final = 20 * 366 * 86400  # of a run; beyond, an instant was given in other units
_HOURS: Final = 24
_NO_DIFFERENCE: Final = 0.005


class Profile(msgspec.Struct, frozen=True):
    """Mean of each month and UTC hour over the mean of the year, January 00 h first."""

    id: str
    zone: str
    year: int
    kind: Kind
    values: tuple[float, ...]
    source: str
    licence: str


class _Shaped(msgspec.Struct, frozen=True):
    """Relative values of a profile, how they were come by, and their doubt."""

    values: tuple[float, ...]
    shape: Shape
    sds: tuple[float, ...]
    notes: tuple[str, ...]
    source: str = ""
    licence: str = ""


def intensity(
    zone: Zone, start_utc_s: float, end_utc_s: float, *, kind: Kind | None = None
) -> Trace:
    """Carbon intensity of *zone* by hour, from the hour of the start to that of the end.

    Parameters
    ----------
    zone
        Place, as `resolve_place` gives it.
    start_utc_s, end_utc_s
        Span in seconds of Unix time; hours are those of UTC, so no clock is ever put forward.
    kind
        None for the best annual figure that there is: lifecycle, of what is consumed where that
        is known, else of what is generated.

    Returns
    -------
    Trace
        In g/kWh (gCO2e). Its interval holds the doubt of the annual figure, of the years between
        it and the run, of the place, and of a span of this length within its year.

    Raises
    ------
    UsageError
        If the span is none, or *kind* is one that annual figures cannot tell.
    CoverageError
        If no figure of this *kind* is known.
    """
    if not 0 <= end_utc_s - start_utc_s <= LONGEST_S:
        raise UsageError(
            "a span ends after it begins, and within 20 years",
            remedy="give an end after the start, at most 20 years later",
        )
    year = _calendar((start_utc_s + end_utc_s) / 2)[0]
    annual = annual_of(zone, year, kind)
    hours = (end_utc_s - start_utc_s) / STEP_S
    shaped = _shape(zone, annual, year, hours)
    first, last = math.floor(start_utc_s / STEP_S), math.ceil(end_utc_s / STEP_S)
    values = _values(annual.factor.value, shaped.values, first, max(last, first + 1))
    own = annual.factor
    low, high = widened_ratios(own.low / own.value, own.high / own.value, *shaped.sds)
    low, high, cut = _no_wider(annual, low, high, _of_nowhere(annual.kind, year, hours))
    return Trace(
        key=own.key,
        zone=annual.code,
        unit=own.unit,
        start_utc_s=float(first * STEP_S),
        step_s=float(STEP_S),
        values=values,
        low_ratio=low,
        high_ratio=high,
        kind=annual.kind,
        shape=shaped.shape,
        source="; ".join(filter(None, (own.source, shaped.source))),
        year=own.year,
        licence="; ".join(dict.fromkeys(filter(None, (own.licence, shaped.licence)))),
        verified=own.verified,
        notes=(*_of_year(annual, shaped, values), *annual.notes, *shaped.notes, *cut),
    )


def _of_nowhere(kind: Kind, year: int, hours: float) -> tuple[float, float]:
    """Interval over the value of a place of which nothing is known, of this scope and span."""
    annual = annual_of(NOWHERE, year, Kind(scope=kind.scope))
    own = annual.factor
    sd = flat_sd(*mix_shares(annual.code), hours)
    return widened_ratios(own.low / own.value, own.high / own.value, sd)


def _no_wider(
    annual: Annual, low: float, high: float, nowhere: tuple[float, float]
) -> tuple[float, float, tuple[str, ...]]:
    """Cut an interval that is wider than that of an unknown place to the width of that.

    To know the place, or to guess it, cannot tell less than to know nothing. Both sides shrink
    alike, in logarithms, so the value stays where it is in its interval. What a user declares
    is left as it is.
    """
    most = math.log(nowhere[1] / nowhere[0])
    if annual.factor.verified == DECLARED or (low > 0 and math.log(high / low) <= most):
        return low, high, ()
    words = "interval cut to the width of a place that nobody knows: to know more tells no less"
    if low <= 0:
        return nowhere[0], min(high, nowhere[1]), (words,)
    part = most / math.log(high / low)
    return low**part, high**part, (words,)


def _of_year(annual: Annual, shaped: _Shaped, values: tuple[float, ...]) -> tuple[str, ...]:
    """What the hours asked for make of the figure of a year, where they make anything of it."""
    own = annual.factor
    ratio = sum(values) / len(values) / own.value if own.value > 0 else 1.0
    if shaped.shape == "flat" or abs(ratio - 1) < _NO_DIFFERENCE:
        return ()
    return (f"{own.value:.4g} {own.unit} a year ({own.year}), times {ratio:.2f} in these hours",)


def _shape(zone: Zone, annual: Annual, year: int, hours: float) -> _Shaped:
    if annual.factor.verified == DECLARED:
        flat = (1.0,) * (12 * _HOURS)
        return _Shaped(flat, "flat", (), ("as declared, at every hour",))
    profile = profile_for(zone, annual)
    if profile is None:
        return _flat(annual.code, hours)
    sds = [profile_sd(profile.id, hours, other_year=year != profile.year)]
    why = []
    if profile.kind.scope != annual.kind.scope:
        sds.append(proxy_scope_sd())
        why.append(f"of {profile.kind.scope} emissions")
    if profile.kind.flow != annual.kind.flow:
        sds.append(proxy_flow_sd())
        why.append(f"of {profile.kind.flow}")
    if profile.zone != annual.code:
        sds.append(proxy_place_sd())
        why.append(f"of {profile.zone}")
    words = f"the shape is a profile {' and '.join(why)}: interval widened" if why else ""
    return _Shaped(
        values=profile.values,
        shape="proxy profile" if why else "profile",
        sds=tuple(sds),
        notes=(words,) if words else (),
        source=profile.source,
        licence=profile.licence,
    )


def profile_for(zone: Zone, annual: Annual) -> Profile | None:
    """Profile that gives an annual figure its shape; None if there is none of it or around it."""
    known = _profiles()
    return next((known[code] for code in _near(zone, annual) if code in known), None)


def _near(zone: Zone, annual: Annual) -> tuple[str, ...]:
    """Places whose profile may serve: that of the figure, then of the zone and around it."""
    return tuple(dict.fromkeys((annual.code, *keys_of(zone))))


def _flat(code: str, hours: float) -> _Shaped:
    clean, variable = mix_shares(code)
    sd = flat_sd(clean, variable, hours)
    words = f"no hourly profile of {code}: flat year, widened by what hours of like grids do"
    return _Shaped((1.0,) * 12 * _HOURS, "flat", (sd,), (words,) if sd > 0 else ())


def mix_shares(code: str) -> tuple[float | None, float | None]:
    """Share of carbon-free generation, and that of wind and sun."""
    shares = shares_of(code)
    if not shares:
        known = {f.key.split("/")[2]: f.value for f in facts("grid_odbl", code)}
        return known.get("carbon_free_ratio"), None
    fossil = math.fsum(
        shares[fuel].value for fuel in ("coal", "gas", "oil", "other_fossil") if fuel in shares
    )
    moving = math.fsum(shares[fuel].value for fuel in ("wind", "solar") if fuel in shares)
    return max(0.0, 1 - fossil), moving


def _values(level: float, relative: tuple[float, ...], first: int, last: int) -> tuple[float, ...]:
    """Level times profile for the hours *first* to *last* (since 1970), month by month."""
    made: list[float] = []
    hour = first
    while hour < last:
        day_end = min(last, (hour // _HOURS + 1) * _HOURS)
        month = _calendar(hour * STEP_S)[1]
        begin = (month - 1) * _HOURS + hour % _HOURS
        made += [level * r for r in relative[begin : begin + day_end - hour]]
        hour = day_end
    return tuple(made)


@cache
def _profiles() -> Mapping[str, Profile]:
    """Profile of each zone that has one, its default where it has several."""
    found: dict[str, Profile] = {}
    for row in (*rows("profiles"), *rows("profiles_odbl")):
        if row["is_default"] != "1":
            continue
        title, licence = cited(row["source"])
        found[row["zone"]] = Profile(
            id=row["profile_id"],
            zone=row["zone"],
            year=int(row["year"]),
            kind=msgspec.convert({k: row[k] for k in ("signal", "scope", "flow", "method")}, Kind),
            values=tuple(map(float, row["values"].split())),
            source=title,
            licence=licence,
        )
    return found


def _calendar(at_utc_s: float) -> tuple[int, int]:
    """Year and month of an instant, UTC."""
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(at_utc_s, UTC)
    return at.year, at.month
