# SPDX-License-Identifier: Apache-2.0
"""Each gram is in exactly one scope, and all of them are the whole."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.carbon import NOT_COVERED, location_based
from submeter.accounting.scopes import PARTS, Arrangement, Contract, by_scope, rule, table
from submeter.records.figures import Missing
from submeter.settings.rules import ARRANGEMENTS
from tests.accounting.figures import (
    energies_j,
    factor,
    intensities,
    intensity,
    joules,
    known,
    kwh,
    located,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "carbon.md"
CONTRACTS = [
    Contract(overhead, cloud, telework)
    for overhead in ("landlord", "tenant")
    for cloud in ("service", "lease")
    for telework in (False, True)
]
# 100 kWh of machines and 20 kWh of overhead at 400 g (350 g direct) and 1/20 lost; 7 kg hardware
WHOLE_G = 120 * 400 / 0.95 + 7000
CASES = {
    ("own site", Contract()): {
        "scope 2": 120 * 350, "scope 3.2": 7000, "scope 3.3": 120 * 400 / 0.95 - 120 * 350,
    },
    ("colocation", Contract()): {
        "scope 2": 100 * 350, "scope 3.2": 7000, "scope 3.3": 100 * 400 / 0.95 - 100 * 350,
        "scope 3.8": 20 * 400 / 0.95,
    },
    ("colocation", Contract(overhead="tenant")): {
        "scope 2": 120 * 350, "scope 3.2": 7000, "scope 3.3": 120 * 400 / 0.95 - 120 * 350,
    },
    ("cloud customer", Contract()): {"scope 3.1": WHOLE_G},
    ("cloud customer", Contract(cloud="lease")): {"scope 3.8": WHOLE_G},
    ("home", Contract()): {"outside the inventory": WHOLE_G},
    ("home", Contract(telework=True)): {"scope 3.2": 7000, "scope 3.7": 120 * 400 / 0.95},
}  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), CASES.items(), ids=str)
def test_the_map_of_scopes(case: tuple[str, Contract], expected: dict[str, float]) -> None:
    found = by_scope(
        Arrangement(case[0]),
        located(kwh(100)),
        located(kwh(20)),
        embodied=joules(7000.0),
        contract=case[1],
    )
    assert {scope: amount.value for scope, amount in found.items()} == pytest.approx(expected)


@given(
    st.sampled_from(Arrangement), st.sampled_from(CONTRACTS), energies_j, energies_j, intensities,
    intensities, st.floats(0.0, 0.4), st.floats(0.0, 1e6), st.booleans(),
)  # fmt: skip
def test_each_gram_is_in_one_scope(
    arrangement: Arrangement, contract: Contract, it_j: float, over_j: float, lifecycle: float,
    direct: float, loss: float, hardware_g: float, split: bool,  # noqa: FBT001
) -> None:  # fmt: skip
    it, over = (
        located(joules(e), lifecycle, direct, loss)
        if split
        else location_based(
            joules(e),
            intensity(lifecycle),
            Missing("not told"),
            factor("loss", loss, unit="ratio") if loss else Missing("no loss known"),
        )
        for e in (it_j, over_j)
    )
    scopes = by_scope(arrangement, it, over, embodied=joules(hardware_g), contract=contract)
    whole = known(it.total).value + known(over.total).value + hardware_g
    assert math.fsum(a.value for a in scopes.values()) == pytest.approx(whole, rel=1e-12)
    if not split:
        assert "scope 2" not in scopes, "a lifecycle figure has entered Scope 2"


def test_a_lifecycle_figure_never_stands_in_scope_2() -> None:
    unsplit = location_based(kwh(1), intensity(400), Missing("x"), factor("t", 0.05, unit="ratio"))
    found = by_scope(Arrangement.OWN_SITE, unsplit)
    assert set(found) == {"scope 2 and scope 3.3", "scope 3.3"}
    assert found["scope 2 and scope 3.3"].value == pytest.approx(400)
    cloud = by_scope(Arrangement.CLOUD, unsplit)
    assert {k: v.value for k, v in cloud.items()} == {"scope 3.1": pytest.approx(400 / 0.95)}


def test_scope_2_holds_direct_emissions_alone() -> None:
    for arrangement in Arrangement:
        for contract in CONTRACTS:
            found = rule(arrangement, contract)
            for part in PARTS[1:3]:
                assert "scope 2" not in {found.it[part], found.overhead[part]}
            assert found.embodied != "scope 2"
            assert found.why


def test_arrangements_are_the_words_of_the_setting() -> None:
    assert tuple(Arrangement) == ARRANGEMENTS


def test_what_is_not_known_is_in_no_scope() -> None:
    nothing = location_based(Missing("?"), Missing("?"), Missing("?"), Missing("?"))
    assert by_scope(Arrangement.OWN_SITE, nothing, embodied=Missing("?")) == {}


def test_the_document_holds_the_map_and_what_is_not_covered() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert table() in text
    for words in NOT_COVERED:
        assert words in text
