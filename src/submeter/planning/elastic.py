# SPDX-License-Identifier: Apache-2.0
"""On how many workers a job should run in each slot, given how it scales.

The next worker goes where the energy it adds for the work it adds costs least. That is exact as
long as each further worker brings less than the one before (a concave profile); one that is not is
replaced by its hull, which is reached by changing between two counts inside a slot.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.costs import Costs, Floats
from submeter.planning.single import at_once_slices, check, priced
from submeter.records.plans import Job, Slice
from submeter.units import J_PER_KWH

_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Scaling:
    """How fast a job runs on several counts of workers, and what it draws there.

    Attributes
    ----------
    workers
        Counts that may be used, rising.
    throughput
        Work in a second on each count, in any unit; only ratios matter.
    power_w
        Power at the wall on each count [W].
    """

    workers: tuple[int, ...]
    throughput: tuple[float, ...]
    power_w: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.workers), len(self.throughput), len(self.power_w)}
        if len(sizes) != 1 or not self.workers:
            raise UsageError(
                "a scaling profile needs a throughput and a power for each count of workers",
                remedy="give as many of each",
            )
        rising = all(np.diff(self.workers) > 0) and self.workers[0] > 0
        if not rising or min(self.throughput) <= 0 or min(self.power_w) <= 0:
            raise UsageError(
                "counts of workers have to rise, throughput and power to be above zero",
                remedy="sort the counts, and leave out those that do not run",
            )

    @classmethod
    def amdahl(
        cls,
        workers: tuple[int, ...],
        *,
        parallel_ratio: float,
        worker_w: float,
        fixed_w: float = 0.0,
    ) -> Self:
        """Profile by Amdahl's law [1]_: a given profile, not a measured one.

        Parameters
        ----------
        parallel_ratio
            Share of the work on one worker that more of them divide, 0 to 1.
        worker_w, fixed_w
            Power of each worker, and of what runs once [W].

        References
        ----------
        .. [1] G. M. Amdahl, Validity of the single processor approach to achieving large scale
           computing capabilities, AFIPS 1967.
        """
        if not 0 <= parallel_ratio <= 1:
            raise UsageError(
                f"a parallel share of {parallel_ratio:g} is none", remedy="give 0 to 1"
            )
        speed = tuple(1 / (1 - parallel_ratio + parallel_ratio / n) for n in workers)
        return cls(workers, speed, tuple(fixed_w + n * worker_w for n in workers))


@dataclass(frozen=True, slots=True)
class Allocation:
    """On how many workers a job runs when.

    Attributes
    ----------
    slices
        With their workers, in time order; merged where the count stays.
    objective, at_once
        Cost of the allocation, and of running on the base count from the earliest start on, past
        the deadline if it has to; nan if the costs do not reach that far.
    energy_kwh
        Energy of the allocation.
    unused
        Counts that no best allocation uses, as time on their neighbours is better: outside the
        hull of the profile.
    unit
        Of the costs.
    """

    slices: tuple[Slice, ...]
    objective: float
    at_once: float
    energy_kwh: float
    unused: tuple[int, ...] = ()
    unit: str = ""

    @property
    def saving_ratio(self) -> float:
        """Share saved against the base count at once [1]."""
        return (self.at_once - self.objective) / abs(self.at_once) if self.at_once else 0.0

    @property
    def resizes(self) -> int:
        """Changes of the count between the first start and the end, pauses among them."""
        return (
            len(self.slices)
            - 1
            + sum(
                b.start_s - a.end_s > _TINY
                for a, b in zip(self.slices, self.slices[1:], strict=False)
            )
        )


def elastic(
    costs: Costs, job: Job, scaling: Scaling, *, base: int | None = None, zone: str = ""
) -> Allocation:
    """Cheapest number of workers in each slot: exact for the profile's hull.

    Parameters
    ----------
    costs
        Cost of a kilowatt-hour in each slot.
    job
        Its duration is that on *base* workers; powers are those of *scaling*. It may be paused
        and resized at no cost: choose slots that are long against what that takes.
    base
        Count that the duration is told for, and that starting at once runs on; else the first.

    Raises
    ------
    InfeasibleError
        If even the fastest count is too slow for the time, or too few hours are allowed.
    UsageError
        If *base* is no count of the profile.

    Notes
    -----
    Over the time ``l_i`` that slot i has within the bounds, shares of counts k:
    minimise ``sum_ik c_i P_k x_ik`` with ``sum_ik r_k x_ik = W``, ``sum_k x_ik <= l_i``. For one
    slot the least cost is piecewise linear and convex in the work done in it: the lower hull of
    ``(r_k, P_k)`` and standing still (the upper one where energy is paid for being used). Its
    pieces of all slots, cheapest first, until the work is done, are the optimum.
    """
    base = scaling.workers[0] if base is None else base
    if base not in scaling.workers:
        raise UsageError(
            f"the profile has no {base} workers",
            remedy=f"choose one of {', '.join(map(str, scaling.workers))}",
        )
    at = scaling.workers.index(base)
    speed = np.array(scaling.throughput) / scaling.throughput[at]
    _check_room(job, float(speed.max()))
    near = costs.within(job.earliest_s, job.deadline_s)
    edges_s = near.start_utc_s + near.edges_s()
    from_s = np.maximum(edges_s[:-1], job.earliest_s)
    room_s = np.minimum(edges_s[1:], job.deadline_s) - from_s
    if near.forbidden.size:
        room_s = np.where(near.forbidden, 0.0, room_s)
    rates = np.concatenate(([0.0], speed))
    power_w = np.array([0.0, *scaling.power_w])
    lower, upper = hull(rates, power_w), hull(rates, -power_w)
    work_s = _filled(near.per_kwh, room_s, rates, power_w, (lower, upper), job.duration_s)
    pieces, used_kwh = _realised(near.per_kwh, from_s, room_s, work_s, rates, power_w,
                                 (lower, upper))  # fmt: skip
    counts = (0, *scaling.workers)
    slices = _merged([(a, b, counts[k]) for a, b, k in pieces], zone)
    at_once = _at_once(costs, job, scaling.power_w[at])
    unused = tuple(n for k, n in enumerate(scaling.workers, 1) if k not in lower)
    return Allocation(
        slices,
        float(used_kwh @ near.per_kwh),
        at_once,
        float(used_kwh.sum()),
        unused,
        near.unit.removesuffix("/kWh"),
    )


def _check_room(job: Job, fastest: float) -> None:
    """Refuse what even the fastest count cannot do in time."""
    hurried = Job(job.duration_s / fastest, job.earliest_s, job.deadline_s, job.power_w)
    check(hurried)


def hull(rates: Floats, power_w: Floats) -> list[int]:
    """Points of the lower hull of power over rate, from standing still to the fastest."""
    order = np.lexsort((power_w, rates)).tolist()
    kept: list[int] = []
    for index in order:
        if kept and rates[index] == rates[kept[-1]]:
            continue
        while len(kept) > 1 and _turns_down(rates, power_w, kept[-2], kept[-1], index):
            kept.pop()
        kept.append(index)
    return kept


def _turns_down(rates: Floats, power_w: Floats, a: int, b: int, c: int) -> bool:
    """Whether *b* lies on or above the line from *a* to *c*."""
    rise = (power_w[b] - power_w[a]) * (rates[c] - rates[a])
    return bool(rise >= (power_w[c] - power_w[a]) * (rates[b] - rates[a]))


def _filled(
    per_kwh: Floats,
    room_s: Floats,
    rates: Floats,
    power_w: Floats,
    hulls: tuple[list[int], list[int]],
    wanted_s: float,
) -> Floats:
    """Work of each slot: pieces of the hulls of all slots, the cheapest first [s on base]."""
    price, amount, slot = [], [], []
    for points, slots in (
        (hulls[0], np.flatnonzero(per_kwh >= 0)),
        (hulls[1], np.flatnonzero(per_kwh < 0)),
    ):
        step = np.diff(rates[points])
        slope = np.diff(power_w[points]) / step
        price.append((per_kwh[slots][:, None] * slope).ravel())
        amount.append((room_s[slots][:, None] * step).ravel())
        slot.append(np.repeat(slots, step.size))
    prices, amounts, slots_ = (np.concatenate(row) for row in (price, amount, slot))
    order = np.lexsort((slots_, prices))  # the earliest of equals
    before = np.cumsum(amounts[order]) - amounts[order]
    taken = np.clip(wanted_s - before, 0.0, amounts[order])
    if taken.sum() < wanted_s - 1e-6:
        raise InfeasibleError(
            "the work does not fit into the hours that are allowed, on any number of workers",
            remedy="allow more hours, more workers or a later deadline",
        )
    work_s: Floats = np.bincount(slots_[order], weights=taken, minlength=per_kwh.size).astype(
        float
    )
    return work_s


def _realised(
    per_kwh: Floats,
    from_s: Floats,
    room_s: Floats,
    work_s: Floats,
    rates: Floats,
    power_w: Floats,
    hulls: tuple[list[int], list[int]],
) -> tuple[list[tuple[float, float, int]], Floats]:
    """Stretches (from, to, index of the count) that do the work of each slot, and energies."""
    pieces: list[tuple[float, float, int]] = []
    used_kwh = np.zeros(per_kwh.size)
    for slot in np.flatnonzero(work_s > _TINY).tolist():
        points = hulls[0] if per_kwh[slot] >= 0 else hulls[1]
        rate = work_s[slot] / room_s[slot]
        above = int(np.searchsorted(rates[points], rate * (1 - 1e-12)))
        above = min(above, len(points) - 1)
        low, high = points[above - 1], points[above]
        share = min((rate - rates[low]) / (rates[high] - rates[low]), 1.0)
        begin_s, end_s = float(from_s[slot]), float(from_s[slot] + room_s[slot])
        turn_s = begin_s + float(share) * (end_s - begin_s)
        stretches = [(begin_s, turn_s, high), (turn_s, end_s, low)]
        for a, b, k in stretches:
            if k and b - a > _TINY:
                pieces.append((a, b, k))
                used_kwh[slot] += power_w[k] * (b - a) / J_PER_KWH
    return pieces, used_kwh


def _merged(pieces: list[tuple[float, float, int]], zone: str) -> tuple[Slice, ...]:
    slices: list[Slice] = []
    for begin_s, end_s, count in pieces:
        last = slices[-1] if slices else None
        if last and last.workers == count and abs(last.end_s - begin_s) < 1e-6:  # noqa: PLR2004
            slices[-1] = Slice(last.start_s, end_s, zone, count)
        else:
            slices.append(Slice(begin_s, end_s, zone, count))
    return tuple(slices)


def _at_once(costs: Costs, job: Job, power_w: float) -> float:
    steady = Job(job.duration_s, job.earliest_s, job.deadline_s, power_w)
    if job.earliest_s + job.duration_s > costs.end_utc_s:
        return math.nan
    return priced(costs, steady, at_once_slices(steady)).at_once
