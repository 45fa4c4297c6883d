# SPDX-License-Identifier: Apache-2.0
"""A model as it was: structure, attributes and every bit of its tensors, to go back to.

It holds a copy of the weights: as much memory again, until it is undone or forgotten.
"""

import copy
from typing import Any


class Snapshot:
    """Remembers *model* at the time of making.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    values
        Whether to remember the values of its tensors; else structure and attributes alone.
    """

    def __init__(self, model: Any, *, values: bool = True) -> None:
        self._model = model
        self._modules = [(module, type(module), _own(module)) for module in model.modules()]
        tensors = [*model.parameters(), *model.buffers()]
        self._grad = [(t, t.requires_grad) for t in tensors]
        self._values = [(t, t.detach().clone()) for t in tensors] if values else []

    def restore(self) -> Any:
        """Put everything back; give the model."""
        for module, kind, own in self._modules:
            module.__class__ = kind
            module.__dict__.clear()
            module.__dict__.update(_copied(own))
        for tensor, value in self._values:
            tensor.data = value.clone()
            tensor.grad = None
        for tensor, wanted in self._grad:
            tensor.requires_grad_(wanted)
        return self._model


def _own(module: Any) -> dict[str, Any]:
    return _copied(module.__dict__)


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes, and those that hold others (parameters, modules, hooks) as copies."""
    return {
        k: copy.copy(v) if isinstance(v, dict | list | set) else v for k, v in attributes.items()
    }
