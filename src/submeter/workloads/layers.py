# SPDX-License-Identifier: Apache-2.0
"""From layers to a training: forward, backward, what is done again, the optimiser's steps.

A `Layer` tells what one sample (a sequence, an image) costs forward. The backward pass costs
twice as much, for it multiplies both by the weights and by the inputs; the first layer of a
network needs no gradient of its input and costs once. Bytes are a lower bound: each operand of a
matrix product moves once, weights once a step.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError
from submeter.workloads.workloads import NOTHING, Operations, total

Recomputation = Literal["none", "selective", "full"]
Repeat = Literal["never", "core", "block"]

# Bytes of one number.
PRECISIONS: Final[Mapping[str, float]] = {
    "fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0,
    "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5,
}  # fmt: skip
_PRECISION_WORDS: Final = {
    "float64": "fp64", "double": "fp64", "float32": "fp32", "float": "fp32", "single": "fp32",
    "tensorfloat32": "tf32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16",
    "mixed": "fp16", "float8": "fp8", "e4m3": "fp8", "e5m2": "fp8", "mxfp8": "fp8",
    "nvfp4": "fp4", "mxfp4": "fp4",
}  # fmt: skip
MASTER_BYTES: Final = 4.0  # weights and moments of an optimiser are kept in single precision
BACKWARD_ELEMENTWISE: Final = 2.0  # gradient of an elementwise function, over its forward cost


class Optimiser(msgspec.Struct, frozen=True):
    """What one step costs for each parameter.

    ``flop`` counts additions, products, roots and quotients of the update rule; ``moments`` are
    the numbers kept beside the weight, of ``moment_bytes`` each.
    """

    flop: float
    moments: int
    moment_bytes: float = 4.0


# SGD: w -= lr·g. Momentum (Polyak 1964): v = μv + g. Adam (Kingma & Ba 2015, algorithm 1): two
# moments 3 + 4, two corrections 2, root, epsilon, quotient, rate, difference 5. AdamW (Loshchilov
# & Hutter 2019) takes the decayed weight off: 2. LAMB (You et al. 2020) has two norms: 4 more.
# LARS (You et al. 2017): the norms of weight and gradient 4, decay 2, v = μv + λ·g 3, w -= v 1.
# Nesterov (Sutskever et al. 2013): v = μv + g, then g + μv, then the step, 2 each. Adagrad (Duchi
# et al. 2011): h += g² 2; RMSProp (Tieleman & Hinton 2012): v = αv + (1-α)g² 4; both then root,
# epsilon, quotient, rate, difference 5. Adamax (Kingma & Ba 2015, algorithm 2): first moment 3,
# β₂u, |g| and the maximum 3, quotient, rate, difference 3. NAdam (Dozat 2016): Adam, and the
# gradient joins the first moment by 3. Lion (Chen et al. 2023): two averages 3 + 3, sign, decay,
# sum, rate, difference 5. Adafactor (Shazeer & Stern 2018, algorithm 4): g² + ε 2, sums of rows
# and columns 2, their product and its root 2, quotient 1, norms of update and weight 4, clipping,
# rate, difference 3; it keeps a row and a column, next to nothing. Moments of 8 bits (Dettmers et
# al. 2022) add their two scalings each way: 4.
OPTIMISERS: Final[Mapping[str, Optimiser]] = {
    "none": Optimiser(0, 0),
    "sgd": Optimiser(2, 0),
    "momentum": Optimiser(4, 1),
    "adam": Optimiser(14, 2),
    "adamw": Optimiser(16, 2),
    "lamb": Optimiser(20, 2),
    "lars": Optimiser(10, 1),
    "nesterov": Optimiser(6, 1),
    "adagrad": Optimiser(7, 1),
    "rmsprop": Optimiser(9, 1),
    "adamax": Optimiser(9, 2),
    "nadam": Optimiser(17, 2),
    "lion": Optimiser(11, 1),
    "adafactor": Optimiser(14, 0),
    "adamw8bit": Optimiser(20, 2, 1.0),
}
_OPTIMISER_WORDS: Final = {
    "sgdm": "momentum", "sgdmomentum": "momentum", "sgdwithmomentum": "momentum",
    "sgdnesterov": "nesterov", "sgdwithnesterov": "nesterov", "nesterovmomentum": "nesterov",
    "adam8bit": "adamw8bit", "8bitadam": "adamw8bit", "8bitadamw": "adamw8bit",
    "fusedadam": "adam", "fusedadamw": "adamw", "adamwtorch": "adamw", "adamwtorchfused": "adamw",
}  # fmt: skip


class Layer(msgspec.Struct, frozen=True):
    """What a layer costs for one sample, forward.

    Attributes
    ----------
    part
        Where it belongs: attention, feed-forward, convolution, ….
    products_flop
        Matrix products of one sample [FLOP].
    params, active_params
        Weights, and those that one token meets (all, unless it has experts).
    inputs, outputs
        Numbers that its products read and write for one sample.
    elementwise_flop
        What is not a product, about [FLOP].
    repeat
        What recomputation does to it: never again, again with the core of attention, or again
        with its block.
    again_flop
        Products that nobody needs but the machine does all the same [FLOP].
    padded_flop
        Forward products of empty slots, whose backward pass is done as well [FLOP].
    input_gradient
        Whether the backward pass needs the gradient of its input.
    """

    part: str
    products_flop: float = 0.0
    params: float = 0.0
    active_params: float | None = None
    inputs: float = 0.0
    outputs: float = 0.0
    elementwise_flop: float = 0.0
    repeat: Repeat = "block"
    again_flop: float = 0.0
    padded_flop: float = 0.0
    input_gradient: bool = True

    def times(self, n: float) -> "Layer":
        """*n* layers such as this, as one row."""
        return msgspec.structs.replace(
            self,
            products_flop=self.products_flop * n,
            params=self.params * n,
            active_params=None if self.active_params is None else self.active_params * n,
            inputs=self.inputs * n,
            outputs=self.outputs * n,
            elementwise_flop=self.elementwise_flop * n,
            again_flop=self.again_flop * n,
            padded_flop=self.padded_flop * n,
        )

    @property
    def met_params(self) -> float:
        """Weights that one token meets."""
        return self.params if self.active_params is None else self.active_params


class Counted(msgspec.Struct, frozen=True):
    """A training, counted: parameters, operations, and the operations by part."""

    params: float
    active_params: float
    parts: dict[str, Operations]

    @property
    def operations(self) -> Operations:
        """Sum of all parts."""
        return total(self.parts.values())


def precision_of(word: str) -> str:
    """Give the name under which we list the precision *word*.

    Examples
    --------
    >>> precision_of("bfloat16"), precision_of("FP8")
    ('bf16', 'fp8')
    """
    plain = word.strip().lower().removeprefix("torch.").replace("-", "").replace("_", "")
    name = _PRECISION_WORDS.get(plain, plain)
    if name not in PRECISIONS:
        raise UsageError(
            f"“{word[:40]}” is no precision that we know", remedy=f"use {', '.join(PRECISIONS)}"
        )
    return name


def optimiser_of(word: str) -> Optimiser:
    """Give what one step of the optimiser *word* costs.

    Examples
    --------
    >>> optimiser_of("SGD with momentum") == optimiser_of("momentum")
    True
    """
    plain = "".join(c for c in word.lower() if c.isalnum())
    found = OPTIMISERS.get(_OPTIMISER_WORDS.get(plain, plain))
    if found is None:
        raise UsageError(
            f"“{word[:40]}” is no optimiser that we know", remedy=f"use {', '.join(OPTIMISERS)}"
        )
    return found


def positive(value: float, name: str) -> float:
    """Give *value* back if it is a finite number above 0."""
    if isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise UsageError(
            f"{name} is {value}, but it is a finite number above 0",
            remedy=f"give {name.replace('_', ' ')} as a positive number",
        )
    return value


def params_of(layers: Iterable[Layer]) -> float:
    """Parameters of *layers*."""
    return sum(layer.params for layer in layers)


def train(
    layers: Sequence[Layer],
    *,
    samples: float,
    batch_samples: float,
    precision: str = "bf16",
    optimiser: str = "adamw",
    recomputation: Recomputation = "none",
) -> Counted:
    """Operations of training *layers* on *samples*, by part.

    Parameters
    ----------
    samples
        Sequences or images that pass forward and backward, repeated ones counted again.
    batch_samples
        Samples of one step of the optimiser, all devices together.
    precision
        Of products and activations: a key of `PRECISIONS`.
    optimiser
        A key of `OPTIMISERS`.
    recomputation
        ``selective`` computes the scores of attention again in the backward pass, ``full`` all of
        each block; neither changes what is useful.

    Returns
    -------
    Counted
        Parts sum to the whole; the optimiser is a part of its own.

    Notes
    -----
    Products: ``forward = Σ f``, ``backward = Σ (2 f, or f without input gradient)``.
    Bytes of a step: activations ``(in + out) · (1 + 2)``, weights read twice and their gradients
    written once; the optimiser reads gradient, master weight and moments, writes master weight,
    moments and the weight. Data-parallel copies and micro-batches read weights more often: the
    figure is a lower bound.

    References
    ----------
    .. [1] Korthikanti et al. 2022, Reducing Activation Recomputation, section 5.
    """
    positive(samples, "samples")
    steps = samples / positive(batch_samples, "batch_samples")
    precision = precision_of(precision)
    rule = optimiser_of(optimiser)
    if recomputation not in ("none", "selective", "full"):
        raise UsageError(
            f"“{recomputation}” is no way of recomputation", remedy="use none, selective or full"
        )
    parts: dict[str, Operations] = {}
    for layer in layers:
        counted = _trained(layer, samples, steps, PRECISIONS[precision], recomputation)
        parts[layer.part] = parts.get(layer.part, NOTHING) + counted
    params = params_of(layers)
    if rule.flop:
        parts["optimiser"] = _stepped(rule, params, steps, PRECISIONS[precision])
    return Counted(params, sum(layer.met_params for layer in layers), parts)


def _trained(
    layer: Layer, samples: float, steps: float, width_bytes: float, recomputation: Recomputation
) -> Operations:
    passes = 2 if layer.input_gradient else 1
    again = layer.again_flop + layer.padded_flop * (1 + passes)
    repeated = layer.repeat == "core" and recomputation == "selective"
    if repeated or (layer.repeat != "never" and recomputation == "full"):
        done = layer.products_flop + layer.padded_flop
        # a fused kernel that repeats the scores anyway repeats them once more with its block
        again = max(again, layer.products_flop) if repeated else again + done
    moved = (layer.inputs + layer.outputs) * (1 + passes)
    weights = layer.params * (1 + passes)  # read forward, read for the input, gradient written
    return Operations(
        forward_flop=layer.products_flop * samples,
        backward_flop=layer.products_flop * passes * samples,
        recomputed_flop=again * samples,
        bytes_moved=(moved * samples + weights * steps) * width_bytes,
        elementwise_flop=layer.elementwise_flop * (1 + BACKWARD_ELEMENTWISE) * samples,
    )


def _stepped(rule: Optimiser, params: float, steps: float, width_bytes: float) -> Operations:
    copy = width_bytes if width_bytes < MASTER_BYTES else 0.0  # the weight that products use
    moment = max(rule.moment_bytes, width_bytes if rule.moment_bytes >= MASTER_BYTES else 0.0)
    state = 2 * (max(MASTER_BYTES, width_bytes) + rule.moments * moment)
    return Operations(
        0.0,
        0.0,
        optimiser_flop=rule.flop * params * steps,
        bytes_moved=(width_bytes + state + copy) * params * steps,
    )
