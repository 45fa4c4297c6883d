# SPDX-License-Identifier: Apache-2.0
"""Rows of costs over all instants at which a job may be switched, for one amount of work done."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.planning.costs import Bools, Costs, Floats, at, integral
from submeter.planning.courses import Course
from submeter.records.plans import Job
from submeter.units import J_PER_KWH

TINY: Final = 1e-6  # of a second: what is nearer is the same


class Ground:
    """Costs of stretches of time, in which nothing may be done in forbidden slots."""

    def __init__(self, costs: Costs) -> None:
        self.step_s = costs.step_s
        self.sum = integral(costs.per_kwh, costs.step_s)
        marked = costs.forbidden.size and costs.forbidden.any()
        self.shut = integral(costs.forbidden.astype(float), costs.step_s) if marked else None

    def idle(self, when_s: Floats) -> Floats:
        """Antiderivative of the cost [cost s/kWh]."""
        return at(self.sum, self.step_s, when_s)

    def shifted(self, first: int, count: int, by_s: float, *, shut: bool = False) -> Floats:
        """Antiderivative at *count* edges from the *first* on, each *by_s* later.

        With *shut*, of the time in forbidden slots.
        """
        summed = self.shut if shut and self.shut is not None else self.sum
        slots = math.floor(by_s / self.step_s + TINY / self.step_s)
        part = max(by_s / self.step_s - slots, 0.0)
        index = first + slots
        near = summed[index : index + count + 1]
        if near.size < count + 1:  # beyond the last slot it goes on level
            near = np.concatenate((near, np.full(count + 1 - near.size, summed[-1])))
        return near[:-1] + part * (near[1:] - near[:-1]) if part > 0 else near[:-1]

    def work(self, from_s: Floats, to_s: Floats) -> Floats:
        """Integral of the cost between instants; infinite where work is forbidden in between."""
        cost = self.idle(to_s) - self.idle(from_s)
        if self.shut is not None:
            shut_s = at(self.shut, self.step_s, to_s) - at(self.shut, self.step_s, from_s)
            cost[shut_s > TINY] = np.inf
        return cost


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The whole slots between the instants allowed, and what is left at both ends.

    Instants are counted from the beginning of the first slot of the costs [s].

    Attributes
    ----------
    from_s, to_s
        First and last instant allowed.
    edges_s
        ``(slots + 1,)``, edges of the whole slots.
    closed
        ``(slots,)``, slots that stand for time that is left out: no work is done in them.
    """

    from_s: float
    to_s: float
    step_s: float
    edges_s: Floats
    closed: Bools

    @classmethod
    def of(cls, from_s: float, to_s: float, step_s: float) -> "Frame":
        """Whole slots of *step_s* that lie between two instants."""
        first = math.ceil(from_s / step_s - TINY)
        last = max(math.floor(to_s / step_s + TINY), first)
        edges_s: Floats = np.arange(first, last + 1, dtype=np.float64) * step_s
        return cls(from_s, to_s, step_s, edges_s, np.zeros(last - first, dtype=np.bool_))

    def only(self, kept: Bools, apart: int) -> "Frame":
        """The frame without the slots that are not kept; *apart* of each gap stay, closed.

        A gap that was at least *apart* slots long is that long still, so a pause that fits into
        the one fits into the other.
        """
        edge = np.flatnonzero(np.diff(kept, prepend=False, append=False))
        near = kept.copy()
        near[0] = near[-1] = True  # both bounds stay where they are
        for before, after in zip([0, *edge[1::2]], [*edge[0::2], kept.size], strict=True):
            near[before : min(before + apart, after)] = True
        edges_s = np.append(self.edges_s[:-1][near], self.edges_s[-1])
        closed = (~kept | self.closed)[near]
        return Frame(self.from_s, self.to_s, self.step_s, edges_s, closed)

    @property
    def slots(self) -> int:
        """Number of whole slots."""
        return self.closed.size

    @property
    def head_s(self) -> float:
        """Length of the part slot at the beginning [s]."""
        return max(float(self.edges_s[0]) - self.from_s, 0.0)

    @property
    def tail_s(self) -> float:
        """Length of the part slot at the end [s]."""
        return max(self.to_s - float(self.edges_s[-1]), 0.0)


def whole(least_s: float, step_s: float, *, least: int = 0) -> int:
    """Number of slots that are at least *least_s* long together."""
    return max(least, math.ceil(least_s / step_s - TINY))


