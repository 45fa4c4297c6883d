# SPDX-License-Identifier: Apache-2.0
"""Small models whose operations were counted by hand, each with its formula.

``forward`` and ``backward`` are useful operations [FLOP], a fused multiply-add being two;
``again`` are those executed beyond them. Every case is counted on the meta device and, unless it
says otherwise, on the processor, where torch calls other operators for the same model.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Case(NamedTuple):
    """A model, its input, and what it must come to."""

    build: Callable[[], nn.Module]
    batch: Any
    forward: float
    backward: float
    again: float = 0.0
    devices: tuple[str, ...] = ("meta", "cpu")
    train: bool = True


class Fn(nn.Module):  # type: ignore[misc]
    """A module around a function of its one weight (or none) and its inputs."""

    def __init__(self, function: Callable[..., Any], *shape: int) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(*shape)) if shape else None

    def forward(self, *inputs: Any) -> Any:
        return (
            self.function(*inputs) if self.weight is None else self.function(*inputs, self.weight)
        )


def leaf(*shape: int) -> Any:
    return torch.randn(*shape, requires_grad=True)


# --- a small GPT: width 256, 4 layers, 512 tokens, batch of 2, 1000 words -------------------

D, L, T, B, V, HEADS = 256, 4, 512, 2, 1000, 8


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, *, causal: bool = True, again: str = "") -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.causal, self.again = causal, again

    def inner(self, x: Any) -> Any:
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))

    def forward(self, x: Any) -> Any:
        if self.again:
            return checkpoint(self.inner, x, use_reentrant=self.again == "reentrant")
        return self.inner(x)


class Gpt(nn.Module):  # type: ignore[misc]
    def __init__(self, *, tied: bool = False, causal: bool = True, again: str = "") -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(V, D), nn.Embedding(T, D)
        self.layers = nn.ModuleList(Layer(causal=causal, again=again) for _ in range(L))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, V, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, x: Any) -> Any:
        y = self.words(x) + self.places(torch.arange(x.shape[1], device=x.device))
        for layer in self.layers:
            y = layer(y)
        return self.head(self.norm(y))


GPT_LAYERS = 24 * B * T * L * D * D + 4 * B * T * T * L * D  # 24 B T L d² + 4 B T² L d
GPT = GPT_LAYERS + 2 * B * T * D * V  # + 2 B T d V
SCORES = 2 * B * T * T * L * D  # Q Kᵀ of all layers
TOKENS = torch.zeros(B, T, dtype=torch.long)


def plain_attention(*inputs: Any) -> Any:
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        return functional.scaled_dot_product_attention(*inputs)


def autocast(model: nn.Module) -> nn.Module:
    def run(x: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(x)

    wrapped = Fn(run)
    wrapped.inner = model
    return wrapped


def multihead(*, fast: bool) -> nn.Module:
    wrapped = Fn(lambda x: inner(x, x, x, need_weights=not fast)[0])
    wrapped.inner = inner = nn.MultiheadAttention(64, 4, batch_first=True)
    return wrapped


class First(nn.Module):  # type: ignore[misc]
    """A recurrent layer's sequence of outputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return self.layer(x)[0]


def recurrent(
    gates: int, sizes: list[int], *, steps: int, batch: int, ways: int = 1
) -> tuple[float, float]:
    """Forward 2·T·B·G·H·(I + H); backward: as much for weights, states but the first, inputs but
    those of the first layer."""
    forward = backward = 0.0
    for layer, (wide, hidden) in enumerate(itertools.pairwise(sizes)):
        inputs = 2.0 * batch * gates * hidden * (wide * (ways if layer else 1)) * ways
        states = 2.0 * batch * gates * hidden * hidden * ways
        forward += steps * (inputs + states)
        backward += steps * (inputs + states) + (steps - 1) * states
        backward += steps * inputs if layer else 0.0
    return forward, backward


RNN_BATCH = torch.randn(20, 4, 24)  # 20 steps, batch of 4, 24 wide; hidden 32
LSTM = recurrent(4, [24, 32], steps=20, batch=4)
LSTM2 = recurrent(4, [24, 32, 32], steps=20, batch=4, ways=2)
GRU = recurrent(3, [24, 32], steps=20, batch=4)
RNN = recurrent(1, [24, 32], steps=20, batch=4)
# oneDNN computes the gradients of the first layer's inputs and of first states all the same
LSTM_AGAIN = 2.0 * 4 * 128 * (20 * 24 + 32)

