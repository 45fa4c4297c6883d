# SPDX-License-Identifier: Apache-2.0
"""The facts that are taken, of their kinds, and what stands in where there is none."""

import pytest

from submeter.accounting.carbon import location_based
from submeter.accounting.market import market_based
from submeter.accounting.picking import (
    SUPPLIES,
    backed,
    intensity,
    line_loss,
    marginals,
    of_zone,
    provider_claim,
    residual_mix,
    supply,
)
from submeter.catalog import facts
from submeter.errors import UsageError
from submeter.records.claims import Allocation, Claim
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.places import Zone
from tests.accounting.figures import known, kwh

GERMANY = Zone("DE", "Germany", "country", "argument", "DE", ("WORLD",))
OREGON = Zone("US", "Oregon", "cloud region", "argument", "US", ("WORLD",), cloud="aws/us-west-2")
NOWHERE = Zone("XX", "Nowhere", "country", "argument", "XX", ("WORLD",))
WORLD = Zone("WORLD", "the world", "world", "world")


def factor_of(found: Factor | Missing) -> Factor:
    assert isinstance(found, Factor), found
    return found


def test_kinds_follow_the_quantity() -> None:
    for name, word in (
        ("average_lifecycle_production_g_per_kwh", "average, lifecycle, production, location"),
        ("average_direct_g_per_kwh", "average, direct, production, location"),
        ("residual_mix_g_per_kwh", "average, direct, production, market"),
        ("operating_margin_g_per_kwh", "marginal, direct, production, location"),
    ):
        assert str(intensity(facts.fact("grid", "DE", name)).kind).startswith(word)


def test_g09_a_matching_claim_is_no_factor() -> None:
    claim = facts.fact("cloud", "aws/us-west-2", "matching_claim_g_per_kwh")
    with pytest.raises(UsageError, match="no intensity"):
        intensity(claim)


def test_a_country_without_a_figure_is_not_given_that_of_the_world() -> None:
    assert factor_of(line_loss(GERMANY)).unit == "1"
    assert isinstance(line_loss(NOWHERE), Missing)
    assert isinstance(residual_mix(NOWHERE), Missing)
    assert isinstance(of_zone(NOWHERE, "average_lifecycle_production_g_per_kwh"), Missing)
    assert factor_of(of_zone(WORLD, "average_lifecycle_production_g_per_kwh")).value > 300
    assert marginals(NOWHERE) == ()


def test_a_german_kilowatt_hour_by_location_and_by_market() -> None:
    life = of_zone(GERMANY, "average_lifecycle_production_g_per_kwh")
    stack = of_zone(GERMANY, "average_direct_g_per_kwh")
    location = location_based(
        kwh(1.0), intensity(factor_of(life)), intensity(factor_of(stack)), line_loss(GERMANY)
    )
    assert 300 < known(location.total).value < 450
    residual = residual_mix(GERMANY)
    found = market_based(location, zone="DE", year=2026, residual=residual)
    assert found.layers[0].level == "residual mix"
    assert known(found.located.total).value > known(location.total).value
    assert "AIB" in found.how


@pytest.mark.parametrize("source", SUPPLIES)
def test_supplies_without_fire(source: str) -> None:
    lifecycle, direct = supply(source)
    located = location_based(kwh(1.0), lifecycle, direct, Missing("what if"))
    assert known(located.direct).value == 0.0
    assert 1 < known(located.total).value < 100
    assert known(located.total).figure("g").low > 0
    assert lifecycle.factor.source


def test_a_mix_spans_its_sources() -> None:
    mix = supply("mix")[0].factor
    for source in SUPPLIES[:4]:
        one = supply(source)[0].factor
        assert mix.low <= one.low < one.high <= mix.high
    with pytest.raises(UsageError, match="no source of power") as caught:
        supply("magic")
    assert "wind" in str(caught.value.remedy)


def test_claims_carry_the_intensity_of_their_source() -> None:
    def one(fuel: str) -> Allocation:
        return Allocation(Claim("x", "GO", "DE", 2026, "HKNR", fuel, 1000), "run", 1000)

    wind, unnamed, odd = backed([one("wind"), one(""), one("magic")])
    assert wind.lifecycle == supply("wind")[0]
    assert unnamed.lifecycle == supply("mix")[0]
    assert isinstance(odd.direct, Missing)
    assert "magic" in odd.direct.why


def test_a_provider_s_claim_is_said_beside_its_hours() -> None:
    words = provider_claim("gcp/us-central1")
    assert "hour by hour" in words[0]
    assert any("a claim, no factor" in word for word in words)
    assert provider_claim("") == provider_claim("nobody/nowhere") == ()


def test_makers_of_marginal_figures_are_told_apart() -> None:
    found = marginals(OREGON)
    assert len(found) == len({row.factor.key for row in found}) == 2
    assert {row.kind.signal for row in found} == {"marginal"}
