# SPDX-License-Identifier: Apache-2.0
"""ENTSO-E Transparency Platform: actual generation per type (A75, 16.1.B&C), 15 to 60 minutes.

Read on 2026-11-23: the platform's web API guide and its help centre (transparencyplatform.
zendesk.com). The key is part of the query, so the address is never shown. Answers are XML; a
position that is not there repeats the one before it (curve type A03), which is no gap.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from submeter.errors import CoverageError, ProviderReplyError
from submeter.providers.asking import ANNUAL, DAY_S, Ask, Getter, Request, Scope, same_place
from submeter.providers.mixes import (
    STORAGE,
    UNKNOWN,
    FactorOf,
    Generated,
    of_catalog,
    production,
    trace_of,
)
from submeter.providers.places import looked_up
from submeter.providers.series import instant_utc_s, number, utc
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME: Final = "entsoe"
TOKEN: Final = "SUBMETER_ENTSOE_TOKEN"  # noqa: S105  # the name of a variable
BASE: Final = "https://web-api.tp.entsoe.eu/api"
SETTLES_S: Final = 7 * DAY_S
_DAYS_AT_ONCE: Final = 7  # a year is allowed; a week stays below a megabyte
_MOST_MW: Final = 1e6
# Type of generation (psrType) to our fuel. Brown coal, peat and gas made of coal burn like coal;
# oil shale like oil, at least. Of waste and of "other" nothing is known.
FUELS: Final = {
    "B01": "bioenergy", "B02": "coal", "B03": "coal", "B04": "gas", "B05": "coal", "B06": "oil",
    "B07": "oil", "B08": "coal", "B09": "geothermal", "B10": STORAGE, "B11": "hydro",
    "B12": "hydro", "B13": "ocean", "B14": "nuclear", "B15": UNKNOWN, "B16": "solar",
    "B17": UNKNOWN, "B18": "wind", "B19": "wind", "B20": UNKNOWN, "B25": STORAGE,
}  # fmt: skip
_STEPS_S: Final = {"PT15M": 900.0, "PT30M": 1800.0, "PT60M": 3600.0, "PT1H": 3600.0}
_DOCTYPE: Final = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class Entsoe:
    """Intensity of generation in European bidding zones and countries."""

    name = NAME
    requires = (TOKEN,)
    register = "https://transparency.entsoe.eu (then ask for web API access)"

    def __init__(self, base: str = BASE, *, factor_of: FactorOf = of_catalog) -> None:
        self._base = base
        self._factor_of = factor_of

    def kind(self, scope: Scope | None) -> Kind:
        return production(scope)

    def place(self, zone: Zone) -> str:
        return looked_up(self.name, zone, "European countries and bidding zones")

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        mix: list[Generated] = []
        for begin, end in ask.days(_DAYS_AT_ONCE, end_utc_s=ask.now_utc_s):
            query = (
                ("documentType", "A75"),
                ("processType", "A16"),
                ("in_Domain", ask.place),
                ("periodStart", utc(begin, "%Y%m%d%H%M")),
                ("periodEnd", utc(end, "%Y%m%d%H%M")),
            )
            secret = (("securityToken", keys[TOKEN]),)
            settled = end <= ask.now_utc_s - SETTLES_S
            mix += _generated(get(Request(self._base, query, secret, (), settled)), ask.place)
        if not mix:
            raise CoverageError(
                f"{self.name} has no generation of {ask.zone.code} at that time",
                remedy="it knows the past only; leave it out for the annual figure",
            )
        return trace_of(
            mix,
            ask,
            self,
            factor_of=self._factor_of,
            source=f"ENTSO-E Transparency Platform, actual generation per type of {ask.place}",
            licence="ENTSO-E terms of use; CC BY 4.0 for data on its list for free reuse",
        )


def _generated(body: bytes, place: str) -> list[Generated]:
    """Generation per fuel in *body*; none if the platform says that it has none."""
    root = _parsed(body)
    kind = _local(root)
    if kind == "Acknowledgement_MarketDocument":
        if any(e.text == "999" for e in root.iter() if _local(e) == "code"):
            return []
        raise ProviderReplyError(f"{NAME} rejects the question", remedy=ANNUAL)
    if kind != "GL_MarketDocument":
        raise ProviderReplyError(f"{NAME} answers with {kind[:40]!r}", remedy=ANNUAL)
    # A type comes in several series where its data has holes; of what comes twice the later holds.
    last: dict[tuple[float, float, str], float] = {}
    for series in (e for e in root if _local(e) == "TimeSeries"):
        if _text(series, "outBiddingZone_Domain.mRID"):  # what pumps and auxiliaries consume
            continue
        same_place(_text(series, "inBiddingZone_Domain.mRID") or None, place, NAME)
        psr = _text(series, "MktPSRType/psrType")
        for start, length_s, amount in _series(series):
            last[start, length_s, psr] = amount
    return [
        Generated(start, length_s, FUELS.get(psr, UNKNOWN), amount)
        for (start, length_s, psr), amount in last.items()
    ]


def _series(series: "Element") -> Iterator[tuple[float, float, float]]:
    """Instant, length and power of each slot of a TimeSeries, repeats filled in [s, s, MW]."""
    repeats = _text(series, "curveType") in {"", "A03"}
    for period in (e for e in series if _local(e) == "Period"):
        step_s = _STEPS_S.get(_text(period, "resolution"))
        try:
            start = instant_utc_s(_text(period, "timeInterval/start"))
            end = instant_utc_s(_text(period, "timeInterval/end"))
        except ValueError:
            raise ProviderReplyError(
                f"{NAME} gives an instant that is none", remedy=ANNUAL
            ) from None
        if step_s is None or not 0 < end - start <= 400 * DAY_S:
            raise ProviderReplyError(f"{NAME} gives a period that is none", remedy=ANNUAL)
        count = round((end - start) / step_s)
        given = dict(_positions(period))
        last: float | None = None
        for i in range(1, count + 1):
            value = given.get(i)
            if i not in given and repeats:
                value = last
            last = value
            if value is not None:
                yield start + (i - 1) * step_s, step_s, value


def _positions(period: "Element") -> Iterator[tuple[int, float | None]]:
    for item in (e for e in period if _local(e) == "Point"):
        position = _text(item, "position")
        value = number(_text(item, "quantity"), least=-_MOST_MW, most=_MOST_MW)
        if position.isascii() and position.isdecimal():
            yield int(position), None if isinstance(value, str) else value


def _parsed(body: bytes) -> "Element":
    """Root of the XML document *body*, which may define no entities."""
    from xml.etree.ElementTree import ParseError, fromstring

    if _DOCTYPE.search(body):  # a page, or a bomb of entities
        raise ProviderReplyError(f"{NAME} answers with a web page", remedy=ANNUAL)
    try:
        return fromstring(body)  # noqa: S314  # entities are refused above
    except (ParseError, ValueError, LookupError):
        raise ProviderReplyError(f"{NAME} answers with broken XML", remedy=ANNUAL) from None


def _local(element: "Element") -> str:
    """Name of *element* without its namespace, whose version changes now and then."""
    return element.tag.rpartition("}")[2]


def _text(element: "Element", path: str) -> str:
    """Text below *element* at *path* of local names, "" if there is none."""
    here: Element | None = element
    for name in path.split("/"):
        here = next((e for e in here if _local(e) == name), None) if here is not None else None
    return (here.text or "").strip() if here is not None else ""
