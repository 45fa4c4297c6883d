# SPDX-License-Identifier: Apache-2.0
"""From shares of schedules to whole ones: some are fixed, and the others make room for them.

A dive solves the linear programme over schedules, fixes the shares that are most nearly whole,
prices capacity anew for who is left, and so on until all have a place. Rounding all at once
leaves the last ones what nobody wanted; here prices warn those that can still go elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from submeter.planning.fleet_moves import Standing
from submeter.planning.fleet_prices import Column, Prices, charge, cheapest
from submeter.planning.fleet_programme import Master
from submeter.planning.fleets import Floats, LeftS, Task, endless

_WHOLE: Final = 1 - 1e-6
_FIXED: Final = 0.12  # of the tasks whose schedules are in parts, at each stage
_SURE: Final = 0.85  # shares from which a schedule is fixed in any case
_PATIENCE: Final = 40  # regions, after which it is asked whether they were worth it
_MOVED: Final = 1e-4  # so much of the cost they have to have saved
_TREE: Final = 200  # nodes of a region's branch and bound
_A_REGION_S: Final = 5.0
_TINY: Final = 1e-12
_WORTH: Final = 1e-7  # by what share a schedule has to be cheaper to be worth adding


@dataclass
class Dive:
    """Places for some tasks in what others leave; those others stay where they are.

    Parameters
    ----------
    found
        The plan; the tasks *open_* have no place in it.
    open_
        Numbers of the tasks to place.
    pool
        Schedules of them that are known.
    pricings
        How often schedules are sought anew at each stage.
    """

    found: Standing
    open_: Sequence[int]
    pool: Sequence[Column]
    tasks: Sequence[Task]
    costs: Floats
    penalties: Floats
    pricings: int = 1
    left_s: LeftS = endless
    columns: list[Column] = field(default_factory=list)

    def run(self) -> Standing:
        """Place the tasks, as far as there is room and time."""
        rows = {task: row for row, task in enumerate(self.open_)}
        none = Prices(self.costs, np.zeros_like(self.costs), np.zeros_like(self.costs))
        master = Master(self.penalties[list(self.open_)], self.found.room, rows=rows)
        self.columns = [c for c in self.pool if self.found.room.fits(c)]
        keys = {c.key for c in self.columns}
        master.add(self.columns)
        waiting, shut = set(self.open_), set[int]()
        while waiting and self.left_s() > 0:
            _, power, gpus = master.solve(self.left_s())
            for _ in range(self.pricings):
                prices = Prices(none.energy, power, gpus)
                new = self._priced(waiting, prices, master.worths(), rows, keys)
                if not new:
                    break
                master.add(new)
                self.columns += new
                _, power, gpus = master.solve(self.left_s())
            taken = self._taken(master.shares(), waiting)
            master.fix(taken, 1.0)
            late = [
                i
                for i, column in enumerate(self.columns)
                if column.task in waiting and i not in shut and not self.found.room.fits(column)
            ]
            if not taken and not late:
                break
            master.fix(late, 0.0)
            shut.update(late)
        return self.found

    def _priced(
        self,
        waiting: set[int],
        prices: Prices,
        worths: Floats,
        rows: dict[int, int],
        keys: set[tuple[int, int, int, bytes]],
    ) -> list[Column]:
        """Schedules of tasks that *waiting*, cheaper than those known."""
        new = []
        for i in sorted(waiting):
            task = self.tasks[i]
            best = cheapest(i, task, prices, self.costs, self.found.room.closed(task))
            if best is None or best[0].key in keys or not self.found.room.fits(best[0]):
                continue
            worth = worths[rows[i]]
            if best[1] < worth - _WORTH * abs(worth):
                keys.add(best[0].key)
                new.append(best[0])
        return new

    def _taken(self, shares: Floats, waiting: set[int]) -> list[int]:
        """Place the tasks whose schedules are most nearly whole; numbers of these schedules."""
        order = np.argsort(-shares, kind="stable").tolist()
        held = [i for i in order if shares[i] > 0 and self.columns[i].task in waiting]
        parts = [i for i in held if shares[i] < _WHOLE]
        wanted = math.ceil(_FIXED * len({self.columns[i].task for i in parts}))
        taken: list[int] = []
        for i in parts or held:
            column = self.columns[i]
            if parts and len(taken) >= wanted and shares[i] < _SURE:
                break
            if column.task in waiting and self.found.room.fits(column):
                self.found.put(column)
                waiting.discard(column.task)
                taken.append(i)
        return taken


def nearest(columns: Sequence[Column], prices: Prices, most: int) -> list[Column]:
    """The *most* schedules of each task that are charged least under *prices*."""
    charged = np.array([charge(column, prices) for column in columns])
    kept: dict[int, int] = {}
    found = []
    for i in np.argsort(charged, kind="stable").tolist():
        column = columns[i]
        if kept.get(column.task, 0) < most:
            kept[column.task] = kept.get(column.task, 0) + 1
            found.append(column)
    return found


@dataclass
class Regions:
    """Places of a plan where money is lost, planned anew one after the other.

    What a plan costs above the bound is told exactly by prices: what each task is charged above
    its best schedule, and what each unit of capacity is worth that nobody uses. Tasks around such
    places are lifted and put back by a mixed-integer programme over their known schedules; worse
    is not accepted.
    """

    found: Standing
    pool: Sequence[Column]
    tasks: Sequence[Task]
    prices: Prices
    worths: Floats
    penalties: Floats
    enough: float
    left_s: LeftS = endless
    size: int = 60
    spread: int = 12

    def run(self) -> Standing:
        """Plan regions anew until the cost is *enough*, time is up, or it no longer helps."""
        rng = np.random.default_rng(2)
        known: dict[int, list[Column]] = {i: [] for i in range(len(self.tasks))}
        for column in self.pool:
            known[column.task].append(column)
        last, tries = self._cost, 0
        while self._cost > self.enough and self.left_s() > 0:
            self._anew(self._around(rng), known)
            tries += 1
            if tries % _PATIENCE == 0:
                if last - self._cost <= _MOVED * abs(last):
                    break
                last = self._cost
        return self.found

    @property
    def _cost(self) -> float:
        return self.found.cost + self.found.missed(self.penalties)

    def _around(self, rng: np.random.Generator) -> list[int]:
        """Tasks around a place that is drawn by what is lost there."""
        lost = np.maximum(_lost(self.found, self.prices), 0.0)
        over = np.zeros(len(self.tasks))
        for i, column in enumerate(self.found.columns):
            over[i] = (
                self.penalties[i]
                if column is None
                else max(charge(column, self.prices) - self.worths[i], 0.0)
            )
            if column is not None and over[i]:
                np.add.at(lost[column.site], column.slots, over[i] / len(column.slots))
        total = float(lost.sum())
        flat = lost.ravel() / total if total > 0 else None
        at = int(rng.choice(lost.size, p=flat))
        slot = at % lost.shape[1]
        near = np.zeros(len(self.tasks))
        for i, column in enumerate(self.found.columns):
            if column is None:
                near[i] = 1.0
                continue
            first, last = self.tasks[i].first, self.tasks[i].last
            if first - self.spread <= slot < last + self.spread:
                apart = int(np.abs(column.slots - slot).min())
                near[i] = (1.0 + over[i] / (self.worths[i] or 1.0)) / (1.0 + apart / self.spread)
        near *= rng.uniform(0.3, 1.0, len(near))
        order = np.argsort(-near, kind="stable")[: self.size]
        return [int(i) for i in order if near[i] > 0]

    def _anew(self, lifted: Sequence[int], known: dict[int, list[Column]]) -> None:
        """Choose schedules of *lifted* anew."""
        before = {i: column for i in lifted if (column := self.found.columns[i]) is not None}
        for column in before.values():
            self.found.lift(column)
        columns = [c for i in lifted for c in known[i] if self.found.room.fits(c)]
        rows = {task: row for row, task in enumerate(lifted)}
        missing = [c for c in before.values() if not any(c is k for k in known[c.task])]
        columns += missing
        master = Master(self.penalties[list(lifted)], self.found.room, rows=rows)
        master.add(columns)
        held = [i for i, c in enumerate(columns) if before.get(c.task) is c]
        shares = master.whole(min(self.left_s(), _A_REGION_S), _TREE, start=held)
        chosen = {columns[i].task: columns[i] for i in np.flatnonzero(shares > 1 / 2).tolist()}
        was = sum(self.penalties[i] if i not in before else before[i].cost for i in lifted)
        now = sum(self.penalties[i] if i not in chosen else chosen[i].cost for i in lifted)
        if now < was - _TINY * abs(was):
            put = []
            for column in chosen.values():
                if not self.found.room.fits(column):
                    break
                self.found.put(column)
                put.append(column)
            else:
                return
            for column in put:
                self.found.lift(column)
        for column in before.values():
            self.found.put(column)


def _lost(found: Standing, prices: Prices) -> Floats:
    """What capacity that nobody uses is worth, shape (sites, slots)."""
    lost = np.zeros_like(prices.energy)
    for room, price in ((found.room.power_kw, prices.power), (found.room.gpus, prices.gpus)):
        lost += np.where(np.isfinite(room), room, 0.0) * price
    return lost
