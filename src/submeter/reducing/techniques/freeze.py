# SPDX-License-Identifier: Apache-2.0
"""The first layers of a trained network stay as they are: transfer at the cost of the rest."""

import re
from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method


class Freeze(Method):
    """No gradients below a point of the network."""

    name = "freeze"
    group = "less work"
    what = "Parameters up to a share of the network, or by name, are trained no more."
    why = "No gradient is computed below the lowest layer that still learns."
    price = "What the frozen part cannot represent; it suits networks trained on something near."
    when_it_does_not_help = (
        "Training from nothing; frozen layers *above* trained ones, whose gradients are needed "
        "all the same."
    )

    def apply(
        self, target: Any, *, share: float = 0.5, names: str | None = None, **options: Any
    ) -> Applied:
        """Freeze model *target*.

        Parameters
        ----------
        share
            Of the parameters, counted from the input [1].
        names
            A regular expression instead: what it finds in a parameter's name is frozen.
        """
        self.no_more(options)
        if not 0 <= share <= 1:
            raise UsageError(f"a share of {share} is none", remedy="share=0.5")
        fit = self.checked(target, machine_of(target))
        named = list(target.named_parameters())
        wanted = [(p, p.requires_grad) for _, p in named]
        whole, seen = sum(p.numel() for _, p in named), 0
        frozen = 0
        for name, parameter in named:
            seen += parameter.numel()
            chosen = re.search(names, name) is not None if names else seen <= share * whole
            if chosen:
                parameter.requires_grad_(requires_grad=False)
                parameter.grad = None
                frozen += parameter.numel()

        def back() -> Any:
            for parameter, grad in wanted:
                parameter.requires_grad_(grad)
            return target

        notes = (f"{frozen} of {whole} parameters are trained no more",)
        found = {"parameters": whole, "frozen": frozen}
        return Applied(self.name, target, back=back, fit=fit, notes=notes, found=found)


TECHNIQUE = Freeze()
