# SPDX-License-Identifier: Apache-2.0
"""The published rows of Let's Wait Awhile (Wiesner et al. 2021), from our own jobs and optimiser.

`python -m benchmarks.lets_wait_awhile --data DATA` prints them beside ours. Their scenario, their
noise: forecasts are the truth and white noise of 5 % of the mean, ten draws, planned once.
"""

import argparse
import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from submeter.forecasting.backtesting import at_once_g, noisy, planned_once_g
from submeter.forecasting.reading import read_series
from submeter.forecasting.scenarios import Jobs, next_workday, semi_weekly
from submeter.forecasting.series import Series

ROOT = Path(__file__).resolve().parents[1]
ZONES: Final = ("DE", "GB", "FR")
DRAWS: Final = 10
NOISE: Final = 0.05
YEAR_SLOTS: Final = 366 * 48
TOLERANCE: Final = 0.3  # percentage points
_SETTING: Final = "Next Workday deadline, 5% forecast error"
_METRICS: Final = {
    "emissions_saved_non_interrupting_pct": False,
    "emissions_saved_interrupting_pct": True,
}


class Published(NamedTuple):
    """A saving that was published, and ours [%]."""

    zone: str
    interruptible: bool
    published: float
    ours: float


def year_of(folder: Path, zone: str) -> Series:
    """Series of 2020 on, as the published code reads it."""
    series = read_series(folder / f"lwa_{zone}_2020_30min.csv.gz").series
    first = round((datetime(2020, 1, 1, tzinfo=UTC).timestamp() - series.start_utc_s) / 1800)
    return Series(series.start_utc_s + first * 1800, 1800.0, series.values[first:], zone=zone)


def of_2020(jobs: Jobs) -> Jobs:
    """Those that are asked for in 2020: the series goes on into January."""
    return jobs.taken(jobs.earliest < YEAR_SLOTS)


def saved(series: Series, jobs: Jobs, error_ratio: float, *, interruptible: bool) -> float:
    """Share saved, planned once on truth and noise [%]."""
    at_once = at_once_g(series, jobs).sum()
    draws = range(DRAWS) if error_ratio else range(1)
    made = [
        planned_once_g(
            series, jobs, noisy(series, error_ratio, seed), interruptible=interruptible
        ).sum()
        for seed in draws
    ]
    return 100 * (1 - float(np.mean(made)) / float(at_once))


def rows(data: Path) -> list[Published]:
    """Each published row of the three zones, and ours."""
    folder = data / "traces"
    with (folder / "published_results.csv").open(encoding="utf-8", newline="") as file:
        told = [
            line
            for line in csv.DictReader(file)
            if _SETTING in line["setting"] and line["zone"] in ZONES
        ]
    made = []
    for line in told:
        series = year_of(folder, line["zone"])
        way = _METRICS[line["metric"]]
        ours = saved(series, of_2020(next_workday(series)), NOISE, interruptible=way)
        made.append(Published(line["zone"], way, float(line["value"]), ours))
    return made


def semi_weekly_rows(data: Path) -> list[tuple[str, float, float, float, float]]:
    """Zone; without pauses, with, and with at 5 and 10 % noise: semi-weekly savings [%]."""
    made = []
    for zone in ZONES:
        series = year_of(data / "traces", zone)
        jobs = of_2020(semi_weekly(series))
        whole = saved(series, jobs, 0.0, interruptible=False)
        cut = [saved(series, jobs, noise, interruptible=True) for noise in (0.0, 0.05, 0.1)]
        made.append((zone, whole, cut[0], cut[1], cut[2]))
    return made


def worst(found: list[Published]) -> float:
    """Furthest of ours from what was published [percentage points]."""
    return max(abs(row.ours - row.published) for row in found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Reproduce published savings.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    data = parser.parse_args().data.resolve()
    if not (data / "traces").is_dir():
        print(f"not measured: there is no {data / 'traces'}")
        return 0
    found = rows(data)
    for row in found:
        how = "with pauses" if row.interruptible else "no pauses"
        print(f"{row.zone} {how}: published {row.published:.2f} %, ours {row.ours:.2f} %")
    print(f"furthest: {worst(found):.2f} points")
    return 0 if worst(found) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