class Rows:
    """Costs by *slack*: slots that passed without being worked through.

    Slack stays the same while a job runs, so the row of one level of work follows from that of
    the level below without a shift. A *level* counts the whole slots worked through; the part
    slots at the beginning (*head*) and at the end (*tail*) of the time allowed are worked through
    as well, or not at all. What they and the levels leave of the duration is the *rest*.
    """

    def __init__(self, ground: Ground, frame: Frame, job: Job, *, head: bool, tail: bool) -> None:
        self.ground, self.frame, self.job = ground, frame, job
        self.course = Course.of(job)
        self.is_even = self.course.even
        self.head, self.tail = head, tail
        step_s = frame.step_s
        self.before_s = frame.head_s if head else 0.0
        self.after_s = frame.tail_s if tail else 0.0
        left_s = job.duration_s - self.before_s - self.after_s
        self.levels = math.floor(left_s / step_s + TINY)
        self.rest_s = left_s - self.levels * step_s
        if self.rest_s < TINY:
            self.rest_s = 0.0
        self.width = frame.slots - self.levels + 1
        self.possible = left_s > -TINY and self.levels >= 0 and self.width > 0
        lost_s = job.checkpoint_s + job.restart_s
        self.lag = whole(lost_s, step_s, least=1)  # slots between work and work over a pause
        self.late = whole(lost_s + self.rest_s, step_s, least=1)  # the same with the rest in it
        self.least = whole(job.min_slice_s, step_s, least=1)
        self.short = whole(job.min_slice_s - self.rest_s, step_s)  # slots next to the rest
        if self.possible:
            self._prepare()

    def _prepare(self) -> None:
        """Rows over the edges: costs of slots, of the rest, of pausing and coming back."""
        frame, ground, job = self.frame, self.ground, self.job
        self.edges_s = edges_s = frame.edges_s
        rest_s = self.rest_s
        self.slot = ground.work(edges_s[:-1], edges_s[1:]) / frame.step_s
        self.slot[frame.closed] = np.inf
        self.after = self._rest(edges_s, edges_s + rest_s)
        self.ahead = self._rest(edges_s - rest_s, edges_s)
        shifts = (0.0, rest_s) if rest_s else (0.0,)
        self.saving = [
            (ground.work(edges_s + s, edges_s + s + job.checkpoint_s),
             -ground.idle(edges_s + s + job.checkpoint_s) * (job.idle_w / J_PER_KWH))
            for s in shifts
        ]  # fmt: skip
        self.coming = [
            (ground.work(edges_s - s - job.restart_s, edges_s - s),
             ground.idle(edges_s - s - job.restart_s) * (job.idle_w / J_PER_KWH))
            for s in shifts
        ]  # fmt: skip
        self.even = [
            [at_work * (self.course.power_w[0] / J_PER_KWH) + idle for at_work, idle in rows]
            for rows in (self.saving, self.coming)
        ] if self.is_even else []  # fmt: skip
        self._blocks: dict[int, Floats] = {}

    def _rest(self, from_s: Floats, to_s: Floats) -> Floats:
        """Mean cost over the rest of a slot from, to; infinite outside the time allowed."""
        if not self.rest_s:
            return np.zeros(from_s.size)
        cost = self.ground.work(from_s, to_s) / self.rest_s
        outside = (from_s < self.frame.from_s - TINY) | (to_s > self.frame.to_s + TINY)
        cost[outside] = np.inf
        return cost

    def work_s(self, level: int, *, rested: bool) -> float:
        """Work done at a level, the rest in it or not [s]."""
        return self.before_s + level * self.frame.step_s + (self.rest_s if rested else 0.0)

    def energy_kwh(self, from_s: float, to_s: float) -> float:
        """Energy of a part of the work."""
        upto_j = self.course.upto_j(np.array([from_s, to_s]))
        return float(upto_j[1] - upto_j[0]) / J_PER_KWH

    def row(self, values: Floats, level: int) -> Floats:
        """Part of a row over the edges that a level can reach, by slack."""
        return values[level : level + self.width]

    def pausing(self, level: int, *, rested: bool, within: bool = False) -> Floats:
        """Cost of writing the state; with *within*, where the rest ends inside a slot."""
        return self._turn(0, level, rested, within)

    def resuming(self, level: int, *, rested: bool, within: bool = False) -> Floats:
        """Cost of coming back; with *within*, where the rest begins inside a slot."""
        return self._turn(1, level, rested, within)

    def _turn(self, way: int, level: int, rested: bool, within: bool) -> Floats:  # noqa: FBT001
        if self.is_even:
            return self.row(self.even[way][within], level)
        at_work, idle = (self.saving, self.coming)[way][within]
        power_w = self.course.at_w(self.work_s(level, rested=rested))
        return self.row(at_work, level) * (power_w / J_PER_KWH) + self.row(idle, level)

    def through(self, level: int, slots: int, *, rested: bool) -> Floats:
        """Cost of *slots* slots without a pause that end at *level*, by slack."""
        if self.is_even:
            if slots not in self._blocks:
                count = self.slot.size - slots + 1
                block = np.zeros(count)
                for first in range(slots):
                    block += self.slot[first : first + count]
                self._blocks[slots] = block * self.energy_kwh(0.0, self.frame.step_s)
            return self.row(self._blocks[slots], level - slots)
        total = np.zeros(self.width)
        for below in range(level - slots, level):
            from_s = self.work_s(below, rested=rested)
            slot_kwh = self.energy_kwh(from_s, from_s + self.frame.step_s)
            total += self.row(self.slot, below) * slot_kwh
        return total

    def rest_kwh(self, level: int) -> float:
        """Energy of the rest if it is done at *level*."""
        from_s = self.work_s(level, rested=False)
        return self.energy_kwh(from_s, from_s + self.rest_s)
