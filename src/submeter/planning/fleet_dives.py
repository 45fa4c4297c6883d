# SPDX-License-Identifier: Apache-2.0
"""From shares of schedules to whole ones: some are fixed, and the others make room for them.

A dive solves the linear programme over schedules, fixes the surest ones of the largest tasks,
prices capacity anew for who is left, and so on until all have a place. Large ones come first,
since what they leave the small ones can still use: rounded in any other order, a few large tasks
find no room and make up most of what a plan costs above its bound.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from submeter.planning.fleet_moves import Board, Standing
from submeter.planning.fleet_prices import Bools, Column, Prices, charge, cheapest
from submeter.planning.fleet_programme import Master
from submeter.planning.fleets import Floats, LeftS, Task, endless

_FIXED: Final = 0.5  # of the largest tasks, at each stage
_LARGE: Final = 0.51  # of the size of the largest
_SURE: Final = 0.6  # shares from which a schedule is fixed in any case
_PRICINGS: Final = 4  # of a region, at most
_NOISE: Final = 0.1  # share by which prices are disturbed
_PATIENCE: Final = 40  # regions, after which it is asked whether they were worth it
_MOVED: Final = 1e-4  # so much of the cost they have to have saved
_TREE: Final = 200  # nodes of a region's branch and bound
_A_REGION_S: Final = 2.0
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
    sizes: Floats = field(default_factory=lambda: np.zeros(0))

    def run(self) -> Standing:
        """Place the tasks, as far as there is room and time."""
        self.sizes = sizes(self.tasks, self.found.room)
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
        """Place the tasks whose schedules are most nearly whole; numbers of these schedules.

        Of the largest tasks only: what they leave the small ones can still use.
        """
        most = _LARGE * max(self.sizes[i] for i in waiting)
        large = {i for i in waiting if self.sizes[i] >= most}
        wanted = math.ceil(_FIXED * len(large))
        taken: list[int] = []
        for i in np.argsort(-shares, kind="stable").tolist():
            column = self.columns[i]
            if shares[i] <= _TINY or (len(taken) >= wanted and shares[i] < _SURE):
                break
            if column.task in large and self.found.room.fits(column):
                self.found.put(column)
                waiting.discard(column.task)
                large.discard(column.task)
                taken.append(i)
        if not taken:  # none of them can be placed: they are left to whoever settles the rest
            waiting -= large
        return taken


def sizes(tasks: Sequence[Task], room: Board) -> Floats:
    """How much of the capacity of a slot each task takes, shape (tasks,)."""
    kw, gpus = (
        float(np.median(r[np.isfinite(r)])) if np.isfinite(r).any() else np.inf
        for r in (room.power_kw, room.gpus)
    )
    return np.array(
        [max(t.power_kw.max() / max(kw, _TINY), t.gpus / max(gpus, _TINY)) for t in tasks]
    )


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

    What a plan costs above the bound is told by prices: what each task is charged above its best
    schedule, besides what capacity is worth that nobody uses. A few tasks, mostly large ones, make
    up most of it. One of them and those that are in its way are lifted and put back by column
    generation and a mixed-integer programme in the room that others leave; worse is not accepted.
    """

    found: Standing
    pool: Sequence[Column]
    tasks: Sequence[Task]
    prices: Prices
    worths: Floats
    penalties: Floats
    shut: Sequence[Bools | None]
    enough: float
    left_s: LeftS = endless
    size: int = 60
    most: int = sys.maxsize

    def run(self) -> Standing:
        """Plan regions anew until the cost is *enough*, time is up, or it no longer helps."""
        rng = np.random.default_rng(2)
        known: dict[int, list[Column]] = {i: [] for i in range(len(self.tasks))}
        for column in self.pool:
            known[column.task].append(column)
        last, tries = self._cost, 0
        while tries < self.most and self._cost > self.enough and self.left_s() > 0:
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
        """A task that pays much above its best schedule, or has no place, and who is in its way.

        Its best schedule is taken under prices that are disturbed a little, so that another one
        is tried each time.
        """
        over = np.array(
            [
                self.penalties[i]
                if column is None
                else max(charge(column, self.prices) - self.worths[i], 0.0) + _TINY
                for i, column in enumerate(self.found.columns)
            ]
        )
        i = int(rng.choice(len(over), p=over / over.sum()))
        noise = rng.uniform(1 - _NOISE, 1 + _NOISE, self.prices.energy.shape)
        prices = Prices(
            self.prices.energy * noise, self.prices.power * noise, self.prices.gpus * noise
        )
        best = cheapest(i, self.tasks[i], prices, self.prices.energy, self.shut[i])
        if best is None:
            return [i]
        wanted, rivals = best[0], []
        for column in self.found.columns:
            if column is not None and column.task != i and column.site == wanted.site:
                shared = np.intersect1d(column.slots, wanted.slots, assume_unique=True).size
                if shared:
                    rivals.append((shared * rng.uniform(0.3, 1.0), column.task))
        rivals.sort(reverse=True)
        return [i, *(task for _, task in rivals[: self.size - 1])]

    def _priced(
        self,
        lifted: Sequence[int],
        prices: Prices,
        master: Master,
        keys: set[tuple[int, int, int, bytes]],
    ) -> list[Column]:
        """Schedules of *lifted* that are cheaper than those known, and fit."""
        new = []
        for i, worth in zip(lifted, master.worths().tolist(), strict=True):
            closed = self.found.room.closed(self.tasks[i])
            best = cheapest(i, self.tasks[i], prices, prices.energy, closed)
            if best is None or best[0].key in keys or not self.found.room.fits(best[0]):
                continue
            if best[1] < worth - _WORTH * abs(worth):
                keys.add(best[0].key)
                new.append(best[0])
        return new

    def _anew(self, lifted: Sequence[int], known: dict[int, list[Column]]) -> None:
        """Choose schedules of *lifted* anew."""
        before = {i: column for i in lifted if (column := self.found.columns[i]) is not None}
        for column in before.values():
            self.found.lift(column)
        columns = [c for i in lifted for c in known[i] if self.found.room.fits(c)]
        rows = {task: row for row, task in enumerate(lifted)}
        columns += [c for c in before.values() if not any(c is k for k in known[c.task])]
        master = Master(self.penalties[list(lifted)], self.found.room, rows=rows)
        master.add(columns)
        keys = {c.key for c in columns}
        for _ in range(_PRICINGS):
            _, power, gpus = master.solve(self.left_s())
            new = self._priced(lifted, Prices(self.prices.energy, power, gpus), master, keys)
            if not new:
                break
            master.add(new)
            columns += new
            for column in new:
                known[column.task].append(column)
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
