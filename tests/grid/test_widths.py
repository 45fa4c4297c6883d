# SPDX-License-Identifier: Apache-2.0
"""Say more, and the interval shrinks: set is no wider than guessed, guessed than unknown."""

from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from submeter.catalog.facts import fact, has
from submeter.catalog.regions import gazetteer
from submeter.catalog.tables import rows
from submeter.grid.annual import annual_of
from submeter.grid.factors import CONSUMED, LIFECYCLE
from submeter.grid.place import resolve_place
from submeter.grid.traces import intensity
from submeter.records.places import Zone
from submeter.records.traces import Kind

HOUR_S = 3600.0
JULY_2024_S = datetime(2024, 7, 10, 12, tzinfo=UTC).timestamp()
ROUNDING = 1 + 1e-9
DIRECT = Kind(scope="direct")


@cache
def width(zone: Zone, year: int = 2024, hours: float = 1.0, kind: Kind | None = None) -> float:
    start_s = datetime(year, 7, 10, 12, tzinfo=UTC).timestamp()
    made = intensity(zone, start_s, start_s + hours * HOUR_S, kind=kind)
    return made.high_ratio / made.low_ratio if made.low_ratio > 0 else float("inf")


def nowhere() -> Zone:
    return resolve_place()


PLACES = (*gazetteer().codes, *gazetteer().clouds)
TIMEZONES = tuple(row["key"] for row in rows("timezones"))


def test_no_named_place_is_wider_than_the_world() -> None:
    world = width(nowhere())
    assert len(PLACES) > 640
    wide = [word for word in PLACES if width(resolve_place(argument=word)) > world * ROUNDING]
    assert wide == []


def test_no_guessed_place_is_wider_than_the_world_nor_narrower_than_a_named_one() -> None:
    world = width(nowhere())
    assert len(TIMEZONES) > 500
    for timezone in TIMEZONES:
        guessed = resolve_place(timezone=timezone)
        told = width(resolve_place(argument=guessed.code))
        assert told <= width(guessed) * ROUNDING <= world * ROUNDING**2, timezone


@example(word="CA-PE", year=2026, hours=1.0)
@example(word="DK", year=2021, hours=24.0)
@given(
    word=st.sampled_from(PLACES),
    year=st.integers(2020, 2026),
    hours=st.sampled_from([1.0, 8.0, 24.0, 168.0, 2000.0]),
)
def test_no_place_is_wider_than_the_world_at_any_time(word: str, year: int, hours: float) -> None:
    zone = resolve_place(argument=word)
    assert width(zone, year, hours) <= width(nowhere(), year, hours) * ROUNDING
    direct = width(zone, year, hours, DIRECT)
    assert direct <= width(nowhere(), year, hours, DIRECT) * ROUNDING


@pytest.mark.parametrize("timezone", ["America/Edmonton", "Europe/Copenhagen", "Africa/El_Aaiun"])
def test_the_value_stays_within_an_interval_that_was_cut(timezone: str) -> None:
    made = intensity(resolve_place(timezone=timezone), JULY_2024_S, JULY_2024_S + HOUR_S)
    assert 0 < made.low_ratio < 1 < made.high_ratio


def test_a_cut_interval_says_so_and_others_do_not() -> None:
    def notes(zone: Zone) -> str:
        return " ".join(intensity(zone, JULY_2024_S, JULY_2024_S + HOUR_S).notes)

    assert "interval cut" in notes(resolve_place(timezone="America/Edmonton"))
    assert "interval cut" not in notes(resolve_place(argument="DE"))
    assert "interval cut" not in notes(nowhere())


def test_the_guess_of_canada_still_holds_its_provinces() -> None:
    made = intensity(resolve_place(timezone="America/Edmonton"), JULY_2024_S, JULY_2024_S + HOUR_S)
    level = made.values[0]
    assert level is not None
    for code in ("CA-AB", "CA-SK", "CA-QC", "CA-NS", "CA-ON"):
        own = annual_of(resolve_place(argument=code), 2024).factor.value
        assert level * made.low_ratio <= own <= level * made.high_ratio, code


def test_the_interval_of_nowhere_holds_what_single_places_do() -> None:
    world = annual_of(nowhere(), 2024).factor
    parts = {parent for row in rows("zones_odbl") for parent in row["parents"].split(";")}
    known = [
        fact("grid_odbl", row["code"], CONSUMED, year=2024).value
        for row in rows("zones_odbl")
        if has("grid_odbl", row["code"], CONSUMED) and row["code"] not in parts
    ]
    held = sum(world.low <= value <= world.high for value in known)
    assert held / len(known) >= 0.95
    assert world.value == fact("grid", "WORLD", LIFECYCLE).value
