# SPDX-License-Identifier: Apache-2.0
"""What pairs of runs say about a ratio: intervals for one look, and for looking after every pair.

Two neighbouring runs on one machine share its temperature, its neighbours and its drift, so the
logarithm of their ratio is what is averaged: ``d_i = ln(B_i / A_i)``, with A the baseline.

One look: ``mean(d) ± t(1 - α/2, n - 1) · s / √n``.

Looking after every pair: the values that a mixture of t-tests cannot reject at any sample size.
With a normal prior of variance ``g`` on the effect in standard deviations, the Bayes factor

``(1 + n g)^(-1/2) · [(1 + t²/ν) / (1 + t²/((1 + n g) ν))]^((ν + 1)/2),  ν = n - 1``

is a martingale under the hypothesis, whatever the unknown standard deviation, so that it passes
``1/α`` with a probability of at most α however often one looks (Ville). Solving for t gives the
half-width in closed form. Sources: Rouder et al. 2009, Psychonomic Bulletin & Review 16, 225
(the factor); Wang and Ramdas 2025, Annals of Statistics, "Anytime-valid t-tests and confidence
sequences for Gaussian means with unknown variance" (its validity under optional stopping).
"""

import math
import statistics
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError
from submeter.reducing import student

Mode = Literal["fixed", "always"]

# g: savings worth proving, 5 to 30 %, are one to seven standard deviations of a pair at 3 % noise.
# Small g is narrower after many pairs, large g after few: at 6 pairs t is 4.9, at 14 it is 4.0.
PRIOR_VARIANCE: Final = 10.0
LEVEL: Final = 0.95
MOST_PAIRS: Final = 100_000
FEWEST_PAIRS: Final = 2  # one says nothing about how much they scatter
_CERTAIN: Final = 50.0  # standard errors, beyond which no integral is needed


class Evidence(msgspec.Struct, frozen=True):
    """Mean of ``d`` over pairs, with its interval; ``high`` is infinite while too few were run."""

    pairs: int
    mean: float
    low: float
    high: float
    sd: float  # of one pair's d
    level: float
    mode: Mode

    @property
    def ratio(self) -> float:
        """B over A."""
        return math.exp(self.mean)

    @property
    def saving_ratio(self) -> float:
        """Share of A that B saves; negative if B uses more."""
        return -math.expm1(self.mean)

    @property
    def saving_low_ratio(self) -> float:
        """Least saving that the pairs allow."""
        return -math.expm1(self.high) if self.high < math.inf else -math.inf

    @property
    def saving_high_ratio(self) -> float:
        """Largest saving that the pairs allow."""
        return -math.expm1(self.low) if self.low > -math.inf else 1.0


def log_ratios(baseline: Sequence[float], changed: Sequence[float]) -> list[float]:
    """``ln(changed / baseline)`` of each pair; both must be positive and equally many."""
    if len(baseline) != len(changed):
        raise UsageError(
            f"{len(baseline)} runs of one kind cannot be paired with {len(changed)} of the other",
            remedy="run both equally often, or compare stored runs: submeter prove A… vs B…",
        )
    if not all(math.isfinite(x) and x > 0 for x in (*baseline, *changed)):
        raise UsageError(
            "a run without a positive, finite amount cannot be compared",
            remedy="look at it with submeter show; leave it out, or let it run longer",
        )
    return [math.log(b / a) for a, b in zip(baseline, changed, strict=True)]


def of_pairs(differences: Sequence[float], mode: Mode, *, level: float = LEVEL) -> Evidence:
    """What *differences* (``ln(B/A)`` of each pair) say, for one look or for any number of looks.

    With ``always`` the interval is the intersection of those after each pair so far, which holds
    the truth at all times with probability *level*; an empty one keeps the last.
    """
    n = len(differences)
    mean = statistics.fmean(differences) if n else 0.0
    if n < FEWEST_PAIRS:
        return Evidence(n, mean, -math.inf, math.inf, math.inf, level, mode)
    sd = statistics.stdev(differences)
    if mode == "fixed":
        half = student.quantile((1 + level) / 2, n - 1) * sd / math.sqrt(n)
        return Evidence(n, mean, mean - half, mean + half, sd, level, mode)
    low, high = -math.inf, math.inf
    for k in range(2, n + 1):
        here = statistics.fmean(differences[:k])
        half = always_valid_t(k, level=level) * statistics.stdev(differences[:k]) / math.sqrt(k)
        narrower = max(low, here - half), min(high, here + half)
        low, high = narrower if narrower[0] <= narrower[1] else (here - half, here + half)
    return Evidence(n, mean, low, high, sd, level, mode)


def always_valid_t(pairs: int, *, level: float = LEVEL, variance: float = PRIOR_VARIANCE) -> float:
    """Size of t that the mixture rejects at after *pairs*; infinite while no t could be enough."""
    freedom, stretch = pairs - 1, 1 + pairs * variance
    if freedom < 1:
        return math.inf
    k = (math.sqrt(stretch) / (1 - level)) ** (2 / pairs)
    return math.inf if k >= stretch else math.sqrt(freedom * (k - 1) / (1 - k / stretch))


def minimum_detectable_saving(
    sd: float, pairs: int, mode: Mode, *, level: float = LEVEL, chance: float = 0.8
) -> float:
    """Saving that as many pairs would have shown with probability *chance* [1].

    *sd* is that of one pair's ``ln(B/A)``. In the mode ``always`` it is what the last look alone
    would show, so that the truth is a little better.
    """
    critical = _critical(pairs, mode, level)
    if not math.isfinite(critical):
        return 1.0
    low, high = 0.0, 60.0  # standard errors
    for _ in range(60):
        middle = (low + high) / 2
        enough = student.chance_to_pass(middle, pairs - 1, critical) >= chance
        low, high = (low, middle) if enough else (middle, high)
    return -math.expm1(-high * sd / math.sqrt(pairs))


def pairs_needed(
    saving_ratio: float, sd: float, mode: Mode, *, level: float = LEVEL, chance: float = 0.8
) -> int | None:
    """How many pairs show *saving_ratio* with probability *chance*; None beyond all reason."""
    shift = abs(math.log1p(-saving_ratio)) if saving_ratio < 1 else math.inf
    if shift == 0:
        return None
    pairs = FEWEST_PAIRS
    while pairs < MOST_PAIRS and not _enough(shift, sd, pairs, mode, level, chance):
        pairs += 1 + pairs // 64
    return pairs if pairs < MOST_PAIRS else None


def _enough(shift: float, sd: float, pairs: int, mode: Mode, level: float, chance: float) -> bool:
    critical = _critical(pairs, mode, level)
    if not math.isfinite(critical):
        return False
    errors = shift * math.sqrt(pairs) / sd if sd > 0 else math.inf
    return errors > _CERTAIN or student.chance_to_pass(errors, pairs - 1, critical) >= chance


def _critical(pairs: int, mode: Mode, level: float) -> float:
    if pairs < FEWEST_PAIRS:
        return math.inf
    if mode == "fixed":
        return student.quantile((1 + level) / 2, pairs - 1)
    return always_valid_t(pairs, level=level)
