# SPDX-License-Identifier: Apache-2.0
"""Doubts of hours, years and places: measured rows, and rules that behave."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog.factors import grid_spread
from submeter.catalog.tables import rows
from submeter.grid.spreads import (
    around_world_sd,
    drift_sd,
    flat_sd,
    inside_country_sd,
    profile_sd,
)

ROOT = Path(__file__).parents[2]
ratios = st.floats(0, 1)
hours = st.floats(0, 10_000)


@given(clean=ratios, moving=ratios, span=hours)
def test_a_flat_year_is_doubted_more_the_cleaner_and_windier_and_less_over_time(
    clean: float, moving: float, span: float
) -> None:
    sd = flat_sd(clean, moving, span)
    assert 0 <= sd <= flat_sd(None, 1.0, span) + 1e-12
    assert flat_sd(min(1, clean + 0.1), moving, span) >= sd
    assert flat_sd(clean, min(1, moving + 0.1), span) >= sd
    assert flat_sd(clean, moving, span * 2 + 1) <= sd
    assert flat_sd(clean, moving, 8760) == 0


@given(span=hours)
def test_a_profile_is_doubted_more_in_another_year_and_less_over_time(span: float) -> None:
    for row in rows("profiles_odbl"):
        name = row["profile_id"]
        same = profile_sd(name, span, other_year=False)
        other = profile_sd(name, span, other_year=True)
        assert 0 <= same <= other < 1
        assert profile_sd(name, span * 2 + 1, other_year=True) <= other


def test_a_profile_has_its_own_scatter_or_a_wide_one_of_the_others() -> None:
    names = [row["profile_id"] for row in (*rows("profiles"), *rows("profiles_odbl"))]
    sds = {name: profile_sd(name, 1, other_year=False) for name in names}
    wide = profile_sd("a profile that came later", 1, other_year=False)
    own = [sd for sd in sds.values() if sd != wide]
    assert len(own) >= 26  # the others were made from series that are not at hand
    assert 0.85 <= sum(sd <= wide for sd in own) / len(own) <= 0.95


def test_a_steady_zone_drifts_less_than_a_restless_one() -> None:
    steady = [(y, 500.0 + y % 2) for y in range(2021, 2026)]
    restless = [(y, 500.0 + 250 * (y % 2)) for y in range(2021, 2026)]
    assert drift_sd(steady, 1) < drift_sd((), 1) < drift_sd(restless, 1)
    for one, other in pairwise(drift_sd(steady, n) for n in range(6)):
        assert one < other
    assert drift_sd(steady, 4) == pytest.approx(2 * drift_sd(steady, 1))
    assert drift_sd(steady, -4) == drift_sd(steady, 4)
    assert drift_sd(steady, 0) == 0


def test_places_scatter_less_within_a_country_than_around_the_world() -> None:
    assert 0 < inside_country_sd("JP") < inside_country_sd("US") < around_world_sd()
    assert inside_country_sd("LU") == inside_country_sd("")


def test_the_page_on_the_grid_gives_the_numbers_of_the_table() -> None:
    page = (ROOT / "docs" / "grid.md").read_text(encoding="utf-8")
    for key, digits in [
        ("drift-prior", 3), ("profile-other-year", 2), ("flat-carbon-free", 2),
        ("flat-variable", 2), ("flat-window/6h", 2), ("flat-window/24h", 2),
        ("flat-window/168h", 2), ("flat-window/730h", 2), ("proxy-scope", 3), ("proxy-flow", 3),
        ("proxy-place", 2), ("country/other", 2), ("country/US", 2), ("world", 2),
        ("world-low", 3), ("world-high", 2), ("world-direct-low", 3),
    ]:  # fmt: skip
        shown = f"{grid_spread(key).value:.{digits}f}"
        assert re.search(rf"(?<![\d.]){re.escape(shown)}(?!\d)", page), (key, shown)


def test_every_spread_says_on_what_it_was_measured() -> None:
    path = ROOT / "src" / "submeter" / "catalog" / "data" / "grid_spread.csv"
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) > 100
    for row in found:
        assert row["note"]
        assert row["source"]
        assert 0 < float(row["value"]) < 2, row["key"]
