# SPDX-License-Identifier: Apache-2.0
"""The facts that are taken, of their kinds, and what stands in where there is none."""

import pytest

from submeter.accounting.carbon import Intensity, location_based
from submeter.circumstances.picking import backed, fuel_named, generated_by, provider_claim
from submeter.errors import UsageError
from submeter.grid.supply import SUPPLIES
from submeter.records.claims import Allocation, Claim
from submeter.records.figures import Missing
from tests.accounting.figures import known, kwh


@pytest.mark.parametrize("source", SUPPLIES)
def test_supplies_without_fire(source: str) -> None:
    lifecycle, direct = generated_by(source)
    located = location_based(kwh(1.0), lifecycle, direct, Missing("what if"))
    assert known(located.direct).value == 0.0
    assert 1 < known(located.total).value < 100
    assert known(located.total).figure("g").low > 0
    assert lifecycle.factor.source


def test_a_mix_spans_its_sources() -> None:
    mix = generated_by("mix")[0].factor
    for source in SUPPLIES[:4]:
        one = generated_by(source)[0].factor
        assert mix.low <= one.low < one.high <= mix.high
    with pytest.raises(UsageError, match="no source of power") as caught:
        generated_by("magic")
    assert "wind" in str(caught.value.remedy)


def test_claims_carry_the_intensity_of_their_source() -> None:
    def one(fuel: str) -> Allocation:
        return Allocation(Claim("x", "GO", "DE", 2026, "HKNR", fuel, 1000), "run", 1000)

    wind, renewable, biomass = backed([one("wind"), one("renewable"), one("biomass")])
    assert wind.lifecycle == generated_by("wind")[0]
    assert renewable.lifecycle == generated_by("mix")[0]
    assert biomass.lifecycle == generated_by("bioenergy")[0]


@pytest.mark.parametrize(("fuel", "words"), [("", "not told"), ("magic", "'magic' is not known")])
@pytest.mark.parametrize("zone", ["DE", "US"])
def test_a_source_that_nobody_knows_is_no_clean_one(fuel: str, words: str, zone: str) -> None:
    claim = Claim("x", "PPA", zone, 2026, "HKNR", fuel, 1000)
    (odd,) = backed([Allocation(claim, "run", 1000)])
    assert isinstance(odd.lifecycle, Missing)
    assert words in odd.lifecycle.why
    if zone == "DE":
        assert isinstance(odd.residual, Intensity)
        assert odd.residual.factor.value > 300  # what is left when the clean part is claimed
        assert odd.residual.kind.method == "market"
    else:
        assert isinstance(odd.residual, Missing)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Wind", "wind"),
        ("biomass", "bioenergy"),
        ("Natural Gas", "gas"),
        ("renewable", "renewable"),
    ],
)
def test_a_source_by_its_usual_names(word: str, name: str) -> None:
    assert fuel_named(word) == name


@pytest.mark.parametrize("word", ["unobtainium", "mix", "wind\u202e", "nuclear:pressurised"])
def test_no_source(word: str) -> None:
    with pytest.raises(UsageError, match="no source of power") as caught:
        fuel_named(word)
    assert "bioenergy" in str(caught.value.remedy)


def test_a_provider_s_claim_is_said_beside_its_hours() -> None:
    words = provider_claim("gcp/us-central1")
    assert "hour by hour" in words[0]
    assert any("a claim, no factor" in word for word in words)
    assert provider_claim("") == provider_claim("nobody/nowhere") == ()
