# SPDX-License-Identifier: Apache-2.0
"""Fit the two CPU models, which are never pooled, and say how far off they are.

    python benchmarks/fit_cpu.py [--data DIR]

With DIR, first reduces its tables to benchmarks/data (see cpu_data.py). Then fits, from
benchmarks/data alone, the package model and the wall model, and writes their coefficients to
``src/submeter/catalog/data/fitted.csv`` and their errors on what was not fitted to
``docs/accuracy-cpu.md``. Needs numpy and scipy; the models themselves need neither.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import cpu_data  # noqa: E402
import fit_text  # noqa: E402

Vector = Any  # a numpy array of floats
FACTOR_FIELDS = [
    "key", "value", "low", "high", "unit", "level", "source", "year", "licence", "verified",
    "note",
]  # fmt: skip
LEVEL = 0.95
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Sample:
    """One point to fit: what is known, what was measured, and the group it is held out with."""

    group: str
    name: str
    known: tuple[float, ...]
    power_w: float


@dataclass(frozen=True)
class Fit:
    """Coefficients, their range over the fits that left a group out, and held-out residuals."""

    coefficients: Vector
    low: Vector
    high: Vector
    residuals: Vector  # log(measured / predicted), each predicted without its group
    samples: list[Sample]
    rule: Callable[[Vector], float]  # half width of the interval from sizes of residuals

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of log power."""
        return self.rule(np.abs(self.residuals))

    @property
    def log_sd(self) -> float:
        """The normal log-sd whose 95 % interval has that half width."""
        return self.half_width / NORMAL_95

    @property
    def groups(self) -> list[str]:
        """Groups in the order of their first sample."""
        return list(dict.fromkeys(s.group for s in self.samples))

    def of(self, group: str) -> Vector:
        """Residuals of one group."""
        return self.residuals[[s.group == group for s in self.samples]]

    def nested(self) -> tuple[float, float]:
        """Coverage and median width when each group's interval comes from the others' alone."""
        held, widths = [], []
        for group in self.groups:
            mine = np.array([s.group == group for s in self.samples])
            half = float(np.quantile(np.abs(self.residuals[~mine]), LEVEL))
            held.extend(np.abs(self.residuals[mine]) <= half)
            widths.extend([math.exp(2 * half)] * int(mine.sum()))
        return float(np.mean(held)), float(np.median(widths))

    def machine_t(self) -> float:
        """Half width by Student's t on one mean residual per group: a bound for the modest."""
        means = np.array([self.of(g).mean() for g in self.groups])
        count = len(means)
        spread = math.sqrt(float(np.mean(means**2)))
        return float(student.ppf(0.5 + LEVEL / 2, count)) * spread


def conformal(sizes: Vector) -> float:
    """The (n + 1) 0.95-th smallest of n sizes."""
    rank = min(math.ceil((len(sizes) + 1) * LEVEL), len(sizes))
    return float(np.sort(sizes)[rank - 1])


def next_half_factor(sizes: Vector) -> float:
    """Log of the factor that holds 95 %, rounded up to the next half, as the groups are few."""
    return math.log(math.ceil(2 * math.exp(float(np.quantile(sizes, LEVEL)))) / 2)


def leave_out(
    samples: list[Sample],
    solve: Callable[[list[Sample]], Vector],
    log_power: Callable[[Vector, Sample], float],
    rule: Callable[[Vector], float] = conformal,
) -> Fit:
    """Fit all; and once without each group, to predict that group."""
    residuals = np.zeros(len(samples))
    partial = []
    for group in dict.fromkeys(s.group for s in samples):
        found = solve([s for s in samples if s.group != group])
        partial.append(found)
        for i, sample in enumerate(samples):
            if sample.group == group:
                residuals[i] = math.log(sample.power_w) - log_power(found, sample)
    low, high = np.min(partial, 0), np.max(partial, 0)
    return Fit(solve(samples), low, high, residuals, samples, rule)


