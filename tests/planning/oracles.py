# SPDX-License-Identifier: Apache-2.0
"""Slow and obvious ways to the best schedule: all of them tried, and a mixed-integer programme."""

import itertools
import math

import numpy as np
from scipy.optimize import LinearConstraint, milp

from submeter.planning.costs import Costs
from submeter.planning.courses import energies_kwh
from submeter.records.plans import Job, Slice


def cost_of(costs: Costs, job: Job, work: list[tuple[float, float]]) -> float:
    """Cost of stretches of work, with coming back before and writing the state after each."""
    last = len(work) - 1
    slices = tuple(
        Slice(a - (job.restart_s if n else 0.0), b + (job.checkpoint_s if n < last else 0.0))
        for n, (a, b) in enumerate(work)
    )
    return float(energies_kwh(job, slices, costs) @ costs.per_kwh)


def run_through(costs: Costs, job: Job, *, every_s: float) -> float:
    """Least cost over starts on a fine grid, and at the last start allowed."""
    last_s = job.deadline_s - job.duration_s
    starts = [*np.arange(job.earliest_s, last_s, every_s), last_s]
    return min(cost_of(costs, job, [(s, s + job.duration_s)]) for s in starts)


def all_slices(costs: Costs, job: Job, *, most: int) -> float:
    """Least cost over all lists of two to *most* stretches of work, each boundary tried.

    All boundaries are on edges of slots or on the bounds of the time allowed, but one, which
    follows from the duration. A stretch that does not fill its slot lies at an edge of it.
    """
    edges = costs.start_utc_s + costs.edges_s()
    points = [job.earliest_s, *edges, job.deadline_s]
    points = sorted({p for p in points if job.earliest_s <= p <= job.deadline_s})
    least = math.inf
    for count in range(2, most + 1):
        for bounds in itertools.combinations_with_replacement(points, 2 * count - 1):
            for place in range(2 * count):
                work = _completed(list(bounds), place, job, set(edges))
                if work is not None:
                    least = min(least, cost_of(costs, job, work))
    return least


def _completed(
    bounds: list[float], place: int, job: Job, edges: set[float]
) -> list[tuple[float, float]] | None:
    """The boundary that follows, put in its place; None if that is no schedule."""
    bounds.insert(place, 0.0)
    ends, begins = bounds[1::2], bounds[0::2]
    others = sum(ends) - sum(begins)
    bounds[place] = job.duration_s - others if place % 2 else others - job.duration_s
    work = list(zip(bounds[0::2], bounds[1::2], strict=True))
    lost = job.checkpoint_s + job.restart_s
    if bounds[0] < job.earliest_s or bounds[-1] > job.deadline_s:
        return None
    if any(b - a < max(job.min_slice_s, 1e-6) - 1e-9 for a, b in work):
        return None
    if any(c - b < max(lost, 1e-6) - 1e-9 for (_, b), (c, _) in itertools.pairwise(work)):
        return None
    start, end = work[place // 2]
    crosses = any(start <= e <= end for e in edges)
    return work if crosses else None


def mixed_integer(costs: Costs, job: Job) -> float:  # noqa: PLR0915
    """Least cost by a mixed-integer programme; the job, its bounds and the slots are aligned.

    ``x[i, a]``: slot i does the a-th unit of work. ``z[i, a]``: a pause begins after it.
    ``r[i, a]``: a pause ends before it.
    """
    step, slots = costs.step_s, costs.per_kwh.size
    units = round(job.duration_s / step)
    shape = (slots, units)
    number = np.arange(3 * slots * units).reshape(3, *shape)
    x, z, r = number
    course_w = np.array(job.power_course_w or (job.power_w,), dtype=float)
    power = np.repeat(course_w, units // course_w.size)
    summed = np.concatenate(([0.0], np.cumsum(costs.per_kwh))) * step

    def upto(t: float) -> float:
        return float(np.interp(t, costs.edges_s(), summed))

    price = np.zeros(number.size)
    save, back = job.checkpoint_s, job.restart_s
    for i, a in itertools.product(range(slots), range(units)):
        end, begin = (i + 1) * step, i * step
        price[x[i, a]] = power[a] * step * costs.per_kwh[i]
        after = power[min(a + 1, units - 1)]
        price[z[i, a]] = after * (upto(end + save) - upto(end)) - job.idle_w * upto(end + save)
        price[r[i, a]] = power[a] * (upto(begin) - upto(begin - back))
        price[r[i, a]] += job.idle_w * upto(begin - back)
    rules: list[tuple[dict[int, float], float, float]] = []
    place = np.arange(slots, dtype=float)
    lag = max(1, math.ceil((save + back) / step - 1e-9))
    least = max(1, math.ceil(job.min_slice_s / step - 1e-9))
    for a in range(units):
        rules.append((dict.fromkeys(x[:, a], 1.0), 1, 1))
        if a + 1 < units:
            row = {**dict(zip(x[:, a + 1], place, strict=True))}
            row |= dict(zip(x[:, a], -place, strict=True))
            row |= dict.fromkeys(z[:, a], -float(lag))
            rules.append((row, 1, np.inf))  # a pause is long enough, and units follow each other
        for i in range(slots):
            follows = {x[i + 1, a + 1]: -1.0} if i + 1 < slots and a + 1 < units else {}
            follow_on = {x[i - 1, a - 1]: -1.0} if i and a else {}
            if a + 1 < units:
                rules.append(({x[i, a]: 1.0, z[i, a]: -1.0, **follows}, -np.inf, 0))
            if a:
                rules.append(({x[i, a]: 1.0, r[i, a]: -1.0, **follow_on}, -np.inf, 0))
            rules.append(({z[i, a]: 1.0, x[i, a]: -1.0}, -np.inf, 0))
            rules.append(({r[i, a]: 1.0, x[i, a]: -1.0}, -np.inf, 0))
            outside = a + 1 < least or units - a - 1 < least
            if outside:
                rules.append(({z[i, a]: 1.0}, 0, 0))
            if a == 0:
                rules.append(({r[i, a]: 1.0}, 0, 0))
        if a:
            both = dict.fromkeys(z[:, a - 1], 1.0) | dict.fromkeys(r[:, a], -1.0)
            rules.append((both, 0, 0))
        for other in range(a + 1, min(a + least, units)):
            two = dict.fromkeys(z[:, a], 1.0) | dict.fromkeys(z[:, other], 1.0)
            rules.append((two, -np.inf, 1))
    rules.extend((dict.fromkeys(x[i], 1.0), 0, 1) for i in range(slots))
    matrix = np.zeros((len(rules), number.size))
    for line, (row, _, _) in enumerate(rules):
        for column, factor in row.items():
            matrix[line, column] += factor
    done = milp(
        price / 3.6e6,
        constraints=LinearConstraint(matrix, [low for _, low, _ in rules],
                                     [high for _, _, high in rules]),
        integrality=np.ones(number.size),
        bounds=(0, 1),
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    assert done.success, done.message
    return float(done.fun)
