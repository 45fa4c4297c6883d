# SPDX-License-Identifier: Apache-2.0
"""Images with their channels side by side in memory."""

from typing import Any

from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method
from submeter.reducing.techniques.snapshots import Snapshot


class ChannelsLast(Method):
    """`torch.channels_last` for weights and inputs of four dimensions."""

    name = "channels_last"
    group = "better use of the machine"
    what = "Weights and images lie in memory with their channels side by side."
    why = "Convolutions read what they multiply in one go, and need not be laid out anew."
    price = "None but the change of the first input; results differ in the last bits."
    when_it_does_not_help = "Networks without 2-D convolutions; very few channels."

    def objection(self, target: Any) -> str:
        torch = library("torch")
        found = any(isinstance(m, torch.nn.Conv2d) for m in target.modules())
        return "" if found else "the model has no 2-D convolution"

    def apply(self, target: Any, **options: Any) -> Applied:
        """Lay out model *target*, and whatever it is given, with channels last."""
        self.no_more(options)
        fit = self.checked(target, machine_of(target))
        torch = library("torch")
        kept = Snapshot(target)
        layout = torch.channels_last

        def lay_out(module: Any, given: Any) -> Any:
            del module
            return tuple(
                x.contiguous(memory_format=layout) if getattr(x, "ndim", 0) == 4 else x  # noqa: PLR2004  # n, c, h, w
                for x in given
            )

        target.to(memory_format=layout)
        target.register_forward_pre_hook(lay_out)
        notes = ("channels last",)
        return Applied(self.name, target, back=kept.restore, fit=fit, notes=notes)


TECHNIQUE = ChannelsLast()
