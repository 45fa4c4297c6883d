# SPDX-License-Identifier: Apache-2.0
"""Layers of a transformer, from its shape.

Decoders, encoders, both; attention of many heads, of grouped queries, latent, within a window;
gated and plain feed-forward; mixtures of experts. Every bias and gain is counted, so that the
number of parameters is the published one.

A token meets each key of its sequence as frameworks compute it (``full``); a causal mask lets it
meet only itself and those before (``causal``, about half). The published convention of
utilisations (PaLM appendix B, Megatron) is ``full``.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError
from submeter.workloads.layers import Layer, positive

Scores = Literal["full", "causal"]
Family = Literal["decoder", "encoder", "encoder-decoder"]

# Elementwise operations of one number, forward, each function call as one. Layer norm: mean 1,
# centre 1, square and sum 2, scale 1, gain and bias 2; without mean and bias 4. Softmax: maximum,
# difference, exponential, sum, quotient. GELU by tanh 8, SiLU 4, ReLU 1; the gate's product 1.
NORM_FLOP: Final = {1: 4.0, 2: 7.0}  # by gains and biases of each number
SOFTMAX_FLOP: Final = 5.0
ACTIVATION_FLOP: Final = {False: 8.0, True: 5.0}  # plain, gated
PLAIN_SCORE_TRAFFIC: Final = 4.0  # scores written and read, their softmax written and read


class Experts(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture of experts in place of the feed-forward.

    ``ffn`` is the width of one routed expert, ``shared_ffn`` that of all shared ones together.
    Every ``every``-th layer has experts, the ``first_dense`` first ones have none. With
    ``capacity_ratio`` each expert has that many times its even share of slots: what is above
    holds no token and is computed all the same, what is missing drops tokens.
    """

    routed: int
    active: int
    ffn: float
    shared_ffn: float = 0.0
    every: int = 1
    first_dense: int = 0
    capacity_ratio: float | None = None
    shared_gate: bool = False
    router_bias: bool = False

    def __post_init__(self) -> None:
        positive(self.ffn, "width of an expert")
        if not 0 < self.active <= self.routed:
            raise UsageError(
                f"{self.active} of {self.routed} experts are active",
                remedy="give from 1 active expert to all of them",
            )
        if self.every < 1 or self.first_dense < 0:
            raise UsageError(
                f"experts in every {self.every}th layer after {self.first_dense} dense ones",
                remedy="give every >= 1 and first_dense >= 0",
            )
        if self.capacity_ratio is not None:
            positive(self.capacity_ratio, "capacity_ratio")


class Latent(msgspec.Struct, frozen=True, kw_only=True):
    """Latent attention (DeepSeek-V2): queries, keys and values through narrow matrices."""

    q_rank: float | None
    kv_rank: float
    nope: float
    rope: float
    value: float


