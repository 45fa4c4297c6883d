# SPDX-License-Identifier: Apache-2.0
"""How far off probes and forecasts are, and whether their intervals keep their word.

    python -m benchmarks.probing             score varied jobs on the fake machine, write the page
    python -m benchmarks.probing --fit       choose the spreads of drifts on other jobs
    python -m benchmarks.probing --fit-here  doubt by neighbours, from the trainings that are kept
    python -m benchmarks.probing --real N    N varied trainings here, kept in benchmarks/data
    python -m benchmarks.probing --ten       the ten-minute training here, and a probe of it

On the fake machine the truth is the integral of a hidden power, and what is predicted is energy.
Real trainings are scored in CPU time, which every machine counts.
"""

import argparse
import csv
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.probing_jobs import Watched, varied
from submeter.estimating.courses import Course, Mark, Stretch
from submeter.estimating.remaining import (
    CHANGE_RATIO,
    DRIFT_RATIO,
    NEIGHBOURS_RATIO,
    Outlook,
    outlook,
)

ROOT: Final = Path(__file__).resolve().parents[1]
KEPT: Final = ROOT / "benchmarks" / "data" / "probing.csv"
PAGE: Final = ROOT / "docs" / "probing.md"
PROBE_S: Final = 30.0
TENTH: Final = 0.1
LEVEL: Final = 0.9
NORMAL_95: Final = 1.645
SCORED: Final = range(30)  # the thirty jobs of the bar
FITTED: Final = range(1000, 1120)  # others, on which the spreads were chosen
DRIFTS: Final = (0.005, 0.0075, 0.01, 0.0125, 0.015)
CHANGES: Final = (0.005, 0.006, 0.007, 0.008, 0.009, 0.01, 0.0125)


class Seen(NamedTuple):
    """What was seen of a job at one moment, and how it ended."""

    job: str
    horizon: str  # "probe" or "tenth"
    seen_s: float
    marks: list[Mark]
    course: Course
    stretches: list[Stretch]
    steps: float
    truth: float

    def predicted(
        self, drift_ratio: float = DRIFT_RATIO, change_ratio: float = CHANGE_RATIO
    ) -> Outlook:
        found = outlook(
            self.marks, self.course, self.steps, self.stretches,
            drift_ratio=drift_ratio, change_ratio=change_ratio,
        )  # fmt: skip
        assert isinstance(found, Outlook), f"{self.job}: {found}"
        return found


class Score(NamedTuple):
    """One prediction beside the truth; the interval is meant to hold nine in ten."""

    job: str
    horizon: str
    quantity: str
    seen_s: float
    predicted: float
    low: float
    high: float
    truth: float
    spent: float  # of what is predicted

    @property
    def error_ratio(self) -> float:
        return self.predicted / self.truth - 1

    @property
    def held(self) -> bool:
        return self.low <= self.truth <= self.high


def on_fake_machine(seeds: Iterable[int], *, interval_s: float = 0.5) -> list[Seen]:
    """Varied jobs, seen for half a minute and until a tenth of their steps."""
    found = []
    for seed in seeds:
        job = varied(seed)
        horizons = {"probe": PROBE_S, "tenth": job.time_of(max(1, round(TENTH * job.steps)))}
        with Watched(job, interval_s=interval_s) as watched:
            for name, until_s in sorted(horizons.items(), key=lambda row: row[1]):
                watched.until(until_s)
                progress = watched.progress
                about = (progress.marks(), progress.energy(), progress.stretches())
                found.append(Seen(f"job {seed}", name, until_s, *about, job.steps, job.energy_j))
    return found


def scored(rows: Iterable[Seen], quantity: str) -> list[Score]:
    found = []
    for row in rows:
        made = row.predicted()
        low, high = made.interval()
        found.append(
            Score(
                *(row.job, row.horizon, quantity, row.seen_s),
                *(made.value, low, high, row.truth, made.spent),
            )
        )
    return found


def plausible(held: int, of: int, level: float = LEVEL) -> bool:
    """Whether so many held are what 95 % of intervals of that *level* would give (binomial)."""
    chances = [math.comb(of, k) * level**k * (1 - level) ** (of - k) for k in range(of + 1)]
    this = chances[held]
    return math.fsum(c for c in chances if c <= this * (1 + 1e-9)) >= 0.05


# --- fitting ------------------------------------------------------------------------------------


def fit(rows: Sequence[Seen]) -> tuple[float, float]:
    """Spreads of drifts whose intervals are narrowest while both horizons keep their word."""
    best, found = math.inf, (DRIFT_RATIO, CHANGE_RATIO)
    for drift in DRIFTS:
        for change in CHANGES:
            widths = []
            for horizon in ("probe", "tenth"):
                made = [(r, r.predicted(drift, change)) for r in rows if r.horizon == horizon]
                ends = [(r.truth, *o.interval()) for r, o in made]
                if sum(low <= truth <= high for truth, low, high in ends) < LEVEL * len(ends):
                    break
                widths.append(statistics.median(math.log(h / low) for _, low, h in ends))
            if len(widths) == 2 and sum(widths) < best:
                best, found = sum(widths), (drift, change)
    return found


# --- here ---------------------------------------------------------------------------------------


def kept() -> list[Score]:
    """Scores of real trainings that were measured before."""
    if not KEPT.is_file():
        return []
    with KEPT.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Score(r["job"], r["horizon"], r["quantity"], *(float(r[n]) for n in NUMBERS)) for r in rows
    ]


NUMBERS: Final = ("seen_s", "predicted", "low", "high", "truth", "spent")


