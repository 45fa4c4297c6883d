# SPDX-License-Identifier: Apache-2.0
"""Hourly traces of carbon intensity of whole calendar years, and their month-by-hour profiles."""

import csv
import gzip
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Hourly(NamedTuple):
    """Intensity by hour of one calendar year [gCO2e/kWh], UTC."""

    zone: str
    year: int
    values: Floats
    months: Ints  # 0 to 11
    hours: Ints
    mean: float
    profile: Floats  # 12 x 24, relative to the mean
    direct_profile: Floats | None


def read_traces(folder: Path) -> dict[str, Hourly]:
    """All traces of *folder* that hold a year or nearly one, by their name."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        index = list(csv.DictReader(file))
    found = {}
    for line in index:
        whole = int(line["rows"]) * int(line["resolution_min"]) >= 8760 * 60
        if line["mean_ci_gco2e_per_kwh"] and whole and not line["file"].startswith("opr_"):
            name = line["file"].removesuffix(".csv.gz")
            found[name] = _read(folder / line["file"], line["zone"], int(line["year"]))
    return found


def _read(path: Path, zone: str, year: int) -> Hourly:
    sums: dict[int, list[float]] = {}
    stack: dict[int, list[float]] = {}
    instants: dict[int, datetime] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            at = datetime.fromisoformat(line["timestamp_utc"])
            if at.year != year:
                continue
            hour = int(at.timestamp()) // 3600
            instants.setdefault(hour, at)
            if line["ci_gco2e_per_kwh"]:
                sums.setdefault(hour, []).append(float(line["ci_gco2e_per_kwh"]))
            if line.get("ci_direct_gco2e_per_kwh"):
                stack.setdefault(hour, []).append(float(line["ci_direct_gco2e_per_kwh"]))
    order = sorted(instants)
    months = np.array([instants[h].month - 1 for h in order])
    hours = np.array([instants[h].hour for h in order])
    values = _means(order, sums)
    direct = _profile(_means(order, stack), months, hours) if stack else None
    return Hourly(
        zone, year, values, months, hours, float(np.nanmean(values)),
        _profile(values, months, hours), direct,
    )  # fmt: skip


def _means(order: list[int], found: dict[int, list[float]]) -> Floats:
    return np.array([np.mean(found[h]) if h in found else np.nan for h in order])


def _profile(values: Floats, months: Ints, hours: Ints) -> Floats:
    made = np.empty((12, 24))
    for month in range(12):
        for hour in range(24):
            made[month, hour] = np.nanmean(values[(months == month) & (hours == hour)])
    return made / float(np.nanmean(values))
