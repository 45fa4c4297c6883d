# SPDX-License-Identifier: Apache-2.0
"""Annual factors: direct, upstream, losses, residual mix, margins, water, price, supplies."""

from collections.abc import Callable

import pytest

from submeter.catalog.facts import fact, has, keys
from submeter.errors import UsageError
from submeter.grid.factors import (
    direct_factor,
    loss_ratio,
    marginal,
    mix_of,
    price_factor,
    residual_factor,
    shares_of,
    upstream_factor,
    water_factor,
    withdrawal_factor,
)
from submeter.grid.place import resolve_place
from submeter.grid.supply import SUPPLIES, supply
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.places import Zone

DIRECT = "average_direct_g_per_kwh"
LIFECYCLE = "average_lifecycle_production_g_per_kwh"
# Direct exceeds lifecycle here: other years or scopes.
CONFLICTS = ["AU", "BE", "BG", "CY", "CZ", "ES", "EE", "FR", "IN", "NL", "PT"]
OF_ALL: list[Callable[[Zone], Factor]] = [
    direct_factor,
    upstream_factor,
    loss_ratio,
    withdrawal_factor,
    lambda z: water_factor(z, reservoirs=True),
    lambda z: water_factor(z, reservoirs=False),
]


def zone(word: str) -> Zone:
    return resolve_place(argument=word)


def known(factor: Factor | Missing) -> Factor:
    assert isinstance(factor, Factor)
    return factor


@pytest.mark.parametrize("of", OF_ALL)
def test_every_country_has_the_factor_with_its_interval(of: Callable[[Zone], Factor]) -> None:
    for code in keys("zones"):
        made = of(zone(code))
        assert 0 <= made.low <= made.value <= made.high, (code, made)
        assert made.high > 0, code
        assert made.source
        assert made.key


@pytest.mark.parametrize("code", CONFLICTS)
def test_direct_above_lifecycle_is_no_negative_upstream(code: str) -> None:
    direct, life = fact("grid", code, DIRECT), fact("grid", code, LIFECYCLE)
    assert direct.value > life.value
    made = upstream_factor(zone(code))
    assert made.value > 0
    assert "other years or scopes" in made.note
    mixed = mix_of(code, "upstream")
    assert mixed is not None
    assert made.high / made.low > mixed.high / mixed.low


@pytest.mark.parametrize("code", ["SE", "PL", "CN", "AT"])
def test_upstream_is_lifecycle_less_direct_where_the_mix_allows_it(code: str) -> None:
    left = fact("grid", code, LIFECYCLE).value - fact("grid", code, DIRECT).value
    made, mixed = upstream_factor(zone(code)), mix_of(code, "upstream")
    assert mixed is not None
    within = mixed.low <= left <= mixed.high
    assert made.value == pytest.approx(left if within else mixed.value)


def test_a_mix_is_shares_times_factors() -> None:
    shares = shares_of("DE")
    whole = sum(s.value for s in shares.values())
    expected = sum(
        s.value / whole * fact("generation", fuel, "direct_g_per_kwh").value
        for fuel, s in shares.items()
    )
    made = mix_of("DE", "direct_g_per_kwh")
    assert made is not None
    assert made.value == pytest.approx(expected)
    assert made.low < expected < made.high


def test_the_loss_of_an_unknown_grid_is_the_worlds_and_says_so() -> None:
    made = loss_ratio(zone("SE"))
    assert "WORLD stands in for SE" in made.note
    assert made.value == loss_ratio(zone("WORLD")).value


def test_a_residual_mix_is_market_based_and_never_of_another_country() -> None:
    made = known(residual_factor(zone("DE")))
    assert made.value == fact("grid", "DE", "residual_mix_g_per_kwh").value
    assert "market-based" in made.note
    missing = residual_factor(zone("IN"))
    assert isinstance(missing, Missing)
    assert "India" in str(missing)


