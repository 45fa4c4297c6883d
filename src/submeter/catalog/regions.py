# SPDX-License-Identifier: Apache-2.0
"""Where is this? Any word for a place, to the keys under which the tables know its grid.

A word may be a code, a country's name, a cloud region, or two coordinates. What could mean two
places is refused with both of them named; what means none, with what is near.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

import msgspec

from submeter.catalog.names import fold, near
from submeter.catalog.tables import line, rows
from submeter.errors import CoverageError, UsageError
from submeter.records.places import ZoneKind

WORLD: Final = "WORLD"
EARTH_RADIUS_KM: Final = 6371.0  # mean radius of the Earth (IUGG)
POLE_DEGREES: Final = 90.0
SHOWN_CHOICES: Final = 6
_TELLS_NOTHING: Final = 3  # letters: so few stand in many a name
_COORDINATES: Final = re.compile(r"([+-]?\d{1,3}(?:\.\d+)?)\s*[,;]\s*([+-]?\d{1,3}(?:\.\d+)?)")
_PROVIDERS: Final = {
    "amazon web services": "aws", "amazon": "aws", "ec2": "aws",
    "google cloud": "gcp", "google": "gcp", "gce": "gcp", "gcloud": "gcp",
    "microsoft azure": "azure", "microsoft": "azure", "az": "azure",
    "ovh": "ovhcloud",
}  # fmt: skip
# Zones of these cover all of the country, so that its own middle says less than theirs.
_IN_PARTS: Final = frozenset(
    {"AU", "BR", "CA", "CL", "DK", "IN", "IT", "JP", "MY", "NO", "PH", "RU", "SE", "US"}
)
# Astride the date line: the mean of its corners, which the table has, lies elsewhere.
_MISPLACED: Final = frozenset({"FJ"})
FARTHEST_KM: Final = 1500.0  # beyond it a place shares no grid with any position that we know
# Data centres as clouds call them: a letter behind the region (us-west-2a, us-central1-b).
_ZONE_LETTER: Final = re.compile(r"(?<=\d)(?:\s?[a-f])$")


class ZoneRow(msgspec.Struct, frozen=True):
    """A place, and the keys of its rows.

    ``code`` is the key to look up first, ``parents`` the keys that stand in where it has no row,
    nearest first, the last one ``WORLD``. ``cloud`` is provider/region where a cloud region was
    meant. ``distance_km`` is set for coordinates: how far the place lies whose rows are taken.
    """

    code: str
    name: str
    kind: ZoneKind
    country: str = ""  # ISO 3166-1 alpha-2
    parents: tuple[str, ...] = ()
    cloud: str = ""
    timezone: str = ""
    latitude: float | None = None
    longitude: float | None = None
    note: str = ""
    distance_km: float | None = None


class Gazetteer:
    """All places that a set of tables knows, under each of their names.

    Parameters
    ----------
    zones
        Rows of ``code``, ``name``, ``kind``, ``country``, ``parents`` (``;`` between), position
        and time zone. Several rows may share a code; the first one goes before.
    regions
        Cloud regions: ``key`` (provider/region), ``location``, ``country``, ``em_zone``,
        ``grid_zone``, position, ``aliases``.
    names
        Countries: ``key`` (alpha-2), ``alpha3``, ``name``, ``aliases``.
    """

    def __init__(
        self,
        zones: Iterable[Mapping[str, str]],
        regions: Iterable[Mapping[str, str]],
        names: Iterable[Mapping[str, str]],
    ) -> None:
        self._zones: dict[str, ZoneRow] = {}
        self._regions: dict[str, ZoneRow] = {}
        # Codes go before names, names before what a provider calls a town.
        self._codes: dict[str, list[str]] = defaultdict(list)
        self._names: dict[str, list[str]] = defaultdict(list)
        self._locations: dict[str, list[str]] = defaultdict(list)
        self._spelled: list[str] = []
        countries = {row["key"]: row for row in names}
        for row in zones:
            self._add_zone(row)
        for code, row in countries.items():
            self._add_country(code, row)
        for row in regions:
            self._add_region(row)

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of all zones, countries without a zone of their own included."""
        return tuple(self._zones)

    @property
    def clouds(self) -> tuple[str, ...]:
        """All cloud regions, as provider/region."""
        return tuple(self._regions)

    @property
    def words(self) -> tuple[str, ...]:
        """All words that mean a place, as they are written."""
        return tuple(self._spelled)

    def find(self, word: str) -> ZoneRow:
        """Find the one place that *word* means.

        Raises
        ------
        UsageError
            If the word means several places, or coordinates are none on Earth.
        CoverageError
            If it means none that the tables know; the remedy names what is near.
        """
        place = _COORDINATES.fullmatch(word.strip())
        if place is not None:
            return self._nearest(float(place[1]), float(place[2]))
        asked = fold(word)
        for spelling in dict.fromkeys((asked, _ZONE_LETTER.sub("", asked))):
            for index in (self._codes, self._names, self._locations):
                found = self._meant(index, self._provided(spelling))
                if len(found) == 1:
                    return found[0]
                if found:
                    raise _several(word, found)
        # What holds two letters somewhere inside (ZZ: Brazzaville) is not near them.
        spelled = near(word, self._spelled)
        short = len(asked) <= _TELLS_NOTHING
        raise _nowhere(word, tuple(n for n in spelled if not short or _begins(n, asked)))

    def place(self, key: str) -> ZoneRow | None:
        """Zone of exactly this code, or cloud region of this provider/region."""
        return self._zones.get(key) or self._regions.get(key)

    @staticmethod
    def _provided(asked: str) -> str:
        """*asked* with the usual word for a provider in front, if there is one."""
        for long, short in _PROVIDERS.items():
            if asked.startswith(f"{long} "):
                return f"{short} {asked.removeprefix(long).strip()}"
        return asked

    def _add_zone(self, row: Mapping[str, str]) -> None:
        parents = [key for key in row["parents"].split(";") if key and key != WORLD]
        zone = ZoneRow(
            code=row["code"],
            name=row["name"],
            kind=_kind(row["kind"]),
            country=row["country"],
            parents=() if row["code"] == WORLD else (*parents, WORLD),
            timezone=row["timezone"],
            latitude=_degrees(row["latitude"]),
            longitude=_degrees(row["longitude"]),
        )
        kept = _together(self._zones.get(zone.code), zone)
        self._zones[zone.code] = kept
        self._list(self._codes, zone.code, zone.code)
        self._list(self._names, zone.code, zone.name)

    def _add_country(self, code: str, row: Mapping[str, str]) -> None:
        if code not in self._zones:
            country = code if row["alpha3"] else ""  # a continent has none
            kind: ZoneKind = "country" if country else "subregion"
            self._zones[code] = ZoneRow(code, row["name"], kind, country, (WORLD,))
        self._list(self._codes, code, code, row["alpha3"])
        self._list(self._names, code, row["name"], *row["aliases"].split(";"))

    def _add_region(self, row: Mapping[str, str]) -> None:
        code = row["em_zone"] or row["grid_zone"] or row["country"] or WORLD
        own = self._zones.get(code)
        behind = [row["grid_zone"], *(own.parents if own else ()), row["country"], WORLD]
        region = ZoneRow(
            code=code,
            name=row["location"],
            kind="cloud region",
            country=row["country"],
            parents=tuple(dict.fromkeys(key for key in behind if key and key != code)),
            cloud=row["key"],
            timezone=own.timezone if own else "",
            latitude=_degrees(row["latitude"]),
            longitude=_degrees(row["longitude"]),
        )
        provider, _, ident = row["key"].partition("/")
        self._regions[row["key"]] = region
        parts = re.fullmatch(r"(.+) \((.+)\)", row["location"])  # US West (Oregon)
        towns = [row["location"], *(parts.groups() if parts else ())]
        self._list(self._codes, row["key"], row["key"], ident)
        self._list(self._locations, row["key"], *towns, *(f"{provider} {t}" for t in towns))
        self._list(self._locations, row["key"], *row.get("aliases", "").split(";"))

    def _list(self, index: dict[str, list[str]], ident: str, *words: str) -> None:
        """Put a zone's code or a cloud region's key under each of its *words*."""
        for word in filter(None, words):
            index[fold(word)].append(ident)
            self._spelled.append(word)

    def _meant(self, index: dict[str, list[str]], spelling: str) -> list[ZoneRow]:
        idents = dict.fromkeys(index.get(spelling, ()))
        return [self._regions[i] if i in self._regions else self._zones[i] for i in idents]

    def _nearest(self, latitude: float, longitude: float) -> ZoneRow:
        """Give the zone of the nearest place with a position, as coordinates.

        A country whose parts have positions is passed over: its middle lies far from most of it.
        """
        if abs(latitude) > POLE_DEGREES or abs(longitude) > 2 * POLE_DEGREES:
            raise UsageError(
                f"there is no place at {latitude:g}, {longitude:g}",
                remedy="give latitude, longitude in degrees, such as 52.5,13.4",
            )
        known = [
            row
            for row in (*self._zones.values(), *self._regions.values())
            if row.latitude is not None and (row.cloud or row.code not in _IN_PARTS | _MISPLACED)
        ]
        best = min(known, key=lambda row: _distance_km(row, latitude, longitude))
        away_km = _distance_km(best, latitude, longitude)
        if away_km > FARTHEST_KM:
            raise CoverageError(
                f"{latitude:g}, {longitude:g} lies {away_km:.0f} km away from the nearest place"
                f" that the catalog knows, {_called(best)}",
                remedy=f"name a zone, such as {best.cloud or best.code}",
            )
        zone = self._zones.get(best.code, best)
        where = best.cloud or best.code
        return msgspec.structs.replace(
            zone,
            name=f"{latitude:g}, {longitude:g}",
            kind="coordinates",
            parents=best.parents,
            cloud="",
            latitude=latitude,
            longitude=longitude,
            note=f"taken as {zone.name} ({zone.code}): the nearest position that the catalog has"
            f" is that of {where}, {away_km:.0f} km away; which grid feeds the place is guessed"
            f" from that, so its figures are widened",
            distance_km=away_km,
        )


