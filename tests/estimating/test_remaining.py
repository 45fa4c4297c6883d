# SPDX-License-Identifier: Apache-2.0
"""What is left of a training: laws of the arithmetic, and trainings whose end is known."""

import math
import random
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.estimating.courses import Course, Mark, Stretch, intervals
from submeter.estimating.remaining import Outlook, outlook
from submeter.estimating.steady import settled
from submeter.records.figures import Missing


def marks_of(costs_s: Sequence[float], start_s: float = 0.0) -> list[Mark]:
    """A mark behind each step, and how long each took."""
    ends = list(accumulate(costs_s, initial=start_s))[1:]
    return [Mark(t, float(i + 1)) for i, t in enumerate(ends)]


def told(
    costs_s: Sequence[float],
    total: float,
    *,
    power_w: float = 1.0,
    stretches: Sequence[Stretch] = (),
    start_s: float = 0.0,
) -> Outlook:
    marks = marks_of(costs_s, start_s)
    end_s = marks[-1].t_s
    found = outlook(marks, Course((0.0, end_s), (0.0, power_w * end_s)), total, stretches)
    assert isinstance(found, Outlook)
    return found


EVEN = st.lists(st.floats(0.9, 1.1), min_size=6, max_size=60)


@given(EVEN, st.integers(100, 10_000), st.floats(1e-3, 1e6))
def test_another_unit_changes_nothing_but_the_unit(
    costs_s: list[float], total: int, power_w: float
) -> None:
    one, other = told(costs_s, total), told(costs_s, total, power_w=power_w)
    assert other.value == pytest.approx(power_w * one.value)
    assert other.sd == pytest.approx(power_w * one.sd)
    assert other.interval()[1] == pytest.approx(power_w * one.interval()[1])


@given(EVEN, st.integers(0, 10_000))
def test_the_whole_is_never_less_than_what_is_spent(costs_s: list[float], total: int) -> None:
    found = told(costs_s, total)
    low, high = found.interval()
    assert found.spent <= low <= found.value <= high


@given(EVEN, st.integers(100, 5000), st.integers(1, 5000))
def test_more_steps_take_more(costs_s: list[float], total: int, more: int) -> None:
    assert told(costs_s, total + more).value >= told(costs_s, total).value * (1 - 1e-3)


@given(st.floats(0.01, 10), st.integers(8, 50), st.integers(100, 10_000), st.floats(0, 20))
def test_even_steps_are_told_but_for_what_is_not_seen(
    step_s: float, seen: int, total: int, start_s: float
) -> None:
    found = told([step_s] * seen, total, start_s=start_s)
    assert found.per_step == pytest.approx(step_s)
    assert found.trend_ratio == pytest.approx(0, abs=1e-6)
    exact = start_s + step_s * total
    most = exact * 1.02 + 0.2 * start_s  # pauses that may yet come, and an end
    assert exact * (1 - 1e-9) <= found.value <= most * (1 + 1e-9)
    assert found.interval()[0] <= exact + 0.05 * start_s  # nothing at its end is still likely


def test_a_warm_up_is_left_out() -> None:
    found = told([9.0, 4.0, 2.0, *[1.0] * 40], 1000)
    assert 2 <= found.settled_after <= 4
    assert found.per_step == pytest.approx(1.0)
    assert found.value == pytest.approx(15 + 997, rel=0.02)


def test_compilation_in_the_midst_of_few_steps_is_seen_too() -> None:
    found = told([1.0, 30.0, *[1.0] * 12], 1000)
    assert found.value == pytest.approx(1029, rel=0.03)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_steps_are_missing_with_the_reason(n: int) -> None:
    marks = marks_of([1.0] * n)
    found = outlook(marks, Course.of_time(10.0), 100)
    assert isinstance(found, Missing)
    assert f"{n} logged steps" in found.why


