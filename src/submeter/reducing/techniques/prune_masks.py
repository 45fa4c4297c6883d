# SPDX-License-Identifier: Apache-2.0
"""Weights set to zero behind a mask: as many products as before, some of them with zero."""

from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import Machine
from submeter.reducing.techniques.protocol import Applied, Fit, Method, no_gain
from submeter.reducing.techniques.snapshots import Snapshot

NOTHING_SKIPS = "dense kernels multiply zeros like any other number; a mask alone saves nothing"


class PruneMasks(Method):
    """`torch.nn.utils.prune.global_unstructured`."""

    name = "prune_masks"
    group = "less work"
    what = "The weights of least size are set to zero, wherever they stand."
    why = "By itself it saves nothing; it tells how much a network can lose before it is rebuilt."
    price = "Accuracy; a mask beside each weight."
    when_it_does_not_help = (
        "Always, by itself: no device of today skips single zeros. See prune_channels for what "
        "is really removed, and sparsity_2_4 for zeros that boards skip."
    )

    def gains_on(self, machine: Machine) -> Fit:
        del machine
        return no_gain(NOTHING_SKIPS)

    def apply(self, target: Any, *, ratio: float = 0.5, **options: Any) -> Applied:
        """Mask *ratio* of the weights of all linear and convolution layers of *target*.

        ``also["make_permanent"]()`` takes the masks away and leaves the zeros.
        """
        self.no_more(options)
        if not 0 < ratio < 1:
            raise UsageError(f"a ratio of {ratio} masks nothing or all", remedy="ratio=0.5")
        fit = self.checked(target)
        torch, prune = library("torch"), library("torch.nn.utils.prune")
        kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)  # noqa: SLF001  # their parent
        layers = [(m, "weight") for m in target.modules() if isinstance(m, kinds)]
        if not layers:
            raise UsageError("there is no layer to mask", remedy="give a model with weights")
        kept = Snapshot(target)
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=ratio)

        def make_permanent() -> Any:
            for module, name in layers:
                prune.remove(module, name)
            return target

        zeros = sum(int((m.weight == 0).sum()) for m, _ in layers)
        whole = sum(m.weight.numel() for m, _ in layers)
        return Applied(
            self.name, target, back=kept.restore, fit=fit, also={"make_permanent": make_permanent},
            notes=(f"{zeros} of {whole} weights are zero",),
            found={"zeros": zeros, "weights": whole},
        )  # fmt: skip


TECHNIQUE = PruneMasks()
