# SPDX-License-Identifier: Apache-2.0
"""Fit what trainings use of their hardware, and say how far off the fit is.

    python -m benchmarks.fit_training [--truth DIR] [--data DIR]

With DIR, first reduces its tables to benchmarks/data (see training_data.py). Then fits, from
benchmarks/data alone, utilisation, power ratio and node ratio, and writes their coefficients to
``src/submeter/catalog/data/training_priors.csv`` and their errors to ``docs/estimating.md``.

Each model is a ridge regression of a logarithm in which each laboratory counts once; of networks
on images it is a roofline, shrunk towards products and traffic at full speed one after the other.
The penalty is the one with the least error on laboratories that were left out. Intervals are
conformal: residuals of runs whose laboratory, or else whose hardware, the fit had not seen, are
divided by a scale of their group, which is partially pooled with that of all; of what comes out
the weighted 90 % quantile counts, of the wider of the two schemes. Nothing is set by hand. Needs
numpy and scipy.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import least_squares

from benchmarks import training_data, training_text
from benchmarks.training_spread import (
    CALIBRATIONS,
    NODE_SPREADS,
    POWER_SPREADS,
    Vector,
    all_alike,
    named,
    power_spreads,
    spreads,
    weights_of,
)
from submeter.estimating import priors as models
from submeter.estimating.machines import Machine, machine_of
from submeter.estimating.priors import Priors, Traits
from submeter.estimating.spreads import NORMAL_90, Spread
from submeter.records.factors import Factor

ROOT = Path(__file__).resolve().parents[1]
CATALOG = ROOT / "src" / "submeter" / "catalog" / "data" / "training_priors.csv"
PENALTIES = tuple(10.0**p for p in (-3, -2.5, -2, -1.5, -1, -0.5, 0))
# Levels of what is not alike: not drawn towards each other.
LEVELS = (
    "intercept", "power/intercept", "power/cnn", "power/tiny", "power/busy", "power/tpu",
    "node/intercept", "node/tpu",
)  # fmt: skip
RISING = "power/busy"  # a device that does more does not draw less
SOURCE = (
    "published trainings and traces of MosaicML LLM Foundry, Zeus, GAISSA-UPC and MLPerf; "
    "benchmarks/fit_training.py"
)
NUMBERS = ("mfu", "device_w", "node_w", "node_ratio", "energy_ratio")


@dataclass(frozen=True, eq=False)
class Run:
    """A line of training_runs.csv; one is the same as itself alone, which keeps `fit` quick."""

    key: str
    lab: str
    lot: str
    hardware: str
    machine: Machine
    traits: Traits
    mfu: float
    device_ratio: float  # device power over TDP, zero if not measured
    node_power_ratio: float  # node power per device over TDP
    node_ratio: float
    energy_ratio: float  # device energy over that of its useful operations at peak and TDP
    probe: bool = False  # a batch so small that nobody would train with it


@cache
def _machine(words: str) -> Machine:
    return machine_of(words)


def run_of(row: dict[str, str]) -> Run:
    machine = _machine(f"{row['hardware']}:{row['count']}")
    tdp = machine.tdp_w.value
    limit = float(row["limit_w"] or 0)
    traits = Traits(
        kind=row["kind"], device_class=machine.device_class, precision=row["precision"],
        count=machine.count,
        active_params=float(row["active_params"] or 0), moe=row["moe"] == "1",
        traffic_ratio=float(row["traffic_ratio"] or 0),
        balance=models.balance(machine, row["precision"]), steady=row["steady"] == "1",
        cap_ratio=min(1.0, limit / tdp) if limit else 1.0,
    )  # fmt: skip
    number = {name: float(row[name] or 0) for name in NUMBERS}
    return Run(
        row["key"], row["lab"], row["lot"], machine.accelerator.key, machine, traits,
        number["mfu"],
        number["device_w"] / tdp, number["node_w"] / tdp, number["node_ratio"],
        number["energy_ratio"], row["probe"] == "1",
    )  # fmt: skip


@dataclass
class Model:
    """One regression: coefficients by name, log standard deviation by kind."""

    names: list[str]
    values: Vector
    penalty: float
    score: float  # weighted mean size of errors on laboratories left out
    sds: dict[str, float] = field(default_factory=dict)
    residuals: list[tuple[Run, str, float]] = field(default_factory=list)  # run, scheme, error

    def at(self, features: dict[str, float]) -> float:
        return float(
            sum(v * features.get(n, 0.0) for n, v in zip(self.names, self.values, strict=True))
        )


Features = Callable[[Run], dict[str, float]]


class Sums:
    """Weighted sums of squares and products by group, for fits without one group at a time."""

    def __init__(
        self, x: Vector, y: Vector, weight: Vector, groups: Sequence[str],
        rising: int | None = None, free: Sequence[int] = (0,),
    ) -> None:  # fmt: skip
        self.x, self.y, self.weight, self.rising = x, y, weight, rising
        self.free = list(free)
        own = np.array(groups)
        self.inside = [own == group for group in dict.fromkeys(groups)]
        weighted = x * weight[:, None]
        self.parts = [
            (weighted[i].T @ x[i], weighted[i].T @ y[i], weight[i].sum()) for i in self.inside
        ]
        self.whole = tuple(sum(part[k] for part in self.parts) for k in range(3))

    def solve(self, penalty: float, without: int | None = None) -> Vector:
        """Ridge of all groups, or of all but one; intercepts are free.

        The coefficient of the column *rising* is not negative.
        """
        square, product, mass = self.whole
        if without is not None:
            part = self.parts[without]
            square, product, mass = square - part[0], product - part[1], mass - part[2]
        ridge = np.full(len(product), penalty * mass)
        ridge[self.free] = 1e-9
        found = np.linalg.solve(square + np.diag(ridge), product)
        if self.rising is not None and found[self.rising] < 0:
            ridge[self.rising] = np.inf
            kept = np.isfinite(ridge)
            at = np.ix_(kept, kept)
            found = np.zeros(len(product))
            found[kept] = np.linalg.solve(square[at] + np.diag(ridge[kept]), product[kept])
        return found

    def errors(self, penalty: float) -> Vector:
        """Residual of each run by the fit without its group."""
        found = np.full(len(self.y), np.nan)
        if len(self.parts) > 1:
            for i, inside in enumerate(self.inside):
                values = self.solve(penalty, i)
                found[inside] = self.y[inside] - self.x[inside] @ values
        return found

    def score(self, penalty: float) -> float:
        """Weighted mean size of those residuals: one odd run shall not decide."""
        found = np.abs(self.errors(penalty))
        return float((self.weight * found).sum() / self.weight.sum())


def regress(runs: Sequence[Run], target: Callable[[Run], float], features: Features) -> Model:
    """Fit with what is best on laboratories left out; with residuals of both schemes."""
    table = [features(run) for run in runs]
    names = list(table[0])
    x = np.array([[row[n] for n in names] for row in table])
    y = np.array([math.log(target(run)) for run in runs])
    weight = weights_of(runs)
    rising = names.index(RISING) if RISING in names else None
    free = [i for i, name in enumerate(names) if name in LEVELS]
    sums = Sums(x, y, weight, [run.lab for run in runs], rising, free)
    penalty = min(PENALTIES, key=sums.score)
    model = Model(names, sums.solve(penalty), penalty, sums.score(penalty))
    by_hardware = Sums(x, y, weight, [run.hardware for run in runs], rising, free)
    for scheme, held in (("lab", sums), ("hardware", by_hardware)):
        found = held.errors(penalty)
        model.residuals += [
            (run, scheme, float(e)) for run, e in zip(runs, found, strict=True) if not np.isnan(e)
        ]
    return model


def roofline(runs: Sequence[Run], target: Callable[[Run], float]) -> Model:
    """Factors on the seconds of products and of traffic, and how utilisation follows a limit.

    ``1 / utilisation = products + traffic * ratio``, times a power of the power limit.
    """
    asked = tuple((run.key, target(run)) for run in runs)
    if asked in _ROOFS:
        return replace(_ROOFS[asked], sds={})
    known = [run for run in runs if run.traits.traffic_ratio]
    labs = [run.lab for run in known]

    def score(penalty: float) -> float:
        found = _left_out(known, target, labs, penalty)
        weight, held = weights_of(known), ~np.isnan(found)
        return float((weight * np.abs(found))[held].sum() / weight[held].sum())

    several = len(set(labs)) > 1
    penalty = min(PENALTIES, key=score) if several else PENALTIES[-1]
    values = _slopes(known, target, penalty)
    unknown = float(np.average([math.log(target(r)) for r in runs], weights=weights_of(runs)))
    model = Model(
        ["products", "traffic", "cap", "unknown"], np.array([*values, unknown]), penalty,
        score(penalty) if several else math.nan,
    )  # fmt: skip
    for scheme in ("lab", "hardware"):
        groups = [getattr(run, scheme) for run in known]
        if len(set(groups)) > 1:
            errors = _left_out(known, target, groups, penalty)
            model.residuals += [
                (run, scheme, float(e)) for run, e in zip(known, errors, strict=True)
            ]
    _ROOFS[asked] = model
    return model


# Most folds leave out a laboratory without networks on images: the same roofline each time.
_ROOFS: dict[tuple[tuple[str, float], ...], Model] = {}


def _slopes(runs: Sequence[Run], target: Callable[[Run], float], penalty: float) -> Vector:
    weight = np.sqrt(weights_of(runs) / weights_of(runs).sum())
    ratio = np.array([run.traits.traffic_ratio for run in runs])
    cap = np.log([run.traits.cap_ratio for run in runs])
    logged = np.log([target(run) for run in runs])

    def errors(at: Vector) -> Vector:
        ours = at[2] * cap - np.log(np.exp(at[0]) + np.exp(at[1]) * ratio)
        return np.append(weight * (ours - logged), np.sqrt([penalty, penalty, 1e-6]) * at)

    found = least_squares(errors, np.zeros(3)).x
    return np.array([*np.exp(found[:2]), max(0.0, found[2])])


def roof(traits: Traits, values: Vector) -> float:
    """Utilisation by a roofline of these *values*."""
    products, traffic, cap = values[:3]
    return float(traits.cap_ratio**cap / (products + traffic * traits.traffic_ratio))


def _left_out(
    runs: Sequence[Run], target: Callable[[Run], float], groups: Sequence[str], penalty: float
) -> Vector:
    """Logarithm of published over predicted of each run, by the fit without its group."""
    found = np.full(len(runs), np.nan)
    for group in dict.fromkeys(groups):
        rest = [run for run, own in zip(runs, groups, strict=True) if own != group]
        if not rest:
            continue
        values = _slopes(rest, target, penalty)
        for i, run in enumerate(runs):
            if groups[i] == group:
                found[i] = math.log(target(run) / roof(run.traits, values))
    return found


@dataclass
class Fit:
    """The models, as the factors that `Priors` reads."""

    utilisation: Model
    images: Model
    power: Model
    node: Model

    @property
    def priors(self) -> Priors:
        return Priors({row.key: row for row in self.factors()})

    def factors(self) -> list[Factor]:
        found = []
        for name, model in (
            ("utilisation", self.utilisation), ("images", self.images), ("power", self.power),
            ("node", self.node),
        ):  # fmt: skip
            for feature, value in zip(model.names, model.values, strict=True):
                found.append(_factor(f"{name}/{feature}", float(value)))
            for group, value in model.sds.items():
                found.append(_factor(f"{name}/{group}", value))
        return found


def _factor(key: str, value: float) -> Factor:
    return Factor(
        key=key, value=value, low=value, high=value, unit="1", level=1, source=SOURCE,
        year=2025, licence="facts; Apache-2.0; CC BY 4.0", verified="derived",
    )  # fmt: skip


def fit(runs: Sequence[Run], how: str = CALIBRATIONS[0]) -> Fit:
    """Fit all models: power at a first guess of the utilisation, then both once more.

    *how* the spreads are calibrated is one of `CALIBRATIONS`.
    """
    return _fit(tuple(runs), how)


@lru_cache(maxsize=128)
def _fit(runs: tuple[Run, ...], how: str) -> Fit:
    rated = [run for run in runs if 0 < run.mfu <= 1 and not run.probe]
    first = fit_utilisation(rated, {}, how)
    power, _ = fit_power(runs, first[1], how)
    implied = {
        run.key: implied_mfu(run, power) for run in runs if run.energy_ratio and not run.mfu
    }
    utilisation, images = fit_utilisation(
        rated + [run for run in runs if 0 < implied.get(run.key, 0) <= 1], implied, how
    )
    power, node = fit_power(runs, images, how)
    images.sds.update(named("-energy", energy_spread(images, power, how)))
    return Fit(utilisation, images, power, node)


def implied_mfu(run: Run, power: Model) -> float:
    """Utilisation at which the modelled power gives the measured energy."""
    return math.exp(power.at(models.power_features(run.traits, 1.0))) / run.energy_ratio


def fit_utilisation(
    runs: Sequence[Run], implied: dict[str, float], how: str
) -> tuple[Model, Model]:
    """Utilisation of all but networks on images, and of those; the former holds the spreads."""

    def target(run: Run) -> float:
        return run.mfu or implied[run.key]

    images = [run for run in runs if run.traits.kind == "cnn"]
    others = [run for run in runs if run.traits.kind != "cnn"]
    model = regress(others, target, lambda run: models.utilisation_features(run.traits))
    on_images = roofline(images, target)
    residuals = model.residuals + on_images.residuals
    groups = spreads(residuals, lambda run: models.utilisation_group(run.traits), how)
    # Of other kinds no run is in the data: the worst residual of any stands for them.
    other = groups["other"] = Spread(max(abs(e) for _, _, e in residuals) / NORMAL_90)
    for name in ("transformer", "cnn", "other"):
        model.sds.update(named(f"-{name}", groups.get(name, other)))
    return model, on_images


def duty_of(run: Run, images: Model) -> float:
    """Utilisation over that which the roofline gives, of networks on images."""
    if not run.mfu or run.traits.kind != "cnn" or not run.traits.traffic_ratio:
        return 1.0
    return run.mfu / roof(run.traits, images.values)


def energy_spread(images: Model, power: Model, how: str) -> Spread:
    """Of the energy of networks on images, power known at full duty."""
    slope = power.values[power.names.index("busy")]

    def error(run: Run, off: float) -> float:
        """Of the energy, where the utilisation is *off*: who idles draws less."""
        duty = models.power_features(run.traits, math.exp(min(0.0, off)))["busy"]
        return float(slope * duty - off)

    found = [(run, how, error(run, off)) for run, how, off in images.residuals]
    worst = max((abs(off) for _, _, off in found), default=NORMAL_90)
    return spreads(found, lambda _: "cnn", how).get("cnn", Spread(worst / NORMAL_90))


def fit_power(runs: Sequence[Run], images: Model, how: str) -> tuple[Model, Model]:
    """Device power over TDP from devices that were metered, then what a node adds to it.

    Power at full limit alone: a lower limit caps it by construction. Of TPUs none was metered
    by itself: their level comes from whole machines and from the ratio of those to their chips.
    """
    full = [run for run in runs if run.traits.cap_ratio == 1]

    def power_features(run: Run) -> dict[str, float]:
        found = models.power_features(run.traits, duty_of(run, images))
        return {f"power/{name}": x for name, x in found.items() if name != "tpu"}

    devices = [run for run in full if run.device_ratio and (run.mfu or not run.probe)]
    like = [run for run in devices if not models.unlike(run.traits)]
    usual = [run for run in devices if not run.probe]
    mean, others = all_alike(usual, lambda r: r.device_ratio, lambda r: models.unlike(r.traits))
    both = regress(like, lambda run: run.device_ratio, power_features)

    def rest(run: Run) -> float:
        return run.node_ratio or run.node_power_ratio / math.exp(both.at(power_features(run)))

    def features(run: Run) -> dict[str, float]:
        tpu = float(run.traits.device_class == "tpu" and not run.node_ratio)
        node = models.node_features(run.traits)
        return {f"node/{name}": x for name, x in node.items()} | {"power/tpu": tpu}

    nodes = regress(
        [r for r in full if (r.node_ratio or r.node_power_ratio) and not r.device_ratio],
        rest, features,
    )  # fmt: skip
    node, tpu = part(nodes, "node/"), part(nodes, "power/")

    def alone(run: Run) -> float:
        """Power of the devices, of nodes without what a node adds in the mean."""
        added = math.exp(node.at(models.node_features(run.traits)))
        return run.device_ratio or run.node_power_ratio / added

    whole_nodes = [
        r for r in full
        if r.node_power_ratio and not r.device_ratio and r.traits.device_class != "tpu"
    ]  # fmt: skip
    unknown, mixed = all_alike(usual + whole_nodes, alone, lambda _: True)
    if not any(run.traits.device_class == "tpu" for run, _, _ in nodes.residuals):
        # Of devices that nobody metered nothing says how they are loaded: one of all trainings.
        tpu.values = np.array([unknown - both.values[both.names.index("power/intercept")]])
    power = part(both, "power/")
    power.residuals = [one for one in power.residuals if not one[0].probe]
    power = replace(
        power,
        names=[*power.names, *tpu.names, "unlike", "unknown"],
        values=np.append(power.values, [*tpu.values, mean, unknown]),
    )
    found = power_spreads(power.residuals, nodes.residuals, others, mixed, how)
    node.sds = {
        k: v for name in NODE_SPREADS for k, v in named(name, found[f"node{name}"]).items()
    }
    for name in POWER_SPREADS:
        power.sds.update(named(name, found[name]))
    return power, node


def part(both: Model, prefix: str) -> Model:
    """Coefficients whose names begin so, with the residuals of the whole."""
    at = [i for i, name in enumerate(both.names) if name.startswith(prefix)]
    names = [both.names[i].removeprefix(prefix) for i in at]
    return Model(names, both.values[at], both.penalty, both.score, {}, list(both.residuals))


def write_catalog(found: Fit, runs: Sequence[Run]) -> None:
    """Write the coefficients, each with its range over the fits without one laboratory."""
    parts = [
        {f.key: f.value for f in fit([r for r in runs if r.lab != lab]).factors()}
        for lab in dict.fromkeys(run.lab for run in runs)
    ]
    with CATALOG.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Factor.__struct_fields__)
        for factor in found.factors():
            values = [part.get(factor.key, factor.value) for part in parts] + [factor.value]
            ranged = msgspec.structs.replace(
                factor, low=min(values), high=max(values),
                note="low, high: least and most over the fits without one laboratory",
            )  # fmt: skip
            writer.writerow(
                f"{v:.5g}" if isinstance(v, float) else v for v in msgspec.structs.astuple(ranged)
            )


@cache
def load() -> list[Run]:
    """Runs of the reduced table."""
    return [run_of(row) for row in training_data.table(training_data.RUNS)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    truth = options.truth or (options.data and options.data.parent / "truth")
    if truth and options.data and truth.is_dir():
        training_data.reduce(truth, options.data)
    runs = load()
    found = fit(runs)
    write_catalog(found, runs)
    training_text.write(found, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
