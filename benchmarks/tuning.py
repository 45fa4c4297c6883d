# SPDX-License-Identifier: Apache-2.0
"""Searches replayed on recorded trainings, with and without pruning: docs/tuning.md.

``python -m benchmarks.tuning [--json]``

The trainings are those of benchmarks/tuning_curves.py; the searches are the real ones, with the
real Optuna, and only what would have been run is looked up. Ten seeds, which order the proposals;
each is searched twice, once with and once without pruning (paired). What is used is CPU time.

The rules for stopping were made, and their constants chosen, on trainings of some seeds
(`DEVELOPED`); those that are scored (`SCORED`) differ in weights, order of the data and what is
held out, and no search had been replayed on them before.
"""

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks.outcomes import ROOT
from benchmarks.tuning_curves import PREFIXES, SPACES, rows_of
from submeter.records.figures import Figure
from submeter.reducing.findings import recommended
from submeter.reducing.quality import parse_condition
from submeter.reducing.spaces import Dimension, Value, parse_space
from submeter.reducing.studies import open_study
from submeter.reducing.tuning import GoesOn, Outcome, Searching, Task

PAGE = ROOT / "docs" / "tuning.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
SEEDS = range(10)
DEVELOPED = {"digits": (1, 2, 3), "language": (1, 2)}
SCORED = {"digits": (4,), "language": (3,)}
KEEP = {"digits": "accuracy ± 0.003", "language": "held_out_loss ± 1%"}
METRIC = {"digits": "accuracy", "language": "held_out_loss"}
TITLE = {"digits": "digits, convolutional", "language": "language model, 0.1 M"}
Key = tuple[tuple[str, str], ...]


class Course(NamedTuple):
    """What a setting had used [CPU s] whenever it logged its metric, and the metric."""

    points: list[tuple[float, float]]

    @property
    def cpu_s(self) -> float:
        """CPU time in all."""
        return self.points[-1][0]


@cache
def courses(example: str, training: int) -> dict[Key, Course]:
    """Recorded trainings by setting, shorter ones that are a beginning of a longer one too."""
    rows = [r for r in rows_of() if (r["example"], r["seed"]) == (example, str(training))]
    import_s = float(next(r["cpu_s"] for r in rows if r["setting"] == "import"))
    found: dict[Key, Course] = {}
    for name, group in itertools.groupby(rows, lambda r: r["setting"]):
        if name == "import":
            continue
        setting = dict(word.split("=") for word in name.split())
        points = [(import_s + float(r["cpu_s"]), float(r["metric"])) for r in group]
        found[tuple(setting.items())] = Course(points)
        if example in PREFIXES:
            key = PREFIXES[example]
            for length in SPACES[example][key]:
                shorter = {**setting, key: length}
                found[tuple(shorter.items())] = Course(points[: int(length)])
    return found


def space(example: str, training: int) -> tuple[Dimension, ...]:
    """Choices of which all combinations were recorded."""
    keys = [dict(k) for k in courses(example, training)]
    return parse_space(
        [
            f"{name}={','.join(v for v in values if any(k[name] == v for k in keys))}"
            for name, values in SPACES[example].items()
        ]
    )


def task(example: str, training: int, seed: int, *, prune: bool) -> Task:
    """The search that is replayed."""
    dimensions = space(example, training)
    return Task(
        space=dimensions,
        default={d.name: d.choices[0] for d in dimensions},
        conditions=(parse_condition(KEEP[example]),),
        trials=len(courses(example, training)),
        seed=seed,
        prune=prune,
    )


def replayed(
    example: str, training: int, settings: Mapping[str, Value], goes_on: GoesOn
) -> Outcome:
    """A trial that was recorded: ends as it did, or where it is stopped."""
    course = courses(example, training)[tuple((k, str(v)) for k, v in settings.items())]
    state, used_s, metrics = "finished", course.cpu_s, {METRIC[example]: course.points[-1][1]}
    for number, (at_s, value) in enumerate(course.points[:-1], 1):
        if goes_on(at_s, at_s, {METRIC[example]: value}, number / len(course.points)):
            state, used_s, metrics = "stopped", at_s, {METRIC[example]: value}
            break
    energy = Figure(used_s, used_s, used_s, "J", source="CPU time of a recorded training")
    return Outcome(
        state=state, energy=energy, node_j=used_s, duration_s=used_s,  # type: ignore[arg-type]
        metrics=metrics,
    )  # fmt: skip


class Searched(NamedTuple):
    """What came of one search."""

    spent_s: float
    best_s: float
    best: str
    quality: float
    begun: int
    finished: int


