# SPDX-License-Identifier: Apache-2.0
"""Budgets in the words of people."""

import pytest

from submeter.errors import UsageError
from submeter.estimating.budgets import budget_of, spent_of
from submeter.records.amounts import Amount
from submeter.records.figures import Basis, Missing
from submeter.records.footprints import Carbon, Footprint, Money, Water


@pytest.mark.parametrize(
    ("words", "kind", "limit", "unit"),
    [
        ("2kWh", "energy", 7.2e6, "J"),
        ("2 kwh", "energy", 7.2e6, "J"),
        ("500Wh", "energy", 1.8e6, "J"),
        ("3MJ", "energy", 3e6, "J"),
        ("1_000 J", "energy", 1000, "J"),
        ("500g", "carbon", 500, "gCO2e"),
        ("0.5 kg CO2e", "carbon", 500, "gCO2e"),
        ("2t", "carbon", 2e6, "gCO2e"),
        ("10L", "water", 10, "L"),
        ("250 mL", "water", 0.25, "L"),
        ("1.5m3", "water", 1500, "L"),
        ("5EUR", "cost", 5, "EUR"),
        ("5 usd", "cost", 5, "USD"),
        ("€5", "cost", 5, "EUR"),
        ("7.5£", "cost", 7.5, "GBP"),
        ("1e3 kWh", "energy", 3.6e9, "J"),
        ("1GWh", "energy", 3.6e12, "J"),
        ("0.5 kilowatt hours", "energy", 1.8e6, "J"),
        ("3 kilowatt-hours", "energy", 1.08e7, "J"),
        ("5 tonnes of CO2e", "carbon", 5e6, "gCO2e"),
        ("500 gCO2", "carbon", 500, "gCO2e"),
        ("10 litres of water", "water", 10, "L"),
        ("5 euros", "cost", 5, "EUR"),
        ("3CHF", "cost", 3, "CHF"),
    ],
)
def test_a_budget_is_understood(words: str, kind: str, limit: float, unit: str) -> None:
    found = budget_of(words)
    assert (found.kind, found.unit) == (kind, unit)
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "kWh",
        "5",
        "-2kWh",
        "0kWh",
        "2 bananas",
        "2kWh 3g",
        "€5EUR",
        "1e999 g",
        "2mWh",
        "10gal",
        "2XYZ",
        "2,5kWh",
        "nan kWh",
    ],
)
def test_e01_what_is_no_budget_is_refused_with_a_remedy(words: str) -> None:
    with pytest.raises(UsageError) as refused:
        budget_of(words)
    assert "--budget" in (refused.value.remedy or "")


def amount(value: float) -> Amount:
    return Amount.exact(value, Basis.MEASURED)


FOOTPRINT = Footprint(
    devices=amount(1), node=amount(2), it=amount(3), facility=amount(4),
    carbon=Carbon(location=amount(5)),
    water=Water(onsite=amount(6), offsite=amount(7)),
    money=Money(electricity=amount(8), currency="USD"),
)  # fmt: skip


@pytest.mark.parametrize(("words", "spent"), [("1kWh", 4), ("1g", 5), ("1L", 13), ("1USD", 8)])
def test_each_kind_counts_its_headline(words: str, spent: float) -> None:
    found = spent_of(budget_of(words), FOOTPRINT)
    assert isinstance(found, Amount)
    assert found.value == spent


def test_another_currency_is_missing_and_no_figure() -> None:
    found = spent_of(budget_of("1EUR"), FOOTPRINT)
    assert isinstance(found, Missing)
    assert "USD" in found.why


def test_unknown_water_is_missing_only_if_all_of_it_is() -> None:
    unknown = Missing("unknown")
    some = Footprint(amount(1), amount(1), amount(1), amount(1), water=Water(offsite=amount(7)))
    none = Footprint(amount(1), amount(1), amount(1), amount(1), water=Water(unknown, unknown))
    found = spent_of(budget_of("1L"), some)
    assert isinstance(found, Amount)
    assert found.value == 7
    assert spent_of(budget_of("1L"), none) == unknown


def test_e04_a_budget_without_end_is_not_said_to_allow_nothing() -> None:
    with pytest.raises(UsageError, match="limits nothing"):
        budget_of("1e999 g")
