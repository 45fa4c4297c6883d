# SPDX-License-Identifier: Apache-2.0
"""What a search says of trials that go on, and of settings that nobody tried."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.reducing.foreseeing import Value
from submeter.reducing.prospects import MORE, UNSEEN, WATCHED, Chance, Known, Prospects
from submeter.reducing.stopping import Curve, Point

ENOUGH = 0.9
STEPS = 10
BEGUN_J = 20.0


def points(step_j: float, score: float, parts: int = STEPS, wobble: float = 0.0) -> list[Point]:
    """A trial that climbs to *score* with *step_j* a step, after what is done once."""
    found = []
    for i in range(1, parts + 1):
        energy_j = BEGUN_J + step_j * (i + wobble * (i % 2))
        reached = score * (1 - math.exp(-4 * i / parts)) / (1 - math.exp(-4))
        found.append(Point(energy_j, energy_j, reached, i / parts))
    return found


def known(step_j: float, score: float, **settings: Value) -> Known:
    curve = Curve(points(step_j, score), finished=True)
    return Known(settings, curve, finished=True, kept=score >= ENOUGH, score=score)


OTHERS = [
    known(10.0, 0.95), known(12.0, 0.93), known(9.0, 0.80), known(8.0, 0.70), known(11.0, 0.60),
]  # fmt: skip


def said(trial: Sequence[Point], others: Sequence[Known] = OTHERS) -> tuple[str, float]:
    """Why a trial was stopped, and the part that it had done by then."""
    prospects, curve = Prospects(others, enough=ENOUGH), Curve()
    for point in trial[:-1]:
        curve.add(point)
        reason = prospects.reason(curve)
        if reason:
            return reason, curve.done_ratio
    return "", 1.0


def test_who_would_use_more_ends_long_before_it_has() -> None:
    reason, done = said(points(14.0, 0.99))
    assert reason == "would use more"
    assert done <= 0.3
    assert said([p._replace(done_ratio=None) for p in points(14.0, 0.99)])[0] == "dominated"


def test_who_would_not_reach_what_is_asked_for_ends() -> None:
    reason, done = said(points(5.0, 0.5))
    assert reason == "would not reach"
    assert done <= WATCHED


@given(st.floats(1.0, 8.5), st.floats(ENOUGH, 1.0), st.floats(0.0, 0.05))
def test_who_uses_less_and_reaches_it_goes_on(step_j: float, score: float, wobble: float) -> None:
    assert said(points(step_j, score, wobble=wobble)) == ("", 1.0)


@given(st.floats(1.0, 30.0), st.floats(0.0, 1.0), st.integers(0, 3))
def test_few_trials_say_nothing_of_scores(step_j: float, score: float, count: int) -> None:
    """Less than four tell no line of them; energy of its own a trial tells by itself."""
    reason, _ = said(points(step_j, score), OTHERS[:count])
    assert reason != "would not reach"
    assert not (reason and count == 0)


def test_the_first_step_bears_what_is_done_once() -> None:
    curve = Curve(points(10.0, 0.9)[:3])
    assert curve.begun_j == pytest.approx(BEGUN_J)
    assert curve.ahead_j() == pytest.approx(BEGUN_J + 10.0 * STEPS)
    assert curve.ahead_j(0.2) == pytest.approx(BEGUN_J + 10.0 * STEPS)
    assert curve.used_until_j(0.2) == pytest.approx(BEGUN_J + 20.0)
    assert Curve(points(10.0, 0.9)[:1]).ahead_j() is None
    assert Curve().done_ratio == 0.0


GRID = [
    {"batch": batch, "steps": steps}
    for batch, steps in itertools.product(("8", "16", "32", "64"), ("500", "1000", "2000"))
]


def truth(settings: dict[str, str]) -> tuple[float, float]:
    """Joules a step, and the score at the end: larger batches and fewer steps are worse."""
    batch, steps = float(settings["batch"]), float(settings["steps"])
    step_j = 10.0 * steps / 2000 * (batch / 8) ** -0.3
    return step_j, 1 - 0.05 * (batch / 8) ** 0.4 * (2000 / steps) ** 0.8


def seen(but: Sequence[dict[str, str]]) -> list[Known]:
    return [known(*truth(s), **s) for s in GRID if s not in but]  # type: ignore[arg-type]


def test_settings_that_nobody_tried_are_told_by_the_others() -> None:
    weak, dear = {"batch": "64", "steps": "500"}, {"batch": "8", "steps": "2000"}
    good = {"batch": "8", "steps": "1000"}
    prospects = Prospects(seen([weak, dear, good]), enough=ENOUGH)
    assert prospects.chance(weak).reason == "would not reach"
    assert prospects.chance(dear).reason == "would use more"
    found = Prospects(seen([weak, good]), enough=ENOUGH).chance(good)
    assert found.reason == ""
    assert found.energy_j == pytest.approx(BEGUN_J + STEPS * truth(good)[0], rel=0.05)


@given(st.sampled_from(GRID))
def test_the_best_is_never_dismissed_where_effects_add_up(left: dict[str, str]) -> None:
    rows = [(BEGUN_J + STEPS * truth(s)[0], s) for s in GRID if truth(s)[1] >= ENOUGH]
    best = min(rows, key=lambda row: row[0])[1]
    others = [s for s in (left,) if s != best]
    assert Prospects(seen([best, *others]), enough=ENOUGH).chance(best).reason == ""


def test_before_anything_was_enough_nothing_is_said() -> None:
    weak = [known(10.0, 0.5, batch=str(2**i)) for i in range(9)]
    prospects = Prospects(weak, enough=ENOUGH)
    assert prospects.least_j is None
    assert prospects.chance({"batch": "4"}) == Chance(None, 1.0, 1.0)
    assert prospects.promise({"batch": "4"}) == math.inf
    assert prospects.reason(Curve(points(99.0, 0.1)[:5])) == ""


def test_what_promises_more_for_less_comes_first() -> None:
    cheap, dear = {"batch": "16", "steps": "1000"}, {"batch": "32", "steps": "2000"}
    prospects = Prospects(seen([cheap, dear]), enough=0.85)
    assert prospects.promise(cheap) > prospects.promise(dear)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_chance_is_dismissed_only_if_that_is_nearly_certain(less: float, enough: float) -> None:
    dismissed = less < 1 - MORE or enough < 1 - UNSEEN
    assert bool(Chance(1.0, less, enough).reason) == dismissed
