# SPDX-License-Identifier: Apache-2.0
"""The best time for one job, against everything tried and against a mixed-integer programme."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.planning.costs import Costs
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
