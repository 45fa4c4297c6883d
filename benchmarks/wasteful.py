# SPDX-License-Identifier: Apache-2.0
"""Planted against found waste, and false alarms: the tables of docs/waste.md.

    python -m benchmarks.wasteful [--measure] [--tuning]

--measure runs the scripts of wasteful_runs.py through meter, journal, settlement and observation
(half a minute) and keeps what came out in benchmarks/data/waste.csv, from which the page and the
bars are made. --tuning runs those seeds on which thresholds were looked at, and keeps nothing.
"""

import argparse
import csv
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import clean_runs
from benchmarks import wasteful_runs as scripts
from benchmarks.outcomes import ROOT
from benchmarks.wasteful_machine import Metered, Script, metered
from submeter.explaining.waste import Found, find_waste
from submeter.records.amounts import Amount
from submeter.records.devices import DeviceKind
from submeter.records.figures import Figure, Quantity
from submeter.records.footprints import Footprint
from submeter.running.reckoning import reckoned

TABLE: Final = ROOT / "benchmarks" / "data" / "waste.csv"
PAGE: Final = ROOT / "docs" / "waste.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TOLERANCE: Final = 0.15  # of the price, over what was planted
BY_INTERVAL: Final = frozenset({"precision"})  # a published range prices it: its interval holds it


class Priced(NamedTuple):
    """One planted waste, or a clean run, and what was found."""

    name: str
    key: str  # empty of a clean run
    seed: int
    planted_j: float  # at the wall
    found_j: float  # 0: not found
    low_j: float
    high_j: float
    others: str  # told beside it
    sum_ratio: float  # all that was told, over the run's energy

    @property
    def error_ratio(self) -> float:
        """What was found over what was planted, less one."""
        return self.found_j / self.planted_j - 1

    @property
    def good(self) -> bool:
        """Whether it was found and priced within the tolerance."""
        if self.found_j <= 0:
            return False
        if self.key in BY_INTERVAL:
            return self.low_j <= self.planted_j <= self.high_j
        return abs(self.error_ratio) <= TOLERANCE


class Judged(NamedTuple):
    """A run with what it amounts to and what was found in it."""

    metered: Metered
    footprint: Footprint
    found: Found


def judged(runs: Sequence[Script]) -> Judged:
    """What is found in the last of *runs*, the others being of its project."""
    with tempfile.TemporaryDirectory(prefix="wasteful-") as folder:
        place = Path(folder)
        rows = [metered(s, place / str(i)) for i, s in enumerate(runs)]
        last = rows[-1]
        footprint = reckoned(last.run, home=place / "home")
        others = [row.run for row in rows[:-1]]
        return Judged(last, footprint, find_waste(last.run, footprint, last.seen, others))


def wall_ratio(row: Judged) -> float:
    """Energy at the wall over what was drawn at the devices, as the run has it [1]."""
    devices = sum(
        d.share.value for d in row.metered.run.devices
        if d.device.kind not in {DeviceKind.REST, DeviceKind.NODE}
        and isinstance(d.share, Quantity)
    )  # fmt: skip
    return whole_of(row).value / devices


def whole_of(row: Judged) -> Amount:
    """Energy of the run at the wall [J]."""
    whole = row.footprint.facility
    if not isinstance(whole, Amount):
        raise TypeError(whole.why)
    return whole


def priced(name: str, seed: int) -> Priced:
    """Meter the run of *seed* with the waste *name*, and look for it."""
    key, make = scripts.PLANTED[name]
    row = judged(make(seed))
    planted_j = row.metered.script.planted_j * wall_ratio(row)
    told = {w.key: w.energy for w in row.found.wastes if isinstance(w.energy, Amount)}
    mine = told.get(key)
    figure = mine.figure("J") if mine else Figure(0.0, 0.0, 0.0, "J")
    return Priced(
        name, key, seed, planted_j, figure.value, figure.low, figure.high,
        " ".join(k for k in told if k != key),
        sum(e.value for e in told.values()) / whole_of(row).value,
    )  # fmt: skip


def alarms(seed: int) -> tuple[str, ...]:
    """Wastes that are told of a clean run."""
    return tuple(w.key for w in judged(clean_runs.clean(seed)).found.wastes)


def measured(seeds: Iterable[int], clean: Iterable[int]) -> Iterable[Priced]:
    """All scripts of these seeds, one after the other."""
    seeds = list(seeds)
    for name in scripts.PLANTED:
        for seed in seeds:
            yield priced(name, seed)
    for seed in clean:
        told = alarms(seed)
        yield Priced("clean", "", seed, 0.0, 0.0, 0.0, 0.0, " ".join(told), 0.0)


def stored() -> list[Priced]:
    """Rows of the last measurement."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Priced(
                r["name"], r["key"], int(r["seed"]), float(r["planted_j"]), float(r["found_j"]),
                float(r["low_j"]), float(r["high_j"]), r["others"], float(r["sum_ratio"]),
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


def _store(rows: Iterable[Priced]) -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(Priced._fields)
        for r in rows:
            out.writerow([f"{x:.6g}" if isinstance(x, float) else x for x in r])


def tables(rows: Sequence[Priced]) -> str:
    """The page's table and the sentences around it."""
    planted = [r for r in rows if r.key]
    seeds = sorted({r.seed for r in planted})
    clean = [r for r in rows if not r.key]
    alarmed = [r for r in clean if r.others]
    beside = sorted({o for r in planted for o in r.others.split()})
    lines = [
        f"{len(seeds)} runs of each kind (seeds {seeds[0]} to {seeds[-1]}); joules at the wall of "
        "the first, error of the price over all.",
        "",
        "| planted | found | planted kJ | found kJ (95 %) | error: median, worst |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(r.name for r in planted):
        own = [r for r in planted if r.name == name]
        first, told = own[0], [r for r in own if r.found_j > 0]
        errors = [r.error_ratio for r in told]
        worst = max(errors, key=abs, default=0.0)
        held = sum(r.low_j <= r.planted_j <= r.high_j for r in told)
        shown = f"{_signed(statistics.median(errors))}, {_signed(worst)}" if errors else "–"
        if own[0].key in BY_INTERVAL:
            shown += f"; the interval holds {held} of {len(own)}"
        planted_kj, found_kj, low_kj, high_kj = (x / 1e3 for x in first[3:7])
        lines.append(
            f"| {name} | {len(told)} of {len(own)} | {planted_kj:.1f} | "
            f"{found_kj:.1f} ({low_kj:.1f} – {high_kj:.1f}) | {shown} |"
        )
    kinds = ", ".join(beside) if beside else "nothing"
    lines += [
        "",
        f"Told beside what was planted: {kinds}. "
        f"False alarms in {len(clean)} clean runs: {len(alarmed)}"
        + "".join(f" ({r.others}, seed {r.seed})" for r in alarmed) + ".",
    ]  # fmt: skip
    return "\n".join(lines)


def _signed(ratio: float) -> str:
    percent = 100 * ratio
    return f"{'−' if percent < -0.05 else '+'}{abs(percent):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="run all scripts again")
    parser.add_argument("--tuning", action="store_true", help="seeds that thresholds are set on")
    given = parser.parse_args()
    if given.tuning:
        for row in measured(scripts.TUNING, clean_runs.CLEAN_TUNING):
            good = row.good if row.key else not row.others
            print("+" if good else "!", row, flush=True)
        return
    if given.measure:
        _store(measured(scripts.SCORED, clean_runs.CLEAN))
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n\n{tables(stored())}\n\n{END}{after}"
    PAGE.write_text(made, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
