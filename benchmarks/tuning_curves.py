# SPDX-License-Identifier: Apache-2.0
"""Record what settings of the examples use and reach: benchmarks/data/tuning_curves.csv.

``python -m benchmarks.tuning_curves digits --seeds 2 3`` (or ``language``): three and a half
minutes of CPU time a seed for digits, seven for the language model.

Each setting is trained by one thread, in this process; a row is what it had used and reached when
it logged its metric. What is used is CPU time, which is what the meter goes by on a machine
without counters, and which neighbours on the machine disturb less than joules. Importing and
reading the data is counted once, and added to each. Epochs of the digits are not trained apart:
the rate falls by the epoch, so that a shorter training is the beginning of a longer one.

The first setting of each is the default: what PyTorch publishes for digits
(examples/digits_widths.py), what nanoGPT publishes for a processor (rows of 12, 64 bytes each,
2000 steps, a rate of 1e-3) [1].

[1] Karpathy (2022), nanoGPT, README.md, "i only have a macbook".
"""

import argparse
import csv
import importlib
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import submeter

ROOT = Path(__file__).resolve().parents[1]
CURVES = ROOT / "benchmarks" / "data" / "tuning_curves.csv"
COLUMNS = ("example", "setting", "seed", "cpu_s", "metric")
Setting = Mapping[str, str]

# Choices of each example, the default first.
SPACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "digits": {
        "batch": ("64", "128", "256"),
        "lr": ("1.0", "2.0", "0.3"),
        "width": ("32", "16", "8"),
        "epochs": ("14", "10", "7", "5", "3"),
    },
    "language": {
        "batch": ("12", "8", "4"),
        "lr": ("1e-3", "4e-3", "2e-3"),
        "steps": ("2000", "1000", "500"),
    },
}
METRICS = {"digits": "accuracy", "language": "held_out_loss"}
PREFIXES = {"digits": "epochs"}  # a shorter training is the beginning of a longer one


EXAMPLES = {"digits": "examples.digits_widths", "language": "examples.language_model"}
FIXED = {
    "digits": ("--threads", "1"),
    "language": (
        "--threads",
        "1",
        "--params",
        "0.1M",
        "--context",
        "64",
        "--evaluate-every",
        "50",
    ),
}


def settings(example: str) -> list[Setting]:
    """Settings that are trained, the default first, whole grids of the first choices next."""
    space = dict(SPACES[example])
    if example in PREFIXES:
        space[PREFIXES[example]] = space[PREFIXES[example]][:1]

    def last(row: tuple[str, ...]) -> int:
        return max(space[k].index(v) for k, v in zip(space, row, strict=True) if k != "steps")

    rows = sorted(itertools.product(*space.values()), key=last)
    return [dict(zip(space, row, strict=True)) for row in rows]


def told(setting: Setting) -> str:
    """``batch=64 lr=1.0``."""
    return " ".join(f"{k}={v}" for k, v in setting.items())


def rows_of(path: Path = CURVES) -> list[dict[str, str]]:
    """What was recorded."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def record(example: str, setting: Setting, seed: int) -> Iterator[dict[str, object]]:
    """Rows of one training."""
    rows: list[tuple[float, float]] = []
    metric = METRICS[example]

    def log(**values: Any) -> None:
        if metric in values:
            rows.append((time.process_time(), float(values[metric])))

    started_s = time.process_time()
    logged, submeter.log = submeter.log, log
    try:
        words = [w for k, v in setting.items() for w in (f"--{k}", v)]
        importlib.import_module(EXAMPLES[example]).main(
            [*FIXED[example], "--seed", str(seed), *words]
        )
    finally:
        submeter.log = logged
    for at_s, value in rows:
        yield {
            "example": example, "setting": told(setting), "seed": seed,
            "cpu_s": f"{at_s - started_s:.3f}", "metric": f"{value:.5g}",
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Record settings of the examples.")
    parser.add_argument("example", choices=sorted(SPACES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument("--output", type=Path, default=CURVES)
    given = parser.parse_args()
    new = not given.output.exists()
    rows = [] if new else [r for r in rows_of(given.output) if r["example"] == given.example]
    done = {(r["setting"], int(r["seed"])) for r in rows}
    with given.output.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        importlib.import_module(EXAMPLES[given.example])
        import_s = f"{time.process_time():.3f}"
        for seed, setting in itertools.product(given.seeds, settings(given.example)):
            if ("import", seed) not in done:
                done.add(("import", seed))
                words = (given.example, "import", seed, import_s, "")
                writer.writerow(dict(zip(COLUMNS, words, strict=True)))
            if (told(setting), seed) in done:
                continue
            writer.writerows(record(given.example, setting, seed))
            file.flush()
            print(f"{given.example} {seed} {setting}", flush=True)


if __name__ == "__main__":
    main()
