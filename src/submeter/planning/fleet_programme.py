# SPDX-License-Identifier: Apache-2.0
"""The linear programme over schedules of many jobs, solved by HiGHS."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from submeter.planning.fleet_moves import Board
from submeter.planning.fleet_prices import Column
from submeter.planning.fleets import Floats, Ints
from submeter.planning.solver import highs

_CONVERGED: Final = 1e-4
_NODES: Final = 50
_MANY: Final = 250  # tasks, from which on the interior-point method is quicker


class Master:
    """The linear programme over schedules: each task takes one of its own, capacities hold.

    Rows: one for each task (shares and what is left out add up to one), then power of each site
    and slot that has a limit, then accelerators.
    """

    def __init__(
        self,
        penalties: Floats,
        board: Board,
        *,
        elastic: bool = False,
        rows: Mapping[int, int] | None = None,
    ) -> None:
        import highspy

        self._rows = rows  # of the tasks, where they are some of many

        self._scale = float(np.mean(penalties)) or 1.0
        self._penalties = penalties
        self._tasks = len(penalties)
        self._board = board
        self._power_row, self._gpu_row, limits = _rows(board, self._tasks)
        self._model: Any = highs()
        if self._tasks > _MANY:  # three times as fast, and prices that are central
            for name, value in (("solver", "ipm"), ("run_crossover", "off")):
                self._model.setOptionValue(name, value)
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
            rows.append(np.concatenate(([self._row(column.task)], power[held], gpus[kept])))
            values.append(np.concatenate(([1.0], column.power_kw[held], column.gpus[kept])))
        self._add(np.array([c.cost for c in columns]) / self._scale, rows, values)

    def _row(self, task: int) -> int:
        return task if self._rows is None else self._rows[task]

    def solve(self, left_s: float = math.inf) -> tuple[float, Floats, Floats]:
        """The least cost, and prices of power and of accelerators, shapes (sites, slots).

        It takes no longer than *left_s*; then the cost is not the least one yet, and prices are
        some.
        """
        self._limit(left_s)
        self._model.run()
        value = self._model.getInfo().objective_function_value * self._scale
        dual = np.array(self._model.getSolution().row_dual) * -self._scale
        dual = np.append(np.maximum(dual, 0.0), 0.0)
        return float(value), dual[self._power_row], dual[self._gpu_row]

    def worths(self) -> Floats:
        """What a schedule of each task may be charged to be worth a look, shape (tasks,)."""
        dual = np.array(self._model.getSolution().row_dual)[: self._tasks]
        worths: Floats = dual * self._scale
        return worths

    def fix(self, columns: Sequence[int], share: float) -> None:
        """Take *share* (0 or 1) of each of *columns*, from now on."""
        if not columns:
            return
        count = len(columns)
        at = np.array(columns, dtype=np.int32) + self._first
        high = np.full(count, self._inf if share else 0.0)
        self._model.changeColsBounds(count, at.astype(np.int32), np.full(count, share), high)

    def shares(self) -> Floats:
        """How much of each column is taken, shape (columns,)."""
        return np.array(self._model.getSolution().col_value)[self._first :]

    def whole(
        self, left_s: float = math.inf, nodes: int = _NODES, start: Sequence[int] = ()
    ) -> Floats:
        """Columns of the best choice that is found, by branch and bound, shape (columns,).

        *start* are columns of a choice that holds, to begin with.
        """
        import highspy

        self._limit(left_s)

        model = self._model
        count = int(model.getNumCol())
        kinds = np.full(count, highspy.HighsVarType.kInteger.value, dtype=np.uint8)
        model.changeColsIntegrality(count, np.arange(count, dtype=np.int32), kinds)
        for name, value in (("mip_rel_gap", _CONVERGED), ("mip_max_nodes", nodes)):
            model.setOptionValue(name, value)
        if start:
            known = highspy.HighsSolution()
            values = np.zeros(count)
            values[np.array(start) + self._first] = 1.0
            known.col_value = values.tolist()
            model.setSolution(known)
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

    def _limit(self, left_s: float) -> None:
        if math.isfinite(left_s):
            self._model.setOptionValue("time_limit", max(left_s, 0.0) + self._model.getRunTime())

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
