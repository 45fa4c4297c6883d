# SPDX-License-Identifier: Apache-2.0
"""Intensity of any place at any time, offline: the right figure, hour and doubt."""

import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.catalog.facts import fact, keys
from submeter.errors import CoverageError, UsageError
from submeter.grid.factors import direct_factor
from submeter.grid.place import resolve_place
from submeter.grid.traces import intensity
from submeter.grid.weighting import mix, weighted
from submeter.records.places import Zone
from submeter.records.traces import Kind, Load, Trace

HOUR_S = 3600.0
CONSUMED = "average_lifecycle_consumption_g_per_kwh"
PRODUCED = "average_lifecycle_production_g_per_kwh"
NOWHERE = Zone("XX", "a place without rows", "country", "argument", "XX", ("WORLD",))


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def zone(word: str) -> Zone:
    return resolve_place(argument=word)


def day(word: str, text: str = "2025-06-10", *, kind: Kind | None = None) -> Trace:
    return intensity(zone(word), at(text), at(text) + 24 * HOUR_S, kind=kind)


def reach(trace: Trace) -> float:
    return trace.high_ratio / trace.low_ratio


@pytest.mark.parametrize(
    ("word", "code", "flow", "shape"),
    [
        ("DE", "DE", "consumption", "profile"),
        ("FR", "FR", "consumption", "profile"),
        ("SE", "SE", "consumption", "flat"),
        ("IN", "IN", "consumption", "flat"),
        ("US-CAL-CISO", "US-CAL-CISO", "consumption", "profile"),
        ("US-NW-BPAT", "US-NW-BPAT", "consumption", "proxy profile"),  # of generation
        ("NO-NO1", "NO-NO1", "consumption", "proxy profile"),  # of the country
        ("aws/us-west-2", "US-NW-PACW", "consumption", "flat"),
        ("CAMX", "CAMX", "production", "flat"),
        ("WORLD", "WORLD", "production", "flat"),
    ],
)
def test_each_place_has_its_figure_and_says_how_it_was_made(
    word: str, code: str, flow: str, shape: str
) -> None:
    made = day(word)
    assert (made.zone, made.shape) == (code, shape)
    assert made.kind is not None
    assert (made.kind.flow, made.kind.scope, made.kind.method) == (flow, "lifecycle", "location")
    assert len(made.values) == 24
    assert made.low_ratio < 1 < made.high_ratio
    assert made.source
    if shape == "proxy profile":
        assert any("the shape is a profile" in n for n in made.notes)
    if shape == "flat":
        assert len(set(made.values)) == 1
        assert any("flat year" in n for n in made.notes)


def test_every_place_of_the_catalog_has_a_trace() -> None:
    words = [*keys("zones"), *keys("zones_odbl"), *keys("cloud_regions")]
    start_s = at("2026-11-23T10:20")
    for word in dict.fromkeys(words):
        made = intensity(zone(word), start_s, start_s + 600)
        assert len(made.values) == 1, word
        assert made.values[0], word
        assert 0 < made.values[0] < 1500, (word, made.values)
        assert 0 < made.low_ratio < 1 < made.high_ratio < 60, (word, made.high_ratio)


def test_a_place_without_any_row_is_the_world_and_assumed() -> None:
    made = intensity(NOWHERE, at("2024-05-01"), at("2024-05-02"))
    assert (made.zone, made.verified) == ("WORLD", "assumed")
    assert made.values[0] == fact("grid", "WORLD", PRODUCED).value
    assert any("WORLD stands in" in n for n in made.notes)
    assert reach(made) > 6


@pytest.mark.parametrize("word", ["DE", "FR", "GB", "US-CAL-CISO", "AU-NSW", "ZA", "SE"])
@pytest.mark.parametrize("year", [2023, 2024])  # a common year and a leap year
def test_a_whole_year_has_the_mean_of_the_year(word: str, year: int) -> None:
    start_s, end_s = at(f"{year}-01-01"), at(f"{year + 1}-01-01")
    made = intensity(zone(word), start_s, end_s)
    hours = round((end_s - start_s) / HOUR_S)
    assert len(made.values) == hours == (8784 if year == 2024 else 8760)
    load = Load(start_s, HOUR_S, (1.0,) * hours)
    annual = fact("grid_odbl", word, CONSUMED, year=year).value
    assert weighted(load, made).value == pytest.approx(annual, rel=0.005)


