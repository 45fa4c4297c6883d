# SPDX-License-Identifier: Apache-2.0
"""A provider's forecast beside our own: whichever has told the cheap hours better is used.

Forecasts that a provider gave are kept with the instant at which it gave them. Both are judged on
those that are over by now, by how well they order the hours of a day and by their errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from submeter.forecasting.forecaster import LONGEST_S, Forecast, Forecaster
from submeter.forecasting.series import Floats, Series

LEAST_FORECASTS: Final = 5  # that are over, before a provider is believed rather than ourselves
_CHEAPEST: Final = 0.5  # share of the hours of a forecast that are picked to judge it
_LEAST_SLOTS: Final = 4


@dataclass(frozen=True)
class Contest:
    """How two forecasts did on the same hours.

    ``trials`` forecasts of the provider are over; ``provider_ratio`` and ``own_ratio`` are means
    of what the hours that each called cheap emitted, over the mean of all those hours [1].
    """

    trials: int
    provider_ratio: float
    own_ratio: float

    @property
    def provider_wins(self) -> bool:
        """Whether enough is over, and the provider told the cheap hours better."""
        return self.trials >= LEAST_FORECASTS and self.provider_ratio < self.own_ratio

    @property
    def words(self) -> str:
        """Which one is used, and why, in one sentence."""
        if self.trials < LEAST_FORECASTS:
            return f"own forecast: only {self.trials} of the provider's are over and can be judged"
        used, other = "own", "the provider's"
        good, less_good = self.own_ratio, self.provider_ratio
        if self.provider_wins:
            used, other, good, less_good = "the provider's", "our own", less_good, good
        return (
            f"{used} forecast: the hours that it called cheap were at {good:.1%} of the mean, "
            f"those of {other} at {less_good:.1%}, in {self.trials} forecasts that are over"
        )


def as_given(
    made_utc_s: float, start_utc_s: float, step_s: float, values: Sequence[float | None]
) -> Forecast:
    """Forecast of a provider, given at an instant for slots from another on; None is a gap."""
    mean = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return Forecast(made_utc_s, start_utc_s, step_s, mean, source="forecast of the provider")


def contest(
    past: Series, given: Sequence[Forecast], forecaster: Forecaster | None = None
) -> Contest:
    """Judge forecasts *given* by a provider against our own, on what *past* holds.

    For each that is over, ours is made from readings until the instant at which it was made.
    """
    theirs, ours = [], []
    own = forecaster or Forecaster()
    for forecast in sorted(given, key=lambda f: f.made_utc_s):
        truth = _truth(past, forecast)
        use = np.isfinite(truth) & np.isfinite(forecast.mean)
        before = past.until(forecast.made_utc_s)
        if use.sum() < _LEAST_SLOTS or not _enough(before):
            continue
        own.update(before)
        horizon_s = forecast.start_utc_s + forecast.step_s * len(truth) - forecast.made_utc_s
        if horizon_s > LONGEST_S:
            continue
        mine = _resampled(own.forecast(forecast.made_utc_s, horizon_s, paths=0), forecast)
        use &= np.isfinite(mine)
        if use.sum() < _LEAST_SLOTS:
            continue
        theirs.append(_picked(forecast.mean[use], truth[use]))
        ours.append(_picked(mine[use], truth[use]))
    if not theirs:
        return Contest(0, float("nan"), float("nan"))
    return Contest(len(theirs), float(np.mean(theirs)), float(np.mean(ours)))


def chosen(
    past: Series, now_utc_s: float, horizon_s: float, *, given: Sequence[Forecast] = (),
    forecaster: Forecaster | None = None,
) -> tuple[Forecast, Contest]:  # fmt: skip
    """Forecast to plan on: the provider's newest where it back-tests better, else our own.

    *given* are its forecasts so far, of which those made until now are looked at. What the newest
    does not reach, or is older than a day, is left to our own.
    """
    past = past.until(now_utc_s)
    own = (forecaster or Forecaster()).update(past)
    known = [f for f in given if f.made_utc_s <= now_utc_s]
    result = contest(past, known)
    mine = own.forecast(now_utc_s, horizon_s)
    if not known or not result.provider_wins:
        return mine, result
    newest = max(known, key=lambda f: f.made_utc_s)
    told = _resampled(newest, mine)
    reached = np.isfinite(told)
    if not reached.any():
        return mine, result
    shift = np.where(reached, told - mine.mean, 0.0)
    return Forecast(
        newest.made_utc_s, mine.start_utc_s, mine.step_s, mine.mean + shift,
        {p: values + shift for p, values in mine.quantiles.items()}, mine.paths + shift,
        unit=mine.unit, source=newest.source,
    ), result  # fmt: skip


def _enough(past: Series) -> bool:
    from submeter.forecasting.forecaster import LEAST_S

    known = np.flatnonzero(np.isfinite(past.values)) if len(past.values) else np.empty(0)
    return len(known) > 0 and (len(past.values) - known[0]) * past.step_s > LEAST_S + past.step_s


def _truth(past: Series, forecast: Forecast) -> Floats:
    """Readings of the slots of *forecast*; nan where they are not over."""
    read = Forecast(past.end_utc_s, past.start_utc_s, past.step_s, past.values)
    return _resampled(read, forecast)


def _resampled(source: Forecast, onto: Forecast) -> Floats:
    """Means of *source* in the middles of the slots of *onto*; nan where it has none."""
    middles = onto.start_utc_s + onto.step_s * (np.arange(len(onto.mean)) + 0.5)
    place = np.floor((middles - source.start_utc_s) / source.step_s).astype(np.int64)
    inside = (place >= 0) & (place < len(source.mean))
    made = np.full(len(middles), np.nan)
    made[inside] = source.mean[place[inside]]
    return made


def _picked(told: Floats, truth: Floats) -> float:
    """What the hours that *told* calls cheap emit, over the mean of all [1]."""
    count = max(1, int(len(told) * _CHEAPEST))
    return float(truth[np.argsort(told, kind="stable")[:count]].mean() / truth.mean())
