# SPDX-License-Identifier: Apache-2.0
"""Small models and what was in them, for the tests of the techniques."""

from typing import Any

import torch
from torch import nn

from submeter.reducing.techniques import Machine

torch.set_num_threads(1)

OLD_CPU = Machine("cpu", None, frozenset({"avx2"}), 2)
NEW_CPU = Machine("cpu", None, frozenset({"avx512_bf16", "avx512_vnni"}), 2)
PASCAL = Machine("cuda", (6, 1))
TURING = Machine("cuda", (7, 5))
AMPERE = Machine("cuda", (8, 0))
HOPPER = Machine("cuda", (9, 0), processes=2)


def network(width: int = 64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 16))


def images() -> torch.Tensor:
    return torch.randn(4, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def convolutions() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that undoing has to bring back."""
    tensors = {f"{k} {tuple(v.stride())}": v.clone() for k, v in model.state_dict().items()}
    kinds = {f"kind {name}": type(m).__name__ for name, m in model.named_modules()}
    grads = {f"grad {name}": p.requires_grad for name, p in model.named_parameters()}
    hooks = {
        f"hooks {name}": (len(m._forward_pre_hooks), len(m._forward_hooks), "forward" in vars(m))
        for name, m in model.named_modules()
    }
    return tensors | kinds | grads | hooks | {"training": model.training}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Bit for bit."""
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a
    )