@given(start_s=st.floats(0, 2.5e9), hours=st.floats(0, 2000))
def test_each_slot_has_the_value_of_its_month_and_hour_in_utc(
    start_s: float, hours: float
) -> None:
    made = intensity(zone("DE"), start_s, start_s + hours * HOUR_S)
    year_s = at("2024-01-01")
    shape = intensity(zone("DE"), year_s, at("2025-01-01"))
    level = fact("grid_odbl", "DE", CONSUMED, year=made.year).value / 341  # DE in 2024
    assert made.start_utc_s <= start_s
    assert made.start_utc_s + len(made.values) * HOUR_S >= start_s + hours * HOUR_S
    for i in {0, len(made.values) // 2, len(made.values) - 1}:
        when = datetime.fromtimestamp(made.start_utc_s + i * HOUR_S, UTC)
        same = when.replace(year=2024, day=1)
        value = shape.values[round((same.timestamp() - year_s) / HOUR_S)]
        assert made.values[i] == pytest.approx((value or 0) * level, rel=1e-9)


@pytest.mark.parametrize(
    ("start", "end", "slots"),
    [
        ("2024-02-28", "2024-03-01", 48),  # 28 and 29 February
        ("2023-02-28", "2023-03-01", 24),
        ("2025-03-30", "2025-03-31", 24),  # clocks go forward in Europe; hours of UTC do not
        ("2025-10-26", "2025-10-27", 24),
        ("2025-12-31T23:30", "2026-01-01T00:30", 2),
        ("2025-06-10T12:00", "2025-06-10T12:00", 1),  # a run without a length
    ],
)
def test_borders_of_months_years_and_clocks(start: str, end: str, slots: int) -> None:
    made = intensity(zone("DE"), at(start), at(end))
    assert len(made.values) == slots
    assert made.start_utc_s <= at(start) < made.start_utc_s + HOUR_S


@pytest.mark.parametrize(
    ("start_s", "end_s"),
    [(10.0, 9.0), (0.0, 1e12), (0.0, float("nan")), (float("nan"), 1.0)],
)
def test_a_span_that_cannot_be_is_refused(start_s: float, end_s: float) -> None:
    with pytest.raises(UsageError):
        intensity(zone("DE"), start_s, end_s)


@pytest.mark.parametrize("word", ["DE", "SE", "US-CAL-CISO", "IN"])
def test_the_figure_of_the_year_is_taken_and_others_widen(word: str) -> None:
    years = {y: day(word, f"{y}-06-10") for y in (2015, 2019, 2021, 2025, 2026, 2030)}
    assert {y: t.year for y, t in years.items()} == {
        2015: 2021, 2019: 2021, 2021: 2021, 2025: 2025, 2026: 2025, 2030: 2025,
    }  # fmt: skip
    assert reach(years[2015]) > reach(years[2019]) > reach(years[2021])
    assert reach(years[2025]) < reach(years[2026]) < reach(years[2030])
    assert "annual figure of 2025, the run of 2026" in " ".join(years[2026].notes)


@pytest.mark.parametrize("word", ["DE", "SE", "NO-NO1", "US-NW-BPAT"])
def test_a_longer_span_is_known_better(word: str) -> None:
    start_s = at("2025-02-03")
    spans = [intensity(zone(word), start_s, start_s + h * HOUR_S) for h in (1, 6, 24, 168, 2000)]
    reaches = [reach(t) for t in spans]
    assert all(a > b for a, b in pairwise(reaches))


def test_a_guessed_place_is_wider_than_a_named_one_and_assumed() -> None:
    said, guessed = zone("DE"), resolve_place(timezone="Europe/Berlin")
    span = at("2025-06-10"), at("2025-06-11")
    one, other = intensity(said, *span), intensity(guessed, *span)
    assert one.values == other.values
    assert reach(other) > reach(one)
    assert (one.verified, other.verified) == ("copy", "assumed")
    assert any("guessed" in n for n in other.notes)


def test_what_stands_in_is_wider_than_the_figure_itself() -> None:
    part = structs.replace(zone("DE"), code="DE-XX", parents=("DE", "WORLD"))
    span = at("2025-06-10"), at("2025-06-11")
    made = intensity(part, *span)
    assert made.zone == "DE"
    assert reach(made) > reach(intensity(zone("DE"), *span))
    assert any("DE stands in" in n for n in made.notes)


@pytest.mark.parametrize("word", ["TM", "SK", "NP", "CO"])
def test_where_makers_disagree_the_interval_holds_both(word: str) -> None:
    made = day(word, "2025-06-10")
    level = made.values[0] or 0
    other = fact("grid", word, PRODUCED).value
    assert level * made.low_ratio <= other <= level * made.high_ratio
    assert any("the production figure is" in n for n in made.notes)


def test_a_profile_of_another_kind_is_a_proxy_and_widens() -> None:
    own = day("DE")
    produced = day("DE", kind=Kind())
    direct = day("DE", kind=Kind(scope="direct"))
    assert (own.shape, produced.shape, direct.shape) == (
        "profile", "proxy profile", "proxy profile",
    )  # fmt: skip
    assert "of consumption" in produced.notes[-1]
    assert "of lifecycle emissions" in direct.notes[-1]
    annual = direct_factor(zone("DE"), year=2025)
    assert direct.high_ratio > annual.high / annual.value
    assert direct.kind == Kind(scope="direct")


@pytest.mark.parametrize(
    "kind",
    [
        Kind(method="market"),
        Kind(signal="marginal", scope="direct"),
    ],
)
def test_g09_a_kind_that_no_profile_tells_is_refused(kind: Kind) -> None:
    with pytest.raises(UsageError) as caught:
        day("DE", kind=kind)
    assert caught.value.remedy


def test_g09_a_kind_that_is_asked_for_is_given_or_refused_never_swapped() -> None:
    with pytest.raises(CoverageError):
        day("WORLD", kind=Kind(flow="consumption"))
    consumed = day("CAMX", kind=Kind(flow="consumption"))
    assert (consumed.zone, consumed.kind) == ("US", Kind(flow="consumption"))
    assert day("CAMX", kind=Kind()).kind == Kind()
    with pytest.raises(UsageError):
        mix([(day("DE"), 0.5), (day("DE", kind=Kind()), 0.5)])


def test_the_direct_part_of_what_is_consumed_never_exceeds_the_whole() -> None:
    span = at("2025-06-10"), at("2025-06-11")
    seen = 0
    for code in keys("zones_odbl"):
        whole = intensity(zone(code), *span)
        if whole.kind != Kind(flow="consumption"):
            continue
        part = intensity(zone(code), *span, kind=Kind(scope="direct", flow="consumption"))
        seen += 1
        assert part.kind == Kind(scope="direct", flow="consumption")
        assert (part.zone, part.year) == (whole.zone, whole.year)
        for own, all_of_it in zip(part.values, whole.values, strict=True):
            assert 0 < (own or 0) < (all_of_it or 0), code
        assert reach(part) >= reach(whole)
    assert seen > 300


def test_a_day_of_seconds_is_one_factor() -> None:
    start_s = at("2025-06-10T03:17:11")
    trace = intensity(zone("DE"), start_s, start_s + 86400)
    made = weighted(Load(start_s, 1.0, (8000.0,) * 86400), trace)
    assert made.key == "grid_odbl/DE/average_lifecycle_consumption_g_per_kwh"
    assert made.low < made.value < made.high
    assert made.verified == "copy"


def test_importing_the_room_reads_no_table() -> None:
    code = (
        "import submeter.grid.supply, submeter.grid.microgrid, submeter.grid.traces\n"
        "from submeter.catalog import tables\n"
        "caches = [f for f in vars(tables).values() if hasattr(f, 'cache_info')]\n"
        "assert len(caches) >= 2\n"
        "assert not any(f.cache_info().currsize for f in caches), caches"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
