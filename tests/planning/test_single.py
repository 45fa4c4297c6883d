# SPDX-License-Identifier: Apache-2.0
"""The best time for one job, against everything tried and against a mixed-integer programme."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import CoverageError, InfeasibleError, SubmeterError, UsageError
from submeter.planning.costs import Costs
from submeter.planning.narrowing import Bounds
from submeter.planning.rows import Frame, Ground
from submeter.planning.single import best, interrupted
from submeter.records.plans import Job
from tests.planning import oracles

values = st.integers(-2, 9).map(float)
STEP = 60.0


def row(*per_kwh: float) -> Costs:
    return Costs(0.0, STEP, np.array(per_kwh), "g/kWh")


@st.composite
def aligned(draw: st.DrawFn) -> tuple[Costs, Job]:
    slots = draw(st.integers(3, 8))
    units = draw(st.integers(2, min(slots, 5)))
    course = tuple(
        draw(st.lists(st.integers(1, 5), min_size=units, max_size=units)) if draw(st.booleans())
        else ()
    )  # fmt: skip
    job = Job(
        units * STEP,
        0.0,
        slots * STEP,
        1000.0,
        power_course_w=tuple(1000.0 * p for p in course),
        interruptible=True,
        min_slice_s=draw(st.sampled_from([0.0, 50.0, 90.0, 120.0])),
        checkpoint_s=draw(st.sampled_from([0.0, 10.0, 40.0, 90.0])),
        restart_s=draw(st.sampled_from([0.0, 10.0, 30.0])),
        idle_w=draw(st.sampled_from([0.0, 100.0, 900.0])),
    )
    return row(*draw(st.lists(values, min_size=slots, max_size=slots))), job


@st.composite
def unaligned(draw: st.DrawFn) -> tuple[Costs, Job]:
    slots = draw(st.integers(3, 5))
    seconds = st.integers(0, 59).map(float)
    earliest_s = draw(st.one_of(st.just(0.0), seconds))
    deadline_s = slots * STEP - draw(st.one_of(st.just(0.0), seconds))
    room = deadline_s - earliest_s
    course = draw(st.lists(st.integers(1, 5), max_size=3))
    bends = max(len(course), 1)  # of the power, each after whole seconds
    job = Job(
        float(draw(st.integers(20 // bends, int(room) // bends)) * bends),
        earliest_s,
        deadline_s,
        1000.0,
        power_course_w=tuple(1000.0 * p for p in course),
        interruptible=True,
        min_slice_s=draw(st.sampled_from([0.0, 0.0, 30.0, 75.0])),
        checkpoint_s=draw(st.sampled_from([0.0, 10.0, 35.0])),
        restart_s=draw(st.sampled_from([0.0, 15.0])),
        idle_w=draw(st.sampled_from([0.0, 300.0])),
    )
    return row(*draw(st.lists(values, min_size=slots, max_size=slots))), job


@settings(max_examples=120, deadline=None)
@given(aligned())
def test_pauses_that_cost_and_power_that_varies_equal_a_mixed_integer_programme(
    case: tuple[Costs, Job],
) -> None:
    costs, job = case
    assert best(costs, job).objective == pytest.approx(
        min(oracles.mixed_integer(costs, job), oracles.run_through(costs, job, every_s=1.0)),
        abs=1e-7,
    )


@settings(max_examples=150, deadline=None)
@given(unaligned())
def test_bounds_and_durations_inside_slots_equal_all_schedules_tried(
    case: tuple[Costs, Job],
) -> None:
    costs, job = case
    tried = min(
        oracles.all_slices(costs, job, most=2),
        oracles.run_through(costs, job, every_s=1.0),
    )
    found = best(costs, job)
    if found.pauses <= 1:
        assert found.objective == pytest.approx(tried, abs=1e-7)
    assert found.objective <= tried + 1e-7


@st.composite
def long(draw: st.DrawFn) -> tuple[Costs, Job]:
    """Many slots for a short job, of costs above zero."""
    slots = draw(st.integers(30, 60))
    seconds = st.sampled_from([0.0, 0.0, 20.0, 45.0])
    job = Job(
        draw(st.sampled_from([60.0, 120.0, 150.0, 180.0])),
        draw(seconds),
        slots * STEP - draw(seconds),
        1000.0,
        power_course_w=draw(st.sampled_from([(), (), (500.0, 1500.0)])),
        interruptible=True,
        min_slice_s=draw(st.sampled_from([0.0, 60.0, 75.0])),
        checkpoint_s=draw(st.sampled_from([0.0, 5.0, 30.0])),
        idle_w=draw(st.sampled_from([0.0, 0.0, 20.0, 300.0])),
    )
    some = st.lists(st.integers(0, 9).map(float), min_size=slots, max_size=slots)
    return row(*draw(some)), job


@settings(max_examples=150, deadline=None)
@given(long())
def test_leaving_slots_out_loses_no_cheaper_schedule(case: tuple[Costs, Job]) -> None:
    costs, job = case
    ground, frame = Ground(costs), Frame.of(job.earliest_s, job.deadline_s, STEP)
    whole, _ = interrupted(ground, frame, job, math.inf)
    narrowed, pieces = interrupted(ground, frame, job, math.inf, few=2)
    assert narrowed == pytest.approx(whole, abs=1e-9)
    if pieces:
        assert oracles.cost_of(costs, job, pieces) == pytest.approx(narrowed, abs=1e-9)


def test_ties_go_to_the_earliest_start_and_a_plan_waits_for_nothing() -> None:
    found = best(row(5, 5, 5, 5), Job(2 * STEP, 10.0, 4 * STEP, 1000.0, interruptible=True))
    assert [(s.start_s, s.end_s) for s in found.slices] == [(10.0, 130.0)]
    assert found.objective == found.at_once


@pytest.mark.parametrize("length", [1, 3, 7.5, 16, 31])
def test_ties_of_a_tariff_go_to_the_earliest_in_spite_of_rounding(length: float) -> None:
    costs = Costs(0.0, STEP, np.array([0.31] * 17 + [0.18] * 32 + [0.31] * 24), "EUR/kWh")
    (found,) = best(costs, Job(length * STEP, 10.0, 73 * STEP, 2000.0)).slices
    assert found.start_s == pytest.approx(17 * STEP)


def test_free_pauses_choose_the_cheapest_slots_and_a_part_of_the_next() -> None:
    costs = row(4, 1, 9, 2, 3, 1)
    found = best(costs, Job(2.5 * STEP, 0.0, 6 * STEP, 60_000.0, interruptible=True))
    assert found.objective == pytest.approx(1 + 1 + 0.5 * 2)
    assert sum(s.end_s - s.start_s for s in found.slices) == pytest.approx(2.5 * STEP)


def test_a_slice_holds_coming_back_and_writing_the_state() -> None:
    job = Job(
        2 * STEP, 0.0, 6 * STEP, 1000.0, interruptible=True, checkpoint_s=10, restart_s=5, idle_w=1
    )
    found = best(row(1, 90, 90, 90, 90, 1), job)
    assert [(s.start_s, s.end_s) for s in found.slices] == [(0.0, 70.0), (295.0, 360.0)]
    work_kwh, idle_kwh = 1.0 * (120 + 15) / 3600, 0.001 * 225 / 3600
    assert found.energy_kwh == pytest.approx(work_kwh + idle_kwh)


def test_a_job_of_unknown_power_is_told_per_kilowatt_hour() -> None:
    found = best(row(400, 300, 200, 300), Job(2 * STEP, 0.0, 4 * STEP))
    assert found.objective == pytest.approx(250)
    assert found.at_once == pytest.approx(350)
    assert found.energy_kwh == pytest.approx(1)


@pytest.mark.parametrize(
    ("job", "error", "told"),
    [
        (Job(300.0, 0.0, 240.0), InfeasibleError, "do not fit into the 0.0667 h"),
        (Job(60.0, 240.0, 0.0), InfeasibleError, "do not fit into the 0 h"),
        (Job(0.0, 0.0, 240.0), UsageError, "a job of 0 s"),
        (Job(60.0, 0.0, 240.0, -5.0), UsageError, "negative"),
        (Job(60.0, 0.0, 999.0), CoverageError, "short"),
        (Job(60.0, 120.0, 239.0), CoverageError, "1 of 2 slots have no value"),
    ],
    ids=["too long", "deadline past", "nothing to do", "negative power", "beyond", "a hole"],
)
def test_what_cannot_be_planned_gets_one_clear_error(
    job: Job, error: type[SubmeterError], told: str
) -> None:
    with pytest.raises(error, match=told) as caught:
        best(row(1, 1, 1, math.nan), job)
    assert caught.value.remedy


def test_a_year_of_five_minute_slots_takes_few_states() -> None:
    """What is left of 105 120 slots, instead of seconds, which depend on the machine."""
    rng = np.random.default_rng(1)
    day = np.arange(105_120) / 288
    level = 300 + 100 * np.sin(2 * np.pi * day) + 80 * np.cumsum(rng.normal(size=day.size)) / 300
    costs = Costs(0.0, 300.0, level - min(level.min(), 0.0) + 10)
    job = Job(8 * 3600.0, 0.0, 105_120 * 300.0, 1000.0, interruptible=True, checkpoint_s=90.0,
              restart_s=60.0, min_slice_s=1800.0)  # fmt: skip
    frame = Frame.of(0.0, job.deadline_s, 300.0)
    bounds = Bounds.of(Ground(costs), frame, job, head=False, tail=False)
    kept = bounds.kept(best(costs, job).objective, np.zeros(105_120, dtype=np.bool_))
    assert kept is not None
    assert 96 <= kept.sum() <= 105_120 / 10