CONV = 2.0 * 2 * 16 * 16 * 8 * 3 * 9  # 2·N·H·W·C_out·C_in·k²
DEEP = 2.0 * 2 * 16 * 16 * 8 * 1 * 9  # depthwise: C_in / groups = 1
GROUPED = 2.0 * 2 * 16 * 16 * 8 * 2 * 9  # 4 groups of 2
TRANSPOSED = 2.0 * 2 * 16 * 16 * 8 * 6 * 16  # positions of the input
ONE = 2.0 * 32 * 64 * 128
ATT = 4.0 * 2 * 4 * 96 * 96 * 16  # 4·B·H·T²·d
QUERY, KEYS = (2, 4, 96, 16), (2, 2, 96, 16)
MHA_PROJECTED, MHA_MIXED = 2.0 * 2 * 48 * 64 * 64 * 4, 4.0 * 2 * 48 * 48 * 64
ENCODER = MHA_PROJECTED + MHA_MIXED + 4.0 * 2 * 48 * 64 * 160
META, CPU = ("meta",), ("cpu",)


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(64, 4, 160, batch_first=True, dropout=0.0)


def two_layers(middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), middle)


def attend(**options: Any) -> nn.Module:
    return Fn(lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, **options))


CASES: dict[str, Case] = {
    # dense: forward 2·rows·in·out, backward as much for the weights and, unless first, the inputs
    "linear, first layer": Case(lambda: nn.Linear(64, 128), torch.randn(32, 64), ONE, ONE),
    "linear, input wants a gradient": Case(lambda: nn.Linear(64, 128), leaf(32, 64), ONE, 2 * ONE),
    "linear, frozen": Case(
        lambda: nn.Linear(64, 128).requires_grad_(requires_grad=False), leaf(32, 64), ONE, ONE
    ),
    "two linear layers": Case(
        lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64)),
        torch.randn(32, 64), 2 * ONE, 3 * ONE,
    ),
    "not trained": Case(lambda: nn.Linear(64, 128), torch.randn(32, 64), ONE, 0, train=False),
    "addmm": Case(lambda: Fn(torch.addmm, 64, 128),
                  (torch.randn(32, 128), torch.randn(32, 64)), ONE, ONE),
    "bmm": Case(lambda: Fn(torch.bmm, 5, 64, 128), torch.randn(5, 32, 64), 5 * ONE, 5 * ONE),
    "baddbmm": Case(lambda: Fn(torch.baddbmm, 5, 64, 128),
                    (torch.randn(5, 32, 128), torch.randn(5, 32, 64)), 5 * ONE, 5 * ONE),
    "addbmm": Case(lambda: Fn(torch.addbmm, 5, 64, 128),
                   (torch.randn(32, 128), torch.randn(5, 32, 64)), 5 * ONE, 5 * ONE),
    "einsum": Case(lambda: Fn(lambda x, w: torch.einsum("bsi,io->bso", x, w), 64, 128),
                   torch.randn(4, 8, 64), ONE, ONE),
    "matrix times vector": Case(lambda: Fn(torch.mv, 64), torch.randn(32, 64), 2 * 32 * 64,
                                2 * 32 * 64),
    "dot product": Case(lambda: Fn(torch.dot, 4096), torch.randn(4096), 8192, 0),
    "bilinear": Case(lambda: nn.Bilinear(64, 32, 16), (torch.randn(8, 64), torch.randn(8, 32)),
                     2.0 * 8 * 16 * 64 * 32, 2.0 * 8 * 16 * 64 * 32),
    "inference mode": Case(
        lambda: Fn(torch.inference_mode()(functional.linear), 128, 64),
        torch.randn(32, 64), ONE, 0, train=False,
    ),
    # convolutions
    "convolution, first layer": Case(
        lambda: nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 16, 16), CONV, CONV
    ),
    "convolution, second layer": Case(
        lambda: two_layers(nn.Conv2d(8, 8, 1)), torch.randn(2, 3, 16, 16),
        CONV + 2.0 * 2 * 256 * 64, CONV + 2 * 2.0 * 2 * 256 * 64,
    ),
    "depthwise": Case(
        lambda: two_layers(nn.Conv2d(8, 8, 3, padding=1, groups=8)), torch.randn(2, 3, 16, 16),
        CONV + DEEP, CONV + 2 * DEEP,
    ),
    "grouped": Case(
        lambda: two_layers(nn.Conv2d(8, 8, 3, padding=1, groups=4)), torch.randn(2, 3, 16, 16),
        CONV + GROUPED, CONV + 2 * GROUPED,
    ),
    "transposed": Case(
        lambda: two_layers(nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1)),
        torch.randn(2, 3, 16, 16), CONV + TRANSPOSED, CONV + 2 * TRANSPOSED,
    ),
    "transposed, grouped": Case(
        lambda: two_layers(nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1, groups=2)),
        torch.randn(2, 3, 16, 16), CONV + TRANSPOSED / 2, CONV + TRANSPOSED,
    ),
    "dilated, with stride": Case(  # (31 - 2·2 - 1) // 2 + 1 = 14 positions
        lambda: nn.Conv1d(4, 6, 3, stride=2, dilation=2), torch.randn(2, 4, 31),
        2.0 * 2 * 14 * 6 * 4 * 3, 2.0 * 2 * 14 * 6 * 4 * 3,
    ),
    "three dimensions": Case(
        lambda: nn.Conv3d(2, 4, 3, padding=1), torch.randn(2, 2, 6, 6, 6),
        2.0 * 2 * 216 * 4 * 2 * 27, 2.0 * 2 * 216 * 4 * 2 * 27,
    ),
    # attention: Q Kᵀ and P V forward, four products backward, Q Kᵀ again where scores are not kept
    "fused attention": Case(attend, (leaf(*QUERY),) * 3, ATT, 2 * ATT, ATT / 2),
    "causal attention": Case(
        lambda: attend(is_causal=True), (leaf(*QUERY),) * 3, ATT, 2 * ATT, ATT / 2
    ),
    "masked attention": Case(
        lambda: attend(attn_mask=torch.ones(96, 96).tril().bool()),
        (leaf(*QUERY),) * 3, ATT, 2 * ATT, ATT / 2,
    ),
    "grouped-query attention": Case(
        lambda: attend(enable_gqa=True), (leaf(*QUERY), leaf(*KEYS), leaf(*KEYS)),
        ATT, 2 * ATT, ATT / 2,
    ),
    "attention to another length": Case(
        attend, (leaf(2, 4, 96, 16), leaf(2, 4, 24, 16), leaf(2, 4, 24, 16)),
        ATT / 4, ATT / 2, ATT / 8,
    ),
    "plain attention": Case(lambda: Fn(plain_attention), (leaf(*QUERY),) * 3, ATT, 2 * ATT),
    "attention by hand": Case(
        lambda: Fn(lambda q, k, v: (q @ k.mT).softmax(-1) @ v), (leaf(*QUERY),) * 3, ATT, 2 * ATT
    ),
    "nn.MultiheadAttention": Case(
        lambda: multihead(fast=True), torch.randn(2, 48, 64), MHA_PROJECTED + MHA_MIXED,
        2 * MHA_PROJECTED * 1 - MHA_PROJECTED * 3 / 4 + 2 * MHA_MIXED, MHA_MIXED / 2,
    ),
    "nn.MultiheadAttention, with its weights": Case(
        lambda: multihead(fast=False), torch.randn(2, 48, 64), MHA_PROJECTED + MHA_MIXED,
        2 * MHA_PROJECTED - MHA_PROJECTED * 3 / 4 + 2 * MHA_MIXED,
    ),
    "nn.MultiheadAttention, fast path": Case(
        lambda: multihead(fast=True), torch.randn(2, 48, 64), MHA_PROJECTED + MHA_MIXED, 0,
        train=False,
    ),
    "nn.TransformerEncoderLayer, fast path": Case(
        encoder, torch.randn(2, 48, 64), ENCODER, 0, train=False
    ),
    # recurrent
    "LSTM": Case(lambda: First(nn.LSTM(24, 32)), RNN_BATCH, *LSTM, devices=META),
    "LSTM on oneDNN": Case(
        lambda: First(nn.LSTM(24, 32)), RNN_BATCH, *LSTM, LSTM_AGAIN, devices=CPU
    ),
    "LSTM, two layers, both ways": Case(
        lambda: First(nn.LSTM(24, 32, 2, bidirectional=True)), RNN_BATCH, *LSTM2, devices=META
    ),
    "GRU": Case(lambda: First(nn.GRU(24, 32)), RNN_BATCH, *GRU),
    "RNN": Case(lambda: First(nn.RNN(24, 32)), RNN_BATCH, *RNN),
    # whole models
    "embedding": Case(lambda: nn.Embedding(V, D), TOKENS, 0, 0),
    "bag of embeddings": Case(lambda: nn.EmbeddingBag(V, D), TOKENS, 0, 0),
    "small GPT": Case(Gpt, TOKENS, GPT, 2 * GPT, SCORES),
    "small GPT, not causal": Case(
        lambda: Gpt(causal=False), TOKENS, GPT, 2 * GPT, SCORES, devices=META
    ),
    "small GPT, tied weights": Case(
        lambda: Gpt(tied=True), TOKENS, GPT, 2 * GPT, SCORES, devices=META
    ),
    # checkpoints stop before the last product of a block (4·d², whose result nobody needs)
    "small GPT, checkpoints": Case(
        lambda: Gpt(again="plain"), TOKENS, GPT, 2 * GPT,
        SCORES + GPT_LAYERS - 8.0 * B * T * L * D * D,
    ),
    "small GPT, re-entrant checkpoints": Case(
        lambda: Gpt(again="reentrant"), TOKENS, GPT, 2 * GPT, SCORES + GPT_LAYERS
    ),
    "autocast": Case(
        lambda: autocast(nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 64))),
        torch.randn(32, 64), 2 * ONE, 3 * ONE,
    ),
}  # fmt: skip
