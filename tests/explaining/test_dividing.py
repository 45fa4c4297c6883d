# SPDX-License-Identifier: Apache-2.0
"""Parts sum to their whole, to the last bit, whatever they were."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.explaining.dividing import Draft, divided, exactly, sums
from submeter.records.amounts import Amount, Term
from submeter.records.explanations import UNATTRIBUTED, Branch
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity

JOULES = st.floats(0.0, 1e12, allow_nan=False) | st.floats(0.0, 1e-3, allow_nan=False)


def amount(value: float, key: str = "gain") -> Amount:
    terms = (ErrorTerm(key, relative_sd=0.05),)
    return Amount.of(Quantity.of(value, basis=Basis.MEASURED, terms=terms))


@given(st.floats(1e-6, 1e13), st.lists(JOULES, max_size=60))
def test_parts_sum_to_their_whole(whole: float, parts: list[float]) -> None:
    drafts = [Draft(f"p{i}", "phase", amount(v, f"k{i}")) for i, v in enumerate(parts)]
    found = divided(amount(whole), drafts)
    assert math.fsum(b.energy.value for b in found if isinstance(b.energy, Amount)) == whole
    assert all(isinstance(b.energy, Amount) and b.energy.value >= 0 for b in found)


@given(
    st.floats(1e-3, 1e12),
    st.lists(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5), min_size=1, max_size=6),
)
def test_levels_within_levels_sum(whole: float, tree: list[list[float]]) -> None:
    def inner(shares: list[float]) -> Draft:
        part = whole * sum(shares) / (1 + sum(map(sum, tree)))
        return Draft(
            "outer",
            "phase",
            amount(part),
            lambda w: divided(w, [Draft("inner", "layer", w.scaled(s / 5)) for s in shares]),
        )

    children = divided(amount(whole), [inner(shares) for shares in tree])
    assert sums(Branch("root", "wall", amount(whole), children))


@given(
    st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=8),
    st.floats(1e-9, 1e12),
)
def test_an_amount_is_brought_to_any_value_exactly(terms: list[float], value: float) -> None:
    made = Amount(tuple(Term(v, Basis.DERIVED, {f"k{i}": 0.1}) for i, v in enumerate(terms)))
    assert exactly(made, value).value == value


def test_what_is_left_gets_a_name() -> None:
    found = divided(amount(10.0), [Draft("train", "phase", amount(7.0))])
    assert [(b.name, b.energy.value) for b in found if isinstance(b.energy, Amount)] == [
        ("train", 7.0),
        (UNATTRIBUTED, 3.0),
    ]


def test_rounding_is_nobodys_branch() -> None:
    drafts = [Draft(str(i), "phase", amount(0.1)) for i in range(10)]
    found = divided(amount(math.nextafter(1.0, 2.0)), drafts)
    assert len(found) == 10


def test_more_than_the_whole_becomes_shares_of_it() -> None:
    found = divided(
        amount(3.0), [Draft("a", "layer", amount(4.0)), Draft("b", "layer", amount(2.0))]
    )
    assert [b.energy.value for b in found if isinstance(b.energy, Amount)] == pytest.approx([2, 1])


def test_the_missing_counts_nothing_and_stays() -> None:
    drafts = [Draft("gone", "device", Missing("lost")), Draft("here", "device", amount(2.0))]
    found = divided(amount(2.0), drafts)
    assert [b.name for b in found] == ["gone", "here"]
    assert found[0].energy == Missing("lost")


def test_a_part_keeps_its_doubt() -> None:
    (found,) = divided(amount(5.0), [Draft("all", "phase", amount(5.0, "own"))])
    assert isinstance(found.energy, Amount)
    figure = found.energy.figure("J")
    assert (figure.low, figure.high) == pytest.approx((4.53, 5.51), abs=0.05)
