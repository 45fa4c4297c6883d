# SPDX-License-Identifier: Apache-2.0
"""A fleet as time goes by: jobs arrive, forecasts change, and what has begun stays as it is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from submeter.errors import UsageError
from submeter.planning.fleet_columns import placed_of, solve
from submeter.planning.fleet_moves import Board
from submeter.planning.fleet_prices import Column, make
from submeter.planning.fleets import GAP_RATIO, Fleet, Floats, Ints, Placed, Task, cut

_HELD: Final = 10.0  # how much worse it is to drop a job that was promised a place


@dataclass(frozen=True, slots=True)
class Rolled:
    """What came of a fleet that was planned anew as jobs arrived.

    Attributes
    ----------
    placed
        What ran, at the costs that came true.
    refused
        Jobs for which there was no place when they arrived, nor later.
    plans
        How often a plan was made.
    """

    placed: tuple[Placed, ...]
    refused: tuple[str, ...]
    cost: float
    plans: int


@dataclass
class _Under:
    """A job under way: slots that are decided for good, and those that are planned."""

    task: Task
    site: int = -1
    begun: list[int] = field(default_factory=list)
    planned: list[int] = field(default_factory=list)
    part: int = -1

    @property
    def open(self) -> int:
        """Slots of work that have not begun."""
        return self.task.work - len(self.begun)


def roll(
    fleet: Fleet,
    forecast: Callable[[int], Floats] | None = None,
    *,
    every: int = 1,
    gap_ratio: float = GAP_RATIO,
) -> Rolled:
    """Plan *fleet* anew every *every* slots with what is known then.

    Parameters
    ----------
    forecast
        Cost per kWh of each site and slot as expected at a slot, shape (sites, slots); the costs
        of *fleet* are what comes true. None: they are known.

    Notes
    -----
    A slice that has begun is worked to its end; a job that has begun stays on its site. A job
    that was promised a place keeps one: where a new plan would drop it, the old plan stands and
    new jobs get what is left.

    Raises
    ------
    UsageError
        As `plan_fleet`; or if a job idles between slices, which is not followed here.
    """
    tasks = cut(fleet)
    if any(task.idle_kw for task in tasks):
        raise UsageError(
            "idle power between slices is not followed as time goes by",
            remedy="leave idle_w out, or plan the fleet at once",
        )
    arrives = [
        0 if j.arrives_s is None else int(np.ceil((j.arrives_s - fleet.start_s) / fleet.step_s))
        for j in fleet.jobs
    ]
    under = [_Under(task) for task in tasks]
    plans = 0
    for now in range(fleet.slots):
        if now % every == 0:
            seen = fleet if forecast is None else _expected(fleet, forecast(now))
            known = [u for u, at in zip(under, arrives, strict=True) if at <= now and u.open]
            live = [u for u in known if max(u.task.first, now) + u.open <= u.task.last]
            news = forecast is not None or any(not u.planned and not u.begun for u in live)
            if live and news:
                _replan(seen, live, under, now, gap_ratio)
                plans += 1
        for one in under:
            if now in one.planned:
                _begin(one, now)
    return _came(fleet, under, plans)


def _begin(one: _Under, now: int) -> None:
    """The slice that starts in slot *now* is decided to its end."""
    end = now
    while end in one.planned:
        one.planned.remove(end)
        one.begun.append(end)
        end += 1


def _replan(
    fleet: Fleet, live: list[_Under], under: list[_Under], now: int, gap_ratio: float
) -> None:
    board = Board.of(fleet)
    for one in under:
        if one.begun:
            board.take(_column(one, np.array(one.begun)))
    rest = [_rest(one, now) for one in live]
    held = [bool(one.planned or one.begun) for one in live]
    weights = [_HELD if h else 1.0 for h in held]
    solved = solve(fleet, rest, gap_ratio=gap_ratio, weights=weights, fixed=board)
    dropped = {one.task.name for one, h in zip(live, held, strict=True) if h}
    if dropped & set(solved.unplaced):
        for one, h in zip(live, held, strict=True):
            if h:
                board.take(_column(one, np.array(one.planned)))
        live = [one for one, h in zip(live, held, strict=True) if not h]
        rest = [_rest(one, now) for one in live]
        solved = solve(fleet, rest, gap_ratio=gap_ratio, fixed=board)
    places = {placed.job: placed for placed in solved.placed}
    sites = {site.name: i for i, site in enumerate(fleet.sites)}
    for one in live:
        place = places.get(one.task.name)
        if place is not None:
            one.site = sites[place.site]
            one.planned = place.slots.tolist()
            one.part = _part(one, place)


def _part(one: _Under, place: Placed) -> int:
    """The slot used in part, -1 if that has begun already."""
    if one.part in one.begun:
        return one.part
    if one.task.free:
        return int(place.slots[int(np.argmin(place.energy_kwh))])
    return int(place.slots[-1])


def _rest(one: _Under, now: int) -> Task:
    """What is left of a job, as a task of its own."""
    task, done = one.task, len(one.begun)
    first = max(task.first, now, max(one.begun, default=-1) + 1)
    if not done:
        return replace(task, first=first)
    energy = task.energy_kwh[done:].copy()
    if task.free and one.part in one.begun:
        energy = np.full(task.work - done, task.energy_kwh[0])
    return replace(
        task,
        first=first,
        sites=np.array([one.site]),
        energy_kwh=energy,
        power_kw=task.power_kw[done:],
        least=min(task.least, task.work - done),
    )


def _column(one: _Under, slots: Ints) -> Column:
    """The capacity that *slots* of a job under way take."""
    slots = np.sort(slots)
    everything = sorted([*one.begun, *one.planned])
    index = np.searchsorted(np.array(everything), slots)
    power = one.task.power_kw[index]
    none = np.zeros(len(slots))
    return Column(
        0, one.site, slots, -1, slots, none, power, np.full(len(slots), one.task.gpus), 0.0
    )


def _expected(fleet: Fleet, costs: Floats) -> Fleet:
    sites = [replace(s, cost_per_kwh=c) for s, c in zip(fleet.sites, costs, strict=True)]
    return replace(fleet, sites=tuple(sites))


def _came(fleet: Fleet, under: list[_Under], plans: int) -> Rolled:
    costs = np.array([site.cost_per_kwh * site.pue_ratio for site in fleet.sites])
    placed, refused = [], []
    for i, one in enumerate(under):
        if one.open:
            refused.append(one.task.name)
            continue
        work = np.array(sorted(one.begun))
        column = make(i, one.task, one.site, work, one.part, costs)
        placed.append(placed_of(fleet, one.task, column))
    return Rolled(tuple(placed), tuple(refused), float(sum(p.cost for p in placed)), plans)
