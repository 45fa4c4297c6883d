# SPDX-License-Identifier: Apache-2.0
"""Where a learning curve goes next, and how sure that is.

Curves that level off, ``m(t) = a + b φ(t)``, with φ a power of the epoch or an exponential of it,
are fitted for a range of exponents and time constants; each counts as the data say (marginal
likelihood of a linear model with unknown noise, ``sse^(-(n-2)/2) / √det``). The forecast is their
mixture: its spread holds the noise of the past, the doubt of each fit and that between the fits.
Sources: Domhan, Springenberg and Hutter 2015, IJCAI (families of curves, mixed); Gelman et al.,
Bayesian Data Analysis, 3rd ed., 14.2 (the linear model).
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.reducing import student

LEAST_POINTS: Final = 4
POWERS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
CONSTANTS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # epochs
RECENT: Final = 24  # points that are fitted; before them it was another phase of learning
LEAST_NOISE_RATIO: Final = 1e-3  # of the curve's range: no metric is known better


class Course(NamedTuple):
    """Metric at a later epoch: mean, and standard deviation of the curve without its noise."""

    mean: float
    sd: float
    noise: float  # of one evaluation
    freedom: int

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Ends between which the *next reading* lies with probability *level*."""
        half = student.quantile((1 + level) / 2, max(1, self.freedom))
        half *= math.hypot(self.sd, self.noise)
        return self.mean - half, self.mean + half


class _Fitted(NamedTuple):
    weight: float
    mean: float
    variance: float
    noise: float


def ahead(values: Sequence[float], epochs_ahead: int) -> Course | None:
    """Where the curve of *values*, one an epoch, stands later; None if it is too short."""
    n = len(values)
    if n < LEAST_POINTS:
        return None
    first = max(1, n - RECENT + 1)
    recent = values[first - 1 :]
    floor = LEAST_NOISE_RATIO * (max(recent) - min(recent)) or 1e-12
    at = float(n + epochs_ahead)
    times = [float(t) for t in range(first, n + 1)]
    fits = [_fit([t**-p for t in times], recent, at**-p, floor) for p in POWERS]
    fits += [
        _fit([math.exp((first - t) / c) for t in times], recent, math.exp((first - at) / c), floor)
        for c in CONSTANTS
    ]
    most = max(f.weight for f in fits)
    weights = [math.exp(f.weight - most) for f in fits]
    total = sum(weights)
    mean = sum(w * f.mean for w, f in zip(weights, fits, strict=True)) / total
    variance = (
        sum(w * (f.variance + (f.mean - mean) ** 2) for w, f in zip(weights, fits, strict=True))
        / total
    )
    noise = math.sqrt(sum(w * f.noise for w, f in zip(weights, fits, strict=True)) / total)
    return Course(mean, math.sqrt(variance), noise, len(recent) - 2)


def _fit(basis: Sequence[float], values: Sequence[float], there: float, floor: float) -> _Fitted:
    """Least squares of ``a + b φ``; log of its weight, mean and variance *there*."""
    n = len(basis)
    middle, mean = sum(basis) / n, sum(values) / n
    spread = sum((x - middle) ** 2 for x in basis)
    if spread < 1e-18:  # noqa: PLR2004  # a basis that does not change says nothing
        return _Fitted(-math.inf, mean, 0.0, floor**2)
    slope = sum((x - middle) * (y - mean) for x, y in zip(basis, values, strict=True)) / spread
    errors = sum(
        (y - mean - slope * (x - middle)) ** 2 for x, y in zip(basis, values, strict=True)
    )
    noise = max(errors / (n - 2), floor**2)
    variance = noise * (1 / n + (there - middle) ** 2 / spread)
    # a prior on the slope as wide as the data's own range over that of the basis
    reach = max(basis) - min(basis)
    weight = -(n - 2) / 2 * math.log(noise) - 0.5 * math.log(spread / reach**2)
    return _Fitted(weight, mean + slope * (there - middle), variance, noise)
