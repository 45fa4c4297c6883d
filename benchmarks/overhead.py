# SPDX-License-Identifier: Apache-2.0
"""Does the meter slow a training down? Interleaved blocks of real steps with and without it.

python -m benchmarks.overhead [--pairs 40] [--block-s 1.0]
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import submeter
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


def seconds_per_step(step: Step, block_s: float) -> float:
    """Mean wall time of as many steps as fit into *block_s*."""
    start_s = now_s = time.perf_counter()
    steps = 0
    while now_s - start_s < block_s:
        step()
        steps += 1
        now_s = time.perf_counter()
    return (now_s - start_s) / steps


def paired(step: Step, *, pairs: int, block_s: float, pause_s: float = 0.2) -> SlowDown:
    """Slow-down of *step* by a meter that is on, its start and stop not counted."""

    def off() -> float:
        time.sleep(pause_s)  # let a collector of the block before finish its ledger entry
        return seconds_per_step(step, block_s)

    def on() -> float:
        with submeter.measure("overhead"):
            time.sleep(pause_s)
            return seconds_per_step(step, block_s)

    seconds_per_step(step, block_s)  # warm caches, pools and clocks
    on_s, off_s = interleave(on, off, pairs=pairs)
    return slow_down(on_s, off_s)


def measured_on_digits(*, pairs: int, block_s: float) -> SlowDown:
    """The paired comparison in a home of its own, so that no run of the user is touched."""
    with tempfile.TemporaryDirectory(prefix="submeter-overhead-") as folder:
        before = os.environ.get("SUBMETER_HOME")
        os.environ["SUBMETER_HOME"] = str(Path(folder))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", submeter_warning())
                return paired(digits_step(), pairs=pairs, block_s=block_s)
        finally:
            if before is None:
                del os.environ["SUBMETER_HOME"]
            else:
                os.environ["SUBMETER_HOME"] = before


def submeter_warning() -> type[Warning]:
    """A block that was not metered must not pass as one that was."""
    from submeter.errors import JoinWarning

    return JoinWarning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--block-s", type=float, default=1.0)
    options = parser.parse_args()
    print(measured_on_digits(pairs=options.pairs, block_s=options.block_s))


if __name__ == "__main__":
    main()
