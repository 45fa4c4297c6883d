# SPDX-License-Identifier: Apache-2.0
"""What each technique does here, before and after: docs/techniques.md.

    python -m benchmarks.techniques [--measure] [--pairs 8] [--minutes 20] [--only NAME]

Pairs are interleaved, a coin deciding who goes first, one technique after the other. What was
measured stands in benchmarks/data/techniques.partial.csv until all is: the same command goes on
where it was interrupted; then it takes the place of techniques.csv. Eight pairs of all take
some six minutes of an idle processor, one technique from four to thirty-five seconds. Without
``--measure`` the page is written from benchmarks/data/techniques*.csv.
"""

import argparse
import csv
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import techniques_many
from submeter.reducing import evidence, student
from submeter.reducing.techniques import NAMES, Technique, technique
from submeter.reducing.techniques.machine import here
from submeter.reporting.techniques import percent_range

if TYPE_CHECKING:
    from benchmarks.techniques_cases import Case, Work

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "data" / "techniques.csv"
PARTIAL = TABLE.with_suffix(".partial.csv")
PAGE = ROOT / "docs" / "techniques.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = (
    "technique",
    "case",
    "pair",
    "side",
    "cpu_s",
    "time_s",
    "energy_j",
    "quality_name",
    "quality",
)


class Reading(NamedTuple):
    """One run of one side."""

    technique: str
    case: str
    pair: int
    side: str  # before, after; made once: CPU time of making it
    cpu_s: float
    time_s: float
    energy_j: float
    quality_name: str
    quality: float


def measure(pairs: int, minutes: float, only: str = "") -> bool:
    """Go through all cases that are left, as long as there is time; whether all are measured."""
    import torch

    from benchmarks.techniques_cases import CASES
    from submeter.reducing.techniques.libraries import quietly

    torch.set_num_threads(1)
    started_s, chance = time.monotonic(), random.Random(6)  # noqa: S311  # a coin
    found = stored(PARTIAL) if PARTIAL.is_file() else []
    asked = [c for c in CASES if only in {"", c.technique}]
    for case in asked:
        done = {r.pair for r in found if (r.technique, r.case) == (case.technique, case.words)}
        if pairs in done:
            continue
        if time.monotonic() - started_s > 60 * minutes:
            print(f"{minutes:g} minutes are over: the same command goes on")
            return False
        with quietly():
            found += case_measured(case, pairs, chance)
        keep(found, PARTIAL)
        print(f"{case.technique}: {case.words}, {time.monotonic() - started_s:.0f} s", flush=True)
    measured = {c.technique for c in asked}
    others = [r for r in stored() if r.technique not in measured] if only else []
    keep([*others, *(r for r in found if r.technique in measured)], TABLE)
    PARTIAL.unlink(missing_ok=True)
    return True


def case_measured(case: "Case", pairs: int, chance: random.Random) -> list[Reading]:
    """All pairs of a case, which is made and warmed up before."""
    before_s = time.process_time()
    sides = dict(zip(("before", "after"), case.make(), strict=True))
    made_s = time.process_time() - before_s
    found = [Reading(case.technique, case.words, 0, "made", made_s, 0.0, 0.0, "", 0.0)]
    sides["after"](0)
    for pair in range(1, pairs + 1):
        found += [
            reading(case, pair, side, sides[side]) for side in chance.sample(sorted(sides), 2)
        ]
    return found


def reading(case: "Case", pair: int, side: str, work: "Work") -> Reading:
    """One run of one side under the meter."""
    import submeter
    from submeter.records.figures import Figure

    with submeter.measure(f"{case.technique} {side}") as run:
        cpu_s, time_s = time.process_time(), time.perf_counter()
        quality = work(pair)
        cpu_s, time_s = time.process_time() - cpu_s, time.perf_counter() - time_s
    energy = run.energy
    joules = energy.value if isinstance(energy, Figure) else math.nan
    return Reading(
        case.technique, case.words, pair, side, cpu_s, time_s, joules, case.quality, quality
    )


