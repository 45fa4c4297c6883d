# SPDX-License-Identifier: Apache-2.0
"""Everyday tasks, measured again and again: docs/everyday.md, and how well they repeat.

``python -m benchmarks.everyday --measure 3`` looks at this machine three times (about two and a
half minutes each; leave it alone meanwhile) and keeps the rows in ``benchmarks/data/everyday.csv``
and the last look in ``benchmarks/data/everyday.json``. Without it, the page is made from them.
"""

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from submeter.comparing.everyday import QUIET_RATIO, WORDS, costs, spread
from submeter.records.everyday import Everyday
from submeter.records.figures import Figure
from submeter.reporting.everyday import arithmetic, everyday_words
from submeter.running.everyday.bench import measured, order_for

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "data" / "everyday.csv"
LOOK = ROOT / "benchmarks" / "data" / "everyday.json"
PAGE = ROOT / "docs" / "everyday.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
REPEATS_RATIO: Final = 0.10
FIELDS: Final = (
    "look", "made_utc", "task", "way", "energy_j", "low_j", "high_j", "cpu_s", "power_w",
    "spread_ratio", "others_ratio", "stolen_ratio", "wall_s",
)  # fmt: skip


class Row(NamedTuple):
    """A task in one look."""

    look: int
    made_utc: str
    task: str
    way: str
    energy_j: float
    low_j: float
    high_j: float
    cpu_s: float
    power_w: float
    spread_ratio: float
    others_ratio: float
    stolen_ratio: float
    wall_s: float

    @property
    def is_quiet(self) -> bool:
        return max(self.others_ratio, self.stolen_ratio) <= QUIET_RATIO


class Repeats(NamedTuple):
    """How far the looks at one task are apart: most less least over mean."""

    task: str
    way: str
    looks: int
    energy_ratio: float
    cpu_ratio: float
    most_others_ratio: float


def rows() -> list[Row]:
    """Kept rows; none if nothing was measured."""
    if not TABLE.is_file():
        return []
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Row(int(r["look"]), r["made_utc"], r["task"], r["way"],
                *(float(r[name]) for name in FIELDS[4:]))
            for r in csv.DictReader(file)
        ]  # fmt: skip


def repeats(found: Iterable[Row], *, quiet: bool) -> list[Repeats]:
    """By task and way, over all looks, or over those at which the machine was quiet."""
    by_task: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        if row.is_quiet or not quiet:
            by_task.setdefault((row.task, row.way), []).append(row)
    return [
        Repeats(
            task, way, len(own), spread([r.energy_j for r in own]) or 0.0,
            spread([r.cpu_s for r in own if r.cpu_s > 0]) or 0.0,
            max(max(r.others_ratio, r.stolen_ratio) for r in own),
        )
        for (task, way), own in by_task.items()
        if len(own) > 1
    ]  # fmt: skip


def measure(looks: int) -> None:
    """Look at this machine so often, and keep what came of it."""
    made: list[Row] = []
    for look in range(1, looks + 1):
        with tempfile.TemporaryDirectory() as name:
            found = measured(
                order_for(quick=False), quick=False, key=f"bench-{time.time_ns()}",
                tell=lambda _task, _ratio: None, folder=Path(name),
            )  # fmt: skip
        shown = msgspec.structs.replace(found, host=None)  # whose machine it was is nobody's
        LOOK.write_bytes(msgspec.json.encode(shown) + b"\n")
        made += look_rows(look, found)
        print(f"look {look} of {looks}: {found.wall_s:.0f} s", flush=True)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for row in made:
            writer.writerow([f"{x:.6g}" if isinstance(x, float) else x for x in row])


def look_rows(look: int, found: Everyday) -> list[Row]:
    """Rows of one look."""
    return [
        Row(look, found.made_utc, c.task, c.way, c.each.value, c.each.low, c.each.high,
            c.cpu_s_each, c.power_w, c.spread_ratio or 0.0, c.others_ratio, c.stolen_ratio,
            c.wall_s)
        for c in costs(found)
        if isinstance(c.each, Figure)
    ]  # fmt: skip


def last_look() -> Everyday | None:
    """The look that the page shows."""
    return msgspec.json.decode(LOOK.read_bytes(), type=Everyday) if LOOK.is_file() else None


def figures() -> str:
    """The part of the page that is made."""
    found, kept = last_look(), rows()
    if found is None:
        return "Nothing was measured yet: `python -m benchmarks.everyday --measure 3`.\n"
    sums = "\n".join(f"- {line}" for line in arithmetic(found))
    told = everyday_words(found, width=140)
    table = "\n".join(
        f"| {WORDS.get(r.task, r.task)}{', ' + r.way if r.way not in {'work', 'idle'} else ''} "
        f"| {r.looks} | {100 * r.energy_ratio:.1f} % | {100 * r.cpu_ratio:.1f} % "
        f"| {100 * r.most_others_ratio:.1f} % |"
        for r in repeats(kept, quiet=False)
    )
    looks = len({r.look for r in kept})
    return (
        f"```\n{told}\n```\n\n### The sums\n\n{sums}\n\n### How well it repeats\n\n"
        f"{looks} looks on {found.machine}, one after the other: highest less lowest over their "
        "mean. *Others* is the most that everybody else used of the machine, or its host took, "
        f"meanwhile; above {100 * QUIET_RATIO:.0f} % the command says that it was not quiet.\n\n"
        "| task | looks | energy | CPU time | others |\n| --- | ---: | ---: | ---: | ---: |\n"
        f"{table}\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure everyday tasks, make their page.")
    parser.add_argument("--measure", type=int, default=0, metavar="LOOKS")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{figures()}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
