# SPDX-License-Identifier: Apache-2.0
"""Whole channels taken out of a network: it is smaller afterwards, and stays dense."""

from collections.abc import Sequence
from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method
from submeter.reducing.techniques.snapshots import Snapshot


class PruneChannels(Method):
    """torch-pruning's `MagnitudePruner` along the network's dependencies."""

    name = "prune_channels"
    group = "less work"
    what = (
        "The channels of least weight are removed, with all that depends on them (torch-pruning)."
    )
    why = "Smaller dense layers take less time on any device."
    price = "Accuracy, most of which some more training wins back."
    when_it_does_not_help = (
        "Networks that wait for memory or launches rather than for products: energy falls by "
        "less than operations do."
    )
    needs = ("torch", "torch_pruning")

    def apply(
        self,
        target: Any,
        *,
        example: Any = None,
        ratio: float = 0.5,
        keep: Sequence[Any] = (),
        round_to: int | None = None,
        **options: Any,
    ) -> Applied:
        """Remove *ratio* of the channels of each layer of model *target*, in place.

        Parameters
        ----------
        example
            An input of the model, to find what depends on what.
        ratio
            Share of the channels to remove [1].
        keep
            Layers to leave as they are; the last linear layer is always left, as it answers.
        round_to
            Keep a multiple of so many channels, as some kernels like.
        """
        self.no_more(options)
        if example is None or not 0 < ratio < 1:
            raise UsageError(
                "channels are removed by an example input and a ratio between 0 and 1",
                remedy="submeter.reduce.prune_channels(model, example=x, ratio=0.5)",
            )
        fit = self.checked(target, machine_of(target))
        torch, pruning = library("torch"), library("torch_pruning")
        kept, before = Snapshot(target), counted(target)
        last = [m for m in target.modules() if isinstance(m, torch.nn.Linear)][-1:]
        training = target.training
        with quietly():
            pruner = pruning.pruner.MagnitudePruner(
                target.eval(),
                example,
                importance=pruning.importance.MagnitudeImportance(p=2),
                pruning_ratio=ratio,
                ignored_layers=[*last, *keep],
                round_to=round_to,
            )
            pruner.step()
        target.train(training)
        after = counted(target)
        notes = (f"{before} parameters became {after}; train it some more",)
        found = {"parameters_before": before, "parameters_after": after}
        return Applied(self.name, target, back=kept.restore, fit=fit, notes=notes, found=found)


def counted(model: Any) -> int:
    """How many parameters *model* has."""
    return sum(p.numel() for p in model.parameters())


TECHNIQUE = PruneChannels()
