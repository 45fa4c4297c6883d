# SPDX-License-Identifier: Apache-2.0
"""Train convolutional classifiers of handwritten digits of any width, metered.

``submeter run -- python examples/digits_widths.py --batch 64 --epochs 14``

The 1 797 images of 8 x 8 pixels ship with scikit-learn, so nothing is downloaded; a fifth is held
out, the others are shifted by one pixel in all eight directions.

Network and defaults are those that PyTorch publishes for handwritten digits [1]: convolutions of
32 and 64 channels, dropout of 0.25 and 0.5, a layer of 128, batches of 64, Adadelta at a rate of
1.0 that falls by 0.7 each epoch, 14 epochs.

[1] pytorch/examples, mnist/main.py.
"""

import argparse
from collections.abc import Sequence

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

import submeter

SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
Pair = tuple[torch.Tensor, torch.Tensor]


def network(width: int) -> nn.Sequential:
    """Two convolutions and two layers, *width* channels in the first."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, 2 * width, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(2 * width * 4, 4 * width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4 * width, 10),
    )  # fmt: skip


def shifted(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Images moved by whole pixels; what moves in is empty."""
    padded = functional.pad(images, (1, 1, 1, 1))
    return padded[..., 1 - down : 9 - down, 1 - right : 9 - right]


def corpus(seed: int) -> tuple[Pair, Pair]:
    """Images and labels to train on, nine times as many as there are, and those held out."""
    digits = load_digits()
    parts = train_test_split(
        digits.images / 16, digits.target, test_size=0.2, random_state=seed, stratify=digits.target
    )
    x, x_test = (torch.tensor(p, dtype=torch.float32).unsqueeze(1) for p in parts[:2])
    y, y_test = (torch.tensor(p, dtype=torch.long) for p in parts[2:])
    images = torch.cat([shifted(x, *shift) for shift in SHIFTS])
    return (images, y.repeat(len(SHIFTS))), (x_test, y_test)


def accuracy(model: nn.Module, held_out: Pair) -> float:
    """Part of the held-out images that are told right."""
    model.eval()
    with torch.no_grad():
        right = (model(held_out[0]).argmax(1) == held_out[1]).float().mean()
    model.train()
    return float(right)


def train(model: nn.Module, data: tuple[Pair, Pair], given: argparse.Namespace) -> float:
    """Train *model* for ``given.epochs``; the accuracy on held-out images afterwards."""
    (images, labels), held_out = data
    example = {"example": images[:2]}
    model = submeter.reduce.from_environment(model, options={"prune_channels": example})
    optimiser = torch.optim.Adadelta(model.parameters(), lr=given.lr)
    falls = torch.optim.lr_scheduler.StepLR(optimiser, step_size=1, gamma=given.gamma)
    random = torch.Generator().manual_seed(given.seed)
    reached, loss = 0.0, torch.tensor(0.0)
    submeter.log(total_steps=given.epochs)
    for epoch in range(1, given.epochs + 1):
        with submeter.phase("train"):
            for rows in torch.randperm(len(images), generator=random).split(given.batch):
                loss = functional.cross_entropy(model(images[rows]), labels[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
            falls.step()
        with submeter.phase("evaluate"):
            reached = accuracy(model, held_out)
        submeter.log(step=epoch, accuracy=reached, loss=loss.item(), samples=len(images))
        print(f"epoch {epoch} of {given.epochs}  accuracy {reached:.4f}", flush=True)
    return reached


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=1.0, help="rate of Adadelta")
    parser.add_argument("--gamma", type=float, default=0.7, help="by which it falls each epoch")
    parser.add_argument("--width", type=int, default=32, help="channels of the first convolution")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as torch")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> float:
    """Load, train, evaluate; the accuracy on held-out images."""
    given = options(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    with submeter.phase("load"):
        data = corpus(given.seed)
    return train(network(given.width), data, given)


if __name__ == "__main__":
    main()
