# SPDX-License-Identifier: Apache-2.0
"""Train a small language model over bytes on the source of Python's own library, metered.

``submeter run --forecast -- python examples/language_model.py --params 0.8M --steps 2000``

Nothing is downloaded: the text is what each Python brings along, one file in twenty held out.

The network is a decoder as in GPT-2 [1]: pre-normalised blocks, learnt positions, tied
embeddings. Defaults of the optimiser are those of GPT-3 [2], appendix B: AdamW with betas 0.9
and 0.95, weight decay 0.1 on matrices, gradients clipped at 1, cosine down to a tenth. The
learning rate of 1e-3, the batch of 64 and the 100 steps of warm-up are those that nanoGPT [3]
publishes for a model of characters of this size.

[1] Radford et al. (2019), Language Models are Unsupervised Multitask Learners.
[2] Brown et al. (2020), Language Models are Few-Shot Learners, arXiv:2005.14165.
[3] Karpathy (2022), nanoGPT, config/train_shakespeare_char.py.
"""

import argparse
import math
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import submeter

VOCABULARY = 256  # bytes
HEAD_WIDTH = 32
HELD_OUT = 20  # one file in so many
LEAST_LR_RATIO = 0.1
EVALUATION_BATCHES = 8


class Block(nn.Module):  # type: ignore[misc]  # torch has no types where they are checked
    """Causal attention, then a network of four times the width; each added to what came in."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.dropout = dropout
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        shape = (rows, length, 3, self.heads, HEAD_WIDTH)
        parts = self.queries_keys_values(self.before_attention(x)).view(shape)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=dropout
        )
        x = x + self._dropped(self.attended(mixed.transpose(1, 2).reshape(rows, length, width)))
        return x + self._dropped(self.down(functional.gelu(self.up(self.before_mixing(x)))))

    def _dropped(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, self.dropout, self.training)


class LanguageModel(nn.Module):  # type: ignore[misc]
    """What is the next byte? Logits for each place of a row of bytes."""

    def __init__(self, layers: int, width: int, context: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.zeros(context, width))
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(layers))
        self.normalised = nn.LayerNorm(width)
        self.apply(_initialised)
        for block in self.blocks:  # as many additions, as much smaller (GPT-2)
            for layer in (block.attended, block.down):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.tokens(x) + self.places[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return functional.linear(self.normalised(hidden), self.tokens.weight)


def _initialised(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)


def shape_for(params: float, context: int) -> tuple[int, int]:
    """Layers and width whose parameters come nearest to *params*, no deeper than usual."""
    shapes = [
        (layers, HEAD_WIDTH * heads)
        for heads in range(1, 33)
        for layers in range(2, 25)
        if 16 * layers <= HEAD_WIDTH * heads <= 128 * layers
    ]

    def off(shape: tuple[int, int]) -> float:
        layers, width = shape
        count = layers * (12 * width**2 + 2 * width) + (VOCABULARY + context + 2) * width
        return abs(math.log(count / params))

    return min(shapes, key=off)


def corpus(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes to train on and bytes held out, whole files each."""
    library = Path(sysconfig.get_paths()["stdlib"])
    apart = {"site-packages", "test", "tests"}
    files = sorted(p for p in library.rglob("*.py") if not apart.intersection(p.parts))
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed)).tolist()
    shuffled = [files[i].read_bytes() for i in order]
    held = len(shuffled) // HELD_OUT
    parts = (b"\n".join(shuffled[held:]), b"\n".join(shuffled[:held]))
    train, test = (torch.frombuffer(bytearray(part), dtype=torch.uint8) for part in parts)
    return train, test


