# SPDX-License-Identifier: Apache-2.0
"""When a trial has no prospect: laws, and cases."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reducing.stopping import (
    Curve,
    Point,
    prospect,
    prospect_of_two,
    reachable,
    thinned,
)

ENOUGH = 0.9


def curve(*scores: float | None, step_j: float = 10.0, finished: bool = True) -> Curve:
    points = (Point(step_j * (i + 1), i + 1.0, s) for i, s in enumerate(scores))
    return Curve(points, finished=finished)


def climbing(ease_j: float, end_j: float, points: int = 20) -> list[Point]:
    """Saturating: reaches 63 % after *ease_j*; ends at *end_j*."""
    at = [end_j * (i + 1) / points for i in range(points)]
    return [Point(e, e, 1 - math.exp(-e / ease_j)) for e in at]


def ended_for(points: Sequence[Point], others: Sequence[Curve], least_j: float) -> list[str]:
    """Reasons that were given while a trial went along *points*, until it ended itself."""
    trial = Curve()
    reasons: list[str] = []
    for point in points[:-1]:
        trial.add(point)
        reasons.append(prospect(trial, others, least_j=least_j, enough=ENOUGH))
    return reasons


eases = st.floats(1.0, 100.0)
levels = st.lists(st.floats(0, 1), min_size=4, max_size=30)


@given(st.lists(eases, min_size=4, max_size=12, unique=True), st.floats(2.4, 6.0))
def test_the_cheapest_that_is_enough_is_never_stopped_where_curves_do_not_cross(
    found: list[float], length: float
) -> None:
    """All train as far, some with fewer joules: whoever comes last may still be the best."""
    *first, fastest = sorted(found, reverse=True)
    others = [Curve(climbing(e, length * e), finished=True) for e in first]
    kept = [c for c in others if c.score is not None and c.score >= ENOUGH]
    least_j = min((c.energy_j for c in kept), default=math.inf)
    assert not any(ended_for(climbing(fastest, length * fastest), others, least_j))


@given(levels, levels, st.lists(levels, min_size=2, max_size=5))
def test_who_is_no_worse_than_one_that_was_enough_is_never_behind(
    good: list[float], above: list[float], more: list[list[float]]
) -> None:
    kept = curve(*good, 0.95)
    others = [kept, *(curve(*scores) for scores in more)]
    rows = [max(a, kept.best_at(10.0 * (i + 1)) or 0.0) for i, a in enumerate(above)]
    trial = Curve(finished=False)
    for i, score in enumerate(rows):
        trial.add(Point(10.0 * (i + 1), 1.0, score))
        if trial.energy_j < kept.energy_j:
            assert prospect(trial, others, least_j=kept.energy_j, enough=ENOUGH) != "behind"


@given(levels, st.lists(levels, min_size=3, max_size=6), st.floats(0, 500), st.floats(0, 500))
def test_more_energy_reaches_no_less(
    mine: list[float], theirs: list[list[float]], a_j: float, b_j: float
) -> None:
    trial, others = curve(*mine), [curve(*scores) for scores in theirs]
    low, high = (reachable(trial, others, e) for e in sorted((a_j, b_j)))
    assert low is not None
    assert high is not None
    assert (trial.score or 0.0) <= low <= high


@given(levels, st.integers(2, 40))
def test_thinning_keeps_the_end(scores: list[float], most: int) -> None:
    points = curve(*scores).points
    kept = thinned(points, most)
    assert len(kept) <= most
    assert kept[-1] == points[-1]
    assert set(kept) <= set(points)


OTHERS = [curve(0.3, 0.6, 0.8, 0.95), curve(0.2, 0.5, 0.7, 0.8), curve(0.1, 0.5, 0.7, 0.7)]


@pytest.mark.parametrize(
    ("trial", "least_j", "reason"),
    [
        (curve(), 40.0, ""),  # nothing is known of it
        (curve(0.1, 0.1, 0.1), None, ""),  # nothing was enough yet
        (curve(0.1, 0.2, 0.3, 0.4), 40.0, "dominated"),
        (curve(0.1, 0.3, 0.5, 0.99), 40.0, "dominated"),
        (curve(0.1, 0.1, 0.1), 40.0, "behind"),  # ten joules left, 0.95 is 30 away
        (curve(0.1, 0.3), 40.0, ""),  # slow at first: others climbed that in what is left
        (curve(None, None, None), 40.0, ""),  # logs at its end only
        (curve(0.0, step_j=4.0), 40.0, ""),  # has hardly begun
        (curve(0.2, 0.92, 0.1), 40.0, ""),  # has reached what is asked for
    ],
)
def test_cases(trial: Curve, least_j: float | None, reason: str) -> None:
    assert prospect(trial, OTHERS, least_j=least_j, enough=ENOUGH) == reason


def test_few_trials_say_nothing_and_without_a_floor_nobody_is_behind() -> None:
    weak = curve(0.1, 0.1, 0.1)
    assert prospect(weak, OTHERS[:2], least_j=40.0, enough=ENOUGH) == ""
    assert prospect(weak, OTHERS, least_j=40.0, enough=None) == ""


def test_too_slow() -> None:
    assert prospect(curve(0.5, 0.6), [], least_j=None, enough=None, max_time_s=1.5) == "too slow"
    assert prospect_of_two(curve(0.5, 0.6), [], max_time_s=1.5) == "too slow"


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (curve(0.1), ""),  # may still end with less energy than anybody
        (curve(0.1, 0.1, 0.1, step_j=12.0), "behind"),
        (curve(0.3, 0.6, 0.7), ""),
        (curve(0.1, 0.1, 0.1, 0.96), ""),  # more than anybody
        (curve(0.1, 0.1, 0.1, 0.2, 0.3), "dominated"),
        (curve(None, None), ""),
    ],
)
def test_two_objectives(trial: Curve, reason: str) -> None:
    assert prospect_of_two(trial, [*OTHERS, curve(0.2, 0.5)]) == reason
    assert prospect_of_two(trial, []) == ""


@given(st.lists(eases, min_size=4, max_size=8), st.lists(st.floats(0.5, 5.0), min_size=8))
def test_of_two_objectives_the_dearer_and_better_goes_on(
    found: list[float], lengths: list[float]
) -> None:
    """Who is ahead of all at equal energy is never stopped."""
    best = min(found)
    others = [
        Curve(climbing(e, n * e), finished=True) for e, n in zip(found, lengths, strict=False)
    ]
    trial = Curve()
    for point in climbing(best, 6.0 * best, 40):
        trial.add(point)
        assert prospect_of_two(trial, others) in {"", "dominated"} or any(
            (c.best_at(trial.energy_j) or 0.0) > (trial.score or 0.0) for c in others
        )