def test_margins_of_all_makers_are_given_and_none_is_their_mean() -> None:
    rows = marginal(zone("aws/us-west-2"))
    assert [r.key for r in rows] == [
        "cloud/aws/us-west-2/marginal_g_per_kwh",
        "grid/US/operating_margin_g_per_kwh",
    ]
    assert all(r.note.startswith("marginal, direct") for r in rows)
    assert "US stands in" in rows[1].note
    assert marginal(zone("WORLD")) == ()


@pytest.mark.parametrize("code", ["NO", "SE", "BR", "CA", "AT"])
def test_reservoirs_make_the_water_of_hydropower(code: str) -> None:
    wet = water_factor(zone(code), reservoirs=True)
    dry = water_factor(zone(code), reservoirs=False)
    assert wet.value > 3 * dry.value
    assert "with evaporation" in wet.note
    assert "without evaporation" in dry.note
    assert wet.key != dry.key


def test_published_water_goes_before_the_mix_and_the_mix_before_a_parent() -> None:
    assert has("water", "DE", "ewif_l_per_kwh")
    assert water_factor(zone("DE"), reservoirs=True).key == "water/DE/ewif_l_per_kwh"
    assert "mix" in water_factor(zone("US-NW-BPAT"), reservoirs=True).key


def test_a_place_that_was_guessed_widens_its_factors() -> None:
    one = direct_factor(zone("DE"))
    other = direct_factor(resolve_place(timezone="Europe/Berlin"))
    assert other.value == one.value
    assert other.high / other.low > one.high / one.low
    assert (one.verified, other.verified) == ("copy", "assumed")


def test_an_old_figure_widens_with_the_years() -> None:
    reaches = []
    for year in (2023, 2024, 2026, 2030):
        made = direct_factor(zone("DE"), year=year)  # official figure of 2023
        reaches.append(made.high / made.low)
    assert reaches == sorted(set(reaches))


@pytest.mark.parametrize(
    ("word", "currency", "key"),
    [
        ("DE", "EUR", "prices/DE/price_eur_per_kwh"),
        ("DE", "USD", "prices/DE/price_usd_per_kwh"),
        ("US-CA", "USD", "prices/US-CA/price_usd_per_kwh"),
        ("US-CAL-CISO", "USD", "prices/US/price_usd_per_kwh"),
        ("aws/us-west-2", "USD", "prices/US-OR/price_usd_per_kwh"),
    ],
)
def test_a_price_is_that_of_the_place(word: str, currency: str, key: str) -> None:
    made = known(price_factor(zone(word), currency))
    assert made.key == key
    assert made.unit == f"{currency}/kWh"


@pytest.mark.parametrize(("word", "currency"), [("WORLD", "USD"), ("DE", "JPY"), ("AQ", "USD")])
def test_a_price_that_nobody_knows_is_missing_not_zero(word: str, currency: str) -> None:
    missing = price_factor(Zone("AQ", "Antarctica", "country", "argument", "AQ")
                           if word == "AQ" else zone(word), currency)  # fmt: skip
    assert isinstance(missing, Missing)
    assert currency in str(missing)


@pytest.mark.parametrize("word", SUPPLIES)
def test_each_supply_has_its_factors(word: str) -> None:
    made = supply(word, zone("DE"))
    for factor in (made.lifecycle, made.direct, made.water, made.water_dry):
        assert 0 <= factor.low <= factor.value <= factor.high
    assert made.lifecycle.value >= made.direct.value
    assert made.note


def test_a_clean_supply_is_cleaner_than_the_mix_and_hydropower_needs_water() -> None:
    mixed = supply("mix", zone("DE")).lifecycle.value
    assert all(supply(w).lifecycle.value < mixed / 4 for w in ("wind", "solar", "nuclear"))
    hydro = supply("hydro")
    assert hydro.water.value > 10
    assert hydro.water_dry.value == 0.0
    assert supply(" Wind ").word == "wind"


def test_a_supply_that_is_none_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError) as caught:
        supply("fusion")
    assert "nuclear" in (caught.value.remedy or "")
