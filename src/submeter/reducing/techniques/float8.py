# SPDX-License-Identifier: Apache-2.0
"""Training with matrix products in 8-bit floating point, where the device has them."""

from typing import Any

from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import Machine, machine_of
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method, unfit
from submeter.reducing.techniques.snapshots import Snapshot

LEAST_CAPABILITY = (8, 9)
MULTIPLE = 16  # of both sides of a matrix, for the kernels


class Float8(Method):
    """`torchao.float8.convert_to_float8_training`."""

    name = "float8"
    group = "numerics"
    what = "Linear layers multiply in float8 with scales found on the way (torchao)."
    why = "Twice the rate of bfloat16 and half its bytes, on boards with such kernels."
    price = "Casting and scaling at each layer; a little accuracy."
    when_it_does_not_help = (
        "Boards before compute capability 8.9 and processors have no float8 products; layers "
        "below about 4096 wide lose more to casting than they gain."
    )
    needs = ("torch", "torchao")

    def gains_on(self, machine: Machine) -> Fit:
        able = machine.kind == "cuda" and (machine.capability or (0, 0)) >= LEAST_CAPABILITY
        if able:
            return YES
        return unfit(
            "no gain on this device: float8 kernels need an NVIDIA board of compute capability "
            f"8.9 or newer, and this is {machine.words}"
        )

    def objection(self, target: Any) -> str:
        torch = library("torch")
        fitting = [m for m in target.modules() if _fits(m, torch)]
        return "" if fitting else f"no linear layer has sides that are multiples of {MULTIPLE}"

    def apply(self, target: Any, **options: Any) -> Applied:
        """Convert the linear layers of model *target* for training in float8."""
        self.no_more(options)
        fit = self.checked(target, machine_of(target))
        torch, float8 = library("torch"), library("torchao.float8")
        kept = Snapshot(target)
        with quietly():
            float8.convert_to_float8_training(
                target, module_filter_fn=lambda module, _: _fits(module, torch)
            )
        return Applied(self.name, target, back=kept.restore, fit=fit, notes=("float8 products",))


def _fits(module: Any, torch: Any) -> bool:
    return isinstance(module, torch.nn.Linear) and not (
        module.in_features % MULTIPLE or module.out_features % MULTIPLE
    )


TECHNIQUE = Float8()
