# SPDX-License-Identifier: Apache-2.0
"""Intervals of pairs hold what they promise, for one look and for many."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.reducing import evidence, student

NOISE = 0.03  # relative, of one run


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 13, 40, 400, 2.5])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9995])
def test_quantiles_are_those_of_scipy(freedom: float, probability: float) -> None:
    from scipy.stats import t

    assert student.quantile(probability, freedom) == pytest.approx(
        t.ppf(probability, freedom), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize(("shift", "freedom"), [(0.0, 5), (1.0, 1), (3.4, 7), (4.5, 13), (2, 60)])
def test_power_is_that_of_scipys_noncentral_t(shift: float, freedom: int) -> None:
    from scipy.stats import nct

    critical = student.quantile(0.975, freedom)
    truth = nct.sf(critical, freedom, shift) + nct.cdf(-critical, freedom, shift)
    assert student.chance_to_pass(shift, freedom, critical) == pytest.approx(truth, abs=2e-4)


def paired(chance: random.Random, pairs: int, ratio: float) -> list[float]:
    """Log ratios of runs that scatter by `NOISE`, on a machine that drifts under them."""
    drift, out = 0.0, []
    for _ in range(pairs):
        order = chance.random() < 0.5
        energies = []
        for _ in range(2):
            drift += chance.gauss(0.002, 0.003)  # it warms up, and its neighbours come and go
            energies.append(math.exp(drift) * chance.lognormvariate(0, NOISE))
        a, b = energies if order else energies[::-1]
        out.append(math.log(b * ratio / a))
    return out


def test_peeking_after_each_of_thirty_pairs_errs_at_most_once_in_twenty() -> None:
    chance = random.Random(11)  # noqa: S311
    wrong = 0
    for _ in range(1000):
        differences = paired(chance, 30, 1.0)
        found = evidence.of_pairs(differences, "always")  # the intersection remembers each look
        wrong += not found.low <= 0 <= found.high
    assert wrong <= 50


def test_one_look_holds_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(12)  # noqa: S311
    held = 0
    for _ in range(1000):
        found = evidence.of_pairs(paired(chance, 6, 0.9), "fixed")
        held += found.low <= math.log(0.9) <= found.high
    assert 930 <= held <= 968


@pytest.mark.parametrize(("pairs", "at_least"), [(8, 0.80), (14, 0.95)])
def test_a_true_saving_of_five_per_cent_is_found(pairs: int, at_least: float) -> None:
    chance = random.Random(13)  # noqa: S311
    shown = 0
    for _ in range(1000):
        differences = [
            math.log(0.95 * chance.lognormvariate(0, NOISE) / chance.lognormvariate(0, NOISE))
            for _ in range(pairs)
        ]
        shown += evidence.of_pairs(differences, "fixed").high < 0
    assert shown / 1000 >= at_least


def test_what_could_have_been_shown_agrees_with_how_many_pairs_it_takes() -> None:
    sd = NOISE * math.sqrt(2)
    assert evidence.pairs_needed(0.05, sd, "fixed") == 8
    for mode in ("fixed", "always"):
        for pairs in (5, 8, 20):
            least = evidence.minimum_detectable_saving(sd, pairs, mode)
            needed = evidence.pairs_needed(least * 1.0001, sd, mode)
            assert needed is not None
            assert needed <= pairs
            fewer = evidence.pairs_needed(least * 0.98, sd, mode)
            assert fewer is None or fewer >= pairs


@given(st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=30))
def test_always_valid_is_never_narrower_at_the_same_look_and_more_pairs_only_narrow_it(
    differences: list[float],
) -> None:
    n = len(differences)
    assert evidence.always_valid_t(n) > student.quantile(0.975, n - 1)
    before = evidence.of_pairs(differences[:-1], "always")
    after = evidence.of_pairs(differences, "always")
    disjoint = after.low > before.high or after.high < before.low
    assert disjoint or (after.low >= before.low and after.high <= before.high)


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=12), st.floats(1e-3, 1e3))
def test_a_scale_common_to_both_cancels(energies: list[float], scale: float) -> None:
    changed = energies[::-1]
    one = evidence.log_ratios(energies, changed)
    other = evidence.log_ratios([scale * e for e in energies], [scale * e for e in changed])
    assert one == pytest.approx(other, abs=1e-9)


def test_one_pair_says_nothing_and_nobody_is_told_otherwise() -> None:
    found = evidence.of_pairs([-0.5], "always")
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.saving_high_ratio == 1.0


@pytest.mark.parametrize("bad", [([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([math.nan], [1.0])])
def test_what_cannot_be_paired_is_refused(bad: tuple[list[float], list[float]]) -> None:
    with pytest.raises(UsageError):
        evidence.log_ratios(*bad)
