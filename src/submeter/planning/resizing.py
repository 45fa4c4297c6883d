# SPDX-License-Identifier: Apache-2.0
"""On how many workers a job runs in each slot where changing the number costs.

Exact: dynamic programming over slots, workers and work done. Work done is a real number, so what
is kept of each slot and count is the front of cheap and far; labels that cannot become cheaper
than a schedule already known are dropped, by Lagrangian bounds on what is still to come.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from submeter.planning.costs import Floats
from submeter.planning.scaling import Scaling
from submeter.records.plans import Job
from submeter.units import J_PER_KWH

Ints = npt.NDArray[np.int64]

_TINY: Final = 1e-9
_WORK_S: Final = 1e-6  # works that differ by less are one
_GRID: Final = 24  # multipliers tried at once
_ZOOMS: Final = 3
_KEPT: Final = 8  # multipliers that bound
_BEAM: Final = 24  # labels of each slot and count, for a first schedule
_MOST: Final = 20_000  # and for the exact one; beyond it the gap is told
_CLOSE: Final = 1e-9  # share of the cost that is nothing


@dataclass(frozen=True, slots=True)
class Slots:
    """The time in which a job may run, cut at the edges of costs; shapes (n,).

    Attributes
    ----------
    from_s, room_s
        Begin of each [s since 1970 UTC], and time in which it may work there [s].
    idle_s
        Time in which it may stand idle [s]: also where no work is allowed.
    per_j
        Cost of a joule.
    """

    from_s: Floats
    room_s: Floats
    idle_s: Floats
    per_j: Floats


class Stretch(NamedTuple):
    """From, to [s since 1970 UTC], and the number of the count in the profile; 0 is paused."""

    begin_s: float
    end_s: float
    size: int


class Resized(NamedTuple):
    """The cheapest way, its cost and energy [J], and how far from the best it may be [1]."""

    stretches: list[Stretch]
    cost: float
    energy_j: float
    gap_ratio: float


class _Labels(NamedTuple):
    """Ways to be at an edge on one count, shapes (labels,): cost, work, and where from."""

    cost: Floats
    work: Floats
    before: Ints  # count
    label: Ints

    def only(self, kept: npt.NDArray[np.bool_] | Ints) -> "_Labels":
        return _Labels(self.cost[kept], self.work[kept], self.before[kept], self.label[kept])


class _End(NamedTuple):
    cost: float
    slot: int
    size: int
    before: int
    label: int
    used_s: float  # of the last slot


@dataclass
class Resizing:
    """Search for the cheapest way.

    Parameters
    ----------
    slots
        Where it may run.
    job
        ``duration_s`` is on the count whose rate is one. A change from one count to another
        takes ``checkpoint_s`` at the end of the old stretch and ``restart_s`` at the begin of the
        new one, at the power of each; a pause the same, and ``idle_w`` while it lasts.
    scaling
        The counts.
    rates
        Work of each in a second [s on the base], shape (counts,).
    """

    slots: Slots
    job: Job
    scaling: Scaling
    rates: Floats
    _values: Floats = field(default_factory=lambda: np.zeros(0), init=False)
    _prices: Floats = field(default_factory=lambda: np.zeros(0), init=False)
    _rows: list[dict[int, _Labels]] = field(default_factory=list, init=False)
    # the least bound of a label that was dropped for being one too many
    _dropped: float = field(default=np.inf, init=False)

    def best(self) -> Resized | None:
        """The cheapest way; None if the work cannot be done in time."""
        self._bound()
        found = self._searched(np.inf, _BEAM)
        if found is not None and np.isfinite(self._dropped):
            near = found.cost + _CLOSE * abs(found.cost)
            found = self._searched(near, _MOST) or self._searched(np.inf, _BEAM)
        elif found is None:
            found = self._searched(np.inf, _MOST)
        if found is None:
            return None
        gap = max(found.cost - self._dropped, 0.0) / (abs(found.cost) or 1.0)
        return self._told(found, gap if gap > _CLOSE else 0.0)

    # --- bounds -------------------------------------------------------------------------------

    def _bound(self) -> None:
        """Multipliers whose Lagrangian bounds are the highest, and their values.

        A price for a second of work, paid when it is done, leaves a shortest path over slots and
        counts. Its cost plus the price of the work that is missing is a bound for any price.
        """
        power_w = np.array(self.scaling.power_w)
        slopes = np.abs(self.slots.per_j).max() * power_w / self.rates
        top = 4.0 * float(slopes.max()) + _TINY
        low, high = -top, top
        tried: list[tuple[Floats, Floats, Floats]] = []
        for _ in range(_ZOOMS):
            prices = np.linspace(low, high, _GRID)
            values = self._to_go(prices)
            bounds = prices * self.job.duration_s + values[:, 0, -1]
            tried.append((prices, values, bounds))
            at = int(np.argmax(np.where(np.isfinite(bounds), bounds, -np.inf)))
            low, high = prices[max(at - 1, 0)], prices[min(at + 1, _GRID - 1)]
        prices, values, bounds = tried[-1]
        best = np.argsort(-bounds, kind="stable")[:_KEPT]
        self._prices, self._values = prices[best], values[best]

    def _to_go(self, prices: Floats) -> Floats:
        """Least cost from each edge and count on, less the price of work that is done then.

        Shape (prices, slots + 1, counts + 2): paused, each count, not begun.
        """
        count, n = len(self.rates), len(self.slots.per_j)
        values = np.full((len(prices), n + 1, count + 2), np.inf)
        for t in range(n - 1, -1, -1):
            for k in range(count + 2):
                least = np.full(len(prices), np.inf)
                for size in self._next(k, t):
                    paid = prices * self._left_behind(k, size)
                    if size in {0, count + 1}:
                        idle = 0.0 if size else self._idle_cost(t)
                        np.minimum(least, paid + idle + values[:, t + 1, size], out=least)
                        continue
                    price, power, rate = self._at(t, size)
                    lost_s = self._lost_s(k, size)
                    head = paid + price * power * lost_s
                    body = (price * power - prices * rate) * (self.slots.room_s[t] - lost_s)
                    np.minimum(least, head + np.minimum(body, 0.0), out=least)
                    np.minimum(least, head + body + values[:, t + 1, size], out=least)
                values[:, t, k] = least
        return values

    # --- what may follow what -----------------------------------------------------------------

    @property
    def _unbegun(self) -> int:
        return len(self.rates) + 1

    def _next(self, before: int, t: int) -> list[int]:
        """Counts that may follow in slot *t*."""
        room = self.slots.room_s
        cost_s = self.job.checkpoint_s + self.job.restart_s - _TINY
        runs = range(1, len(self.rates) + 1) if room[t] > _TINY else ()
        if before == self._unbegun:
            return [*runs, before]
        leaves = before == 0 or (t > 0 and room[t - 1] >= cost_s)
        enters = leaves and room[t] >= cost_s
        made = [size for size in runs if size == before or enters]
        return [0, *made] if leaves else made

    def _left_behind(self, before: int, size: int) -> float:
        """Work that the checkpoint at the end of the last stretch takes away [s on the base]."""
        if before in {0, size, self._unbegun}:
            return 0.0
        return float(self.rates[before - 1]) * self.job.checkpoint_s

    def _lost_s(self, before: int, size: int) -> float:
        """Time of a slot that coming back takes [s]."""
        return 0.0 if before in {size, self._unbegun} else self.job.restart_s

    def _idle_cost(self, t: int) -> float:
        return float(self.slots.per_j[t] * self.job.idle_w * self.slots.idle_s[t])

    def _at(self, t: int, size: int) -> tuple[float, float, float]:
        """Cost of a joule, power and rate."""
        power_w, rate = self.scaling.power_w[size - 1], self.rates[size - 1]
        return float(self.slots.per_j[t]), power_w, float(rate)

    # --- search -------------------------------------------------------------------------------

    def _searched(self, upper: float, most: int) -> _End | None:
        """The cheapest end below *upper*, with no more than *most* labels of an edge and count."""
        none = np.zeros(1, dtype=np.int64)
        start = _Labels(np.zeros(1), np.zeros(1), none, none)
        self._rows, self._dropped = [{self._unbegun: start}], np.inf
        end: _End | None = None
        behind = np.minimum.accumulate(self.slots.per_j[::-1])[::-1]
        for t in range(len(self.slots.per_j)):
            made: dict[int, list[_Labels]] = {}
            for before, labels in self._rows[t].items():
                for size in self._next(before, t):
                    found, onward = self._stepped(t, before, size, labels)
                    if found is not None and found.cost < min(
                        upper, np.inf if end is None else end.cost
                    ):
                        end = found
                    if len(onward.cost):
                        made.setdefault(size, []).append(onward)
            limit = upper if end is None else min(upper, end.cost - _CLOSE * abs(end.cost))
            later = t + 1 < len(behind)
            falls = later and behind[t + 1] < 0
            self._rows.append(
                {
                    size: self._thinned(t + 1, size, rows, limit, most, falls=falls)
                    for size, rows in (made.items() if later else ())
                }
            )
        return end

    def _stepped(
        self, t: int, before: int, size: int, labels: _Labels
    ) -> tuple[_End | None, _Labels]:
        """Labels after slot *t* on *size*, and the cheapest of those that end in it."""
        at = np.arange(len(labels.cost))
        from_ = np.full(len(at), before)
        work = labels.work - self._left_behind(before, size)
        if size in {0, self._unbegun}:
            idle = 0.0 if size else self._idle_cost(t)
            return None, _Labels(labels.cost + idle, work, from_, at)
        price, power, rate = self._at(t, size)
        lost_s = self._lost_s(before, size)
        room_s = float(self.slots.room_s[t]) - lost_s
        needed_s = (self.job.duration_s - work) / rate
        ends = needed_s <= room_s + _WORK_S
        found = None
        if ends.any():
            costs = labels.cost[ends] + price * power * (lost_s + needed_s[ends])
            first = int(np.argmin(costs))
            label = int(at[ends][first])
            used_s = lost_s + float(needed_s[label])
            found = _End(float(costs[first]), t, size, before, label, used_s)
        whole = price * power * float(self.slots.room_s[t])
        onward = _Labels(labels.cost + whole, work + rate * room_s, from_, at)
        return found, onward.only(~ends)

    def _thinned(
        self, t: int, size: int, rows: list[_Labels], upper: float, most: int, *, falls: bool
    ) -> _Labels:
        """Labels that may still become the best; *falls*: some later slot pays for being used."""
        every = _Labels(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))
        order = np.lexsort((-every.work, every.cost))
        work = every.work[order]
        if falls:  # then being further is no advantage
            _, kept = np.unique(np.round(work / _WORK_S), return_index=True)
        else:
            far = np.maximum.accumulate(work)
            kept = np.flatnonzero(work > np.concatenate(([-np.inf], far[:-1])) + _WORK_S)
        every = every.only(order[kept])
        missing = self.job.duration_s - every.work
        bound = every.cost + np.max(
            np.outer(self._prices, missing) + self._values[:, t, size][:, None], axis=0
        )
        near = np.flatnonzero(bound < upper)
        if len(near) > most:
            ranked = near[np.argsort(bound[near], kind="stable")]
            self._dropped = min(self._dropped, float(bound[ranked[most]]))
            near = np.sort(ranked[:most])
        return every.only(near)

    def _told(self, end: _End, gap_ratio: float) -> Resized:
        """Walk back from *end*."""
        pieces = [(end.slot, end.size)]
        size, label = end.before, end.label
        for t in range(end.slot, 0, -1):
            row = self._rows[t][size]
            pieces.append((t - 1, size))
            size, label = int(row.before[label]), int(row.label[label])
        stretches: list[Stretch] = []
        energy_j = 0.0
        for t, at in reversed(pieces):
            begin_s = float(self.slots.from_s[t])
            if at in {0, self._unbegun}:
                energy_j += self.job.idle_w * float(self.slots.idle_s[t]) if not at else 0.0
                continue
            used_s = end.used_s if t == end.slot else float(self.slots.room_s[t])
            energy_j += self.scaling.power_w[at - 1] * used_s
            stretches.append(Stretch(begin_s, begin_s + used_s, at))
        return Resized(stretches, end.cost, energy_j, gap_ratio)


def slots_of(
    per_kwh: Floats, edges_s: Floats, job: Job, forbidden: npt.NDArray[np.bool_]
) -> Slots:
    """The slots of a job between its earliest start and its deadline, shapes (n,)."""
    from_s = np.maximum(edges_s[:-1], job.earliest_s)
    idle_s = np.minimum(edges_s[1:], job.deadline_s) - from_s
    room_s = np.where(forbidden, 0.0, idle_s) if forbidden.size else idle_s
    return Slots(from_s, room_s, idle_s, per_kwh / J_PER_KWH)
