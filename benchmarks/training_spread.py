# SPDX-License-Identifier: Apache-2.0
"""Spread of residuals by group: scales that are partially pooled, and a conformal quantile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from submeter.estimating import priors as models

if TYPE_CHECKING:
    from benchmarks.fit_training import Run

POOLINGS = (2, 4, 8, 16)  # laboratories that the scale of all groups weighs
LEVEL = 0.9
NORMAL_90 = 1.644854
Vector = Any


def weights_of(runs: Sequence[Run]) -> Vector:
    """Each laboratory weighs one, and each lot of configurations in it alike."""
    labs: dict[str, set[str]] = {}
    lots: dict[tuple[str, str], int] = {}
    for run in runs:
        labs.setdefault(run.lab, set()).add(run.lot)
        lots[run.lab, run.lot] = lots.get((run.lab, run.lot), 0) + 1
    return np.array([1 / len(labs[r.lab]) / lots[r.lab, r.lot] for r in runs])


def quantile(sizes: Vector, weights: Vector) -> float:
    """Conformal quantile: the weight of one more, unseen run lies beyond all."""
    order = np.argsort(sizes)
    total = weights.sum() + weights.max()
    reached = np.cumsum(weights[order]) / total
    at = int(np.searchsorted(reached, LEVEL))
    return float(sizes[order][min(at, len(sizes) - 1)])


Residuals = list[tuple["Run", str, float]]


def spreads(residuals: Residuals, group: Callable[[Run], str]) -> dict[str, float]:
    """Log standard deviation by group whose 90 % interval is the wider of the two schemes."""
    found: dict[str, float] = {}
    for scheme in ("lab", "hardware"):
        held = [(run, abs(error)) for run, how, error in residuals if how == scheme]
        for name, sd in (_calibrated(held, group) if held else {}).items():
            found[name] = max(sd, found.get(name, 0.0))
    return found


def _calibrated(
    held: Sequence[tuple[Run, float]], group: Callable[[Run], str]
) -> dict[str, float]:
    """Scale of each group times the conformal quantile of all residuals over their scale."""
    runs = [run for run, _ in held]
    sizes, weight = np.array([size for _, size in held]), weights_of(runs)
    groups, labs = np.array([group(run) for run in runs]), np.array([run.lab for run in runs])
    pooling = min(POOLINGS, key=lambda p: _surprise(sizes, weight, groups, labs, p))
    scales = _scales(sizes, weight, groups, labs, pooling)
    own = np.array([scales[name] for name in groups])
    widest = quantile(sizes / own, weight) / NORMAL_90
    return {name: scale * widest for name, scale in scales.items()}


def _scales(
    sizes: Vector, weight: Vector, groups: Vector, labs: Vector, pooling: float
) -> dict[str, float]:
    """Root mean square in each group; a usual group counts as so many laboratories more."""
    means, counts = {}, {}
    for name in dict.fromkeys(groups):
        own = groups == name
        counts[str(name)] = len(set(labs[own]))
        means[str(name)] = 0.5 * math.log(np.average(sizes[own] ** 2, weights=weight[own]))
    usual = math.fsum(means.values()) / len(means)
    return {
        name: math.exp((counts[name] * mean + pooling * usual) / (counts[name] + pooling))
        for name, mean in means.items()
    }


def _surprise(
    sizes: Vector, weight: Vector, groups: Vector, labs: Vector, pooling: float
) -> float:
    """How little likely each laboratory's residuals are by the scales of all others."""
    total = 0.0
    for lab in dict.fromkeys(labs):
        out = labs != lab
        if not out.any():
            return 0.0
        scales = _scales(sizes[out], weight[out], groups[out], labs[out], pooling)
        whole = math.sqrt(np.average(sizes[out] ** 2, weights=weight[out]))
        own = np.array([scales.get(str(name), whole) for name in groups[~out]])
        total += float((weight[~out] * (np.log(own) + sizes[~out] / own)).sum())
    return total


def all_alike(runs: Sequence[Run]) -> tuple[float, Residuals]:
    """Mean logarithm of the power ratio of all, and how far off it is for what it stands for."""
    logged, weight = np.log([run.device_ratio for run in runs]), weights_of(runs)
    residuals: Residuals = []
    for scheme in ("lab", "hardware"):
        groups = np.array([getattr(run, scheme) for run in runs])
        for group in dict.fromkeys(groups):
            out = groups != group
            if out.any():
                mean = np.average(logged[out], weights=weight[out])
                residuals += [
                    (run, scheme, float(value - mean))
                    for run, value, own in zip(runs, logged, groups, strict=True)
                    if own == group and models.unlike(run.traits)
                ]
    return float(np.average(logged, weights=weight)), residuals
