# SPDX-License-Identifier: Apache-2.0
"""Repeats one layer alone, forward and backward, until its time and energy are resolved.

The check of layer profiles, and what the power of each class of operators is fitted on. A layer
is made anew from what was noted of it and given inputs of the same shape, several of them in turn,
so that none is always in the cache. Import it late: it needs torch.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch.nn import functional

from submeter.interfaces.frameworks.clocks import BoardClock, Clock, ProcessorClock
from submeter.records.layers import LayerSpec, OperatorClass

__all__ = ["Alone", "Job", "alone", "job_of", "usual_jobs"]

COPIES: Final = 4  # inputs that are used in turn
LEAST_S: Final = 0.4
LEAST_CALLS: Final = 8
WARM_CALLS: Final = 2
MOST_RATIO: Final = 6.0  # of the time asked for, where the clock does not move
_HEADS: Final = 4
_HEAD_WIDTH: Final = 32


class Job(NamedTuple):
    """Something that can be called again and again, and what it is called with in turn."""

    kind: str
    shape: tuple[int, ...]
    operators: OperatorClass
    call: Callable[..., Any]
    inputs: Sequence[tuple[Any, ...]]


class Alone(NamedTuple):
    """Time of one call, forward and backward, each elapsed and busy [s]."""

    forward: tuple[float, float]
    backward: tuple[float, float]
    calls: int
    busy_s: float  # of all calls together


def clock_for(device: str) -> Clock:
    """Clock that tells the time of work on *device*."""
    return BoardClock(torch.cuda) if device.startswith("cuda") else ProcessorClock()


def alone(job: Job, *, least_s: float = LEAST_S, clock: Clock | None = None) -> Alone:
    """Mean time of one call of *job*, repeated for at least *least_s* of busy time [s].

    Parameters
    ----------
    job
        What to repeat; it goes backward from the sum of its first result, if that has a gradient.
    least_s
        Busy time after which it is enough [s].
    clock
        What to time by; that of the first input's device if None.
    """
    first = next((t for t in job.inputs[0] if isinstance(t, torch.Tensor)), None)
    device = "cpu" if first is None else str(first.device)
    clock = clock_for(device) if clock is None else clock
    params = list(job.call.parameters()) if isinstance(job.call, torch.nn.Module) else []
    for number in range(WARM_CALLS):
        _once(job, number, clock, params)
    sums, calls = [0.0] * 4, 0
    most = MOST_RATIO * least_s
    while calls < LEAST_CALLS or (sums[1] + sums[3] < least_s and sums[0] + sums[2] < most):
        readings = [_once(job, calls + n, clock, params) for n in range(LEAST_CALLS)]
        if clock.kind == "accelerator":
            torch.cuda.synchronize()
        for begin, middle, again, end in readings:
            for at, (a, b) in enumerate(((begin, middle), (again, end))):
                wall_s, busy_s = clock.span_s(a, b)
                sums[2 * at] += wall_s
                sums[2 * at + 1] += busy_s
        calls += LEAST_CALLS
    per = [s / calls for s in sums]
    return Alone((per[0], per[1]), (per[2], per[3]), calls, sums[1] + sums[3])


def _once(job: Job, number: int, clock: Clock, params: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """One call forward and backward; readings around both."""
    args = job.inputs[number % len(job.inputs)]
    begin = clock.now()
    out = job.call(*args)
    middle = clock.now()
    given = out[0] if isinstance(out, (tuple, list)) else out
    if not (isinstance(given, torch.Tensor) and given.requires_grad):
        return begin, middle, middle, middle
    gradient = _gradient(tuple(given.shape), given.dtype, str(given.device))
    again = clock.now()
    given.backward(gradient)
    end = clock.now()
    for tensor in (*params, *(a for a in args if isinstance(a, torch.Tensor))):
        tensor.grad = None
    return begin, middle, again, end


@functools.lru_cache(maxsize=4)
def _gradient(shape: tuple[int, ...], dtype: Any, device: str) -> Any:
    return torch.randn(shape, dtype=dtype, device=device)


# --- what to repeat ------------------------------------------------------------------------------


def job_of(spec: LayerSpec, operators: OperatorClass, *, device: str = "cpu") -> Job | None:
    """A layer like the one noted in *spec*, None where it cannot be made."""
    made = getattr(torch.nn, spec.kind, None)
    dtype = getattr(torch, spec.dtype, None)
    if made is None or dtype is None or not spec.shape:
        return None
    arguments = {
        key: (tuple(value) if isinstance(value, list) else value)
        for key, value in spec.arguments.items()
    }
    layer = made(**arguments).to(device)
    if dtype.is_floating_point:
        layer = layer.to(dtype)
        inputs = [
            (torch.randn(spec.shape, dtype=dtype, device=device).requires_grad_(),)
            for _ in range(COPIES)
        ]
    else:
        most = int(arguments.get("num_embeddings", 2))
        inputs = [
            (torch.randint(most, spec.shape, dtype=dtype, device=device),) for _ in range(COPIES)
        ]
    return Job(spec.kind, spec.shape, operators, layer.train(), inputs)


def usual_jobs(
    rows: int = 32, length: int = 256, width: int = 128, *, device: str = "cpu"
) -> Iterator[Job]:
    """Layers of a transformer: what a machine is calibrated on where no run says otherwise."""
    shape = (rows, length, width)

    def floats(*size: int) -> Any:
        return torch.randn(size, device=device).requires_grad_()

    def inputs(*sizes: tuple[int, ...]) -> list[tuple[Any, ...]]:
        return [tuple(floats(*size) for size in sizes) for _ in range(COPIES)]

    nn = torch.nn
    heads = (rows, _HEADS, length, _HEAD_WIDTH)
    attend = functools.partial(functional.scaled_dot_product_attention, is_causal=True)
    yield Job("Linear", shape, "compute", nn.Linear(width, 4 * width).to(device), inputs(shape))
    yield Job(
        "Linear", (rows, length, 4 * width), "compute",
        nn.Linear(4 * width, width).to(device), inputs((rows, length, 4 * width)),
    )  # fmt: skip
    yield Job("attention", heads, "compute", attend, inputs(heads, heads, heads))
    yield Job("LayerNorm", shape, "memory", nn.LayerNorm(width).to(device), inputs(shape))
    wide = (rows, length, 4 * width)
    yield Job("GELU", wide, "memory", nn.GELU(), inputs(wide))
    yield Job("add", shape, "memory", torch.add, inputs(shape, shape))


def scatter(values: Sequence[float]) -> float:
    """Standard deviation of *values* relative to their mean; nothing of fewer than two."""
    if len(values) < 2:  # noqa: PLR2004
        return 0.0
    mean = math.fsum(values) / len(values)
    spread = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return math.sqrt(spread) / mean if mean > 0 else 0.0
