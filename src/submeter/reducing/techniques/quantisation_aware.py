# SPDX-License-Identifier: Apache-2.0
"""Training that already feels the rounding of the quantised model."""

from typing import Any, Final

from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Fit, Method
from submeter.reducing.techniques.quantise import TECHNIQUE as QUANTISE
from submeter.reducing.techniques.quantise import stored_bytes
from submeter.reducing.techniques.snapshots import Snapshot

GROUP: Final = 32


class QuantisationAware(Method):
    """torchao's `QATConfig`: prepare, train, convert."""

    name = "quantisation_aware"
    group = "numerics"
    what = (
        "Linear layers round their 4-bit weights and 8-bit activations while training (torchao)."
    )
    why = "The model can be used in 4 bits with more of its accuracy than rounding after training."
    price = "Rounding makes each training step slower: it is use that saves, not training."
    when_it_does_not_help = (
        "Models that are used little after training, and where rounding afterwards is accurate "
        "enough; see quantise."
    )
    needs = ("torch", "torchao")

    def gains_on(self, machine: Any) -> Fit:
        return QUANTISE.gains_on(machine)

    def objection(self, target: Any) -> str:
        torch = library("torch")
        found = any(_fits(m, torch) for m in target.modules())
        return "" if found else f"no linear layer takes a multiple of {GROUP} inputs"

    def apply(self, target: Any, **options: Any) -> Applied:
        """Prepare model *target* for training; ``also["convert"]()`` makes it small afterwards."""
        self.no_more(options)
        fit = self.checked(target, machine_of(target))
        torch, ao = library("torch"), library("torchao.quantization")
        qat = library("torchao.quantization.qat")
        kept, before = Snapshot(target), stored_bytes(target)
        settings = ao.Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int4, weight_granularity=ao.PerGroup(GROUP)
        )

        def step(which: str) -> None:
            with quietly():
                ao.quantize_(
                    target,
                    qat.QATConfig(settings, step=which),
                    filter_fn=lambda m, _: _fits(m, torch),
                )

        def convert() -> Any:
            step("convert")
            applied.found["bytes_after"] = stored_bytes(target)
            return target

        step("prepare")
        applied = Applied(
            self.name, target, back=kept.restore, fit=fit, also={"convert": convert},
            notes=("rounds to 4 bits while training; also['convert']() when it is trained",),
            found={"bytes_before": before},
        )  # fmt: skip
        return applied


def _fits(module: Any, torch: Any) -> bool:
    return isinstance(module, torch.nn.Linear) and module.in_features % GROUP == 0


TECHNIQUE = QuantisationAware()
