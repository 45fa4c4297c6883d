# SPDX-License-Identifier: Apache-2.0
"""Repetitions: means, Student's quantiles, and intervals that hold as often as they say."""

import math
import random

import pytest
from scipy import stats

from submeter.comparing.families import corrected
from submeter.comparing.spreads import mean_reach, repeated, student_95, welch
from submeter.records.amounts import Amount
from submeter.records.figures import Basis, Missing


@pytest.mark.parametrize("df", [1, 2, 3, 5, 9, 10, 11, 15, 30, 100, 1000])
def test_quantiles_of_student_are_those_of_the_tables(df: int) -> None:
    assert student_95(df) == pytest.approx(stats.t.ppf(0.975, df), rel=2e-4)


@pytest.mark.parametrize("df", [1.3, 2.5, 4.7, 9.5])
def test_between_whole_degrees_they_are_near_and_never_too_small(df: float) -> None:
    assert 0.999 <= student_95(df) / stats.t.ppf(0.975, df) <= 1.08


def test_one_value_tells_no_spread() -> None:
    assert math.isinf(mean_reach([3.0]))
    assert math.isinf(student_95(0))
    assert welch([1.0], [2.0]) == (1.0, math.inf)


def test_the_difference_of_means_is_that_of_welch() -> None:
    a, b = [1.0, 1.4, 0.9, 1.2], [2.0, 2.9, 1.8, 2.2, 2.6]
    value, reach = welch(a, b)
    test = stats.ttest_ind(b, a, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert value == pytest.approx((interval.low + interval.high) / 2)
    assert reach == pytest.approx((interval.high - interval.low) / 2, rel=0.02)


def test_repetitions_give_a_mean_whose_interval_holds_the_truth_19_times_of_20() -> None:
    chance = random.Random(3)  # noqa: S311  # of a simulation
    held, count = 0, 1500
    for _ in range(count):
        runs = [Amount.exact(100 * math.exp(0.05 * chance.gauss(0, 1)), Basis.MEASURED)
                for _ in range(4)]  # fmt: skip
        mean = repeated(runs, "group")
        assert isinstance(mean, Amount)
        figure = mean.figure("J")
        held += figure.low <= 100 * math.exp(0.05**2 / 2) <= figure.high
    assert held / count == pytest.approx(0.95, abs=0.02)


def test_one_run_is_its_own_mean_and_a_missing_one_spoils_it() -> None:
    run = Amount.exact(3.0, Basis.MEASURED)
    assert repeated([run], "x") is run
    why = Missing("lost")
    assert repeated([run, why], "x") == why


def test_folds_overlap_so_their_interval_is_wider_than_that_of_independent_ones() -> None:
    folds = [0.95, 0.97, 0.96, 0.94, 0.98]
    value, reach = corrected(folds)
    assert value == pytest.approx(0.96)
    assert reach == pytest.approx(mean_reach(folds) * math.sqrt(1 + 5 / 4))
    assert corrected([0.9])[1] == math.inf
