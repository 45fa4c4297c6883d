# SPDX-License-Identifier: Apache-2.0
"""Electricity Maps, API v4: hourly averages of consumption, flow-traced, past and ahead.

Read on 2026-11-23: portal.electricitymaps.com/docs and /developer-hub/api/reference. The plan
decides what answers: a free key reaches 24 hours back (``history``), others years
(``past-range``, ten days at a time); forecasts go 6, 24, 48 or 72 hours ahead.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from submeter.catalog.facts import attributes
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
from submeter.providers.places import candidates, nothing_there
from submeter.providers.series import GRAMS, Point, instant_utc_s, interval, point, regular, utc
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

NAME: Final = "electricity-maps"
TOKEN: Final = "SUBMETER_ELECTRICITYMAPS_TOKEN"  # noqa: S105  # the name of a variable
BASE: Final = "https://api.electricitymaps.com/v4"
HORIZONS_H: Final = (6, 24, 48, 72)
SETTLES_S: Final = 45 * DAY_S  # estimates are replaced by measurements for some weeks
_DAYS_AT_ONCE: Final = 10
_SYSTEM: Final = "electricity maps"  # whose codes rows of the zones' table have


class ElectricityMaps:
    """Average intensities of what is consumed, lifecycle or direct."""

    name = NAME
    requires = (TOKEN,)
    register = "https://portal.electricitymaps.com"

    def __init__(self, base: str = BASE) -> None:
        self._base = base

    def kind(self, scope: Scope | None) -> Kind:
        return Kind("average", scope or "lifecycle", "consumption", "location")

    def place(self, zone: Zone) -> str:
        for code in candidates(zone):
            row = attributes("zones_odbl", code)
            if row is not None and row["system"] == _SYSTEM:
                return code
        raise nothing_there(self.name, zone, "countries and their grid zones such as US-CAL-CISO")

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        kind = self.kind(ask.scope)
        points: list[Point] = []
        for request, ahead in self._requests(ask, kind, keys):
            points += _points(get(request), ask, kind, ahead=ahead)
        if not points:
            raise CoverageError(
                f"{self.name} has nothing of {ask.place} at that time", remedy=ANNUAL
            )
        series = regular(
            points,
            name=self.name,
            start_utc_s=ask.start_utc_s,
            end_utc_s=ask.end_utc_s,
            now_utc_s=ask.now_utc_s,
        )
        low, high = interval(series.relative_sd)
        return Trace(
            key=f"live/{self.name}/{ask.place}/{kind.scope}",
            zone=ask.zone.code,
            unit=GRAMS,
            start_utc_s=series.start_utc_s,
            step_s=series.step_s,
            values=series.values,
            low_ratio=low,
            high_ratio=high,
            kind=kind,
            shape=series.shape,
            source=f"Electricity Maps API v4, {ask.place}",
            year=int(utc(ask.start_utc_s, "%Y")),
            licence="Electricity Maps API terms; attribution; free keys are not for business",
            verified="live",
            notes=series.notes,
        )

    def _requests(
        self, ask: Ask, kind: Kind, keys: Mapping[str, str]
    ) -> Iterator[tuple[Request, bool]]:
        """All requests, and whether each is about the future."""
        common: tuple[tuple[str, str], ...] = (
            ("zone", ask.place),
            ("emissionFactorType", kind.scope),
            ("temporalGranularity", "hourly"),
            ("disableCallerLookup", "true"),  # else an unknown zone becomes that of the caller
        )
        headers = (("auth-token", keys[TOKEN]), ("Accept", "application/json"))
        url = f"{self._base}/carbon-intensity"
        this_hour = ask.now_utc_s // HOUR_S * HOUR_S
        if ask.start_utc_s >= this_hour - 23 * HOUR_S:
            if ask.start_utc_s < ask.now_utc_s:
                yield Request(f"{url}/history", common, headers=headers), False
        else:
            for begin, end in ask.days(_DAYS_AT_ONCE, end_utc_s=ask.now_utc_s):
                span = (("start", utc(begin)), ("end", utc(end)))
                settled = end <= ask.now_utc_s - SETTLES_S
                yield (
                    Request(f"{url}/past-range", (*common, *span), (), headers, settled),
                    False,
                )
        if ask.end_utc_s > this_hour + HOUR_S:
            hours = (ask.end_utc_s - this_hour) / HOUR_S
            horizon = next((h for h in HORIZONS_H if h >= hours), HORIZONS_H[-1])
            ahead = (*common, ("horizonHours", str(horizon)))
            yield Request(f"{url}/forecast", ahead, headers=headers), True


def _points(body: bytes, ask: Ask, kind: Kind, *, ahead: bool) -> Iterator[Point]:
    document = json_object(body, NAME)
    same_place(document.get("zone"), ask.place, NAME)
    for row in rows(document, "data", "history", "forecast", provider=NAME):
        same_place(row.get("zone"), ask.place, NAME)
        if (
            row.get("emissionFactorType", kind.scope) != kind.scope
            or row.get("flowTraced") is False
        ):
            raise ProviderReplyError(f"{NAME} answers in another kind than asked", remedy=ANNUAL)
        try:
            start = instant_utc_s(row.get("datetime"))
        except ValueError:
            raise ProviderReplyError(
                f"{NAME} gives an instant that is none", remedy=ANNUAL
            ) from None
        estimated = row.get("isEstimated") is True
        forecast = ahead and start + HOUR_S > ask.now_utc_s
        yield point(
            start, HOUR_S, row.get("carbonIntensity"), forecast=forecast, estimated=estimated
        )
