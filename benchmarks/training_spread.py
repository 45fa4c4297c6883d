# SPDX-License-Identifier: Apache-2.0
"""Spread of residuals by group: mean squares over laboratories, or a conformal quantile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from submeter.estimating import priors as models
from submeter.estimating.spreads import NORMAL_90, Spread, together

if TYPE_CHECKING:
    from benchmarks.fit_training import Run

POOLINGS = (2, 4, 8, 16)  # laboratories that the scale of all groups weighs
LEVEL = 0.9
ENOUGH = 3  # laboratories, or devices: fewer have no spread worth the name
CALIBRATIONS = ("conformal", "effects", "pooled")  # the first one ships
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
Group = Callable[["Run"], str]


def spreads(residuals: Residuals, group: Group, how: str = CALIBRATIONS[0]) -> dict[str, Spread]:
    """Spread by group, the wider of runs whose laboratory, or else whose hardware, is unseen.

    *how* is one of `CALIBRATIONS`. By *effects* and *pooled* a group that fewer than three
    laboratories tell of goes by its hardware; one of fewer than three devices has no spread.
    """
    found: dict[str, Spread] = {}
    for scheme in ("lab", "hardware"):
        held = [(run, abs(error)) for run, which, error in residuals if which == scheme]
        if not held:
            continue
        made = _calibrated(held, group) if how == "conformal" else _effects(
            held, group, scheme, pooled=how == "pooled"
        )  # fmt: skip
        for name, spread in made.items():
            own = (found[name], spread) if name in found else (spread,)
            found[name] = max(own, key=lambda one: one.normal_sd)
    return found


def _effects(
    held: Sequence[tuple[Run, float]], group: Group, scheme: str, *, pooled: bool
) -> dict[str, Spread]:
    """Mean square of what no laboratory's fit had seen, with as many degrees less one."""
    runs, sizes, weight, groups, labs = _columns(held, group)
    sums = Sums.of(sizes, weight, groups, labs)
    more = sums.pooling if pooled else 0
    found = {}
    for name, scale in zip(sums.names, sums.scales(more), strict=True):
        own = [run for run, of in zip(runs, groups, strict=True) if of == name]
        many, devices = len({run.lab for run in own}), len({run.hardware for run in own})
        several = many >= ENOUGH
        if not several and (scheme == "lab" or devices < ENOUGH):
            continue
        found[name] = Spread(float(scale), (many if several else devices) + more - 1)
    return found


def _columns(
    held: Sequence[tuple[Run, float]], group: Group
) -> tuple[list[Run], Vector, Vector, Vector, Vector]:
    runs = [run for run, _ in held]
    return (
        runs, np.array([size for _, size in held]), weights_of(runs),
        np.array([group(run) for run in runs]), np.array([run.lab for run in runs]),
    )  # fmt: skip


def _calibrated(held: Sequence[tuple[Run, float]], group: Group) -> dict[str, Spread]:
    """Scale of each group times the conformal quantile of all residuals over their scale."""
    _, sizes, weight, groups, labs = _columns(held, group)
    sums = Sums.of(sizes, weight, groups, labs)
    scales = dict(zip(sums.names, sums.scales(sums.pooling).tolist(), strict=True))
    own = np.array([scales[name] for name in groups])
    widest = quantile(sizes / own, weight) / NORMAL_90
    return {name: Spread(scale * widest) for name, scale in scales.items()}


