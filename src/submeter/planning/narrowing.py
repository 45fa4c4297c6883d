# SPDX-License-Identifier: Apache-2.0
"""Slots in which no cheapest schedule can be at work, so that a year is looked at but once.

A price for work, ``v`` per kilowatt-hour, turns the search round: a slot is worth ``v`` less its
cost for each kilowatt-hour of work in it, and any schedule costs ``v`` times its energy less what
its slices are worth. If the best slice through a slot is worth so little that even with the best
of all others the cost is above that of a schedule that is known, the slot is in no cheapest one.
No schedule that could be cheaper is lost: what is left out is proven, not guessed.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from submeter.planning.costs import Bools, Floats
from submeter.planning.courses import Course
from submeter.planning.rows import TINY, Frame, Ground, whole
from submeter.records.plans import Job
from submeter.units import J_PER_KWH

FEW: Final = 1500  # slots that are cheaper to look at than to exclude
_LENGTHS: Final = 4  # of the job, that are as cheap
_TRIES: Final = 9  # prices for work that are tried
_MANY: Final = 5000  # slots that take too long one by one
_SAFE: Final = 1e-9  # of the cost: what rounding may hide


@dataclass(slots=True, eq=False)
class Bounds:
    """How much a schedule at least costs if it is at work in a slot.

    Attributes
    ----------
    apart
        Slots of a gap that have to stay, so that a pause fits into it as before.
    least
        ``(slots,)``, least cost of a schedule that is at work in a slot; empty where the frame
        is small, or the costs are not all above zero: then all slots stay.
    """

    apart: int
    slots: int
    wanted: int
    least: Floats

    @classmethod
    def of(
        cls,
        ground: Ground,
        frame: Frame,
        job: Job,
        *,
        head: bool,
        tail: bool,
        upper: float = math.inf,
        few: int = FEW,
    ) -> "Bounds":
        """Bounds for one frame; *head* and *tail* say which part slots are worked through.

        They are made no sharper than it takes to see that nothing here is below *upper*.
        """
        course = Course.of(job)
        lost_s = job.checkpoint_s + job.restart_s
        apart = whole(lost_s + frame.step_s, frame.step_s) + 2
        wanted = max(few, _LENGTHS * whole(job.duration_s, frame.step_s))
        cost = np.diff(ground.sum) / ground.step_s
        least = np.zeros(0)
        if frame.slots > 2 * wanted and cost.min() >= 0:
            least = _least_costs(_Market(ground, frame, job, course, head=head, tail=tail), upper)
        return cls(apart, frame.slots, wanted, least)

    def kept(self, upper: float, tried: Bools | None) -> Bools | None:
        """Slots to look at for a schedule below *upper*; None if *tried* has shown all of them."""
        if self.least.size == 0:
            return np.ones(self.slots, dtype=np.bool_) if tried is None else None
        limit = upper + _SAFE * abs(upper)
        needed: Bools = self.least <= limit
        if not needed.any() or (tried is not None and not (needed & ~tried).any()):
            return None
        if tried is None and int(needed.sum()) > self.wanted:
            promising: Bools = self.least <= np.partition(self.least, self.wanted)[self.wanted]
            return promising
        return needed


class _Part(NamedTuple):
    """A part slot at an end of the time allowed that is worked through.

    Its length in slots, its cost per kilowatt-hour, and the fewest whole slots of its slice.
    """

    at_beginning: bool
    ratio: float
    cost: float
    fewest: int


class _Market:
    """What slots and slices are worth at a price for work."""

    def __init__(
        self, ground: Ground, frame: Frame, job: Job, course: Course, *, head: bool, tail: bool
    ) -> None:
        first = round(float(frame.edges_s[0]) / frame.step_s)
        self.cost = np.diff(ground.sum[first : first + frame.slots + 1]) / frame.step_s
        self.lowest = float((np.diff(ground.sum) / ground.step_s).min())
        self.low_kwh = float(course.power_w.min()) * frame.step_s / J_PER_KWH
        self.high_kwh = float(course.power_w.max()) * frame.step_s / J_PER_KWH
        self.work_kwh = float(course.energy_j[-1]) / J_PER_KWH
        used_s = job.duration_s - head * frame.head_s - tail * frame.tail_s
        self.rest_ratio = used_s / frame.step_s - math.floor(used_s / frame.step_s + TINY)
        self.rest_ratio = max(self.rest_ratio, 0.0)
        lost_s = job.checkpoint_s + job.restart_s
        self.pause = float(course.power_w.min()) * lost_s / J_PER_KWH * self.lowest
        rest_s = self.rest_ratio * frame.step_s
        self.shortest = whole(job.min_slice_s - rest_s, frame.step_s, least=1)
        self.idle_kwh = job.idle_w * frame.step_s / J_PER_KWH
        self.ends = [
            _Part(
                begins,
                part_s / frame.step_s,
                float(np.diff(ground.sum[at : at + 2])[0]) / ground.step_s,
                whole(job.min_slice_s - rest_s - part_s, frame.step_s),
            )
            for used, begins, part_s, at in (
                (head, True, frame.head_s, first - 1),
                (tail, False, frame.tail_s, first + frame.slots),
            )
            if used
        ]

    def worth(self, cost: Floats, price_per_kwh: float) -> Floats:
        """Most that a slot may be worth, whichever part of the work is done in it."""
        gain = price_per_kwh - cost
        return np.where(gain > 0, gain * self.high_kwh, gain * self.low_kwh)


def _least_costs(market: _Market, upper: float) -> Floats:
    """Least cost with work in each slot: the highest of the bounds of several prices."""
    best = np.full(market.cost.size, -np.inf)
    for bounding in (_bound, _span_bound) if market.idle_kwh else (_bound,):
        low, high = market.lowest, float(market.cost.max())
        for _ in range(_TRIES):
            price_per_kwh = (low + high) / 2
            least, offered_kwh = bounding(market, price_per_kwh)
            np.maximum(best, least, out=best)
            if best.min() > upper + _SAFE * abs(upper):
                return best  # nothing here is as cheap as what is known
            if offered_kwh < market.work_kwh:
                low = price_per_kwh
            else:
                high = price_per_kwh
    return best


def _bound(market: _Market, price_per_kwh: float) -> tuple[Floats, float]:
    """Least cost of a schedule with work in each slot; energy that the price attracts."""
    worth = market.worth(market.cost, price_per_kwh)
    summed = np.concatenate(([0.0], np.cumsum(worth)))
    up_to = np.minimum.accumulate(summed)  # cheapest beginning before an edge
    on_from = np.maximum.accumulate(summed[::-1])[::-1]  # dearest end behind an edge
    through = _best_through(summed, up_to, on_from, market.shortest)
    part = market.rest_ratio * worth
    if market.rest_ratio:
        beside = np.maximum(summed[:-1] - up_to[:-1], on_from[1:] - summed[1:])
        through = np.maximum(through, part + beside)
    through -= market.pause
    good = through > 0
    gains = np.where(good, np.maximum(worth, 0.0), 0.0)
    total = market.pause + _best_slices(worth, good, market.pause)
    offered_kwh = float((gains > 0).sum()) * market.high_kwh
    beyond = np.full(worth.size, -np.inf)  # worth of the slice at an end that reaches a slot
    for end in market.ends:
        own = (
            end.ratio * float(market.worth(np.array([end.cost]), price_per_kwh)[0]) - market.pause
        )
        few = min(end.fewest, worth.size)
        if end.at_beginning:
            total += own + float(on_from[few] - summed[0])
            beyond = np.maximum(beyond, on_from[1:] - on_from[few])
        else:
            total += own + float(summed[-1] - up_to[worth.size - few])
            beyond = np.maximum(beyond, up_to[worth.size - few] - up_to[:-1])
    bound = price_per_kwh * market.work_kwh - total
    return bound - np.minimum(np.maximum(through, beyond), 0.0), offered_kwh


def _best_slices(worth: Floats, good: Bools, pause: float) -> float:
    """Most that slices within the *good* slots are worth together, less a *pause* for each.

    Where there are very many of them, what their slots are worth without the pauses inside a run.
    """
    places = np.flatnonzero(good)
    if places.size > _MANY:
        steps = np.flatnonzero(np.diff(good, prepend=False))
        gains = np.append(np.where(good, np.maximum(worth, 0.0), 0.0), 0.0)
        sums = np.add.reduceat(gains, steps) if steps.size else np.zeros(0)
        return float(np.maximum(sums - pause, 0.0).sum())
    fresh = np.diff(places, prepend=-2) > 1
    paused, running = 0.0, -math.inf
    for value, alone in zip(worth[places].tolist(), fresh.tolist(), strict=True):
        before = -math.inf if alone else running
        running = max(before, paused - pause) + value
        paused = max(paused, running)
    return paused


def _span_bound(market: _Market, price_per_kwh: float) -> tuple[Floats, float]:
    """The same for a job that draws power while it is paused, from its first start to its end."""
    worth = market.worth(market.cost, price_per_kwh)
    idle = -market.idle_kwh * market.cost
    summed = np.concatenate(([0.0], np.cumsum(np.maximum(worth, idle))))
    begin = np.minimum.accumulate(summed)[:-1]
    finish = np.maximum.accumulate(summed[::-1])[::-1][1:]
    total = np.zeros(worth.size)
    for end in market.ends:
        total += end.ratio * max(float(market.worth(np.array([end.cost]), price_per_kwh)[0]), 0.0)
        if end.at_beginning:
            begin = np.full(worth.size, summed[0])
        else:
            finish = np.full(worth.size, summed[-1])
    total += finish - begin
    least = price_per_kwh * market.work_kwh - total
    inside = (worth > idle) & (total > 0)
    return least, float(inside.sum()) * market.high_kwh


def _best_through(summed: Floats, up_to: Floats, on_from: Floats, slots: int) -> Floats:
    """Worth of the best slice of at least so many slots through each slot, ``(n,)``."""
    if slots == 1:
        return on_from[1:] - up_to[:-1]
    size = summed.size - 1
    found = np.full(size, -np.inf)
    found[slots - 1 :] = on_from[slots:] - up_to[: size - slots + 1]  # begins long before
    begun = np.full(size, -np.inf)  # worth of the best slice that begins on an edge
    begun[: size - slots + 1] = on_from[slots:] - summed[: size - slots + 1]
    reach = 1
    while reach < slots:  # best that begins on one of the *slots* edges up to this one
        shift = min(reach, slots - reach)
        begun[shift:] = np.maximum(begun[shift:], begun[:-shift])
        reach += shift
    best: Floats = np.maximum(found, begun)
    return best
