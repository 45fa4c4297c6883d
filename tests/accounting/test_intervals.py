# SPDX-License-Identifier: Apache-2.0
"""Closed-form intervals agree with Monte-Carlo on random footprints: docs/intervals.md."""

import msgspec
import numpy as np
import pytest

from benchmarks import intervals

BLOCK = 20


@pytest.mark.parametrize("first", range(0, intervals.FOOTPRINTS, BLOCK))
def test_both_ends_agree_with_monte_carlo_within_a_twentieth_of_the_width(first: int) -> None:
    rows = [
        row
        for i in range(first, first + BLOCK)
        for row in intervals.rows_of(intervals.SEED + i, intervals.DRAWS)
    ]
    assert len(rows) == BLOCK * len(intervals.FIGURES)
    assert [r for r in rows if r.worst > intervals.BAR_RATIO] == []


def test_the_random_footprints_are_nasty() -> None:
    """Zeros, wide and narrow, few terms and hundreds, doubts shared and not."""
    made = [intervals.footprint(intervals.SEED + i, n=2) for i in range(intervals.FOOTPRINTS)]
    waters = [m["water on the site"].amount for m in made]
    assert sum(w.value == 0 for w in waters) > 20
    assert sum(m["carbon"].amount.value == 0 for m in made) > 5
    assert sum(m["facility"].bound > 0 for m in made) > 50
    sizes = [len(m["carbon"].amount.terms) for m in made]
    assert min(sizes) <= 2
    assert max(sizes) > 300
    leading = [next(iter(m["carbon"].amount.shares_of_variance().values())) for m in made]
    assert min(leading) < 0.4
    assert max(leading) > 0.95


def test_doubts_that_are_shared_but_not_said_to_be_miss_the_bar() -> None:
    """The bar can be missed: as soon as each term has doubts of its own, it is."""
    missed = 0
    for i in range(10):
        amount, drawn, bound = intervals.footprint(intervals.SEED + i, n=10_000)["carbon"]
        apart = tuple(
            msgspec.structs.replace(t, log_sds={f"{k}/{n}": sd for k, sd in t.log_sds.items()})
            for n, t in enumerate(amount.terms)
        )
        figure = msgspec.structs.replace(amount, terms=apart).figure("g")
        low, high = np.quantile(drawn, (0.025, 0.975)) + np.array((-bound, bound))
        worst = max(abs(figure.low - low), abs(figure.high - high)) / (high - low)
        missed += worst > 2 * intervals.BAR_RATIO
    assert missed >= 7
