# SPDX-License-Identifier: Apache-2.0
"""A trained model's linear layers in 8 or 4 bits."""

from typing import Any, Final

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import Machine, machine_of
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method, no_gain
from submeter.reducing.techniques.snapshots import Snapshot

KINDS: Final = ("int8", "int8_weights", "int4_weights")
GROUP: Final = 32  # weights that share a scale in 4 bits


class Quantise(Method):
    """`torchao.quantization.quantize_` after training."""

    name = "quantise"
    group = "numerics"
    what = (
        "Linear layers of a trained model hold their weights in int8 or int4 and, with int8, "
        "multiply in it (torchao)."
    )
    why = "A quarter or an eighth of the bytes of the weights; integer products cost less."
    price = "A little accuracy, and weights that are trained no more."
    when_it_does_not_help = (
        "Where the products are unpacked again: int8 in eager mode, batches that keep the "
        "processor busy anyway. Default int8 of language models was measured to cost 80 to 162 % "
        "more energy on one board, and 4 bits to cost more below some 3 to 5e9 parameters."
    )
    needs = ("torch", "torchao")

    def gains_on(self, machine: Machine) -> Fit:
        if not machine.low_integers:
            return no_gain(f"{machine.words} without 8-bit integer products unpacks them")
        return YES

    def objection(self, target: Any) -> str:
        torch = library("torch")
        found = any(isinstance(m, torch.nn.Linear) for m in target.modules())
        return "" if found else "the model has no linear layer"

    def apply(self, target: Any, *, kind: str = "int8", **options: Any) -> Applied:
        """Quantise model *target* in place.

        Parameters
        ----------
        kind
            ``int8``: weights and, on the way, activations; ``int8_weights`` and
            ``int4_weights``: weights alone, multiplied after unpacking.
        """
        self.no_more(options)
        if kind not in KINDS:
            raise UsageError(f"{kind} is no way to quantise", remedy=f"kind: {', '.join(KINDS)}")
        fit = self.checked(target, machine_of(target))
        torch, ao = library("torch"), library("torchao.quantization")
        before, kept = stored_bytes(target), Snapshot(target)
        if kind == "int8":
            config = ao.Int8DynamicActivationInt8WeightConfig()
        elif kind == "int8_weights":
            config = ao.Int8WeightOnlyConfig()
        else:
            config = ao.IntxWeightOnlyConfig(
                weight_dtype=torch.int4, granularity=ao.PerGroup(GROUP)
            )

        def fitting(module: Any, _: str) -> bool:
            linear = isinstance(module, torch.nn.Linear)
            return linear and (kind != "int4_weights" or module.in_features % GROUP == 0)

        with quietly():
            ao.quantize_(target, config, filter_fn=fitting)
        after = stored_bytes(target)
        notes = (f"{kind}: {before / 1e6:.2f} MB of parameters became {after / 1e6:.2f} MB",)
        found = {"bytes_before": before, "bytes_after": after}
        return Applied(self.name, target, back=kept.restore, fit=fit, notes=notes, found=found)


def stored_bytes(model: Any) -> int:
    """Bytes that the parameters of *model* take, those inside packed tensors included."""
    total = 0
    for parameter in model.parameters():
        names = getattr(parameter, "tensor_data_names", None)
        if names is None and hasattr(parameter, "__tensor_flatten__"):
            names = parameter.__tensor_flatten__()[0]
        parts = [getattr(parameter, n) for n in names] if names else [parameter]
        total += sum(p.numel() * p.element_size() for p in parts if hasattr(p, "numel"))
    return total


TECHNIQUE = Quantise()
