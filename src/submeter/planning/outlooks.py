# SPDX-License-Identifier: Apache-2.0
"""What is expected of a signal in the slots ahead, with paths that say how sure that is.

An outlook has a mean and many paths: whole courses that the signal may take, so that the doubt of
one hour and that of the next are as alike as they are on a grid. Savings and the chance of doing
worse are counted over paths, never over hours taken one by one.
"""

import math
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from submeter.errors import CoverageError, UsageError
from submeter.forecasting.forecaster import Forecaster
from submeter.forecasting.series import Series
from submeter.grid.scatter import Scatter
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.traces import Kind, Trace
from submeter.units import S_PER_H

Array = NDArray[np.float64]
PATHS: Final = 400
_SEED: Final = 20_261_123  # the same question has the same answer
# Memories of the parts that scatter is put together from [h]; the last never fades.
_MEMORIES_H: Final = (3.0, 12.0, 48.0, 200.0, math.inf)
_NOTHING_G_PER_KWH: Final = 1e-3  # under it hours differ by rounding alone
_DAY_H: Final = 24.0
_WEEK_H: Final = 168
_STALE_S: Final = 86_400  # readings that end earlier tell nothing of now
_HARMONICS: Final = 2  # of a day: night and day, morning and evening


class Outlook(msgspec.Struct, frozen=True, eq=False):
    """A signal ahead, in slots of equal length from ``start_utc_s`` on.

    Attributes
    ----------
    mean
        Expected values, shape (h,), in ``unit`` per kWh.
    paths
        Courses that it may take, shape (n, h): from their spread come intervals and chances.
    informed
        Whether hours are told apart; if not, no hour is known to be better than another.
    source
        What it was made from, in words.
    """

    zone: str
    unit: str
    start_utc_s: float
    step_s: float
    mean: Array
    paths: Array
    informed: bool = True
    source: str = ""
    kind: Kind | None = None
    notes: tuple[str, ...] = ()

    @property
    def end_utc_s(self) -> float:
        """End of the last slot [s since 1970 UTC]."""
        return self.start_utc_s + self.step_s * len(self.mean)

    def on(self, start_utc_s: float, step_s: float, count: int) -> "Outlook":
        """Resample to *count* slots of *step_s* from an instant on; means over slots are kept.

        Readings need not begin on the hour: a first or last slot that is known in part has the
        mean of that part.

        Raises
        ------
        CoverageError
            If it does not reach that far.
        """
        edges = start_utc_s + step_s * np.arange(count + 1)
        if edges[1] <= self.start_utc_s or edges[-2] >= self.end_utc_s:
            raise CoverageError(
                f"what is known of {self.zone} does not reach from now to the deadline",
                remedy="give an earlier deadline",
            )
        place = np.clip((edges - self.start_utc_s) / self.step_s, 0, len(self.mean))
        return msgspec.structs.replace(
            self,
            start_utc_s=start_utc_s,
            step_s=step_s,
            mean=_means(self.mean[None, :], place)[0],
            paths=_means(self.paths, place),
        )


