# SPDX-License-Identifier: Apache-2.0
"""Fewer bytes of gradients between the processes of a data-parallel training."""

from typing import Any, Final, Literal

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import Machine, machine_of
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method, no_gain

Kind = Literal["none", "bf16", "fp16", "int8", "powersgd"]
KINDS: Final = ("none", "bf16", "fp16", "int8", "powersgd")
_HOOKS: Final = "torch.distributed.algorithms.ddp_comm_hooks"
FIRST_POWERSGD_STEP: Final = 2  # DDP builds its buckets anew after the first


class Exchange:
    """The state of a hook that counts the bytes that one process hands over."""

    def __init__(self, kind: Kind, rank: int) -> None:
        self.kind, self.bytes_sent, self.bytes_plain, self.calls = kind, 0, 0, 0
        self.powersgd: Any = None
        if kind == "powersgd":
            powersgd = library(f"{_HOOKS}.powerSGD_hook")
            self.powersgd = powersgd.PowerSGDState(
                process_group=None, matrix_approximation_rank=rank,
                start_powerSGD_iter=FIRST_POWERSGD_STEP, min_compression_rate=1,
            )  # fmt: skip


def exchanged(state: Exchange, bucket: Any) -> Any:
    """Exchange *bucket* by the way of *state*, and count."""
    default = library(f"{_HOOKS}.default_hooks")
    tensor = bucket.buffer()
    plain = tensor.numel() * tensor.element_size()
    state.bytes_plain += plain
    state.calls += 1
    if state.kind in {"bf16", "fp16"}:
        state.bytes_sent += tensor.numel() * 2
        return getattr(default, f"{state.kind}_compress_hook")(None, bucket)
    if state.kind == "int8":
        # a byte each, and a scale and a zero point of 8 bytes together for each process
        state.bytes_sent += tensor.numel() + 8
        quantising = library(f"{_HOOKS}.quantization_hooks")
        distributed = library("torch.distributed")
        if distributed.get_backend() == "nccl":
            return quantising.quantization_pertensor_hook(distributed.group.WORLD, bucket)
        return _gathered_bytes(tensor, distributed)
    if state.kind == "powersgd":
        powersgd = library(f"{_HOOKS}.powerSGD_hook")
        state.bytes_sent += _powersgd_bytes(state.powersgd, bucket)
        return powersgd.powerSGD_hook(state.powersgd, bucket)
    state.bytes_sent += plain
    return default.allreduce_hook(None, bucket)


def _gathered_bytes(tensor: Any, distributed: Any) -> Any:
    """Mean of all processes' *tensor*, exchanged in bytes.

    torch's own hook for it reads the answers of NCCL and of no other backend (2.13).
    """
    torch = library("torch")
    low, high = tensor.aminmax()
    scale = ((high - low) / 255).clamp(min=1e-30)
    own = ((tensor - low) / scale).round().to(torch.uint8)
    count = distributed.get_world_size()
    ends = [torch.zeros(2, device=tensor.device) for _ in range(count)]
    every = [torch.empty_like(own) for _ in range(count)]
    distributed.all_gather(ends, torch.stack([low, scale]).float())
    distributed.all_gather(every, own)
    total = torch.zeros_like(tensor)
    for (first, width), steps in zip(ends, every, strict=True):
        total += first + width * steps
    done = torch.futures.Future()
    done.set_result(total / count)
    return done


def _powersgd_bytes(state: Any, bucket: Any) -> int:
    """Bytes of one bucket: two thin matrices for each tensor that they make smaller."""
    tensor = bucket.buffer()
    size = tensor.element_size()
    if state.iter < state.start_powerSGD_iter:
        return int(tensor.numel() * size)
    total = 0
    for gradient in bucket.gradients():
        rows = gradient.view(gradient.shape[0], -1) if gradient.ndim > 1 else None
        if rows is None:
            total += gradient.numel()
            continue
        n, m = rows.shape
        rank = min(n, m, state.matrix_approximation_rank)
        thin = (n + m) * rank
        total += thin if thin * state.min_compression_rate < n * m else n * m
    return int(total * size)


class GradientCompression(Method):
    """PowerSGD, 16-bit and 8-bit exchange as communication hooks of DDP."""

    name = "gradient_compression"
    group = "many machines"
    what = "Gradients are exchanged in 16 or 8 bits, or as matrices of low rank (PowerSGD)."
    why = "Processes wait for each other's gradients; fewer bytes, less waiting."
    price = "CPU or board time to compress; 8 bits and low rank change the gradient."
    when_it_does_not_help = (
        "Wherever the exchange is hidden behind the backward pass, as on one machine with fast "
        "links: compressing then only adds work. Networks are a small part of a site's energy."
    )
    takes = "DDP model"

    def gains_on(self, machine: Machine) -> Fit:
        if machine.processes < 2:  # noqa: PLR2004  # one exchanges nothing
            return no_gain("one process exchanges no gradients")
        return YES

    def objection(self, target: Any) -> str:
        parallel = library("torch.nn.parallel")
        found = isinstance(target, parallel.DistributedDataParallel)
        return "" if found else "it is for DistributedDataParallel models"

    def apply(self, target: Any, *, kind: Kind = "bf16", rank: int = 2, **options: Any) -> Applied:
        """Exchange the gradients of *target*, a DDP model, by the way *kind*.

        ``found`` counts ``bytes_sent`` and ``bytes_plain`` of this process while it trains.
        Undoing leaves a hook that exchanges plainly: DDP takes one hook for life.
        """
        self.no_more(options)
        if kind not in KINDS or rank < 1:
            raise UsageError(f"{kind} is no exchange", remedy=f"kind: {', '.join(KINDS)}")
        distributed = library("torch.distributed")
        processes = distributed.get_world_size() if distributed.is_initialized() else 1
        fit = self.checked(target, machine_of(target)._replace(processes=processes))
        state = target.__dict__.get("_submeter_exchange")
        made = Exchange(kind, rank)
        if state is None:
            state = made
            target.__dict__["_submeter_exchange"] = state
            # DDP reads the annotations of a hook and wants its own class there: a lambda has none
            target.register_comm_hook(state, lambda own, bucket: exchanged(own, bucket))  # noqa: PLW0108
        else:
            vars(state).update(vars(made))

        def back() -> Any:
            state.kind = "none"
            return target

        return Applied(
            self.name, target, back=back, fit=fit, notes=(f"gradients by {kind}",),
            also={"exchange": state},
        )  # fmt: skip


TECHNIQUE = GradientCompression()