def keep(scores: Iterable[Score]) -> None:
    """Write *scores* in place of older ones of the same jobs."""
    new = list(scores)
    jobs = {row.job for row in new}
    rows = [row for row in kept() if row.job not in jobs] + new
    with KEPT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Score._fields)
        for row in rows:
            writer.writerow([*row[:3], *(f"{number:.5g}" for number in row[3:])])


# --- neighbours ---------------------------------------------------------------------------------


def trainings(scores: Iterable[Score], quantity: str = "CPU time") -> list[Score]:
    """Those of the varied trainings here, without the doubt by neighbours."""
    return [s for s in scores if s.job.startswith("training") and s.quantity == quantity]


def widened(score: Score, neighbours_ratio: float) -> Score:
    """*score* with the doubt by neighbours in its interval, as `remaining.outlook` adds it."""
    left = score.predicted - score.spent
    far = math.exp(NORMAL_95 * math.sqrt(math.log1p(_variance(score) + neighbours_ratio**2)))
    return score._replace(low=score.spent + left / far, high=score.spent + left * far)


def neighbours_needed(score: Score) -> float:
    """Least doubt by neighbours with which the interval of *score* holds the truth."""
    off = math.log((score.truth - score.spent) / (score.predicted - score.spent)) / NORMAL_95
    return math.sqrt(max(0.0, math.expm1(off**2) - _variance(score)))


def _variance(score: Score) -> float:
    """Square of the relative deviation of what was to come, as its interval has it."""
    far = (score.high - score.spent) / (score.predicted - score.spent)
    return math.expm1((math.log(far) / NORMAL_95) ** 2)


def fitted_neighbours(scores: Sequence[Score]) -> float:
    """Doubt by neighbours that would have held nine in ten of *scores*, and of one more.

    Notes
    -----
    The ``ceil(0.9 (n + 1))``-th smallest of those needed (Lei et al. 2018, Distribution-free
    predictive inference for regression, section 2.2).
    """
    needed = sorted(map(neighbours_needed, scores))
    return needed[min(len(needed), math.ceil(LEVEL * (len(needed) + 1))) - 1]


def by_the_others(scores: Sequence[Score]) -> list[Score]:
    """Each of *scores* with the doubt by neighbours that the others ask for."""
    return [
        widened(score, fitted_neighbours([other for other in scores if other is not score]))
        for score in scores
    ]


# --- the page -----------------------------------------------------------------------------------


def table(scores: Sequence[Score]) -> list[str]:
    """Errors and coverage by horizon, as lines of a table."""
    lines = [
        "| seen | predictions | median error | nine in ten within | worst | intervals hold |"
        " width, median |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for horizon, words in (("probe", "30 s"), ("tenth", "a tenth of the steps")):
        rows = [row for row in scores if row.horizon == horizon]
        if not rows:
            continue
        errors = sorted(abs(row.error_ratio) for row in rows)
        held = sum(row.held for row in rows)
        width = statistics.median(row.high / row.low for row in rows)
        lines.append(
            f"| {words} | {len(rows)} | {100 * statistics.median(errors):.1f} % |"
            f" {100 * errors[math.ceil(0.9 * len(errors)) - 1]:.1f} % |"
            f" {100 * errors[-1]:.1f} % | {held} of {len(rows)} | {width:.3f} |"
        )
    return lines


def jobs_table(scores: Sequence[Score]) -> list[str]:
    lines = [
        "| training | seen | predicted | interval, 9 in 10 | it was | off by |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {s.job} | {s.seen_s:.0f} s | {s.predicted:.0f} s | {s.low:.0f} – {s.high:.0f} s |"
        f" {s.truth:.0f} s | {100 * s.error_ratio:+.1f} % |"
        for s in scores
    ]
    return lines


def write_page(fake: Sequence[Score], real: Sequence[Score]) -> None:
    ten = [s for s in real if s.job.startswith("ten minutes") and s.quantity == "CPU time"]
    many = trainings(real, "CPU time")
    shipped = [widened(s, NEIGHBOURS_RATIO) for s in trainings(real, "modelled energy")]
    none = ["Not measured here yet."]
    tables = {
        "fake": table(fake),
        "real": table(by_the_others(many)) if len(many) > 1 else none,
        "bare": table(many) if many else none,
        "modelled": table(shipped) if shipped else none,
        "ten": jobs_table([widened(s, NEIGHBOURS_RATIO) for s in ten]) if ten else none,
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in tables.items():
        begin, end = f"<!-- {name}: made by benchmarks/probing.py -->", f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        _, tail = rest.split(end)
        text = "\n".join([head + begin, "", *lines, "", end + tail])
    PAGE.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Score probes and forecasts.")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--fit-here", action="store_true")
    parser.add_argument("--real", type=int, default=0, metavar="N")
    parser.add_argument("--first", type=int, default=0, help="number of the first real training")
    parser.add_argument("--ten", action="store_true")
    given = parser.parse_args()
    if given.fit:
        drift, change = fit(on_fake_machine(FITTED))
        print(f"DRIFT_RATIO {drift}, CHANGE_RATIO {change}")
        return 0
    if given.fit_here:
        many = trainings(kept())
        print(f"NEIGHBOURS_RATIO {fitted_neighbours(many):.3f} of {len(many)} trainings")
        return 0
    if given.real or given.ten:
        from benchmarks import probing_here

        if given.ten:
            keep(probing_here.ten_minutes())
        for number in range(given.first, given.first + given.real):
            keep(probing_here.varied_training(number))
    fake = scored(on_fake_machine(SCORED), "energy")
    write_page(fake, kept())
    print("\n".join(table(fake)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
