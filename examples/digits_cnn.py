# SPDX-License-Identifier: Apache-2.0
"""Train a convolutional network on handwritten digits, metered.

``submeter run -- python examples/digits_cnn.py --epochs 14``

Nothing is downloaded: the 1 797 images of 8 x 8 pixels ship with scikit-learn; one in five is
held out. Network and defaults are those of PyTorch's example for MNIST [1]: two 3 x 3 convolutions
of 32 and 64 channels, dropout of 0.25 and 0.5, 128 hidden units; batches of 64, Adadelta at a rate
of 1, times 0.7 after each of 14 epochs. Its images of 28 pixels are of 8 here,
all else is as published.
Without a run around it the script trains just the same.

[1] github.com/pytorch/examples, mnist/main.py.
"""

import argparse
from collections.abc import Sequence

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

import submeter

Split = tuple[torch.Tensor, torch.Tensor]


def network() -> nn.Sequential:
    """The network of the published example, for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(64 * 2 * 2, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


def digits(seed: int) -> tuple[Split, Split]:
    """Images and labels to train on, and those held out."""
    data = load_digits()
    parts = train_test_split(
        data.images / 16, data.target, test_size=0.2, random_state=seed, stratify=data.target
    )
    images = [torch.tensor(part, dtype=torch.float32)[:, None] for part in parts[:2]]
    labels = [torch.tensor(part) for part in parts[2:]]
    return (images[0], labels[0]), (images[1], labels[1])


def accuracy_of(model: nn.Module, held_out: Split) -> float:
    """Share of the images held out that is told right."""
    model.eval()
    with torch.no_grad():
        right = (model(held_out[0]).argmax(1) == held_out[1]).float().mean()
    model.train()
    return float(right)


def epoch_of(
    model: nn.Module, optimiser: torch.optim.Optimizer, data: Split, batch: int
) -> torch.Tensor:
    """Train once through *data* in batches of random order; the last loss."""
    images, labels = data
    loss = torch.tensor(0.0)
    for rows in torch.randperm(len(images)).split(batch):
        loss = functional.cross_entropy(model(images[rows]), labels[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return loss


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.0, help="learning rate")
    parser.add_argument("--gamma", type=float, default=0.7, help="of the rate, each epoch")
    parser.add_argument("--amp", choices=("none", "bf16", "fp16"), default="none")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--price", type=float, default=0.0,
                        help="stop when a kWh is expected to bring less")  # fmt: skip
    parser.add_argument("--threads", type=int, default=0, help="0: as torch")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> float:
    """Load, train, evaluate; the accuracy at the end."""
    given = options(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    with submeter.phase("load"):
        train, held_out = digits(given.seed)
    model = network()
    if given.amp != "none":
        submeter.reduce.mixed_precision(model, dtype=given.amp)
    if given.channels_last:
        submeter.reduce.channels_last(model)
    optimiser = torch.optim.Adadelta(model.parameters(), lr=given.lr)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=given.gamma)
    stopper = submeter.reduce.early_stopping(given.price).target if given.price else None
    submeter.log(total_steps=given.epochs)
    accuracy = 0.0
    for epoch in range(1, given.epochs + 1):
        with submeter.phase("train"):
            loss = epoch_of(model, optimiser, train, given.batch)
            schedule.step()
        with submeter.phase("evaluate"):
            accuracy = accuracy_of(model, held_out)
        submeter.log(step=epoch, loss=loss, accuracy=accuracy, samples=len(train[0]), steps=1)
        print(f"epoch {epoch:2} of {given.epochs}  accuracy {accuracy:.4f}", flush=True)
        if stopper is not None and stopper.update(accuracy):
            print(f"stopped: {stopper.looks[-1].why}")
            break
    return accuracy


if __name__ == "__main__":
    main()
