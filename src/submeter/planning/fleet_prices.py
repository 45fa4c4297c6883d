# SPDX-License-Identifier: Apache-2.0
"""The best schedule of one job where energy, capacity and accelerators have a price in each slot.

Exact: windows for jobs in one piece, the cheapest slots where pauses are free, and dynamic
programming where pauses cost, slices have a least length or power follows a course.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from submeter.planning.fleets import Floats, Ints, Task

Bools = npt.NDArray[np.bool_]
_BLOCKED = 1e5  # times the dearest slot: never worth it, and exact enough in sums


@dataclass(frozen=True, slots=True)
class Prices:
    """What a job is charged, shapes (sites, slots).

    ``energy`` per kWh at the job, ``power`` per kW held and ``gpus`` per accelerator held.
    """

    energy: Floats
    power: Floats
    gpus: Floats


@dataclass(frozen=True, slots=True)
class Column:
    """A schedule of a task.

    Attributes
    ----------
    task, site
        Their numbers.
    work
        Slots in which it works, sorted, shape (work,).
    part
        The one of them that is used in part.
    slots, energy_kwh, power_kw, gpus
        As in `submeter.planning.fleets.Placed`.
    cost
        Without the prices of capacity.
    """

    task: int
    site: int
    work: Ints
    part: int
    slots: Ints
    energy_kwh: Floats
    power_kw: Floats
    gpus: Floats
    cost: float

    @property
    def key(self) -> tuple[int, int, int, bytes]:
        """What tells it from other schedules."""
        return self.task, self.site, self.part, self.work.tobytes()


def cheapest(
    number: int,
    task: Task,
    prices: Prices,
    costs: Floats,
    closed: Bools | None = None,
) -> tuple[Column, float] | None:
    """The best schedule of *task* under *prices* and what it is charged; None if there is none.

    Parameters
    ----------
    number
        Of the task, for the column.
    costs
        What the column is said to cost per kWh, shape (sites, slots).
    closed
        Slots that it may not use, shape (sites, slots).
    """
    if task.last - task.first < task.work or not len(task.sites):
        return None
    rows = slice(None) if len(task.sites) == len(costs) else task.sites
    window = slice(task.first, task.last)
    energy, power, gpus = (p[rows, window] for p in (prices.energy, prices.power, prices.gpus))
    held = task.gpus * gpus
    wall = np.zeros_like(held)
    if closed is not None:
        shut = closed[rows, window]
        if shut.all():
            return None
        wall = np.where(shut, _wall(task, energy, power, held), 0.0)
        held = held + wall
    if task.free:
        at, work, part = _anywhere(task, energy, power, held)
    elif task.least >= task.work:
        at, work, part = _at_a_stretch(task, energy, power, held)
    else:
        at, work, part = _in_slices(task, energy, power, held, wall)
    column = make(number, task, int(task.sites[at]), work + task.first, part + task.first, costs)
    if closed is not None and closed[column.site, column.slots].any():
        return None
    return column, charge(column, prices)


def make(number: int, task: Task, site: int, work: Ints, part: int, costs: Floats) -> Column:
    """The column of *task* that works in the slots *work* of *site*."""
    if task.free:
        energy = np.where(work == part, task.energy_kwh[-1], task.energy_kwh[0])
    else:
        energy = task.energy_kwh.copy()
    slots, power, gpus = work, task.power_kw, np.full(len(work), task.gpus)
    if work[-1] - work[0] >= len(work):
        resumed = np.concatenate(([False], np.diff(work) > 1))
        energy = energy + resumed * task.pause_kwh
        if task.idle_kw:
            slots = np.arange(work[0], work[-1] + 1)
            busy = work - work[0]
            idle_kwh = task.idle_kw * task.slot_h
            energy = _spread(len(slots), busy, energy, idle_kwh)
            power = _spread(len(slots), busy, power, task.idle_kw)
            gpus = _spread(len(slots), busy, gpus, 0.0)
    cost = float(energy @ costs[site, slots])
    return Column(number, site, work, part, slots, energy, power, gpus, cost)


def charge(column: Column, prices: Prices) -> float:
    """What *column* pays under *prices*."""
    at = column.site, column.slots
    return float(
        column.energy_kwh @ prices.energy[at]
        + column.power_kw @ prices.power[at]
        + column.gpus @ prices.gpus[at]
    )


def _wall(task: Task, energy: Floats, power: Floats, held: Floats) -> float:
    """More than any schedule could save by using a closed slot."""
    a_slot = np.abs(energy).max() * (task.energy_kwh.max() + task.pause_kwh)
    a_slot += power.max() * task.power_kw.max() + held.max()
    return 1e-3 + _BLOCKED * float(a_slot)


def _spread(count: int, at: Ints, values: Floats, other: float) -> Floats:
    made = np.full(count, other)
    made[at] = values
    return made


def _at_a_stretch(
    task: Task, energy: Floats, power: Floats, held: Floats
) -> tuple[int, Ints, int]:
    """Site, slots and last slot of the cheapest window."""
    from numpy.lib.stride_tricks import sliding_window_view

    n = task.work
    total = sliding_window_view(energy, n, axis=1) @ task.energy_kwh
    total += sliding_window_view(power, n, axis=1) @ task.power_kw
    total += sliding_window_view(held, n, axis=1).sum(axis=-1)
    at, start = divmod(int(total.argmin()), total.shape[1])
    return at, np.arange(start, start + n), start + n - 1


def _anywhere(task: Task, energy: Floats, power: Floats, held: Floats) -> tuple[int, Ints, int]:
    """Site, slots and the slot used in part, where pauses are free.

    With the n-1 cheapest whole slots, the part goes where it is cheapest outside of them; or
    into one of them, and the next cheapest slot takes its place.
    """
    n = task.work
    held = task.power_kw[0] * power + held
    whole = task.energy_kwh[0] * energy + held if n > 1 else held
    part = task.energy_kwh[-1] * energy + held
    order = np.argsort(whole, axis=1, kind="stable")
    ranked = np.take_along_axis(whole, order, 1)
    base = ranked[:, : n - 1].sum(axis=1)
    among = np.zeros(whole.shape, dtype=bool)
    np.put_along_axis(among, order[:, : n - 1], values=True, axis=1)
    total = base[:, None] + part + among * (ranked[:, n - 1 : n] - whole)
    at, odd = divmod(int(total.argmin()), total.shape[1])
    kept = order[at, :n] if among[at, odd] else np.append(order[at, : n - 1], odd)
    return at, np.sort(kept), odd


def _in_slices(
    task: Task, energy: Floats, power: Floats, held: Floats, wall: Floats
) -> tuple[int, Ints, int]:
    """Site, slots and last slot, by dynamic programming over slots and work done.

    ``going[k]`` is the least charge with k slots done, the last one just now; ``resting[k]`` with
    k done and none going on. ``diagonal[k]`` sums what the slots up to now cost if the k-th of
    them is done now, so that a slice of the least length is one subtraction.
    """
    n, m = task.work, task.least
    sites, count = energy.shape
    unit = (
        energy.T[:, :, None] * task.energy_kwh
        + power.T[:, :, None] * task.power_kw
        + held.T[:, :, None]
    )
    resume = np.zeros((count, sites, n + 1 - m))
    resume[:, :, 1:] = task.pause_kwh * energy.T[:, :, None]
    idle = task.idle_kw * (task.slot_h * energy + power) + (wall if task.idle_kw else 0.0)
    diagonal = np.zeros((count + 1, sites, n + 1))
    resting = np.full((count + 1, sites, n + 1), np.inf)
    resting[0, :, 0] = 0.0
    going = np.full((sites, n + 1), np.inf)
    went_on = np.zeros((count, sites, n + 1), dtype=bool)
    rested = np.zeros((count, sites, n + 1), dtype=bool)
    for t in range(count):
        np.add(diagonal[t, :, :-1], unit[t], out=diagonal[t + 1, :, 1:])
        onward = np.full((sites, n + 1), np.inf)
        np.add(going[:, :-1], unit[t], out=onward[:, 1:])
        since = t + 1 - m
        if since >= 0:
            begun = resting[since, :, : n + 1 - m] + resume[since]
            begun += diagonal[t + 1, :, m:]
            begun -= diagonal[since, :, : n + 1 - m]
            went_on[t, :, m:] = onward[:, m:] <= begun
            np.minimum(onward[:, m:], begun, out=onward[:, m:])
        going = onward
        waiting = resting[t]
        if task.idle_kw:
            waiting = waiting.copy()
            waiting[:, 1:n] += idle[:, t, None]
        np.less_equal(waiting, going, out=rested[t])
        np.minimum(waiting, going, out=resting[t + 1])
    at = int(resting[count, :, n].argmin())
    work = _traced(went_on[:, at], rested[:, at], n, m)
    return at, work, int(work[-1])


def _traced(went_on: Bools, rested: Bools, n: int, m: int) -> Ints:
    """Slots of work, walking back from the end."""
    work: list[int] = []
    k, t, going = n, len(rested), False
    while k:
        t -= 1
        if not going and rested[t, k]:
            continue
        if went_on[t, k]:
            work.append(t)
            k, going = k - 1, True
        else:
            work.extend(range(t, t - m, -1))
            t, k, going = t - m + 1, k - m, False
    return np.array(work[::-1], dtype=np.int64)
