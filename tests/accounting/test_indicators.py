# SPDX-License-Identifier: Apache-2.0
"""Indicators of a slice: ratios to IT, interim, and never read off the grid's mix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.facility import Facility, facility_total
from submeter.accounting.indicators import INTERIM, UNITS, indicators
from submeter.circumstances import sites
from submeter.errors import UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity

KWH = 3.6e6
energies = st.floats(1e-3, 1e12)


def metered(energy_j: float) -> Amount:
    terms = (ErrorTerm("gain", 0.2),)
    return Amount.of(Quantity.of(energy_j, basis=Basis.MEASURED, terms=terms))


def grid(value: float) -> Factor:
    return Factor("grid/DE", value, value * 0.9, value * 1.1, "g/kWh", verified="copy")


def value(amount: Amount | Missing) -> float:
    assert isinstance(amount, Amount), amount
    return amount.value


def test_every_indicator_has_a_unit_and_is_interim() -> None:
    made = indicators(metered(KWH), sites.facility_for())
    assert set(made.values) == set(UNITS)
    assert made.notes == (INTERIM,)
    assert "non-conformant" in INTERIM
    assert "twelve months" in INTERIM


@given(energy_j=energies, pue=st.floats(1.001, 3.0), g_per_kwh=st.floats(1.0, 1500.0))
def test_pue_and_cue_are_ratios_to_it(energy_j: float, pue: float, g_per_kwh: float) -> None:
    here = sites.facility_for(pue=pue, wue=0.4)
    made = indicators(metered(energy_j), here, intensity=grid(g_per_kwh)).values
    assert value(made["pue"]) == pytest.approx(pue, rel=1e-12)
    assert value(made["cue"]) == pytest.approx(pue * g_per_kwh / 1000, rel=1e-9)
    assert value(made["wue"]) == 0.4


def test_the_doubt_of_it_is_not_in_a_ratio_to_it() -> None:
    made = indicators(metered(KWH), sites.facility_for(pue=1.2)).values["pue"]
    assert isinstance(made, Amount)
    assert "gain" not in made.shares_of_variance()
    assert set(made.basis) == {Basis.DERIVED}


def test_renewable_energy_is_never_read_off_the_grid() -> None:
    made = indicators(metered(KWH), sites.facility_for(), intensity=grid(10.0))
    for key, word in (("ref", "certificates"), ("erf", "metered"), ("cer", "cooling")):
        missing = made.values[key]
        assert isinstance(missing, Missing)
        assert word in missing.why
    known = {key for key, amount in made.values.items() if isinstance(amount, Amount)}
    assert known == {"pue", "cue", "wue"}


@given(energy_j=energies, part=st.floats(0.0, 0.9))
def test_certificates_and_metered_heat_are_parts_of_the_facility(
    energy_j: float, part: float
) -> None:
    it, here = metered(energy_j), sites.facility_for(pue=1.3)
    part_kwh = part * facility_total(it, here).value / KWH
    made = indicators(it, here, renewable_kwh=part_kwh, reused_kwh=part_kwh).values
    assert value(made["ref"]) == pytest.approx(part, rel=1e-9)
    assert value(made["erf"]) == pytest.approx(part, rel=1e-9)


def test_ref_is_one_at_most_and_erf_cannot_be_more() -> None:
    it, here = metered(KWH), sites.facility_for(pue=1.3)
    assert value(indicators(it, here, renewable_kwh=99.0).values["ref"]) == 1.0
    with pytest.raises(UsageError, match="reused"):
        indicators(it, here, reused_kwh=99.0)


@pytest.mark.parametrize("energy_kwh", [-1.0, float("nan"), float("inf")])
def test_energies_that_cannot_be_are_refused(energy_kwh: float) -> None:
    with pytest.raises(UsageError):
        indicators(metered(KWH), sites.facility_for(), renewable_kwh=energy_kwh)


@pytest.mark.parametrize("key", ["air_cooled_chiller", "immersion_two_phase", "free_air"])
def test_cooling_efficiency_is_heat_over_cooling(key: str) -> None:
    here = sites.facility_for(cooling=key)
    assert here.plant is not None
    made = indicators(metered(KWH), here).values["cer"]
    plant = here.plant
    assert value(made) == pytest.approx(1 / (plant.cooling.value + plant.pumps.value), rel=1e-9)
    assert isinstance(made, Amount)
    figure = made.figure("ratio")
    assert figure.low < figure.value < figure.high


def test_a_home_is_no_data_centre() -> None:
    made = indicators(metered(KWH), sites.facility_for(facility="home"), intensity=grid(400.0))
    assert all(isinstance(v, Missing) for v in made.values.values())


def test_a_run_of_nothing_has_no_shares() -> None:
    here = sites.facility_for(pue=1.2)
    unknown = indicators(Missing("no sensor"), here, renewable_kwh=1.0, reused_kwh=0.0).values
    assert unknown["ref"] == Missing("no sensor")
    nothing = indicators(Amount.exact(0.0, Basis.MEASURED), here, renewable_kwh=1.0).values
    assert isinstance(nothing["ref"], Missing)
    assert value(unknown["pue"]) == pytest.approx(1.2)


def test_what_is_not_known_of_a_facility_is_missing() -> None:
    pue = Factor("pue", 1.2, 1.1, 1.3, "ratio")
    made = indicators(metered(KWH), Facility(kind="site", name="x", pue=pue)).values
    assert isinstance(made["wue"], Missing)
    assert isinstance(made["cue"], Missing)
