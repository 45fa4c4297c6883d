# SPDX-License-Identifier: Apache-2.0
"""Answers broken at random: a trace that makes sense, or one sentence of ours; nothing else."""

import json
import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import CoverageError, ProviderReplyError, UsageError
from submeter.providers.csv_file import parse
from submeter.providers.eia import Eia
from submeter.providers.electricity_maps import ElectricityMaps
from submeter.providers.entsoe import Entsoe
from submeter.providers.finding import Ask, Provider, Request
from submeter.providers.uk_carbon_intensity import UkCarbonIntensity
from submeter.providers.watttime import WattTime
from submeter.records.places import Zone
from submeter.records.traces import Trace
from tests.providers.desk import ANSWERS, CAISO, DE, GB, SECRET, at, factor_of

NOW = "2026-11-20T12:10"
Service = tuple[Provider, Zone, str, str, str]
SERVICES: dict[str, Service] = {
    "maps": (
        ElectricityMaps(), DE, "2026-09-10T00:00", "2026-09-10T04:00",
        "electricity_maps_past_range.json",
    ),
    "maps ahead": (
        ElectricityMaps(), DE, "2026-11-20T12:10", "2026-11-20T16:00",
        "electricity_maps_forecast.json",
    ),
    "watttime": (
        WattTime(), CAISO, "2026-11-10T00:00", "2026-11-10T00:20", "watttime_historical.json",
    ),
    "uk": (
        UkCarbonIntensity(), GB, "2026-11-20T10:30", "2026-11-20T13:00",
        "uk_carbon_intensity.json",
    ),
    "eia": (
        Eia(factor_of=factor_of), CAISO, "2026-11-10T00:00", "2026-11-10T02:00",
        "eia_fuel_type_data.json",
    ),
    "entsoe": (
        Entsoe(factor_of=factor_of), DE, "2026-11-10T00:00", "2026-11-10T02:00", "entsoe_a75.xml",
    ),
}  # fmt: skip

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["2026-11-10T00:00Z", "0001-01-01T00:00+14:00", "9999-12-31T23:59Z", "1e999", "-5", "DE"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def sensible(service: Service, body: bytes) -> None:
    """Ask the provider, which gets *body*, and see that what it says holds together."""
    provider, zone, start, end, _ = service

    def get(request: Request) -> bytes:
        del request
        return body

    ask = Ask(zone, provider.place(zone), at(start), at(end), at(NOW))
    try:
        trace = provider.fetch(ask, get, dict.fromkeys(provider.requires, SECRET))
    except (ProviderReplyError, CoverageError):
        return  # that each has a remedy is for the conformance suite
    holds_together(trace)
    assert trace.start_utc_s <= ask.start_utc_s
    assert trace.start_utc_s + len(trace.values) * trace.step_s >= ask.end_utc_s


def holds_together(trace: Trace) -> None:
    known = [v for v in trace.values if v is not None]
    assert known
    assert all(math.isfinite(v) and 0 <= v <= 3000 for v in known)
    assert trace.step_s >= 60
    assert 0 < trace.low_ratio <= 1 <= trace.high_ratio
    assert math.isfinite(trace.high_ratio)


def places(document: Any, set_here: Callable[[Any], None]) -> list[Callable[[Any], None]]:
    """A setter of each value within *document*, and of itself."""
    found = [set_here]
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in items:
            found += places(value, partial(operator.setitem, document, key))
    return found


JSON = [name for name in SERVICES if name != "entsoe"]


@pytest.mark.parametrize("name", JSON)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_e13_any_value_replaced_by_any_other(name: str, data: st.DataObject) -> None:
    service = SERVICES[name]
    holder = {"document": json.loads((ANSWERS / service[-1]).read_bytes())}
    for _ in range(data.draw(st.integers(1, 3))):
        setters = places(holder["document"], partial(operator.setitem, holder, "document"))
        data.draw(st.sampled_from(setters))(data.draw(values))
    sensible(service, json.dumps(holder["document"]).encode())


@pytest.mark.parametrize("name", SERVICES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_e13_any_bytes_replaced_by_any_others(name: str, data: st.DataObject) -> None:
    service = SERVICES[name]
    body = (ANSWERS / service[-1]).read_bytes()
    begin = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(begin, min(len(body), begin + 40)))
    new = data.draw(st.binary(max_size=20) | st.from_regex(rb"[0-9T:Z<>/.eE+-]{0,12}"))
    sensible(service, body[:begin] + new + body[end:])


CSV = (
    "# kind: average, direct, production\n# zone: DE\ntimestamp,value,forecast\n"
    "2026-11-10T00:00:00Z,300,\n2026-11-10T01:00:00+00:00,,310\n2026-11-10T02:00Z,320,\n"
)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_e13_a_file_broken_anywhere(data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(CSV)))
    end = data.draw(st.integers(begin, min(len(CSV), begin + 40)))
    new = data.draw(st.text(max_size=20) | st.from_regex(r'[0-9T:Z,."#\n+-]{0,12}'))
    try:
        trace = parse(CSV[:begin] + new + CSV[end:], zone="DE")
    except (UsageError, CoverageError, ProviderReplyError):
        return
    if trace.unit == "g/kWh":
        holds_together(trace)
