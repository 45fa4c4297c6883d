# SPDX-License-Identifier: Apache-2.0
"""Does the meter slow a training down? Interleaved blocks of real steps with and without it.

python -m benchmarks.overhead [--pairs 80] [--block-s 0.3]
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import submeter
from benchmarks.budgets import variables
from benchmarks.pairs import SlowDown, interleave, slow_down

Step = Callable[[], None]


def digits_step(*, batch: int = 512, hidden: int = 256) -> Step:
    """One optimiser step of a network on the handwritten digits, some ten milliseconds long."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    classes = np.unique(labels)
    make: Any = MLPClassifier
    network = make((hidden, hidden), random_state=7, batch_size=batch)
    chance = np.random.default_rng(7)

    def step() -> None:
        with submeter.phase("load"):
            rows = chance.integers(0, len(images), batch)
        with submeter.phase("train"):
            network.partial_fit(images[rows], labels[rows], classes=classes)

    return step


class PerStep(NamedTuple):
    """Mean time of a step: on the wall, and of the training process's own CPU."""

    wall_s: float
    cpu_s: float


class Overhead(NamedTuple):
    """What the meter adds to a step."""

    wall: SlowDown
    cpu: SlowDown

    def __str__(self) -> str:
        return f"{self.wall}; CPU time of the training itself: {self.cpu}"


def time_per_step(step: Step, block_s: float) -> PerStep:
    """Time of as many steps as fit into *block_s*."""
    cpu_s = time.process_time()
    start_s = now_s = time.perf_counter()
    steps = 0
    while now_s - start_s < block_s:
        step()
        steps += 1
        now_s = time.perf_counter()
    return PerStep((now_s - start_s) / steps, (time.process_time() - cpu_s) / steps)


def paired(step: Step, *, pairs: int, block_s: float, pause_s: float = 0.2) -> Overhead:
    """Slow-down of *step* by a meter that is on, its start and stop not counted."""

    def off() -> PerStep:
        time.sleep(pause_s)  # let a collector of the block before finish its ledger entry
        return time_per_step(step, block_s)

    def on() -> PerStep:
        with submeter.measure("overhead"):
            time.sleep(pause_s)
            return time_per_step(step, block_s)

    time_per_step(step, block_s)  # warm caches, pools and clocks
    with_it, without = interleave(on, off, pairs=pairs)
    return Overhead(
        slow_down([b.wall_s for b in with_it], [b.wall_s for b in without]),
        slow_down([b.cpu_s for b in with_it], [b.cpu_s for b in without]),
    )


def measured_on_digits(*, pairs: int, block_s: float) -> Overhead:
    """The paired comparison in a home of its own, so that no run of the user is touched."""
    from threadpoolctl import threadpool_limits

    with (
        tempfile.TemporaryDirectory(prefix="submeter-overhead-") as home,
        variables({"SUBMETER_HOME": home}),
        threadpool_limits(1),  # threads that spin for each other would drown what is looked for
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error", submeter_warning())
        return paired(digits_step(), pairs=pairs, block_s=block_s)


def submeter_warning() -> type[Warning]:
    """A block that was not metered must not pass as one that was."""
    from submeter.errors import JoinWarning

    return JoinWarning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=80)
    parser.add_argument("--block-s", type=float, default=0.3)
    options = parser.parse_args()
    print(measured_on_digits(pairs=options.pairs, block_s=options.block_s))


if __name__ == "__main__":
    main()