def keep(found: list[Reading], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for r in found:
            numbers = [f"{x:.6g}" for x in (r.cpu_s, r.time_s, r.energy_j)]
            writer.writerow([*r[:4], *numbers, r.quality_name, f"{r.quality:.6g}"])


def stored(path: Path = TABLE) -> list[Reading]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Reading(
                r["technique"], r["case"], int(r["pair"]), r["side"], float(r["cpu_s"]),
                float(r["time_s"]), float(r["energy_j"]), r["quality_name"], float(r["quality"]),
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


def sides_of(readings: list[Reading], name: str) -> tuple[list[float], list[float]]:
    """Amount *name* before and after, pair by pair."""
    by = {(r.pair, r.side): float(getattr(r, name)) for r in readings if r.pair}
    pairs = sorted({pair for pair, _ in by})
    return [by[p, "before"] for p in pairs], [by[p, "after"] for p in pairs]


def signed(x: float, places: int = 0) -> str:
    return f"{x:+.{places}f}".replace("-", "−")


def change(readings: list[Reading], name: str) -> str:
    """Change of an amount in per cent, with its 95 % interval."""
    try:
        found = evidence.of_pairs(evidence.log_ratios(*sides_of(readings, name)), "fixed")
    except ValueError:
        return "–"
    low, high = (100 * math.expm1(x) for x in (found.low, found.high))
    most = signed(high) if high < 1000 else "> +999"
    return f"{signed(100 * (found.ratio - 1))} % ({signed(low)} … {most})"


def quality_change(readings: list[Reading]) -> str:
    """Difference of the quality with its 95 % interval."""
    name = next((r.quality_name for r in readings if r.pair), "")
    if not name:
        return "–"
    before, after = sides_of(readings, "quality")
    gaps = [b - a for a, b in zip(before, after, strict=True)]
    mean, n = statistics.fmean(gaps), len(gaps)
    half = student.quantile(0.975, n - 1) * statistics.stdev(gaps) / math.sqrt(n)
    if not half:
        return f"{name} {signed(mean, 4)}"
    return f"{name} {signed(mean, 3)} ({signed(mean - half, 3)} … {signed(mean + half, 3)})"


def expected_cell(one: Technique) -> str:
    found = one.expected
    if found is None:
        return "not published"
    return f"{percent_range(found.low_ratio, found.high_ratio)} {found.unit}"


def cases(found: list[Reading]) -> dict[str, dict[str, list[Reading]]]:
    by: dict[str, dict[str, list[Reading]]] = defaultdict(lambda: defaultdict(list))
    for r in found:
        by[r.technique][r.case].append(r)
    return by


def joules_per_cpu_s(found: list[Reading]) -> float:
    return statistics.median(r.energy_j / r.cpu_s for r in found if r.pair and r.cpu_s > 0)


ELSEWHERE = {
    "gradient_compression": "below: processes that train together",
    "local_sgd": "below: processes that train together",
    "node_count": "below: processes that train together",
}


def summary(found: list[Reading]) -> list[str]:
    lines = [
        "| technique | expected to save | measured on | Δ CPU time | Δ energy, modelled | Δ time "
        "| Δ quality |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    by = cases(found)
    for name in NAMES:
        one = technique(name)
        link = f"[`{name}`](#{name})"
        if name not in by:
            fit = one.applies_to()
            where = ELSEWHERE.get(name, fit.words)
            lines.append(f"| {link} | {expected_cell(one)} | {where} | – | – | – | – |")
        for case, readings in by.get(name, {}).items():
            cells = [change(readings, k) for k in ("cpu_s", "energy_j", "time_s")]
            cells.append(quality_change(readings))
            lines.append(f"| {link} | {expected_cell(one)} | {case} | {' | '.join(cells)} |")
    return lines


def section(one: Technique, found: list[Reading]) -> list[str]:
    lines = [f"### {one.name}", "", one.what, ""]
    lines += [f"- *Why it saves.* {one.why}", f"- *Price.* {one.price}"]
    lines.append(f"- *When it does not help.* {one.when_it_does_not_help}")
    expected = one.expected
    if expected is not None:
        lines.append(
            f"- *Expected.* {expected_cell(one)}: {expected.scope}. "
            f"Source: {expected.source} ({expected.verified})."
        )
    else:
        lines.append("- *Expected.* Nobody published a figure that could be stood on.")
    fit = one.applies_to()
    lines.append(f"- *Where this page was made.* {fit.words[0].upper()}{fit.words[1:]}.")
    made = {r.case: r.cpu_s for r in found if r.technique == one.name and not r.pair}
    if one.name == "distil":
        for case, cpu_s in made.items():
            before, after = sides_of([r for r in found if r.case == case], "cpu_s")
            gain_s = statistics.fmean(before) - statistics.fmean(after)
            back = f"{cpu_s / gain_s:.0f} times that work" if gain_s > 0 else "never"
            lines.append(
                f"- *Paid back.* Teaching it took {cpu_s:.0f} s of CPU time, the teacher's "
                f"answers included: {back}."
            )
    return [*lines, ""]


def adaptive_words(found: list[Reading]) -> str:
    readings = [r for r in found if r.technique == "adaptive_batch"]
    said = change(readings, "energy_j")
    return f"Adaptive batch, to the same loss held out: {said} of modelled energy."


def nodes_words(rows: list[techniques_many.Row], j_per_cpu_s: float) -> str:
    """What node_count says of the processes measured."""
    from submeter import reduce

    steps = float(techniques_many.STEPS)
    scaling = {
        r.processes: (steps / r.time_s, r.cpu_s * j_per_cpu_s / r.time_s)
        for r in rows
        if r.way == "none"
    }
    return f"`node_count` of these, by CPU time: {reduce.node_count(scaling, work=1e4).notes[0]}."


def page(found: list[Reading], exchange: list[techniques_many.Row]) -> str:
    pairs = max(r.pair for r in found)
    each_j = joules_per_cpu_s(found)
    machine = here()
    lines = [
        f"Measured in {pairs} interleaved pairs on {machine.processors} shared processors "
        f"({platform.machine()}), one thread, torch "
        f"{version('torch')}; 95 % intervals of one "
        "look. There is no counter here: the energy is modelled from CPU time and time "
        f"(median {each_j:.0f} J a CPU second, at the wall). "
        "An interval that holds 0 shows nothing.",
        "",
        *summary(found),
        "",
        adaptive_words(found),
        "",
        "#### Processes that train together",
        "",
        "The language model of 0.1 M parameters over gloo, 24 steps of 64 rows in all; bytes are "
        "counted in the hook, CPU time is the sum over processes, energy is that times "
        f"{each_j:.0f} J. One run of each: no intervals.",
        "",
        *techniques_many.words(exchange, each_j),
        "",
        nodes_words(exchange, each_j),
        "",
        "## Each technique",
        "",
    ]
    for name in NAMES:
        lines += section(technique(name), found)
    return "\n".join(lines).rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the techniques, write their page.")
    parser.add_argument("--measure", action="store_true", help="else from what was stored")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=20.0, help="begin no more after that")
    parser.add_argument("--only", default="", help="measure one technique, keep the others")
    parser.add_argument("--alone", action="store_true", help="not those of many processes")
    options = parser.parse_args()
    if options.measure:
        with tempfile.TemporaryDirectory() as home:
            os.environ["SUBMETER_HOME"] = home
            if not measure(options.pairs, options.minutes, options.only):
                return 1
            if not options.alone and not options.only:
                exchange = [r for n in techniques_many.COUNTS for r in techniques_many.measured(n)]
                techniques_many.keep(exchange)
    words = page(stored(), techniques_many.stored())
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{words}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
