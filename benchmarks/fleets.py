# SPDX-License-Identifier: Apache-2.0
"""How fast and how near the best many jobs are planned: `python -m benchmarks.fleets`.

A thousand jobs on five sites in a week of hours. Carbon is that of real grids where the traces
are here (``--data``), else made-up courses of a day; jobs are drawn with fixed seeds.
"""

import argparse
import csv
import gzip
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.outcomes import ROOT
from submeter.planning.fleets import Fleet, FleetJob, FleetPlan, Site, plan_fleet
from submeter.records.plans import Job

HOUR_S = 3600.0
WEEK = 168
PAGE = ROOT / "docs" / "fleets.md"
BEGIN, END = "<!-- made by benchmarks/fleets.py: begin -->", "<!-- end -->"
ZONES = ("DE", "GB", "US-CAL-CISO", "US-MIDA-PJM", "AU-NSW")
FIRST_ROW = 24 * 75  # a week of March
LOADS = (0.25, 0.35, 0.5)
SEEDS = (0, 1, 2, 3)
WORST = {0.35: 2, 0.5: 3}  # of these the draws with the widest gap


class Row(NamedTuple):
    """A fleet, its plan, and what it took."""

    load: float
    fleet: Fleet
    plan: FleetPlan
    cpu_s: float
    wall_s: float


def courses(data: Path) -> tuple[list[str], np.ndarray]:
    """Names and carbon of five sites [g/kWh], shape (5, 168)."""
    paths = [data / "traces" / f"em_{zone}_2024_1h.csv.gz" for zone in ZONES]
    if not all(path.is_file() for path in paths):
        rng = np.random.default_rng(0)
        hours = np.arange(WEEK)
        levels = np.array([350.0, 200, 250, 400, 550])[:, None]
        turn = np.sin(2 * np.pi * (hours + 4 * np.arange(5)[:, None]) / 24)
        drift = np.cumsum(rng.normal(0, 0.02, (5, WEEK)), axis=1)
        return [f"site {i}" for i in range(5)], levels * np.clip(1 + 0.3 * turn + drift, 0.2, None)
    rows = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            values = [row["ci_gco2e_per_kwh"] for row in csv.DictReader(file)]
        rows.append([float(v) for v in values[FIRST_ROW : FIRST_ROW + WEEK]])
    return list(ZONES), np.array(rows)


def fleet_of(data: Path, load: float, jobs: int = 1000, seed: int = 0) -> Fleet:
    """Jobs of half an hour to sixty, mean power *load* times the capacity of all sites.

    Two fifths run at a stretch, two fifths pause freely, one fifth in slices of two hours with
    pauses that cost 210 s; half of them may run on some sites only; slack up to two days.
    """
    rng = np.random.default_rng(seed)
    names, carbon = courses(data)
    made, total_kwh = [], 0.0
    for i in range(jobs):
        hours = float(np.clip(np.exp(rng.normal(np.log(6), 0.8)), 0.5, 60))
        start = float(rng.integers(0, WEEK - 72))
        end = min(start + hours + 1 + rng.uniform(0.2, 48), WEEK)
        power_w = float(rng.choice([700, 1400, 2800, 5600, 11200]))
        kind = rng.random()
        picked = rng.choice(5, rng.integers(1, 6), replace=False)
        some = sorted(picked.tolist()) if rng.random() < 0.5 else []
        job = Job(
            hours * HOUR_S, start * HOUR_S, end * HOUR_S, power_w=power_w,
            interruptible=bool(kind > 0.4),
            min_slice_s=2 * HOUR_S if kind > 0.8 else 0.0,
            checkpoint_s=90.0 if kind > 0.8 else 0.0,
            restart_s=120.0 if kind > 0.8 else 0.0,
        )  # fmt: skip
        where = tuple(names[k] for k in some)
        made.append(FleetJob(f"job {i}", job, power_w / 700, where, start * HOUR_S))
        total_kwh += hours * power_w / 1e3
    kw = total_kwh / load / WEEK / 5
    sites = tuple(
        Site(name, row, np.full(WEEK, kw), np.full(WEEK, np.floor(kw / 0.7)), 1.1 + 0.1 * i)
        for i, (name, row) in enumerate(zip(names, carbon, strict=True))
    )
    return Fleet(0.0, HOUR_S, sites, tuple(made))


def measured(data: Path, load: float, seed: int = 0) -> Row:
    """Plan the fleet of *load* and *seed* once."""
    fleet = fleet_of(data, load, seed=seed)
    cpu, wall = time.process_time(), time.perf_counter()
    plan = plan_fleet(fleet, best_effort=True)
    return Row(load, fleet, plan, time.process_time() - cpu, time.perf_counter() - wall)


def worst_overrun(row: Row) -> float:
    """Most power of any slot as a share of its capacity [1]."""
    worst = 0.0
    for site in row.fleet.sites:
        assert site.capacity_kw is not None
        used = np.zeros(row.fleet.slots)
        for placed in row.plan.placed:
            if placed.site == site.name:
                np.add.at(used, placed.slots, placed.power_kw)
        worst = max(worst, float((used / site.capacity_kw).max()))
    return worst


def table(rows: list[Row], *, real: bool) -> str:
    """The rows in Markdown, one line for each load."""
    what = "carbon of DE, GB, CISO, PJM and NSW in 2024" if real else "made-up courses of carbon"
    lines = [
        f"1 000 jobs, 5 sites, 168 hours, {what}; jobs drawn {len(SEEDS)} times:",
        "",
        "| load ÷ capacity | placed, at least | gap of each draw | widest | CPU time, at most |",
        "| --- | --- | --- | --- | --- |",
    ]
    for load in LOADS:
        same = [row for row in rows if row.load == load]
        gaps = [100 * row.plan.gap_ratio for row in same]
        lines.append(
            f"| {load:.0%} | {min(len(row.plan.placed) for row in same)} |"
            f" {', '.join(f'{gap:.2f}' for gap in gaps)} % | {max(gaps):.2f} % |"
            f" {max(row.cpu_s for row in same):.0f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Plan a thousand jobs, timed.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--print", action="store_true", dest="only", help="leave the page alone")
    options = parser.parse_args()
    rows = []
    for load in LOADS:
        for seed in SEEDS:
            rows.append(measured(options.data, load, seed))
            gap = rows[-1].plan.gap_ratio
            print(f"{load:.0%}, draw {seed}: {rows[-1].wall_s:.0f} s, gap {gap:.4f}", flush=True)
    made = table(rows, real=(options.data / "traces").is_dir())
    print(made)
    if not options.only and PAGE.is_file():
        text = PAGE.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{made}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
