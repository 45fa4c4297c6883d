# SPDX-License-Identifier: Apache-2.0
"""Optimisers of torch by the names that people say. torch is given, not imported."""

from collections.abc import Callable
from functools import partial
from typing import Any

from submeter.errors import UsageError

# Names of torch.optim, with what its class is given besides.
OPTIMISERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw": ("AdamW", {}),
    "adam": ("Adam", {}),
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "radam": ("RAdam", {}),
}


def optimiser_called(torch: Any, name: str) -> Callable[[Any], Any]:
    """What makes the optimiser *name* of torch.optim."""
    word, more = OPTIMISERS.get(name.strip().lower(), ("", {}))
    kind = getattr(torch.optim, word, None) if word else None
    if kind is None:
        raise UsageError(
            f"unknown optimiser {name[:40]!r}",
            remedy=f"one of {', '.join(OPTIMISERS)}; or from Python, a function that makes it",
        )
    return partial(kind, **more)
