# SPDX-License-Identifier: Apache-2.0
"""What is known of the hours ahead of a place, for plans: from the catalog, files and providers.

Planning itself touches nothing; here it meets what only clocks, files and services know.
"""

import math
from typing import Final

import msgspec

from submeter.accounting.money import Tariff, parse_tariff, tariff_price
from submeter.catalog.facts import fact, keys
from submeter.errors import CoverageError, SubmeterError, UsageError
from submeter.grid.factors import marginal, price_factor, water_factor
from submeter.grid.loads import utc_offset_s
from submeter.grid.place import resolve_place
from submeter.grid.scatter import scatter
from submeter.grid.traces import intensity
from submeter.planning.outlooks import Outlook, certain, even, offline
from submeter.planning.weighing import Site
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.places import Zone
from submeter.records.traces import Load
from submeter.units import S_PER_H

QUARTER_S: Final = S_PER_H / 4
LONGEST_S: Final = 366 * 86_400
# Fixed networks between sites; the catalog has their source and interval.
NETWORK: Final = ("energy_per_op", "net-iea-2019", "energy_kwh_per_gb")
_BYTES_PER_GB: Final = 1e9
_YEAR_S: Final = 365 * 86_400.0
_NEAR_KM: Final = 2500.0
_EARTH_KM: Final = 6371.0
_MOST_NEAR: Final = 3


def offline_site(
    zone: Zone,
    span_utc_s: tuple[float, float],
    *,
    price: str = "",
    currency: str = "USD",
    queue_s: float = 0.0,
) -> Site:
    """What the catalog tells of *zone* over a span: profiles, annual figures, tariffs.

    Parameters
    ----------
    span_utc_s
        From, to [s since 1970 UTC].
    price
        Price or tariff of the site, as people write it; a published annual price if "".

    Raises
    ------
    UsageError
        If the tariff makes no sense.
    CoverageError
        If no intensity of the zone is known.
    """
    start, end = span_utc_s
    trace = intensity(zone, start, end)
    year = intensity(zone, start, start + _YEAR_S)
    around = scatter(zone, start)
    average = offline(trace, around, (year.low_ratio, year.high_ratio))
    average = msgspec.structs.replace(average, zone=zone.code)
    maybe = {
        "average": average,
        "marginal": _marginal(zone, span_utc_s),
        "cost": _price(zone, span_utc_s, price, currency),
        "water": _water(zone, span_utc_s),
    }
    known = {name: made for name, made in maybe.items() if made is not None}
    return Site(zone.code, zone.name, known, queue_s=queue_s)


def _marginal(zone: Zone, span: tuple[float, float]) -> Outlook | None:
    """Annual mean by the first maker: it tells places apart, and no hours."""
    makers = marginal(zone)
    if not makers:
        return None
    first = makers[0]
    first = msgspec.structs.replace(first, source=f"annual mean: {first.source}")
    return even(zone.code, "g/kWh", first, span)


def _water(zone: Zone, span: tuple[float, float]) -> Outlook | None:
    try:
        factor = water_factor(zone, reservoirs=False)
    except CoverageError:
        return None
    return even(zone.code, "L/kWh", factor, span)


def _price(zone: Zone, span: tuple[float, float], words: str, currency: str) -> Outlook | None:
    """Price by the hour of a tariff, or the same at every hour."""
    if words:
        return tariff_outlook(parse_tariff(words, currency), zone, span)
    for money in dict.fromkeys((currency, "USD")):
        found = price_factor(zone, money)
        if isinstance(found, Factor):
            return even(zone.code, f"{money}/kWh", found, span)
    return None


def tariff_outlook(tariff: Tariff, zone: Zone, span_utc_s: tuple[float, float]) -> Outlook:
    """Prices of *tariff* by quarters of an hour of the local clock, DST and all.

    Raises
    ------
    UsageError
        If the clock of the zone is not known.
    """
    unit = f"{tariff.currency}/kWh"
    words = f"tariff {tariff.words}"
    offset = utc_offset_s(zone.timezone)
    start = math.floor(span_utc_s[0] / S_PER_H) * float(S_PER_H)
    count = math.ceil((span_utc_s[1] - start) / QUARTER_S)
    values = []
    for number in range(count):
        load = Load(start + number * QUARTER_S, QUARTER_S, (1.0,))
        found = tariff_price(tariff, load, offset)
        if isinstance(found, Missing):
            raise UsageError(
                f"a tariff by hours cannot be read in {zone.name}: {found.why}",
                remedy="name a zone whose clock is known, or one price for all hours",
            )
        values.append(found.value)
    made = certain(zone.code, unit, start, QUARTER_S, values, words)
    return msgspec.structs.replace(made, informed=not tariff.is_flat)


def moved(site: Site, home: Site, data_bytes: float) -> Site:
    """*site* with what bringing so much data there from *home* adds by each of its signals.

    Notes
    -----
    Energy of the way times the mean of both ends' signals over the window: nobody can say where
    on the way it is drawn.
    """
    if data_bytes <= 0 or site.zone == home.zone:
        return site
    energy_kwh = fact(*NETWORK).value * data_bytes / _BYTES_PER_GB
    added = {
        name: energy_kwh * (float(outlook.mean.mean()) + float(other.mean.mean())) / 2
        for name, outlook in site.outlooks.items()
        if (other := home.outlooks.get(name)) is not None
    }
    return msgspec.structs.replace(site, moving=added)


def nearby(zone: Zone, span_utc_s: tuple[float, float]) -> list[Site]:
    """Cleanest places near *zone* in which machines can be rented, at most three.

    Raises
    ------
    CoverageError
        Never: what is not known is left out.
    """
    if zone.latitude is None or zone.longitude is None:
        return []
    found: dict[str, tuple[float, Zone]] = {}
    at_utc_s = sum(span_utc_s) / 2
    for region in keys("cloud"):
        try:
            place = resolve_place(argument=region)
        except SubmeterError:
            continue
        there = (place.latitude, place.longitude)
        if None in there or _distance_km(zone, place) > _NEAR_KM or place.code in found:
            continue
        if place.country == zone.country:
            continue
        try:
            trace = intensity(place, at_utc_s, at_utc_s)
        except CoverageError:
            continue
        found[place.code] = (trace.values[0] or math.inf, place)
    cleanest = sorted(found.values(), key=lambda row: row[0])[:_MOST_NEAR]
    return [offline_site(place, span_utc_s) for _, place in cleanest]


def _distance_km(one: Zone, other: Zone) -> float:
    """Great-circle distance (haversine) of two places whose coordinates are known."""
    degrees = (one.latitude, one.longitude, other.latitude, other.longitude)
    lat1, lon1, lat2, lon2 = (math.radians(d or 0.0) for d in degrees)
    part = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(part)))
