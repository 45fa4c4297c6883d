# SPDX-License-Identifier: Apache-2.0
"""The Carbon Intensity API of Great Britain: half hours, no key, two days ahead.

Read on 2026-11-23: carbon-intensity.github.io/api-definitions (operator NESO, CC BY 4.0). Its
figures are CO2 of generation only, with imports and losses: direct, of consumption. What it calls
actual is an estimate from metered generation, and null where a half hour has not closed.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from submeter.errors import ProviderReplyError
from submeter.providers.asking import (
    ANNUAL,
    DAY_S,
    Ask,
    Getter,
    Request,
    Scope,
    json_object,
    only,
    rows,
)
from submeter.providers.places import candidates, nothing_there
from submeter.providers.series import GRAMS, Point, instant_utc_s, interval, point, regular, utc
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

NAME: Final = "uk-carbon-intensity"
BASE: Final = "https://api.carbonintensity.org.uk"
KIND: Final = Kind("average", "direct", "consumption", "location")
SETTLES_S: Final = 2 * DAY_S
_DAYS_AT_ONCE: Final = 13  # it gives fourteen days at most


class UkCarbonIntensity:
    """Direct intensities of Great Britain, per half hour."""

    name = NAME
    requires: tuple[str, ...] = ()
    register = ""

    def __init__(self, base: str = BASE) -> None:
        self._base = base

    def kind(self, scope: Scope | None) -> Kind:
        return only(scope, KIND, self.name)

    def place(self, zone: Zone) -> str:
        if zone.code.startswith("GB-"):  # Northern Ireland and the islands are other grids
            raise nothing_there(self.name, zone, "Great Britain (GB)")
        if "GB" in candidates(zone):
            return "GB"
        raise nothing_there(self.name, zone, "Great Britain (GB)")

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        del keys
        points: list[Point] = []
        for begin, end in ask.days(_DAYS_AT_ONCE):
            url = f"{self._base}/intensity/{utc(begin)}/{utc(end)}"
            settled = end <= ask.now_utc_s - SETTLES_S
            accept = (("Accept", "application/json"),)
            points += _points(get(Request(url, headers=accept, settled=settled)), ask.now_utc_s)
        series = regular(
            points, name=self.name, start_utc_s=ask.start_utc_s, end_utc_s=ask.end_utc_s
        )
        low, high = interval(series.relative_sd)
        return Trace(
            key=f"live/{self.name}/GB/direct",
            zone=ask.zone.code,
            unit=GRAMS,
            start_utc_s=series.start_utc_s,
            step_s=series.step_s,
            values=series.values,
            low_ratio=low,
            high_ratio=high,
            kind=self.kind(ask.scope),
            shape=series.shape,
            source="Carbon Intensity API (NESO), Great Britain",
            year=int(utc(ask.start_utc_s, "%Y")),
            licence="CC BY 4.0",
            verified="live",
            notes=series.notes,
        )


def _points(body: bytes, now_utc_s: float) -> Iterator[Point]:
    for row in rows(json_object(body, NAME), "data", provider=NAME):
        intensity = row.get("intensity")
        try:
            start, end = instant_utc_s(row.get("from")), instant_utc_s(row.get("to"))
        except ValueError:
            raise ProviderReplyError(
                f"{NAME} gives an instant that is none", remedy=ANNUAL
            ) from None
        if not isinstance(intensity, dict) or end <= start:
            raise ProviderReplyError(f"{NAME} gives a row without intensity", remedy=ANNUAL)
        ahead = end > now_utc_s
        actual = None if ahead else intensity.get("actual")
        if actual is None:
            given = intensity.get("forecast")
            yield point(start, end - start, given, forecast=ahead, estimated=not ahead)
        else:
            yield point(start, end - start, actual)
