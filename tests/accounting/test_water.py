# SPDX-License-Identifier: Apache-2.0
"""Every litre has a type: consumed, withdrawn, discharged; on the site and at the generators."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.facility import Facility, facility_total
from submeter.accounting.water import Generation, offsite, onsite, water
from submeter.catalog.facts import fact
from submeter.circumstances import sites
from submeter.errors import UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing
from submeter.records.footprints import Water

KWH = 3.6e6
energies = st.floats(1e-3, 1e12)
intensities = st.floats(0.01, 50.0)


def exact(energy_j: float) -> Amount:
    return Amount.exact(energy_j, Basis.MEASURED)


def factor(value: float, unit: str = "L/kWh", key: str = "w", spread: float = 2.0) -> Factor:
    return Factor(key, value, value / spread, value * spread, unit, verified="copy")


def sure(value: float, key: str = "sure") -> Factor:
    return Factor(key, value, value, value, "ratio", verified="copy")


def site(wue: float, pue: float = 1.2, cycles: float | None = 6.0) -> Facility:
    return Facility(
        kind="site",
        name="here",
        pue=sure(pue, "pue"),
        wue=factor(wue),
        cycles=None if cycles is None else Factor("c", cycles, cycles, cycles, "ratio"),
    )


def value(amount: Amount | Missing) -> float:
    assert isinstance(amount, Amount), amount
    return amount.value


def of(energy_j: float, here: Facility, **given_: object) -> Water:
    it = exact(energy_j)
    return water(it, facility_total(it, here), here, **given_)  # type: ignore[arg-type]


@given(energy_j=energies, wue=intensities, pue=st.floats(1.0, 3.0), other=st.floats(1.0, 3.0))
def test_onsite_water_does_not_know_the_pue(
    energy_j: float, wue: float, pue: float, other: float
) -> None:
    one, two = (of(energy_j, site(wue, p)) for p in (pue, other))
    assert one.onsite == two.onsite
    assert value(one.onsite) == pytest.approx(energy_j / KWH * wue, rel=1e-12)


@given(energy_j=energies, pue=st.floats(1.0, 3.0), wet=intensities, dry=intensities)
def test_offsite_water_follows_the_facility(
    energy_j: float, pue: float, wet: float, dry: float
) -> None:
    made = of(
        energy_j, site(1.0, pue), generation=Generation(consumption=factor(wet), dry=factor(dry))
    )
    assert value(made.offsite) == pytest.approx(energy_j * pue / KWH * wet, rel=1e-9)
    assert value(made.offsite_dry) == pytest.approx(energy_j * pue / KWH * dry, rel=1e-9)
    assert isinstance(made.offsite_withdrawal, Missing)


@given(energy_j=energies, loss=st.floats(0.001, 0.6), wet=intensities)
def test_lines_that_lose_need_more_generation(energy_j: float, loss: float, wet: float) -> None:
    drawn, row = exact(energy_j), factor(wet)
    made = offsite(drawn, row, factor(loss, "ratio", "loss", 1.2), at_generator=True)
    assert value(made) == pytest.approx(energy_j / KWH * wet / (1 - loss), rel=1e-9)
    delivered = offsite(drawn, row, factor(loss, "ratio", "loss", 1.2), at_generator=False)
    assert value(delivered) == pytest.approx(energy_j / KWH * wet, rel=1e-12)


@given(energy_j=energies, wet=intensities)
def test_no_loss_changes_nothing(energy_j: float, wet: float) -> None:
    drawn, row = exact(energy_j), factor(wet)
    without = offsite(drawn, row, None, at_generator=True)
    zero = offsite(drawn, row, Factor("loss", 0.0, 0.0, 0.0, "ratio"), at_generator=True)
    assert value(zero) == value(without)
    assert isinstance(zero, Amount)
    assert isinstance(without, Amount)
    assert zero.figure("L").high == pytest.approx(without.figure("L").high, rel=1e-12)


@pytest.mark.parametrize("loss", [1.0, 1.5, -0.1, math.nan])
def test_a_loss_of_everything_is_refused(loss: float) -> None:
    with pytest.raises(UsageError):
        offsite(exact(1.0), factor(1.0), sure(loss), at_generator=True)


@given(energy_j=energies, wue=intensities, cycles=st.floats(1.5, 20.0))
def test_withdrawn_is_consumed_and_discharged(energy_j: float, wue: float, cycles: float) -> None:
    for how in ("consumption", "withdrawal"):
        made = of(energy_j, structs.replace(site(wue, cycles=cycles), wue_is=how))
        taken, gone, let_off = (
            value(a) for a in (made.onsite_withdrawal, made.onsite, made.discharge)
        )
        assert taken == pytest.approx(gone + let_off, rel=1e-12)
        assert taken == pytest.approx(let_off * cycles, rel=1e-6)
        counted = {"consumption": gone, "withdrawal": taken}[how]
        assert counted == pytest.approx(energy_j / KWH * wue, rel=1e-9)


@given(energy_j=energies, wue=intensities, share=st.floats(0.0, 1.0))
def test_recycled_water_lowers_the_potable_never_the_consumed(
    energy_j: float, wue: float, share: float
) -> None:
    fresh, recycled = (of(energy_j, site(wue), recycled_ratio=ratio) for ratio in (0.0, share))
    assert recycled.onsite == fresh.onsite
    assert recycled.onsite_withdrawal == fresh.onsite_withdrawal
    assert recycled.discharge == fresh.discharge
    assert value(recycled.potable) == pytest.approx(
        value(fresh.onsite_withdrawal) * (1 - share), rel=1e-12
    )
    assert value(fresh.potable) == pytest.approx(value(fresh.onsite_withdrawal))


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_is_between_none_and_all(share: float) -> None:
    with pytest.raises(UsageError):
        of(1.0, site(1.0), recycled_ratio=share)


def test_what_is_not_stated_is_missing_and_not_zero() -> None:
    made = of(KWH, site(1.0))
    assert isinstance(made.potable, Missing)
    assert isinstance(made.offsite, Missing)
    assert isinstance(made.stress, Missing)
    unknown = of(KWH, site(1.0, cycles=None))
    assert isinstance(unknown.discharge, Missing)
    assert isinstance(unknown.onsite_withdrawal, Missing)
    assert value(unknown.onsite) == pytest.approx(1.0)
    none = of(KWH, structs.replace(site(1.0), wue=None))
    assert isinstance(none.onsite, Missing)
    assert isinstance(none.potable, Missing)


def test_a_withdrawal_without_cycles_is_taken_as_consumed_and_says_so() -> None:
    here = structs.replace(site(1.0, cycles=None), wue_is="withdrawal")
    made = of(KWH, here)
    assert value(made.onsite) == pytest.approx(1.0)
    assert value(made.discharge) == 0
    assert any("taken as consumed" in note for note in made.notes)


@given(energy_j=energies)
def test_a_home_uses_no_water_on_site_exactly(energy_j: float) -> None:
    here = sites.facility_for(facility="home")
    made = of(energy_j, here, generation=Generation(consumption=factor(2.0)))
    for amount in (made.onsite, made.onsite_withdrawal, made.discharge, made.potable):
        assert isinstance(amount, Amount)
        assert amount.value == 0
        assert amount.figure("L").high == 0
    assert value(made.offsite) == pytest.approx(energy_j / KWH * 2.0, rel=1e-9)


@pytest.mark.parametrize("word", ["immersion", "free air", "closed loop"])
def test_dry_cooling_lets_nothing_off(word: str) -> None:
    moved, _left = sites.recooled(sites.facility_for(), word)
    for here in (sites.facility_for(cooling=word), moved):
        made = of(KWH, here)
        assert value(made.discharge) == 0
        assert value(made.onsite_withdrawal) == value(made.onsite)


def test_wet_cooling_lets_off_what_its_cycles_say() -> None:
    made = of(KWH, sites.facility_for(cooling="chilled water"))
    assert value(made.onsite) == pytest.approx(1.8)
    assert value(made.discharge) == pytest.approx(1.8 / 5)


def test_an_unknown_place_has_water_all_the_same_and_a_wide_interval() -> None:
    made = of(KWH, sites.facility_for())
    assert isinstance(made.onsite, Amount)
    figure = made.onsite.figure("L")
    assert figure.basis is Basis.ASSUMED
    assert figure.low < 0.1 * figure.high
    assert value(made.onsite) == pytest.approx(0.36)  # LBNL 2024, p. 48


@given(energy_j=st.floats(1e-3, 1e9), times=st.floats(0.01, 1e3), wue=intensities)
def test_water_is_linear_in_energy(energy_j: float, times: float, wue: float) -> None:
    rows = Generation(consumption=factor(3.0, key="a"), dry=factor(1.0, key="b"))
    one, many = (
        of(e, site(wue), generation=rows, loss=factor(0.05, "ratio", "loss"))
        for e in (energy_j, energy_j * times)
    )
    for name in ("onsite", "offsite", "offsite_dry", "onsite_withdrawal", "discharge"):
        assert value(getattr(many, name)) == pytest.approx(
            value(getattr(one, name)) * times, rel=1e-9
        )


@given(energy_j=energies, wue=intensities, more=intensities)
def test_a_higher_wue_uses_more(energy_j: float, wue: float, more: float) -> None:
    it = exact(energy_j)
    low, high = (onsite(it, site(w))[0] for w in (wue, wue + more))
    assert value(low) < value(high)


def test_reservoirs_are_a_headline_of_their_own() -> None:
    rows = Generation(consumption=factor(6.0), dry=factor(0.2), withdrawal=factor(40.0))
    made = of(KWH, site(0.5, pue=1.5), generation=rows)
    assert value(made.offsite) == pytest.approx(9.0)
    assert value(made.offsite_dry) == pytest.approx(0.3)
    assert value(made.offsite_withdrawal) == pytest.approx(60.0)
    assert any("never to be mixed" in note for note in made.notes)


# 1287 MWh: Patterson et al. 2021 (arXiv:2104.10350), which Li et al. (2023) take as energy of IT.
# They print 700 000 L on site in Microsoft's US data centres, and 5.4 million L in all.
def test_the_water_of_gpt_3_is_that_of_the_paper() -> None:
    row = {q: fact("water", "microsoft/US", q) for q in ("pue", "wue_l_per_kwh", "ewif_l_per_kwh")}
    here = Facility(kind="site", name="US", pue=row["pue"], wue=row["wue_l_per_kwh"])
    made = of(1287e3 * KWH, here, generation=Generation(row["ewif_l_per_kwh"], at_generator=False))
    assert value(made.onsite) == pytest.approx(0.7e6, rel=0.02)
    assert value(made.onsite) + value(made.offsite) == pytest.approx(5.4e6, rel=0.02)
    assert value(made.offsite) == pytest.approx(1287e3 * 1.17 * 3.142, rel=1e-9)


# PUE, WUE and water intensity elsewhere, of table 1 of Li et al. (2023), multiplied by hand:
# 1287 MWh x WUE, and 1287 MWh x PUE x intensity.
@pytest.mark.parametrize(
    ("place", "onsite_ml", "offsite_ml"),
    [("US-AZ", 2.883, 7.805), ("US-WY", 0.296, 3.727), ("IE", 0.039, 2.274), ("SE", 0.206, 9.079)],
)
def test_the_same_run_elsewhere(place: str, onsite_ml: float, offsite_ml: float) -> None:
    names = ("pue", "wue_l_per_kwh", "ewif_l_per_kwh")
    pue, wue, ewif = (fact("water", f"microsoft/{place}", q) for q in names)
    here = Facility(kind="site", name=place, pue=pue, wue=wue)
    made = of(1287e3 * KWH, here, generation=Generation(ewif, at_generator=False))
    assert value(made.onsite) / 1e6 == pytest.approx(onsite_ml, abs=2e-3)
    assert value(made.offsite) / 1e6 == pytest.approx(offsite_ml, abs=2e-3)


@pytest.mark.parametrize(
    ("country", "words"),
    [
        ("DE", "Medium-high (20-40%)"),
        ("SE", "Low (<10%)"),
        ("AE", "Extremely high (>80%)"),
        ("AF", "High (40-80%)"),
    ],
)
def test_water_stress_is_named_as_such(country: str, words: str) -> None:
    assert sites.stress(country) == f"{words}, Aqueduct 4.0 baseline"


def test_a_country_without_stress_is_missing() -> None:
    assert isinstance(sites.stress("XX"), Missing)
    assert isinstance(sites.stress(""), Missing)
