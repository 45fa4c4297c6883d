# SPDX-License-Identifier: Apache-2.0
"""Which annual intensity stands for a zone, and how far it may be off in the year of the run.

Consumption goes before production, since it holds what is imported; the zone itself goes before
what stands in for it. Where both are known, the interval reaches to the other one.
"""

import math
from typing import Final

import msgspec

from submeter.catalog.facts import fact, has, history
from submeter.errors import CoverageError, UsageError
from submeter.grid.factors import (
    CONSUMED,
    DIRECT,
    LIFECYCLE,
    WORLD,
    as_wide_as,
    direct_factor,
    keys_of,
    place_ratios,
    upstream_factor,
    yearly,
)
from submeter.grid.spreads import drift_sd
from submeter.grid.weighting import widened_ratios
from submeter.records.factors import Factor
from submeter.records.places import Zone
from submeter.records.traces import Kind

DECLARED: Final = "declared"  # by the user: `submeter factors --check`


class Annual(msgspec.Struct, frozen=True):
    """An annual mean intensity; ``code`` is the place that it is of."""

    factor: Factor
    kind: Kind
    code: str
    notes: tuple[str, ...] = ()


def annual_of(zone: Zone, year: int, kind: Kind | None = None) -> Annual:
    """Annual figure for *zone* in *year*, with the interval that all of this gives it.

    Parameters
    ----------
    zone
        Place of the run.
    year
        Of the run; the figure of the nearest year is taken.
    kind
        None for the best that there is.

    Raises
    ------
    UsageError
        If *kind* is none of which annual figures are kept here.
    CoverageError
        If there is none of this *kind*.
    """
    if kind is not None:
        _check(kind)
    if kind is not None and kind.scope == "direct":
        return _consumed_direct(zone, year) if kind.flow == "consumption" else _direct(zone, year)
    for code in keys_of(zone):
        found = _lifecycle(zone, code, year, kind)
        if found is not None:
            declared = found.factor.verified == DECLARED
            return found if declared else _placed(_aged(found, year, zone), zone)
    raise CoverageError(
        f"no annual figure of {zone.name} is {kind}",
        remedy="leave the kind out for the best that there is",
    )


def _check(kind: Kind) -> None:
    if kind.method == "market":
        raise UsageError(
            "a trace of the grid is location-based: no contract changes what its plants emit",
            remedy="ask for the residual mix, or give a certificate",
        )
    if kind.signal == "marginal":
        raise UsageError(
            "no month-by-hour profile is marginal, and an average one cannot stand in",
            remedy="ask for the operating margin of the year, or for a provider's marginal series",
        )


def _direct(zone: Zone, year: int) -> Annual:
    made = direct_factor(zone, year=year)
    code = made.key.split("/")[1]
    kind = Kind(scope="direct")
    return Annual(_above_zero(made), kind, code, (made.note,) if made.note else ())


def _consumed_direct(zone: Zone, year: int) -> Annual:
    """Direct part of what is consumed: that of the lifecycle figure, as in what is generated.

    Nobody publishes it. ``r = d / (d + u)`` of generation, whose doubt is
    ``(1 - r) * hypot(sd_d, sd_u)``; it is never more than the lifecycle figure.
    """
    whole = annual_of(zone, year, Kind(flow="consumption"))
    direct, upstream = _above_zero(direct_factor(zone)), upstream_factor(zone)
    ratio = direct.value / (direct.value + upstream.value)
    sd = (1 - ratio) * math.hypot(direct.log_sd, upstream.log_sd)
    factor = msgspec.structs.replace(
        whole.factor.scaled(ratio),
        key=f"{whole.factor.key}:direct",
        source="; ".join(dict.fromkeys((whole.factor.source, direct.source, upstream.source))),
        verified="assumed" if whole.factor.verified == "assumed" else "derived",
    )
    words = f"direct part of the lifecycle figure: {ratio:.0%}, as of what is generated there"
    made = Annual(factor, Kind(scope="direct", flow="consumption"), whole.code, whole.notes)
    return _wider(made, sd, words)