def find_zone(word: str) -> ZoneRow:
    """Find the place that *word* means: a code, a name, a cloud region or coordinates.

    Parameters
    ----------
    word
        Such as ``DE``, ``DEU``, ``Germany``, ``US-CAL-CISO``, ``CAMX``, ``us-west-2``,
        ``gcp:europe-west4``, ``52.5,13.4``; case, accents and punctuation do not matter.

    Returns
    -------
    ZoneRow
        Its keys, the nearest first, and what else is known of it.

    Raises
    ------
    UsageError
        If the word means several places; the remedy names them.
    CoverageError
        If it means none; the remedy names what is near.

    Examples
    --------
    >>> find_zone("germany").code
    'DE'
    """
    return _of_key(word) or gazetteer().find(word)


def _of_key(word: str) -> ZoneRow | None:
    """Give the place of exactly this code or provider/region, without reading all the others."""
    region = line("cloud_regions", word)
    codes = (region["em_zone"], region["grid_zone"]) if region else (word,)
    found = [line(table, code) for table in ("zones", "zones_odbl") for code in codes]
    zones = [row for row in found if row is not None]
    if not zones:
        return None
    return Gazetteer(zones, [region] if region else [], ()).place(word)


@cache
def gazetteer() -> Gazetteer:
    """All places of the catalog."""
    return Gazetteer(
        (*rows("zones"), *rows("zones_odbl")), rows("cloud_regions"), rows("place_names")
    )


