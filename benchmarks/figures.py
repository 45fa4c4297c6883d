# SPDX-License-Identifier: Apache-2.0
"""Make each table and picture of the documentation anew: `make figures DATA=...`.

What needs an input that is not here is named and left as it is.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Maker(NamedTuple):
    """A script, what it makes, and what it wants."""

    module: str
    makes: str
    takes_data: bool = False


MAKERS = (
    Maker("benchmarks.fit_cpu", "docs/accuracy-cpu.md: processor models", takes_data=True),
    Maker("benchmarks.accuracy", "docs/accuracy.md: errors on machines with known energy"),
    Maker("benchmarks.intervals", "docs/intervals.md: intervals against Monte-Carlo"),
    Maker("benchmarks.fit_training", "docs/estimating.md: priors of trainings", takes_data=True),
    Maker("benchmarks.what_if", "docs/what-if.md: examples of comparisons"),
    Maker("benchmarks.comparing", "docs/comparing.md: examples, and how often it errs"),
    Maker("benchmarks.probing", "docs/probing.md: probes and forecasts against the end"),
    Maker("benchmarks.fleets", "docs/fleets.md: a thousand jobs, timed", takes_data=True),
    Maker("benchmarks.published", "docs/published.md: runs of others, reckoned", takes_data=True),
    Maker("benchmarks.planning", "docs/planning-method.md: time to plan a job", takes_data=True),
    Maker("benchmarks.backtests", "docs/backtests.md: waiting, back-tested", takes_data=True),
    Maker("benchmarks.pausing", "docs/waiting.md: a training that is paused and resumed"),
    Maker("benchmarks.proving", "docs/proving.md: how often the prover errs"),
    Maker(
        "benchmarks.power_limit", "docs/power-limit.md: limits on known curves", takes_data=True
    ),
    Maker("benchmarks.explaining", "docs/explaining.md: trees against the truth, and an example"),
    Maker("benchmarks.layers", "docs/layers.md: layers against layers alone, from what is kept"),
    Maker("benchmarks.tuning", "docs/tuning.md: searches with and without pruning"),
    Maker("benchmarks.tuning_example", "docs/tuning.md: one search, as it went"),
    Maker("benchmarks.actuator", "docs/power-limit.md: a search on a fake board"),
    Maker("benchmarks.techniques", "docs/techniques.md: from what --measure stored"),
    Maker("benchmarks.wasteful", "docs/waste.md: planted and found waste, from what was stored"),
    Maker("benchmarks.everyday", "docs/everyday.md: from what --measure kept"),
    Maker("benchmarks.claims", "docs/claims: public claims, executed"),
    Maker("benchmarks.examples", "docs/examples: what the worked examples print"),
    Maker("benchmarks.plan_honesty", "docs/planning.md: plans by profiles", takes_data=True),
    Maker("benchmarks.planning_page", "docs/planning.md: what its commands print"),
    Maker("benchmarks.readme_picture", "docs/terminal.svg and its place in the README"),
)


def make(maker: Maker, data: Path) -> bool:
    """Run *maker*; False if it failed, True if it succeeded or has to be left out."""
    if importlib.util.find_spec(maker.module) is None:
        print(f"left out: {maker.makes} ({maker.module} is not in this checkout)")
        return True
    extra = ["--data", str(data)] if maker.takes_data and data.is_dir() else []
    without = (
        f" (from the reduced tables here: no {data})" if maker.takes_data and not extra else ""
    )
    print(f"making:   {maker.makes}{without}", flush=True)
    done = subprocess.run([sys.executable, "-m", maker.module, *extra], cwd=ROOT, check=False)
    if done.returncode:
        print(f"failed:   {maker.module} ended with {done.returncode}")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the figures of the documentation.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    made = [make(maker, options.data.resolve()) for maker in MAKERS]
    return 0 if all(made) else 1


if __name__ == "__main__":
    sys.exit(main())
