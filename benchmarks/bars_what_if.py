# SPDX-License-Identifier: Apache-2.0
"""Bars of estimating before a run: what it costs, what stands beside it, what it refuses."""

import re

from benchmarks import what_if
from benchmarks.outcomes import ROOT, Bar, Options, Outcome, absent, have, run_tests

PAGE = ROOT / "docs" / "estimating.md"
STEPS, TRAININGS = 8, 5


def description(options: Options) -> Outcome:
    del options
    found = what_if.description()
    return Outcome(
        f"{found.processor_s:.2f} s of processor, {found.wall_s:.2f} s", found.processor_s <= 0.3
    )


def points(options: Options) -> Outcome:
    del options
    made = {
        "curve": what_if.points(f"params=1e8..1e11:{what_if.POINTS}"),
        "product": what_if.points(what_if.PRODUCT),
    }
    figure = "; ".join(f"{n}: {s.processor_s:.2f} s of processor" for n, s in made.items())
    return Outcome(figure, all(s.processor_s <= 1 for s in made.values()))


def beside(options: Options) -> Outcome:
    """The tables that fit_training writes, read as they stand."""
    del options
    text = PAGE.read_text(encoding="utf-8")
    steps = _errors(text, "### The eight published steps", column=-1)
    trainings = _errors(text, "### The five trainings", column=-2)
    figure = (
        f"{len(steps)} steps, off by {_middle(steps):.0f} % in the median; {len(trainings)} "
        f"trainings, off by {_middle(trainings):.0f} % from a description alone"
    )
    return Outcome(figure, (len(steps), len(trainings)) == (STEPS, TRAININGS))


def nonsense(options: Options) -> Outcome:
    del options
    if not have("torch"):
        return absent("torch is not installed")
    done = run_tests(["tests/cli", "-k", "estimate and nonsense"])
    return absent("pytest wrote no report") if done is None else done.outcome


def _errors(text: str, heading: str, *, column: int) -> list[float]:
    """Absolute errors in per cent of the first table below *heading*."""
    rows = [
        line
        for line in text.partition(heading)[2].partition("\n###")[0].splitlines()
        if line.startswith("| ") and "---" not in line
    ][1:]
    cells = [row.strip("| ").split(" | ")[column] for row in rows]
    found = [re.search(r"[+−-]\d+", cell) for cell in cells]
    return [abs(float(m[0].replace("−", "-"))) for m in found if m]


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


BARS = (
    Bar("an estimate from a description: ≤ 0.3 s, whole process", description),
    Bar("10 000 what-if points: ≤ 1 s", points),
    Bar("eight published step times and five of LLMCarbon stand beside ours", beside),
    Bar("nonsense gives the right reading, stated, or one clear error", nonsense),
)
