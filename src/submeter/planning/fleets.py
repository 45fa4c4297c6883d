# SPDX-License-Identifier: Apache-2.0
"""Many jobs on several sites whose power or accelerators are limited in each slot.

A job runs on one site, since its data and its checkpoints lie there. Every plan comes with a
bound that no plan can beat, so that the distance to the best one is known and not believed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from submeter.errors import InfeasibleError, UsageError
from submeter.records.plans import Job, Slice
from submeter.units import S_PER_H

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LeftS = Callable[[], float]
"""Gives the time that is left for planning [s]."""

GAP_RATIO: Final = 0.02
_EPSILON: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Site:
    """A place to run jobs, slot by slot.

    Attributes
    ----------
    cost_per_kwh
        The objective's cost of a kilowatt-hour at the site's meter in each slot, shape (slots,):
        gCO2e/kWh, currency per kWh, L/kWh, or a weighted sum of them.
    capacity_kw
        Power that jobs may draw together behind the facility's losses, shape (slots,) [kW];
        None if nothing limits it.
    gpus
        Accelerators that jobs may hold together, shape (slots,); None if nothing limits them.
    pue_ratio
        Energy at the site's meter per energy of the jobs [1].
    """

    name: str
    cost_per_kwh: Floats
    capacity_kw: Floats | None = None
    gpus: Floats | None = None
    pue_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class FleetJob:
    """A job of a fleet: what it needs, where it may run, and since when it is known.

    Attributes
    ----------
    job
        Length, window, power and pauses; its power has to be given [W].
    gpus
        Accelerators that it holds while it works.
    sites
        Names of the sites that have its data; empty if any will do.
    arrives_s
        Nobody knows of it before [s since 1970 UTC]; None: known from the start.
    """

    name: str
    job: Job
    gpus: float = 0.0
    sites: tuple[str, ...] = ()
    arrives_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Jobs and sites on common slots of ``step_s`` from ``start_s`` [s since 1970 UTC] on."""

    start_s: float
    step_s: float
    sites: tuple[Site, ...]
    jobs: tuple[FleetJob, ...]

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self.sites[0].cost_per_kwh) if self.sites else 0


