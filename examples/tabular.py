# SPDX-License-Identifier: Apache-2.0
"""Train boosted trees on a table, metered: tumours told apart by thirty measurements.

``submeter run -- python examples/tabular.py``

The 569 rows of the Wisconsin diagnostic data ship with scikit-learn, so nothing is downloaded.
The defaults are those that scikit-learn publishes for `HistGradientBoostingClassifier`: 100 trees
of up to 31 leaves at a rate of 0.1. Quality is the mean accuracy over five folds.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

import submeter

FOLDS = 5


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train boosted trees on a table.")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--leaves", type=int, default=31)
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate")
    parser.add_argument("--keep", type=float, default=1.0, help="share of the rows to train on")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> float:
    """Train and evaluate fold by fold; the mean accuracy."""
    given = options(argv)
    with submeter.phase("load"):
        rows, labels = load_breast_cancer(return_X_y=True)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=given.seed)
    found: list[float] = []
    submeter.log(total_steps=FOLDS)
    for train, held_out in folds.split(rows, labels):
        with submeter.phase("select"):
            if given.keep < 1:
                kept = submeter.reduce.prune_data(
                    rows[train], labels=labels[train], share=given.keep, which="easy"
                ).target
                train = train[kept]  # noqa: PLW2901  # what is left of it
        with submeter.phase("train"):
            model = HistGradientBoostingClassifier(
                learning_rate=given.lr, max_iter=given.trees, max_leaf_nodes=given.leaves,
                early_stopping=False, random_state=given.seed,
            ).fit(rows[train], labels[train])  # fmt: skip
        with submeter.phase("evaluate"):
            found.append(float(model.score(rows[held_out], labels[held_out])))
        submeter.log(step=len(found), accuracy=found[-1], samples=len(train), steps=1)
    accuracy = float(np.mean(found))
    submeter.log(step=FOLDS, accuracy=accuracy)
    print(f"accuracy {accuracy:.4f} over {FOLDS} folds")
    return accuracy


if __name__ == "__main__":
    main()
