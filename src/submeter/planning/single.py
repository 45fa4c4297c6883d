# SPDX-License-Identifier: Apache-2.0
"""The best time for one job: exact, with what pauses cost and power that varies on the way."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.contiguous import starts
from submeter.planning.costs import Bools, Costs, Floats
from submeter.planning.courses import Course, energies_kwh
from submeter.planning.interrupting import Piece, Programme
from submeter.planning.narrowing import FEW, Bounds
from submeter.planning.rows import TINY, Frame, Ground, Rows
from submeter.records.plans import Job, Slice

_ROUNDING: Final = 1e-10  # of a cost: sums over slots are no more exact than that


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job runs, and what that costs against starting it at once.

    Attributes
    ----------
    slices
        Stretches in which it is at work. All but the first begin with ``restart_s`` of coming
        back, all but the last end with ``checkpoint_s`` of writing the state: who carries this
        out asks for the checkpoint that long before the end of a slice.
    objective, at_once
        Cost of the schedule, and of running through from ``earliest_s`` on, in the unit of the
        costs without its ``/kWh``; of one kilowatt-hour of work where the power is unknown.
    energy_kwh
        Energy of the schedule, with what pauses add; of work alone one where power is unknown.
    unit
        Of both costs.
    """

    slices: tuple[Slice, ...]
    objective: float
    at_once: float
    energy_kwh: float
    unit: str = ""

    @property
    def saving_ratio(self) -> float:
        """Share saved against starting at once [1]; nan if that costs nothing."""
        if self.at_once == 0:
            return math.nan
        return (self.at_once - self.objective) / abs(self.at_once)

    @property
    def pauses(self) -> int:
        """Number of pauses."""
        return len(self.slices) - 1


def _earliest(begins_s: Floats, cost: Floats) -> int:
    """Index of the least cost; of those that differ by rounding alone, the earliest."""
    lowest = float(cost.min())
    if math.isinf(lowest):
        return 0
    near = np.flatnonzero(cost <= lowest + _ROUNDING * abs(lowest))
    return int(near[np.argmin(begins_s[near])])


def best(costs: Costs, job: Job, *, zone: str = "") -> Schedule:
    """Cheapest schedule of *job*: exact, the earliest of equals.

    Parameters
    ----------
    costs
        Cost of a kilowatt-hour in each slot; they have to reach from the job's earliest start to
        its deadline.
    job
        Neither its bounds nor its duration need to fall on edges of slots.
    zone
        Written into the slices.

    Returns
    -------
    Schedule
        Its ``objective`` is never above ``at_once`` unless hours are forbidden.

    Raises
    ------
    InfeasibleError
        If the job does not fit between its bounds, or not into the slots that are allowed.
    CoverageError
        If costs are missing in between.
    UsageError
        If the job makes no sense (a duration of zero, a negative power).

    Notes
    -----
    Running through, the start is any instant: the cost is piecewise linear in it, and all its
    bends are tried. With pauses, work begins and ends on edges of slots and at the bounds, and
    one stretch of work begins or ends inside a slot, for the rest of the duration; checkpoints
    and restarts take their time outside those edges. Shorter slots (`Costs.finer`) allow more.
    Without costs of pauses and with even power this is the optimum over all instants.
    """
    check(job)
    near = costs.within(job.earliest_s, job.deadline_s)
    ground, course = Ground(near), Course.of(job)
    from_s = job.earliest_s - near.start_utc_s
    to_s = job.deadline_s - near.start_utc_s
    begins_s, cost = starts(ground, course, from_s, max(from_s, to_s - job.duration_s))
    first = _earliest(begins_s, cost)
    lowest = float(cost[first])
    pieces: list[Piece] = [(float(begins_s[first]), float(begins_s[first]) + job.duration_s)]
    if job.interruptible:
        worth_it = lowest if math.isinf(lowest) else lowest - 1e-12 * abs(lowest)
        upper, found = interrupted(ground, Frame.of(from_s, to_s, near.step_s), job, worth_it)
        if found:
            lowest, pieces = upper, found
    if math.isinf(lowest):
        raise InfeasibleError(
            f"{_hours(job.duration_s)} do not fit into the hours that are allowed before "
            "the deadline",
            remedy="allow more hours (--off-peak), or a later --deadline"
            if job.interruptible
            else "allow more hours (--off-peak), a later --deadline, or --interruptible",
        )
    slices = _slices(pieces, job, near.start_utc_s, zone)
    return priced(costs, job, slices)


