# SPDX-License-Identifier: Apache-2.0
"""Stored runs that were not paired: compared after adjusting for what differed besides.

``ln(E / work) = a + τ · [b] + Σ β_k · (x_k - mean x_k)`` by ordinary least squares (an analysis of
covariance): τ is the logarithm of b over a at equal work and equal surroundings, a routine
adjustment in the words of measurement and verification. How well the baseline is told by its
model is said as ASHRAE Guideline 14-2014 asks for: the coefficient of variation of the root mean
square error and the normalised mean bias error, both on energies and not on logarithms.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from submeter.metering.separate import invert
from submeter.reducing import student
from submeter.reducing.evidence import LEVEL, Evidence

RUNS_PER_TERM: Final = 4  # fewer would rather fit the noise
_SINGULAR: Final = 1e-10


class Adjusted(msgspec.Struct, frozen=True):
    """What an adjustment found.

    Attributes
    ----------
    evidence
        Of ``ln(b / a)``; its ``pairs`` are the runs of the smaller side.
    terms
        Slopes of the surroundings that were adjusted for, per unit of each.
    left_out
        Surroundings that were not adjusted for, and why.
    cv_rmse_ratio, nmbe_ratio
        Of the baseline's energies about their model [1]; not a number without degrees of freedom.
    """

    evidence: Evidence
    terms: dict[str, float]
    left_out: dict[str, str]
    cv_rmse_ratio: float
    nmbe_ratio: float


def compare(
    baseline: Sequence[float],
    changed: Sequence[float],
    surroundings: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    level: float = LEVEL,
) -> Adjusted:
    """Compare energies per unit of work, *baseline* and *changed*, at equal *surroundings*.

    Parameters
    ----------
    baseline, changed
        Energies (per unit of work), all positive.
    surroundings
        By name the values beside the baseline's and the changed runs (temperature, load of
        others); one that does not vary, or that there are too few runs for, is left out.
    """
    n_a, n_b = len(baseline), len(changed)
    logs = [math.log(e) for e in (*baseline, *changed)]
    flags = [0.0] * n_a + [1.0] * n_b
    names, columns, left_out = _usable(surroundings, n_a + n_b)
    rows = [[1.0, flag, *(c[i] for c in columns)] for i, flag in enumerate(flags)]
    freedom = len(rows) - len(rows[0])
    empty = Evidence(
        min(n_a, n_b), _crude(logs, n_a), -math.inf, math.inf, math.inf, level, "fixed"
    )
    if freedom < 1 or not n_a or not n_b:
        return Adjusted(empty, {}, left_out, math.nan, math.nan)
    solved = _least_squares(rows, logs)
    if solved is None:  # surroundings that tell a from b: nothing can keep the two apart
        left_out |= dict.fromkeys(names, "it differs just as the two sides do")
        solved = _least_squares([row[:2] for row in rows], logs)
        names, rows, freedom = [], [row[:2] for row in rows], len(rows) - 2
    if solved is None or freedom < 1:
        return Adjusted(empty, {}, left_out, math.nan, math.nan)
    slopes, inverse = solved
    told = [math.fsum(b * x for b, x in zip(slopes, row, strict=True)) for row in rows]
    residuals = [y - t for y, t in zip(logs, told, strict=True)]
    sd = math.sqrt(math.fsum(r * r for r in residuals) / freedom)
    half = student.quantile((1 + level) / 2, freedom) * sd * math.sqrt(inverse[1][1])
    found = Evidence(
        min(n_a, n_b), slopes[1], slopes[1] - half, slopes[1] + half, sd * math.sqrt(2), level,
        "fixed",
    )  # fmt: skip
    fitted = [math.exp(t) for t in told[:n_a]]
    cv_rmse_ratio, nmbe_ratio = _fit(baseline, fitted, 1 + len(names))
    return Adjusted(
        found, dict(zip(names, slopes[2:], strict=True)), left_out, cv_rmse_ratio, nmbe_ratio
    )


def _usable(
    surroundings: Mapping[str, tuple[Sequence[float], Sequence[float]]], runs: int
) -> tuple[list[str], list[list[float]], dict[str, str]]:
    """Names and centred columns of what can be adjusted for, and why the others cannot."""
    names: list[str] = []
    columns: list[list[float]] = []
    left_out: dict[str, str] = {}
    for name, (of_a, of_b) in surroundings.items():
        values = [*of_a, *of_b]
        if len(values) != runs or not all(map(math.isfinite, values)):
            left_out[name] = "it is not known of every run"
        elif max(values) - min(values) <= _SINGULAR * max(map(abs, values)):
            left_out[name] = "it did not vary"
        elif runs < RUNS_PER_TERM * (len(names) + 3):
            left_out[name] = f"{runs} runs are too few to adjust for it"
        else:
            mean = statistics.fmean(values)
            names.append(name)
            columns.append([v - mean for v in values])
    return names, columns, left_out


def _crude(logs: Sequence[float], n_a: int) -> float:
    if not n_a or n_a == len(logs):
        return 0.0
    return statistics.fmean(logs[n_a:]) - statistics.fmean(logs[:n_a])


def _fit(energies: Sequence[float], fitted: Sequence[float], terms: int) -> tuple[float, float]:
    """CV(RMSE) and NMBE, ASHRAE Guideline 14-2014, section 4.4: over ``n - p``."""
    freedom = len(energies) - terms
    if freedom < 1:
        return math.nan, math.nan
    mean = statistics.fmean(energies)
    errors = [f - e for f, e in zip(fitted, energies, strict=True)]
    rmse = math.sqrt(math.fsum(e * e for e in errors) / freedom)
    return rmse / mean, math.fsum(errors) / freedom / mean


def _least_squares(
    rows: Sequence[Sequence[float]], values: Sequence[float]
) -> tuple[list[float], list[list[float]]] | None:
    """Slopes and the inverse of XᵀX; None if it is singular."""
    p = len(rows[0])
    gram = [[math.fsum(r[i] * r[j] for r in rows) for j in range(p)] for i in range(p)]
    inverse = invert(gram)
    if inverse is None:
        return None
    moments = [math.fsum(r[j] * y for r, y in zip(rows, values, strict=True)) for j in range(p)]
    slopes = [math.fsum(c * m for c, m in zip(line, moments, strict=True)) for line in inverse]
    return slopes, inverse
