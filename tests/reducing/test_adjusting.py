# SPDX-License-Identifier: Apache-2.0
"""Runs that were not paired are compared at equal surroundings."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reducing.adjusting import compare


def test_without_surroundings_it_is_the_t_test_of_two_samples() -> None:
    from scipy.stats import ttest_ind

    chance = random.Random(1)  # noqa: S311
    a = [chance.lognormvariate(3, 0.05) for _ in range(7)]
    b = [chance.lognormvariate(2.9, 0.05) for _ in range(5)]
    found = compare(a, b, {}).evidence
    truth = ttest_ind(np.log(b), np.log(a)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high), rel=1e-9)


def test_slopes_and_intervals_are_those_of_least_squares() -> None:
    chance = random.Random(2)  # noqa: S311
    n_a, n_b = 9, 8
    warm = [chance.uniform(40, 80) for _ in range(n_a + n_b)]
    flags = [0] * n_a + [1] * n_b
    logs = [
        2 + 0.004 * w - 0.1 * f + chance.gauss(0, 0.01) for w, f in zip(warm, flags, strict=True)
    ]
    energies = [math.exp(y) for y in logs]
    found = compare(energies[:n_a], energies[n_a:], {"temperature_c": (warm[:n_a], warm[n_a:])})
    x = np.column_stack([np.ones(n_a + n_b), flags, np.array(warm) - np.mean(warm)])
    slopes = np.linalg.lstsq(x, np.array(logs), rcond=None)[0]
    assert found.evidence.mean == pytest.approx(slopes[1], rel=1e-9)
    assert found.terms["temperature_c"] == pytest.approx(slopes[2], rel=1e-9)
    assert found.evidence.low < -0.1 < found.evidence.high
    assert 0 < found.cv_rmse_ratio < 0.03
    assert abs(found.nmbe_ratio) < 0.01


def test_a_hot_room_is_not_sold_as_a_saving() -> None:
    chance = random.Random(4)  # noqa: S311
    hot = [chance.uniform(70, 80) for _ in range(10)]
    mild = [chance.uniform(50, 72) for _ in range(10)]
    a = [100 * math.exp(0.005 * t) * chance.lognormvariate(0, 0.01) for t in hot]
    b = [100 * math.exp(0.005 * t) * chance.lognormvariate(0, 0.01) for t in mild]
    crude = compare(a, b, {}).evidence
    adjusted = compare(a, b, {"temperature_c": (hot, mild)}).evidence
    assert crude.high < 0  # a saving, so it seems
    assert adjusted.low < 0 < adjusted.high


def test_what_tells_the_sides_apart_cannot_be_adjusted_for() -> None:
    found = compare([1.0, 1.1, 0.9] * 4, [0.8, 0.9, 0.7] * 4, {"x": ([1.0] * 12, [2.0] * 12)})
    assert found.left_out == {"x": "it differs just as the two sides do"}
    assert found.evidence.high < 0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (([5.0] * 6, [5.0] * 6), "did not vary"),
        (([5.0] * 5 + [math.nan], [6.0] * 6), "not known"),
    ],
)
def test_what_is_of_no_use_is_left_out_and_said(
    values: tuple[list[float], list[float]], why: str
) -> None:
    found = compare([1.0, 1.1, 0.9, 1, 1, 1.2], [0.8] * 5 + [0.9], {"x": values})
    assert why in found.left_out["x"]


def test_one_run_on_each_side_says_nothing() -> None:
    found = compare([2.0], [1.0], {}).evidence
    assert found.mean == pytest.approx(math.log(0.5))
    assert math.isinf(found.high)


@given(st.floats(0.01, 100), st.integers(3, 8))
def test_a_scale_common_to_all_changes_nothing(scale: float, n: int) -> None:
    a = [1 + 0.01 * i for i in range(n)]
    b = [0.9 + 0.013 * i for i in range(n)]
    one = compare(a, b, {}).evidence
    other = compare([scale * e for e in a], [scale * e for e in b], {}).evidence
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-7)
