# SPDX-License-Identifier: Apache-2.0
"""Moves that lower carbon by the average and by the marginal signal, and what that caution costs.

The average intensity is what an inventory books, the marginal one what a decision changes. They
can point in opposite directions; then nobody can say that a move helps. A cautious plan has the
least average carbon among those that are not worse than starting at once by the marginal signal.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.planning.contiguous import starts
from submeter.planning.costs import Costs, Floats
from submeter.planning.courses import Course, energies_kwh
from submeter.planning.objectives import same_slots
from submeter.planning.rows import Ground
from submeter.planning.single import Schedule, at_once_slices, best, check, priced
from submeter.records.plans import Job, Slice

_TRIES: Final = 24  # halvings of the weight of the marginal signal
_SAFE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Cautious:
    """A plan that is not worse by either signal.

    Attributes
    ----------
    by_average, by_marginal
        The same slices, by each signal.
    unbound
        The best plan by the average signal alone.
    forgone
        Average carbon that the caution costs: of this plan less that of *unbound*, >= 0.
    gap
        At most so much average carbon a still better plan of this kind could save, >= 0;
        0 for a job that runs through, which is exact.
    """

    by_average: Schedule
    by_marginal: Schedule
    unbound: Schedule
    forgone: float
    gap: float

    @property
    def price_ratio(self) -> float:
        """The price of caution as a share of what starting at once brings [1]."""
        return self.forgone / abs(self.by_average.at_once) if self.by_average.at_once else 0.0


def best_by_both(average: Costs, marginal: Costs, job: Job, *, zone: str = "") -> Cautious:
    """Least average carbon that is not worse than starting at once by the marginal signal.

    Where starting at once is forbidden, and nothing that is allowed is as good by the marginal
    signal, it is what is best by that.

    Parameters
    ----------
    average, marginal
        Both signals in the same slots.

    Raises
    ------
    UsageError
        If slots differ; and as `best`.

    Notes
    -----
    Running through, both costs are linear between the bends of either, so the cheapest start that
    is allowed is a bend, or the place between two bends where the marginal cost equals that of
    starting at once: all are tried. With pauses, ``average + m * marginal`` is made smallest,
    exactly, for the least m whose plan is allowed; what is smallest for any m bounds what any
    allowed plan could save (Lagrangian duality), and *gap* is the distance to it.
    """
    check(job)
    same_slots([average, marginal])
    unbound, least = best(average, job, zone=zone), best(marginal, job, zone=zone)
    once = at_once_slices(job, zone=zone)
    plans, limit = [unbound.slices, least.slices], least.at_once
    if _permitted(average, job, once):
        plans.append(once)
    else:  # then it may be that nothing is as good as what is forbidden
        limit = max(limit, least.objective)
    plans += _through(average, marginal, job, limit, zone)
    bound = -np.inf
    if job.interruptible:
        bound, found = _weighed(average, marginal, job, limit, zone)
        plans += found
    rows = [(priced(average, job, p), priced(marginal, job, p)) for p in plans]
    allowed = [row for row in rows if row[1].objective <= limit + _SAFE * abs(limit)]
    by_average, by_marginal = min(allowed, key=lambda row: row[0].objective)
    forgone = max(by_average.objective - unbound.objective, 0.0)
    gap = max(by_average.objective - max(bound, unbound.objective), 0.0)
    return Cautious(by_average, by_marginal, unbound, forgone, gap if job.interruptible else 0.0)


def _permitted(costs: Costs, job: Job, slices: tuple[Slice, ...]) -> bool:
    """Whether none of *slices* lies in forbidden hours."""
    if not costs.forbidden.size:
        return True
    return not bool(np.any(energies_kwh(job, slices, costs)[costs.forbidden] > 0))


def _through(
    average: Costs, marginal: Costs, job: Job, limit: float, zone: str
) -> list[tuple[Slice, ...]]:
    """Cheapest allowed start of a job that runs through, if there is one."""
    near = [costs.within(job.earliest_s, job.deadline_s) for costs in (average, marginal)]
    grounds, course = [Ground(costs) for costs in near], Course.of(job)
    first_s = job.earliest_s - near[0].start_utc_s
    last_s = max(first_s, job.deadline_s - near[0].start_utc_s - job.duration_s)
    begins_s, ours = starts(grounds[0], course, first_s, last_s)
    _, theirs = starts(grounds[1], course, first_s, last_s)
    begins_s, ours, theirs = _with_crossings(begins_s, ours, theirs, limit)
    ours = np.where(theirs <= limit + _SAFE * abs(limit), ours, np.inf)
    if not np.isfinite(ours).any():
        return []
    start_s = near[0].start_utc_s + float(begins_s[int(np.argmin(ours))])
    return [(Slice(start_s, start_s + job.duration_s, zone),)]


def _with_crossings(
    begins_s: Floats, ours: Floats, theirs: Floats, limit: float
) -> tuple[Floats, ...]:
    """The starts, and those between them at which *theirs* is at the *limit*."""
    open_ = np.isfinite(theirs[:-1]) & np.isfinite(theirs[1:])
    above = theirs > limit
    place = np.flatnonzero(open_ & (above[:-1] != above[1:]))
    left, right = theirs[place] - limit, theirs[place + 1] - limit
    part = left / (left - right)
    between = [row[place] + part * (row[place + 1] - row[place]) for row in (begins_s, ours)]
    return (
        np.concatenate((begins_s, between[0])),
        np.concatenate((ours, between[1])),
        np.concatenate((theirs, np.full(place.size, limit))),
    )


def _weighed(
    average: Costs, marginal: Costs, job: Job, limit: float, zone: str
) -> tuple[float, list[tuple[Slice, ...]]]:
    """Lower bound of what an allowed plan costs, and plans for several weights of the marginal."""
    scale = float(np.abs(average.per_kwh).mean() / max(np.abs(marginal.per_kwh).mean(), 1e-12))
    bound, found = -np.inf, []
    low, high = 0.0, 1.0  # of m / (m + scale)
    for _ in range(_TRIES):
        part = (low + high) / 2
        weight = scale * part / (1 - part)
        mixed = average.per_kwh + weight * marginal.per_kwh
        costs = Costs(average.start_utc_s, average.step_s, mixed, "", average.forbidden)
        plan = best(costs, job, zone=zone)
        bound = max(bound, plan.objective - weight * limit)
        found.append(plan.slices)
        if priced(marginal, job, plan.slices).objective <= limit:
            high = part
        else:
            low = part
    return bound, found
