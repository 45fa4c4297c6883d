# SPDX-License-Identifier: Apache-2.0
"""Laws of two amounts beside each other."""

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from submeter.comparing.differences import Change, Known, change, renamed
from submeter.records.amounts import Amount, Term
from submeter.records.figures import Basis, Missing

values = st.floats(1e-3, 1e9)
sds = st.dictionaries(st.sampled_from("abcd"), st.floats(0.001, 0.8), max_size=3)


@st.composite
def amounts(draw: st.DrawFn) -> Amount:
    terms = tuple(
        Term(draw(values), Basis.MEASURED, draw(sds)) for _ in range(draw(st.integers(1, 3)))
    )
    whole = math.fsum(t.value for t in terms)
    bounds = [whole * draw(st.floats(0, 0.3)) for _ in range(2)]
    uniform = frozenset(draw(st.sets(st.sampled_from("abcd"), max_size=2)))
    return Amount(terms, bounds[0], bounds[1], uniform)


def found(before: Amount, after: Amount) -> Change:
    made = change(Known(before), Known(after))
    assert isinstance(made, Change)
    return made


def one(value: float, **log_sds: float) -> Amount:
    return Amount((Term(value, Basis.MEASURED, log_sds),))


@given(amounts())
def test_an_amount_beside_itself_is_the_same(amount: Amount) -> None:
    made = found(amount, amount)
    assert made.same
    assert (made.ratio, made.ratio_low, made.ratio_high) == (1, 1, 1)
    assert made.difference == made.difference_low == made.difference_high == 0
    assert not made.distinguishable


@given(amounts(), amounts())
def test_the_reversed_order_gives_the_inverse_ratio(a: Amount, b: Amount) -> None:
    assume(a != b)
    there, back = found(a, b), found(b, a)
    assert there.ratio * back.ratio == pytest.approx(1)
    if there.ratio_low > 0:
        assert there.ratio_low * back.ratio_high == pytest.approx(1)
    else:
        assert math.isinf(back.ratio_high)
    assert there.distinguishable == back.distinguishable
    assert there.difference == -back.difference


@given(amounts(), amounts())
def test_the_ratio_lies_in_its_interval(a: Amount, b: Amount) -> None:
    made = found(a, b)
    assert made.ratio_low <= made.ratio * (1 + 1e-12)
    assert made.ratio_high >= made.ratio * (1 - 1e-12)


@given(amounts(), st.floats(0.01, 100))
def test_what_is_a_multiple_has_a_ratio_without_doubt(a: Amount, ratio: float) -> None:
    assume(abs(ratio - 1) > 1e-6)
    exact = Amount(a.terms, uniform=a.uniform)
    made = found(exact, exact.scaled(ratio))
    assert made.ratio_low == pytest.approx(ratio)
    assert made.ratio_high == pytest.approx(ratio)
    assert made.distinguishable


@given(amounts(), amounts())
def test_doubts_of_other_names_never_make_an_interval_narrower_than_none_shared(
    a: Amount, b: Amount
) -> None:
    """Independent doubts: the interval of the ratio holds that of either alone."""
    own = renamed(b, lambda key: f"{key} of b")
    assume(a.value != own.value)
    apart = found(a, own)
    alone = found(Amount((Term(a.value, Basis.MEASURED),), a.bound_low, a.bound_high), own)
    assert apart.ratio_low <= alone.ratio_low * (1 + 1e-9)
    assert apart.ratio_high >= alone.ratio_high * (1 - 1e-9) or math.isinf(alone.ratio_high)


def test_a_shared_gain_cancels_and_an_own_one_does_not() -> None:
    a, b = one(100, gain=0.1), one(105, gain=0.1)
    assert found(a, b).distinguishable
    apart = found(a, renamed(b, lambda key: f"{key} elsewhere"))
    assert not apart.distinguishable
    reach = 1.959964 * 0.1 * math.sqrt(2)
    assert apart.ratio_high == pytest.approx(1.05 * math.exp(reach))


