# SPDX-License-Identifier: Apache-2.0
"""What waiting would have saved on a series of the past, job by job, with what was known then.

Three ways are compared for each job, at even power: started at once; planned once, on the truth
(perfect) or on the truth and noise, as published benchmarks do; and carried out on forecasts from
the past alone, planned anew with each reading. Slots lie whole before or behind each decision.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.forecasting.forecaster import LEAST_S, Forecaster
from submeter.forecasting.scenarios import Jobs
from submeter.forecasting.series import HOUR_S, Floats, Ints, Series

WORSE_RATIO: Final = 1.01  # of a job's own emissions, started at once
# A slot that is this much dearer than one later on is taken nevertheless: what is forecast for
# later is less sure [spread of the series]. The one of `fit_forecast --choose` that captured most.
READY: Final = 0.02
Progress = Callable[[float], None]
ERROR_LEADS_H: Final = (1, 6, 24, 48, 96)


@dataclass(frozen=True, eq=False)
class Outcome:
    """Emissions of each job per kW of its power, shape (n,) [g].

    ``at_once`` if it never waited, ``perfect`` at the best time there was, ``realised`` as it was
    carried out; ``pauses`` is how often each was paused.
    """

    at_once_g: Floats
    perfect_g: Floats
    realised_g: Floats
    pauses: Ints

    @property
    def perfect_saving_ratio(self) -> float:
        """Share of the emissions that the best times would have saved [1]."""
        return 1 - float(self.perfect_g.sum() / self.at_once_g.sum())

    @property
    def saving_ratio(self) -> float:
        """Share of the emissions that was saved [1]."""
        return 1 - float(self.realised_g.sum() / self.at_once_g.sum())

    @property
    def capture_ratio(self) -> float:
        """Realised over perfect saving [1]; nan where there is nothing to be saved."""
        perfect = self.perfect_saving_ratio
        return self.saving_ratio / perfect if perfect > 0 else float("nan")

    @property
    def worse_share(self) -> float:
        """Share of the jobs that emitted over 1 % more than if started at once [1]."""
        return float(np.mean(self.realised_g > WORSE_RATIO * self.at_once_g))

    @property
    def mean_pauses(self) -> float:
        """How often a job was paused, on the mean."""
        return float(self.pauses.mean())

    def only(self, allowed: np.ndarray) -> "Outcome":
        """The same with the jobs that are not *allowed* to wait started at once."""
        return Outcome(
            self.at_once_g, self.perfect_g, np.where(allowed, self.realised_g, self.at_once_g),
            np.where(allowed, self.pauses, 0),
        )  # fmt: skip


def filled(series: Series) -> Floats:
    """Readings with gaps bridged in straight lines, for what did happen, shape (n,)."""
    known = np.isfinite(series.values)
    slots = np.arange(len(series.values))
    return np.interp(slots, slots[known], series.values[known])


def at_once_g(series: Series, jobs: Jobs) -> Floats:
    """Emissions of jobs that never wait, per kW, shape (n,) [g]."""
    sums = np.append(0.0, np.cumsum(filled(series)))
    hours = series.step_s / HOUR_S
    return np.asarray((sums[jobs.at_once + jobs.slots] - sums[jobs.at_once]) * hours)


def planned_once_g(
    series: Series, jobs: Jobs, believed: Floats | None = None, *, interruptible: bool = True
) -> Floats:
    """Emissions of jobs at the times that look best on *believed* values, per kW, shape (n,) [g].

    *believed* is the truth if left out, which gives what could be saved at most.
    """
    truth = filled(series)
    believed = truth if believed is None else believed
    made = np.empty(len(jobs))
    ways = zip(jobs.earliest, jobs.deadline, jobs.slots, strict=True)
    for job, (first, end, slots) in enumerate(ways):
        ahead = believed[first:end]
        if interruptible:
            made[job] = truth[first:end][np.argpartition(ahead, slots - 1)[:slots]].sum()
        else:
            sums = np.append(0.0, np.cumsum(ahead))
            best = first + int(np.argmin(sums[slots:] - sums[:-slots]))
            made[job] = truth[best : best + slots].sum()
    return made * series.step_s / HOUR_S


def noisy(series: Series, error_ratio: float, seed: int, first: int = 0) -> Floats:
    """Truth and white noise of *error_ratio* of the mean from slot *first* on, shape (n,)."""
    made = filled(series)
    tail = made[first:]
    rng = np.random.default_rng(seed)
    made[first:] = tail + rng.normal(0, error_ratio * tail.mean(), size=len(tail))
    return made


class Replay:
    """Jobs carried out on forecasts, slot by slot, planned anew with each reading.

    A job runs in a slot if that is among the cheapest that it needs before its deadline, as
    forecast at the begin of the slot; one that cannot be paused starts if no later start is
    forecast to be better.

    Parameters
    ----------
    checkpoint_s
        Time that each pause adds to the work [s].
    ready
        Readiness to run at once [spread of the series].
    """

    def __init__(
        self, series: Series, jobs: Jobs, *, interruptible: bool = True,
        checkpoint_s: float = 0.0, ready: float = READY,
    ) -> None:  # fmt: skip
        self._truth = filled(series)
        self._jobs, self._interruptible, self._ready = jobs, interruptible, ready
        self._checkpoint = checkpoint_s / series.step_s
        self._hours = series.step_s / HOUR_S
        self._left = jobs.slots.astype(np.float64)
        self._running = np.zeros(len(jobs), dtype=bool)
        self._emitted = np.zeros(len(jobs))
        self.pauses = np.zeros(len(jobs), dtype=np.int64)
        self._active = np.empty(0, dtype=np.int64)
        self._next = 0

    @property
    def realised_g(self) -> Floats:
        """Emissions so far, per kW, shape (n,) [g]."""
        return self._emitted * self._hours

    def step(self, slot: int, ahead: Floats | None, spread: float) -> None:
        """Carry on through *slot*, of which *ahead* holds the forecast and of those after it.

        Without a forecast, jobs run.
        """
        entered = int(np.searchsorted(self._jobs.earliest, slot, side="right"))
        if entered > self._next:
            self._active = np.append(self._active, np.arange(self._next, entered))
            self._next = entered
        if not len(self._active):
            return
        active = self._active
        if ahead is None:
            run = np.ones(len(active), dtype=bool)
        elif self._interruptible:
            run = self._cheapest(slot, ahead, spread)
        else:
            run = self._starting(slot, ahead, spread)
        self._carry_on(slot, active, run)

    def _cheapest(self, slot: int, ahead: Floats, spread: float) -> np.ndarray:
        """Which of the active jobs run now, of those that may be paused."""
        active = self._active
        room = self._jobs.deadline[active] - slot
        need = np.ceil(self._left[active] - 1e-9).astype(np.int64)
        # A pause lengthens the work: what is left has to fit with it.
        more = np.where(self._running[active], self._checkpoint, 0.0)
        run = np.ceil(self._left[active] + more - 1e-9) >= room
        # A pause costs what work for its length does, now; no pause costs nothing.
        slack = self._readiness(slot, active, spread) + ahead[0] * more
        for size in np.unique(room[~run]):
            chosen = (room == size) & ~run
            later = np.sort(ahead[1:size])
            run[chosen] = ahead[0] <= later[need[chosen] - 1] + slack[chosen]
        return np.asarray(run)

    def _readiness(self, slot: int, active: Ints, spread: float) -> Floats:
        """How much dearer than later ones this slot may be, for each of the active jobs.

        Negative before the time at which a job would run without any plan: moving it there has to
        be worth it.
        """
        due = self._jobs.at_once[active] <= slot
        return np.where(due, self._ready, -self._ready) * spread

    def _starting(self, slot: int, ahead: Floats, spread: float) -> np.ndarray:
        """Which of the active jobs run now, of those that run through once begun."""
        active = self._active
        run = self._running[active].copy()
        slack = self._readiness(slot, active, spread)
        sums = np.append(0.0, np.cumsum(ahead, dtype=np.float64))
        for place in np.flatnonzero(~run):
            job = active[place]
            slots, room = self._jobs.slots[job], self._jobs.deadline[job] - slot
            if room <= slots:
                run[place] = True
                continue
            windows = sums[slots : room + 1] - sums[: room + 1 - slots]
            run[place] = windows[0] <= windows[1:].min() + slack[place]
        return run

    def _carry_on(self, slot: int, active: Ints, run: np.ndarray) -> None:
        paused = active[self._running[active] & ~run]
        self.pauses[paused] += 1
        self._left[paused] += self._checkpoint
        working = active[run]
        share = np.minimum(self._left[working], 1.0)
        self._emitted[working] += self._truth[slot] * share
        self._left[working] -= share
        self._running[active] = run
        self._active = active[self._left[active] > 1e-9]  # noqa: PLR2004


@dataclass(frozen=True)
class Way:
    """How jobs of a back-test may run."""

    interruptible: bool = True
    checkpoint_s: float = 0.0
    ready: float = READY


class Errors:
    """Absolute errors of forecasts by lead, against two that everybody has."""

    def __init__(self, series: Series, leads_h: tuple[int, ...] = ERROR_LEADS_H) -> None:
        self._truth, self._values = filled(series), series.values
        self._per_hour = round(HOUR_S / series.step_s)
        self.leads_h = leads_h
        self._sums = np.zeros((3, len(leads_h)))
        self._counts = np.zeros(len(leads_h))

    def take(self, first: int, forecasts: Floats) -> None:
        """Compare *forecasts* of the begins of slots from *first* on."""
        made = first + np.arange(len(forecasts))
        day = 24 * self._per_hour
        for place, lead_h in enumerate(self.leads_h):
            lead = lead_h * self._per_hour - 1  # the slot that ends then
            if lead >= forecasts.shape[1]:
                continue
            ahead = made + lead
            use = (ahead < len(self._values)) & (made >= 7 * day)
            use[use] &= np.isfinite(self._values[ahead[use]])
            target = ahead[use]
            yesterday = target - day * (lead // day + 1)
            last_week = target - 7 * day
            truth = self._truth[target]
            for row, guess in enumerate(
                (forecasts[use, lead], self._truth[yesterday], self._truth[last_week])
            ):
                self._sums[row, place] += np.abs(guess - truth).sum()
            self._counts[place] += len(target)

    def means(self) -> dict[int, tuple[float, float, float]]:
        """Mean absolute errors by lead [h], over the mean of the series [1].

        Of the forecast, of "same as at that time yesterday", and "last week".
        """
        level = float(np.nanmean(self._values))
        scaled = self._sums / np.maximum(self._counts, 1) / level
        return {
            lead_h: (float(own), float(day), float(week))
            for lead_h, own, day, week, count in zip(
                self.leads_h, *scaled, self._counts, strict=True
            )
            if count
        }


def backtest(
    series: Series, tests: Iterable[tuple[Jobs, Way]], *, forecaster: Forecaster | None = None,
    errors: Errors | None = None, progress: Progress | None = None,
) -> list[Outcome]:  # fmt: skip
    """Carry all *tests* out on one series of forecasts, from its own past, without any guard.

    Parameters
    ----------
    forecaster
        Which makes them; one with the pool that comes with submeter if left out.
    errors
        Takes the errors of the forecasts, if given.
    progress
        Is told the share that is done [1].
    """
    tests = list(tests)
    replays = [
        Replay(
            series, jobs, interruptible=way.interruptible,
            checkpoint_s=way.checkpoint_s, ready=way.ready,
        )
        for jobs, way in tests
    ]  # fmt: skip
    held = [jobs for jobs, _ in tests if len(jobs)]
    first = min((int(jobs.earliest.min()) for jobs in held), default=0)
    last = max((int(jobs.deadline.max()) for jobs in held), default=0)
    leads = max((int((jobs.deadline - jobs.earliest).max()) for jobs in held), default=1)
    if errors is not None:
        leads = max(leads, max(errors.leads_h) * round(HOUR_S / series.step_s))
    least = int(np.argmax(np.isfinite(series.values))) + round(LEAST_S / series.step_s)
    for slot in range(first, min(least, last)):
        for replay in replays:
            replay.step(slot, None, 0.0)
    at = max(first, least)
    for block, spreads in _spread_days(forecaster or Forecaster(), series, at, last, leads):
        if errors is not None:
            errors.take(at, block)
        for row, spread in zip(block, spreads, strict=True):
            for replay in replays:
                replay.step(at, row, float(spread))
            at += 1
        if progress is not None:
            progress((at - first) / max(last - first, 1))
    return [
        Outcome(
            at_once_g(series, jobs), planned_once_g(series, jobs, interruptible=way.interruptible),
            replay.realised_g, replay.pauses,
        )
        for (jobs, way), replay in zip(tests, replays, strict=True)
    ]  # fmt: skip


def _spread_days(
    forecaster: Forecaster, series: Series, first: int, last: int, leads: int
) -> Iterator[tuple[Floats, Floats]]:
    if first >= last:
        return
    at = first
    for block in forecaster.days(series, first, last, leads):
        yield block, forecaster.spreads(series, at, at + len(block))
        at += len(block)
