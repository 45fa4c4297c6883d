# SPDX-License-Identifier: Apache-2.0
"""What contracts claim: by the hierarchy, said which, and never at the cost of the location."""

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.carbon import Intensity, location_based
from submeter.accounting.market import (
    Backed,
    market_based,
    matching_claim,
    refusal,
    shown_apart,
)
from submeter.catalog.facts import fact
from submeter.errors import UsageError
from submeter.records.claims import ENERGY_KINDS, Allocation, Claim, ClaimKind, energy_words
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from tests.accounting.figures import (
    DIRECT,
    MARKET,
    factor,
    intensities,
    intensity,
    joules,
    known,
    kwh,
    located,
)

NO_STACKS = Intensity(Factor("wind/direct", 0.0, 0.0, 0.0, "gCO2e/kWh"), DIRECT)
WIND = Intensity(factor("wind/lifecycle", 12.0, spread=2.0), intensity(1).kind)


def claim(**changes: Any) -> Claim:
    words: dict[str, Any] = {
        "id": "lot-1", "kind": "GO", "zone": "DE", "year": 2026, "registry": "HKNR",
        "fuel": "wind", "energy_wh": 10**7,
    }  # fmt: skip
    return Claim(**(words | changes))


def backed(energy_wh: int, statement: str = "", **changes: Any) -> Backed:
    return Backed(Allocation(claim(**changes), "run", energy_wh, statement), NO_STACKS, WIND)


def test_claims_come_first_then_the_residual_mix() -> None:
    location = located(kwh(10))
    found = market_based(
        location,
        [backed(4000, "cancelled 17")],
        zone="DE",
        year=2026,
        residual=intensity(700, MARKET),
    )
    assert [layer.level for layer in found.layers] == [
        "certificates or contracts",
        "residual mix",
    ]
    assert known(found.located.direct).value == pytest.approx(6 * 700)
    assert known(found.located.upstream).value == pytest.approx(4 * 12 + 6 * 50)
    loss_g = known(location.loss).value
    assert known(found.located.loss).value == loss_g
    assert known(found.located.total).value == pytest.approx(6 * 750 + 48 + loss_g)
    assert "GO lot-1 (4 kWh of wind, DE 2026) for 40 %" in found.how
    assert "residual mix of 700 g/kWh" in found.how
    assert found.how.endswith("for 60 %")
    assert any("greenhouse gases, of stacks alone" in note for note in found.notes)
    assert not any("provisional" in note for note in found.notes)


def test_a_residual_mix_of_the_aib_is_of_co2_alone_and_says_so() -> None:
    aib = fact("grid", "DE", "residual_mix_g_per_kwh")
    found = market_based(located(kwh(1)), zone="DE", year=2026, residual=Intensity(aib, MARKET))
    assert "AIB" in found.how
    assert any("CO2 alone" in note for note in found.notes)


def test_each_level_gives_way_to_the_one_above() -> None:
    location = located(kwh(1))
    rate, mix = intensity(200, MARKET), intensity(700, MARKET)
    by_rate = market_based(location, zone="DE", year=2026, supplier=rate, residual=mix)
    assert by_rate.layers[0].level == "supplier rate"
    assert known(by_rate.located.direct).value == pytest.approx(200)
    by_mix = market_based(location, zone="DE", year=2026, supplier=Missing("-"), residual=mix)
    assert by_mix.layers[0].level == "residual mix"
    assert known(by_mix.located.direct).value == pytest.approx(700)


