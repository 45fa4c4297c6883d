# SPDX-License-Identifier: Apache-2.0
"""A small training that can be paused: ``python examples/pausing.py [--pace 0.1]``.

Ask it with ``kill -USR1``, or let ``submeter run --when … --interruptible`` do so: it writes
``pausing.pt`` and ends with exit code 75; started again it goes on, and ends with the same
weights, to the last bit, as if it had never been paused. It prints a digest of them.
"""

import argparse
import hashlib
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import submeter


def main() -> None:
    """Train, and print a digest of the weights."""
    words = argparse.ArgumentParser()
    words.add_argument("--epochs", type=int, default=3)
    words.add_argument("--checkpoint", type=Path, default=Path("pausing.pt"))
    words.add_argument("--tell", action="store_true", help="print a line for each batch")
    words.add_argument("--pace", type=float, default=0.0, help="seconds to rest after each")
    given = words.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x = torch.randn(256, 16)
    data = TensorDataset(x, (x.sum(1, keepdim=True) > 0).float())
    loader = DataLoader(data, batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3 * len(loader))
    loss_of = nn.BCEWithLogitsLoss()
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    with submeter.checkpointing(given.checkpoint, **parts) as kept:
        for epoch, (inputs, targets) in kept.batches(loader, epochs=given.epochs):
            with submeter.phase("train"):
                optimizer.zero_grad()
                loss = loss_of(model(inputs), targets)
                loss.backward()
                optimizer.step()
                schedule.step()
            time.sleep(given.pace)
            if given.tell:
                print(epoch, f"{loss.item():.6f}", flush=True)
    digest = hashlib.sha256()
    for weights in model.state_dict().values():
        digest.update(weights.numpy().tobytes())
    print("weights", digest.hexdigest()[:16], flush=True)


if __name__ == "__main__":
    main()
