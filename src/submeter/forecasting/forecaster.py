# SPDX-License-Identifier: Apache-2.0
"""Forecasts of a signal of the grid for up to 8 days, from nothing but its own past."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Self

import numpy as np

from submeter.errors import CoverageError, UsageError
from submeter.forecasting.features import Past
from submeter.forecasting.regression import PRIOR_H, Pool, anchors, pool, products, weights
from submeter.forecasting.series import DAY_S, FINEST_S, HOUR_S, Floats, Ints, Series

LONGEST_S: Final = 8 * DAY_S
LEAST_S: Final = 2 * DAY_S  # of readings, before the first forecast
SOURCE: Final = "own forecast, from the past of the series alone"
QUANTILES: Final = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
_PATHS: Final = 200
_SEED: Final = 20_200_101  # the same past gives the same paths
_MEMORY_H: Final = 24.0  # errors of leads this far apart correlate by 1/e


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a signal is expected to be, slot by slot.

    Attributes
    ----------
    made_utc_s
        Instant after which nothing was known [s since 1970 UTC].
    start_utc_s, step_s
        Begin of the first slot, and length of each [s].
    mean
        Expected values, shape (h,), in the unit of the series.
    quantiles
        By their probability, each of shape (h,).
    paths
        Courses that it may take, shape (n, h), their errors correlated from slot to slot.
    """

    made_utc_s: float
    start_utc_s: float
    step_s: float
    mean: Floats
    quantiles: dict[float, Floats] = field(default_factory=dict)
    paths: Floats = field(default_factory=lambda: np.empty((0, 0)))
    unit: str = "gCO2e/kWh"
    source: str = SOURCE


