# SPDX-License-Identifier: Apache-2.0
"""Shapes of published transformers, and the shape of one of which only the size is told.

The nearest published model of the same family lends its proportions: depth and width grow
together until the number of parameters is the one that was told. Operations a token depend little
on the proportions; by how much is measured on the published shapes themselves, each inferred from
the others (`SPREAD_RATIOS`, checked by tests/workloads/test_shapes.py).
"""

import math
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from submeter.catalog.names import near
from submeter.catalog.tables import rows
from submeter.errors import UsageError
from submeter.workloads.configs import _LEARNED_POSITIONS, STYLES
from submeter.workloads.convolutions import COLOURS
from submeter.workloads.layers import params_of
from submeter.workloads.transformers import Experts, Family, TransformerShape, layers_of

TABLE: Final = "model_shapes"
HEAD_WIDTH: Final = 128.0  # of most models since GPT-3's largest
# Half width of 95 % of useful operations a token, shape inferred from parameters alone: published
# shapes from those of other series, their context told, and not told. Small models differ more,
# for their vocabulary is most of them.
SMALL_PARAMS: Final = 5e8
SPREAD_RATIOS: Final = {  # by (small, context told)
    (False, True): 1.16, (False, False): 1.31, (True, True): 1.60, (True, False): 1.60,
}  # fmt: skip
IMAGE_SIDE: Final = 224.0  # pixels, of all listed vision transformers
NEIGHBOURS: Final = 3
_ROUGH_STEPS: Final = 24  # bisections for a depth that is rounded
_STEPS: Final = 60  # bisections to the last bit of a float


class Known(msgspec.Struct, frozen=True):
    """A published shape: its sequence, its parameters, and whence."""

    key: str
    name: str
    like: str
    shape: TransformerShape
    context_tokens: float
    params: float
    source: str


@cache
def known_shapes() -> tuple[Known, ...]:
    """All published shapes."""
    return tuple(_known(row) for row in rows(TABLE))


def known_shape(name: str) -> Known:
    """Give the published shape of this *name*."""
    asked = _bare(name)
    for known in known_shapes():
        if asked in (_bare(known.key), _bare(known.name)):
            return known
    close = near(name, [k.key for k in known_shapes()])
    raise UsageError(
        f"“{name[:40]}” is no model whose shape we list",
        remedy=f"use {', '.join(close) or 'llama-7b, gpt2-small, bert-base'}, or tell its params",
    )


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())  # the point stays: 1.3b is not 13b


def families_of(like: str) -> Mapping[str, Any]:
    """What models *like* this one have in common."""
    if like not in STYLES:
        close = near(like, list(STYLES))
        raise UsageError(
            f"“{like[:40]}” is no model type that we know",
            remedy=f"use {', '.join(close or STYLES)}",
        )
    return STYLES[like]


def params_of_shape(shape: TransformerShape) -> float:
    """Parameters of a model of this *shape*."""
    return params_of(layers_of(shape, context_tokens=1.0))


