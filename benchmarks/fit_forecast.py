# SPDX-License-Identifier: Apache-2.0
"""Make the pool that forecasts of a zone are shrunk towards: src/submeter/forecasting/pool.npz.

`python -m benchmarks.fit_forecast --data DATA`, where DATA holds the folder ``traces``. All whole
years of intensity count alike, but those of Germany, Great Britain and France, by which forecasts
are scored. ``--choose`` tells what READY of submeter.forecasting.backtesting captures there.
"""

import argparse
import csv
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from submeter.forecasting.backtesting import Way, backtest
from submeter.forecasting.features import Past
from submeter.forecasting.forecaster import Forecaster
from submeter.forecasting.reading import read_series
from submeter.forecasting.regression import Pool, products
from submeter.forecasting.scenarios import semi_weekly
from submeter.forecasting.series import Series

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "src" / "submeter" / "forecasting" / "pool.npz"
SCORED = ("DE", "GB", "FR")  # zones, in whatever year
READIES = (0.0, 0.01, 0.02, 0.03, 0.05)


class Held(NamedTuple):
    """A whole year of a zone in the folder of traces."""

    name: str
    zone: str
    year: int
    path: Path
    timezone: str


def whole_years(folder: Path) -> list[Held]:
    """Traces of intensity in *folder* that hold a year, in the order of its index."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        index = list(csv.DictReader(file))
    found = []
    for line in index:
        whole = int(line["rows"]) * int(line["resolution_min"]) >= 8760 * 60
        if line["mean_ci_gco2e_per_kwh"] and whole and not line["file"].startswith("opr_"):
            name = line["file"].removesuffix(".csv.gz")
            found.append(
                Held(
                    name, line["zone"], int(line["year"]), folder / line["file"], line["timezone"]
                )
            )
    return found


@cache
def series_of(held: Held) -> Series:
    """Readings of *held*."""
    return read_series(held.path, timezone=held.timezone).series


@cache
def sums_of(held: Held) -> np.ndarray:
    """Mean products of one trace, as 32-bit numbers."""
    series = series_of(held)
    past = Past(series)
    past.extend(series.values)
    total: np.ndarray | float = 0.0
    for first in range(0, past.count, past.day):
        total = total + products(past, first, min(first + past.day, past.count))
    return np.asarray(total / past.count, dtype=np.float32)


def pool_of(years: Iterable[Held], *, without: Iterable[str] = ()) -> Pool:
    """Pool of *years*, but for the zones *without*."""
    left = set(without)
    used = [held for held in years if held.zone not in left]
    mean = np.mean([sums_of(held).astype(np.float64) for held in used], axis=0)
    return Pool(mean, tuple(held.name for held in used))


def captures(years: list[Held], readies: tuple[float, ...] = READIES) -> dict[float, float]:
    """Mean capture ratio by readiness to run, over zones that are not scored.

    Semi-weekly jobs with free pauses, each zone forecast without any year of it in the pool, where
    over 5 % could be saved.
    """
    found: dict[float, list[float]] = {ready: [] for ready in readies}
    for held in years:
        if held.zone in SCORED:
            continue
        series = series_of(held)
        jobs = semi_weekly(series)
        prior = pool_of(years, without={*SCORED, held.zone})
        ways = [(jobs, Way(ready=ready)) for ready in readies]
        outcomes = backtest(series, ways, forecaster=Forecaster(prior))
        if outcomes[0].perfect_saving_ratio > 0.05:
            for ready, outcome in zip(readies, outcomes, strict=True):
                found[ready].append(outcome.capture_ratio)
            told = " ".join(f"{outcome.capture_ratio:.3f}" for outcome in outcomes)
            print(f"  {held.name}: {told}", flush=True)
    return {ready: float(np.mean(each)) for ready, each in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the pool of forecasts.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--choose", action="store_true", help="try how ready to be to run")
    given = parser.parse_args()
    folder = given.data.resolve() / "traces"
    if not folder.is_dir():
        print(f"left as it is: there is no {folder}")
        return 0
    if given.choose:
        for ready, capture in captures(whole_years(folder)).items():
            print(f"ready {ready}: captured {capture:.4f}")
        return 0
    made = pool_of(whole_years(folder), without=SCORED)
    rows, columns = np.triu_indices(made.products.shape[1])
    packed = made.products[:, rows, columns].astype(np.float32)
    np.savez_compressed(KEPT, products=packed, zones=np.array(made.zones))
    print(f"{KEPT.name}: {len(made.zones)} years of zones, {KEPT.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