def test_what_is_only_a_lower_bound_opens_the_interval_upwards() -> None:
    a, b = one(1.0, a=0.01), one(50.0, b=0.01)
    made = change(Known(a), Known(b, least=True))
    assert isinstance(made, Change)
    assert made.distinguishable
    assert math.isinf(made.ratio_high)
    assert made.ratio_low > 40
    back = change(Known(b, least=True), Known(a))
    assert isinstance(back, Change)
    assert back.ratio_low == 0
    assert back.distinguishable
    unknown = change(Known(a, least=True), Known(b))
    assert isinstance(unknown, Change)
    assert not unknown.distinguishable


def test_nobody_knows_how_far_a_vague_one_is_off() -> None:
    made = change(Known(one(1.0)), Known(one(50.0), vague=True))
    assert isinstance(made, Change)
    assert not made.distinguishable


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (1.0, 0.0)])
def test_there_is_no_ratio_to_nothing(a: float, b: float) -> None:
    assert isinstance(change(Known(one(a)), Known(one(b))), Missing)


def test_a_missing_side_says_why() -> None:
    why = Missing("lost")
    assert change(Known(why), Known(one(1.0))) == why
    assert change(Known(one(1.0)), Known(why)) == why


@pytest.mark.parametrize("shape", ["normal", "uniform"])
@pytest.mark.parametrize("true_ratio", [1.0, 1.1, 1.3])
def test_the_interval_of_two_independent_meters_holds_the_true_ratio_as_often_as_it_says(
    true_ratio: float, shape: str
) -> None:
    """Two meters with gains of their own: 95 % of the intervals hold the ratio of the truths."""
    chance = random.Random(7)  # noqa: S311  # of a simulation
    sd, count, held, false_alarms = 0.05, 4000, 0, 0

    def gain() -> float:
        z = (
            chance.uniform(-math.sqrt(3), math.sqrt(3))
            if shape == "uniform"
            else chance.gauss(0, 1)
        )
        return math.exp(sd * z)

    for _ in range(count):
        read_a, read_b = 100 * gain(), 100 * true_ratio * gain()
        keys = frozenset({"a", "b"}) if shape == "uniform" else frozenset()
        a = Amount((Term(read_a, Basis.MEASURED, {"a": sd}),), uniform=keys)
        b = Amount((Term(read_b, Basis.MEASURED, {"b": sd}),), uniform=keys)
        made = found(a, b)
        held += made.ratio_low <= true_ratio <= made.ratio_high
        false_alarms += made.distinguishable
    assert held / count == pytest.approx(0.95, abs=0.012)
    if true_ratio == 1:
        assert false_alarms / count == pytest.approx(0.05, abs=0.012)


def test_a_true_difference_of_independent_meters_is_found() -> None:
    """Power: a difference of 3.6 standard deviations is found in 95 of 100 pairs."""
    chance = random.Random(11)  # noqa: S311  # of a simulation
    sd, count = 0.03, 3000
    true = math.exp((1.959964 + 1.644854) * sd * math.sqrt(2))
    hits = 0
    for _ in range(count):
        a = one(100 * math.exp(sd * chance.gauss(0, 1)), a=sd)
        b = one(100 * true * math.exp(sd * chance.gauss(0, 1)), b=sd)
        hits += found(a, b).ratio_low > 1
    assert hits / count == pytest.approx(0.95, abs=0.012)


def test_a_shared_gain_of_one_meter_hides_no_difference() -> None:
    """Runs on one sensor whose gain is far off: a difference of 2 % is still found, every time."""
    chance = random.Random(13)  # noqa: S311  # of a simulation
    for _ in range(200):
        gain = math.exp(0.2 * chance.gauss(0, 1))
        made = found(one(100 * gain, gain=0.2), one(102 * gain, gain=0.2))
        assert made.distinguishable
        assert made.ratio == pytest.approx(1.02)
