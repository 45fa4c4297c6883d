# SPDX-License-Identifier: Apache-2.0
"""Repeats one layer alone, forward and backward, until its time and energy are resolved.

The check of layer profiles, and what the power of each class of operators is fitted on. A layer
is made anew from what was noted of it and given inputs of the same shape. As in a training, many
go forward before the first goes back, so that nothing waits in a cache that would not there.
Import it late: it needs torch.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch.nn import functional

from submeter.interfaces.frameworks.clocks import BoardClock, Clock, ProcessorClock
from submeter.records.layers import LayerSpec, OperatorClass

__all__ = ["Alone", "Job", "alone", "copies_of", "job_of", "usual_jobs"]

TOGETHER_BYTES: Final = 96 * 2**20  # of inputs that go forward before any goes back
MOST_COPIES: Final = 32
LEAST_COPIES: Final = 4
LEAST_S: Final = 0.4
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
    _round(job, clock, params)  # the first calls make ready what later ones use
    sums, calls = [0.0] * 4, 0
    most = MOST_RATIO * least_s
    while not calls or (sums[1] + sums[3] < least_s and sums[0] + sums[2] < most):
        forward, backward = _round(job, clock, params)
        if clock.kind == "accelerator":
            torch.cuda.synchronize()
        for at, spans in enumerate((forward, backward)):
            for begin, end in spans:
                wall_s, busy_s = clock.span_s(begin, end)
                sums[2 * at] += wall_s
                sums[2 * at + 1] += busy_s
        calls += len(job.inputs)
    per = [s / calls for s in sums]
    return Alone((per[0], per[1]), (per[2], per[3]), calls, sums[1] + sums[3])


def _round(
    job: Job, clock: Clock, params: Sequence[Any]
) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    """All inputs forward, then back from the last to the first; readings around each call."""
    forward, backward, given = [], [], []
    for args in job.inputs:
        begin = clock.now()
        out = job.call(*args)
        forward.append((begin, clock.now()))
        out = out[0] if isinstance(out, (tuple, list)) else out
        if isinstance(out, torch.Tensor) and out.requires_grad:
            given.append((out, args))
    gradient = torch.randn_like(given[0][0]) if given else None  # fresh in a training, too
    while given:
        out, args = given.pop()
        begin = clock.now()
        out.backward(gradient)
        backward.append((begin, clock.now()))
        for tensor in (*params, *(a for a in args if isinstance(a, torch.Tensor))):
            tensor.grad = None
    return forward, backward


def copies_of(*tensors: Any) -> int:
    """How many inputs like *tensors* go forward together."""
    size_bytes: int = sum(t.numel() * t.element_size() for t in tensors)
    return max(LEAST_COPIES, min(MOST_COPIES, TOGETHER_BYTES // max(1, size_bytes)))


# --- what to repeat ------------------------------------------------------------------------------


def job_of(spec: LayerSpec, operators: OperatorClass, *, device: str = "cpu") -> Job | None:
    """A layer like the one noted in *spec*, None where it cannot be made."""
    made = getattr(torch.nn, spec.kind, None)
    dtype = getattr(torch, spec.dtype, None)
    if made is None or dtype is None or not spec.shape:
        return None
    arguments: dict[str, Any] = {
        key: (tuple(value) if isinstance(value, list) else value)
        for key, value in spec.arguments.items()
    }
    layer = made(**arguments).to(device)
    if dtype.is_floating_point:
        layer = layer.to(dtype)
    most = int(arguments.get("num_embeddings", 2))

    def one() -> Any:
        if not dtype.is_floating_point:
            return torch.randint(most, spec.shape, dtype=dtype, device=device)
        return torch.randn(spec.shape, dtype=dtype, device=device).requires_grad_()

    first = one()
    inputs = [(first,), *((one(),) for _ in range(copies_of(first) - 1))]
    return Job(spec.kind, spec.shape, operators, layer.train(), inputs)


def usual_jobs(
    rows: int = 32, length: int = 256, width: int = 128, *, device: str = "cpu"
) -> Iterator[Job]:
    """Layers of a transformer: what a machine is calibrated on where no run says otherwise."""
    shape = (rows, length, width)

    def floats(*size: int) -> Any:
        return torch.randn(size, device=device).requires_grad_()

    def inputs(*sizes: tuple[int, ...]) -> list[tuple[Any, ...]]:
        first = tuple(floats(*size) for size in sizes)
        more = range(copies_of(*first) - 1)
        return [first, *(tuple(floats(*size) for size in sizes) for _ in more)]

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
