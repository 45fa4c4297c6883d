# SPDX-License-Identifier: Apache-2.0
"""Rows of costs over all instants at which a job may be switched, for one amount of work done."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.planning.costs import Costs, Floats, at, integral
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
        self._shut = integral(costs.forbidden.astype(float), costs.step_s) if marked else None

    def idle(self, when_s: Floats) -> Floats:
        """Antiderivative of the cost [cost s/kWh]."""
        return at(self.sum, self.step_s, when_s)

    def work(self, from_s: Floats, to_s: Floats) -> Floats:
        """Integral of the cost between instants; infinite where work is forbidden in between."""
        cost = self.idle(to_s) - self.idle(from_s)
        if self._shut is not None:
            shut_s = at(self._shut, self.step_s, to_s) - at(self._shut, self.step_s, from_s)
            cost[shut_s > TINY] = np.inf
        return cost


@dataclass(frozen=True, slots=True)
class Frame:
    """The whole slots between the instants allowed, and what is left at both ends.

    Instants are counted from the beginning of the first slot of the costs [s].
    """

    from_s: float
    to_s: float
    first_s: float
    slots: int
    step_s: float

    @classmethod
    def of(cls, from_s: float, to_s: float, step_s: float) -> "Frame":
        """Whole slots of *step_s* that lie between two instants."""
        first = math.ceil(from_s / step_s - TINY)
        last = math.floor(to_s / step_s + TINY)
        return cls(from_s, to_s, first * step_s, max(last - first, 0), step_s)

    @property
    def head_s(self) -> float:
        """Length of the part slot at the beginning [s]."""
        return max(self.first_s - self.from_s, 0.0)

    @property
    def tail_s(self) -> float:
        """Length of the part slot at the end [s]."""
        return max(self.to_s - self.first_s - self.slots * self.step_s, 0.0)

    def edges_s(self) -> Floats:
        """``(slots + 1,)``."""
        return self.first_s + np.arange(self.slots + 1) * self.step_s


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
        self.edges_s = edges_s = frame.edges_s()
        rest_s = self.rest_s
        self.slot = ground.work(edges_s[:-1], edges_s[1:]) / frame.step_s
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
        ] if self.course.even else []  # fmt: skip
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
        if self.course.even:
            return self.row(self.even[way][within], level)
        at_work, idle = (self.saving, self.coming)[way][within]
        power_w = self.course.at_w(self.work_s(level, rested=rested))
        return self.row(at_work, level) * (power_w / J_PER_KWH) + self.row(idle, level)

    def through(self, level: int, slots: int, *, rested: bool) -> Floats:
        """Cost of *slots* slots without a pause that end at *level*, by slack."""
        if self.course.even:
            if slots not in self._blocks:
                edges_s, power_w = self.edges_s, float(self.course.power_w[0])
                block = self.ground.work(edges_s[: edges_s.size - slots], edges_s[slots:])
                self._blocks[slots] = block * (power_w / J_PER_KWH)
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
