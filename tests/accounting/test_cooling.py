# SPDX-License-Identifier: Apache-2.0
"""Cooling by parts: published totals are met, fans are inside IT, claims shrink to their part."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.cooling import Plant, blown_down, claim, plant, switch, under
from submeter.accounting.facility import facility_total
from submeter.catalog import factors
from submeter.circumstances import sites
from submeter.errors import UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis

KWH = 3.6e6
KEYS = sorted(sites.TECHNOLOGIES)
energies = st.floats(1e-3, 1e12)

# Range of PUE and WUE [L/kWh] of each technology, as compiled from ASHRAE TC 9.9, LBNL 2016 and
# 2024, The Green Grid and vendors (the project's own table of facilities).
PUBLISHED = {
    "free_air": (1.05, 1.2, 0.0, 0.3),
    "crac_air_dx": (1.4, 2.2, 0.0, 0.05),
    "air_cooled_chiller": (1.3, 1.8, 0.0, 0.1),
    "chilled_water_tower": (1.2, 1.7, 1.0, 2.6),
    "waterside_economizer_tower": (1.1, 1.35, 0.8, 2.0),
    "adiabatic_evaporative": (1.06, 1.25, 0.1, 1.5),
    "rear_door_heat_exchanger": (1.15, 1.4, 0.0, 1.5),
    "direct_to_chip_dry_cooler": (1.05, 1.25, 0.0, 0.2),
    "direct_to_chip_tower": (1.05, 1.2, 0.5, 1.8),
    "immersion_single_phase": (1.02, 1.15, 0.0, 0.2),
    "immersion_two_phase": (1.01, 1.1, 0.0, 0.1),
    "closed_loop_zero_water": (1.1, 1.3, 0.0, 0.05),
}


def exact(energy_j: float) -> Amount:
    return Amount.exact(energy_j, Basis.MEASURED)


def ratio(key: str, value: float, spread: float = 1.5) -> Factor:
    return Factor(key, value, value / spread, value * spread, "ratio", verified="copy")


@pytest.mark.parametrize("key", KEYS)
def test_each_technology_lies_inside_its_published_range(key: str) -> None:
    low, high, wue_low, wue_high = PUBLISHED[key]
    made = sites.plant_of(key)
    side = under(exact(KWH), made)
    assert low <= made.pue <= high
    assert side.facility.value == pytest.approx(KWH * made.pue, rel=1e-12)
    assert wue_low <= side.evaporated.value <= wue_high


def test_all_published_technologies_are_modelled() -> None:
    assert set(PUBLISHED) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_no_technology_evaporates_more_than_its_heat_can(key: str) -> None:
    made = sites.plant_of(key)
    most = factors.cooling("water/evaporated_l_per_kwh").value * made.pue
    assert made.evaporation.value <= most


@pytest.mark.parametrize("key", KEYS)
def test_no_part_is_doubted_without_bound(key: str) -> None:
    made = sites.plant_of(key)
    for part in (made.fans, *made.overhead.values()):
        assert 0 <= part.low <= part.value <= part.high
        assert part.log_sd < 1.5, part.key


def test_liquid_needs_less_than_air_and_towers_drink() -> None:
    pue = {key: sites.plant_of(key).pue for key in KEYS}
    assert pue["immersion_two_phase"] < pue["immersion_single_phase"]
    assert pue["immersion_single_phase"] < pue["direct_to_chip_dry_cooler"]
    assert pue["direct_to_chip_dry_cooler"] < pue["rear_door_heat_exchanger"]
    assert pue["rear_door_heat_exchanger"] < pue["air_cooled_chiller"] < pue["crac_air_dx"]
    wet = {key for key in KEYS if sites.plant_of(key).evaporation.value > 0.1}
    assert wet == {key for key, (*_pue, low, _high) in PUBLISHED.items() if low > 0} | {
        "rear_door_heat_exchanger"
    }


def test_pumps_follow_from_pressure_temperature_and_efficiency() -> None:
    for name, pressure_pa, difference_k in (
        ("facility_water", (114.9e3, 172.4e3), (5, 10)),
        ("tower", (166.9e3, 250.4e3), (4, 6)),
    ):
        row = factors.cooling(f"loop/{name}_pumps_ratio")
        heat_j_per_m3_k = 4.186e6
        low = pressure_pa[0] / (0.8 * heat_j_per_m3_k * difference_k[1])
        high = pressure_pa[1] / (0.6 * heat_j_per_m3_k * difference_k[0])
        middle = sum(pressure_pa) / 2 / (0.7 * heat_j_per_m3_k * sum(difference_k) / 2)
        assert (row.low, row.value, row.high) == pytest.approx((low, middle, high), rel=2e-3)


@given(energy_j=energies, before=st.sampled_from(KEYS), to=st.sampled_from(KEYS))
def test_a_switch_keeps_the_work_and_the_site(energy_j: float, before: str, to: str) -> None:
    site = {"distribution": ratio("old-ups", 0.12), "other": ratio("old-lights", 0.03)}
    old, new = structs.replace(sites.plant_of(before), **site), sites.plant_of(to)
    made = switch(exact(energy_j), old, new)
    assert made.after.parts["distribution"].value == pytest.approx(made.after.it.value * 0.12)
    work = [s.it.value - s.fans.value for s in (made.before, made.after)]
    assert work[0] == pytest.approx(work[1], rel=1e-9)
    for part in ("distribution", "other"):
        assert made.after.parts[part].value == pytest.approx(
            made.before.parts[part].value * made.after.it.value / energy_j, rel=1e-9
        )
    back = switch(made.after.it, new, old)
    assert back.after.it.value == pytest.approx(energy_j, rel=1e-9)


@given(energy_j=energies, fans=st.floats(0.0, 0.3))
def test_immersion_lowers_it_by_its_fan_share(energy_j: float, fans: float) -> None:
    air = structs.replace(sites.plant_of("air_cooled_chiller"), fans=ratio("some-fans", fans))
    made = switch(exact(energy_j), air, sites.plant_of("immersion"))
    assert made.after.fans.value == 0
    assert made.after.it.value == pytest.approx(energy_j * (1 - fans), rel=1e-12)
    assert made.it_cut_ratio == pytest.approx(fans, abs=1e-9)


def test_the_same_fans_change_nothing_in_it_not_even_its_doubt() -> None:
    it = exact(KWH)
    made = switch(it, sites.plant_of("air_cooled_chiller"), sites.plant_of("free_air"))
    assert made.after.it == it


@given(
    energy_j=st.floats(1.0, 1e9),
    share=st.floats(0.02, 0.5),
    cut=st.floats(0.0, 1.0),
)
def test_a_claim_moves_the_facility_by_its_share_only(
    energy_j: float, share: float, cut: float
) -> None:
    side = under(exact(energy_j), _with_cooling_share(share))
    made = claim(side, cut)
    assert made.share_ratio == pytest.approx(share, rel=1e-9)
    assert made.facility_cut_ratio == pytest.approx(cut * share, rel=1e-9)
    assert made.facility_cut_ratio <= cut
    less = side.facility.value - cut * side.chilling.value
    assert 1 - less / side.facility.value == pytest.approx(made.facility_cut_ratio, abs=1e-9)


def test_88_percent_of_a_tenth_is_9_percent_and_says_so() -> None:
    made = claim(under(exact(KWH), _with_cooling_share(0.1)), 0.88)
    assert str(made) == "88 % of the cooling is 8.8 % of the facility"
    assert str(claim(under(exact(KWH), _with_cooling_share(0.102)), 0.88)).startswith("88 %")
    with pytest.raises(UsageError):
        claim(under(exact(KWH), _with_cooling_share(0.1)), 1.2)


def test_a_switch_reports_cooling_fans_pumps_and_water_apart() -> None:
    made = switch(exact(KWH), sites.plant_of("chilled water"), sites.plant_of("immersion"))
    before, after = made.before, made.after
    assert before.parts["pumps"].value != after.parts["pumps"].value
    assert after.parts["cooling"].value < before.parts["cooling"].value
    assert made.claim.cut_ratio > 0.8
    assert made.claim.facility_cut_ratio < made.claim.cut_ratio / 3
    assert made.facility_cut_ratio > made.claim.facility_cut_ratio  # the fans come on top
    assert made.water_cut_ratio == 1.0
    assert before.withdrawn.value == before.evaporated.value + before.blown_down.value


@given(litres=st.floats(1e-6, 1e9), cycles=st.floats(1.1, 20))
def test_cycles_of_concentration_balance(litres: float, cycles: float) -> None:
    evaporated = Amount.exact(litres, Basis.DERIVED)
    let_off = blown_down(evaporated, Factor("c", cycles, cycles, cycles, "ratio"))
    withdrawn = litres + let_off.value
    assert withdrawn == pytest.approx(litres * cycles / (cycles - 1), rel=1e-9)
    assert withdrawn / let_off.value == pytest.approx(cycles, rel=1e-9)


@pytest.mark.parametrize("cycles", [1.0, 0.5, 0.0])
def test_no_cycles_is_refused(cycles: float) -> None:
    with pytest.raises(UsageError):
        blown_down(exact(1.0), Factor("c", cycles, cycles, cycles, "ratio"))


def test_nothing_is_let_off_where_nothing_circulates() -> None:
    assert blown_down(exact(3.0), None).value == 0


def test_pumps_beyond_the_cooling_are_refused() -> None:
    zero = Factor("z", 0.0, 0.0, 0.0, "ratio")
    with pytest.raises(UsageError, match="pumps"):
        plant(
            "x", "x", pue=ratio("p", 1.1, 1.02), cooling_share=ratio("s", 0.05), fans=zero,
            pumps=ratio("pumps", 0.2), distribution=zero, other=zero, evaporation=zero,
        )  # fmt: skip


def test_fans_cannot_be_all_of_it() -> None:
    all_fans = Factor("f", 1.0, 1.0, 1.0, "ratio")
    air = structs.replace(sites.plant_of("free_air"), fans=all_fans)
    with pytest.raises(UsageError, match="fans"):
        switch(exact(1.0), air, sites.plant_of("immersion"))


@given(pue=st.floats(1.01, 3.0), energy_j=energies)
def test_a_site_known_by_its_pue_is_split_without_loss(pue: float, energy_j: float) -> None:
    here = sites.facility_for(pue=pue)
    made = sites.plant_for(here)
    assert made.pue == pytest.approx(pue, rel=1e-9)
    side = under(exact(energy_j), made)
    assert side.facility.value == pytest.approx(energy_j * pue, rel=1e-9)
    assert made.cooling.verified == "assumed"
    assert 0.6 <= made.cooling.value / (pue - 1) <= 0.8


@given(
    energy_j=energies,
    pue=st.floats(1.01, 3.0),
    word=st.sampled_from(KEYS),
)
def test_a_recooled_facility_is_the_after_of_a_switch(
    energy_j: float, pue: float, word: str
) -> None:
    here = sites.facility_for(pue=pue)
    made, ratio_ = sites.recooled(here, word)
    it = exact(energy_j) if ratio_ is None else exact(energy_j).times(ratio_)
    by_switch = switch(exact(energy_j), sites.plant_for(here), sites.plant_of(word)).after
    assert facility_total(it, made).value == pytest.approx(by_switch.facility.value, rel=1e-9)
    assert made.kind == "cooling"
    assert made.pue is None
    assert any("on the site of the site" in note for note in made.notes)


def test_air_by_air_leaves_it_as_it_is() -> None:
    _made, left = sites.recooled(sites.facility_for(cooling="crac"), "free air")
    assert left is None
    _made, left = sites.recooled(sites.facility_for(cooling="crac"), "immersion")
    assert left is not None
    assert left.value == pytest.approx(0.92)


def test_a_home_has_no_plant_to_exchange() -> None:
    with pytest.raises(UsageError, match="home"):
        sites.plant_for(sites.facility_for(facility="home"))


def test_a_facility_that_knows_its_plant_begins_with_it() -> None:
    here = sites.facility_for(cooling="rear door")
    assert sites.plant_for(here) is here.plant


def _with_cooling_share(share: float) -> Plant:
    """Plant of which cooling and pumps make up *share* of the facility."""
    rest = 0.05
    chilling = share * (1 + rest) / (1 - share)
    made = structs.replace(
        sites.plant_of("air_cooled_chiller"),
        cooling=ratio("c", chilling * 0.9),
        pumps=ratio("p", chilling * 0.1),
        distribution=ratio("d", rest),
        other=ratio("o", 0.0),
    )
    assert math.isclose(chilling / made.pue, share, rel_tol=1e-9)
    return made
