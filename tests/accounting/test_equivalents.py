# SPDX-License-Identifier: Apache-2.0
"""Everyday words: at most three, with sense, from a source, and always the same."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.equivalents import MOST, ONE, Dimension, Everyday, equivalents, written
from submeter.circumstances.picking import everyday
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing
from tests.accounting.figures import factor, known

KNOWN = everyday("DE")
BY_KEY = {thing.key: thing for thing in KNOWN}


def exact(value: float) -> Amount:
    return Amount.exact(value, Basis.DERIVED)


def texts(carbon_g: float = 0, energy_kwh: float = 0, water_l: float = 0) -> list[str]:
    amounts: dict[Dimension, Amount | Missing] = {
        "carbon": exact(carbon_g), "energy": exact(energy_kwh * 3.6e6), "water": exact(water_l),
    }  # fmt: skip
    return [row.text for row in equivalents(amounts, KNOWN)]


@pytest.mark.parametrize(
    ("carbon_g", "energy_kwh", "water_l", "expected"),
    [
        (171_458, 0, 0, ["30 % of a passenger's flight from New York to San Francisco"]),
        (57_153e3 * 0.003, 0, 0, ["30 % of a passenger's flight from New York to San Francisco"]),
        (57_153e3 * 4, 0, 0, ["4 car lifetimes including fuel",
                              "400 passengers' flights from New York to San Francisco"]),
        (0, 0.048, 0, ["4 phone charges"]),
        (0, 0.001, 0, ["8 % of a phone charge"]),
        (0, 0, 65, ["1 shower"]),
        (0, 0, 650, ["10 showers"]),
        (0, 1e-6, 0.01, []),
        (1e15, 1e12, 1e12, []),
        (0, 0, 0, []),
    ],
)  # fmt: skip
def test_amounts_in_everyday_words(
    carbon_g: float, energy_kwh: float, water_l: float, expected: list[str]
) -> None:
    found = texts(carbon_g, energy_kwh, water_l)
    assert found[: len(expected)] == expected
    if not expected:
        assert found == []


def test_a_small_part_of_a_large_thing_is_told_in_per_cent() -> None:
    car = [BY_KEY["car_lifetime"]]
    (found,) = equivalents({"carbon": exact(57_153e3 * 0.003)}, car)
    assert found.text == "0.3 % of a car's lifetime including fuel"
    assert found.value.value == pytest.approx(0.003)
    assert "Strubell" in found.source
    assert equivalents({"carbon": exact(57_153e3 * 0.0009)}, car) == ()


@given(st.floats(0, 1e14), st.floats(0, 1e16), st.floats(0, 1e10))
def test_whatever_is_shown_has_sense(carbon_g: float, energy_j: float, water_l: float) -> None:
    amounts: dict[Dimension, Amount | Missing] = {
        "carbon": exact(carbon_g), "energy": exact(energy_j), "water": exact(water_l),
    }  # fmt: skip
    found = equivalents(amounts, KNOWN)
    assert found == equivalents(dict(reversed(amounts.items())), KNOWN)
    assert len(found) <= MOST
    assert len({e.key for e in found}) == len(found)
    for one in found:
        thing = BY_KEY[one.key]
        number = one.value.value
        assert number == pytest.approx(known(amounts[thing.dimension]).value / thing.each.value)
        assert thing.least <= number <= thing.most
        assert one.source
        shown = float(one.text.split()[0])
        assert shown >= 0.1
        assert shown == pytest.approx(100 * number if "%" in one.text else number, rel=0.5)
        assert ("%" in one.text) == (number < ONE)


def test_what_is_missing_or_nothing_has_no_equivalent() -> None:
    gone = Missing("unread")
    assert equivalents({"carbon": gone, "energy": gone, "water": exact(0.0)}, KNOWN) == ()
    assert equivalents({}, KNOWN) == ()
    nothing = Everyday("x", "water", Factor("x", 0.0, 0.0, 1.0, "L"), "an x", "xs")
    assert equivalents({"water": exact(1.0)}, [nothing]) == ()


def test_the_interval_spans_both_sources_of_a_phone_charge() -> None:
    """0.012 and 0.019 kWh are both published."""
    charge = BY_KEY["phone_charge"]
    (found,) = equivalents({"energy": exact(0.228 * 3.6e6)}, [charge])
    shown = found.value.figure("1")
    assert shown.value == pytest.approx(19.0)
    assert shown.low == pytest.approx(12.0, rel=1e-3)
    assert shown.high > 19.0


def test_each_dimension_has_its_say_before_any_has_two() -> None:
    found = texts(2_000, 5.0, 66)
    assert len(found) == 3
    assert "driven" in found[0]
    assert "shower" in found[2] or "bottles" in found[2]


def test_a_household_is_of_the_country_or_of_its_continent_or_none() -> None:
    def home(country: str) -> str:
        found = [t.many for t in everyday(country) if t.key == "household_day"]
        return found[0] if found else ""

    assert home("DE").endswith("(Germany)")
    assert home("AT").endswith("(Europe)")
    assert home("US").endswith("(United States)")
    assert home("KE") == home("") == ""


@pytest.mark.parametrize(
    ("number", "spread", "text"),
    [
        (0.3, 1.1, "0.3"),
        (0.345, 1.1, "0.34"),
        (4.04, 1.1, "4"),
        (4.14, 1.1, "4.1"),
        (4.14, 3.0, "4"),
        (96.0, 3.0, "100"),
        (1234.0, 1.1, "1200"),
        (9.96, 1.1, "10"),
        (0.0, 1.1, "0"),
    ],
)
def test_digits_follow_the_interval(number: float, spread: float, text: str) -> None:
    assert written(number, number / spread, number * spread) == text


@given(st.floats(1e-3, 1e6), st.floats(1.0, 9.0))
def test_what_is_written_is_near(number: float, spread: float) -> None:
    shown = float(written(number, number / spread, number * spread))
    assert math.isclose(shown, number, rel_tol=0.5)


def test_factors_of_any_order_give_the_same_choice() -> None:
    one = Everyday("a", "water", factor("a", 2.0, unit="L"), "an a", "as")
    two = Everyday("b", "water", factor("b", 2.0, unit="L"), "a b", "bs")
    assert equivalents({"water": exact(20.0)}, [one, two])[0].key == "a"
    assert [e.key for e in equivalents({"water": exact(20.0)}, [two, one])] == ["b", "a"]