class TransformerShape(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a transformer. Widths are numbers, not necessarily whole, so that shapes scale.

    Attributes
    ----------
    layers, encoder_layers
        Of the decoder (or of all that there is), and of the encoder of an encoder-decoder.
    width, ffn, vocab
        Of the hidden state, of the feed-forward, of the vocabulary.
    heads, kv_heads, head_width
        Queries; keys and values (as many, if None); width of one (``width / heads``, if None).
    gated, tied, norm_params
        Three matrices in the feed-forward; head and embedding are one matrix; 1 for RMS norm,
        2 for layer norm.
    attention_bias, output_bias, ffn_bias
        Biases of queries, keys and values; of the output projection; of the feed-forward.
    positions, segments, bias_buckets
        Learned positions; token types; buckets of relative positions (T5).
    norms_per_layer, norms_outside, head_norms
        Norms in a layer of decoder or encoder, outside of layers, and per head (2: query and key).
    window, windowed_layers
        A token meets at most so many others, in so many layers (all, if None).
    head
        ``vocab``; ``masked`` (BERT: dense, norm, vocabulary, bias); ``none``.
    patch_numbers
        Numbers in one patch of a vision transformer, whose embedding is a product then.
    """

    layers: int
    width: float
    heads: float
    ffn: float
    vocab: float
    family: Family = "decoder"
    encoder_layers: int = 0
    kv_heads: float | None = None
    head_width: float | None = None
    gated: bool = False
    tied: bool = True
    norm_params: int = 2
    attention_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    positions: int = 0
    segments: int = 0
    bias_buckets: int = 0
    norms_per_layer: int = 2
    norms_outside: int = 1
    head_norms: int = 0
    window: float | None = None
    windowed_layers: int | None = None
    head: Literal["vocab", "masked", "none"] = "vocab"
    pooler: bool = False
    patch_numbers: float = 0.0
    embedding_width: float | None = None
    experts: Experts | None = None
    latent: Latent | None = None

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "ffn", "vocab"):
            positive(getattr(self, name), name)
        for name in ("kv_heads", "head_width", "window"):
            value = getattr(self, name)
            if value is not None:
                positive(value, name)
        if self.family == "encoder-decoder":
            positive(self.encoder_layers, "encoder_layers")
        if self.norm_params not in NORM_FLOP:
            raise UsageError(
                f"a norm has {self.norm_params} numbers a channel",
                remedy="give 1 for RMS norm, 2 for layer norm",
            )

    @property
    def head_of(self) -> float:
        """Width of one head."""
        return self.width / self.heads if self.head_width is None else self.head_width

    @property
    def keys_of(self) -> float:
        """Heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads


def pairs(tokens: float, *, window: float | None, causal: bool) -> float:
    """Pairs of query and key in a sequence of *tokens*.

    Examples
    --------
    >>> pairs(4, window=None, causal=False), pairs(4, window=None, causal=True)
    (16, 10.0)
    >>> pairs(4, window=2, causal=True)
    7.0
    """
    seen = tokens if window is None else min(window, tokens)
    if not causal:
        return tokens * seen
    return tokens * seen - seen * (seen - 1) / 2


def layers_of(
    shape: TransformerShape,
    *,
    context_tokens: float,
    target_tokens: float | None = None,
    scores: Scores = "full",
    fused: bool = True,
) -> tuple[Layer, ...]:
    """All layers of one sequence.

    Parameters
    ----------
    context_tokens
        Tokens of a sequence; of an encoder-decoder, of its source.
    target_tokens
        Of an encoder-decoder: tokens of its target (as many as of the source, if None).
    scores
        ``full`` or ``causal``: which pairs of tokens count where a causal mask applies.
    fused
        Scores stay on the chip, and the backward pass computes them again (FlashAttention).
    """
    positive(context_tokens, "context_tokens")
    if scores not in ("full", "causal"):
        raise UsageError(f"“{scores}” is no way to count scores", remedy="use full or causal")
    target = context_tokens if target_tokens is None else positive(target_tokens, "target_tokens")
    both = shape.family == "encoder-decoder"
    made = list(_ends(shape, context_tokens, target if both else context_tokens))
    causal = scores == "causal"
    if both:
        made += _blocks(shape, shape.encoder_layers, context_tokens, causal=False, fused=fused)
        made += _blocks(shape, shape.layers, target, causal=causal, fused=fused)
        cross = _self_attention(shape, target, context_tokens)
        met = _scores(shape, target * context_tokens, target, context_tokens, fused=fused)
        made += [x.times(shape.layers) for x in (*cross, met, _norm(shape, target, 1))]
    else:
        masked = causal and shape.family == "decoder"
        made += _blocks(shape, shape.layers, context_tokens, causal=masked, fused=fused)
    return tuple(made)


def _ends(shape: TransformerShape, source: float, target: float) -> Iterator[Layer]:
    """Embedding, norms outside of layers, head."""
    both = shape.family == "encoder-decoder"
    read = source + target if both else target
    d, inner = shape.width, shape.embedding_width or shape.width
    extra = (shape.positions + shape.segments) * inner
    extra += shape.bias_buckets * shape.heads * (2 if both else 1)
    if shape.patch_numbers:
        made = 2.0 * shape.patch_numbers * d * read
        yield Layer(
            "embedding", made, (shape.patch_numbers + 2) * d + extra, None,
            shape.patch_numbers * read, d * read, repeat="never", input_gradient=False,
        )  # fmt: skip
    else:
        yield Layer(
            "embedding", 0.0, shape.vocab * inner + extra,
            inputs=inner * read, outputs=d * read, repeat="never",
        )  # fmt: skip
        if inner != d:
            yield Layer("embedding", 2.0 * inner * d * read, 2 * inner * d, repeat="never")
    ends = 2 if both else 1
    yield msgspec.structs.replace(_norm(shape, read, shape.norms_outside * ends), repeat="never")
    if shape.pooler:
        yield Layer("head", 2.0 * d * d, d * d + d, None, d, d, repeat="never")
    if shape.head == "masked":
        yield Layer(
            "head", 2.0 * d * inner * target, d * inner + inner + 2 * inner + shape.vocab, None,
            d * target, inner * target, NORM_FLOP[2] * inner * target, repeat="never",
        )  # fmt: skip
    if shape.head != "none":
        rows = 1.0 if shape.patch_numbers else target
        own = 0.0 if shape.tied else shape.vocab * inner
        yield Layer(
            "head", 2.0 * inner * shape.vocab * rows,
            own + (shape.vocab if shape.patch_numbers else 0.0), None,
            inner * rows, shape.vocab * rows, SOFTMAX_FLOP * shape.vocab * rows, repeat="never",
        )  # fmt: skip


def _norm(shape: TransformerShape, tokens: float, n: float) -> Layer:
    d = shape.width
    moved = d * tokens * n
    flop = NORM_FLOP[shape.norm_params] * moved
    return Layer("norms", 0.0, shape.norm_params * d * n, None, moved, moved, flop)


def _blocks(
    shape: TransformerShape, n: int, tokens: float, *, causal: bool, fused: bool
) -> list[Layer]:
    """*n* layers of self-attention and feed-forward."""
    wide = n if shape.window is None else n - min(shape.windowed_layers or n, n)
    parts = [layer.times(n) for layer in _self_attention(shape, tokens, tokens)]
    for many, window in ((wide, None), (n - wide, shape.window)):
        if many:
            met = pairs(tokens, window=window, causal=causal)
            parts.append(_scores(shape, met, tokens, tokens, fused=fused).times(many))
    parts.append(_norm(shape, tokens, shape.norms_per_layer * n))
    experts = shape.experts
    sparse = 0 if experts is None else max(n - experts.first_dense, 0) // experts.every
    if n - sparse:
        parts.append(_feed_forward(shape, shape.ffn, tokens, "feed-forward").times(n - sparse))
    if experts is not None and sparse:
        parts += [layer.times(sparse) for layer in _mixture(shape, experts, tokens)]
    return parts


def _self_attention(shape: TransformerShape, tokens: float, keys: float) -> list[Layer]:
    """Projections: queries from *tokens*, keys and values from *keys*, output."""
    if shape.latent is not None:
        return _latent(shape, shape.latent, tokens)
    d, h = shape.width, shape.head_of
    q, kv = shape.heads * h, 2 * shape.keys_of * h
    params = d * (q + kv) + q * d + shape.head_norms * h
    params += (q + kv if shape.attention_bias else 0.0) + (d if shape.output_bias else 0.0)
    flop = 2 * d * (2 * q * tokens + kv * keys)
    read = (d + q) * tokens + (d * keys if keys != tokens else 0.0)
    wrote = (q + d) * tokens + kv * keys
    return [Layer("attention", flop, params, None, read, wrote, d * tokens)]


def _latent(shape: TransformerShape, latent: Latent, tokens: float) -> list[Layer]:
    d, h = shape.width, shape.heads
    query, value = latent.nope + latent.rope, latent.value
    down_kv = latent.kv_rank + latent.rope
    shapes = [(d, down_kv), (latent.kv_rank, h * (latent.nope + value)), (h * value, d)]
    gains = latent.kv_rank
    if latent.q_rank is None:
        shapes.append((d, h * query))
    else:
        shapes += [(d, latent.q_rank), (latent.q_rank, h * query)]
        gains += latent.q_rank
    weights = sum(a * b for a, b in shapes)
    read, wrote = sum(a for a, _ in shapes), sum(b for _, b in shapes)
    return [
        Layer(
            "attention", 2 * weights * tokens, weights + gains, None,
            read * tokens, wrote * tokens, (NORM_FLOP[1] * gains + d) * tokens,
        )
    ]  # fmt: skip


def _scores(
    shape: TransformerShape, met: float, tokens: float, keys: float, *, fused: bool
) -> Layer:
    """Products of queries with keys, and of their softmax with values, for *met* pairs."""
    h, latent = shape.heads, shape.latent
    query = shape.head_of if latent is None else latent.nope + latent.rope
    value = shape.head_of if latent is None else latent.value
    kv = shape.keys_of if latent is None else h
    stored = 0.0 if fused else PLAIN_SCORE_TRAFFIC / 2 * h * met
    return Layer(
        "scores",
        2 * met * h * (query + value),
        inputs=h * query * tokens + kv * (query + value) * keys + stored,
        outputs=h * value * tokens + stored,
        elementwise_flop=SOFTMAX_FLOP * h * met,
        repeat="core",
        again_flop=2 * met * h * query if fused else 0.0,
    )


def _feed_forward(shape: TransformerShape, ffn: float, tokens: float, part: str) -> Layer:
    d, matrices = shape.width, 3 if shape.gated else 2
    biases = (matrices - 1) * ffn + d if shape.ffn_bias else 0.0
    return Layer(
        part,
        2 * matrices * d * ffn * tokens,
        matrices * d * ffn + biases,
        inputs=(d + ffn) * tokens,
        outputs=((matrices - 1) * ffn + d) * tokens,
        elementwise_flop=(ACTIVATION_FLOP[shape.gated] * ffn + d) * tokens,
    )


def _mixture(shape: TransformerShape, experts: Experts, tokens: float) -> list[Layer]:
    """Router, routed experts, shared experts."""
    d, n = shape.width, experts.routed
    one = _feed_forward(shape, experts.ffn, tokens, "experts")
    slots = 1.0 if experts.capacity_ratio is None else experts.capacity_ratio
    # not more slots than if every expert had every token
    slots = min(slots, n / experts.active)
    routed = one.times(experts.active * min(slots, 1.0))
    routed = msgspec.structs.replace(
        routed,
        params=one.params * n,
        active_params=one.params * experts.active,
        padded_flop=one.products_flop * experts.active * max(slots - 1.0, 0.0),
    )
    gates = n + (1 if experts.shared_gate else 0)
    bias = n if experts.router_bias else 0
    router = Layer(
        "router", 2 * d * gates * tokens, d * gates + bias, None,
        d * tokens, gates * tokens, SOFTMAX_FLOP * n * tokens,
    )  # fmt: skip
    made = [router, routed]
    if experts.shared_ffn:
        made.append(_feed_forward(shape, experts.shared_ffn, tokens, "experts"))
    return made
