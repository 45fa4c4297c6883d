# SPDX-License-Identifier: Apache-2.0
"""Spreads from few: Student's quantile, and how independent doubts add."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from submeter.estimating.spreads import NORMAL_90, Spread, student_90, together

SPREADS = st.builds(Spread, st.floats(0.01, 3), st.floats(2, 1000) | st.just(math.inf))


@given(st.floats(2, 1e6))
def test_the_quantile_is_that_of_scipy(df: float) -> None:
    assert student_90(df) == pytest.approx(t.ppf(0.95, df), rel=5e-3)


def test_what_is_known_is_normal_and_less_than_two_degrees_count_as_two() -> None:
    assert student_90(math.inf) == pytest.approx(NORMAL_90)
    assert Spread(0.3).normal_sd == pytest.approx(0.3)
    assert student_90(1) == student_90(2)


@given(st.lists(SPREADS, min_size=1, max_size=5))
def test_doubts_add_as_squares_and_their_degrees_lie_between_the_least_and_the_sum(
    parts: list[Spread],
) -> None:
    both = together(*parts)
    assert both.sd == pytest.approx(math.hypot(*(part.sd for part in parts)))
    least, most = min(part.df for part in parts), math.fsum(part.df for part in parts)
    assert both.df >= least * (1 - 1e-9)
    assert both.df <= most * (1 + 1e-9) or math.isinf(most)
    assert both.normal_sd <= math.hypot(*(part.normal_sd for part in parts)) * 1.01


@given(SPREADS)
def test_one_doubt_alone_is_itself(spread: Spread) -> None:
    alone = together(spread)
    assert alone.sd == pytest.approx(spread.sd)
    assert alone.df == pytest.approx(spread.df)
