# SPDX-License-Identifier: Apache-2.0
"""Numbers a person reads: true, no more precise than they are, never zero for want of knowing."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from submeter.records.figures import Basis, Figure, Missing
from submeter.reporting.numbers import (
    MISSING,
    interval,
    mark,
    write,
    write_count,
    write_doubt,
    write_duration,
    write_limit,
    write_power,
    write_ratio,
)

SIZES = {
    "GWh": 3.6e12, "MWh": 3.6e9, "kWh": 3.6e6, "Wh": 3.6e3, "mWh": 3.6,
    "GJ": 1e9, "MJ": 1e6, "kJ": 1e3, "J": 1.0, "mJ": 1e-3, "µJ": 1e-6, "nJ": 1e-9,
}  # fmt: skip

values = st.floats(1e-6, 1e12)
widths = st.floats(1e-6, 3.0)


def figure(value: float, low: float, high: float, unit: str = "J") -> Figure:
    return Figure(value, low, high, unit, basis_shares={Basis.MODELLED: 1.0})


def read(words: str) -> tuple[float, float, int]:
    """Value [J], the step of its last digit [J], and its significant digits, as a reader sees."""
    number, _, unit = words.partition(" ")
    whole, _, decimals = number.partition(".")
    places = len(decimals) or -(len(whole) - len(whole.rstrip("0")))
    digits = len(number.replace(".", "").lstrip("0"))
    return float(number) * SIZES[unit], 10.0**-places * SIZES[unit], digits


@given(value=values, down=widths, up=widths, joules=st.booleans())
def test_a_figure_is_written_truly_and_without_false_precision(
    value: float, down: float, up: float, *, joules: bool
) -> None:
    shown = figure(value, value * math.exp(-down), value * math.exp(up))
    seen_j, step_j, digits = read(write(shown, joules=joules))
    half_j = min(value - shown.low, shown.high - value)
    assert digits <= 4
    # Rounding moves the value by an eighth of its doubt at most, and shows no digit that says
    # less than a fortieth of it; four digits are always enough.
    assert abs(seen_j - value) <= max(half_j / 8, 0.5e-3 * value) * (1 + 1e-6)
    if digits > 1:
        assert step_j >= half_j / 40 * (1 - 1e-6)


@given(value=st.floats(1e-8, 1e12), joules=st.booleans(), digits=st.integers(2, 6))
def test_a_bare_number_keeps_its_digits_and_a_unit_that_fits(
    value: float, digits: int, *, joules: bool
) -> None:
    words = write(value, "J", digits=digits, joules=joules)
    seen_j, _step, _digits = read(words)
    assert seen_j == pytest.approx(value, rel=0.5 * 10 ** (1 - digits) * (1 + 1e-9))
    number = float(words.partition(" ")[0])
    assert number < 10_000
    assert "e" not in words


@given(value=values, down=widths, up=widths)
def test_an_interval_is_written_in_the_unit_of_its_value(
    value: float, down: float, up: float
) -> None:
    assume(down > 0.01 and up > 0.01)
    shown = figure(value, value * math.exp(-down), value * math.exp(up))
    size_j = SIZES[write(shown).partition(" ")[2]]
    found = re.fullmatch(r"\(([\d. ]+) – ([\d. ]+)\)", interval(shown))
    assert found is not None
    low_j, high_j = (float(end.replace(" ", "")) * size_j for end in found.groups())
    step_j = read(write(shown))[1]
    assert low_j == pytest.approx(shown.low, rel=0.06, abs=step_j)
    assert high_j == pytest.approx(shown.high, rel=0.06, abs=step_j)


@given(value=st.floats(0.0, 1e9), high=st.floats(1e-6, 1e9))
def test_g01_an_interval_that_reaches_zero_is_below_resolution(value: float, high: float) -> None:
    shown = figure(min(value, high), 0.0, high)
    words = write(shown)
    found = re.fullmatch(r"below resolution \(≤ ([\d.]+ \S+)\)", words)
    assert found is not None
    limit_j = read(found[1])[0]
    assert high * (1 - 1e-8) <= limit_j <= high * 2
    assert interval(shown) == ""


@pytest.mark.parametrize(
    ("shown", "words", "ends"),
    [
        (figure(1944, 1080, 3420), "0.54 Wh", "(0.30 – 0.95)"),
        (figure(5.112e6, 3.96e6, 7.2e6), "1.42 kWh", "(1.10 – 2.00)"),
        (figure(486, 390, 600, "gCO2e"), "490 g CO2e", "(390 – 600)"),
        (figure(0.05, 0.0, 0.3), "below resolution (≤ 0.3 J)", ""),
        (figure(0.0, 0.0, 0.0), "0 J", ""),
        (figure(3600, 3600, 3600), "1.00 Wh", ""),
        (figure(12345.678, 12345.5, 12346), "3.429 Wh", "(±0.002 %)"),
        (figure(100, 1, 1e6), "28 mWh", "(0.28 – 280 000)"),
        (figure(0.09, 0.05, 0.2, "J per token"), "0.09 J per token", "(0.05 – 0.20)"),
        (figure(2e-5, 1e-5, 4e-5, "J per token"), "20 µJ per token", "(10 – 40)"),
        (figure(6.5e6, 3.5e6, 1.1e7, "gCO2e"), "6.5 t CO2e", "(3.5 – 11.0)"),
        (figure(0.02, 0.01, 0.04, "gCO2e per token"), "20 mg CO2e per token", "(10 – 40)"),
        (figure(1900, 1300, 2870, "L"), "1900 L", "(1300 – 2900)"),
        (figure(2.7e5, 1.9e5, 4e5, "L"), "270 m³", "(190 – 400)"),
        (figure(0.002, 0.001, 0.004, "L"), "2.0 mL", "(1.0 – 4.0)"),
        (figure(0.31, 0.2, 0.5, "EUR"), "€0.31", "(0.20 – 0.50)"),
        (figure(38121, 27000, 57000, "USD"), "$38 000", "(27 000 – 57 000)"),
        (figure(12, 9.5, 15.5, "CHF"), "12.0 CHF", "(9.5 – 15.5)"),
    ],
)
def test_figures_as_a_person_reads_them(shown: Figure, words: str, ends: str) -> None:
    assert (write(shown), interval(shown)) == (words, ends)


def test_rounding_up_moves_to_the_next_unit() -> None:
    assert write(999.6, "J", joules=True) == "1.00 kJ"
    assert write(figure(999.97, 999.5, 1001), joules=True) == "1.000 kJ"
    assert write(0.9996, "W") == "1.00 W"


def test_missing_is_a_dash_and_never_a_zero() -> None:
    for nothing in (None, Missing("no counter"), math.nan, math.inf, -math.inf):
        assert write(nothing, "J") == MISSING
    assert write(figure(math.nan, 0, 1)) == MISSING
    assert interval(Missing("no counter")) == ""
    assert interval(None) == ""
    assert write_duration(None) == write_ratio(None) == write_doubt(None) == MISSING
    assert write_duration(-1.0) == write_ratio(math.nan) == MISSING


def test_units_without_prefixes_take_none() -> None:
    assert write(0.02, "processors") == "0.0200 processors"
    assert write(85.0, "°C") == "85.0 °C"
    assert write(0.978) == "0.978"
    assert write_power(3400.0) == "3.4 kW"
    assert write(1.41e9, "Hz") == "1.41 GHz"


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (0, "0 s"),
        (0.004, "4.0 ms"),
        (0.25, "0.25 s"),
        (5.04, "5.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (72, "1 min 12 s"),
        (3599.6, "1 h"),
        (5400, "1 h 30 min"),
        (86399, "1 d"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_in_the_two_units_that_matter(duration_s: float, words: str) -> None:
    assert write_duration(duration_s) == words


@given(st.floats(0.0, 1e7))
def test_a_duration_is_never_off_by_more_than_half_its_last_unit(duration_s: float) -> None:
    sizes = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "µs": 1e-6, "ns": 1e-9}
    parts = write_duration(duration_s).split(" ")
    seen_s = sum(float(n) * sizes[u] for n, u in zip(parts[::2], parts[1::2], strict=True))
    slack_s = {"d": 43200, "h": 1800, "min": 30}.get(parts[-1], 0.5)
    assert abs(seen_s - duration_s) <= max(slack_s, 0.05 * duration_s)


@given(st.floats(0.0, 1.0))
def test_a_part_is_never_rounded_to_all_or_nothing(ratio: float) -> None:
    words = write_ratio(ratio)
    if words == "0 %":
        assert ratio == 0
    if words == "100 %":
        assert ratio == 1


def test_doubt_in_words() -> None:
    assert write_doubt(figure(100, 66, 134)) == "±34 %"
    assert write_doubt(figure(100, 99.4, 100.6)) == "±0.6 %"
    assert write_doubt(figure(100, 40, 250)) == "−60 … +150 %"
    assert write_doubt(figure(100, 57, 230)) == "−43 … +130 %"


def test_limits_are_rounded_up() -> None:
    assert write_limit(figure(0, 0, 0.31)) == "≤ 0.4 J"
    assert write_limit(figure(0, 0, 0.3)) == "≤ 0.3 J"
    assert write_limit(figure(0, 0, 1.42)) == "≤ 1.5 J"
    assert write_limit(figure(0, 0, 0.0042)) == "≤ 5 mJ"


def test_counts_in_full() -> None:
    assert write_count(17970) == "17 970"
    assert write_count(0.5) == "0.5"


def test_marks_name_the_weakest_basis() -> None:
    assert mark(figure(1, 1, 1)) == " ~"
    assert mark(Figure(1, 1, 1, "J", basis_shares={Basis.MEASURED: 0.9, Basis.ASSUMED: 0.1})) == ""
    assert (
        mark(Figure(1, 1, 1, "J", basis_shares={Basis.MEASURED: 0.7, Basis.ASSUMED: 0.3})) == " ?"
    )
    assert mark(Missing("x")) == mark(Figure(0, 0, 0, "J")) == ""
