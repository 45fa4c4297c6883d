# SPDX-License-Identifier: Apache-2.0
"""The cheapest slices of a job that may be paused, by dynamic programming over its work.

A state is: so much work done, running or paused, at this edge of a slot. One level of work follows
from the levels before it for all instants at once, so that a year of five-minute slots is a few
hundred operations on long rows.

Work begins and ends on edges of slots, or where the time allowed begins or ends. What of the
duration does not fill such slots (the *rest*) is done in a part of one further slot: next to any
slice, before or after it, or on its own. So there are two planes of states, with the rest still to
be done and with the rest done, and the path changes from one to the other once.
"""

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from submeter.planning.costs import Bools, Floats
from submeter.planning.rows import Rows

Piece = tuple[float, float]  # work from, to [s since the first slot of the costs began]
_Marks = npt.NDArray[np.uint8]
_Here = tuple[str, bool, int, int, float]  # state, rest done, level, slack, end of the slice

_GOES_ON: Final = 0  # how a job came to run at an edge: it ran before,
_ON_EDGE: Final = 1  # its slice began on an edge,
_REST_AHEAD: Final = 2  # its slice began with the rest, before an edge,
_AT_ONCE: Final = 3  # or with the part slot where the time allowed begins
_AFTER_RUN: Final = 1  # how a slice ended with the rest: after the least number of slots,
_AFTER_FEW: Final = 2  # after fewer, as the rest makes it long enough,
_AFTER_HEAD: Final = 3  # or the same in a slice that began at once


@dataclass(slots=True)
class _Plane:
    """States with the rest to be done, or done: values of near levels, choices of all."""

    rested: bool
    runs: Floats = field(default_factory=lambda: np.zeros(0))  # running, at the last level made
    paused: dict[int, Floats] = field(default_factory=dict)  # cheapest pause begun until then
    came: list[_Marks] = field(default_factory=list)
    ended: list[_Marks] = field(default_factory=list)
    newest: list[Bools] = field(default_factory=list)  # where a pause is the cheapest until then


class _End(NamedTuple):
    """A way to be done: its cost, the state before the last slice's end, and that end."""

    cost: float
    state: str  # "run" or "start": at work since before, or the last slice begins there
    rested: bool
    level: int
    slack: int
    end_s: float
    early: bool = False  # the last slice begins with the rest


