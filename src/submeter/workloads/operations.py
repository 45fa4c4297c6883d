# SPDX-License-Identifier: Apache-2.0
"""Operations of a whole training, by the formulas of its layers.

One door for each family: `transformer`, `mixture_of_experts`, `cnn`, `recurrent`, `perceptron`.
Each gives parameters, operations, and the operations by part. One fused multiply-add is two FLOP.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from submeter.workloads.convolutions import CLASSES, image_layers
from submeter.workloads.layers import (
    Counted,
    Recomputation,
    params_of,
    positive,
    train,
)
from submeter.workloads.recurrences import Cell, perceptron_layers, recurrent_layers
from submeter.workloads.transformers import Experts, Scores, TransformerShape, layers_of

IMAGES_A_STEP: Final = 256.0  # He et al. 2016, section 3.4
SEQUENCES_A_STEP: Final = 64.0  # assumed; only the optimiser's steps depend on it
# Tokens of a step by parameters: Brown et al. 2020 (GPT-3), table 2.1.
TOKENS_A_STEP: Final = ((1e9, 0.5e6), (5e9, 1e6), (5e10, 2e6), (float("inf"), 3.2e6))


def tokens_a_step(params: float, tokens: float) -> float:
    """Tokens in a step of a model of so many *params*, at most all *tokens*."""
    return min(next(batch for most, batch in TOKENS_A_STEP if params < most), tokens)


def transformer(
    shape: TransformerShape,
    *,
    tokens: float,
    context_tokens: float,
    target_tokens: float | None = None,
    batch_tokens: float | None = None,
    precision: str = "bf16",
    optimiser: str = "adamw",
    recomputation: Recomputation = "none",
    scores: Scores = "full",
    fused: bool = True,
) -> Counted:
    """Operations of training a transformer.

    Parameters
    ----------
    tokens
        In the whole training, repeated ones counted again; of an encoder-decoder, of source and
        target together.
    context_tokens, target_tokens
        Tokens of a sequence; of an encoder-decoder, of its source and of its target.
    batch_tokens
        Tokens of one step; by the size of the model, if None (`tokens_a_step`).
    scores
        ``full``: every query meets every key, the convention of utilisations; ``causal``: only
        what the mask leaves.
    fused
        Scores never reach memory, and are computed again in the backward pass.

    Notes
    -----
    For a plain decoder of L layers, width d and vocabulary V, on B sequences of T tokens, forward
    and backward: ``3 (24 B T L d² + 4 B T² L d + 2 B T d V)`` [1]_.

    References
    ----------
    .. [1] Narayanan et al. 2021, Megatron-LM (arXiv:2104.04473), appendix.

    Examples
    --------
    >>> gpt2 = TransformerShape(layers=12, width=768, heads=12, ffn=3072, vocab=50257)
    >>> counted = transformer(gpt2, tokens=1e9, context_tokens=1024)
    >>> round(counted.operations.useful_flop / 1e9 / 1e9, 3)  # GFLOP a token
    0.854
    """
    positive(tokens, "tokens")
    layers = layers_of(
        shape, context_tokens=context_tokens, target_tokens=target_tokens,
        scores=scores, fused=fused,
    )  # fmt: skip
    sequence = context_tokens
    if shape.family == "encoder-decoder":
        sequence += context_tokens if target_tokens is None else target_tokens
    if batch_tokens is None:
        batch_tokens = tokens_a_step(params_of(layers), tokens)
    return train(
        layers,
        samples=tokens / sequence,
        batch_samples=positive(batch_tokens, "batch_tokens") / sequence,
        precision=precision,
        optimiser=optimiser,
        recomputation=recomputation,
    )


def mixture_of_experts(shape: TransformerShape, experts: Experts, **training: Any) -> Counted:
    """Operations of training *shape* with *experts* in place of its feed-forward.

    Takes what `transformer` takes. Active parameters are those of the experts that one token
    meets, with everything that all tokens share.
    """
    return transformer(msgspec.structs.replace(shape, experts=experts), **training)


def cnn(
    name: str,
    *,
    images: float,
    image_side: int | None = None,
    classes: int = CLASSES,
    batch_images: float | None = None,
    precision: str = "fp32",
    optimiser: str = "momentum",
    recomputation: Recomputation = "none",
) -> Counted:
    """Operations of training a convolutional network of known *name* on *images*.

    ``images`` counts each image once an epoch. The first convolution needs no gradient of its
    input, so that backward is a little less than twice forward.

    Examples
    --------
    >>> one = cnn("resnet50", images=1).operations.forward_flop
    >>> round(one / 2e9, 2)  # GMAC an image
    4.09
    """
    positive(images, "images")
    batch = min(IMAGES_A_STEP, images) if batch_images is None else batch_images
    return train(
        image_layers(name, image_side=image_side, classes=classes),
        samples=images,
        batch_samples=positive(batch, "batch_images"),
        precision=precision,
        optimiser=optimiser,
        recomputation=recomputation,
    )


def recurrent(
    cell: Cell,
    *,
    sequences: float,
    steps: float,
    inputs: float,
    hidden: float,
    layers: int = 1,
    directions: int = 1,
    outputs: float = 0.0,
    vocab: float = 0.0,
    batch_sequences: float | None = None,
    precision: str = "fp32",
    optimiser: str = "adam",
) -> Counted:
    """Operations of training a recurrent network on *sequences* of so many *steps*.

    The rest as in `submeter.workloads.recurrences.recurrent_layers`.
    """
    positive(sequences, "sequences")
    batch = min(SEQUENCES_A_STEP, sequences) if batch_sequences is None else batch_sequences
    return train(
        recurrent_layers(
            cell, inputs=inputs, hidden=hidden, layers=layers, steps=steps,
            directions=directions, outputs=outputs, vocab=vocab,
        ),
        samples=sequences,
        batch_samples=positive(batch, "batch_sequences"),
        precision=precision,
        optimiser=optimiser,
    )  # fmt: skip


def perceptron(
    widths: Sequence[float],
    *,
    samples: float,
    batch_samples: float | None = None,
    precision: str = "fp32",
    optimiser: str = "adam",
) -> Counted:
    """Operations of training a multi-layer perceptron: inputs, hidden, …, outputs."""
    positive(samples, "samples")
    batch = min(SEQUENCES_A_STEP, samples) if batch_samples is None else batch_samples
    return train(
        perceptron_layers(widths),
        samples=samples,
        batch_samples=positive(batch, "batch_samples"),
        precision=precision,
        optimiser=optimiser,
    )