def nearest(params: float, family: Family, among: tuple[Known, ...] | None = None) -> Known:
    """Published dense model of this *family* that is most usual among those nearest in size.

    Of the three nearest in size the one whose operations for each parameter are the middle: no
    model of an unusual vocabulary speaks for all.
    """
    fitting = [
        k
        for k in (known_shapes() if among is None else among)
        if k.shape.family == family and is_dense_language(k.shape)
    ]
    closest = sorted(fitting, key=lambda k: (abs(math.log(k.params / params)), k.key))[:NEIGHBOURS]
    return sorted(closest, key=_density)[len(closest) // 2]


def is_dense_language(shape: TransformerShape) -> bool:
    """Whether it is a model of language without experts."""
    return shape.experts is None and not shape.patch_numbers


def _density(known: Known) -> float:
    layers = layers_of(known.shape, context_tokens=known.context_tokens)
    products = sum(layer.products_flop for layer in layers)
    return products / known.context_tokens / known.params


def scaled(shape: TransformerShape, params: float) -> TransformerShape:
    """Give *shape* grown or shrunk, depth and width together, to exactly so many *params*.

    Heads keep their width; the depth is a whole number, and the width takes what is left.
    """

    def at(growth: float, depth: float) -> TransformerShape:
        own = shape.head_of
        return msgspec.structs.replace(
            shape,
            layers=max(1, round(shape.layers * depth)),
            encoder_layers=round(shape.encoder_layers * depth) or min(shape.encoder_layers, 1),
            width=shape.width * growth,
            ffn=shape.ffn * growth,
            heads=shape.heads * growth,
            kv_heads=None if shape.kv_heads is None else shape.kv_heads * growth,
            head_width=own,
        )

    def solved(depth: float | None) -> float:
        low, high = 1e-5, 1e4
        for _ in range(_ROUGH_STEPS if depth is None else _STEPS):
            middle = math.sqrt(low * high)
            found = params_of_shape(at(middle, middle if depth is None else depth))
            low, high = (middle, high) if found < params else (low, middle)
        return math.sqrt(low * high)

    depth = solved(None)
    return at(solved(depth), depth)


def inferred(
    params: float, family: Family = "decoder", *, among: tuple[Known, ...] | None = None
) -> tuple[TransformerShape, Known]:
    """Shape of a model of which only the size is told, and the model that it was taken from."""
    if among is None:
        return _inferred(params, family)
    known = nearest(params, family, among)
    return scaled(known.shape, params), known


@lru_cache(maxsize=1024)
def _inferred(params: float, family: Family) -> tuple[TransformerShape, Known]:
    """Many questions are of few sizes, and each takes a search."""
    known = nearest(params, family)
    return scaled(known.shape, params), known


def completed(
    fields: Mapping[str, Any], params: float
) -> tuple[TransformerShape, tuple[str, ...]]:
    """Shape of which only some is told, beside its size; and what was put in for the rest.

    Missing heads are 128 wide, a missing vocabulary is that of the nearest published model, and
    what feed-forward is missing takes the parameters that are left.
    """
    known = nearest(params, fields.get("family", "decoder"))
    given, notes = dict(fields), []
    if "heads" not in given:
        given["heads"] = max(1.0, round(given["width"] / HEAD_WIDTH))
        notes.append(f"{given['heads']:.0f} heads assumed")
    if "vocab" not in given:
        given["vocab"] = known.shape.vocab
        notes.append(f"vocabulary of {known.shape.vocab:.0f} assumed, that of {known.name}")
    if "ffn" not in given:
        shape = TransformerShape(**given, ffn=1.0)
        one = params_of_shape(shape)
        each = params_of_shape(msgspec.structs.replace(shape, ffn=2.0)) - one
        given["ffn"] = 1.0 + (params - one) / each if params > one else given["width"]
        notes.append(f"feed-forward of {given['ffn']:.0f} assumed, so that the size is met")
    return TransformerShape(**given), tuple(notes)


def spread_ratio_of(params: float, *, context_told: bool) -> float:
    """By what factor the operations may differ where only the size is told."""
    return SPREAD_RATIOS[params < SMALL_PARAMS, context_told]


def _known(row: Mapping[str, str]) -> Known:
    fields = dict(STYLES[row["like"]])
    fields |= {name: float(row[name]) for name in ("width", "heads", "ffn", "vocab")}
    fields |= {name: float(row[name]) for name in ("kv_heads", "head_width") if row[name]}
    fields |= {"layers": int(row["layers"]), "tied": row["tied"] == "1"}
    context = float(row["context_tokens"])
    if row["like"] in _LEARNED_POSITIONS:
        shift = 2 if row["like"] in ("opt", "roberta") else 0
        fields["positions"] = int(context) + shift
    if row["like"] == "vit":  # patches of an image, and one token for its class
        fields["positions"] = int(context)
        fields["patch_numbers"] = COLOURS * IMAGE_SIDE**2 / (context - 1)
    if row["encoder_layers"]:
        fields["encoder_layers"] = int(row["encoder_layers"])
    if row["experts"]:
        fields["experts"] = Experts(
            routed=int(row["experts"]),
            active=int(row["active_experts"]),
            ffn=float(row["expert_ffn"]),
        )
    return Known(
        row["key"], row["name"], row["like"], TransformerShape(**fields), context,
        float(row["params"]), row["source"],
    )  # fmt: skip
