# SPDX-License-Identifier: Apache-2.0
"""Student's t and its power, without a numerical library.

Formulas: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.5.8 (continued fraction of
the incomplete beta function), 26.7.1 (Student's t), 26.7.9 (the non-central one, as an integral
over the sample's standard deviation).
"""

import math
import sys
from statistics import NormalDist
from typing import Final

_NORMAL: Final = NormalDist()
_TINY: Final = 1e-300
_STEPS: Final = 400  # of the integral over the standard deviation; even, for Simpson's rule


def beta_ratio(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _continued(x, a, b) / a
    return 1 - front * _continued(1 - x, b, a) / b


def _continued(x: float, a: float, b: float) -> float:
    """Continued fraction of I_x(a, b), by Lentz's method."""
    c, d = 1.0, 1 / _kept_off_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _kept_off_zero(1 + term * d)
            c = _kept_off_zero(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < sys.float_info.epsilon:
            break
    return fraction


def _kept_off_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY


def cdf(t: float, freedom: float) -> float:
    """Probability that Student's t with *freedom* degrees stays below *t*."""
    tail = beta_ratio(freedom / (freedom + t * t), freedom / 2, 0.5) / 2
    return 1 - tail if t > 0 else tail


def quantile(probability: float, freedom: float) -> float:
    """Value that Student's t stays below with *probability*, by bisection."""
    if not 0 < probability < 1 or freedom <= 0:
        msg = f"no quantile {probability} of Student's t with {freedom} degrees of freedom"
        raise ValueError(msg)
    if probability < 1 / 2:
        return -quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while cdf(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def chance_to_pass(shift: float, freedom: int, critical: float) -> float:
    """Probability that t passes ±*critical* when its true mean is *shift* standard errors.

    ``P = E[Φ(shift - critical s) + Φ(-shift - critical s)]`` over ``s = sqrt(chi2 / freedom)``.
    """
    centre = math.sqrt(freedom)
    low, high = max(0.0, centre - 9), centre + 9  # chi has a standard deviation below 1
    step = (high - low) / _STEPS
    log_norm = (freedom / 2 - 1) * math.log(2) + math.lgamma(freedom / 2)

    def inside(chi: float) -> float:
        if chi <= 0:
            return 0.0 if freedom > 1 else math.exp(-log_norm)  # both tails make up one
        density = math.exp((freedom - 1) * math.log(chi) - chi * chi / 2 - log_norm)
        s = chi / centre
        return density * (_NORMAL.cdf(shift - critical * s) + _NORMAL.cdf(-shift - critical * s))

    ends = inside(low) + inside(high)
    odd = math.fsum(inside(low + i * step) for i in range(1, _STEPS, 2))
    even = math.fsum(inside(low + i * step) for i in range(2, _STEPS, 2))
    return step / 3 * (ends + 4 * odd + 2 * even)
