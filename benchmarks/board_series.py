# SPDX-License-Identifier: Apache-2.0
"""What readings of a board say: update period, mean power, counter against integral."""

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from benchmarks.board_poll import Sample


class Steps(NamedTuple):
    """How long a value stays the same before it changes [s]."""

    median_s: float
    low_s: float  # 5th percentile
    high_s: float  # 95th
    changes: int


def update_steps(t_ns: Sequence[int], values: Sequence[int]) -> Steps | None:
    """Times between changes of *values*; None if there are too few to tell."""
    changes = [t for t, a, b in zip(t_ns[1:], values, values[1:], strict=False) if a != b]
    gaps_s = sorted((b - a) / 1e9 for a, b in pairwise(changes))
    if len(gaps_s) < 10:
        return None
    cuts = statistics.quantiles(gaps_s, n=20)
    return Steps(statistics.median(gaps_s), cuts[0], cuts[-1], len(gaps_s))


def counter_j(samples: Sequence[Sample]) -> float | None:
    """Energy between first and last sample by the counter [J]; None without a counter."""
    if len(samples) < 2 or min(s.counter_mj for s in samples) < 0:
        return None
    return (samples[-1].counter_mj - samples[0].counter_mj) / 1e3


def integral_j(samples: Sequence[Sample]) -> float | None:
    """Energy between first and last sample by trapezoids of power [J]."""
    good = [s for s in samples if s.power_mw >= 0]
    if len(good) < 2 or len(good) < 0.99 * len(samples):
        return None
    return sum(
        (a.power_mw + b.power_mw) / 2e3 * (b.t_ns - a.t_ns) / 1e9 for a, b in pairwise(good)
    )


def span_s(samples: Sequence[Sample]) -> float:
    """Time from first to last sample [s]."""
    return (samples[-1].t_ns - samples[0].t_ns) / 1e9


def mean_power_w(samples: Sequence[Sample]) -> float | None:
    """Mean power over the samples, by the counter if there is one [W]."""
    energy_j = counter_j(samples)
    if energy_j is None:
        energy_j = integral_j(samples)
    return None if energy_j is None else energy_j / span_s(samples)