@given(st.floats(1e-3, 1e6), intensities, intensities, st.booleans())
def test_without_anything_better_the_market_is_the_location(
    energy_kwh: float, lifecycle: float, direct: float, split: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    location = (
        located(kwh(energy_kwh), lifecycle, direct)
        if split
        else location_based(kwh(energy_kwh), intensity(lifecycle), Missing("?"), Missing("?"))
    )
    found = market_based(location, zone="XX", year=2026, residual=Missing("none published"))
    assert found.layers[0].level == "location factor"
    assert "none published" in found.how
    assert known(found.located.total).value == pytest.approx(known(location.total).value)
    assert any("counted here again" in note for note in found.notes)


@given(
    st.floats(1e-3, 1e6), intensities, st.lists(st.integers(0, 10**9), max_size=5),
    st.booleans(),
)  # fmt: skip
def test_claims_never_change_the_location_nor_go_below_zero(
    energy_kwh: float, mix: float, energies_wh: list[int], retired: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    location = located(kwh(energy_kwh))
    before = repr(location)
    claims = [backed(e, "x" if retired else "", id=f"lot-{i}") for i, e in enumerate(energies_wh)]
    found = market_based(location, claims, zone="DE", year=2026, residual=intensity(mix, MARKET))
    assert repr(location) == before
    for part in (found.located.direct, found.located.upstream, found.located.total):
        assert known(part).value >= 0
        assert known(part).figure("g").low >= 0
    assert math.fsum(layer.ratio for layer in found.layers) == pytest.approx(1.0)
    assert known(found.located.direct).value <= energy_kwh * mix * (1 + 1e-9)
    covered = min(1.0, sum(energies_wh) / (energy_kwh * 1000))
    expected = energy_kwh * mix * (1 - covered)
    assert known(found.located.direct).value == pytest.approx(expected, abs=energy_kwh * mix / 1e9)


def test_more_claims_than_energy_claim_nothing_more() -> None:
    found = market_based(located(kwh(1)), [backed(5000)], zone="DE", year=2026)
    assert known(found.located.direct).value == 0.0
    assert [layer.ratio for layer in found.layers] == [1.0]
    assert any("surplus" in note for note in found.notes)
    assert any("provisional" in note for note in found.notes)
    assert not any("counted here again" in note for note in found.notes)
    begun = market_based(located(kwh(0.9995)), [backed(1000)], zone="DE", year=2026)
    assert [layer.ratio for layer in begun.layers] == [1.0]
    assert not any("surplus" in note for note in begun.notes)


@pytest.mark.parametrize(
    ("changes", "zone", "year", "why"),
    [
        ({}, "DE", 2026, ""),
        ({"zone": "NO"}, "FR", 2026, ""),
        ({"zone": "CH"}, "DE", 2026, ""),
        ({"year": 2025}, "DE", 2026, ""),
        ({"kind": "REC", "zone": "CA-ON"}, "US-CAL-CISO", 2026, ""),
        ({"kind": "REGO", "zone": "GB"}, "DE", 2026, "market of GB"),
        ({"kind": "I-REC", "zone": "BR"}, "IN", 2026, "market of BR"),
        ({"zone": "US"}, "DE", 2026, "market of US"),
        ({}, "", 2026, "not known"),
        ({"year": 2027}, "DE", 2026, "after the electricity was used"),
        ({"year": 2024}, "DE", 2026, "too old"),
        ({"kind": "offset", "energy_wh": 0}, "DE", 2026, "never subtracted"),
        ({"kind": "avoided", "energy_wh": 0}, "DE", 2026, "never subtracted"),
    ],
)
def test_quality_of_a_claim(changes: dict[str, Any], zone: str, year: int, why: str) -> None:
    said = refusal(claim(**changes), zone, year)
    assert bool(said) == bool(why)
    assert why in said


def test_a_refused_claim_is_said_and_its_energy_falls_to_the_next_level() -> None:
    location = located(kwh(1))
    found = market_based(location, [backed(1000, zone="US")], zone="DE", year=2026)
    assert found.layers[0].level == "location factor"
    assert "market of US" in found.refused[0]
    assert known(found.located.total).value == pytest.approx(known(location.total).value)


def test_g09_rates_that_are_not_direct_or_not_of_the_market_are_refused() -> None:
    location = located(kwh(1))
    for wrong in (intensity(300), intensity(300, DIRECT)):
        for word in ("supplier", "residual"):
            with pytest.raises(UsageError, match="never mixed"):
                market_based(location, zone="DE", year=2026, **{word: wrong})  # type: ignore[arg-type]


def test_a_residual_mix_over_an_unsplit_location_has_direct_emissions_alone() -> None:
    unsplit = location_based(kwh(1), intensity(400), Missing("not split"), Missing("?"))
    found = market_based(unsplit, zone="DE", year=2026, residual=intensity(700, MARKET))
    assert known(found.located.direct).value == pytest.approx(700)
    assert isinstance(found.located.total, Missing)


def test_energy_that_is_not_known_has_no_market() -> None:
    nothing = located(joules(0.0))
    assert market_based(nothing, [backed(1)], zone="DE", year=2026).layers == ()
    lost = Missing("unread")
    gone = location_based(lost, intensity(4), intensity(3, DIRECT), lost)
    assert market_based(gone, [backed(1)], zone="DE", year=2026).located.total == lost


def test_a_source_that_is_not_named_is_said() -> None:
    found = market_based(
        located(kwh(1)), [backed(1000, fuel="", registry="")], zone="DE", year=2026
    )
    assert sum("registry that tracks" in n or "not name its source" in n for n in found.notes) == 2


@pytest.mark.parametrize(
    ("residual", "direct_g", "level"),
    [
        (intensity(700, MARKET), 2 * 700 + 3 * 800, "residual mix"),
        (Missing("none published"), None, "location factor"),
        (None, None, "location factor"),
    ],
)
def test_a_source_that_nobody_knows_takes_its_own_part_down_alone(
    residual: Intensity | Missing | None, direct_g: float | None, level: str
) -> None:
    """Of 10 kWh 5 are of wind, 2 of an unknown source, and 3 of no claim."""
    location = located(kwh(10))
    why = Missing("its source is not told")
    odd = Backed(Allocation(claim(id="odd", fuel=""), "run", 2000), why, why, residual)
    mix = intensity(800, MARKET)
    found = market_based(location, [backed(5000), odd], zone="DE", year=2026, residual=mix)
    if direct_g is None:
        direct_g = 0.2 * known(location.direct).value + 3 * 800
    assert known(found.located.direct).value == pytest.approx(direct_g)
    assert [layer.level for layer in found.layers] == [
        "certificates or contracts", level, "residual mix",
    ]  # fmt: skip
    assert [layer.ratio for layer in found.layers] == pytest.approx([0.5, 0.2, 0.3])
    assert any("is not told, so it is reckoned by the " + level in n for n in found.notes)
    assert "GO odd (2 kWh, DE 2026), its source is not told" in found.how


# --- what is shown beside -----------------------------------------------------------------------


def test_a_matching_claim_stands_beside_its_hours() -> None:
    annual = factor("gcp/x/cfe_annual_ratio", 1.0, unit="ratio")
    hourly = factor("gcp/x/cfe_hourly_ratio", 0.64, unit="ratio")
    (words,) = matching_claim("gcp", annual, hourly)
    assert "100 %" in words
    assert "64 %" in words
    assert "neither is a factor" in words
    assert "not told (none)" in matching_claim("gcp", annual, Missing("none"))[0]
    assert matching_claim("gcp", Missing("none"), hourly) == ()


def test_offsets_and_avoided_carbon_are_words() -> None:
    offset = claim(kind="offset", registry="Verra", carbon_g=2.5e6, energy_wh=0, year=2023)
    heat = claim(id="heat", kind="avoided", registry="", carbon_g=1e3, energy_wh=0)
    words = shown_apart([offset, claim(), heat])
    assert len(words) == 2
    assert "2500 kgCO2e, Verra, vintage 2023" in words[0]
    assert all("never subtracted" in word for word in words)
    assert "no registry" in words[1]


@pytest.mark.parametrize(
    ("energy_wh", "words"),
    [
        (0, "0 Wh"),
        (999, "999 Wh"),
        (1500, "1.5 kWh"),
        (999_999, "999.999 kWh"),
        (10**7, "10 MWh"),
        (10**12 + 1, "1000000.000001 MWh"),
    ],
)
def test_energy_of_claims_is_written_exactly(energy_wh: int, words: str) -> None:
    assert energy_words(energy_wh) == words


@pytest.mark.parametrize("kind", get_args(ClaimKind))
def test_each_kind_is_energy_or_shown_apart(kind: ClaimKind) -> None:
    one = claim(kind=kind)
    assert one.is_energy == (kind in ENERGY_KINDS) == (not shown_apart([one]))
