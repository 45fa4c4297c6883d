# SPDX-License-Identifier: Apache-2.0
"""A small language model over bytes, trained on the source of Python's own library."""

import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import submeter

BATCH, CONTEXT, WIDTH, HEADS, LAYERS = 32, 512, 768, 12, 8
TOKENS_PER_STEP = BATCH * CONTEXT


def corpus(torch: Any) -> Any:
    """Some five million bytes of real text that each Python brings along."""
    library = Path(sysconfig.get_paths()["stdlib"])
    text = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    return torch.frombuffer(bytearray(text), dtype=torch.uint8).long()


def network(torch: Any) -> Any:
    """A decoder of eight layers, fifty-seven million parameters."""
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
    )

    class Decoder(torch.nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.tokens = torch.nn.Embedding(256, WIDTH)
            self.places = torch.nn.Parameter(torch.zeros(CONTEXT, WIDTH))
            self.layers = torch.nn.TransformerEncoder(
                layer, LAYERS, norm=torch.nn.LayerNorm(WIDTH), enable_nested_tensor=False
            )
            self.head = torch.nn.Linear(WIDTH, 256)
            mask = torch.nn.Transformer.generate_square_subsequent_mask(CONTEXT)
            self.register_buffer("mask", mask, persistent=False)

        def forward(self, x: Any) -> Any:
            hidden = self.tokens(x) + self.places
            return self.head(self.layers(hidden, mask=self.mask, is_causal=True))

    return Decoder()


class Training:
    """The model, its optimiser and its data on one board; `step` does one step, unsynchronised."""

    def __init__(self, torch: Any, *, device: str = "cuda", batch: int = BATCH) -> None:
        torch.manual_seed(7)
        self.torch, self.device, self.batch = torch, device, batch
        self.data = corpus(torch).to(device)
        self.network = network(torch).to(device)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=3e-4, fused=True)
        self.offsets = torch.arange(CONTEXT + 1, device=device)
        self.loss: Any = None
        self.steps = 0

    def step(self) -> None:
        torch = self.torch
        with submeter.phase("load"):
            last = len(self.data) - CONTEXT - 1
            starts = torch.randint(last, (self.batch, 1), device=self.device)
            rows = self.data[starts + self.offsets]
        with submeter.phase("forward"), torch.autocast(self.device, torch.bfloat16):
            logits = self.network(rows[:, :-1])
            loss = torch.nn.functional.cross_entropy(
                logits.float().flatten(0, 1), rows[:, 1:].flatten()
            )
        with submeter.phase("backward"):
            loss.backward()
        self.loss = loss.detach()
        with submeter.phase("update"):
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
        self.steps += 1

    def synchronise(self) -> None:
        """Wait for the board's last kernel."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def run_for(self, duration_s: float, clock: Callable[[], float]) -> tuple[int, float]:
        """Steps done in about *duration_s* and the time they took, to the board's last kernel."""
        self.synchronise()
        start_s = clock()
        steps = 0
        while clock() - start_s < duration_s:
            for _ in range(4):
                self.step()
            steps += 4
            self.synchronise()
        return steps, clock() - start_s
