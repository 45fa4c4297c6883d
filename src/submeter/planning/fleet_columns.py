# SPDX-License-Identifier: Apache-2.0
"""Column generation: the relaxation of a fleet, its bound, and the way to a whole plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from submeter.planning.fleet_moves import Board, Standing, improve, settle, stir
from submeter.planning.fleet_prices import Bools, Column, Prices, charge, cheapest
from submeter.planning.fleets import (
    GAP_RATIO,
    Fleet,
    FleetPlan,
    Floats,
    Ints,
    Placed,
    Task,
    slices_of,
)
from submeter.planning.solver import highs

ROUNDS: Final = 120
_SMOOTHING: Final = 0.6  # of prices towards the best ones so far (Wentges 1997)
_STEPS: Final = 40
_CONVERGED: Final = 1e-4
_PENALTY: Final = 20.0  # of a job left out, in costs of its dearest schedule
_TOLERANCE: Final = 1e-7
_FEW: Final = 25  # tasks, up to which whole columns are chosen by branch and bound
_NODES: Final = 50
_KEPT: Final = 6  # columns of each task that the first programme is given


def solve(
    fleet: Fleet,
    tasks: Sequence[Task],
    *,
    gap_ratio: float = GAP_RATIO,
    weights: Sequence[float] | None = None,
    fixed: "Board | None" = None,
) -> FleetPlan:
    """Place as many *tasks* as possible, as cheaply as possible.

    Parameters
    ----------
    weights
        How much worse than others it is to leave a task out, shape (tasks,).
    fixed
        Capacity that is left, instead of the whole.
    """
    board = fixed or Board.of(fleet)
    costs = np.array([site.cost_per_kwh * site.pue_ratio for site in fleet.sites])
    search = _Search.of(tasks, costs, board, np.ones(len(tasks)) if weights is None else weights)
    best = search.run(gap_ratio)
    return told(fleet, tasks, best, search.bound, search.rounds, len(search.columns))


def told(
    fleet: Fleet, tasks: Sequence[Task], best: Standing, bound: float, rounds: int, columns: int
) -> FleetPlan:
    """The plan that *best* is."""
    placed = [
        placed_of(fleet, tasks[column.task], column)
        for column in best.columns
        if column is not None
    ]
    cost = float(sum(one.cost for one in placed))
    gone = tuple(
        task.name for task, column in zip(tasks, best.columns, strict=True) if column is None
    )
    if gone:
        bound = min(bound, cost)
    gap = (cost - bound) / max(abs(bound), 1e-12) if cost > bound else 0.0
    return FleetPlan(tuple(placed), gone, cost, bound, gap, rounds, columns)


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
    columns: list[Column] = field(default_factory=list)
    keys: set[tuple[int, int, int, bytes]] = field(default_factory=set)
    bound: float = -np.inf
    rounds: int = 0
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
        return cls(tasks, costs, board, penalties, Master(penalties, board), shut)

    def run(self, gap_ratio: float) -> Standing:
        """Rounds until bound and plan are near, or prices converge; then whole plans."""
        centre = Prices(self.costs, np.zeros_like(self.costs), np.zeros_like(self.costs))
        best = Standing([None] * len(self.tasks), self.board.copy())
        if not self.tasks:
            self.bound = 0.0
            return best
        self._offered(centre)
        best = self._settled(best, centre, gap_ratio)
        if self._near(best, gap_ratio):
            return best
        centre = self._climbed(centre, best)
        self._cull(centre)
        best = self._better(best, self._settled(best.empty(self.board), centre, gap_ratio))
        if self._near(best, gap_ratio):
            return best
        wanted = gap_ratio / 4
        while True:
            prices = self._converged(centre, wanted)
            best = self._better(best, self._rounded(prices, gap_ratio))
            if self._near(best, gap_ratio) or wanted <= _CONVERGED or self.rounds >= ROUNDS:
                break
            wanted, centre = wanted / 8, prices
        if self._near(best, gap_ratio) or len(self.tasks) > _FEW:
            return best
        return self._better(best, self._chosen(prices, gap_ratio))

    def _converged(self, centre: Prices, wanted: float) -> Prices:
        """Prices at which programme and bound are no more than *wanted* apart."""
        value, prices = self._master()
        while self.rounds < ROUNDS and value - self.bound > wanted * abs(value):
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

    def _rounded(self, prices: Prices, gap_ratio: float) -> Standing:
        """A whole plan: the columns of the largest shares that fit, then the rest."""
        found = Standing([None] * len(self.tasks), self.board.copy())
        shares = self.master.shares()
        for i in np.argsort(-shares, kind="stable").tolist():
            column = self.columns[i]
            if shares[i] <= _TOLERANCE:
                break
            if found.columns[column.task] is None and found.room.fits(column):
                found.put(column)
        return self._settled(found, prices, gap_ratio, final=True)

    def _chosen(self, prices: Prices, gap_ratio: float) -> Standing:
        """The best choice of whole columns among those known; worth it for few tasks."""
        found = Standing([None] * len(self.tasks), self.board.copy())
        for i in np.flatnonzero(self.master.whole() > 1 / 2).tolist():
            if found.columns[self.columns[i].task] is None and found.room.fits(self.columns[i]):
                found.put(self.columns[i])
        return self._settled(found, prices, gap_ratio)

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

    def _near(self, best: Standing, gap_ratio: float) -> bool:
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
        value, power, gpus = self.master.solve()
        return value, Prices(self.costs, power, gpus)

    def _better(self, best: Standing, found: Standing) -> Standing:
        return min(best, found, key=lambda s: (s.missed(self.penalties), s.cost))

    def _settled(
        self, found: Standing, prices: Prices, gap_ratio: float, *, final: bool = False
    ) -> Standing:
        """*found* with a place for each task, if there is one; its schedules become columns."""
        found = settle(found, self.tasks, prices, self.costs, self.penalties)
        found = improve(found, self.tasks, prices, self.costs, self.bound, gap_ratio)
        if final:
            enough = self.bound + gap_ratio * abs(self.bound)
            found = stir(found, self.tasks, prices, self.penalties, enough)
        new = [c for c in found.columns if c is not None and c.key not in self.keys]
        self.keys |= {c.key for c in new}
        self._add(new)
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


class Master:
    """The linear programme over schedules: each task takes one of its own, capacities hold.

    Rows: one for each task (shares and what is left out add up to one), then power of each site
    and slot that has a limit, then accelerators.
    """

    def __init__(self, penalties: Floats, board: Board, *, elastic: bool = False) -> None:
        import highspy

        self._scale = float(np.mean(penalties)) or 1.0
        self._penalties = penalties
        self._tasks = len(penalties)
        self._board = board
        self._power_row, self._gpu_row, limits = _rows(board, self._tasks)
        self._model: Any = highs()
        self._inf = highspy.kHighsInf
        empty = np.zeros(0)
        none = np.zeros(0, dtype=np.int32)
        count = self._tasks + len(limits)
        low = np.concatenate((np.ones(self._tasks), np.full(len(limits), -self._inf)))
        high = np.concatenate((np.ones(self._tasks), limits))
        self._model.addRows(count, low, high, 0, np.zeros(count, dtype=np.int32), none, empty)
        self._add(penalties / self._scale, [np.array([i]) for i in range(self._tasks)], None)
        self._first = self._tasks
        if elastic:  # a unit of capacity more, for a cost of one
            more = [np.array([self._tasks + i]) for i in range(len(limits))]
            values = [np.array([-1.0])] * len(limits)
            self._add(np.full(len(limits), 1 / self._scale), more, values)
            self._first += len(limits)

    def add(self, columns: Sequence[Column]) -> None:
        """Add *columns*."""
        if not columns:
            return
        rows, values = [], []
        for column in columns:
            at = column.site, column.slots
            power, gpus = self._power_row[at], self._gpu_row[at]
            held, kept = (power >= 0) & (column.power_kw > 0), (gpus >= 0) & (column.gpus > 0)
            rows.append(np.concatenate(([column.task], power[held], gpus[kept])))
            values.append(np.concatenate(([1.0], column.power_kw[held], column.gpus[kept])))
        self._add(np.array([c.cost for c in columns]) / self._scale, rows, values)

    def solve(self) -> tuple[float, Floats, Floats]:
        """The least cost, and prices of power and of accelerators, shapes (sites, slots)."""
        self._model.run()
        value = self._model.getInfo().objective_function_value * self._scale
        dual = np.array(self._model.getSolution().row_dual) * -self._scale
        dual = np.append(np.maximum(dual, 0.0), 0.0)
        return float(value), dual[self._power_row], dual[self._gpu_row]

    def shares(self) -> Floats:
        """How much of each column is taken, shape (columns,)."""
        return np.array(self._model.getSolution().col_value)[self._first :]

    def whole(self) -> Floats:
        """Columns of the best choice that is found, by branch and bound, shape (columns,)."""
        import highspy

        model = self._model
        count = int(model.getNumCol())
        kinds = np.full(count, highspy.HighsVarType.kInteger.value, dtype=np.uint8)
        model.changeColsIntegrality(count, np.arange(count, dtype=np.int32), kinds)
        for name, value in (("mip_rel_gap", _CONVERGED), ("mip_max_nodes", _NODES)):
            model.setOptionValue(name, value)
        model.run()
        values = np.array(model.getSolution().col_value)
        return values[self._first :] if len(values) == count else np.zeros(0)

    def over(self) -> tuple[Floats, Floats]:
        """Power and accelerators that an elastic programme adds, shapes (sites, slots)."""
        values = np.array(self._model.getSolution().col_value)[: self._first]
        values = np.append(np.maximum(values, 0.0), 0.0)
        none = len(values) - 1
        return (
            values[np.where(self._power_row < 0, none, self._power_row)],
            values[np.where(self._gpu_row < 0, none, self._gpu_row)],
        )

    def _add(self, costs: Floats, rows: Sequence[Ints], values: Sequence[Floats] | None) -> None:
        sizes = np.array([len(r) for r in rows])
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int32)
        flat = np.concatenate(rows).astype(np.int32)
        entries = np.ones(len(flat)) if values is None else np.concatenate(values)
        count = len(costs)
        self._model.addCols(
            count, costs, np.zeros(count), np.full(count, self._inf), len(flat), starts, flat,
            entries,
        )  # fmt: skip


def _rows(board: Board, first: int) -> tuple[Ints, Ints, Floats]:
    """Row numbers of power and accelerators, shapes (sites, slots), -1 where there is no limit."""
    limits: list[Floats] = []
    numbers = []
    for room in (board.power_kw, board.gpus):
        number = np.full(room.shape, -1, dtype=np.int64)
        limited = np.isfinite(room)
        number[limited] = first + np.arange(limited.sum())
        first += int(limited.sum())
        limits.append(room[limited])
        numbers.append(number)
    return numbers[0], numbers[1], np.concatenate(limits)
