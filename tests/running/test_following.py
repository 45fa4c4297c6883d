# SPDX-License-Identifier: Apache-2.0
"""What a plan asks for at any instant, whatever the clock has done."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.records.plans import Job, Plan, Slice
from submeter.running.following import (
    Do,
    Standing,
    check_can_be_carried_out,
    next_step,
    remaining_job,
)
from tests.running.plans import T0, H, plan_of

TWO = plan_of([(1 * H, 3 * H), (5 * H, 8 * H)], checkpoint_s=90, restart_s=30, min_slice_s=1800)


def standing(**known: float | bool) -> Standing:
    return msgspec.structs.replace(Standing(), **known)


@pytest.mark.parametrize(
    ("at_h", "known", "do", "until_h"),
    [
        (0, {}, Do.WAIT, 1),
        (0.999, {}, Do.WAIT, 1),
        (1, {}, Do.WORK, 3),
        (2, {"working": True, "stretch_s": H}, Do.WORK, 3),
        (3, {"working": True, "worked_s": 2 * H, "stretch_s": 2 * H}, Do.PAUSE, 5),
        (4, {"worked_s": 2 * H}, Do.WAIT, 5),
        (5, {"worked_s": 2 * H}, Do.WORK, 8),
        (8, {"working": True, "worked_s": 5 * H, "stretch_s": 3 * H}, Do.WORK, None),
        (9, {}, Do.WORK, None),  # the time has passed: nothing is left to wait for
    ],
)
def test_a_plan_of_two_slices(
    at_h: float, known: dict[str, float | bool], do: Do, until_h: float | None
) -> None:
    step = next_step(TWO, standing(**known), T0 + at_h * H)
    assert step.do is do
    assert step.until_s == (None if until_h is None else T0 + until_h * H)


@pytest.mark.parametrize(
    ("known", "change", "until_h"),
    [
        ({"can_pause": False}, {}, None),
        ({}, {"interruptible": False}, None),
        ({"stretch_s": 600}, {}, 3 + 1200 / H),  # the shortest slice is half an hour
        ({}, {"checkpoint_s": H, "restart_s": H}, 5),  # the gap is as long as a pause costs
        ({"worked_s": 5 * H}, {}, None),  # the work is said to be done: it is worked to its end
        ({"worked_s": 0.5 * H}, {}, None),  # a slow program: the second slice does not hold it
    ],
)
def test_it_is_not_paused_where_that_does_not_pay(
    known: dict[str, float | bool], change: dict[str, float | bool], until_h: float | None
) -> None:
    job = msgspec.structs.replace(TWO.job, **change)
    plan = msgspec.structs.replace(TWO, job=job)
    usual: dict[str, float | bool] = {"working": True, "worked_s": 2 * H, "stretch_s": 2 * H}
    step = next_step(plan, standing(**{**usual, **known}), T0 + 3 * H)
    assert step.do is Do.WORK
    assert step.until_s == (None if until_h is None else pytest.approx(T0 + until_h * H))


def test_who_slept_through_a_slice_starts_at_once() -> None:
    step = next_step(TWO, Standing(), T0 + 3.5 * H)
    assert step.do is Do.WORK
    assert "no longer holds" in step.why


@given(
    lengths=st.lists(st.tuples(st.floats(60, 9e3), st.floats(60, 9e3)), min_size=1, max_size=6),
    steps=st.lists(st.floats(1, 4e3), min_size=1, max_size=8),
    jumps=st.dictionaries(st.integers(0, 200), st.floats(-2e4, 2e4), max_size=4),
    interruptible=st.booleans(),
)
def test_b02_whatever_the_clock_does_the_work_gets_done_and_only_gaps_are_waited_through(
    lengths: list[tuple[float, float]],
    steps: list[float],
    jumps: dict[int, float],
    interruptible: bool,  # noqa: FBT001
) -> None:
    spans, at_s = [], 0.0
    for gap_s, length_s in lengths:
        spans.append((at_s + gap_s, at_s + gap_s + length_s))
        at_s += gap_s + length_s
    plan = plan_of(spans, interruptible=interruptible)
    now_s, worked_s, working, stretch_s, pauses = T0, 0.0, False, 0.0, 0
    for i in range(400):
        length_s = steps[i % len(steps)]
        now_s += jumps.get(i, 0.0)
        step = next_step(plan, Standing(working, worked_s, stretch_s), now_s)
        assert step.until_s is None or step.until_s > now_s
        inside = any(s.start_s <= now_s < s.end_s for s in plan.slices)
        if step.do is not Do.WORK:
            assert not inside
            assert any(s.start_s > now_s for s in plan.slices)
        if inside:
            assert step.do is Do.WORK
        if working and step.do is Do.PAUSE:
            pauses += 1
        working = step.do is Do.WORK
        stretch_s = stretch_s + length_s if working else 0.0
        if working:
            worked_s += length_s
        now_s += length_s if step.until_s is None else min(length_s, step.until_s - now_s)
        if worked_s >= plan.job.duration_s:
            break
    assert interruptible or pauses == 0
    if not jumps:
        assert now_s <= plan.slices[-1].end_s + max(60, 0.02 * plan.job.duration_s) + 4e3 or (
            now_s < plan.slices[-1].end_s
        )
    last_s = plan.slices[-1].end_s
    assert next_step(plan, Standing(False, worked_s), max(now_s, last_s)).do is Do.WORK


def test_what_is_left_is_planned_from_now_on_with_the_rest_of_its_course() -> None:
    job = Job(4 * H, T0, T0 + 20 * H, power_course_w=(1.0, 2.0, 3.0, 4.0))
    left = remaining_job(job, 2 * H, T0 + 5 * H)
    assert (left.duration_s, left.earliest_s, left.deadline_s) == (2 * H, T0 + 5 * H, T0 + 20 * H)
    assert left.power_course_w == (3.0, 4.0)
    assert remaining_job(job, 9 * H, T0).duration_s == 0
    assert remaining_job(job, 9 * H, T0).power_course_w == (4.0,)


def test_plans_that_one_machine_cannot_carry_out_are_refused() -> None:
    def refused(plan: Plan) -> str:
        with pytest.raises(UsageError) as caught:
            check_can_be_carried_out(plan)
        assert caught.value.remedy
        return str(caught.value)

    assert "no time" in refused(plan_of([]))
    assert "between places" in refused(plan_of([(0, 1), (2, 3)], zones=["DE", "SE"]))
    workers = (Slice(T0, T0 + 1, workers=1), Slice(T0 + 2, T0 + 3, workers=4))
    moving = msgspec.structs.replace(TWO, slices=workers)
    assert "number of workers" in refused(moving)
    check_can_be_carried_out(plan_of([(0, 1), (2, 3)], zones=["SE", "SE"]))