@dataclass(frozen=True)
class Sums:
    """Weight, weighted size and weighted square of the residuals, by laboratory and group."""

    names: list[str]
    weight: Vector  # (labs, groups), as the two below
    size: Vector
    square: Vector

    @classmethod
    def of(cls, sizes: Vector, weight: Vector, groups: Vector, labs: Vector) -> Sums:
        names, group = np.unique(groups, return_inverse=True)
        houses, lab = np.unique(labs, return_inverse=True)
        shape = (len(houses), len(names))

        def added(values: Vector) -> Vector:
            flat = np.bincount(lab * shape[1] + group, values, shape[0] * shape[1])
            return flat.reshape(shape)

        return cls(
            [str(name) for name in names], added(weight), added(weight * sizes),
            added(weight * sizes**2),
        )  # fmt: skip

    def scales(self, pooling: float, without: int | None = None) -> Vector:
        """Root mean square of each group; a usual group counts as so many laboratories more.

        A group that only the laboratory *without* tells of has that of all others.
        """
        kept = np.arange(len(self.weight)) != (-1 if without is None else without)
        weight, square = self.weight[kept].sum(0), self.square[kept].sum(0)
        counts = (self.weight[kept] > 0).sum(0)
        known = counts > 0
        logs = 0.5 * np.log(square[known] / weight[known])
        found = np.full(len(self.names), math.sqrt(square.sum() / weight.sum()))
        at = counts[known]
        found[known] = np.exp((at * logs + pooling * logs.mean()) / (at + pooling))
        return found

    def surprise(self, pooling: float) -> float:
        """How little likely each laboratory's residuals are by the scales of all others."""
        if len(self.weight) < ENOUGH - 1:
            return 0.0
        total = 0.0
        for lab, (weight, size) in enumerate(zip(self.weight, self.size, strict=True)):
            own = self.scales(pooling, lab)
            total += float((weight * np.log(own) + size / own).sum())
        return total

    @property
    def pooling(self) -> float:
        """Laboratories that the scale of all groups weighs, where it surprises least."""
        return min(POOLINGS, key=self.surprise)


def all_alike(
    runs: Sequence[Run], target: Callable[[Run], float], stands_for: Callable[[Run], bool]
) -> tuple[float, Residuals]:
    """Mean logarithm of the power ratio of all, and how far off it is for what it stands for."""
    logged, weight = np.log([target(run) for run in runs]), weights_of(runs)
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
                    if own == group and stands_for(run)
                ]
    return float(np.average(logged, weights=weight)), residuals


def named(group: str, spread: Spread) -> dict[str, float]:
    """*spread* of a group, by the names it has in the table."""
    found = {f"log-sd{group}": spread.sd}
    return found | {f"df{group}": spread.df} if math.isfinite(spread.df) else found


POWER_SPREADS = ("-loaded", "-other", "-unknown", "-tpu")
NODE_SPREADS = ("", "-tpu", "-whole", "-whole-tpu")


def power_spreads(
    devices: Residuals, nodes: Residuals, others: Residuals, mixed: Residuals, how: str
) -> dict[str, Spread]:
    """Spread of the power of devices by group, and of nodes, each from all that tell of it.

    A node's power holds the doubt of its devices', so its residuals are ones of those, too.
    What nodes were metered with holds the doubt of their devices: it is taken out of the ratio,
    which is no less in doubt than where it was measured by itself.
    """
    whole = [one for one in nodes if one[0].node_power_ratio]
    ratio = spreads([one for one in nodes if one[0].node_ratio], group_of_node, how)
    of_device = [one for one in devices if group_of_power(one[0]) == "loaded"]
    of_loaded = [one for one in whole if group_of_power(one[0]) == "loaded"]
    metered = [abs(e) for run, _, e in [*devices, *others, *whole] if not group_of_node(run)]
    worst = Spread(max(metered) / NORMAL_90)
    loaded = spreads(of_device + of_loaded, lambda _: "", how).get("", worst)
    of_whole = spreads(whole, group_of_node, how)
    usual = of_whole.get("", worst)
    found = {
        "-loaded": loaded,
        "-other": worst,
        "-unknown": spreads(mixed, lambda _: "", "effects").get("", worst),
        "node-whole": usual,
    }
    found["node-whole-tpu"] = of_whole.get("-tpu", together(found["-unknown"], usual))
    wide = (loaded, found["node-whole-tpu"])
    found["-tpu"] = max(wide, key=lambda one: one.normal_sd)
    for name in ("", "-tpu"):
        own = found[f"node-whole{name}"]
        rest = Spread(math.sqrt(max(0.0, own.sd**2 - loaded.sd**2)), own.df)
        known = ratio.get(name, Spread(0.0))
        found[f"node{name}"] = max((rest, known), key=lambda one: one.normal_sd)
        if not found[f"node{name}"].sd:
            found[f"node{name}"] = own
    return found


def group_of_node(run: Run) -> str:
    return "-tpu" if run.traits.device_class == "tpu" else ""


def group_of_power(run: Run) -> str:
    """As of a training; a network on images that nothing tells the utilisation of is none."""
    known = run.mfu or run.traits.kind != "cnn"
    return models.power_group(run.traits) if known else "other"
