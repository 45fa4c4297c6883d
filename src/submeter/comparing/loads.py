# SPDX-License-Identifier: Apache-2.0
"""What a load is like over time, and how much of a work goes in parallel."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from submeter.records.figures import Missing

LEAST_SLOTS: Final = 6  # fewer say nothing of how a load varies
_CONSTANT: Final = 1e-9


class LoadStats(NamedTuple):
    """How even and how foreseeable a load is, over slots of equal length."""

    mean: float  # in the unit of the load: processors in use, or watts
    variation_ratio: float  # standard deviation over mean
    autocorrelation: float | None  # of neighbouring slots; None for a constant load
    peak_ratio: float  # highest slot over mean
    slot_s: float
    slots: int


class Scaling(NamedTuple):
    """What several workers made of a work, and the law of Amdahl fitted to it."""

    workers: int
    speed_up: float
    parallel_ratio: float  # part of the work of one worker that n workers share

    @property
    def sequential_ratio(self) -> float:
        """The part that they do not share."""
        return 1.0 - self.parallel_ratio


def load_stats(stretches: Sequence[Sequence[float]], slot_s: float) -> LoadStats | Missing:
    """Describe the load in *stretches* of slots, such as the rounds of a task.

    Parameters
    ----------
    stretches
        Load by slot, in any unit; slots of different stretches are no neighbours.
    slot_s
        Length of a slot [s].

    Notes
    -----
    With mean m and variance v over all slots, the variation is sqrt(v)/m and the autocorrelation
    sum((x_i - m)(x_{i+1} - m)) / (pairs * v) over neighbours: near 1, the next slot will be like
    this one; near 0, this one tells nothing of it.
    """
    every = [x for row in stretches for x in row]
    if len(every) < LEAST_SLOTS:
        return Missing(f"{len(every)} slots of {slot_s:g} s are too few to tell")
    mean = math.fsum(every) / len(every)
    if mean <= 0:
        return Missing("there was no load")
    variance = math.fsum((x - mean) ** 2 for x in every) / len(every)
    pairs = [(a - mean) * (b - mean) for row in stretches
             for a, b in pairwise(row)]  # fmt: skip
    even = math.sqrt(variance) <= _CONSTANT * mean or not pairs
    return LoadStats(
        mean=mean,
        variation_ratio=math.sqrt(variance) / mean,
        autocorrelation=None if even else math.fsum(pairs) / len(pairs) / variance,
        peak_ratio=max(every) / mean,
        slot_s=slot_s,
        slots=len(every),
    )


def scaling(one_per_s: float, many_per_s: float, workers: int) -> Scaling | Missing:
    """Fit the law of Amdahl to the rates of one and of several workers.

    Notes
    -----
    ``S = 1 / ((1 - p) + p / n)``, so ``p = (1 - 1 / S) / (1 - 1 / n)``, cut to 0 … 1: several
    workers can be slower than one, and a warm cache can make them faster than n.

    References
    ----------
    .. [1] Amdahl, Validity of the single processor approach to achieving large scale computing
       capabilities, AFIPS 1967.
    """
    if workers < 2:  # noqa: PLR2004
        return Missing("this machine lends one processor only")
    if one_per_s <= 0 or many_per_s <= 0:
        return Missing("no work was done")
    speed_up = many_per_s / one_per_s
    parallel = (1 - 1 / speed_up) / (1 - 1 / workers)
    return Scaling(workers, speed_up, min(1.0, max(0.0, parallel)))
