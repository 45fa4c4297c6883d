# SPDX-License-Identifier: Apache-2.0
"""Plans made from profiles alone, against what the grid did in a year that no profile has seen.

    python -m benchmarks.plan_honesty --data DIR      (writes the table of docs/planning.md)

At ten in each third evening of the trace a job of 8 h that may wait until the next evening is
planned by the mean day of the month; then the plan is reckoned on the trace. The share of chance
up to which waiting is advised by profiles (`MOST_CHANCE_UNTESTED`) was chosen on these zones.
"""

import argparse
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from submeter.forecasting.reading import read_series
from submeter.grid.place import resolve_place
from submeter.grid.scatter import scatter
from submeter.grid.traces import intensity
from submeter.planning.costs import Costs
from submeter.planning.courses import energies_kwh
from submeter.planning.deciding import decide
from submeter.planning.outlooks import offline
from submeter.planning.weighing import Question, Site
from submeter.planning.words import clock_of
from submeter.records.figures import Figure
from submeter.records.plans import Job

PAGE = Path(__file__).resolve().parents[1] / "docs" / "planning.md"
PLACE = re.compile(r"(<!-- honesty: begin .*?-->\n).*?(<!-- honesty: end -->)", re.DOTALL)
TRACES = {  # of other years than the profiles that come with submeter are made of
    "DE": "lwa_DE_2020_30min.csv.gz",
    "GB": "lwa_GB_2020_30min.csv.gz",
    "US-CAL-CISO": "eia_US-CAL-CISO_2022_1h.csv.gz",
    "US-MIDA-PJM": "eia_US-MIDA-PJM_2022_1h.csv.gz",
    "US-NY-NYIS": "eia_US-NY-NYIS_2022_1h.csv.gz",
    "US-TEX-ERCO": "eia_US-TEX-ERCO_2022_1h.csv.gz",
}
_H = 3600.0


class Row(NamedTuple):
    """A zone: expected and realised savings, and how often intervals and chances held [1]."""

    zone: str
    plans: int
    expected: float
    realised: float
    inside: float
    chance: float
    worse: float
    advised: float
    brought: float


def scored(zone: str, path: Path) -> Row:
    """Plans of one zone against its trace."""
    place = resolve_place(argument=zone)
    series = read_series(path).series
    values = np.interp(
        np.arange(len(series.values)),
        np.flatnonzero(np.isfinite(series.values)),
        series.values[np.isfinite(series.values)],
    )
    truth = Costs(series.start_utc_s, series.step_s, values)
    rows = []
    day = datetime.fromtimestamp(series.start_utc_s, clock_of(place.timezone)).date()
    while True:
        day += timedelta(days=3)
        evening = datetime(day.year, day.month, day.day, 22, tzinfo=clock_of(place.timezone))
        at = evening.timestamp()
        if at + 20 * _H >= truth.end_utc_s:
            break
        job = Job(8 * _H, at, at + 20 * _H)
        outlook = offline(intensity(place, at, at + 20 * _H), scatter(place, at))
        question = Question("plan", at, job, "carbon", {"carbon": 1.0})
        made = decide(question, [Site(zone, zone, {"average": outlook})])
        choice = made.best_here  # also where it is not advised: the doubt is what is scored
        saving = choice.saving_ratios
        near = truth.within(at, at + 20 * _H)
        then, now = (
            float(energies_kwh(job, c.slices, near) @ near.per_kwh) for c in (choice, made.at_once)
        )
        real = 1 - then / now
        low, high = np.quantile(saving, (0.025, 0.975))
        assert isinstance(made.plan.expected_saving, Figure)
        advised = made.plan.worthwhile
        held = low <= real <= high
        row = (choice.saving_ratio, real, held, choice.chance_worse, real < 0, advised)
        rows.append((*row, real * advised))
    means = np.mean(np.array(rows, dtype=float), axis=0)
    return Row(zone, len(rows), *(float(v) for v in means))


def table(rows: list[Row]) -> str:
    lines = [
        "| zone, year of the trace | plans | expected saving | realised | in the 95 % interval"
        " | chance of doing worse | did worse | advised | realised as advised |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        year = TRACES[row.zone].split("_")[2]
        cells = " | ".join(f"{100 * share:.1f} %".replace("-", "−") for share in row[2:])
        lines.append(f"| {row.zone}, {year} | {row.plans} | {cells} |")
    return "\n".join(lines) + "\n"


def measured(data: Path) -> list[Row]:
    """Rows of the traces that are there."""
    folder = data / "traces"
    found = [(zone, folder / name) for zone, name in TRACES.items() if (folder / name).exists()]
    return [scored(zone, path) for zone, path in found]


def never_costs(rows: list[Row]) -> bool:
    """Whether what is advised saves, or costs nothing, in each zone."""
    return all(row.brought >= 0 for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=False)
    options = parser.parse_args()
    if options.data is None or not (options.data / "traces").is_dir():
        print("left as it is: the traces are not here (--data DIR)")
        return 0
    text = table(measured(options.data))
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(rf"\g<1>{text}\g<2>", page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