def _means(values: Array, place: Array) -> Array:
    """Mean of each row of *values* between neighbours of *place*, counted in slots."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    whole = np.minimum(place.astype(int), values.shape[1] - 1)
    at = sums[:, whole] + (place - whole) * values[:, whole]
    return np.asarray(np.diff(at, axis=1) / np.diff(place))


def even(zone: str, unit: str, level: Factor, span_utc_s: tuple[float, float]) -> Outlook:
    """Signal that is the same at every hour, as far as anybody knows.

    What is not known of its level is the same at every hour of a path: it tells places apart, and
    has no part in when.
    """
    start_utc_s = math.floor(span_utc_s[0] / S_PER_H) * float(S_PER_H)
    count = max(1, math.ceil((span_utc_s[1] - start_utc_s) / S_PER_H))
    draws = _generator(zone, unit).standard_normal((PATHS, 1))
    exponent = _level_sd(level.low, level.high) * draws
    levels = level.value * np.exp(exponent)
    levels *= level.value / levels.mean() if level.value else 1.0
    mean = np.full(count, level.value)
    paths = np.broadcast_to(levels, (PATHS, count))
    return Outlook(
        zone, unit, start_utc_s, float(S_PER_H), mean, paths, informed=False, source=level.source
    )


def certain(
    zone: str, unit: str, start_utc_s: float, step_s: float, values: Sequence[float], source: str
) -> Outlook:
    """Signal that is known ahead, such as the prices of a tariff."""
    mean = np.array(values, dtype=np.float64)
    return Outlook(zone, unit, start_utc_s, step_s, mean, mean[None, :], source=source)


def foreseen(
    series: Series, now_utc_s: float, end_utc_s: float, *, ahead: bool = False
) -> Outlook:
    """Outlook of a series: forecast from its past, or as its maker forecasts it.

    Parameters
    ----------
    series
        Values up to now, and maybe on.
    now_utc_s, end_utc_s
        Nothing later than the one is learnt from; the other is how far is looked ahead.
    ahead
        Whether what it has of the hours ahead are forecasts of its maker, and no readings of a
        future that this is only as if it were before. They are taken where they reach to the end
        without a gap; our own then says how far they may be off.

    Raises
    ------
    CoverageError
        If the past is too short or too old.
    """
    past = series.until(now_utc_s)
    if past.end_utc_s < now_utc_s - _STALE_S:
        raise CoverageError(
            f"the series of {series.zone or 'this zone'} ends {_utc(past.end_utc_s)}, and now"
            f" is {_utc(now_utc_s)}",
            remedy=f"give one up to now, or look back from then: --at '{_iso(past.end_utc_s)}'",
        )
    made = Forecaster().fit(past).forecast(now_utc_s, end_utc_s - now_utc_s, PATHS)
    intensity = series.kind is not None or "CO2" in series.unit
    least = _NOTHING_G_PER_KWH if intensity else 0.0
    own = Outlook(
        zone=series.zone,
        unit="g/kWh" if intensity else series.unit,
        start_utc_s=made.start_utc_s,
        step_s=made.step_s,
        mean=np.where(np.abs(made.mean) < least, 0.0, made.mean),
        paths=np.where(np.abs(made.paths) < least, 0.0, made.paths),
        source=made.source,
        kind=series.kind,
    )
    first = round((made.start_utc_s - series.start_utc_s) / series.step_s)
    told = series.values[first : first + len(made.mean)]
    if not ahead or len(told) < len(made.mean) or not np.all(np.isfinite(told)):
        return own
    mean = np.asarray(told, dtype=np.float64)
    return msgspec.structs.replace(
        own, mean=mean, paths=mean + (own.paths - own.mean), source="forecast of the series itself"
    )


def offline(trace: Trace, around: Scatter, level: tuple[float, float] = (1.0, 1.0)) -> Outlook:
    """Outlook of a month-by-hour profile: what its hours are on the mean of such days.

    Parameters
    ----------
    trace
        Intensity of the hours ahead from profile and annual figure.
    around
        How single hours scatter around it.
    level
        95 % interval of the annual level over its value: the same for all hours of a path.

    Notes
    -----
    ``path = trace * exp(x - var(x) / 2)``; ``x`` is a sum of first-order autoregressions of
    memories from 3 h to for ever, whose variances reproduce the sd of means over windows of 1, 6,
    24 and 168 h; of two harmonics of the day for what its shape may have changed; and of the
    level, which all hours of a path share. So a path stays windy for as long as winds last.
    """
    values = filled(trace)
    generator = _generator(trace.zone, trace.unit)
    hours = trace.step_s / S_PER_H
    exponent = _scattered(generator, around, len(values), hours)
    exponent += _reshaped(generator, around.shape_sd, len(values), hours)
    exponent += _level_sd(*level) * generator.standard_normal((PATHS, 1))
    paths = values * np.exp(exponent - exponent.var(axis=0) / 2)
    paths *= values / paths.mean(axis=0)  # their mean is the expectation, not by chance near it
    return Outlook(
        zone=trace.zone,
        unit=trace.unit,
        start_utc_s=trace.start_utc_s,
        step_s=trace.step_s,
        mean=values,
        paths=paths,
        informed=around.profiled,
        source=f"profile of a mean day of the month: {trace.source}" if around.profiled
        else f"annual figure: {trace.source}",
        kind=trace.kind,
        notes=trace.notes,
    )  # fmt: skip


def _generator(*words: str) -> np.random.Generator:
    """Chance that is the same for the same question, and another for each place and signal."""
    return np.random.default_rng([_SEED, *(zlib.crc32(word.encode()) for word in words)])


def _level_sd(low: float, high: float) -> float:
    return math.log(high / low) / (2 * NORMAL_95) if 0 < low < high else 0.0


def _utc(at_utc_s: float) -> str:
    return f"{datetime.fromtimestamp(at_utc_s, UTC):%Y-%m-%d %H:%M} UTC"


def _iso(at_utc_s: float) -> str:
    return f"{datetime.fromtimestamp(at_utc_s, UTC):%Y-%m-%dT%H:%MZ}"


def filled(trace: Trace) -> Array:
    """Values of *trace*, of which none may be a gap.

    Raises
    ------
    UsageError
        If one is.
    """
    holes = sum(value is None for value in trace.values)
    if holes:
        raise UsageError(
            f"{holes} of {len(trace.values)} slots of {trace.zone} have no value",
            remedy="fill the holes of the series first",
        )
    return np.array([value for value in trace.values if value is not None])


def components(windows: tuple[tuple[int, float], ...]) -> dict[float, float]:
    """Variance of each memory [h] so that means over windows scatter as *windows* says.

    Notes
    -----
    Least squares of the relative error of each window's variance, none below zero: of five parts
    the best of all subsets is found by trying them. Months are left out: a profile has the mean
    of each month of its own year, so that their scatter is none, whatever weeks do.
    """
    known = [(hours, sd * sd) for hours, sd in windows if sd > 0 and hours <= _WEEK_H]
    if not known:
        return {}
    rows = np.array(
        [[mean_variance(memory, hours) for memory in _MEMORIES_H] for hours, _ in known]
    )
    rows /= np.array([[variance] for _, variance in known])
    best: tuple[float, dict[float, float]] = (math.inf, {})
    for size in range(1, len(_MEMORIES_H) + 1):
        for subset in combinations(range(len(_MEMORIES_H)), size):
            part, *_ = np.linalg.lstsq(rows[:, subset], np.ones(len(known)), rcond=None)
            miss = float(np.sum((rows[:, subset] @ part - 1) ** 2))
            if np.all(part >= 0) and miss < best[0] - 1e-12:
                found = {_MEMORIES_H[i]: float(v) for i, v in zip(subset, part, strict=True)}
                best = (miss, found)
    return best[1]


def mean_variance(memory_h: float, hours: int) -> float:
    """Variance of the mean over so many hours of an autoregression of variance 1."""
    if math.isinf(memory_h):
        return 1.0
    rho = math.exp(-1 / memory_h)
    total = hours + 2 * (
        rho * (hours * (1 - rho) - (1 - rho**hours)) / (1 - rho) ** 2
    )  # sum of (n - k) rho^k
    return total / hours**2


def _scattered(
    generator: np.random.Generator, around: Scatter, count: int, step_h: float
) -> Array:
    made = np.zeros((PATHS, count))
    for memory_h, variance in components(around.windows).items():
        sd = math.sqrt(variance)
        if math.isinf(memory_h):
            made += sd * generator.standard_normal((PATHS, 1))
            continue
        rho = math.exp(-step_h / memory_h)
        fresh = math.sqrt(1 - rho * rho)
        state = generator.standard_normal(PATHS)
        for i in range(count):
            made[:, i] += sd * state
            state = rho * state + fresh * generator.standard_normal(PATHS)
    return made


def _reshaped(generator: np.random.Generator, sd: float, count: int, step_h: float) -> Array:
    """What the shape of a day may be off by: the same on every day of a path."""
    made = np.zeros((PATHS, count))
    hours = step_h * np.arange(count)
    for n in range(1, _HARMONICS + 1):
        angle = 2 * math.pi * n * hours / _DAY_H
        each = sd / math.sqrt(_HARMONICS)
        made += each * generator.standard_normal((PATHS, 1)) * np.cos(angle)
        made += each * generator.standard_normal((PATHS, 1)) * np.sin(angle)
    return made
