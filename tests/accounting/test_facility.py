# SPDX-License-Identifier: Apache-2.0
"""A facility is what is known best of it, and its parts sum to the whole."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.boundaries import declared_pue
from submeter.accounting.facility import (
    HOME,
    Category,
    Facility,
    balanced,
    choose_facility,
    facility_energy,
    facility_total,
)
from submeter.catalog import pue_prior
from submeter.catalog.facts import fact
from submeter.circumstances import sites
from submeter.errors import CoverageError, UsageError
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Quantity

KWH = 3.6e6
energies = st.floats(1e-3, 1e12)
overheads = st.floats(0.001, 2.0)
doubts = st.floats(1.0, 3.0)


def ratio(value: float, spread: float = 1.3, key: str = "pue") -> Factor:
    return Factor(key, 1 + value, 1 + value / spread, 1 + value * spread, "ratio", verified="copy")


def metered(energy_j: float) -> Amount:
    terms = (ErrorTerm("gain", 0.03),)
    return Amount.of(Quantity.of(energy_j, basis=Basis.MEASURED, terms=terms))


def known_by_pue(pue: Factor) -> Facility:
    return Facility(kind="site", name="here", pue=pue)


@given(energy_j=energies, overhead=overheads, spread=doubts)
def test_a_pue_and_it_make_up_the_facility(
    energy_j: float, overhead: float, spread: float
) -> None:
    it, here = metered(energy_j), known_by_pue(ratio(overhead, spread))
    parts = facility_energy(it, here)
    whole = facility_total(it, here)
    assert set(parts) == {"overhead"}
    assert whole.value == math.fsum([it.value, *(p.value for p in parts.values())])
    assert whole.value == pytest.approx(energy_j * (1 + overhead), rel=1e-12)


@given(energy_j=energies, key=st.sampled_from(sorted(sites.TECHNOLOGIES)))
def test_cooling_distribution_and_other_make_up_the_facility(energy_j: float, key: str) -> None:
    it, here = metered(energy_j), sites.facility_for(cooling=key)
    parts = facility_energy(it, here)
    assert set(parts) == {"cooling", "distribution", "other"}
    whole = facility_total(it, here).value
    assert whole == pytest.approx(
        math.fsum([it.value, *(p.value for p in parts.values())]), rel=1e-12
    )
    assert whole == pytest.approx(energy_j * here.pue_ratio, rel=1e-12)


@given(energy_j=energies, low=overheads, more=overheads)
def test_a_higher_pue_draws_more(energy_j: float, low: float, more: float) -> None:
    it = metered(energy_j)
    small, big = (known_by_pue(ratio(v)) for v in (low, low + more))
    assert facility_total(it, small).value <= facility_total(it, big).value


@given(energy_j=st.floats(1e-3, 1e9), times=st.floats(0.1, 1e3))
def test_a_facility_is_linear_in_energy(energy_j: float, times: float) -> None:
    for here in (sites.facility_for(), sites.facility_for(cooling="immersion")):
        once = facility_total(metered(energy_j), here).value
        assert facility_total(metered(energy_j * times), here).value == pytest.approx(
            once * times, rel=1e-9
        )


@pytest.mark.parametrize(
    ("given_", "kind", "name"),
    [
        ({"pue": 1.2, "cloud": "aws/us-west-2", "cooling": "immersion"}, "site", "the site"),
        ({"cloud": "aws/us-west-2", "cooling": "immersion"}, "cloud region", "aws/us-west-2"),
        ({"cooling": "immersion"}, "cooling", "single-phase immersion"),
        ({}, "industry", "average of the industry"),
        ({"arrangement": "home"}, "home", "home or office"),
        ({"facility": "home", "cloud": "aws/us-west-2"}, "home", "home or office"),
        ({"facility": "home", "pue": 1.1}, "site", "the site"),
        ({"cloud": "nobody/nowhere"}, "industry", "average of the industry"),
    ],
)
def test_the_best_that_is_known_is_taken(given_: dict[str, str], kind: str, name: str) -> None:
    found = sites.facility_for(**given_)  # type: ignore[arg-type]
    assert (found.kind, found.name) == (kind, name)


def test_a_declared_pue_is_the_one_that_boundaries_know() -> None:
    assert sites.facility_for(pue=1.3).pue == declared_pue(1.3)


def test_the_industry_is_the_prior_of_the_catalog() -> None:
    here, prior = sites.facility_for(), pue_prior()
    assert here.pue is not None
    assert (here.pue.value, here.pue.high, here.pue.key) == (prior.value, prior.high, prior.key)
    assert here.pue.basis is Basis.ASSUMED


def test_a_region_without_figures_takes_those_of_its_fleet_and_says_so() -> None:
    here = sites.facility_for(cloud="gcp/no-such-region")
    assert here.pue is not None
    assert here.pue.value == fact("facility", "fleet/google_fleet", "pue").value
    assert here.wue is not None
    assert here.wue.value == fact("facility", "fleet/google_fleet_wue", "wue_l_per_kwh").value
    assert here.name == "gcp/no-such-region, by the fleet of gcp"


@pytest.mark.parametrize("provider", ["aws", "azure", "gcp", "meta", "equinix", "ovhcloud"])
def test_each_provider_has_a_fleet(provider: str) -> None:
    here = sites.facility_for(cloud=f"{provider}/no-such-region")
    assert here.kind == "cloud region"
    assert 1 < here.pue_ratio < 1.5


@pytest.mark.parametrize(
    ("fleet", "year", "pue", "wue"),
    [
        ("google_fleet", 2024, 1.09, None),
        ("google_fleet", 2008, 1.21, None),
        ("meta_fleet", 2021, 1.09, 0.26),
        ("meta_fleet", 2023, 1.08, 0.18),
        ("microsoft_fleet", 2025, 1.17, 0.27),
        ("aws_fleet", 2024, 1.15, 0.15),
    ],
)
def test_fleets_have_their_published_pue_and_wue(
    fleet: str, year: int, pue: float, wue: float | None
) -> None:
    row = balanced(fact("facility", f"fleet/{fleet}", "pue", year=year))
    it = Amount.exact(KWH, Basis.MEASURED)
    assert facility_total(it, known_by_pue(row)).value == pytest.approx(KWH * pue, rel=1e-12)
    if wue is not None:
        assert fact("facility", f"fleet/{fleet}", "wue_l_per_kwh", year=year).value == wue


def test_a_home_adds_nothing_at_best_and_an_air_conditioner_at_most() -> None:
    it, here = metered(KWH), sites.facility_for(facility="home")
    parts = facility_energy(it, here)
    whole = facility_total(it, here).figure("J")
    assert whole.value == pytest.approx(KWH, rel=1e-12)
    assert parts["overhead"].figure("J").high > 0.2 * KWH
    assert HOME in here.notes
    assert not any("annual" in note or "of a year" in note for note in here.notes)
    assert here.wue is not None
    assert here.wue.high == 0


def test_energy_and_water_are_chosen_apart() -> None:
    here = sites.facility_for(pue=1.2, cooling="chilled water")
    assert here.kind == "site"
    assert here.wue is not None
    assert here.wue.key == "facility/cooling/chilled_water_tower/wue_l_per_kwh"
    assert here.cycles is not None
    declared = sites.facility_for(pue=1.2, wue=0.4, cooling="chilled water")
    assert declared.wue is not None
    assert (declared.wue.value, declared.wue.verified) == (0.4, "declared")


@pytest.mark.parametrize("category", ["PUE1", "PUE2", "PUE3"])
def test_category_and_year_of_a_declared_pue_are_said(category: Category) -> None:
    here = sites.facility_for(pue=1.2, category=category, year=2025)
    assert (here.category, here.year) == (category, 2025)
    assert any(note.startswith(f"{category}: ") for note in here.notes)


def test_an_unstated_category_is_said_too() -> None:
    assert "category not stated" in sites.facility_for(pue=1.2).notes


@pytest.mark.parametrize(
    "wrong",
    [
        {"pue": 0.9},
        {"pue": float("nan")},
        {"pue": -1.0},
        {"wue": -0.1},
        {"wue": float("nan")},
        {"category": "PUE9", "pue": 1.2},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        sites.facility_for(**wrong)  # type: ignore[arg-type]


def test_a_home_needs_a_factor_and_a_facility_something_known() -> None:
    with pytest.raises(UsageError, match="home"):
        choose_facility(prior=ratio(0.5), arrangement="home")
    nothing = Facility(kind="site", name="nowhere")
    with pytest.raises(UsageError, match="nowhere"):
        facility_energy(metered(KWH), nothing)
    with pytest.raises(UsageError, match="nowhere"):
        _ = nothing.pue_ratio


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("immersion", "immersion_single_phase"),
        ("Two-Phase Immersion", "immersion_two_phase"),
        ("chilled water", "chilled_water_tower"),
        ("direct-to-chip", "direct_to_chip_dry_cooler"),
        ("free_air", "free_air"),
        ("EVAPORATIVE", "adiabatic_evaporative"),
        ("closed loop", "closed_loop_zero_water"),
        ("rear door", "rear_door_heat_exchanger"),
    ],
)
def test_technologies_are_found_by_what_people_call_them(word: str, key: str) -> None:
    assert sites.technology(word).key == key


def test_no_word_means_two_technologies() -> None:
    words = [w for t in sites.TECHNOLOGIES.values() for w in (t.key, t.name, *t.aliases)]
    found = [sites.technology(word).key for word in words]
    owners = [t.key for t in sites.TECHNOLOGIES.values() for _ in (t.key, t.name, *t.aliases)]
    assert found == owners


def test_an_unknown_technology_names_what_is_near() -> None:
    with pytest.raises(CoverageError) as near:
        sites.technology("imersion")
    assert near.value.remedy == "did you mean immersion_single_phase?"
    with pytest.raises(CoverageError) as far:
        sites.technology("penguins")
    assert "immersion_single_phase" in str(far.value.remedy)


@given(overhead=overheads, down=st.floats(1.0, 1e6), up=st.floats(1.0, 5.0))
def test_balanced_keeps_value_and_upper_end_and_never_widens(
    overhead: float, down: float, up: float
) -> None:
    pue = Factor("p", 1 + overhead, 1 + overhead / down, 1 + overhead * up, "ratio")
    made = balanced(pue)
    assert (made.value, made.high) == (pue.value, pue.high)
    assert pue.low <= made.low <= made.value
    above = structs.replace(made, value=overhead, low=made.low - 1, high=made.high - 1)
    assert above.log_sd <= math.log(up) / 1.959964 + 1e-6
