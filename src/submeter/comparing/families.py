# SPDX-License-Identifier: Apache-2.0
"""Families of models at equal protocol: what each may try, and what its metered run tells.

Every family gets the same splits and the same number of settings to choose from, each judged by
the same inner folds, on one thread. The energy of choosing and of training are phases of one run.
"""

import itertools
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from submeter.comparing.spreads import student_95
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.figures import Missing, Quantity
from submeter.records.runs import Run

TAG: Final = "compared"  # value: the protocol's word
DATA: Final = "data"
FAMILY: Final = "family"
SELECTION, TRAINING, PREDICTION = "selection", "training", "prediction"
COUNTS: Final = {SELECTION: "selections", TRAINING: "trainings", PREDICTION: "predictions"}
CORRECT: Final = "accuracy_fold_"  # begins the metric of a fold
CHOSEN: Final = "chosen"
_TWO: Final = 2


class Family(NamedTuple):
    """A kind of model: where it is from, what is fixed, and what may be tried."""

    words: str
    place: str  # module:class
    fixed: Mapping[str, object]
    grid: Mapping[str, Sequence[object]]


FAMILIES: Final[Mapping[str, Family]] = {
    "linear": Family(
        "logistic regression", "sklearn.linear_model:LogisticRegression", {"max_iter": 2000},
        {"C": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)},
    ),
    "neighbours": Family(
        "nearest neighbours", "sklearn.neighbors:KNeighborsClassifier", {},
        {"n_neighbors": (1, 3, 5, 9), "weights": ("uniform", "distance")},
    ),
    "trees": Family(
        "random forest", "sklearn.ensemble:RandomForestClassifier", {"random_state": 0},
        {"n_estimators": (30, 50, 100), "max_features": ("sqrt", 0.3),
         "min_samples_leaf": (1, 3)},
    ),
    "boosting": Family(
        "boosted trees", "sklearn.ensemble:HistGradientBoostingClassifier", {"random_state": 0},
        {"learning_rate": (0.05, 0.1, 0.3), "max_leaf_nodes": (7, 15, 31), "max_iter": (30, 60)},
    ),
    "support": Family(
        "support vectors", "sklearn.svm:SVC", {},
        {"C": (0.3, 1.0, 3.0, 10.0, 30.0), "gamma": ("scale", 0.003, 0.01, 0.03)},
    ),
    "network": Family(
        "small network", "sklearn.neural_network:MLPClassifier",
        {"max_iter": 150, "random_state": 0},
        {"hidden_layer_sizes": ((32,), (64,), (64, 32), (128,)), "alpha": (1e-4, 1e-2),
         "learning_rate_init": (1e-3, 3e-3)},
    ),
}  # fmt: skip
DATA_SETS: Final = {
    "digits": "1797 images of 8 × 8 pixels, 10 classes",
    "cancer": "569 tissue samples of 30 measures, 2 classes",
}


class Protocol(msgspec.Struct, frozen=True):
    """The rules that are the same for every family.

    Attributes
    ----------
    folds
        Outer splits, stratified; the quality is that of the parts that were held out.
    inner
        Inner splits by which settings are chosen, inside the training part of each outer one.
    settings
        How many settings each family may try.
    seed
        Of splits, and of the draw of settings.
    least_s
        Each phase is repeated until it lasted so long, so that the meter resolves it [s].
    """

    folds: int = 5
    inner: int = 2
    settings: int = 4
    seed: int = 0
    least_s: float = 2.0

    @property
    def word(self) -> str:
        """By which runs of this protocol are found again."""
        return f"models-{self.folds}x{self.inner}x{self.settings}-{self.seed}-{self.least_s:g}s"


FULL: Final = Protocol()
QUICK: Final = Protocol(folds=3, inner=2, settings=2, least_s=1.0)


class Result(msgspec.Struct, frozen=True):
    """What a family reached and took on one data set, at the node."""

    data: str
    family: str
    accuracies: tuple[float, ...]  # by fold
    selection: Amount | Missing  # of one search [J]
    training: Amount | Missing  # of one training of what was chosen [J]
    prediction: Amount | Missing  # of one prediction, in batches of a held-out part [J]
    run_id: str = ""
    chosen: str = ""

    @property
    def accuracy(self) -> float:
        """Mean over the folds."""
        return statistics.fmean(self.accuracies)

    @property
    def whole(self) -> Amount | Missing:
        """Energy of one search and one training [J]."""
        parts = (self.selection, self.training)
        why = next((part for part in parts if isinstance(part, Missing)), None)
        return why or sum_amounts(part for part in parts if isinstance(part, Amount))


def settings_of(family: Family, protocol: Protocol) -> list[dict[str, object]]:
    """Settings that *family* may try: as many as every other, drawn without repetition."""
    names = list(family.grid)
    every = [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*family.grid.values())
    ]
    chance = random.Random(protocol.seed)  # noqa: S311  # nothing is kept secret with it
    return chance.sample(every, min(protocol.settings, len(every)))


def result_of(run: Run) -> Result | Missing:
    """What the metered *run* of a family tells; `Missing` if it did not come to its end."""
    name = run.name or run.id
    folds = sorted(
        (metric for metric in run.metrics if metric.startswith(CORRECT)),
        key=lambda metric: int(metric.removeprefix(CORRECT)),
    )
    if run.status != "finished" or len(folds) < _TWO:
        return Missing(f"{name} did not come to its end ({run.status})")
    each = {phase: _each(run, phase) for phase in COUNTS}
    return Result(
        data=run.tags.get(DATA, ""),
        family=run.tags.get(FAMILY, ""),
        accuracies=tuple(run.metrics[metric] for metric in folds),
        selection=each[SELECTION],
        training=each[TRAINING],
        prediction=each[PREDICTION],
        run_id=run.id,
        chosen=run.parameters.get(CHOSEN, ""),
    )


def corrected(differences: Sequence[float]) -> tuple[float, float]:
    """Mean of a quality (or of a difference) over folds, and half of its 95 % interval.

    Notes
    -----
    Training parts of folds overlap, so that folds are not independent: the variance is taken
    times ``1/k + test/train`` with ``test/train = 1/(k - 1)`` instead of ``1/k``.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003), Inference for the generalization error, Machine
       Learning 52, 239.
    """
    k = len(differences)
    mean = statistics.fmean(differences)
    if k < _TWO:
        return mean, math.inf
    scale = math.sqrt(1 / k + 1 / (k - 1))
    return mean, student_95(k - 1) * scale * statistics.stdev(differences)


def pareto(results: Sequence[Result]) -> list[bool]:
    """Whether nothing else is as accurate at as little energy, and better in one of both."""
    rows = [(-r.accuracy, _value(r.whole)) for r in results]
    return [
        not any(
            all(a <= b for a, b in zip(other, row, strict=True)) and other != row for other in rows
        )
        for row in rows
    ]


# --- inside -------------------------------------------------------------------------------------


def _each(run: Run, phase: str) -> Amount | Missing:
    """Energy of one repetition of *phase* [J]."""
    count = run.metrics.get(COUNTS[phase], 0.0)
    row = next((row for row in run.phases if row.path == phase), None)
    if row is None or count < 1:
        return Missing(f"{phase} was not metered")
    if row.joint_with:
        return Missing(f"{phase} is not separable from {', '.join(row.joint_with)}")
    if not isinstance(row.energy, Quantity):
        return row.energy
    return Amount.of(row.energy).scaled(1 / count)


def _value(amount: Amount | Missing) -> float:
    return math.inf if isinstance(amount, Missing) else amount.value
