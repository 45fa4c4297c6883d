# SPDX-License-Identifier: Apache-2.0
"""WattTime, API v3: marginal operating emissions rates, five minutes each, up to three days ahead.

Read on 2026-11-23: docs.watttime.org and its openapi.json. Name and password buy a token of half
an hour; a free account sees CAISO_NORTH only. Rates are pounds of CO2 per megawatt-hour of the
power stations that answer a change in load: marginal and direct.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Final

from submeter.errors import ProviderReplyError
from submeter.providers.asking import (
    ANNUAL,
    DAY_S,
    HOUR_S,
    Ask,
    Getter,
    Request,
    Scope,
    json_object,
    only,
    rows,
    same_place,
)
from submeter.providers.places import looked_up
from submeter.providers.series import GRAMS, Point, instant_utc_s, interval, point, regular, utc
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

NAME: Final = "watttime"
USER: Final = "SUBMETER_WATTTIME_USER"
PASSWORD: Final = "SUBMETER_WATTTIME_PASSWORD"  # noqa: S105  # the name of a variable
BASE: Final = "https://api.watttime.org"
SIGNAL: Final = "co2_moer"
UNIT: Final = "lbs_co2_per_mwh"
G_PER_KWH_OF_LB_PER_MWH: Final = 0.45359237  # exact: 453.59237 g in a pound, 1000 kWh in a MWh
KIND: Final = Kind("marginal", "direct", "production", "location")
SETTLES_S: Final = 7 * DAY_S
MODEL_SD: Final = 0.15  # of a modelled marginal rate; type B judgement, as for estimated hours
_DAYS_AT_ONCE: Final = 31  # it gives 32 days at most
_LONGEST_H: Final = 72


class WattTime:
    """Marginal intensities of a change in load."""

    name = NAME
    requires = (USER, PASSWORD)
    register = "https://docs.watttime.org"

    def __init__(self, base: str = BASE) -> None:
        self._base = base

    def kind(self, scope: Scope | None) -> Kind:
        return only(scope, KIND, self.name)

    def place(self, zone: Zone) -> str:
        return looked_up(self.name, zone, "regions of many countries and US balancing areas")

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        tokens: list[str] = []

        def sign() -> tuple[tuple[str, str], ...]:
            """Log in when the first question really goes out: kept answers need no token."""
            if not tokens:
                tokens.append(self._login(get, keys))
            return (("Authorization", f"Bearer {tokens[0]}"),)

        def ask_for(path: str, *query: tuple[str, str], settled: bool = False) -> bytes:
            common = (("region", ask.place), ("signal_type", SIGNAL))
            url = f"{self._base}/v3/{path}"
            return get(Request(url, (*common, *query), settled=settled, sign=sign))

        points: list[Point] = []
        for begin, end in ask.days(_DAYS_AT_ONCE, end_utc_s=ask.now_utc_s):
            span = (("start", utc(begin)), ("end", utc(end)))
            settled = end <= ask.now_utc_s - SETTLES_S
            points += _points(ask_for("historical", *span, settled=settled), ask, ahead=False)
        if ask.end_utc_s > ask.now_utc_s:
            hours = min(_LONGEST_H, -(-(ask.end_utc_s - ask.now_utc_s) // HOUR_S))
            body = ask_for("forecast", ("horizon_hours", f"{hours:.0f}"))
            points += _points(body, ask, ahead=True)
        return self._trace(points, ask)

    def _login(self, get: Getter, keys: Mapping[str, str]) -> str:
        pair = b64encode(f"{keys[USER]}:{keys[PASSWORD]}".encode()).decode("ascii")
        body = get(
            Request(
                f"{self._base}/login", headers=(("Authorization", f"Basic {pair}"),), keep=False
            )
        )
        token = json_object(body, self.name).get("token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ProviderReplyError(f"{self.name} gives no token", remedy=ANNUAL)
        return token

    def _trace(self, points: list[Point], ask: Ask) -> Trace:
        series = regular(
            points,
            name=self.name,
            start_utc_s=ask.start_utc_s,
            end_utc_s=ask.end_utc_s,
            now_utc_s=ask.now_utc_s,
        )
        low, high = interval(max(MODEL_SD, series.relative_sd))
        return Trace(
            key=f"live/{self.name}/{ask.place}/{SIGNAL}",
            zone=ask.zone.code,
            unit=GRAMS,
            start_utc_s=series.start_utc_s,
            step_s=series.step_s,
            values=series.values,
            low_ratio=low,
            high_ratio=high,
            kind=KIND,
            shape=series.shape,
            source=f"WattTime API v3, {SIGNAL} of {ask.place}",
            year=int(utc(ask.start_utc_s, "%Y")),
            licence="WattTime terms of service; not to be passed on",
            verified="live",
            notes=series.notes,
        )


def _points(body: bytes, ask: Ask, *, ahead: bool) -> Iterator[Point]:
    document = json_object(body, NAME)
    meta = document.get("meta")
    if not isinstance(meta, dict):
        raise ProviderReplyError(f"the answer of {NAME} does not describe itself", remedy=ANNUAL)
    same_place(meta.get("region"), ask.place, NAME)
    same_place(meta.get("signal_type"), SIGNAL, NAME)
    same_place(meta.get("units"), UNIT, NAME)
    length_s = meta.get("data_point_period_seconds")
    if isinstance(length_s, bool) or not isinstance(length_s, int) or length_s <= 0:
        raise ProviderReplyError(f"{NAME} does not say how long a value holds", remedy=ANNUAL)
    for row in rows(document, "data", provider=NAME):
        try:
            start = instant_utc_s(row.get("point_time"))
        except ValueError:
            raise ProviderReplyError(
                f"{NAME} gives an instant that is none", remedy=ANNUAL
            ) from None
        value = row.get("value")
        forecast = ahead and start + length_s > ask.now_utc_s
        yield point(start, length_s, value, ratio=G_PER_KWH_OF_LB_PER_MWH, forecast=forecast)
