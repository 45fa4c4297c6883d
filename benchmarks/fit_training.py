# SPDX-License-Identifier: Apache-2.0
"""Fit what trainings use of their hardware, and say how far off the fit is.

    python -m benchmarks.fit_training [--truth DIR] [--data DIR]

With DIR, first reduces its tables to benchmarks/data (see training_data.py). Then fits, from
benchmarks/data alone, utilisation, power ratio and node ratio, and writes their coefficients to
``src/submeter/catalog/data/training_priors.csv`` and their errors to ``docs/estimating.md``.

Each model is a ridge regression of a logarithm in which each laboratory counts once. Its penalty
is the one with the least error on laboratories that were left out; its intervals are conformal:
the weighted 90 % quantile of residuals of runs whose laboratory, or else whose hardware, the fit
had not seen, whichever is wider. Nothing is set by hand. Needs numpy and scipy.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scipy.stats import t as student

from benchmarks import training_data, training_text
from submeter.estimating import priors as models
from submeter.estimating.machines import Machine, machine_of
from submeter.estimating.priors import Priors, Traits
from submeter.records.factors import Factor

ROOT = Path(__file__).resolve().parents[1]
CATALOG = ROOT / "src" / "submeter" / "catalog" / "data" / "training_priors.csv"
PENALTIES = tuple(10.0**p for p in (-3, -2, -1.5, -1, -0.5, 0))
LEVEL = 0.9
ENOUGH_LABS = 9
RISING = "power/busy"  # a device that does more does not draw less
NORMAL_90 = 1.644854
SOURCE = (
    "published trainings and traces of MosaicML LLM Foundry, Zeus, GAISSA-UPC and MLPerf; "
    "benchmarks/fit_training.py"
)
KNEES_S = tuple(10.0**p for p in (-3.5, -3, -2.5, -2, -1.5, -1, -0.5))
NUMBERS = ("mfu", "device_w", "node_w", "node_ratio", "energy_ratio")
Vector = Any


@dataclass(frozen=True)
class Run:
    """A line of training_runs.csv."""

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
        step_s=float(row["step_s"] or 0), steady=row["steady"] == "1",
        cap_ratio=min(1.0, limit / tdp) if limit else 1.0,
    )  # fmt: skip
    number = {name: float(row[name] or 0) for name in NUMBERS}
    return Run(
        row["key"], row["lab"], row["lot"], machine.accelerator.key, machine, traits,
        number["mfu"],
        number["device_w"] / tdp, number["node_w"] / tdp, number["node_ratio"],
        number["energy_ratio"],
    )  # fmt: skip


@dataclass
class Model:
    """One regression: coefficients by name, log standard deviation by kind."""

    names: list[str]
    values: Vector
    penalty: float
    score: float  # weighted mean square of errors on laboratories left out
    sds: dict[str, float] = field(default_factory=dict)
    residuals: list[tuple[Run, str, float]] = field(default_factory=list)  # run, scheme, error

    def at(self, features: dict[str, float]) -> float:
        return float(sum(v * features[n] for n, v in zip(self.names, self.values, strict=True)))


Features = Callable[[Run], dict[str, float]]


def weights_of(runs: Sequence[Run]) -> Vector:
    """Each laboratory weighs one, and each lot of configurations in it alike."""
    labs: dict[str, set[str]] = {}
    lots: dict[tuple[str, str], int] = {}
    for run in runs:
        labs.setdefault(run.lab, set()).add(run.lot)
        lots[run.lab, run.lot] = lots.get((run.lab, run.lot), 0) + 1
    return np.array([1 / len(labs[r.lab]) / lots[r.lab, r.lot] for r in runs])


class Sums:
    """Weighted sums of squares and products by group, for fits without one group at a time."""

    def __init__(
        self, x: Vector, y: Vector, weight: Vector, groups: Sequence[str],
        rising: int | None = None,
    ) -> None:  # fmt: skip
        self.x, self.y, self.weight, self.rising = x, y, weight, rising
        own = np.array(groups)
        self.inside = [own == group for group in dict.fromkeys(groups)]
        weighted = x * weight[:, None]
        self.parts = [
            (weighted[i].T @ x[i], weighted[i].T @ y[i], weight[i].sum()) for i in self.inside
        ]
        self.whole = tuple(sum(part[k] for part in self.parts) for k in range(3))

    def solve(self, penalty: float, without: int | None = None) -> Vector:
        """Ridge of all groups, or of all but one; the intercept is free.

        The coefficient of the column *rising* is not negative.
        """
        square, product, mass = self.whole
        if without is not None:
            part = self.parts[without]
            square, product, mass = square - part[0], product - part[1], mass - part[2]
        ridge = np.full(len(product), penalty * mass)
        ridge[0] = 1e-12
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
        """Weighted mean square of those residuals."""
        found = self.errors(penalty)
        return float((self.weight * found**2).sum() / self.weight.sum())


def quantile(sizes: Vector, weights: Vector) -> float:
    """Conformal quantile: the weight of one more, unseen run lies beyond all."""
    order = np.argsort(sizes)
    total = weights.sum() + weights.max()
    reached = np.cumsum(weights[order]) / total
    at = int(np.searchsorted(reached, LEVEL))
    return float(sizes[order][min(at, len(sizes) - 1)])


def regress(runs: Sequence[Run], target: Callable[[Run], float], features: Features) -> Model:
    """Fit with what is best on laboratories left out; with residuals of both schemes."""
    table = [features(run) for run in runs]
    names = list(table[0])
    x = np.array([[row[n] for n in names] for row in table])
    y = np.array([math.log(target(run)) for run in runs])
    weight = weights_of(runs)
    rising = names.index(RISING) if RISING in names else None
    sums = Sums(x, y, weight, [run.lab for run in runs], rising)
    penalty = min(PENALTIES, key=sums.score)
    model = Model(names, sums.solve(penalty), penalty, sums.score(penalty))
    by_hardware = Sums(x, y, weight, [run.hardware for run in runs], rising)
    for scheme, held in (("lab", sums), ("hardware", by_hardware)):
        found = held.errors(penalty)
        model.residuals += [
            (run, scheme, float(e)) for run, e in zip(runs, found, strict=True) if not np.isnan(e)
        ]
    return model


def spread(model: Model, kinds: tuple[str, ...] | None, classes: tuple[str, ...] = ()) -> float:
    """Log standard deviation whose 90 % interval is the wider of the two schemes.

    A conformal 90 % needs nine laboratories. Of fewer, Student's t of the root mean square of
    their residuals stands, or the quantile over all kinds if that is wider. Where all are of
    one laboratory, only hardware can be held out.
    """
    widest = 0.0
    for scheme in ("lab", "hardware"):
        held = [(run, abs(error)) for run, how, error in model.residuals if how == scheme]
        if classes:
            held = [one for one in held if one[0].traits.device_class in classes]
        own = [(run, size) for run, size in held if kinds is None or run.traits.kind in kinds]
        if held and (scheme == "hardware" or len({run.lab for run, _ in own or held}) > 1):
            widest = max(widest, _half_width(own, held, scheme))
    return widest / NORMAL_90


def _half_width(own: list[tuple[Run, float]], held: list[tuple[Run, float]], scheme: str) -> float:
    def conformal(some: list[tuple[Run, float]]) -> float:
        runs, sizes = zip(*some, strict=True)
        return quantile(np.array(sizes), weights_of(runs))

    if len({run.lab for run, _ in own}) >= ENOUGH_LABS:
        return conformal(own)
    if not own:
        return conformal(held)
    runs, sizes = zip(*own, strict=True)
    mean_square = np.average(np.square(sizes), weights=weights_of(runs))
    modest = float(student.ppf(0.5 + LEVEL / 2, len({getattr(run, scheme) for run, _ in own})))
    modest *= math.sqrt(float(mean_square))
    pooled = len({run.lab for run, _ in held}) >= ENOUGH_LABS
    return max(modest, conformal(held)) if pooled else modest


@dataclass
class Fit:
    """The three models, as the factors that `Priors` reads."""

    utilisation: Model
    power: Model
    node: Model

    @property
    def priors(self) -> Priors:
        return Priors({row.key: row for row in self.factors()})

    def factors(self) -> list[Factor]:
        found = []
        for name, model in (
            ("utilisation", self.utilisation), ("power", self.power), ("node", self.node),
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


def fit(runs: Sequence[Run]) -> Fit:
    """Fit all three models: power at a first guess of the utilisation, then both once more."""
    rated = [run for run in runs if 0 < run.mfu <= 1]
    first = fit_utilisation(rated, {})
    power, _ = fit_power(runs, first)
    implied = {
        run.key: implied_mfu(run, power) for run in runs if run.energy_ratio and not run.mfu
    }
    utilisation = fit_utilisation(
        [run for run in runs if 0 < run.mfu <= 1 or 0 < implied.get(run.key, 0) <= 1], implied
    )
    return Fit(utilisation, *fit_power(runs, utilisation))


def implied_mfu(run: Run, power: Model) -> float:
    """Utilisation at which the modelled power gives the measured energy."""
    busy = models.BUSY_CENTRE
    for _ in range(30):
        busy = math.exp(power.at(models.power_features(run.traits, busy))) / run.energy_ratio
    return busy


def fit_utilisation(runs: Sequence[Run], implied: dict[str, float]) -> Model:
    """The model at the knee that is best on laboratories left out."""

    def at(knee_s: float) -> Model:
        found = regress(
            runs,
            lambda run: run.mfu or implied[run.key],
            lambda run: models.utilisation_features(run.traits, knee_s),
        )
        found.sds["knee-s"] = knee_s
        return found

    model = min((at(knee_s) for knee_s in KNEES_S), key=lambda one: one.score)
    model.sds["log-sd-transformer"] = spread(model, ("transformer",))
    model.sds["log-sd-cnn"] = spread(model, ("cnn",))
    # Of other kinds no run is in the data: the worst residual of any stands for them.
    model.sds["log-sd-other"] = max(abs(e) for _, _, e in model.residuals) / NORMAL_90
    return model


def busy_of(run: Run, utilisation: Model) -> float:
    """Utilisation as measured, else as modelled."""
    if 0 < run.mfu <= 1:
        return run.mfu
    features = models.utilisation_features(run.traits, utilisation.sds["knee-s"])
    return math.exp(utilisation.at(features))


def fit_power(runs: Sequence[Run], utilisation: Model) -> tuple[Model, Model]:
    """Device power over TDP, and node over devices, from all that measured either or both.

    Power at full limit alone: a lower limit caps it by construction.
    """

    def target(run: Run) -> float:
        return run.device_ratio or run.node_ratio or run.node_power_ratio

    def features(run: Run) -> dict[str, float]:
        power = models.power_features(run.traits, busy_of(run, utilisation))
        node = models.node_features(run.traits)
        power_counts, node_counts = not run.node_ratio, not run.device_ratio
        return {f"power/{k}": v * power_counts for k, v in power.items()} | {
            f"node/{k}": v * node_counts for k, v in node.items()
        }

    both = regress([r for r in runs if target(r) and r.traits.cap_ratio == 1], target, features)
    power, node = part(both, "power/"), part(both, "node/")
    power.sds = {
        f"log-sd-{group}": spread(power, kinds, ("datacentre", "card"))
        for group, kinds in (("transformer", ("transformer",)), ("cnn", ("cnn",)), ("other", None))
    }
    power.sds["log-sd-other"] = max(power.sds.values())
    power.sds["log-sd-tpu"] = max(spread(power, None, ("tpu",)), power.sds["log-sd-transformer"])
    node.residuals = [one for one in node.residuals if not one[0].device_ratio]
    node.sds = {
        "log-sd": spread(node, None, ("datacentre", "card")),
        "log-sd-tpu": spread(node, None, ("tpu",)),
    }
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