class Programme:
    """All states of one frame; `best` is the cheapest way through, `pieces` the way itself."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.planes = [_Plane(rested=False)]
        if rows.rest_s:
            self.planes.append(_Plane(rested=True))
        self.injected = self._head() if rows.head else {}
        for level in range(rows.levels + 1):
            for plane in self.planes:
                self._level(plane, level)

    # --- forwards ---------------------------------------------------------------------------

    def _head(self) -> dict[tuple[int, bool], float]:
        """Costs of starting at once: to be running at a level, or (True) to end with the rest."""
        rows, step_s = self.rows, self.rows.frame.step_s
        short_s = rows.job.min_slice_s - rows.before_s
        least = max(0, math.ceil(short_s / step_s - 1e-9))
        found = {(least, False): self._from_head(least)}
        few = max(0, math.ceil((short_s - rows.rest_s) / step_s - 1e-9))
        if rows.rest_s and few < least:
            cost = self._from_head(few)
            found[few, True] = cost + rows.rest_kwh(few) * float(rows.row(rows.after, few)[0])
        return found

    def _from_head(self, level: int) -> float:
        rows = self.rows
        if level > rows.levels:
            return math.inf
        bounds = np.array([rows.frame.from_s, rows.frame.edges_s[0]])
        head = rows.ground.work(bounds[:1], bounds[1:])[0] / rows.before_s
        head *= rows.energy_kwh(0.0, rows.before_s)
        return float(head + rows.through(level, level, rested=False)[0])

    def _level(self, plane: _Plane, level: int) -> None:
        """Values and choices of one level of one plane."""
        rows, rested = self.rows, plane.rested
        runs = np.full(rows.width, np.inf)
        came = np.full(rows.width, _GOES_ON, dtype=np.uint8)
        if level:
            from_s = rows.work_s(level - 1, rested=rested)
            slot_kwh = rows.energy_kwh(from_s, from_s + rows.frame.step_s)
            np.multiply(rows.row(rows.slot, level - 1), slot_kwh, out=runs)
            runs += plane.runs
        below = level - rows.least
        if below >= 0 and (begun := self.starts(below, rested=rested)) is not None:
            begun = begun + rows.through(level, rows.least, rested=rested)
            _take(runs, came, begun, _ON_EDGE)
        below = level - rows.short
        if rested and below >= 0 and (begun := self.early_starts(below)) is not None:
            begun = begun + rows.through(level, rows.short, rested=True)
            _take(runs, came, begun, _REST_AHEAD)
        head = math.inf if rested else self.injected.get((level, False), math.inf)
        if head < runs[0]:
            runs[0], came[0] = head, _AT_ONCE
        plane.runs = runs
        plane.came.append(came)
        self._pauses(plane, level, runs)

    def _pauses(self, plane: _Plane, level: int, runs: Floats) -> None:
        """Cheapest pause begun until each edge, in terms that do not depend on its end."""
        rows = self.rows
        ends = runs + rows.pausing(level, rested=plane.rested)
        if plane.rested:
            with_rest, how = self.rest_ends(level)
            with_rest = with_rest + rows.pausing(level, rested=True, within=True)
            ended = np.zeros(rows.width, dtype=np.uint8)
            shift = rows.late - rows.lag
            cut = rows.width - shift
            if cut > 0:
                better = with_rest[:cut] < ends[shift:]
                ends[shift:][better] = with_rest[:cut][better]
                ended[shift:][better] = how[:cut][better]
            plane.ended.append(ended)
        cheapest = np.minimum.accumulate(ends)
        plane.newest.append(ends == cheapest)
        plane.paused[level] = cheapest
        plane.paused.pop(level - rows.least - 2, None)

    def rest_ends(self, level: int) -> tuple[Floats, _Marks]:
        """Cost of having ended a slice with the rest, behind each edge, and what it followed."""
        rows, open_ = self.rows, self.planes[0]
        rest_kwh = rows.rest_kwh(level)
        after = rows.row(rows.after, level) * rest_kwh
        ends = open_.runs + after
        how = np.full(rows.width, _AFTER_RUN, dtype=np.uint8)
        below = level - rows.short
        if rows.short < rows.least and below >= 0:
            begun = self.starts(below, rested=False)
            if begun is not None:
                few = begun + rows.through(level, rows.short, rested=False) + after
                _take(ends, how, few, _AFTER_FEW)
        head = self.injected.get((level, True), math.inf)
        if head < ends[0]:
            ends[0], how[0] = head, _AFTER_HEAD
        return ends, how

    def starts(self, level: int, *, rested: bool) -> Floats | None:
        """Cost of beginning a slice on each edge with so much done; None if that cannot be."""
        rows = self.rows
        if level == 0 and not rested and not rows.head:
            return np.zeros(rows.width)
        return self._after_pause(level, rows.lag, rested=rested, within=False)

    def early_starts(self, level: int) -> Floats | None:
        """Cost of beginning a slice with the rest so that it ends on each edge."""
        rows = self.rows
        rest = rows.row(rows.ahead, level) * rows.rest_kwh(level)
        if level == 0 and not rows.head:
            return rest
        begun = self._after_pause(level, rows.late, rested=False, within=True)
        return None if begun is None else begun + rest

    def _after_pause(self, level: int, lag: int, *, rested: bool, within: bool) -> Floats | None:
        rows = self.rows
        if rows.width <= lag or level not in self.planes[rested].paused:
            return None
        begun = np.full(rows.width, np.inf)
        begun[lag:] = self.planes[rested].paused[level][: rows.width - lag]
        begun[lag:] += rows.resuming(level, rested=rested, within=within)[lag:]
        return begun

    # --- the end, and the way back ------------------------------------------------------------

    def best(self) -> _End | None:
        """The cheapest way to be done, the earliest of equals; None if there is no way."""
        ends = self._tail_ends() if self.rows.tail else self._ends()
        found = min(ends, key=lambda end: (end.cost, end.end_s), default=None)
        return found if found is not None and math.isfinite(found.cost) else None

    def _ends(self) -> list[_End]:
        """Ends on an edge, and with the rest."""
        rows = self.rows
        level, last = rows.levels, self.planes[-1]
        slack = int(np.argmin(last.runs))
        end_s = float(rows.edges_s[slack + level])
        found = [_End(float(last.runs[slack]), "run", last.rested, level, slack, end_s)]
        if rows.rest_s:
            ends, how = self.rest_ends(level)
            slack = int(np.argmin(ends))
            end_s = float(rows.edges_s[slack + level]) + rows.rest_s
            state = ("", "run", "few", "head")[how[slack]]
            found.append(_End(float(ends[slack]), state, False, level, slack, end_s))
        return found

    def _tail_ends(self) -> list[_End]:
        """Ends with the part slot at the end of the time allowed."""
        rows, last = self.rows, self.planes[-1]
        rested, level, slack = last.rested, rows.levels, rows.width - 1
        done_s = rows.work_s(level, rested=rested)
        bounds = np.array([rows.edges_s[-1], rows.frame.to_s])
        tail = rows.ground.work(bounds[:1], bounds[1:])[0] / rows.after_s
        tail *= rows.energy_kwh(done_s, done_s + rows.after_s)
        found = [(float(last.runs[slack]), "run", level, False)]
        step_s, least_s = rows.frame.step_s, rows.job.min_slice_s - rows.after_s
        fewest = max(0, math.ceil(least_s / step_s - 1e-9))
        for slots in range(fewest, min(rows.least, level + 1)):
            begun = self.starts(level - slots, rested=rested)
            if begun is not None:
                cost = begun + rows.through(level, slots, rested=rested)
                found.append((float(cost[slack]), "start", level - slots, False))
        fewest = max(0, math.ceil((least_s - rows.rest_s) / step_s - 1e-9))
        for slots in range(fewest, min(rows.short, level + 1) if rested else 0):
            begun = self.early_starts(level - slots)
            if begun is not None:
                cost = begun + rows.through(level, slots, rested=True)
                found.append((float(cost[slack]), "start", level - slots, True))
        return [
            _End(cost + float(tail), state, rested, at, slack, rows.frame.to_s, early)
            for cost, state, at, early in found
        ]

    def pieces(self, end: _End) -> list[Piece]:
        """Stretches of work of the way that leads to *end*, in time order."""
        found: list[Piece] = []
        here: _Here | None = (end.state, end.rested, end.level, end.slack, end.end_s)
        if end.early:
            here = self._begun(found, end.level, end.slack, end.end_s, rested=False, early=True)
        elif end.state == "start":
            here = self._begun(found, end.level, end.slack, end.end_s, rested=end.rested)
        while here is not None:
            here = self._back(found, here)
        return found[::-1]

    def _back(self, found: list[Piece], here: _Here) -> _Here | None:
        """From being at work back to the slice before; its beginning is noted."""
        rows = self.rows
        state, rested, level, slack, end_s = here
        if state == "head":
            found.append((rows.frame.from_s, end_s))
            return None
        if state == "few":
            return self._begun(found, level - rows.short, slack, end_s, rested=False)
        while (how := self.planes[rested].came[level][slack]) == _GOES_ON:
            level -= 1
        if how == _AT_ONCE:
            found.append((rows.frame.from_s, end_s))
            return None
        if how == _REST_AHEAD:
            return self._begun(found, level - rows.short, slack, end_s, rested=False, early=True)
        return self._begun(found, level - rows.least, slack, end_s, rested=rested)

    def _begun(
        self,
        found: list[Piece],
        level: int,
        slack: int,
        end_s: float,
        *,
        rested: bool,
        early: bool = False,
    ) -> _Here | None:
        """Note the slice that began here, and go to the end of the one before."""
        rows = self.rows
        start_s = float(rows.edges_s[slack + level]) - (rows.rest_s if early else 0.0)
        found.append((start_s, end_s))
        if level == 0 and not rested and not rows.head:
            return None
        plane = self.planes[rested]
        upto = slack - (rows.late if early else rows.lag)
        slack = int(np.flatnonzero(plane.newest[level][: upto + 1])[-1])
        how = plane.ended[level][slack] if rested else 0
        if not how:
            return "run", rested, level, slack, float(rows.edges_s[slack + level])
        slack -= rows.late - rows.lag
        end_s = float(rows.edges_s[slack + level]) + rows.rest_s
        return ("", "run", "few", "head")[how], False, level, slack, end_s


def _take(values: Floats, marks: _Marks, others: Floats, mark: int) -> None:
    """Where *others* are less, take them and mark the place."""
    better = others < values
    np.minimum(values, others, out=values)
    marks[better] = mark
