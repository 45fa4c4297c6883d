# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of doubt: sums and factors."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.records.figures import Basis, ErrorTerm, Figure, Quantity, Spread, total
from submeter.records.runs import Run

amounts = st.floats(0.0, 1e9, allow_nan=False)
terms = st.builds(
    ErrorTerm,
    source_key=st.sampled_from(["a", "b", "c"]),
    relative_sd=st.floats(0, 1),
    shape=st.sampled_from(["normal", "uniform"]),
)
quantities = st.builds(
    Quantity.of,
    amounts,
    basis=st.sampled_from(Basis),
    terms=st.lists(terms, max_size=3),
    bound_low=st.floats(0, 10),
    bound_high=st.floats(0, 10),
)


@given(st.lists(quantities, max_size=8))
def test_a_sum_has_the_sum_of_the_values_and_of_their_basis(parts: list[Quantity]) -> None:
    whole = total(parts)
    assert whole.value == math.fsum(p.value for p in parts)
    assert math.fsum(whole.basis.values()) == pytest.approx(whole.value, rel=1e-12)
    assert whole.bound_low == pytest.approx(math.fsum(p.bound_low for p in parts))


@given(quantities, quantities)
def test_a_sum_is_at_least_as_sure_as_its_parts_in_line(a: Quantity, b: Quantity) -> None:
    assert total([a, b]).sd <= a.sd + b.sd + 1e-6 * (a.sd + b.sd)


def test_equal_sources_add_linearly_and_different_ones_in_quadrature() -> None:
    def board(key: str) -> Quantity:
        return Quantity.of(100.0, basis=Basis.MEASURED, terms=(ErrorTerm(key, 0.03),))

    assert total([board("x"), board("x")]).sd == pytest.approx(6.0)
    assert total([board("x"), board("y")]).sd == pytest.approx(math.sqrt(18.0))


@given(quantities, st.floats(0, 10))
def test_scaling_scales_everything(q: Quantity, factor: float) -> None:
    scaled = q.scaled(factor)
    assert scaled.value == q.value * factor
    assert scaled.sd == pytest.approx(q.sd * factor)


@given(quantities)
def test_a_figure_encloses_its_value_and_never_crosses_zero(q: Quantity) -> None:
    figure = q.figure("J")
    assert 0 <= figure.low <= figure.value <= figure.high
    if q.value > 0:
        assert math.fsum(figure.basis_shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shares", "basis"),
    [
        ({Basis.MEASURED: 0.85, Basis.ASSUMED: 0.15}, Basis.MEASURED),
        ({Basis.MEASURED: 0.70, Basis.MODELLED: 0.30}, Basis.MODELLED),
        ({Basis.MODELLED: 0.56, Basis.ASSUMED: 0.44}, Basis.ASSUMED),
        ({}, Basis.ASSUMED),
    ],
)
def test_the_weakest_fifth_names_the_whole(shares: dict[Basis, float], basis: Basis) -> None:
    assert Figure(1.0, 1.0, 1.0, "J", basis_shares=shares).basis is basis


def test_only_an_energy_is_shown_in_kilowatt_hours() -> None:
    assert Figure(3.6e6, 3e6, 4e6, "J").kwh == 1.0
    with pytest.raises(ValueError, match="not an energy"):
        _ = Figure(1.0, 1.0, 1.0, "s").kwh


@given(st.lists(quantities, min_size=1, max_size=3))
def test_a_run_survives_its_json(parts: list[Quantity]) -> None:
    run = Run(
        id="x",
        origin="measured",
        status="finished",
        started_utc="2026-11-23T00:00:00Z",
        duration_s=1.0,
        outside_phases=total(parts),
    )
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run


def test_a_spread_of_an_older_document_still_decodes() -> None:
    old = b'{"source_key":"pue","sd":2.0,"shape":"normal","part":null}'
    assert msgspec.json.decode(old, type=Spread) == Spread("pue", 2.0)
