# SPDX-License-Identifier: Apache-2.0
"""Planted against found waste, and false alarms: the tables of docs/waste.md.

    python -m benchmarks.wasteful [--tuning] [--write]

runs the scripts of wasteful_runs.py through meter, journal, settlement and observation.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import wasteful_runs as scripts
from benchmarks.wasteful_machine import Metered, Script, metered
from submeter.explaining.waste import Found, find_waste
from submeter.records.amounts import Amount
from submeter.records.devices import DeviceKind
from submeter.records.figures import Figure, Quantity
from submeter.records.footprints import Footprint
from submeter.running.reckoning import reckoned

TOLERANCE: Final = 0.15  # of the price, over what was planted
BY_INTERVAL: Final = frozenset({"precision"})  # a published range prices it: its interval holds it


class Priced(NamedTuple):
    """One planted waste, and what was found."""

    name: str
    key: str
    seed: int
    planted_j: float  # at the wall
    found_j: float  # 0: not found
    low_j: float
    high_j: float
    others: tuple[str, ...]  # told beside it
    sum_ratio: float  # all that was told, over the run's energy

    @property
    def error(self) -> float:
        return self.found_j / self.planted_j - 1

    @property
    def good(self) -> bool:
        if self.found_j <= 0:
            return False
        if self.key in BY_INTERVAL:
            return self.low_j <= self.planted_j <= self.high_j
        return abs(self.error) <= TOLERANCE


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
    assert isinstance(row.footprint.facility, Amount)
    return row.footprint.facility.value / devices


def priced(name: str, seed: int) -> Priced:
    key, make = scripts.PLANTED[name]
    row = judged(make(seed))
    planted_j = row.metered.script.planted_j * wall_ratio(row)
    whole = row.footprint.facility
    assert isinstance(whole, Amount)
    told = {w.key: w.energy for w in row.found.wastes if isinstance(w.energy, Amount)}
    mine = told.get(key)
    figure = mine.figure("J") if mine else Figure(0.0, 0.0, 0.0, "J")
    return Priced(
        name, key, seed, planted_j, figure.value, figure.low, figure.high,
        tuple(k for k in told if k != key), sum(e.value for e in told.values()) / whole.value,
    )  # fmt: skip


def alarms(seed: int) -> tuple[str, ...]:
    """Wastes that are told of a clean run."""
    return tuple(w.key for w in judged(scripts.clean(seed)).found.wastes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning", action="store_true", help="seeds that thresholds are set on")
    given = parser.parse_args()
    for name in scripts.PLANTED:
        for seed in scripts.TUNING if given.tuning else scripts.SCORED:
            row = priced(name, seed)
            print(
                f"{'+' if row.good else '!'} {name:24} {seed:4} planted {row.planted_j:9.0f} "
                f"found {row.found_j:9.0f} ({row.low_j:.0f} – {row.high_j:.0f}) {row.error:+.1%} "
                f"others {row.others} sum {row.sum_ratio:.2f}", flush=True,
            )  # fmt: skip
    for seed in scripts.CLEAN_TUNING if given.tuning else scripts.CLEAN:
        print(seed, alarms(seed), flush=True)


if __name__ == "__main__":
    main()
