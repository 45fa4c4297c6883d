# SPDX-License-Identifier: Apache-2.0
"""Whole plans: what fits is kept, the rest is placed into what is left, and jobs move."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from submeter.planning.fleet_prices import Column, Prices, cheapest
from submeter.planning.fleets import Fleet, Floats, LeftS, Task, endless

_FITS: Final = 1e-9
_PASSES: Final = 8
_EJECTIONS: Final = 4  # for each task without a place, in all
_MOVED: Final = 1e-9
_WORTH: Final = 1e-3  # a pass that saves less of the cost is the last


@dataclass
class Board:
    """Capacity that is left, shapes (sites, slots); infinite where nothing limits it."""

    power_kw: Floats
    gpus: Floats

    @classmethod
    def of(cls, fleet: Fleet) -> "Board":
        """All of the capacity of *fleet*."""
        none = np.full(fleet.slots, np.inf)
        return cls(
            np.array([none if s.capacity_kw is None else s.capacity_kw for s in fleet.sites]),
            np.array([none if s.gpus is None else s.gpus for s in fleet.sites]),
        )

    def binding(self, tasks: Sequence[Task]) -> "Board":
        """The same without limits that others imply for *tasks*: it halves a programme.

        Where no task draws more than r kW for each accelerator that it holds, g accelerators
        together draw no more than r g.
        """
        kw_each = max((_share(t.power_kw.max(), t.gpus) for t in tasks), default=0.0)
        if any(task.idle_kw for task in tasks):  # which holds no accelerator
            kw_each = np.inf
        gpus_each = max((_share(t.gpus, t.power_kw.min()) for t in tasks), default=0.0)
        made = self.copy()
        if np.isfinite(kw_each):
            made.power_kw[_finite(self.gpus) * kw_each <= self.power_kw] = np.inf
        if np.isfinite(gpus_each):
            made.gpus[_finite(made.power_kw) * gpus_each <= self.gpus] = np.inf
        return made

    def copy(self) -> "Board":
        """A board of its own."""
        return Board(self.power_kw.copy(), self.gpus.copy())

    def fits(self, column: Column) -> bool:
        """Whether *column* has room."""
        at = column.site, column.slots
        return bool(
            (column.power_kw <= self.power_kw[at] + _FITS).all()
            and (column.gpus <= self.gpus[at] + _FITS).all()
        )

    def take(self, column: Column) -> None:
        """Use the room of *column*."""
        at = column.site, column.slots
        self.power_kw[at] -= column.power_kw
        self.gpus[at] -= column.gpus

    def give(self, column: Column) -> None:
        """Free the room of *column*."""
        at = column.site, column.slots
        self.power_kw[at] += column.power_kw
        self.gpus[at] += column.gpus

    def closed(self, task: Task) -> npt.NDArray[np.bool_]:
        """Where *task* has no room, shape (sites, slots)."""
        tight = self.power_kw + _FITS < task.power_kw.max()
        return np.asarray(tight | (self.gpus + _FITS < task.gpus), dtype=np.bool_)

    def never(self, task: Task) -> npt.NDArray[np.bool_]:
        """Where *task* would have no room even if nobody else were there, shape (sites, slots)."""
        tight = self.power_kw + _FITS < task.power_kw.min()
        return np.asarray(tight | (self.gpus + _FITS < task.gpus), dtype=np.bool_)

    def worth(self, prices: Prices) -> float:
        """What all of the capacity costs under *prices*."""
        total = 0.0
        for room, price in ((self.power_kw, prices.power), (self.gpus, prices.gpus)):
            limited = np.isfinite(room)
            total += float(room[limited] @ price[limited])
        return total


def _finite(room: Floats) -> Floats:
    """Limits; nan, which is under nothing, where there is none."""
    return np.where(np.isfinite(room), room, np.nan)


def _share(amount: float, whole: float) -> float:
    return float(amount) / float(whole) if whole > 0 else (np.inf if amount > 0 else 0.0)


@dataclass
class Standing:
    """A plan under way: a column for each task, or None, and the capacity left."""

    columns: list[Column | None]
    room: Board

    def empty(self, board: Board) -> "Standing":
        """As many tasks, none with a place."""
        return Standing([None] * len(self.columns), board.copy())

    def put(self, column: Column) -> None:
        """Give a task the place *column*."""
        self.columns[column.task] = column
        self.room.take(column)

    def lift(self, column: Column) -> None:
        """Take the place away again."""
        self.columns[column.task] = None
        self.room.give(column)

    @property
    def cost(self) -> float:
        """Of the tasks that have a place."""
        return float(sum(c.cost for c in self.columns if c is not None))

    @property
    def left_out(self) -> int:
        """How many tasks have no place."""
        return sum(c is None for c in self.columns)

    def missed(self, penalties: Floats) -> float:
        """Penalties of the tasks without a place."""
        return float(sum(p for p, c in zip(penalties, self.columns, strict=True) if c is None))


def settle(
    found: Standing, tasks: Sequence[Task], prices: Prices, costs: Floats, penalties: Floats
) -> Standing:
    """Give each task without a place one, if need be in the place of others that move on."""
    waiting = [i for i, column in enumerate(found.columns) if column is None]
    waiting.sort(key=lambda i: -penalties[i] / max(1, tasks[i].last - tasks[i].first))
    budget = _EJECTIONS * len(waiting) + _EJECTIONS
    pressed = np.zeros(len(tasks))
    while waiting:
        i = waiting.pop(0)
        if _place(found, i, tasks[i], prices, costs) or budget <= 0:
            continue
        budget -= 1
        pressed[i] += 1
        gone = _eject(found, i, tasks, prices, costs, penalties * (1 + pressed))
        waiting.extend(gone)
    return found


def improve(
    found: Standing,
    tasks: Sequence[Task],
    prices: Prices,
    costs: Floats,
    bound: float,
    gap_ratio: float,
    left_s: LeftS = endless,
) -> Standing:
    """Move tasks one by one to where they are cheapest, while that helps and there is time."""
    free = Prices(costs, np.zeros_like(costs), np.zeros_like(costs))
    for _ in range(_PASSES):
        if found.cost - bound <= gap_ratio / 4 * abs(bound) or left_s() <= 0:
            break
        before = found.cost
        for i, column in enumerate(found.columns):
            if column is None:
                _place(found, i, tasks[i], prices, costs)
                continue
            _move(found, column, tasks[i], free, costs)
        if before - found.cost <= _WORTH * abs(before):
            break
    return found


def _place(found: Standing, i: int, task: Task, prices: Prices, costs: Floats) -> bool:
    best = cheapest(i, task, prices, costs, found.room.closed(task))
    if best is None or not found.room.fits(best[0]):
        return False
    found.put(best[0])
    return True


def _move(found: Standing, column: Column, task: Task, prices: Prices, costs: Floats) -> None:
    """Move a task to a cheaper place, if there is one."""
    found.lift(column)
    best = cheapest(column.task, task, prices, costs, found.room.closed(task))
    better = best is not None and best[0].cost < column.cost - _MOVED * abs(column.cost)
    if best is not None and better and found.room.fits(best[0]):
        found.put(best[0])
    else:
        found.put(column)


def _eject(
    found: Standing,
    i: int,
    tasks: Sequence[Task],
    prices: Prices,
    costs: Floats,
    penalties: Floats,
) -> Iterable[int]:
    """Put task *i* where it displaces the least, and name who lost the place for it."""
    task = tasks[i]
    dense = Prices(prices.energy, prices.power * 3 + _shortage(found, task, costs), prices.gpus)
    best = cheapest(i, task, dense, costs)
    if best is None:
        return ()
    column = best[0]
    rivals = [
        c
        for c in found.columns
        if c is not None and c.site == column.site and np.intersect1d(c.slots, column.slots).size
    ]
    rivals.sort(key=lambda c: penalties[c.task])
    lifted: list[Column] = []
    for rival in rivals:
        if found.room.fits(column):
            break
        if penalties[rival.task] > penalties[i]:
            continue
        found.lift(rival)
        lifted.append(rival)
    if not found.room.fits(column):
        for rival in lifted:
            found.put(rival)
        return ()
    found.put(column)
    for rival in reversed(lifted):  # whoever was lifted in vain goes back
        if found.room.fits(rival):
            found.put(rival)
    return [rival.task for rival in lifted if found.columns[rival.task] is None]


def _shortage(found: Standing, task: Task, costs: Floats) -> Floats:
    """A price on the power that *task* would lack, shape (sites, slots)."""
    most = max(float(task.power_kw.max()), 1e-9)
    lacking = np.clip(task.power_kw.max() - found.room.power_kw, 0.0, None) / most
    lacking = lacking + np.clip(task.gpus - found.room.gpus, 0.0, None) / max(task.gpus, 1e-9)
    scale = float(np.abs(costs).max()) * float(task.energy_kwh.max()) / most
    price: Floats = 10.0 * scale * lacking
    return price
