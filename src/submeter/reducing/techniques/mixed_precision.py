# SPDX-License-Identifier: Apache-2.0
"""Matrix products in 16 bits, weights and sums in 32."""

from collections.abc import Callable
from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import Machine, machine_of
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method, no_gain

DTYPES = {"bf16": "bfloat16", "bfloat16": "bfloat16", "fp16": "float16", "float16": "float16"}


class MixedPrecision(Method):
    """`torch.autocast` around the forward pass, with a scaler for fp16."""

    name = "mixed_precision"
    group = "numerics"
    what = "Matrix products run in bfloat16 or float16; weights and sums stay in float32."
    why = "Narrow products take less time and move half the bytes."
    price = "A little accuracy; fp16 wants its loss scaled (the scaler comes along)."
    when_it_does_not_help = (
        "Devices without 16-bit products, small models, and work that waits for data or memory."
    )

    def gains_on(self, machine: Machine) -> Fit:
        if not machine.low_precision:
            return no_gain(f"{machine.words} without 16-bit products computes them in 32 bits")
        return YES

    def apply(self, target: Any, *, dtype: str = "bf16", **options: Any) -> Applied:
        """Let the forward pass of model *target* run in *dtype*: bf16 or fp16.

        Outputs come back in float32, so that a loss is as exact as before. For fp16,
        ``also["scaler"]`` is the `GradScaler` to scale the loss with.
        """
        self.no_more(options)
        if dtype not in DTYPES:
            raise UsageError(f"{dtype} is no 16-bit type", remedy="dtype='bf16' or 'fp16'")
        torch = library("torch")
        machine = machine_of(target)
        fit = self.checked(target, machine)
        kind, plain = getattr(torch, DTYPES[dtype]), target.forward
        own = "forward" in vars(target)

        def forward(*given: Any, **named: Any) -> Any:
            with torch.autocast(machine.kind, kind):
                made = plain(*given, **named)
            return widened(made, torch.float32)

        def back() -> None:
            if own:
                target.forward = plain
            else:
                del target.forward

        target.forward = forward
        wanted = kind is torch.float16
        scaler = torch.amp.GradScaler(machine.kind) if wanted else None
        notes = (f"products in {DTYPES[dtype]}",)
        return Applied(self.name, target, back=back, fit=fit, notes=notes, also={"scaler": scaler})


def widened(made: Any, dtype: Any) -> Any:
    """*made* with each floating tensor in it as *dtype*."""
    if hasattr(made, "is_floating_point"):
        return made.to(dtype) if made.is_floating_point() else made
    if isinstance(made, dict):  # ModelOutput is one, and made of its fields
        parts = {k: widened(v, dtype) for k, v in made.items()}
        return parts if type(made) is dict else type(made)(**parts)
    if type(made) in {tuple, list}:
        kind: Callable[[Any], Any] = type(made)
        return kind(widened(v, dtype) for v in made)
    return made


TECHNIQUE = MixedPrecision()