class Forecaster:
    """Linear forecasts by lead, refitted once a day, moved on with every reading.

    Parameters
    ----------
    prior
        What holds in other zones; that which comes with submeter unless given.
    prior_h
        Hours of the zone's own past that the prior counts like [h].
    """

    def __init__(self, prior: Pool | None = None, prior_h: float = PRIOR_H) -> None:
        self._prior = prior or pool()
        self._prior_h = prior_h
        self._series: Series | None = None

    def fit(self, past: Series) -> Self:
        """Learn from *past*; a year of half hours takes seconds.

        Raises
        ------
        CoverageError
            If it holds no readings.
        """
        self._series = past
        slots = past.coarser(FINEST_S)
        first = np.flatnonzero(np.isfinite(slots.values))
        if not len(first):
            raise CoverageError(
                f"the series of {past.zone or 'this zone'} holds no reading",
                remedy="give readings of at least two days",
            )
        self._start_utc_s = slots.start_utc_s + slots.step_s * int(first[0])
        self._step_s = slots.step_s
        values = slots.values[first[0] :]
        whole = Series(
            self._start_utc_s, slots.step_s, values, unit=past.unit, zone=past.zone,
            timezone=past.timezone, kind=past.kind,
        )  # fmt: skip
        self._past = Past(whole)
        size = self._prior.products.shape[1]
        self._sums = np.zeros((len(anchors(self._past.per_hour)), size, size))
        self._fitted = 0  # slots whose values the coefficients know
        self._take(values)
        return self

    def update(self, past: Series) -> Self:
        """Take in what *past* holds beyond what is known; begins anew if it is another series."""
        old = self._series
        slots = past.coarser(FINEST_S)
        shift = (self._start_utc_s - slots.start_utc_s) / self._step_s if old else 0.0
        same = (
            old is not None
            and slots.step_s == self._step_s
            and past.timezone == old.timezone
            and shift >= 0
            and shift == round(shift)
            and len(slots.values) - shift >= self._past.count
        )
        if not same:
            return self.fit(past)
        self._series = past
        self._take(slots.values[round(shift) + self._past.count :])
        return self

    def _take(self, values: Floats) -> None:
        """Take *values* in, refitting at the end of each whole day of slots."""
        self._past.extend(values)
        day = self._past.day
        whole = self._past.count // day * day
        if whole > self._fitted or not hasattr(self, "_coefficients"):
            for first in range(self._fitted, whole, day):
                self._sums += products(self._past, first, first + day)
            self._fitted = max(whole, self._fitted)
            self._negative = bool(self._past.values.min() < 0)
            self._refit()

    def _refit(self) -> None:
        hours = self._sums / self._past.per_hour
        self._coefficients = self._prior.shrunk(hours, self._prior_h)
        self._errors = self._prior.errors(hours, self._coefficients, self._prior_h)

    @property
    def known_until_utc_s(self) -> float:
        """End of the last reading [s since 1970 UTC]."""
        return self._start_utc_s + self._step_s * self._past.count

    def forecast(self, now_utc_s: float, horizon_s: float, paths: int = _PATHS) -> Forecast:
        """Forecast from the slot in which *now_utc_s* lies on, over *horizon_s*.

        Where the last readings are late, they are forecast too.

        Raises
        ------
        UsageError
            If the horizon is none, or longer than 8 days.
        CoverageError
            If readings go beyond now, do not reach near it, or are too few.
        """
        series = self._asked(now_utc_s, horizon_s)
        made, step = self._past.count, self._step_s
        begin = int((now_utc_s - self._start_utc_s) // step)
        end = int(np.ceil((now_utc_s + horizon_s - self._start_utc_s) / step))
        known = self._past.values[begin:made]  # of the slot that is not over yet, where it is told
        ahead = np.arange(max(begin, made), end, dtype=np.int64)
        lead = ahead - made
        errors = weights(self._past.per_hour, end - min(begin, made)) @ self._errors
        errors = errors[lead] * self._past.spread(np.array([made]))[0]
        mean = self.means(np.full(len(ahead), made, dtype=np.int64), ahead)
        mean, errors = np.append(known, mean), np.append(np.zeros(len(known)), errors)
        quantiles = {p: self._lifted(mean + NormalDist().inv_cdf(p) * errors) for p in QUANTILES}
        drawn = self._lifted(mean + errors * _courses(paths, len(mean), step))
        start_utc_s = self._start_utc_s + begin * step
        whole = Forecast(now_utc_s, start_utc_s, step, mean, quantiles, drawn, unit=series.unit)
        return self._split(series, whole)

    def means(self, made: Ints, ahead: Ints) -> Floats:
        """Expected values of slots *ahead*, as known at the begin of slots *made*, shape (n,)."""
        features, base, _ = self._past.look(made, ahead)
        lead = ahead - made
        coefficients = weights(self._past.per_hour, int(lead.max()) + 1) @ self._coefficients
        return self._lifted(base + np.einsum("np,np->n", features, coefficients[lead]))

    def days(self, series: Series, first: int, last: int, leads: int) -> Iterator[Floats]:
        """Forecasts of the begins of slots *first* to *last* of *series*, day by day.

        Each uses readings of slots that had ended by then and coefficients that were refitted at
        the end of the day before, as `update` and `forecast` would have done at that time.

        Yields
        ------
        Shape (slots of the day, leads), in 32-bit numbers: ``[i, j]`` is of the slot *j* after
        the *i*-th.
        """
        self.fit(series.with_values(series.values[: max(first, 1)]))
        skipped = round((self._start_utc_s - series.start_utc_s) / self._step_s)
        values = series.values[skipped:]
        at, last = max(first - skipped, 1), last - skipped
        while at < last:
            until = min((at // self._past.day + 1) * self._past.day, last)
            self._past.extend(values[self._past.count : until])
            made = np.repeat(np.arange(at, until, dtype=np.int64), leads)
            ahead = made + np.tile(np.arange(leads, dtype=np.int64), until - at)
            yield self.means(made, ahead).reshape(-1, leads).astype(np.float32)
            self._take(values[until:until])
            at = until

    def spreads(self, series: Series, first: int, last: int) -> Floats:
        """Spread of *series* as known at the begin of slots *first* to *last*, shape (n,)."""
        skipped = round((self._start_utc_s - series.start_utc_s) / self._step_s)
        return self._past.spread(np.arange(first, last, dtype=np.int64) - skipped)

    def _lifted(self, values: Floats) -> Floats:
        return values if self._negative else np.maximum(values, 0.0)

    def _asked(self, now_utc_s: float, horizon_s: float) -> Series:
        if self._series is None:
            raise CoverageError("nothing was learnt yet", remedy="fit a series first")
        if not 0 < horizon_s <= LONGEST_S:
            raise UsageError(
                f"a forecast over {horizon_s / DAY_S:.3g} days", remedy="ask for 8 days at most"
            )
        if self._past.count * self._step_s < LEAST_S:
            raise CoverageError(
                "a forecast needs readings of at least two days",
                remedy="give a longer past, or plan by the profile of the zone",
            )
        if self.known_until_utc_s > now_utc_s + self._step_s:
            raise CoverageError("readings go beyond now", remedy="give the series until now only")
        if now_utc_s - self.known_until_utc_s > DAY_S:
            raise CoverageError("the last reading is older than a day", remedy="update the series")
        return self._series

    def _split(self, series: Series, made: Forecast) -> Forecast:
        """Give finer slots back where finer ones came."""
        many = round(self._step_s / series.step_s)
        if many <= 1:
            return made
        return Forecast(
            made.made_utc_s, made.start_utc_s, series.step_s, np.repeat(made.mean, many),
            {p: np.repeat(values, many) for p, values in made.quantiles.items()},
            np.repeat(made.paths, many, axis=1), unit=made.unit, source=made.source,
        )  # fmt: skip


def _courses(paths: int, slots: int, step_s: float) -> Floats:
    """Normal courses that forget with time, in pairs of opposites, shape (paths, slots)."""
    keep = float(np.exp(-step_s / (_MEMORY_H * HOUR_S)))
    drawn = np.random.default_rng(_SEED).standard_normal(((paths + 1) // 2, slots))
    drawn[:, 1:] *= np.sqrt(1 - keep**2)
    for slot in range(1, slots):
        drawn[:, slot] += keep * drawn[:, slot - 1]
    return np.concatenate([drawn, -drawn])[:paths]
