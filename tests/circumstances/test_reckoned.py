# SPDX-License-Identifier: Apache-2.0
"""A run reckoned end to end: losses once, currencies apart, claims beside the location."""

import pytest
from msgspec import structs

from submeter.catalog import facts
from submeter.circumstances.reckoning import Known, circumstances_of, reckon
from submeter.records.claims import Allocation, Claim
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Host, Run
from tests.accounting.figures import known

ENERGY = Quantity.of(3.6e9, basis=Basis.MEASURED)  # 1 MWh, more than any rounding
RUN = Run(
    "20261123-120001-0001", "measured", "finished", "2026-11-23T12:00:01Z", 3600.0,
    hosts=(Host("box"),),
    devices=(DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "cpu", "box"), ENERGY, ENERGY),),
    place={"zone": "DE", "zone_from": "argument", "pue": "1.25", "arrangement": "colocation"},
)  # fmt: skip


def placed(**words: str) -> Run:
    return structs.replace(RUN, place=RUN.place | words)


def test_what_the_lines_lose_is_counted_once() -> None:
    lost = facts.fact("grid", "DE", "td_loss_ratio").value
    carbon = reckon(RUN).carbon
    grid_g = known(carbon.direct).value + known(carbon.upstream).value
    assert known(carbon.loss).value == pytest.approx(grid_g * lost / (1 - lost))
    assert known(carbon.location).value == pytest.approx(grid_g / (1 - lost))


def test_each_gram_of_a_colocation_is_in_one_scope_by_location_and_by_market() -> None:
    carbon = reckon(RUN).carbon
    embodied_g = known(carbon.embodied).value
    for whole, scopes in (
        (carbon.location, carbon.scopes),
        (carbon.market, carbon.market_scopes),
    ):
        parts_g = sum(amount.value for amount in scopes.values())
        assert parts_g == pytest.approx(known(whole).value + embodied_g)
        assert set(scopes) == {"scope 2", "scope 3.2", "scope 3.3", "scope 3.8"}
    direct_g = known(carbon.direct).value
    assert carbon.scopes["scope 2"].value == pytest.approx(direct_g / 1.25)


def test_claims_change_the_market_and_leave_the_location() -> None:
    claim = Claim("x", "GO", "DE", 2026, "HKNR", "wind", 10**7)
    claims = Known(allocations=(Allocation(claim, RUN.id, 1_250_000, "HKNR 1"),))
    bare, held = reckon(RUN).carbon, reckon(RUN, known=claims).carbon
    assert held.location == bare.location
    assert held.scopes == bare.scopes
    assert known(held.market).value < 0.2 * known(bare.market).value
    assert held.market_scopes["scope 2"].value == 0.0
    assert "GO x" in held.market_how
    assert "residual mix" in bare.market_how


def test_offsets_are_told_and_subtracted_from_nothing() -> None:
    offset = Claim("y", "offset", "", 2023, "Verra", carbon_g=1e9)
    bare, held = reckon(RUN), reckon(RUN, known=Known(offsets=(offset,)))
    assert held.carbon.offsets != bare.carbon.offsets
    assert (held.carbon.location, held.carbon.market) == (bare.carbon.location, bare.carbon.market)


@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_a_price_of_the_place_is_in_the_currency_that_is_set(currency: str) -> None:
    money = reckon(placed(currency=currency, carbon_price_per_t="80")).money
    assert money.currency == currency
    assert 20 < known(money.electricity).value < 500
    location_g = known(reckon(RUN).carbon.location).value
    assert known(money.carbon).value == pytest.approx(80 * location_g / 1e6)


def test_a_price_of_carbon_is_never_taken_for_one_in_another_currency() -> None:
    money = reckon(placed(currency="CHF", carbon_price_per_t="80")).money
    assert money.currency == "USD"
    assert isinstance(money.carbon, Missing)
    assert "CHF" in money.carbon.why
    assert isinstance(reckon(RUN).money.carbon, Missing)


def test_a_tariff_by_the_clock_of_the_place() -> None:
    found = circumstances_of(placed(electricity_price="13:00-14:00=0.5,else=0.1", currency="EUR"))
    assert isinstance(found.price, Factor)
    assert found.price.unit == "EUR/kWh"
    assert 0.1 <= found.price.value <= 0.5
    money = reckon(placed(electricity_price="0.2", currency="EUR")).money
    assert known(money.electricity).value == pytest.approx(250.0)
    assert any("demand" in note for note in money.notes)