def _lifecycle(zone: Zone, code: str, year: int, kind: Kind | None) -> Annual | None:
    """Best lifecycle figure of *code* itself."""
    consumed = _nearest("grid_odbl", code, CONSUMED, year)
    produced = _nearest("grid", code, LIFECYCLE, year)
    wanted = kind.flow if kind is not None else None
    told = [f for f in (consumed, produced) if f is not None and f.verified == DECLARED]
    if told and wanted in {None, "production" if told[0] is produced else "consumption"}:
        # What the user says of the grid is what holds: neither spanned, aged nor shaped.
        own = Kind(flow="consumption" if told[0] is consumed else "production")
        return Annual(told[0], own, code)
    if consumed and wanted != "production":
        return _spanning(Annual(consumed, Kind(flow="consumption"), code), produced, "production")
    if wanted == "consumption":
        return None
    if produced:
        return _spanning(Annual(produced, Kind(), code), consumed, "consumption")
    if has("grid", code, DIRECT):
        return _built(zone, code)
    return None


def _nearest(table: str, code: str, quantity: str, year: int) -> Factor | None:
    """Figure of the year that is nearest to *year*, the earlier one of two."""
    known = history(table, code, quantity)
    return min(known, key=lambda f: (abs(f.year - year), f.year), default=None)


def _spanning(made: Annual, other: Factor | None, flow: str) -> Annual:
    """Reach to what the *other* figure says; the value stays."""
    if other is None:
        return made
    own = made.factor
    if own.low <= other.value <= own.high:
        return made
    words = f"the {flow} figure is {other.value:.0f} {other.unit} ({other.year}): interval widened"
    factor = msgspec.structs.replace(
        own, low=min(own.low, other.value), high=max(own.high, other.value)
    )
    return msgspec.structs.replace(made, factor=factor, notes=(*made.notes, words))


def _built(zone: Zone, code: str) -> Annual:
    """Official direct figure of a part, plus the upstream of its country."""
    direct = _above_zero(fact("grid", code, DIRECT))
    upstream = upstream_factor(msgspec.structs.replace(zone, code=code))
    value = direct.value + upstream.value
    down = math.hypot(direct.value - direct.low, upstream.value - upstream.low)
    up = math.hypot(direct.high - direct.value, upstream.high - upstream.value)
    factor = msgspec.structs.replace(
        direct,
        key=f"{direct.key}+upstream",
        value=value,
        low=max(0.0, value - down),
        high=value + up,
        source="; ".join(dict.fromkeys((direct.source, upstream.source))),
        verified="derived",
    )
    return Annual(factor, Kind(), code, (f"direct figure of {code} plus upstream of the mix",))


def _above_zero(made: Factor) -> Factor:
    """A figure that a level can be scaled with: half its upper end where zero was published."""
    if made.value > 0 or made.high <= 0:
        return made
    return msgspec.structs.replace(made, value=made.high / 2, low=made.high / 20)


def _aged(made: Annual, year: int, zone: Zone) -> Annual:
    years = abs(year - made.factor.year)
    if not years:
        return made
    sd = drift_sd(yearly(zone), years)
    words = f"annual figure of {made.factor.year}, the run of {year}: interval widened"
    return _wider(made, sd, words)


def _placed(made: Annual, zone: Zone) -> Annual:
    """Widen to what the place scatters by, where nobody said that it is this one.

    The interval of a mean over many grids is partly this doubt already: the wider one holds.
    """
    notes = [zone.note] if zone.note else []
    if made.code != zone.code:
        notes.append(f"no figure of {zone.code} is known, {made.code} stands in: interval widened")
    down, up = place_ratios(zone, made.code, made.kind.scope)
    factor = made.factor
    factor = as_wide_as(factor, down, up)
    if zone.guessed or made.code == WORLD:
        factor = msgspec.structs.replace(factor, verified="assumed")
    return msgspec.structs.replace(made, factor=factor, notes=(*notes, *made.notes))


def _wider(made: Annual, sd: float, words: str) -> Annual:
    factor = made.factor
    low, high = widened_ratios(factor.low / factor.value, factor.high / factor.value, sd)
    factor = msgspec.structs.replace(factor, low=factor.value * low, high=factor.value * high)
    return msgspec.structs.replace(made, factor=factor, notes=(*made.notes, words))
