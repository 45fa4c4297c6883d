# SPDX-License-Identifier: Apache-2.0
"""On how many workers a job should run in each slot, given how it scales.

Where changing is free, the next worker goes where the energy it adds for the work it adds costs
least. That is exact as long as each further worker brings less than the one before (a concave
profile); one that is not is replaced by its hull, which is reached by changing between two counts
inside a slot. Where changing costs, `submeter.planning.resizing` tries all ways that may be best.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.costs import Costs, Floats
from submeter.planning.resizing import Resizing, Slots, slots_of
from submeter.planning.scaling import Scaling
from submeter.planning.single import at_once_slices, check, priced
from submeter.records.plans import Job, Slice
from submeter.units import J_PER_KWH

_TINY: Final = 1e-9


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
    gap_ratio
        By how much at most a cheaper allocation may be missed, of the objective [1]; 0 where the
        search was exhausted, as it is unless there are very many ways that cost the same.
    """

    slices: tuple[Slice, ...]
    objective: float
    at_once: float
    energy_kwh: float
    unused: tuple[int, ...] = ()
    unit: str = ""
    gap_ratio: float = 0.0

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
    """Cheapest number of workers in each slot: exact, of the profile's hull if changes are free.

    Parameters
    ----------
    costs
        Cost of a kilowatt-hour in each slot.
    job
        Its duration is that on *base* workers; powers are those of *scaling*. It may be paused
        and resized. Where that costs (``checkpoint_s``, ``restart_s``, ``idle_w``), counts change
        on edges of slots: the checkpoint ends the old stretch, coming back begins the new one, at
        the power of each, and a slot shorter than both is not changed at. The end of the work
        is anywhere in a slot.
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
    slots = slots_of(near.per_kwh, edges_s, job, near.forbidden)
    if job.checkpoint_s or job.restart_s or job.idle_w:
        found = _with_changes(slots, job, scaling, speed)
    else:
        found = _without(near, slots, job, scaling, speed)
    pieces, objective, energy_kwh, unused, gap_ratio = found
    counts = (0, *scaling.workers)
    return Allocation(
        _merged([(a, b, counts[k]) for a, b, k in pieces], zone),
        objective,
        _at_once(costs, job, scaling.power_w[at]),
        energy_kwh,
        tuple(scaling.workers[k] for k in unused),
        near.unit.removesuffix("/kWh"),
        gap_ratio,
    )


class _Found(NamedTuple):
    pieces: Sequence[tuple[float, float, int]]
    objective: float
    energy_kwh: float
    unused: Sequence[int] = ()
    gap_ratio: float = 0.0


def _without(near: Costs, slots: Slots, job: Job, scaling: Scaling, speed: Floats) -> _Found:
    """The best allocation where changes cost nothing."""
    rates = np.concatenate(([0.0], speed))
    power_w = np.array([0.0, *scaling.power_w])
    hulls = hull(rates, power_w), hull(rates, -power_w)
    work_s = _filled(near.per_kwh, slots.room_s, rates, power_w, hulls, job.duration_s)
    pieces, used_kwh = _realised(
        near.per_kwh, slots.from_s, slots.room_s, work_s, rates, power_w, hulls
    )
    unused = [k for k in range(len(speed)) if k + 1 not in hulls[0]]
    return _Found(pieces, float(used_kwh @ near.per_kwh), float(used_kwh.sum()), unused)


def _with_changes(slots: Slots, job: Job, scaling: Scaling, speed: Floats) -> _Found:
    """The best allocation where changes cost."""
    found = Resizing(slots, job, scaling, speed).best()
    if found is None:
        raise _does_not_fit()
    return _Found(found.stretches, found.cost, found.energy_j / J_PER_KWH, (), found.gap_ratio)


def _does_not_fit() -> InfeasibleError:
    return InfeasibleError(
        "the work does not fit into the hours that are allowed, on any number of workers",
        remedy="allow more hours, more workers or a later deadline",
    )


def _check_room(job: Job, fastest: float) -> None:
    """Refuse what even the fastest count cannot do in time."""
    check(msgspec.structs.replace(job, duration_s=job.duration_s / fastest))


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
        raise _does_not_fit()
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
