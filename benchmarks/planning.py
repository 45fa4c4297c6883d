# SPDX-License-Identifier: Apache-2.0
"""How long the best time for one job takes to find, and how many slots have to be looked at.

    python -m benchmarks.planning [--data DIR] [--check]

A year of five-minute slots, 105 120 of them: made from a seed, and, where DIR/traces is here, of
the German grid in 2024 with each hour cut into twelve. Processor time of one core, median of five.
Writes its table into ``docs/planning-method.md``; with ``--check`` nothing.
"""

import argparse
import csv
import gzip
import re
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from submeter.planning.costs import Costs
from submeter.planning.narrowing import Bounds
from submeter.planning.rows import Frame, Ground
from submeter.planning.single import best
from submeter.records.plans import Job

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "planning-method.md"
STEP_S = 300.0
SLOTS = 105_120
LENGTH_S = 8 * 3600.0
TRACE = "em_DE_2024_1h.csv.gz"
TIMES = 5
WITH_COSTS = ("90 s to write, 60 s to come back", "the same, slices of 30 min or more",
              "the same, and 100 W while paused")  # fmt: skip


class Row(NamedTuple):
    """One job in one year."""

    year: str
    job: str
    pauses: int
    saving_ratio: float
    looked_at: int
    took_s: float


def seeded() -> Costs:
    """A year with days, weather that wanders, and noise; no real grid."""
    rng = np.random.default_rng(0)
    day = np.arange(SLOTS) * STEP_S / 86_400
    weather = 80 * np.cumsum(rng.normal(size=SLOTS)) / 300
    values = 300 + 100 * np.sin(2 * np.pi * day) + weather + rng.normal(size=SLOTS) * 10
    return Costs(0.0, STEP_S, np.maximum(values, 5.0), "g/kWh")


def traced(data: Path) -> Costs | None:
    """Germany in 2024, each hour in twelve slots; None if the trace is not here."""
    path = data / "traces" / TRACE
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = [float(row["ci_gco2e_per_kwh"] or "nan") for row in csv.DictReader(file)]
    values = np.array(found)
    gaps = np.flatnonzero(~np.isfinite(values))
    values[gaps] = np.interp(
        gaps, np.flatnonzero(np.isfinite(values)), values[np.isfinite(values)]
    )
    return Costs(0.0, STEP_S, np.repeat(values, 12)[:SLOTS], "g/kWh")


def jobs() -> Iterator[tuple[str, Job]]:
    job = Job(LENGTH_S, 0.0, SLOTS * STEP_S, 1000.0)
    paused = msgspec.structs.replace(job, interruptible=True)
    costly = msgspec.structs.replace(paused, checkpoint_s=90.0, restart_s=60.0)
    sliced = msgspec.structs.replace(costly, min_slice_s=1800.0)
    idling = msgspec.structs.replace(sliced, idle_w=100.0)
    yield "runs through", job
    yield "pauses cost nothing", paused
    yield from zip(WITH_COSTS, (costly, sliced, idling), strict=True)
    course_w = tuple(np.linspace(500.0, 1500.0, 96).tolist())
    yield (
        "the same, power rising threefold",
        msgspec.structs.replace(idling, power_course_w=course_w),
    )
    yield (
        "30 min slices, bounds inside slots",
        msgspec.structs.replace(sliced, earliest_s=100.0, deadline_s=SLOTS * STEP_S - 70.0),
    )


def looked_at(costs: Costs, job: Job, objective: float) -> int:
    """Slots that cannot be left out once the best schedule is known."""
    frame = Frame.of(job.earliest_s, job.deadline_s, STEP_S)
    bounds = Bounds.of(Ground(costs), frame, job, head=False, tail=False)
    kept = bounds.kept(objective, np.zeros(frame.slots, dtype=np.bool_))
    return 0 if kept is None else int(kept.sum())


def measured(year: str, costs: Costs) -> Iterator[Row]:
    for name, job in jobs():
        took_s = []
        found = best(costs, job)
        for _ in range(TIMES):
            start_s = time.process_time()
            found = best(costs, job)
            took_s.append(time.process_time() - start_s)
        seen = looked_at(costs, job, found.objective) if job.interruptible else SLOTS
        yield Row(year, name, found.pauses, found.saving_ratio, seen, statistics.median(took_s))


def rows(data: Path) -> list[Row]:
    found = list(measured("seeded", seeded()))
    trace = traced(data)
    return found + (list(measured("DE 2024", trace)) if trace else [])


def slowest_with_costs(found: list[Row]) -> Row:
    """Of those that the bar is about: pauses that cost something, even power."""
    return max((r for r in found if r.job in WITH_COSTS), key=lambda r: r.took_s)


def table(found: list[Row]) -> str:
    lines = [
        "| year | 8 h of work that | pauses | saved | slots left | time |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r.year} | {r.job} | {r.pauses} | {100 * r.saving_ratio:.1f} % "
        f"| {r.looked_at:,} | {1e3 * r.took_s:.0f} ms |"
        for r in found
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    found = rows(options.data)
    print(table(found))
    if not options.check:
        begin, end = (f"<!-- {word}: benchmarks/planning.py -->" for word in ("begin", "end"))
        text = PAGE.read_text(encoding="utf-8")
        inside = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
        made = f"{begin}\n\n{table(found)}\n\n{end}"
        PAGE.write_text(inside.sub(lambda _: made, text), encoding="utf-8")
    return 0 if slowest_with_costs(found).took_s <= 0.1 else 1


if __name__ == "__main__":
    sys.exit(main())
