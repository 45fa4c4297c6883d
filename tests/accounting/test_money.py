# SPDX-License-Identifier: Apache-2.0
"""Prices by the clock: each joule at the price of its minute, whatever the clock does."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.money import (
    DAY_S,
    Tariff,
    carbon_cost,
    cost,
    cost_of_work,
    cost_per,
    electricity_cost,
    parse_tariff,
    tariff_price,
)
from submeter.accounting.ratios import exactly
from submeter.errors import CoverageError, UsageError
from submeter.grid.loads import utc_offset_s
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.traces import Load
from tests.accounting.figures import factor, joules, known, kwh

NIGHT = "22:00-06:00=0.18,else=0.31"
MIDNIGHT_S = datetime(2026, 11, 23, tzinfo=UTC).timestamp()


def no_offset(_utc_s: float) -> float:
    return 0.0


def price(tariff: Tariff, load: Load, timezone: str = "UTC") -> float:
    clock = utc_offset_s(timezone)
    assert not isinstance(clock, Missing)
    found = tariff_price(tariff, load, clock)
    assert isinstance(found, Factor)
    return found.value


def at(hour: float, hours: float, day_s: float = MIDNIGHT_S) -> Load:
    return Load(day_s + hour * 3600, 60.0, (1.0,) * round(hours * 60))


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (at(0, 1), 0.18),
        (at(12, 1), 0.31),
        (at(5.5, 1), (0.18 + 0.31) / 2),
        (at(21, 4), (0.31 + 3 * 0.18) / 4),
        (at(0, 24), (8 * 0.18 + 16 * 0.31) / 24),
        (at(0, 72), (8 * 0.18 + 16 * 0.31) / 24),
    ],
)
def test_each_hour_has_its_price(load: Load, expected: float) -> None:
    assert price(parse_tariff(NIGHT, "EUR"), load) == pytest.approx(expected)


def test_the_clock_is_that_of_the_place() -> None:
    """21:00 UTC in November is 22:00 in Berlin; in July it is 23:00, as 20:00 is 22:00."""
    tariff = parse_tariff(NIGHT, "EUR")
    summer_s = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
    assert price(tariff, at(21, 1), "Europe/Berlin") == pytest.approx(0.18)
    assert price(tariff, at(20, 1), "Europe/Berlin") == pytest.approx(0.31)
    assert price(tariff, at(20, 1, summer_s), "Europe/Berlin") == pytest.approx(0.18)
    assert price(tariff, at(16.25, 1), "Asia/Kathmandu") == pytest.approx(0.18)


@pytest.mark.parametrize(
    ("month", "day", "hours", "night_h"), [(3, 29, 23, 7), (10, 25, 25, 9)], ids=["23 h", "25 h"]
)
def test_g08_days_of_23_and_25_hours(month: int, day: int, hours: int, night_h: int) -> None:
    """Clocks change at 1 UTC on both days, in the cheap part of the night."""
    begin_s = datetime(2026, month, day, tzinfo=UTC).timestamp()
    offset_s = 3600 if month == 3 else 7200
    load = Load(begin_s - offset_s, 900.0, (2.0,) * (4 * hours))
    expected = (night_h * 0.18 + (hours - night_h) * 0.31) / hours
    assert price(parse_tariff(NIGHT, "EUR"), load, "Europe/Berlin") == pytest.approx(expected)


def test_slots_longer_than_windows_are_split_evenly() -> None:
    tariff = parse_tariff("00:00-00:10=1,else=0", "USD")
    assert price(tariff, Load(MIDNIGHT_S, 3600.0, (5.0,))) == pytest.approx(1 / 6)
    assert price(tariff, Load(MIDNIGHT_S, 7 * DAY_S, (5.0,))) == pytest.approx(10 / 1440)


def test_a_load_without_energy_weighs_by_time() -> None:
    load = Load(MIDNIGHT_S, 3600.0, (0.0,) * 24)
    assert price(parse_tariff(NIGHT, "EUR"), load) == pytest.approx((8 * 0.18 + 16 * 0.31) / 24)


@given(
    st.floats(0, DAY_S), st.floats(0.5, 5000.0),
    st.lists(st.just(0.0) | st.floats(1e-6, 1e9), min_size=1, max_size=60), st.floats(0.1, 100.0),
)  # fmt: skip
def test_the_price_is_a_mean_and_scales_with_no_energy(
    start_s: float, slot_s: float, energies_j: list[float], times: float
) -> None:
    tariff = parse_tariff("07:30-09:15=0.5,18:00-20:00=0.7,else=0.1", "EUR")
    load = Load(MIDNIGHT_S + start_s, slot_s, tuple(energies_j))
    more = Load(MIDNIGHT_S + start_s, slot_s, tuple(times * e for e in energies_j))
    assert 0.1 <= price(tariff, load) <= 0.7
    assert price(tariff, more) == pytest.approx(price(tariff, load), rel=1e-6)


@given(st.floats(0, DAY_S), st.integers(1, 40), st.integers(1, 40))
def test_two_halves_cost_what_the_whole_does(start_s: float, first: int, second: int) -> None:
    tariff = parse_tariff(NIGHT, "EUR")
    begin_s = MIDNIGHT_S + start_s
    whole = Load(begin_s, 1800.0, (1.0,) * (first + second))
    one = Load(begin_s, 1800.0, (1.0,) * first)
    two = Load(begin_s + 1800.0 * first, 1800.0, (1.0,) * second)
    halves = price(tariff, one) * first + price(tariff, two) * second
    assert price(tariff, whole) * (first + second) == pytest.approx(halves)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("22:00-06:00=0.18", "no price"),
        ("08:00-12:00=1,11:00-13:00=2,else=3", "overlap"),
        ("22:00-06:00=1,05:00-07:00=2,else=3", "overlap"),
        ("else=1,else=2", "else twice"),
        ("25:00-06:00=1,else=2", "00:00 to 24:00"),
        ("05:60-06:00=1,else=2", "00:00 to 24:00"),
        ("05:00-24:01=1,else=2", "00:00 to 24:00"),
        ("06:00-06:00=1,else=2", "without length"),
        ("cheap", "no window"),
        ("", "no window"),
        ("-0.1", "no window"),
        ("22:00-06:00=nan,else=2", "no window"),
    ],
)
def test_what_is_no_tariff_is_refused(words: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_tariff(words, "EUR")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "words", ["0.31", " 0.31 ", "else=0.31", "00:00-24:00=0.31", "06:00-18:00=0.31,else=0.31"]
)
def test_a_flat_price_needs_no_clock(words: str) -> None:
    found = tariff_price(parse_tariff(words, "EUR"), Missing("no series"), Missing("no clock"))
    assert isinstance(found, Factor)
    assert (found.value, found.unit, found.verified) == (0.31, "EUR/kWh", "declared")


def test_a_tariff_by_hours_needs_when_and_where() -> None:
    tariff, load = parse_tariff(NIGHT, "EUR"), at(0, 1)
    assert tariff_price(tariff, Missing("no series"), no_offset) == Missing("no series")
    assert tariff_price(tariff, load, Missing("no clock")) == Missing("no clock")
    with pytest.raises(CoverageError):
        tariff_price(tariff, Load(0.0, 1.0, ()), no_offset)
    assert isinstance(utc_offset_s(""), Missing)
    assert isinstance(utc_offset_s("Atlantis/Town"), Missing)
    assert isinstance(utc_offset_s("../../etc/passwd"), Missing)


# --- cost ---------------------------------------------------------------------------------------

EURO = exactly("price", 0.31, "EUR/kWh", "a bill")
PER_TONNE = exactly("carbon price", 80.0, "EUR/t", "a budget")


@given(st.floats(0, 1e12), st.floats(0, 1e3), st.floats(1, 10))
def test_cost_is_linear_in_energy_and_monotone_in_price(
    energy_j: float, times: float, more: float
) -> None:
    one = known(electricity_cost(joules(energy_j), EURO)).value
    assert one == pytest.approx(energy_j / 3.6e6 * 0.31)
    many = known(electricity_cost(joules(energy_j).scaled(times), EURO)).value
    assert many == pytest.approx(one * times)
    dearer = exactly("price", 0.31 * more, "EUR/kWh", "")
    assert known(electricity_cost(joules(energy_j), dearer)).value >= one * (1 - 1e-12)


def test_carbon_at_a_price_stands_beside_and_is_not_added() -> None:
    found = cost(kwh(10), EURO, carbon=joules(4000.0), carbon_price=PER_TONNE)
    assert known(found.electricity).value == pytest.approx(3.1)
    assert known(found.carbon).value == pytest.approx(0.32)
    assert found.currency == "EUR"
    assert any("not added" in note for note in found.notes)
    assert any("demand" in note for note in found.notes)


def test_currencies_are_never_mixed() -> None:
    dollars = exactly("carbon price", 80.0, "USD/t", "")
    with pytest.raises(UsageError, match="in EUR and carbon in USD"):
        cost(kwh(1), EURO, carbon=joules(1.0), carbon_price=dollars)


def test_what_is_not_known_has_no_cost() -> None:
    why = Missing("unread")
    assert electricity_cost(why, EURO) == why
    assert electricity_cost(kwh(1), why) == why
    assert carbon_cost(why, PER_TONNE) == why
    assert carbon_cost(joules(1), why) == why
    assert cost(kwh(1), why).electricity == why
    assert cost(kwh(1), why).currency == ""
    below = Factor("spot", -0.02, -0.03, -0.01, "EUR/kWh")
    assert isinstance(electricity_cost(kwh(1), below), Missing)


def test_cost_of_a_unit_of_work() -> None:
    whole = electricity_cost(kwh(10), EURO)
    assert known(cost_per(whole, 1000, "samples")).value == pytest.approx(0.0031)
    for units in (0.0, -1.0, float("nan")):
        assert isinstance(cost_per(whole, units, "samples"), Missing)
    assert cost_per(Missing("x"), 1, "samples") == Missing("x")


def test_cost_of_work_and_of_quality_but_not_of_loss() -> None:
    work = {"samples": 1000.0, "steps": 0.0}
    metrics = {"accuracy": 0.5, "val_loss": 2.0, "eval/F1": 0.8, "weather": 3.0, "remap": 1.0}
    found = cost_of_work(electricity_cost(kwh(10), EURO), work, metrics)
    assert {name: amount.value for name, amount in found.items()} == pytest.approx(
        {"samples": 0.0031, "accuracy": 6.2, "eval/F1": 3.875}
    )
    assert cost_of_work(Missing("no price"), work, metrics) == {}


def test_a_price_with_an_interval_has_a_cost_with_one() -> None:
    shown = known(electricity_cost(kwh(1), factor("p", 0.3, unit="EUR/kWh"))).figure("EUR")
    assert shown.low < 0.3 / 1.15
    assert shown.high > 0.3 * 1.15


@pytest.mark.parametrize(
    "words",
    ["٣", "0.٣١", "22:00-06:00=٠.١٨,else=0.31", "22:00-06:00=0.18,else=٣", "２２:00-06:00=1"],
)
def test_digits_of_other_scripts_are_no_price(words: str) -> None:
    with pytest.raises(UsageError):
        parse_tariff(words, "EUR")
