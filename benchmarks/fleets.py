# SPDX-License-Identifier: Apache-2.0
"""How fast and how near the best many jobs are planned: `python -m benchmarks.fleets`.

A thousand jobs on five sites in a week of hours, with the carbon of real grids (``--data``); jobs
are drawn with fixed seeds. Rows are kept in benchmarks/data/fleets.csv and written to
docs/fleets.md; ``--load`` measures a part of them anew. Time is that of the processor.
"""

import argparse
import csv
import gzip
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.outcomes import ROOT
from submeter.planning.fleets import GAP_RATIO, Fleet, FleetJob, FleetPlan, Site, plan_fleet
from submeter.records.plans import Job

HOUR_S = 3600.0
WEEK = 168
PAGE = ROOT / "docs" / "fleets.md"
BEGIN, END = "<!-- made by benchmarks/fleets.py: begin -->", "<!-- end -->"
ZONES = ("DE", "GB", "US-CAL-CISO", "US-MIDA-PJM", "AU-NSW")
FIRST_ROW = 24 * 75  # a week of March
LOADS = (0.25, 0.35, 0.5)
SEEDS = (0, 1, 2, 3)
JOBS = 1000
LIMIT_S = 120.0
KEPT = ROOT / "benchmarks" / "data" / "fleets.csv"


class Row(NamedTuple):
    """What came of a fleet: its load and draw, jobs with a place, gap, time, fullest slot."""

    load: float
    seed: int
    placed: int
    gap_ratio: float
    cpu_s: float
    fullest_ratio: float

    @property
    def holds(self) -> bool:
        """Whether all jobs have a place, no slot is too full, and gap and time are kept."""
        kept = self.gap_ratio <= GAP_RATIO and self.cpu_s <= LIMIT_S
        return self.placed == JOBS and self.fullest_ratio <= 1 + 1e-6 and kept


def courses(data: Path) -> tuple[list[str], np.ndarray]:
    """Names and carbon of five sites [g/kWh], shape (5, 168)."""
    paths = [data / "traces" / f"em_{zone}_2024_1h.csv.gz" for zone in ZONES]
    rows = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            values = [row["ci_gco2e_per_kwh"] for row in csv.DictReader(file)]
        rows.append([float(v) for v in values[FIRST_ROW : FIRST_ROW + WEEK]])
    return list(ZONES), np.array(rows)


def fleet_of(data: Path, load: float, jobs: int = JOBS, seed: int = 0) -> Fleet:
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
    """Plan the fleet of *load* and *seed* once, for no longer than the limit."""
    fleet = fleet_of(data, load, seed=seed)
    begun_s = time.process_time()

    def left_s() -> float:
        return begun_s + LIMIT_S - time.process_time()

    plan = plan_fleet(fleet, best_effort=True, left_s=left_s)
    cpu_s = time.process_time() - begun_s
    return Row(load, seed, len(plan.placed), plan.gap_ratio, cpu_s, fullest(fleet, plan))


def fullest(fleet: Fleet, plan: FleetPlan) -> float:
    """Most power of any slot as a share of its capacity [1]."""
    worst = 0.0
    for site in fleet.sites:
        assert site.capacity_kw is not None
        used = np.zeros(fleet.slots)
        for placed in plan.placed:
            if placed.site == site.name:
                np.add.at(used, placed.slots, placed.power_kw)
        worst = max(worst, float((used / site.capacity_kw).max()))
    return worst


def kept() -> dict[tuple[float, int], Row]:
    """Rows that were measured before, by load and draw."""
    if not KEPT.is_file():
        return {}
    with KEPT.open(encoding="utf-8", newline="") as file:
        rows = [
            Row(float(r["load"]), int(r["draw"]), int(r["placed"]), float(r["gap_ratio"]),
                float(r["cpu_s"]), float(r["fullest_ratio"]))
            for r in csv.DictReader(file)
        ]  # fmt: skip
    return {(row.load, row.seed): row for row in rows}


def keep(rows: Mapping[tuple[float, int], Row]) -> None:
    """Write *rows* to the table of the repository."""
    with KEPT.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["load", "draw", "placed", "gap_ratio", "cpu_s", "fullest_ratio"])
        for _, row in sorted(rows.items()):
            figures = (f"{row.gap_ratio:.5f}", f"{row.cpu_s:.1f}", f"{row.fullest_ratio:.4f}")
            table.writerow([row.load, row.seed, row.placed, *figures])


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown, one line for each load, and what they say of the bar."""
    lines = [
        f"1 000 jobs, 5 sites, 168 hours, carbon of DE, GB, CISO, PJM and NSW in 2024; jobs drawn"
        f" {len(SEEDS)} times:",
        "",
        "| load ÷ capacity | placed, at least | gap of each draw | widest | CPU time, at most |",
        "| --- | --- | --- | --- | --- |",
    ]
    for load in LOADS:
        same = [row for row in rows if row.load == load]
        if not same:
            continue
        gaps = [100 * row.gap_ratio for row in same]
        lines.append(
            f"| {load:.0%} | {min(row.placed for row in same)} |"
            f" {', '.join(f'{gap:.2f}' for gap in gaps)} % | {max(gaps):.2f} % |"
            f" {max(row.cpu_s for row in same):.0f} s |"
        )
    good = sum(row.holds for row in rows)
    return "\n".join([*lines, "", f"{good} of {len(rows)} draws are within 2 % in 120 s."])


def written(rows: Sequence[Row]) -> None:
    """Put the table of *rows* into the page."""
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    text = f"{head}{BEGIN}\n{table(rows)}\n{END}{rest.split(END, 1)[1]}"
    PAGE.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Plan a thousand jobs, timed.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--load", type=float, choices=LOADS, help="measure this one anew only")
    parser.add_argument("--print", action="store_true", dest="only", help="leave the page alone")
    options = parser.parse_args()
    if not (options.data / "traces").is_dir():
        print(f"left as it is: there is no {options.data / 'traces'}")
        return 0
    for load in LOADS if options.load is None else (options.load,):
        for seed in SEEDS:
            row = measured(options.data, load, seed)
            told = f"{row.cpu_s:.0f} s, gap {row.gap_ratio:.4f}"
            print(f"{load:.0%}, draw {seed}: {told}", flush=True)
            if not options.only:
                keep({**kept(), (load, seed): row})
    rows = kept()
    print(table(list(rows.values())))
    if not options.only:
        written(list(rows.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
