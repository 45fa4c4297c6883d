# SPDX-License-Identifier: Apache-2.0
"""Where a run draws its electricity: what somebody said, else what the clock of the machine says.

Never a network look-up, and never a country made up: who says nothing, on a machine that keeps
UTC, gets the mean of the world with its interval.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from submeter.catalog.regions import find_zone
from submeter.catalog.tables import rows
from submeter.errors import SubmeterError
from submeter.records.places import Known, Zone

WORLD: Final = Zone("WORLD", "the world's mean", "world", "world")


def resolve_place(
    *,
    argument: str | None = None,
    configured: str | None = None,
    origin: str = "",
    environment: str | None = None,
    cloud: str | None = None,
    timezone: str = "",
) -> Zone:
    """Place of a run: argument > configuration > environment > cloud region > time zone > world.

    Parameters
    ----------
    argument
        What the caller asked for: any word that `submeter.catalog.regions.find_zone` knows.
    configured, origin
        The setting ``zone`` and where it stands; one that stands in the environment is not taken
        for configuration.
    environment
        ``SUBMETER_ZONE``.
    cloud
        Provider/region that the user gave. Beside a configured zone of its country it still says
        in whose rooms the machine stands.
    timezone
        IANA name of the time zone of the machine, as `machine_timezone` gives it.

    Raises
    ------
    SubmeterError
        If what somebody said means no place, or several; what the clock says is never an error.
    """
    if configured and origin.startswith("environment"):
        configured, environment = None, environment or configured
    said: tuple[tuple[str | None, Known, str], ...] = (
        (argument, "argument", "argument zone"),
        (configured, "configuration", origin or "the setting zone"),
        (environment, "environment", "environment SUBMETER_ZONE"),
        (cloud, "cloud region", "the setting cloud"),
    )
    for word, how, place in said:
        if word:
            found = _named(word, how, place)
            return found if argument or how == "cloud region" else _rented(found, cloud)
    country = country_of(timezone)
    if country:
        note = f"guessed from the machine's time zone {timezone}: set zone to make it sure"
        return _zone(country, "time zone", note)
    note = (
        f"the machine's time zone {timezone} tells no country: set zone"
        if timezone
        else "nobody said where this runs: set zone"
    )
    return _zone(WORLD.code, "world", note)


def place_of(place: Mapping[str, str], *, argument: str | None = None) -> Zone:
    """Place of a run that was recorded as ``zone``, ``zone_from``, ``cloud`` and ``timezone``.

    What the catalog does not know any more is passed over, and the note says so.
    """
    timezone = place.get("timezone", "")
    said = {place.get("zone_from", "configuration"): place.get("zone")}
    try:
        return resolve_place(
            argument=argument or said.get("argument"),
            configured=said.get("configuration"),
            environment=said.get("environment"),
            cloud=place.get("cloud"),
            timezone=timezone,
        )
    except SubmeterError as exc:
        if argument:
            raise
        left = {k: v for k, v in place.items() if k != ("zone" if place.get("zone") else "cloud")}
        found = place_of(left)
        note = "; ".join(filter(None, (str(exc), found.note)))
        return msgspec.structs.replace(found, note=note)


def country_of(timezone: str) -> str:
    """ISO 3166-1 alpha-2 code of the one country that a time zone lies in, else ""."""
    return _countries().get(timezone, "")


@cache
def _countries() -> Mapping[str, str]:
    return {row["key"]: row["country"] for row in rows("timezones")}


def _rented(zone: Zone, cloud: str | None) -> Zone:
    """*zone* with the cloud region that was given too, if that lies in the same country."""
    if not cloud or zone.cloud:
        return zone
    try:
        region = find_zone(cloud)
    except SubmeterError as exc:
        return msgspec.structs.replace(zone, note=f"the setting cloud: {exc}")
    if region.country == zone.country:
        return msgspec.structs.replace(zone, cloud=region.cloud)
    note = f"the setting cloud is passed over: {region.cloud or cloud} is not in {zone.name}"
    return msgspec.structs.replace(zone, note=note)


def _named(word: str, how: Known, place: str) -> Zone:
    try:
        return _zone(word, how, "")
    except SubmeterError as exc:
        raise type(exc)(f"{place}: {exc}", remedy=exc.remedy) from None


def _zone(word: str, how: Known, note: str) -> Zone:
    row = find_zone(word)
    return Zone(
        code=row.code,
        name=row.name,
        kind=row.kind,
        how=how,
        country=row.country,
        parents=row.parents,
        cloud=row.cloud,
        timezone=row.timezone,
        latitude=row.latitude,
        longitude=row.longitude,
        note="; ".join(filter(None, (row.note, note))),
    )
