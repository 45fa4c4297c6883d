# SPDX-License-Identifier: Apache-2.0
"""Compare two ways of doing the same thing, in interleaved blocks, by their paired differences.

Wall time on a shared machine wanders by tens of per cent within minutes. Two neighbouring blocks
share most of that, so the logarithm of their ratio is what is averaged. Needs neither numpy nor
scipy, so that it runs beside any torch.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

Block = TypeVar("Block")

# 97.5 % quantile of Student's t by degrees of freedom, checked against scipy by a test
T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class SlowDown(NamedTuple):
    """How much longer a step takes, as a ratio of the undisturbed one, with its 95 % interval."""

    ratio: float
    low_ratio: float
    high_ratio: float
    pairs: int

    def __str__(self) -> str:
        return (
            f"slow-down {100 * self.ratio:+.2f} % "
            f"({100 * self.low_ratio:+.2f} … {100 * self.high_ratio:+.2f}, 95 %, "
            f"{self.pairs} pairs)"
        )


def t_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t."""
    if freedom < 1:
        raise ValueError("an interval needs at least two pairs")
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = 1.959964  # Cornish-Fisher expansion around the normal quantile, good to 1e-4 here
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + g1 / freedom + g2 / freedom**2


def slow_down(on_s: Sequence[float], off_s: Sequence[float]) -> SlowDown:
    """Mean relative difference of *on_s* against its partners in *off_s*.

    Notes
    -----
    ``d_i = ln(on_i / off_i)``; the interval is ``mean(d) ± t * sd(d) / sqrt(n)``, turned back by
    ``exp - 1``. One pair in ten at each end is left out (a trimmed mean with the winsorised
    spread that belongs to it), because a neighbour on the machine spoils single blocks.
    """
    logs = sorted(math.log(a / b) for a, b in zip(on_s, off_s, strict=True))
    n = len(logs)
    cut = n // 10
    kept = logs[cut : n - cut]
    mean = statistics.fmean(kept)
    winsorised = [kept[0]] * cut + kept + [kept[-1]] * cut
    h = len(kept)
    error = statistics.stdev(winsorised) * math.sqrt((n - 1) / (h * (h - 1)))
    half = t_quantile(h - 1) * error
    return SlowDown(math.expm1(mean), math.expm1(mean - half), math.expm1(mean + half), n)


def interleave(
    on: Callable[[], Block], off: Callable[[], Block], *, pairs: int
) -> tuple[list[Block], list[Block]]:
    """Results of *pairs* blocks each, in the order on-off, off-on, on-off, ..."""
    with_it: list[Block] = []
    without: list[Block] = []
    for i in range(pairs):
        if i % 2:
            without.append(off())
            with_it.append(on())
        else:
            with_it.append(on())
            without.append(off())
    return with_it, without