def group_weights(samples: list[Sample]) -> Vector:
    """Square root of weights that count each group once."""
    count: dict[str, int] = {}
    for sample in samples:
        count[sample.group] = count.get(sample.group, 0) + 1
    return np.array([count[s.group] ** -0.5 for s in samples])


# --- Package: P = TDP (idle + dynamic * load ** exponent) ------------------------------------


def package_samples(rows: list[dict[str, str]], use: str = "fit") -> list[Sample]:
    return [
        Sample(
            row["group"],
            row["machine"],
            (float(row["load_ratio"]), float(row["tdp_w"])),
            float(row["power_w"]),
        )
        for row in rows
        if row["use"] == use
    ]


def package_log_power(log_coefficients: Vector, sample: Sample) -> float:
    load_ratio, tdp_w = sample.known
    idle, dynamic, exponent = np.exp(log_coefficients)
    return math.log(tdp_w * (idle + dynamic * load_ratio**exponent))


def solve_package(samples: list[Sample]) -> Vector:
    weights = group_weights(samples)

    def misfit(p: Vector) -> Vector:
        errors = [math.log(s.power_w) - package_log_power(p, s) for s in samples]
        return weights * np.array(errors)

    return least_squares(misfit, np.log([0.12, 0.6, 0.8]), xtol=1e-12, ftol=1e-12).x


# --- Wall: log P = sum of coefficient * feature ----------------------------------------------

WALL_FEATURES = (
    "constant", "log-tdp", "log-chips", "front-side-bus", "memory-buffers", "amd",
    "year", "year-squared", "since-2017",
)  # fmt: skip
RIDGE = 0.1  # the families are few; a little shrinkage keeps their flags from running away


def wall_features(row: dict[str, str]) -> tuple[float, ...]:
    year = (float(row["year"]) - 2012) / 5
    return (
        1.0,
        math.log(float(row["tdp_w"]) / 100),
        math.log(float(row["chips"])),
        float(row["front_side_bus"]),
        float(row["memory_buffers"]),
        float(row["amd"]),
        year,
        year**2,
        max(0.0, year - 1),
    )


def wall_samples(rows: list[dict[str, str]], column: str) -> list[Sample]:
    return [
        Sample(row["family"], row["cpu"], wall_features(row), float(row[column])) for row in rows
    ]


def wall_log_power(coefficients: Vector, sample: Sample) -> float:
    return float(np.dot(coefficients, sample.known))


def solve_wall(samples: list[Sample]) -> Vector:
    weights = group_weights(samples)
    features = np.array([s.known for s in samples]) * weights[:, None]
    target = np.log([s.power_w for s in samples]) * weights
    penalty = np.eye(features.shape[1]) * RIDGE
    penalty[0, 0] = 0
    return np.linalg.solve(features.T @ features + penalty, features.T @ target)


# --- Rest of the node ------------------------------------------------------------------------

REST_SINCE = 2012


def rest_ratios(rows: list[dict[str, str]], package: Fit, dram_w_per_gb: float) -> Vector:
    """Wall power at full load over modelled packages and DRAM, less one, of recent servers."""
    full_ratio = float(np.exp(package.coefficients[:2]).sum())
    return np.array(
        [
            float(r["full_w"])
            / (
                float(r["chips"]) * float(r["tdp_w"]) * full_ratio
                + float(r["memory_gb"]) * dram_w_per_gb
            )
            - 1
            for r in rows
            if int(r["year"]) >= REST_SINCE
        ]
    )


# --- Output ----------------------------------------------------------------------------------

PACKAGE_SOURCE = (
    "CodeCarbon, CPU load against RAPL, January 2025 (MIT), and Teads turbostress campaign, "
    "2021 (Apache-2.0); benchmarks/fit_cpu.py"
)
WALL_SOURCE = "SPECpower_ssj2008 published results to 2021; benchmarks/fit_cpu.py"


