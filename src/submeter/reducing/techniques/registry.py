# SPDX-License-Identifier: Apache-2.0
"""All techniques by name, each loaded when asked for."""

from difflib import get_close_matches
from importlib import import_module
from typing import Final, cast

from submeter.catalog.tables import rows
from submeter.errors import UsageError
from submeter.reducing.techniques.protocol import Technique

NAMES: Final = (
    # numerics
    "mixed_precision",
    "float8",
    "quantise",
    "quantisation_aware",
    # less work
    "early_stopping",
    "prune_channels",
    "prune_masks",
    "sparsity_2_4",
    "distil",
    "depthwise_separable",
    "compound_scaling",
    "efficient_attention",
    "progressive_size",
    "freeze",
    "deduplicate",
    "prune_data",
    # better use of the machine
    "batch_size",
    "adaptive_batch",
    "loader",
    "compile",
    "channels_last",
    "remove_idle",
    # many machines
    "gradient_compression",
    "local_sgd",
    "node_count",
)
ALIASES: Final = {
    "amp": "mixed_precision",
    "bf16": "mixed_precision",
    "fp16": "mixed_precision",
    "fp8": "float8",
    "quantize": "quantise",
    "int8": "quantise",
    "qat": "quantisation_aware",
    "pruning": "prune_channels",
    "distill": "distil",
    "efficientnet": "compound_scaling",
    "attention": "efficient_attention",
    "transfer": "freeze",
    "powersgd": "gradient_compression",
    "nodes": "node_count",
    "dedupe": "deduplicate",
    "coreset": "prune_data",
}


def technique(name: str) -> Technique:
    """Return the technique called *name*.

    Raises
    ------
    UsageError
        If there is none; the remedy names the nearest.
    """
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").replace(":", "_")
    key = ALIASES.get(plain, plain)
    if key not in NAMES:
        near = get_close_matches(plain, [*NAMES, *ALIASES], n=1)
        best = ALIASES.get(near[0], near[0]) if near else ""
        raise UsageError(
            f"there is no technique “{name}”", remedy=f"submeter techniques {best}".rstrip()
        )
    return cast("Technique", import_module(f"{__package__}.{key}").TECHNIQUE)


def scope_of(name: str) -> str:
    """What is said of where the expectation of technique *name* holds, or why there is none."""
    return next(
        (r["scope"] for r in rows("techniques") if r["technique"] == name), "not published"
    )
