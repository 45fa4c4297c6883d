# SPDX-License-Identifier: Apache-2.0
"""A model of Llama's shape: grouped-query attention, gated feed-forward, norms without mean."""

from typing import Any

from torch import nn
from torch.nn import functional


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int, key_heads: int) -> None:
        super().__init__()
        self.shape = (heads, key_heads, width // heads)
        keys = key_heads * (width // heads)
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, keys, bias=False)
        self.v = nn.Linear(width, keys, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Any) -> Any:
        heads, key_heads, depth = self.shape
        q = self.q(x).unflatten(-1, (heads, depth)).transpose(1, 2)
        k = self.k(x).unflatten(-1, (key_heads, depth)).transpose(1, 2)
        v = self.v(x).unflatten(-1, (key_heads, depth)).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int, key_heads: int, feed: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = Attention(width, heads, key_heads)
        self.gate = nn.Linear(width, feed, bias=False)
        self.up = nn.Linear(width, feed, bias=False)
        self.down = nn.Linear(feed, width, bias=False)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm1(x))
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):  # type: ignore[misc]
    def __init__(
        self, width: int, layers: int, heads: int, key_heads: int, feed: int, words: int
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(Block(width, heads, key_heads, feed) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, x: Any) -> Any:
        y = self.words(x)
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y))
