# SPDX-License-Identifier: Apache-2.0
"""Two zeros in each four weights: a pattern that boards since Ampere skip."""

from typing import Any, Final

from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import Machine, machine_of
from submeter.reducing.techniques.protocol import YES, Applied, Fit, Method, no_gain
from submeter.reducing.techniques.snapshots import Snapshot

LEAST_CAPABILITY: Final = (8, 0)
BLOCK: Final = 4


class Sparsity24(Method):
    """torch's `WeightNormSparsifier` for the pattern, torchao's kernels where there are such."""

    name = "sparsity_2_4"
    group = "less work"
    what = "Two of each four weights in a row are zero; boards with such kernels skip them."
    why = "Sparse tensor cores do half the products."
    price = "Accuracy, which more training with the pattern held wins back."
    when_it_does_not_help = (
        "Processors and boards before Ampere multiply the zeros. Gains end to end are far below "
        "those of a single product: 6 % for a vision transformer in torchao's own table."
    )
    needs = ("torch", "torchao")

    def gains_on(self, machine: Machine) -> Fit:
        if machine.kind != "cuda":
            return no_gain("2:4 kernels need CUDA; the zeros are multiplied here")
        if (machine.capability or LEAST_CAPABILITY) < LEAST_CAPABILITY:
            return no_gain(f"2:4 kernels need compute capability 8.0; this is {machine.words}")
        return YES

    def objection(self, target: Any) -> str:
        fitting = _layers(target, library("torch"))
        return "" if fitting else "no linear layer takes a multiple of four inputs"

    def apply(self, target: Any, **options: Any) -> Applied:
        """Give the linear layers of *target* the pattern, and sparse kernels where they exist."""
        self.no_more(options)
        machine = machine_of(target)
        fit = self.checked(target, machine)
        torch, pruning = library("torch"), library("torch.ao.pruning")
        kept, names = Snapshot(target), _layers(target, torch)
        with quietly():
            sparsifier = pruning.WeightNormSparsifier(
                sparsity_level=1.0, sparse_block_shape=(1, BLOCK), zeros_per_block=2
            )
            sparsifier.prepare(target, [{"tensor_fqn": f"{name}.weight"} for name in names])
            sparsifier.step()
            sparsifier.squash_mask()
            if fit.gains:
                sparsity = library("torchao.sparsity")
                sparsity.sparsify_(target, sparsity.semi_sparse_weight())
        modules = dict(target.named_modules())
        whole = sum(modules[n].in_features * modules[n].out_features for n in names)
        zeros = whole // 2
        if not fit.gains:
            zeros = sum(int((modules[n].weight == 0).sum()) for n in names)
        return Applied(
            self.name, target, back=kept.restore, fit=fit,
            found={"zeros": zeros, "weights": whole},
            notes=(f"{zeros} of {whole} weights are zero, two in each four",),
        )  # fmt: skip


def _layers(model: Any, torch: Any) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.in_features % BLOCK == 0
    ]


TECHNIQUE = Sparsity24()