def fitted_rows(package: Fit, full: Fit, idle: Fit) -> list[dict[str, str]]:
    """Coefficients as rows of the catalog; low and high over the fits that left a group out."""
    rows = []
    units = ("TDP", "TDP", "1")
    for i, name in enumerate(("idle-ratio", "dynamic-ratio", "exponent")):
        values = np.exp([package.coefficients[i], package.low[i], package.high[i]])
        rows.append(factor(f"cpu-package-{name}", values, units[i], PACKAGE_SOURCE, "2025"))
    sd = package.log_sd
    rows.append(factor("cpu-package-log-sd", (sd, sd, sd), "1", PACKAGE_SOURCE, "2025"))
    for what, fit in (("full", full), ("idle", idle)):
        for i, name in enumerate(WALL_FEATURES):
            values = (fit.coefficients[i], fit.low[i], fit.high[i])
            rows.append(factor(f"server-wall-{what}-{name}", values, "log W", WALL_SOURCE, "2021"))
        sd = fit.log_sd
        rows.append(factor(f"server-wall-{what}-log-sd", (sd, sd, sd), "1", WALL_SOURCE, "2021"))
    return rows


def factor(key: str, values: Sequence[float], unit: str, source: str, year: str) -> dict[str, str]:
    value, low, high = (f"{v:.5g}" for v in values)
    return {
        "key": key, "value": value, "low": low, "high": high, "unit": unit, "level": "1",
        "source": source, "year": year,
        "licence": "Apache-2.0" if "package" in key else "Apache-2.0; attribution to SPEC",
        "verified": "derived", "note": "low, high: least and most over the leave-one-out fits",
    }  # fmt: skip


def fit_all() -> tuple[Fit, Fit, Fit]:
    """Package model, wall model at full load, wall model at idle."""
    packages = cpu_data.read(cpu_data.HERE / "cpu_package_power.csv")
    servers = cpu_data.read(cpu_data.HERE / "server_wall_power.csv")
    package = leave_out(
        package_samples(packages), solve_package, package_log_power, next_half_factor
    )
    full = leave_out(wall_samples(servers, "full_w"), solve_wall, wall_log_power)
    idle = leave_out(wall_samples(servers, "idle_w"), solve_wall, wall_log_power)
    return package, full, idle


def side_checks() -> dict[str, Vector]:
    """Residuals on rows that the model was not judged by, each without its group."""
    rows = cpu_data.read(cpu_data.HERE / "cpu_package_power.csv")
    lagged = [{**r, "power_w": r["column_w"]} for r in rows if r["column_w"]]
    sets = {
        "warm-up": package_samples(rows, "warm-up"),
        "double-counted": package_samples(rows, "double-counted"),
        "lagged": package_samples(lagged),
    }
    fitted = package_samples(rows)
    solved = {
        g: solve_package([s for s in fitted if s.group != g])
        for g in dict.fromkeys(s.group for s in fitted)
    }
    residuals = {
        name: np.array(
            [math.log(s.power_w) - package_log_power(solved[s.group], s) for s in samples]
        )
        for name, samples in sets.items()
    }
    traced = package_samples([r for r in rows if r["source"] == "codecarbon-trace"])
    residuals["alone"] = leave_out(traced, solve_package, package_log_power).residuals
    held_out = leave_out(fitted, solve_package, package_log_power)
    residuals["joined"] = held_out.residuals[: len(traced)]
    return residuals


def dram_prior_w_per_gb() -> float:
    rows = cpu_data.read(cpu_data.CATALOG / "factors.csv")
    return next(float(r["value"]) for r in rows if r["key"] == "dram-w-per-gb")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of hardware tables to reduce first")
    parser.add_argument("--out", type=Path, default=ROOT, help="write below this folder")
    options = parser.parse_args(arguments)
    if options.data is not None:
        cpu_data.collect(options.data)
    package, full, idle = fit_all()
    servers = cpu_data.read(cpu_data.HERE / "server_wall_power.csv")
    rest = rest_ratios(servers, package, dram_prior_w_per_gb())
    table = options.out / "src" / "submeter" / "catalog" / "data" / "fitted.csv"
    cpu_data.write(table, FACTOR_FIELDS, fitted_rows(package, full, idle))
    page = options.out / "docs" / "accuracy-cpu.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(fit_text.page(package, full, idle, side_checks(), rest), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
