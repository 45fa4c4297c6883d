# SPDX-License-Identifier: Apache-2.0
"""Footprints and amounts as an interactive session shows them: short, and true."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.published import published_run
from submeter.circumstances.reckoning import reckon
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.footprints import Carbon, Footprint, Money, Water
from submeter.units import J_PER_KWH

MOST_LINES = 8


def footprint(energy_kwh: float = 5000.0) -> Footprint:
    return reckon(published_run(name="a run", energy_kwh=energy_kwh, scope="it", zone="DE"))


@given(st.floats(1e-3, 1e12), st.floats(0.001, 0.5))
def test_an_amount_shows_value_and_interval_and_no_terms(value: float, relative_sd: float) -> None:
    amount = Amount.of(
        Quantity.of(value, basis=Basis.MEASURED, terms=(ErrorTerm("x", relative_sd),))
    ).times(Factor("pue", 1.4, 1.1, 2.0, "ratio"))
    found = re.fullmatch(r"Amount\((\S+) \((\S+) – (\S+)\)\)", repr(amount))
    assert found is not None, repr(amount)
    figure = amount.figure("J")
    ends = (figure.value, figure.low, figure.high)
    assert [float(x) for x in found.groups()] == pytest.approx(ends, rel=1e-3)
    assert repr(amount) == f"Amount({amount})"


def test_an_amount_without_doubt_is_its_value() -> None:
    assert str(Amount.exact(12.5, Basis.DERIVED)) == "12.5"
    assert str(Amount.exact(0.0, Basis.DERIVED)) == "0"
    assert Amount.exact(7.2e6, Basis.DERIVED).written(J_PER_KWH) == "2"


def test_a_footprint_is_a_few_lines_with_the_figures_that_it_holds() -> None:
    made = footprint()
    text = str(made)
    assert len(text.splitlines()) <= MOST_LINES
    assert max(map(len, text.splitlines())) <= 100
    assert isinstance(made.facility, Amount)
    assert isinstance(made.carbon.location, Amount)
    assert f"energy at the wall  {made.facility.value / J_PER_KWH:.4g} kWh (" in text
    assert f"carbon by location  {made.carbon.location.value / 1e6:.4g} t CO2e (" in text
    assert "Footprint of Germany" in text
    (line,) = repr(made).splitlines()
    assert len(line) <= 160
    assert line.endswith("by location, Germany>")


@pytest.mark.parametrize(
    ("energy_kwh", "unit"), [(5e-9, "J"), (5e-3, "Wh"), (5.0, "kWh"), (5e7, "kWh")]
)
def test_energy_is_in_a_unit_that_suits_it(energy_kwh: float, unit: str) -> None:
    assert re.search(rf"wall  [\d.e+-]+ {unit} \(", str(footprint(energy_kwh)))


def test_what_is_missing_says_why_and_what_was_not_reckoned_nothing() -> None:
    lost = Missing("the counter was lost")
    made = Footprint(devices=lost, node=lost, it=lost, facility=lost, unknown=("GPU 0",))
    assert str(made) == (
        "Footprint, a lower bound: without GPU 0\n  energy at the wall  — (the counter was lost)"
    )
    assert "— (the counter was lost) at the wall" in repr(made)


def test_its_parts_show_no_terms_either() -> None:
    made = footprint()
    for part in (made.carbon, made.water, made.money):
        assert isinstance(part, Carbon | Water | Money)
        assert "Term(" not in repr(part)
        assert "log_sds" not in repr(part)