def priced(costs: Costs, job: Job, slices: tuple[Slice, ...]) -> Schedule:
    """What given *slices* of *job* cost, and starting it at once; *costs* may be others.

    Raises
    ------
    CoverageError
        If costs are missing where the job runs or idles.
    """
    end_s = max(slices[-1].end_s, job.earliest_s + job.duration_s)
    near = costs.within(min(slices[0].start_s, job.earliest_s), end_s)
    used_kwh = energies_kwh(job, slices, near)
    at_once = energies_kwh(job, at_once_slices(job), near)
    return Schedule(
        slices,
        float(used_kwh @ near.per_kwh),
        float(at_once @ near.per_kwh),
        float(used_kwh.sum()),
        near.unit.removesuffix("/kWh"),
    )


def at_once_slices(job: Job, *, zone: str = "") -> tuple[Slice, ...]:
    """Running through from the earliest start on."""
    return (Slice(job.earliest_s, job.earliest_s + job.duration_s, zone),)


def check(job: Job) -> None:
    """Refuse a job that makes no sense or cannot be done in time."""
    lengths = (job.min_slice_s, job.checkpoint_s, job.restart_s, job.idle_w)
    powers = (job.power_w or 0.0, *job.power_course_w)
    if not (job.duration_s > 0 and math.isfinite(job.duration_s)):
        raise UsageError(
            f"a job of {job.duration_s:g} s is none", remedy="give a duration above zero"
        )
    if any(not (value >= 0 and math.isfinite(value)) for value in (*lengths, *powers)):
        raise UsageError(
            "a job has a negative or endless power, slice or pause", remedy="give amounts >= 0"
        )
    slack_s = job.deadline_s - job.earliest_s - job.duration_s
    if not slack_s > -TINY:
        raise InfeasibleError(
            f"{_hours(job.duration_s)} of work do not fit into the "
            f"{_hours(max(job.deadline_s - job.earliest_s, 0.0))} until the deadline",
            remedy=f"set the deadline at least {_hours(-slack_s)} later",
        )


def _hours(duration_s: float) -> str:
    return f"{duration_s / 3600:.3g} h"


def interrupted(
    ground: Ground, frame: Frame, job: Job, upper: float, *, few: int = FEW
) -> tuple[float, list[Piece]]:
    """Cheapest schedule with pauses below *upper*, with or without the part slots at both ends.

    No pieces if there is none. Frames of more than some *few* slots are narrowed first.
    """
    best_pieces: list[Piece] = []
    for head in (False, True) if frame.head_s > TINY else (False,):
        for tail in (False, True) if frame.tail_s > TINY else (False,):
            tried: Bools | None = None
            bounds = Bounds.of(ground, frame, job, head=head, tail=tail, upper=upper, few=few)
            while (kept := bounds.kept(upper, tried)) is not None:
                rows = Rows(ground, frame.only(kept, bounds.apart), job, head=head, tail=tail)
                programme = Programme(rows) if rows.possible else None
                end = programme.best() if programme is not None else None
                if programme is not None and end is not None and end.cost < upper:
                    upper, best_pieces = end.cost, programme.pieces(end)
                tried = kept
    return upper, best_pieces


def _slices(pieces: list[Piece], job: Job, start_utc_s: float, zone: str) -> tuple[Slice, ...]:
    """Stretches of work, with coming back before and writing the state after them."""
    last = len(pieces) - 1
    return tuple(
        Slice(
            start_utc_s + from_s - (job.restart_s if number else 0.0),
            start_utc_s + to_s + (job.checkpoint_s if number < last else 0.0),
            zone,
        )
        for number, (from_s, to_s) in enumerate(pieces)
    )
