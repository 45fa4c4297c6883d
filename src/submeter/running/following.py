# SPDX-License-Identifier: Apache-2.0
"""What a plan asks for at this instant: to wait, start, pause, resume or work on.

Pure: an instant and what has been done so far come in, the next thing to do comes out. All
instants are wall-clock time [s since 1970 UTC], so that a clock that was set, a machine that
slept or a night of 23 hours only changes what "now" is; work done is counted by the caller on a
clock that never steps.
"""

from enum import StrEnum
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.records.plans import Job, Plan

__all__ = ["Do", "Next", "Standing", "check_can_be_carried_out", "next_step", "remaining_job"]

SLACK_S: Final = 60.0  # a plan that falls short of the work by less is kept
SLACK_RATIO: Final = 0.02  # ... or by less than this part of it


class Do(StrEnum):
    """What comes next."""

    WAIT = "wait"  # nothing runs, and nothing should
    WORK = "work"  # it runs, or is to be started or resumed
    PAUSE = "pause"


class Next(msgspec.Struct, frozen=True):
    """What to do now, and until when that holds if nothing happens."""

    do: Do
    until_s: float | None  # [s since 1970 UTC]; None: to the end of the program
    why: str = ""


class Standing(msgspec.Struct, frozen=True):
    """How far a plan has been carried out.

    Attributes
    ----------
    working
        Whether the program runs now.
    worked_s
        Work done, without pauses and what they cost [s].
    stretch_s
        Time since it was last started or resumed [s].
    can_pause
        Whether the program may be paused, and can be.
    """

    working: bool = False
    worked_s: float = 0.0
    stretch_s: float = 0.0
    can_pause: bool = True


def check_can_be_carried_out(plan: Plan) -> None:
    """Refuse a plan that asks for more than one machine can do.

    Raises
    ------
    UsageError
        If it moves between places or numbers of workers, or has no slices.
    """
    if not plan.slices:
        raise UsageError(f"the plan {plan.id} says no time", remedy="make it again: submeter plan")
    if len({s.zone for s in plan.slices if s.zone}) > 1:
        raise UsageError(
            f"the plan {plan.id} moves between places; a command is run at one",
            remedy="submeter plan without --where, or --emit for each place",
        )
    if len({s.workers for s in plan.slices}) > 1:
        raise UsageError(
            f"the plan {plan.id} changes the number of workers while it runs",
            remedy="submeter plan without --scale, or --emit for a scheduler",
        )


def remaining_job(job: Job, worked_s: float, now_s: float) -> Job:
    """What is left of *job* after *worked_s* of work, to be planned again from *now_s* on."""
    left_s = max(0.0, job.duration_s - worked_s)
    course = job.power_course_w
    if course and job.duration_s > 0:
        course = course[min(len(course) - 1, int(len(course) * worked_s / job.duration_s)) :]
    return msgspec.structs.replace(
        job,
        duration_s=left_s,
        earliest_s=max(job.earliest_s, now_s),
        power_course_w=course,
    )


def next_step(plan: Plan, standing: Standing, now_s: float) -> Next:
    """What *plan* asks for at *now_s*.

    Notes
    -----
    Started, the program works to its end but for the gaps between slices. What is left of a plan
    must hold the work that is left: if it does not (the machine slept, the program is slower
    than it was said to be), the program works on at once and is not paused again until there is
    a new plan. A gap that would cost more to pause than it lasts is worked through.
    """
    left_s = max(0.0, plan.job.duration_s - standing.worked_s)
    current = next((s for s in plan.slices if s.start_s <= now_s < s.end_s), None)
    later = [s for s in plan.slices if s.start_s > now_s]
    if standing.working:
        return _while_working(plan, standing, now_s, left_s)
    if current is not None:
        return Next(Do.WORK, current.end_s, "its time has come")
    if not later:
        return Next(Do.WORK, None, "the time that was planned is over")
    if _room_s(plan, now_s) + _slack_s(plan) < left_s:
        return Next(Do.WORK, None, "what is left of the plan no longer holds the work left")
    return Next(Do.WAIT, min(s.start_s for s in later))


def _while_working(plan: Plan, standing: Standing, now_s: float, left_s: float) -> Next:
    job = plan.job
    later = sorted((s for s in plan.slices if s.start_s > now_s), key=lambda s: s.start_s)
    if not (job.interruptible and standing.can_pause and later) or left_s <= 0:
        return Next(Do.WORK, None)
    current = next((s for s in plan.slices if s.start_s <= now_s < s.end_s), None)
    if current is not None:
        return Next(Do.WORK, current.end_s)
    start_s = later[0].start_s
    if standing.stretch_s < job.min_slice_s:
        return Next(Do.WORK, min(start_s, now_s + job.min_slice_s - standing.stretch_s))
    if start_s - now_s <= job.checkpoint_s + job.restart_s:
        return Next(Do.WORK, start_s, "a pause would take longer than this gap")
    if _room_s(plan, now_s) + _slack_s(plan) < left_s:
        return Next(Do.WORK, None, "what is left of the plan no longer holds the work left")
    return Next(Do.PAUSE, start_s)


def _room_s(plan: Plan, now_s: float) -> float:
    """Work that the rest of the plan holds [s]."""
    job = plan.job
    lengths = [s.end_s - max(s.start_s, now_s) for s in plan.slices if s.end_s > now_s]
    costs_s = (job.restart_s + job.checkpoint_s) * max(0, len(lengths) - 1)
    return sum(lengths) - costs_s


def _slack_s(plan: Plan) -> float:
    return max(SLACK_S, SLACK_RATIO * plan.job.duration_s)
