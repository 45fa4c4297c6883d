# SPDX-License-Identifier: Apache-2.0
"""What repetitions of a run tell: their mean, and how far that may be off."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import NORMAL_95
from submeter.records.figures import Missing

# 97.5 % quantiles of Student's distribution with 1, 2, … degrees of freedom (t tables; checked
# against scipy by tests/comparing/test_spreads.py). Beyond, a series in 1/df around the normal.
_STUDENT: Final = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
)  # fmt: skip


def student_95(df: float) -> float:
    """Half width of the central 95 % interval of Student's distribution, in standard deviations.

    References
    ----------
    .. [1] Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 26.7.5.
    """
    if df < 1:
        return math.inf
    if df <= len(_STUDENT):
        below = int(df)
        above = min(below + 1, len(_STUDENT))
        share = df - below
        # 1/t is close to a line in df here
        return 1 / ((1 - share) / _STUDENT[below - 1] + share / _STUDENT[above - 1])
    z = NORMAL_95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / df**i for i, term in enumerate(terms))


def mean_reach(values: Sequence[float]) -> float:
    """Half width of the 95 % interval of the mean of *values*; infinite of a single one."""
    n = len(values)
    if n < 2:  # noqa: PLR2004  # a spread takes two
        return math.inf
    return student_95(n - 1) * statistics.stdev(values) / math.sqrt(n)


def welch(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Difference of the means, and half of its 95 % interval.

    Infinite where neither side was repeated; a side that was not takes the other's spread.

    References
    ----------
    .. [1] Welch, B. L. (1947), Biometrika 34, 28.
    """
    value = statistics.fmean(after) - statistics.fmean(before)
    sides = [list(before), list(after)]
    squares = [statistics.variance(x) if len(x) > 1 else None for x in sides]
    if all(s is None for s in squares):
        return value, math.inf
    known = [s for s in squares if s is not None]
    parts = [(known[0] if s is None else s) / len(x) for s, x in zip(squares, sides, strict=True)]
    whole = math.fsum(parts)
    if whole == 0:
        return value, 0.0
    degrees = [len(x) - 1 for x in sides]
    if 0 in degrees:
        return value, student_95(max(degrees)) * math.sqrt(whole)
    df = whole**2 / math.fsum(p**2 / d for p, d in zip(parts, degrees, strict=True))
    return value, student_95(df) * math.sqrt(whole)


def repeated(amounts: Sequence[Amount | Missing], label: str) -> Amount | Missing:
    """Mean of *amounts* with the doubt that their spread gives it; the one if there is one.

    Notes
    -----
    The doubt is a variable of its own, named by *label*. Its deviation is the standard error
    times Student's quantile over the normal one, so that 95 % of intervals hold the mean.
    """
    known = [a for a in amounts if isinstance(a, Amount)]
    if len(known) < len(amounts) or not known:
        return next(a for a in amounts if isinstance(a, Missing))
    if len(known) == 1:
        return known[0]
    mean = sum_amounts(a.scaled(1 / len(known)) for a in known)
    reach = mean_reach([a.value for a in known])
    if reach <= 0 or mean.value <= 0:
        return mean
    sd = reach / NORMAL_95 / mean.value
    log_sd = math.sqrt(math.log1p(sd * sd))
    terms = tuple(
        msgspec.structs.replace(t, log_sds={**t.log_sds, f"repeats of {label}": log_sd})
        for t in mean.terms
    )
    return msgspec.structs.replace(mean, terms=terms)
