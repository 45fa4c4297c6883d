# SPDX-License-Identifier: Apache-2.0
"""What a step of a training costs once it has settled, and where that goes from there."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from submeter.estimating.courses import Course, Interval, taken

LEAST_INTERVALS: Final = 4
MOST_WARM: Final = 0.75
MOST_BLOCKS: Final = 40
FEW_RATIO: Final = 0.25  # doubt about what was seen once or twice
_T_95: Final = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81)  # Student, 1 to 10
_NORMAL_95: Final = 1.645


class Steady:
    """What a step costs once it has settled, and where that goes."""

    def __init__(
        self,
        parts: Sequence[Interval],
        course: Course,
        drift_ratio: float,
        change_ratio: float,
    ) -> None:
        blocks = _blocks([p for p in parts if not p.kind], course)
        cut = settled(tuple(rate for rate, _, _ in blocks))
        kept = blocks[cut:]
        self.settled_after = blocks[cut - 1][1] if cut else 0.0
        self._count = len(kept)
        self._steps = math.fsum(weight for _, _, weight in kept)
        weights = [weight / self._steps for _, _, weight in kept]
        logs = [math.log(max(done, 1.0)) for _, done, _ in kept]
        rates = [rate for rate, _, _ in kept]
        self.rate = _dot(weights, rates)
        self._middle = _dot(weights, logs)
        across = [x - self._middle for x in logs]
        spread = _dot(weights, [x * x for x in across])
        slope = _dot(weights, [a * r for a, r in zip(across, rates, strict=True)])
        slope = slope / spread if spread > 0 else 0.0
        off = [r - self.rate - slope * a for r, a in zip(rates, across, strict=True)]
        self._noise = self._noise_of(off, weights)
        # the prior of the slope is that of drifts; the data narrow it
        prior = (drift_ratio * self.rate) ** 2
        data = self._noise**2 / (self._count * spread) if spread > 0 else math.inf
        kept_part = prior / (prior + data) if prior + data > 0 else 0.0
        self.slope = slope * kept_part
        self._slope_sd = math.sqrt(prior * (1 - kept_part))
        self._change_sd = change_ratio * self.rate

    def _noise_of(self, off: Sequence[float], weights: Sequence[float]) -> float:
        """Deviation of a block, as if blocks were independent of each other."""
        n = self._count
        if n < 3:  # noqa: PLR2004  # two points lie on a line
            return FEW_RATIO * self.rate
        variance = _dot(weights, [x * x for x in off]) * n / (n - 2)
        if variance <= 0:
            return 0.0
        alike = sum(a * b for a, b in pairwise(off)) / (n - 1) / variance
        alike = max(0.0, min(0.8, alike))
        student = _T_95[min(n - 2, len(_T_95)) - 1] / _NORMAL_95 if n - 2 <= len(_T_95) else 1.0
        return student * math.sqrt(variance * (1 + alike) / (1 - alike))

    def _reach(self, done: float, total: float) -> float:
        """Mean logarithm of the number of steps from *done* to *total*, over that of the data."""
        low, high = max(done, 1.0), max(total, 2.0)
        if high <= low:
            return math.log(low) - self._middle
        area = high * (math.log(high) - 1) - low * (math.log(low) - 1)
        return area / (high - low) - self._middle

    def ahead(self, done: float, total: float) -> float:
        """Mean cost of the steps from *done* to *total*."""
        return max(0.0, self.rate + self.slope * self._reach(done, total))

    def noise_sd(self, ahead: float) -> float:
        """Deviation of the mean of the steps ahead by what differs from block to block."""
        if not self._steps:
            return 0.0
        per_block = self._steps / self._count
        to_come = max(1.0, ahead / per_block)
        return self._noise * math.sqrt(1 / self._count + 1 / to_come)

    def drift_sd(self, done: float, total: float) -> float:
        """Deviation of the mean of the steps ahead by drifts, known ones and those to come."""
        reach = self._reach(done, total)
        beyond = reach - (math.log(max(done, 1.0)) - self._middle)
        return math.hypot(self._slope_sd * reach, self._change_sd * beyond)


def _blocks(parts: Sequence[Interval], course: Course) -> list[tuple[float, float, float]]:
    """Cost of a step, steps done by then and number of steps, of some forty blocks of *parts*."""
    whole = math.fsum(p.steps for p in parts)
    size = whole / min(MOST_BLOCKS, max(1, len(parts)))
    found: list[tuple[float, float, float]] = []
    steps = used = 0.0
    for i, part in enumerate(parts):
        steps += part.steps
        used += taken(part, course)
        if steps >= size * (1 - 1e-9) or i == len(parts) - 1:
            found.append((used / steps, part.done, steps))
            steps = used = 0.0
    return found


def settled(rates: Sequence[float]) -> int:
    """How many of the first *rates* are a warm-up, at most three quarters of them.

    Notes
    -----
    Minimises ``sum (y - mean)^2 / m^2`` over the ``m`` that are kept (MSER, White 1997).
    """
    best, cut = math.inf, 0
    n = len(rates)
    mean = squares = 0.0
    for count, rate in enumerate(reversed(rates), start=1):  # adding one at a time (Welford)
        step = rate - mean
        mean += step / count
        squares += step * (rate - mean)
        first = n - count
        if first <= MOST_WARM * n and count >= LEAST_INTERVALS:
            error = squares / count**2
            if error <= best:
                best, cut = error, first
    return cut


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
