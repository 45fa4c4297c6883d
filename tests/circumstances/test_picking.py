# SPDX-License-Identifier: Apache-2.0
"""The facts that are taken, of their kinds, and what stands in where there is none."""

import pytest

from submeter.accounting.carbon import location_based
from submeter.circumstances.picking import backed, generated_by, provider_claim
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

    wind, unnamed, odd = backed([one("wind"), one(""), one("magic")])
    assert wind.lifecycle == generated_by("wind")[0]
    assert unnamed.lifecycle == generated_by("mix")[0]
    assert isinstance(odd.direct, Missing)
    assert "magic" in odd.direct.why


def test_a_provider_s_claim_is_said_beside_its_hours() -> None:
    words = provider_claim("gcp/us-central1")
    assert "hour by hour" in words[0]
    assert any("a claim, no factor" in word for word in words)
    assert provider_claim("") == provider_claim("nobody/nowhere") == ()
