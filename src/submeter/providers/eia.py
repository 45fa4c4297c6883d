# SPDX-License-Identifier: Apache-2.0
"""US Energy Information Administration, API v2: hourly net generation by energy source (EIA-930).

Read on 2026-11-23: www.eia.gov/opendata/documentation.php and the dataset electricity/rto/
fuel-type-data. A period names the hour that ends then, in UTC. Values come in quotes, and at most
5 000 rows at a time. The key is part of the query, so the address is never shown.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from submeter.errors import CoverageError, ProviderReplyError
from submeter.providers.asking import (
    ANNUAL,
    DAY_S,
    HOUR_S,
    Ask,
    Getter,
    Request,
    Scope,
    json_object,
    rows,
    same_place,
)
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
from submeter.providers.series import number, utc
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

NAME: Final = "eia"
KEY: Final = "SUBMETER_EIA_KEY"
BASE: Final = "https://api.eia.gov/v2"
SETTLES_S: Final = 45 * DAY_S  # balancing authorities correct themselves for some weeks
_DAYS_AT_ONCE: Final = 7  # 168 hours of up to 16 sources are below the limit
_MOST_ROWS: Final = 5_000
_MOST_MWH: Final = 1e6
# Energy sources of EIA-930; the last line are those since 2025. OTH, UNK and others are unknown.
FUELS: Final = {
    "COL": "coal", "NG": "gas", "NUC": "nuclear", "OIL": "oil", "SUN": "solar", "WAT": "hydro",
    "WND": "wind", "PS": STORAGE, "BAT": STORAGE, "OES": STORAGE, "UES": STORAGE,
    "GEO": "geothermal", "SNB": "solar", "WNB": "wind",
}  # fmt: skip


class Eia:
    """Intensity of generation in US balancing authorities."""

    name = NAME
    requires = (KEY,)
    register = "https://www.eia.gov/opendata/register.php"

    def __init__(self, base: str = BASE, *, factor_of: FactorOf = of_catalog) -> None:
        self._base = base
        self._factor_of = factor_of

    def kind(self, scope: Scope | None) -> Kind:
        return production(scope)

    def place(self, zone: Zone) -> str:
        return looked_up(self.name, zone, "US balancing authorities such as US-CAL-CISO, and US")

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        mix: list[Generated] = []
        for begin, end in ask.days(_DAYS_AT_ONCE, end_utc_s=ask.now_utc_s):
            query = (
                ("frequency", "hourly"),
                ("data[0]", "value"),
                ("facets[respondent][]", ask.place),
                ("start", utc(begin + HOUR_S, "%Y-%m-%dT%H")),
                ("end", utc(end, "%Y-%m-%dT%H")),
                ("sort[0][column]", "period"),
                ("sort[0][direction]", "asc"),
                ("offset", "0"),
                ("length", str(_MOST_ROWS)),
            )
            url = f"{self._base}/electricity/rto/fuel-type-data/data/"
            settled = end <= ask.now_utc_s - SETTLES_S
            secret = (("api_key", keys[KEY]),)
            mix += _generated(get(Request(url, query, secret, (), settled)), ask.place)
        if not mix:
            raise CoverageError(
                f"{self.name} has no generation of {ask.zone.code} at that time",
                remedy="it knows the past since July 2018; leave it out for the annual figure",
            )
        return trace_of(
            mix,
            ask,
            self,
            factor_of=self._factor_of,
            source=f"US EIA, form 930, net generation by energy source of {ask.place}",
            licence="public domain (US government work)",
        )


def _generated(body: bytes, place: str) -> Iterator[Generated]:
    response = json_object(body, NAME).get("response")
    if not isinstance(response, dict):
        raise ProviderReplyError(f"the answer of {NAME} has no response", remedy=ANNUAL)
    found = rows(response, "data", provider=NAME)
    total = number(response.get("total"), most=1e12)
    if isinstance(total, float) and total > len(found):
        raise ProviderReplyError(f"{NAME} gives only part of its rows", remedy=ANNUAL)
    last: dict[tuple[float, str], Generated] = {}
    for row in found:
        same_place(row.get("respondent"), place, NAME)
        same_place(row.get("value-units"), "megawatthours", NAME)
        code = str(row.get("fueltype"))
        start = _hour_utc_s(row.get("period")) - HOUR_S
        value = number(row.get("value"), least=-_MOST_MWH, most=_MOST_MWH)
        if isinstance(value, float):  # of a row that comes twice the later one holds
            last[start, code] = Generated(start, HOUR_S, FUELS.get(code, UNKNOWN), value)
    yield from last.values()


def _hour_utc_s(period: object) -> float:
    """Instant of a period such as ``2026-11-20T05`` [s since 1970]."""
    try:
        return datetime.strptime(str(period), "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ProviderReplyError(f"{NAME} gives an instant that is none", remedy=ANNUAL) from None
