# SPDX-License-Identifier: Apache-2.0
"""Amounts are linear: sums, products and scales in any order, with the doubts going along."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import HALF_NORMAL_95, NORMAL_95, Factor, Verified
from submeter.records.figures import Basis, ErrorTerm, Quantity

numbers = st.floats(1e-3, 1e6)


def factor(
    value: float = 2.0, ratio: float = 1.5, key: str = "grid", verified: Verified = "copy"
) -> Factor:
    return Factor(key, value, value / ratio, value * ratio, "", source=key, verified=verified)


def zero(high: float = 0.3, key: str = "wue") -> Factor:
    return Factor(key, 0.0, 0.0, high, "", verified="copy")


factors = st.one_of(
    st.builds(factor, numbers, st.floats(1.0, 5.0), st.sampled_from(["grid", "pue"])),
    st.builds(zero, st.floats(0.0, 5.0)),
)
quantities = st.builds(
    Quantity.of,
    st.floats(0.0, 1e6),
    basis=st.sampled_from(Basis),
    terms=st.lists(
        st.builds(
            ErrorTerm,
            source_key=st.sampled_from(["a", "b", "c"]),
            relative_sd=st.floats(0, 0.8),
            absolute_sd=st.floats(0, 5),
            shape=st.sampled_from(["normal", "uniform"]),
        ),
        max_size=3,
    ),
    bound_low=st.floats(0, 10),
    bound_high=st.floats(0, 10),
)
amounts = st.builds(Amount.of, quantities)


def same(a: Amount, b: Amount) -> None:
    """Equal to rounding, in value, split and interval."""
    assert a.value == pytest.approx(b.value, rel=1e-9)
    for basis in Basis:
        assert a.basis.get(basis, 0.0) == pytest.approx(b.basis.get(basis, 0.0), rel=1e-9)
    one, other = a.figure("x"), b.figure("x")
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-6, abs=1e-9)


@given(quantities)
def test_an_amount_of_a_quantity_is_that_quantity(quantity: Quantity) -> None:
    amount = Amount.of(quantity)
    assert amount.value == quantity.value
    assert amount.figure("J") == quantity.figure("J")
    for basis in Basis:
        assert amount.basis.get(basis, 0.0) == pytest.approx(quantity.basis.get(basis, 0.0))


@given(numbers, st.floats(0.001, 0.5), st.sampled_from(["normal", "uniform"]))
def test_a_relative_deviation_is_one_of_the_logarithm(
    value: float, relative_sd: float, shape: str
) -> None:
    term = msgspec.convert(
        {"source_key": "k", "relative_sd": relative_sd, "shape": shape}, ErrorTerm
    )
    figure = Quantity.of(value, basis=Basis.MEASURED, terms=[term]).figure("J")
    k = 1.6454 if shape == "uniform" else NORMAL_95
    reach = k * math.sqrt(math.log1p(relative_sd**2))
    assert figure.low == pytest.approx(value * math.exp(-reach), rel=1e-4)
    assert figure.high == pytest.approx(value * math.exp(reach), rel=1e-4)


def test_a_quantity_of_nothing_with_a_doubt_may_be_a_little_more() -> None:
    term = ErrorTerm("split", absolute_sd=2.0)
    figure = Quantity.of(0.0, basis=Basis.DERIVED, terms=[term]).figure("J")
    assert (figure.low, figure.value) == (0.0, 0.0)
    assert figure.high == pytest.approx(2.0 * HALF_NORMAL_95, rel=1e-4)


def test_a_quantity_without_a_split_rests_on_assumption_only() -> None:
    assert Amount.of(Quantity(value=10.0)).basis == {Basis.ASSUMED: 10.0}


@given(st.lists(amounts, max_size=6))
def test_a_sum_has_the_sum_of_the_values(parts: list[Amount]) -> None:
    whole = sum_amounts(parts)
    assert whole.value == pytest.approx(math.fsum(p.value for p in parts), rel=1e-12)
    assert whole.bound_high == math.fsum(p.bound_high for p in parts)
    assert math.fsum(whole.basis.values()) == pytest.approx(whole.value, rel=1e-12)


@given(st.lists(amounts, min_size=1, max_size=4), factors)
def test_times_is_linear(parts: list[Amount], row: Factor) -> None:
    same(sum_amounts(parts).times(row), sum_amounts(p.times(row) for p in parts))


@given(amounts, factors, factors)
def test_factors_commute(amount: Amount, a: Factor, b: Factor) -> None:
    same(amount.times(a).times(b), amount.times(b).times(a))


@given(st.lists(amounts, min_size=1, max_size=4), st.floats(1e-6, 1e6))
def test_a_scaled_amount_has_the_scaled_figure(parts: list[Amount], ratio: float) -> None:
    amount = sum_amounts(parts)
    once, scaled = amount.figure("J"), amount.scaled(ratio).figure("J")
    assert scaled.value == pytest.approx(once.value * ratio, rel=1e-12)
    assert (scaled.low, scaled.high) == pytest.approx((once.low * ratio, once.high * ratio))


@given(amounts, numbers)
def test_an_exact_amount_shifts_the_figure(amount: Amount, more: float) -> None:
    unsure = msgspec.structs.replace(amount, bound_low=0.0)
    once = unsure.figure("J")
    shifted = sum_amounts([unsure, Amount.exact(more, Basis.DERIVED)]).figure("J")
    assert shifted.value == pytest.approx(once.value + more)
    assert (shifted.low, shifted.high) == pytest.approx((once.low + more, once.high + more))


@given(amounts, factors)
def test_a_figure_holds_its_value_and_never_crosses_zero(amount: Amount, row: Factor) -> None:
    figure = sum_amounts([amount, amount.times(row)]).figure("x")
    assert 0 <= figure.low <= figure.value <= figure.high < math.inf


@given(st.sampled_from(Basis), st.sampled_from(["copy", "live", "assumed"]))
def test_a_product_rests_on_the_weaker(basis: Basis, verified: Verified) -> None:
    made = Amount.exact(3.0, basis).times(factor(verified=verified))
    weaker = max(
        basis,
        Basis.ASSUMED if verified == "assumed" else Basis.DERIVED,
        key=list(Basis).index,
    )
    assert made.basis == {weaker: 6.0}


@given(amounts, numbers, numbers, st.floats(1.0, 5.0))
def test_more_of_a_factor_is_more_of_the_amount(
    amount: Amount, a: float, b: float, ratio: float
) -> None:
    less, more = (amount.times(factor(x, ratio)).figure("g") for x in sorted((a, b)))
    assert less.value <= more.value * (1 + 1e-12)
    assert less.low <= more.low * (1 + 1e-9)
    assert less.high <= more.high * (1 + 1e-9)


def test_one_factor_doubts_all_that_it_touches_together() -> None:
    parts = [Amount.exact(1.0, Basis.MEASURED).times(factor(1.0, 2.0, "grid")) for _ in range(4)]
    figure = sum_amounts(parts).figure("g")
    assert (figure.low, figure.high) == pytest.approx((2.0, 8.0), rel=1e-4)
    apart = [
        Amount.exact(1.0, Basis.MEASURED).times(factor(1.0, 2.0, f"grid:{i}")) for i in range(4)
    ]
    narrow = sum_amounts(apart).figure("g")
    assert 2.6 < narrow.low < narrow.high < 6.4


def test_a_factor_of_zero_adds_nothing_but_what_may_be() -> None:
    once = Amount.exact(10.0, Basis.MEASURED).times(zero(0.3)).figure("L")
    assert (once.value, once.low) == (0.0, 0.0)
    assert once.high == pytest.approx(3.0, rel=1e-4)
    none = Amount.exact(10.0, Basis.MEASURED).times(zero(0.0)).figure("L")
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_two_factors_of_zero_may_both_be_more() -> None:
    twice = Amount.exact(10.0, Basis.MEASURED).times(zero(0.3)).times(zero(0.5, "grid"))
    assert twice.value == 0
    # 2.782: 97.5 % quantile of |Z1 Z2|, of 4 million draws
    drawn = 10 * 0.3 * 0.5 / HALF_NORMAL_95**2 * 2.782
    assert drawn < twice.figure("g").high < 1.15 * drawn


@given(st.lists(amounts, min_size=1, max_size=4), factors)
def test_shares_of_variance_sum_to_one(parts: list[Amount], row: Factor) -> None:
    shares = sum_amounts(parts).times(row).shares_of_variance()
    assert all(share > 0 for share in shares.values())
    assert not shares or math.fsum(shares.values()) == pytest.approx(1.0)


@given(amounts, factors)
def test_an_amount_survives_its_json(amount: Amount, row: Factor) -> None:
    made = amount.times(row)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Amount) == made
