# SPDX-License-Identifier: Apache-2.0
"""Record what settings of the examples use and reach: benchmarks/data/tuning_curves.csv.

``python -m benchmarks.tuning_curves digits`` (or ``language``), about ten minutes each.

Each setting is trained once, as ``submeter tune`` would: a metered run that is looked at twice a
second. A row is what was known at such a look: energy of the node so far, time, and the metric
that was logged last; the last row of a setting has what it used in all, with the CPU time of all
its processes. Epochs of the digits are not trained apart: the rate falls by the epoch, so that a
shorter training is the beginning of a longer one.

The first setting of each is the default: what PyTorch publishes for digits
(examples/digits_cnn.py), what nanoGPT publishes for a processor (rows of 12, 64 bytes each, 2000
steps, a rate of 1e-3) [1].

[1] Karpathy (2022), nanoGPT, README.md, "i only have a macbook".
"""

import argparse
import csv
import itertools
import os
import random
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from submeter.accounting.boundaries import footprint
from submeter.records.amounts import Amount
from submeter.records.runs import Run
from submeter.running.trials import SoFar, metered

ROOT = Path(__file__).resolve().parents[1]
CURVES = ROOT / "benchmarks" / "data" / "tuning_curves.csv"
COLUMNS = ("example", "setting", "seed", "energy_j", "time_s", "cpu_s", "metric", "last")
Setting = Mapping[str, str]

# Choices of each example, the default first.
SPACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "digits": {
        "batch": ("64", "128", "256"),
        "lr": ("1.0", "0.3", "2.0"),
        "width": ("32", "16", "8"),
        "epochs": ("14", "10", "7", "5", "3"),
    },
    "language": {
        "batch": ("12", "8", "4"),
        "lr": ("1e-3", "2e-3", "4e-3"),
        "steps": ("2000", "1000", "500"),
    },
}
METRICS = {"digits": "accuracy", "language": "held_out_loss"}
PREFIXES = {"digits": "epochs"}  # a shorter training is the beginning of a longer one


def command(example: str, setting: Setting, seed: int) -> list[str]:
    """What is run."""
    script = {"digits": "digits_cnn.py", "language": "language_model.py"}[example]
    words = [sys.executable, str(ROOT / "examples" / script), "--threads", "1"]
    words += ["--seed", str(seed)]
    if example == "language":
        words += ["--params", "0.1M", "--context", "64", "--evaluate-every", "50"]
    return [*words, *(w for k, v in setting.items() for w in (f"--{k}", v))]


def settings(example: str) -> list[Setting]:
    """Settings that are trained, the default first, the others in a mixed order."""
    space = dict(SPACES[example])
    if example in PREFIXES:
        space[PREFIXES[example]] = space[PREFIXES[example]][:1]
    default, *others = (
        dict(zip(space, row, strict=True)) for row in itertools.product(*space.values())
    )
    random.Random(0).shuffle(others)
    return [default, *others]


def node_j(run: Run) -> float:
    """Energy of the node so far [J]."""
    node = footprint(run, 1.0).node
    return node.value if isinstance(node, Amount) else 0.0


def record(example: str, setting: Setting, seed: int, number: int) -> Iterator[dict[str, object]]:
    """Rows of one training."""
    looks: list[SoFar] = []

    def watch(so_far: SoFar) -> bool:
        looks.append(so_far)
        return True

    before_s = cpu_s()
    with tempfile.TemporaryDirectory() as folder:
        trial = metered(
            command(example, setting, seed), key=f"{example}/{seed}/{number}",
            output=Path(folder) / "said.log", watch=watch,
        )  # fmt: skip
    if not isinstance(trial.run, Run) or trial.exit_code:
        raise SystemExit(f"{setting} ended with {trial.exit_code}: {trial.run}")
    rows = [(s.run, s.metrics, 0.0, 0) for s in looks]
    for run, metrics, used_s, last in [*rows, (trial.run, trial.metrics, cpu_s() - before_s, 1)]:
        metric = metrics.get(METRICS[example])
        yield {
            "example": example, "setting": " ".join(f"{k}={v}" for k, v in setting.items()),
            "seed": seed, "energy_j": f"{node_j(run):.3f}", "time_s": f"{run.duration_s:.2f}",
            "cpu_s": f"{used_s:.2f}" if last else "", "last": last,
            "metric": "" if metric is None else f"{metric:.5g}",
        }  # fmt: skip


def cpu_s() -> float:
    """CPU time of all processes that were started and have ended [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="Record settings of the examples.")
    parser.add_argument("example", choices=sorted(SPACES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=CURVES)
    given = parser.parse_args()
    new = not given.output.exists()
    with tempfile.TemporaryDirectory() as home, given.output.open("a", newline="") as file:
        os.environ["SUBMETER_HOME"] = home
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for seed, (number, setting) in itertools.product(
            range(1, given.seeds + 1), enumerate(settings(given.example))
        ):
            writer.writerows(record(given.example, setting, seed, number))
            file.flush()
            print(f"{given.example} {seed} {setting}", flush=True)


if __name__ == "__main__":
    main()