@dataclass(frozen=True, slots=True)
class Placed:
    """Where and when a job runs.

    Attributes
    ----------
    slots, energy_kwh, power_kw
        Slots in which it works or idles between two slices, its energy in each with what pauses
        add [kWh], and the power that it takes from the capacity [kW]; shape (k,).
    gpus
        Accelerators that it holds in each of them, shape (k,).
    cost
        In the objective's unit, losses of the facility included.
    """

    job: str
    site: str
    slices: tuple[Slice, ...]
    slots: Ints
    energy_kwh: Floats
    power_kw: Floats
    gpus: Floats
    cost: float


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """A plan for all jobs, its cost, and the bound that no plan can beat.

    Attributes
    ----------
    placed
        One for each job that got a place, in the order of the jobs.
    unplaced
        Names of the jobs that got none; empty unless asked for.
    cost, bound
        Of the placed jobs, and the relaxation's lower bound of it [the objective's unit].
    gap_ratio
        ``(cost - bound) / |bound|`` [1].
    rounds, columns
        Of the column generation: how often all jobs were priced, how many schedules were kept.
    late
        Whether the time for planning was up before it was done.
    """

    placed: tuple[Placed, ...]
    unplaced: tuple[str, ...]
    cost: float
    bound: float
    gap_ratio: float
    rounds: int
    columns: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A job cut to the slots. The k-th slot of work uses ``energy_kwh[k]``, holds ``power_kw[k]``.

    ``first`` and ``last`` bound its slots (half-open); a slice has at least ``least`` of them;
    a pause adds ``pause_kwh`` on resuming and keeps ``idle_kw`` on. ``index`` numbers the sites.
    """

    name: str
    sites: Ints
    first: int
    last: int
    energy_kwh: Floats
    power_kw: Floats
    gpus: float
    least: int
    pause_kwh: float
    idle_kw: float
    free: bool
    last_part: float
    slot_h: float

    @property
    def work(self) -> int:
        """Slots that the work takes."""
        return len(self.energy_kwh)


def endless() -> float:
    """No limit of time."""
    return math.inf


def plan_fleet(
    fleet: Fleet,
    *,
    gap_ratio: float = GAP_RATIO,
    best_effort: bool = False,
    left_s: LeftS = endless,
) -> FleetPlan:
    """The cheapest plan for all jobs of *fleet*, within *gap_ratio* of the bound if it is found.

    Parameters
    ----------
    gap_ratio
        Stop as soon as cost and bound are no further apart [1].
    best_effort
        Place as many jobs as possible instead of raising.
    left_s
        Gives the time that is left for planning [s]; when there is none, the best plan so far
        is given, with its gap.

    Raises
    ------
    UsageError
        If the fleet makes no sense: no slots, an unknown site, a job without power.
    InfeasibleError
        If not all jobs can be placed; the message names the site and hours, or the job.

    Notes
    -----
    Column generation (Dantzig and Wolfe 1960): each job chooses one of its schedules, capacities
    couple them. A linear programme over the schedules known so far prices capacity; under these
    prices each job's best schedule is found exactly by dynamic programming, and the sum of these
    is the Lagrangian bound. Whole plans are made of the programme's shares, large jobs first; the
    few jobs that pay most above their best schedule, or have no place, choose anew with those in
    their way, by a mixed-integer programme; if need be, schedules are fixed a few at a time while
    prices change for the others.
    """
    from submeter.planning.fleet_columns import solve
    from submeter.planning.fleet_shortfalls import impossible, reasons

    tasks = cut(fleet)
    alone = impossible(fleet, tasks)
    if alone and not best_effort:
        raise _infeasible(alone)
    solved = solve(fleet, tasks, gap_ratio=gap_ratio, left_s=left_s)
    if solved.unplaced and not best_effort:
        raise _infeasible(reasons(fleet, tasks, solved.unplaced, left_s))
    return solved


def cut(fleet: Fleet) -> list[Task]:
    """*fleet*'s jobs on its slots.

    Work is rounded up to whole slots, of which the last one is used in part; windows are rounded
    inwards.

    Raises
    ------
    UsageError
        As `plan_fleet`.
    """
    _check_sites(fleet)
    named = {site.name: i for i, site in enumerate(fleet.sites)}
    seen: set[str] = set()
    tasks = []
    for one in fleet.jobs:
        if one.name in seen:
            raise UsageError(f"two jobs are called {one.name}", remedy="give each its own name")
        seen.add(one.name)
        tasks.append(_task(one, fleet, named))
    return tasks


def slices_of(task: Task, slots: Ints, fleet: Fleet, site: str, part: int) -> tuple[Slice, ...]:
    """Stretches of work in *slots* (sorted), of which slot *part* is used for ``last_part``."""
    found: list[Slice] = []
    for slot in slots.tolist():
        begin_s = fleet.start_s + slot * fleet.step_s
        share = task.last_part if slot == part else 1.0
        end_s = begin_s + share * fleet.step_s
        if found and abs(found[-1].end_s - begin_s) < _EPSILON * fleet.step_s:
            begin_s = found.pop().start_s
        found.append(Slice(begin_s, end_s, site))
    return tuple(found)


def _infeasible(why: list[str]) -> InfeasibleError:
    more = f"; and {len(why) - 3} more" if len(why) > 3 else ""  # noqa: PLR2004
    return InfeasibleError(
        "the fleet cannot be planned: " + "; ".join(why[:3]) + more,
        remedy="move a deadline, allow another site, raise the capacity named, or --best-effort",
    )


def _check_sites(fleet: Fleet) -> None:
    if not fleet.sites or not fleet.slots:
        raise UsageError("a fleet needs a site and at least one slot", remedy="add a [[site]]")
    if not fleet.step_s > 0:
        raise UsageError("slots need a length", remedy="give step_s above zero")
    if len({site.name for site in fleet.sites}) < len(fleet.sites):
        raise UsageError("two sites have one name", remedy="give each site its own name")
    for site in fleet.sites:
        given = (site.cost_per_kwh, site.capacity_kw, site.gpus)
        for values in given:
            if values is not None and values.shape != (fleet.slots,):
                raise UsageError(
                    f"site {site.name} has {len(values)} slots, others {fleet.slots}",
                    remedy="give every series of every site on the same slots",
                )
        if not np.isfinite(site.cost_per_kwh).all():
            hole = int(np.flatnonzero(~np.isfinite(site.cost_per_kwh))[0])
            raise UsageError(
                f"the cost of site {site.name} is not known in slot {hole}",
                remedy="fill the gap, or plan a shorter time",
            )
        for limit in given[1:]:
            if limit is not None and not (limit >= 0).all():
                raise UsageError(
                    f"a capacity of site {site.name} is below zero or unknown",
                    remedy="give 0 for a closed site, or leave the limit out",
                )


def _task(one: FleetJob, fleet: Fleet, named: dict[str, int]) -> Task:
    job = one.job
    unknown = [site for site in one.sites if site not in named]
    if unknown:
        raise UsageError(
            f"job {one.name} names the site {unknown[0]}, which there is not",
            remedy=f"sites are {', '.join(named)}",
        )
    if not (math.isfinite(job.duration_s) and job.duration_s > 0):
        raise UsageError(f"job {one.name} takes no time", remedy="give a duration above zero")
    if job.deadline_s < max(job.earliest_s, one.arrives_s or job.earliest_s):
        raise UsageError(
            f"the deadline of job {one.name} lies before its arrival",
            remedy="give a later deadline, or an earlier arrival",
        )
    step_s = fleet.step_s
    work = max(1, math.ceil(job.duration_s / step_s - _EPSILON))
    energy_kwh, power_kw = _course(one, work, step_s)
    open_s = max(job.earliest_s, one.arrives_s or job.earliest_s)
    first = max(0, math.ceil((open_s - fleet.start_s) / step_s - _EPSILON))
    last = min(fleet.slots, math.floor((job.deadline_s - fleet.start_s) / step_s + _EPSILON))
    least = work
    pause_kwh = 0.0
    if job.interruptible:
        least = min(work, max(1, math.ceil(job.min_slice_s / step_s - _EPSILON)))
        mean_kw = float(energy_kwh.sum()) * S_PER_H / job.duration_s
        pause_kwh = mean_kw * (job.checkpoint_s + job.restart_s) / S_PER_H
    flat = bool(np.ptp(power_kw) == 0.0)
    return Task(
        name=one.name,
        sites=np.array(sorted({named[s] for s in one.sites or named}), dtype=np.int64),
        first=first,
        last=last,
        energy_kwh=energy_kwh,
        power_kw=power_kw,
        gpus=float(one.gpus),
        least=least,
        pause_kwh=pause_kwh,
        idle_kw=job.idle_w / 1e3 if job.interruptible else 0.0,
        free=job.interruptible and least == 1 and not pause_kwh and not job.idle_w and flat,
        last_part=job.duration_s / step_s - (work - 1),
        slot_h=step_s / S_PER_H,
    )


def _course(one: FleetJob, work: int, step_s: float) -> tuple[Floats, Floats]:
    """Energy in each slot of work [kWh], and the most power in it [kW], shapes (work,)."""
    job = one.job
    course = np.array(job.power_course_w or (job.power_w,), dtype=np.float64)
    if not np.isfinite(course).all() or (course < 0).any():
        raise UsageError(
            f"nobody said what power job {one.name} draws", remedy="give each job a power"
        )
    if not (math.isfinite(one.gpus) and one.gpus >= 0):
        raise UsageError(
            f"job {one.name} holds {one.gpus:g} accelerators", remedy="give none, or how many"
        )
    ends_s = np.minimum(np.arange(work + 1) * step_s, job.duration_s)
    edges_s = np.linspace(0.0, job.duration_s, len(course) + 1)
    sums_kwh = np.concatenate(([0.0], np.cumsum(course * np.diff(edges_s)))) / 1e3 / S_PER_H
    energy_kwh = np.diff(np.interp(ends_s, edges_s, sums_kwh))
    begin = np.searchsorted(edges_s, ends_s[:-1] * (1 + _EPSILON), side="right") - 1
    end = np.searchsorted(edges_s, ends_s[1:] * (1 - _EPSILON), side="left")
    most_w = [course[a : max(b, a + 1)].max() for a, b in zip(begin, end, strict=True)]
    return energy_kwh, np.array(most_w) / 1e3
