# SPDX-License-Identifier: Apache-2.0
"""Train a classifier of handwritten digits, with its phases and its result metered.

``submeter run --name digits -- python examples/digits.py``

The 1 797 images of 8 x 8 pixels ship with scikit-learn, so nothing is downloaded. A part of them
is held out for the evaluation; the others are shifted by one pixel in all eight directions, which
makes nine times as many. Without a run around it the script trains just the same.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import precision_recall_fscore_support
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import submeter

SEED = 7
EPOCHS = 24
BATCH = 64
SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images moved by whole pixels; what moves in is empty."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    return padded[:, 1 - down : 9 - down, 1 - right : 9 - right]


def augmented(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each image in nine places, its label with it."""
    moved = np.concatenate([shifted(images, *shift) for shift in SHIFTS])
    return moved, np.tile(labels, len(SHIFTS))


def main() -> None:
    """Load, augment, train, evaluate."""
    rng = np.random.default_rng(SEED)

    with submeter.phase("load"):
        digits = load_digits()
        train_images, test_images, train_labels, test_labels = train_test_split(
            digits.images / 16,
            digits.target,
            test_size=0.2,
            random_state=SEED,
            stratify=digits.target,
        )
        x_test = test_images.reshape(len(test_images), -1)
    print(f"{len(train_images)} images to train on, {len(test_images)} held out", flush=True)

    with submeter.phase("augment"):
        images, labels = augmented(train_images, train_labels)
        x = images.reshape(len(images), -1)
    print(f"{len(x)} images after shifting", flush=True)

    model = MLPClassifier(hidden_layer_sizes=(384, 192), batch_size=BATCH, random_state=SEED)
    for epoch in range(1, EPOCHS + 1):
        with submeter.phase("train"):
            order = rng.permutation(len(x))
            model.partial_fit(x[order], labels[order], classes=np.unique(labels))
            submeter.log(step=epoch, loss=float(model.loss_), samples=len(x))
        with submeter.phase("evaluate"):
            accuracy = float(model.score(x_test, test_labels))
            submeter.log(step=epoch, accuracy=accuracy)
        print(
            f"epoch {epoch:2} of {EPOCHS}  loss {model.loss_:.4f}  accuracy {accuracy:.3f}",
            flush=True,
        )

    with submeter.phase("evaluate"):
        precision, recall, f1, _ = precision_recall_fscore_support(
            test_labels, model.predict(x_test), average="macro"
        )
        submeter.log(precision=float(precision), recall=float(recall), f1=float(f1))


if __name__ == "__main__":
    main()