@cache
def searched(example: str, training: int, seed: int, *, prune: bool) -> Searched:
    """One search, from the first trial to the last."""
    memory = Path("/dev/shm")  # noqa: S108  # the disk is not what is measured
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        asked = task(example, training, seed, prune=prune)
        study = open_study("s", asked, Path(folder) / "study.log")
        trials = Searching(asked, study, lambda _, s, g: replayed(example, training, s, g)).go()
    best = recommended(trials)
    assert best is not None
    return Searched(
        sum(t.energy_j for t in trials),
        best.energy_j,
        " ".join(f"{k}={v}" for k, v in best.settings.items()),
        best.metrics[METRIC[example]],
        sum(t.energy_j > 0 for t in trials),
        sum(t.state == "finished" for t in trials),
    )


class Found(NamedTuple):
    """An example, over all seeds."""

    settings: int
    default_s: float
    default_quality: float
    best: list[str]
    best_quality: list[float]
    best_ratio: float  # of the default's
    spent_ratio: float  # with pruning over without, mean of the pairs
    spent_ratio_most: float
    spent_s: float
    same_best: int  # seeds where both found a setting that uses the same
    more_ratio: float  # by how much that found with pruning uses more, mean of the pairs
    worst_ratio: float  # at most
    kept: int  # seeds where what was found keeps what is asked for
    begun: float  # trials, mean of the seeds
    finished: float


@cache
def found(example: str, training: int) -> Found:
    """Searches of ten seeds, with and without pruning."""
    pairs = [
        (
            searched(example, training, s, prune=True),
            searched(example, training, s, prune=False),
        )
        for s in SEEDS
    ]
    today = task(example, training, 0, prune=True).default
    default = courses(example, training)[tuple((k, str(v)) for k, v in today.items())]
    ratios = [a.spent_s / b.spent_s for a, b in pairs]
    return Found(
        settings=len(courses(example, training)),
        default_s=default.cpu_s,
        default_quality=default.points[-1][1],
        best=sorted({a.best for a, _ in pairs}),
        best_quality=sorted({a.quality for a, _ in pairs}),
        best_ratio=max(a.best_s for a, _ in pairs) / default.cpu_s,
        spent_ratio=statistics.fmean(ratios),
        spent_ratio_most=max(ratios),
        spent_s=statistics.fmean(a.spent_s for a, _ in pairs),
        same_best=sum(a.best_s == b.best_s for a, b in pairs),
        more_ratio=statistics.fmean(a.best_s / b.best_s for a, b in pairs) - 1,
        worst_ratio=max(a.best_s / b.best_s for a, b in pairs) - 1,
        kept=sum(keeps(example, a.quality, default.points[-1][1]) for a, _ in pairs),
        begun=statistics.fmean(a.begun for a, _ in pairs),
        finished=statistics.fmean(a.finished for a, _ in pairs),
    )


def keeps(example: str, quality: float, before: float) -> bool:
    """Whether *quality* is what was asked for, by the default's."""
    asked = parse_condition(KEEP[example])
    assert asked.margin is not None
    worse = (before - quality) * (1 if asked.higher_is_better else -1)
    return worse <= asked.margin * (before if asked.relative else 1.0)


def worse(f: Found) -> str:
    """By how much what was found with pruning uses more: mean, and at most."""
    return f"{100 * f.more_ratio:.1f} (≤ {100 * f.worst_ratio:.1f}) %" if f.worst_ratio else "–"


def tables() -> str:
    """The tables of the page."""
    lines = [
        "| | trainings of seed | settings | CPU time of the default [s] | of the setting found | "
        "search with over without pruning | most of ten seeds | same setting | "
        "uses more by | begun | finished |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = [(e, t) for e in SPACES for t in (*SCORED[e], *DEVELOPED[e])]
    for example, training in rows:
        f = found(example, training)
        known = " (rules made on it)" if training in DEVELOPED[example] else ""
        lines.append(
            f"| {TITLE[example]} | {training}{known} | {f.settings} | {f.default_s:.1f} "
            f"| {100 * f.best_ratio:.0f} % | "
            f"{100 * f.spent_ratio:.0f} % | {100 * f.spent_ratio_most:.0f} % | "
            f"{f.same_best} of {len(SEEDS)} | {worse(f)} | {f.begun:.0f} | {f.finished:.0f} |"
        )
    lines.append("")
    for example, training in rows:
        f = found(example, training)
        qualities = " or ".join(f"{q:.4g}" for q in f.best_quality)
        lines.append(
            f"- {TITLE[example]}, seed {training}: `{' or '.join(f.best)}`, {METRIC[example]} "
            f"{qualities} against {f.default_quality:.4g} of the default "
            f"(asked for: {KEEP[example]})."
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay searches on recorded trainings.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.json:
        seeds = {e: (*SCORED[e], *DEVELOPED[e]) for e in SPACES}
        rows = {f"{e} {t}": found(e, t)._asdict() for e in SPACES for t in seeds[e]}
        print(json.dumps(rows, indent=1))
        return
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}")
    print(tables())


if __name__ == "__main__":
    main()
