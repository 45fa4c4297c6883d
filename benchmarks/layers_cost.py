# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001  # the sampler is looked into
"""What the hooks of layers cost, in CPU time: for benchmarks/layers.py."""

import csv
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import submeter
from benchmarks.outcomes import ROOT

COSTS = ROOT / "benchmarks" / "data" / "layers_cost.csv"
PAIRS = 12


class Cost(NamedTuple):
    """A block of steps, with hooks and as it were without: CPU time [s]."""

    case: str
    pair: int
    with_s: float
    without_s: float


def kept_costs() -> list[Cost]:
    with COSTS.open(newline="") as file:
        return [
            Cost(r["case"], int(r["pair"]), float(r["with_s"]), float(r["without_s"]))
            for r in csv.DictReader(file)
        ]


def cost_of(rows: list[Cost]) -> tuple[float, float]:
    """Mean of the pairs' relative costs, and the upper end of its one-sided 95 % interval."""
    ratios = [r.with_s / r.without_s - 1.0 for r in rows]
    mean = statistics.fmean(ratios)
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    return mean, mean + 1.80 * error  # Student, 11 degrees of freedom


def deep() -> tuple[Any, Any, Callable[[], None]]:
    """Two hundred small layers: a step of some milliseconds, where hooks weigh most."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    nn = torch.nn
    model = nn.Sequential(
        *(m for _ in range(100) for m in (nn.Linear(96, 96), nn.ReLU())), nn.Linear(96, 1)
    )
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4)
    x = torch.randn(64, 96)

    def step() -> None:
        optimiser.zero_grad()
        model(x).square().mean().backward()
        optimiser.step()

    return model, optimiser, step


def measured_costs(training: Any) -> Iterator[Cost]:
    """Of a training, and of a model of many small layers, where hooks weigh most."""
    yield from costs_of("language model, 0.2 M", training.model, training.step, 160)
    model, _, step = deep()
    yield from costs_of("200 small layers", model, step, 160)


def costs_of(case: str, model: Any, step: Callable[[], None], block: int) -> Iterator[Cost]:
    """CPU time of blocks of steps as they were, and as they would be without hooks.

    Each step that is looked at, and the one that ends with putting the hooks on, is paired with
    the plain ones beside it; what an idle hook costs of every step is timed by itself.
    """
    for _ in range(block // 4):
        step()
    idle_s = idle_hook_s(model)
    took: list[float] = []
    looked: list[bool] = []
    with submeter.layers(model) as found:
        sampler: Any = found._sampler
        before = False
        for _ in range(PAIRS * block):
            begin_s = time.process_time()
            step()
            took.append(time.process_time() - begin_s)
            now = sampler._window is not None or sampler._counter is not None
            looked.append(before or now)
            before = now
    plainly = [t if not k else beside(took, looked, n) for n, (t, k) in
               enumerate(zip(took, looked, strict=True))]  # fmt: skip
    for pair in range(PAIRS):
        part = slice(pair * block, (pair + 1) * block)
        yield Cost(case, pair, math.fsum(took[part]), math.fsum(plainly[part]) - block * idle_s)


def beside(took: list[float], looked: list[bool], at: int) -> float:
    """Median of the plain steps around step *at* [s]."""
    near = sorted(range(len(took)), key=lambda n: abs(n - at))
    return statistics.median([took[n] for n in near if not looked[n]][:8])


def idle_hook_s(model: Any, calls: int = 20_000) -> float:
    """CPU time of the hooks of one step that is not looked at [s]."""
    from submeter.interfaces.frameworks.sampling import Sampler

    sampler = Sampler(model)
    sampler.start()
    sampler._after(None, (), {})
    sampler.pace._left = 10 * calls
    begin_s = time.process_time()
    for _ in range(calls):
        sampler._before(None, (), {})
        sampler._after(None, (), {})
    took_s = (time.process_time() - begin_s) / calls
    sampler.close()
    return took_s