def _kind(word: str) -> ZoneKind:
    """Kind of zone from the table's finer one."""
    return "country" if word == "country" else "world" if word == "world" else "subregion"


def _degrees(word: str) -> float | None:
    return float(word) if word else None


def _distance_km(row: ZoneRow, latitude: float, longitude: float) -> float:
    """Great-circle distance by the haversine formula."""
    phi, phi_row = math.radians(latitude), math.radians(row.latitude or 0.0)
    turn = math.radians(longitude - (row.longitude or 0.0))
    a = math.sin((phi - phi_row) / 2) ** 2
    a += math.cos(phi) * math.cos(phi_row) * math.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(a)))


def _together(first: ZoneRow | None, other: ZoneRow) -> ZoneRow:
    """*first* with what only the *other* row of its code knows."""
    if first is None:
        return other
    gaps = {
        field: getattr(other, field)
        for field in ("country", "timezone", "latitude", "longitude")
        if getattr(first, field) in {"", None}
    }
    if len(other.parents) > len(first.parents):
        gaps["parents"] = other.parents
    return msgspec.structs.replace(first, **gaps)


def _called(row: ZoneRow) -> str:
    return f"{row.cloud or row.code} ({row.name})"


def _several(word: str, found: list[ZoneRow]) -> UsageError:
    names = [_called(row) for row in found]
    more = f" and {len(names) - SHOWN_CHOICES} more" if len(names) > SHOWN_CHOICES else ""
    return UsageError(
        f"“{word}” may be {', '.join(names[:SHOWN_CHOICES])}{more}",
        remedy=f"say which: {' or '.join(row.cloud or row.code for row in found[:SHOWN_CHOICES])}",
    )


def _begins(name: str, asked: str) -> bool:
    """Whether *name*, or a word of it, begins with *asked*."""
    return any(part.startswith(asked) for part in fold(name).split())


def _nowhere(word: str, near_ones: tuple[str, ...]) -> CoverageError:
    remedy = (
        f"did you mean {', '.join(near_ones)}?"
        if near_ones
        else "give a country (DE), a zone (US-CAL-CISO), a cloud region (aws/us-west-2)"
        " or coordinates (52.5,13.4); submeter factors NAME searches"
    )
    return CoverageError(f"there is no place called “{word[:80]}” in the catalog", remedy=remedy)