def test_a_pause_that_has_a_name_goes_on_in_its_rhythm() -> None:
    costs_s, stretches, t_s = [], [], 0.0
    for step in range(1, 46):
        evaluation_s = 5.0 if step > 1 and (step - 1) % 10 == 0 else 0.0
        if evaluation_s:
            stretches.append(Stretch("evaluate", t_s, t_s + evaluation_s))
        stretches.append(Stretch("train", t_s + evaluation_s, t_s + evaluation_s + 1.0))
        costs_s.append(1.0 + evaluation_s)
        t_s += costs_s[-1]
    found = told(costs_s, 200, stretches=stretches)
    (pause,) = found.pauses
    assert (pause.name, pause.seen) == ("evaluate", 4)
    assert pause.every == pytest.approx(10)
    assert pause.cost == pytest.approx(5.0)
    assert found.per_step == pytest.approx(1.0)
    assert found.value == pytest.approx(200 + 5 * 19, rel=0.04)


def test_a_pause_inside_the_training_phase_is_named_after_its_own_part() -> None:
    stretches = [Stretch("train/forward", i + 0.0, i + 0.5) for i in range(20)]
    stretches += [Stretch("train/evaluate/forward", 9.9, 15.0)]
    costs_s = [1.0] * 10 + [6.0] + [1.0] * 9
    found = told(costs_s, 100, stretches=stretches)
    assert [p.name for p in found.pauses] == ["train/evaluate"]


def test_a_stall_without_a_name_is_seen_by_its_length() -> None:
    rng = random.Random(3)  # noqa: S311  # no secret
    costs_s = [rng.gauss(1, 0.01) + (4.0 if i % 20 == 19 else 0.0) for i in range(90)]
    found = told(costs_s, 1000)
    (pause,) = found.pauses
    assert (pause.name, pause.seen) == ("stall", 4)
    assert found.value == pytest.approx(1000 + 4 * 50, rel=0.03)


def test_two_kinds_of_stalls_without_names_are_no_period() -> None:
    costs_s = [1.0 + (9.0 if i in {70, 80} else 0.0) for i in range(100)]
    found = told(costs_s, 1000)
    (pause,) = found.pauses
    assert pause.every is None
    assert pause.left == pytest.approx(18.2, rel=0.05)
    assert found.interval()[0] < 1000 + 9 * 14 < found.interval()[1]


def test_a_drift_goes_on_ever_more_slowly() -> None:
    found = told([1 + 0.02 * math.log(i + 1) for i in range(100)], 1000)
    assert found.trend_ratio > 0.003
    exact = sum(1 + 0.02 * math.log(i + 1) for i in range(1000))
    assert found.value == pytest.approx(exact, rel=0.03)
    low, high = found.interval()
    assert low < exact < high


def test_an_unseen_drift_has_its_place_in_the_interval() -> None:
    early, late = told([1.0] * 30, 10_000), told([1.0] * 1000, 10_000)
    assert early.sds["drift"] > late.sds["drift"] > 0
    assert early.sd > late.sd


def test_steps_that_were_taken_again_are_not_counted_twice() -> None:
    marks = [Mark(0, 1), Mark(1, 2), Mark(2, 3), Mark(3, 1), Mark(4, 2), Mark(4, 2), Mark(5, 4)]
    assert [p.steps for p in intervals(marks)] == [1, 1, 1, 2]


@given(st.lists(st.floats(0.1, 10), max_size=50))
def test_a_quarter_of_the_rates_is_always_kept(rates: list[float]) -> None:
    assert 0 <= settled(rates) <= 0.75 * len(rates)


@given(st.integers(1, 30), st.floats(1.5, 50))
def test_even_rates_have_no_warm_up_and_a_slow_start_has(n: int, ratio: float) -> None:
    assert settled([1.0] * n) == 0
    assert settled([ratio, *[1.0] * 20]) == 1


def test_a_course_is_straight_between_its_points_and_stays_beyond_them() -> None:
    course = Course((0.0, 1.0, 3.0), (0.0, 10.0, 50.0))
    assert [course.at(t) for t in (-1, 0, 0.5, 1, 2, 3, 9)] == [0, 0, 5, 10, 30, 50, 50]
    with pytest.raises(ValueError, match="no course"):
        Course((), ())
