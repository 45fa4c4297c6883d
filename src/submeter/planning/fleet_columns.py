# SPDX-License-Identifier: Apache-2.0
"""Column generation: the relaxation of a fleet, its bound, and the way to a whole plan."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from submeter.planning.fleet_dives import Dive, Regions, nearest, sizes
from submeter.planning.fleet_moves import Board, Standing, improve, settle
from submeter.planning.fleet_prices import Bools, Column, Prices, charge, cheapest
from submeter.planning.fleet_programme import Master
from submeter.planning.fleets import (
    GAP_RATIO,
    Fleet,
    FleetPlan,
    Floats,
    LeftS,
    Placed,
    Task,
    endless,
    slices_of,
)

ROUNDS: Final = 120
_SMOOTHING: Final = 0.6  # of prices towards the best ones so far (Wentges 1997)
_STEPS: Final = 40
_CONVERGED: Final = 1e-4
_PENALTY: Final = 20.0  # of a job left out, in costs of its dearest schedule
_TOLERANCE: Final = 1e-7
_FEW: Final = 25  # tasks, up to which whole columns are chosen by branch and bound
_MENDED: Final = 12  # regions, before a dive, which is dearer and better
_POOL: Final = 20  # columns of each task that whole plans are made from
_KEPT: Final = 6  # columns of each task that the first programme is given


def solve(
    fleet: Fleet,
    tasks: Sequence[Task],
    *,
    gap_ratio: float = GAP_RATIO,
    weights: Sequence[float] | None = None,
    fixed: "Board | None" = None,
    left_s: LeftS = endless,
) -> FleetPlan:
    """Place as many *tasks* as possible, as cheaply as possible.

    Parameters
    ----------
    weights
        How much worse than others it is to leave a task out, shape (tasks,).
    fixed
        Capacity that is left, instead of the whole.
    left_s
        Gives the time that is left [s]; without any, the best plan so far is told.
    """
    board = (fixed or Board.of(fleet)).binding(tasks)
    costs = np.array([site.cost_per_kwh * site.pue_ratio for site in fleet.sites])
    search = _Search.of(tasks, costs, board, np.ones(len(tasks)) if weights is None else weights)
    search.left_s = left_s
    best = search.run(gap_ratio)
    return search.told(fleet, best, late=left_s() <= 0 and not search.near(best, gap_ratio))


def placed_of(fleet: Fleet, task: Task, column: Column) -> Placed:
    """What *column* means for people."""
    site = fleet.sites[column.site].name
    return Placed(
        job=task.name,
        site=site,
        slices=slices_of(task, column.work, fleet, site, column.part),
        slots=column.slots,
        energy_kwh=column.energy_kwh,
        power_kw=column.power_kw,
        gpus=column.gpus,
        cost=column.cost,
    )


@dataclass
class _Search:
    """The state of a column generation."""

    tasks: Sequence[Task]
    costs: Floats
    board: Board
    penalties: Floats
    master: "Master"
    shut: Sequence[Bools | None]  # of each task, where it alone is too large; None: nowhere
    prices: Prices
    worths: Floats  # of a schedule of each task under them
    columns: list[Column] = field(default_factory=list)
    keys: set[tuple[int, int, int, bytes]] = field(default_factory=set)
    bound: float = -np.inf
    rounds: int = 0
    left_s: LeftS = endless
    _programme: bool = False  # whether columns go to the linear programme at once
    _last: float = 0.0
    _used: tuple[Floats, ...] = ()

    @classmethod
    def of(
        cls, tasks: Sequence[Task], costs: Floats, board: Board, weights: Sequence[float] | Floats
    ) -> "_Search":
        dearest = float(np.abs(costs).max()) or 1.0
        penalties = np.array(
            [
                _PENALTY * weight * dearest * float(task.energy_kwh.sum() + task.pause_kwh)
                for task, weight in zip(tasks, weights, strict=True)
            ]
        )
        penalties = np.maximum(penalties, 1e-6)
        never = [board.never(task) for task in tasks]
        shut = [closed if closed.any() else None for closed in never]
        free = Prices(costs, np.zeros_like(costs), np.zeros_like(costs))
        return cls(tasks, costs, board, penalties, Master(penalties, board), shut, free, penalties)

    def run(self, gap_ratio: float) -> Standing:
        """One stage after the other, each dearer and better, until bound and plan are near."""
        best = Standing([None] * len(self.tasks), self.board.copy())
        if not self.tasks:
            self.bound = 0.0
            return best
        last = self._chosen if len(self.tasks) <= _FEW else self._reworked
        stages = (
            self._greedy, self._warned, self._rounded, self._mended, self._dived, last
        )  # fmt: skip
        for stage in stages:
            best = self._better(best, stage(best, gap_ratio))
            if self.near(best, gap_ratio) or self.left_s() <= 0:
                break
        return best

    def _empty(self) -> Standing:
        return Standing([None] * len(self.tasks), self.board.copy())

    def _greedy(self, best: Standing, gap_ratio: float) -> Standing:
        """Each task where it is cheapest, as long as there is room."""
        self._offered(self.prices)
        return self._settled(best, gap_ratio)

    def _warned(self, best: Standing, gap_ratio: float) -> Standing:
        """The same, warned by prices of capacity."""
        self.prices = self._climbed(self.prices, best)
        self._cull(self.prices)
        return self._settled(self._empty(), gap_ratio)

    def _rounded(self, best: Standing, gap_ratio: float) -> Standing:
        """The schedules of the largest shares that fit, then the rest."""
        del best
        self.prices = self._converged(self.prices, gap_ratio / 8)
        found = self._empty()
        shares = self.master.shares()
        size = sizes(self.tasks, self.board)[[c.task for c in self.columns]]
        for i in np.lexsort((-shares, -size)).tolist():
            column = self.columns[i]
            if shares[i] <= _TOLERANCE:
                continue
            if found.columns[column.task] is None and found.room.fits(column):
                found.put(column)
        return self._settled(found, gap_ratio)

    def _dived(self, best: Standing, gap_ratio: float) -> Standing:
        """A few schedules fixed at a time."""
        del best
        pool, every = nearest(self.columns, self.prices, _POOL), range(len(self.tasks))
        dive = Dive(
            self._empty(), every, pool, self.tasks, self.costs, self.penalties, left_s=self.left_s
        )
        found = dive.run()
        self._known(dive.columns)
        return self._settled(found, gap_ratio)

    def _mended(self, best: Standing, gap_ratio: float, most: int = _MENDED) -> Standing:
        """*best*, the few tasks that pay most, or have no place, placed anew with their rivals."""
        pool = nearest(self.columns, self.prices, _POOL)
        enough = self.bound + gap_ratio * abs(self.bound)
        regions = Regions(
            best, pool, self.tasks, self.prices, self.worths, self.penalties,
            self.shut, enough, self.left_s, most=most,
        )  # fmt: skip
        return regions.run()

    def _reworked(self, best: Standing, gap_ratio: float) -> Standing:
        """The same, once the bound is as high as it gets."""
        self.prices = self._converged(self.prices, _CONVERGED)
        return best if self.near(best, gap_ratio) else self._mended(best, gap_ratio, sys.maxsize)

    def _chosen(self, best: Standing, gap_ratio: float) -> Standing:
        """The best choice of whole columns among those known; worth it for few tasks."""
        del best
        self.prices = self._converged(self.prices, _CONVERGED)
        found = self._empty()
        for i in np.flatnonzero(self.master.whole(self.left_s()) > 1 / 2).tolist():
            if found.columns[self.columns[i].task] is None and found.room.fits(self.columns[i]):
                found.put(self.columns[i])
        return self._settled(found, gap_ratio)

    def told(self, fleet: Fleet, best: Standing, *, late: bool) -> FleetPlan:
        """The plan that *best* is."""
        placed = [
            placed_of(fleet, self.tasks[column.task], column)
            for column in best.columns
            if column is not None
        ]
        cost = float(sum(one.cost for one in placed))
        both = zip(self.tasks, best.columns, strict=True)
        gone = tuple(task.name for task, column in both if column is None)
        bound = min(self.bound, cost) if gone else self.bound
        gap = (cost - bound) / max(abs(bound), 1e-12) if cost > bound else 0.0
        return FleetPlan(
            tuple(placed), gone, cost, bound, gap, self.rounds, len(self.columns), late
        )

    def _known(self, columns: Sequence[Column]) -> None:
        """Keep *columns* that are new."""
        new = [c for c in columns if c.key not in self.keys]
        self.keys |= {c.key for c in new}
        self._add(new)

    def _converged(self, centre: Prices, wanted: float) -> Prices:
        """Prices at which programme and bound are no more than *wanted* apart."""
        value, prices = self._master()
        while (
            self.rounds < ROUNDS and self.left_s() > 0 and value - self.bound > wanted * abs(value)
        ):
            asked = _between(prices, centre, _SMOOTHING)
            before = self.bound
            added = self._offered(asked)
            if self.bound > before:
                centre = asked
            if not added:
                added = self._offered(prices)
            if not added:
                break
            value, prices = self._master()
        return prices

    def _cull(self, prices: Prices) -> None:
        """Give the programme only the columns of each task that are best under *prices*."""
        charged = np.array([charge(column, prices) for column in self.columns])
        kept: dict[int, int] = {}
        columns = []
        for i in np.argsort(charged, kind="stable").tolist():
            column = self.columns[i]
            if kept.get(column.task, 0) < _KEPT:
                kept[column.task] = kept.get(column.task, 0) + 1
                columns.append(column)
        self.columns, self.keys = [], {column.key for column in columns}
        self._programme = True
        self._add(columns)

    def _climbed(self, prices: Prices, best: Standing) -> Prices:
        """Prices that subgradient steps lead to: far cheaper than as many programmes.

        Step length after Polyak 1969, with the cost of *best* for the unknown optimum.
        """
        aim = best.cost + best.missed(self.penalties)
        rooms = (self.board.power_kw, self.board.gpus)
        full = [np.where(np.isfinite(room) & (room > 0), room, 1.0) for room in rooms]
        size, stale, centre = 1.0, 0, prices
        for _ in range(_STEPS):
            if self.left_s() <= 0:
                break
            before = self.bound
            self._offered(prices)
            stale = 0 if self.bound > before else stale + 1
            centre = prices if not stale else centre
            size = size / 2 if stale and stale % 3 == 0 else size
            excess = [
                _excess(used, room, whole, price)
                for used, room, whole, price in zip(
                    self._used, rooms, full, (prices.power, prices.gpus), strict=True
                )
            ]
            norm = sum(float((e * e).sum()) for e in excess)
            if norm <= 0:
                break
            step = size * max(aim - self._last, 0.0) / norm
            prices = Prices(
                self.costs,
                np.maximum(0.0, prices.power + step * excess[0] / full[0]),
                np.maximum(0.0, prices.gpus + step * excess[1] / full[1]),
            )
        return centre

    def near(self, best: Standing, gap_ratio: float) -> bool:
        """Whether *best* is whole and no further from the bound."""
        return best.left_out == 0 and best.cost - self.bound <= gap_ratio * abs(self.bound)

    def _offered(self, prices: Prices) -> int:
        """Each task's best schedule under *prices* becomes a column; how many were new."""
        self.rounds += 1
        total, new = 0.0, []
        used = (np.zeros_like(self.costs), np.zeros_like(self.costs))
        for i, task in enumerate(self.tasks):
            found = cheapest(i, task, prices, self.costs, self.shut[i])
            total += min(self.penalties[i], found[1]) if found else self.penalties[i]
            if found and found[1] < self.penalties[i]:
                at = found[0].site, found[0].slots
                used[0][at] += found[0].power_kw
                used[1][at] += found[0].gpus
            if found and found[0].key not in self.keys:
                self.keys.add(found[0].key)
                new.append(found[0])
        total -= self.board.worth(prices)
        self.bound = max(self.bound, float(total))
        self._last, self._used = float(total), used
        self._add(new)
        return len(new)

    def _add(self, new: list[Column]) -> None:
        self.columns += new
        if self._programme:
            self.master.add(new)

    def _master(self) -> tuple[float, Prices]:
        value, power, gpus = self.master.solve(self.left_s())
        self.worths = self.master.worths()  # which are gone once columns are added
        return value, Prices(self.costs, power, gpus)

    def _better(self, best: Standing, found: Standing) -> Standing:
        return min(best, found, key=lambda s: (s.missed(self.penalties), s.cost))

    def _settled(self, found: Standing, gap_ratio: float) -> Standing:
        """*found* with a place for each task, if there is one; its schedules become columns."""
        found = settle(found, self.tasks, self.prices, self.costs, self.penalties)
        found = improve(
            found, self.tasks, self.prices, self.costs, self.bound, gap_ratio, self.left_s
        )
        self._known([c for c in found.columns if c is not None])
        return found


def _excess(used: Floats, room: Floats, whole: Floats, price: Floats) -> Floats:
    """By what share capacity is overrun; below zero only where a price could still fall."""
    limited = np.isfinite(room)
    share = np.where(limited, (used - np.where(limited, room, 0.0)) / whole, 0.0)
    return np.where((share < 0) & (price <= 0), 0.0, share)


def _between(prices: Prices, centre: Prices, share: float) -> Prices:
    return Prices(
        prices.energy,
        share * centre.power + (1 - share) * prices.power,
        share * centre.gpus + (1 - share) * prices.gpus,
    )