def batch_of(
    data: torch.Tensor, given: argparse.Namespace, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of bytes from anywhere, and the bytes that follow each."""
    starts = torch.randint(len(data) - given.context - 1, (given.batch, 1), generator=random)
    rows = data[starts + torch.arange(given.context + 1)].long().to(given.device)
    return rows[:, :-1], rows[:, 1:]


def loss_of(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, given: argparse.Namespace
) -> torch.Tensor:
    """Mean cross-entropy of the next byte [nat]."""
    with torch.autocast(given.device, torch.bfloat16, enabled=given.amp):
        logits = model(x)
    return functional.cross_entropy(logits.float().flatten(0, 1), y.flatten())


def evaluated(model: nn.Module, data: torch.Tensor, given: argparse.Namespace) -> float:
    """Loss on bytes that were held out, the same ones each time [nat]."""
    random = torch.Generator().manual_seed(given.seed + 1)
    model.eval()
    with torch.no_grad():
        losses: list[float] = [
            float(loss_of(model, *batch_of(data, given, random), given))
            for _ in range(EVALUATION_BATCHES)
        ]
    model.train()
    return sum(losses) / len(losses)


def learning_rate(step: int, given: argparse.Namespace) -> float:
    """Rate at *step*: up in a line, down as a cosine."""
    if step < given.warmup:
        return float(given.lr) * (step + 1) / int(given.warmup)
    done = (step - given.warmup) / max(1, given.steps - given.warmup)
    ratio = LEAST_LR_RATIO + (1 - LEAST_LR_RATIO) * 0.5 * (1 + math.cos(math.pi * done))
    return float(given.lr) * ratio


def optimiser_for(model: nn.Module, given: argparse.Namespace) -> torch.optim.Optimizer:
    """AdamW, with decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]  # noqa: PLR2004  # a matrix
    others = [p for p in model.parameters() if p.dim() < 2]  # noqa: PLR2004
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=given.lr, betas=(0.9, 0.95))


def train(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor], given: Any) -> float:
    """Train *model* for ``given.steps`` steps; the loss on held-out bytes afterwards [nat]."""
    random = torch.Generator().manual_seed(given.seed)
    model = submeter.reduce.from_environment(model)
    optimiser = optimiser_for(model, given)
    held_out = math.nan
    submeter.log(total_steps=given.steps)
    for step in range(1, given.steps + 1):
        with submeter.phase("load"):
            x, y = batch_of(data[0], given, random)
        with submeter.phase("train"):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step - 1, given)
            loss = loss_of(model, x, y, given)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        tokens = given.batch * given.context
        submeter.log(step=step, loss=loss, tokens=tokens, samples=given.batch, steps=1)
        if step % given.evaluate_every == 0 or step == given.steps:
            with submeter.phase("evaluate"):
                held_out = evaluated(model, data[1], given)
            submeter.log(step=step, held_out_loss=held_out)
            print(f"step {step}  loss {loss.item():.3f}  held out {held_out:.3f}", flush=True)
        if given.checkpoint and step % given.checkpoint_every == 0:
            with submeter.phase("checkpoint"):
                state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
                torch.save({"step": step, **state}, given.checkpoint)
    return held_out


def count_of(word: str) -> float:
    """A count as people write it: 0.8M, 800k, 8e5."""
    size = {"k": 1e3, "m": 1e6}.get(word[-1:].lower(), 0.0)
    return float(word[:-1]) * size if size else float(word)


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a language model over bytes.")
    parser.add_argument("--params", type=count_of, default=0.8e6, help="0.1M to 20M")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64, help="rows of a step")
    parser.add_argument("--context", type=int, default=256, help="bytes of a row")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--warmup", type=int, default=100, help="steps up to it")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--amp", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as torch")
    parser.add_argument("--evaluate-every", type=int, default=250, help="steps")
    parser.add_argument("--checkpoint", default="", help="file to keep the state in")
    parser.add_argument("--checkpoint-every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=1337)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> float:
    """Load, train, evaluate; the loss on held-out bytes [nat]."""
    given = options(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    with submeter.phase("load"):
        data = corpus(given.seed)
        layers, width = shape_for(given.params, given.context)
        model = LanguageModel(layers, width, given.context, given.dropout).to(given.device)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count / 1e6:.2f} M parameters, {len(data[0]) / 1e6:.1f} MB to train on", flush=True)
    submeter.log(params=count)
    return train(model, data, given)


if __name__ == "__main__":
    main()
