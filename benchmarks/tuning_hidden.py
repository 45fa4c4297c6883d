# SPDX-License-Identifier: Apache-2.0
"""Searches on fake machines whose power hangs on the setting, which only the meter tells.

``python -m benchmarks.tuning_hidden [--json]``

Ten machines, each with hidden powers, speeds and qualities of its own. What a trial has used by
each look is read by the real sensors off the machine's counters and settled by the real rules; the
search is the real one. It has to find what uses least of all settings, each run to its end.
"""

import argparse
import json
import math
import random
import statistics
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks import rig
from submeter.accounting.boundaries import footprint
from submeter.records.amounts import Amount
from submeter.records.runs import Run
from submeter.records.searches import SearchTrial
from submeter.reducing.findings import recommended
from submeter.reducing.quality import parse_condition
from submeter.reducing.spaces import Value, parse_space
from submeter.reducing.studies import open_study
from submeter.reducing.tuning import GoesOn, Outcome, Searching, Task, default_setting
from submeter.running.reckoning import reckoned
from submeter.testing import FakeMachine, constant

MACHINES = range(10)
LOOKS = 10
SETS = ("batch=16,32,64,128", "amp=none,bf16", "lr=0.001,0.003,0.01,0.03", "steps=2000,1000,500")
KEEP = "accuracy ± 1%"


class Truth(NamedTuple):
    """What nobody is told."""

    power_w: float
    start_s: float
    time_s: float  # of the steps
    score: float


class Hidden:
    """One machine, and a training on it."""

    def __init__(self, seed: int, folder: Path) -> None:
        rng = random.Random(1000 + seed)  # noqa: S311  # no secret
        self._idle_w = rng.uniform(20, 120)
        self._busy_w = rng.uniform(10, 50)  # for each doubling of the batch
        self._half_w, self._half = rng.uniform(-10, 40), rng.uniform(1.0, 2.2)
        self._gain = rng.uniform(0.3, 0.8)
        self._best_lr, self._best_batch = rng.uniform(-2.7, -1.7), rng.uniform(0.0, 2.0)
        self._start_s, self._steps_s = rng.uniform(1, 8), rng.uniform(30, 90)
        self._noise, self._seed, self._folder = rng.uniform(0.0, 0.002), seed, folder
        self._runs: dict[tuple[tuple[tuple[str, Value], ...], int], Run] = {}

    def truth(self, settings: Mapping[str, Value]) -> Truth:
        """Power [W], times [s] and quality of *settings*."""
        doubled = math.log2(int(settings["batch"]) / 16)
        half = settings["amp"] == "bf16"
        power_w = self._idle_w + self._busy_w * (1 + doubled) + self._half_w * half
        each = (1 / (1 + self._gain * doubled)) / (self._half if half else 1.0)
        steps = int(settings["steps"]) / 2000
        off = abs(math.log10(float(settings["lr"])) - self._best_lr)
        error = 0.04 + 0.05 * off**2 + 0.006 * (doubled - self._best_batch) ** 2
        chance = random.Random(str((self._seed, sorted(settings.items()))))  # noqa: S311
        score = 1 - error * steps**-0.25 + chance.gauss(0, self._noise)
        return Truth(power_w, self._start_s, self._steps_s * steps * each, score)

    def run_to(self, settings: Mapping[str, Value], look: int) -> Run:
        """Run as it is metered by that look."""
        key = tuple(settings.items()), look
        if key not in self._runs:
            truth = self.truth(settings)
            length_s = truth.start_s + truth.time_s * look / LOOKS
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                machine = FakeMachine(Path(folder) / "machine")
                machine.add_package(constant(truth.power_w), start_uj=0)
                self._runs[key] = rig.metered(
                    machine, start_s=1.0, length_s=length_s, interval_s=length_s / 4, closely=False
                )
                machine.close()
        return self._runs[key]

    def run_one(self, settings: Mapping[str, Value], goes_on: GoesOn, looks: int) -> Outcome:
        """A trial: ends as it must, or where it is stopped at one of its first *looks*."""
        truth = self.truth(settings)
        for look in range(1, looks + 1):
            part = look / LOOKS
            reached = truth.score * (1 - math.exp(-5 * part)) / (1 - math.exp(-5))
            run = self.run_to(settings, look)
            if goes_on(node_j(run), run.duration_s, {"accuracy": reached}, part):
                return outcome(run, "stopped", reached)
        return outcome(self.run_to(settings, LOOKS), "finished", truth.score)


def node_j(run: Run) -> float:
    """Energy of the node, as the meter has it [J]."""
    node = footprint(run, 1.0).node
    assert isinstance(node, Amount)
    return node.value


def outcome(run: Run, state: str, accuracy: float) -> Outcome:
    facility = reckoned(run).facility
    assert isinstance(facility, Amount)
    return Outcome(
        state=state, energy=facility.figure("J"), node_j=node_j(run),  # type: ignore[arg-type]
        duration_s=run.duration_s, metrics={"accuracy": accuracy},
    )  # fmt: skip


class Found(NamedTuple):
    """Over all machines."""

    searches: int
    same: int  # found the setting that uses least of all that were let run to their end
    more_ratio: float  # by how much what it found uses more, mean
    spent_ratio: float  # with pruning over without, mean
    spent_ratio_most: float
    ratios: list[float]


def searched(hidden: Hidden, seed: int, path: Path, *, prune: bool) -> list[SearchTrial]:
    """One search."""
    space = parse_space(SETS)
    task = Task(
        space=space, default=default_setting(space, {}), conditions=(parse_condition(KEEP),),
        trials=math.prod(len(d.choices) for d in space), seed=seed, prune=prune,
    )  # fmt: skip
    looks = LOOKS - 1 if prune else 0
    study = open_study("s", task, path)
    return Searching(task, study, lambda _, s, g: hidden.run_one(s, g, looks)).go()


@cache
def found() -> Found:
    """Search each machine with and without pruning."""
    same, more, ratios = 0, [], []
    memory = Path("/dev/shm")  # noqa: S108  # the disk is not what is measured
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        for seed in MACHINES:
            hidden = Hidden(seed, Path(folder))
            pruned, whole = (
                searched(hidden, seed, Path(folder) / f"{seed}-{prune}.log", prune=prune)
                for prune in (True, False)
            )
            ratios.append(sum(t.energy_j for t in pruned) / sum(t.energy_j for t in whole))
            best, least = recommended(pruned), recommended(whole)
            assert best is not None
            assert least is not None
            more.append(best.energy_j / least.energy_j - 1)
            same += math.isclose(best.energy_j, least.energy_j, rel_tol=1e-9)
    mean = statistics.fmean(more)
    return Found(len(ratios), same, mean, statistics.fmean(ratios), max(ratios), ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description="Search fake machines with hidden power.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    f = found()
    print(json.dumps(f._asdict(), indent=1) if given.json else f)


if __name__ == "__main__":
    main()
