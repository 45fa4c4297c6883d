# SPDX-License-Identifier: Apache-2.0
"""The program that ``submeter compare --models`` meters: one family on one data set.

    submeter run -- python -m submeter.interfaces.families digits trees

It is a training as a user would write one: phases, and what came out of it logged.
"""

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from submeter.comparing import families
from submeter.comparing.families import FAMILIES, Family, Protocol
from submeter.errors import UsageError

THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOADERS: Final = {"digits": "load_digits", "cancer": "load_breast_cancer"}


def require_library() -> None:
    """Make sure that scikit-learn is there, without loading it.

    Raises
    ------
    UsageError
        If it is not.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError(
            "families of models are trained with scikit-learn, which is not installed",
            remedy="pip install 'submeter[demo]'",
        )


def arguments_of(data: str, family: str, protocol: Protocol) -> list[str]:
    """Command that trains *family* on *data* by *protocol*."""
    return [
        sys.executable, "-m", __name__, data, family, "--folds", str(protocol.folds),
        "--inner", str(protocol.inner), "--settings", str(protocol.settings),
        "--seed", str(protocol.seed), "--least", f"{protocol.least_s:g}",
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Train and choose one family, each part a phase."""
    parser = argparse.ArgumentParser(description="Train one family of models on one data set.")
    parser.add_argument("data", choices=list(_LOADERS))
    parser.add_argument("family", choices=list(FAMILIES))
    parser.add_argument("--folds", type=int, default=families.FULL.folds)
    parser.add_argument("--inner", type=int, default=families.FULL.inner)
    parser.add_argument("--settings", type=int, default=families.FULL.settings)
    parser.add_argument("--seed", type=int, default=families.FULL.seed)
    parser.add_argument("--least", type=float, default=families.FULL.least_s)
    given = parser.parse_args(argv)
    for name in THREADS:  # before any of them is loaded
        os.environ[name] = "1"
    protocol = Protocol(
        folds=given.folds, inner=given.inner, settings=given.settings, seed=given.seed,
        least_s=given.least,
    )  # fmt: skip
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small networks say that they might learn on
        train(given.data, FAMILIES[given.family], protocol)
    return 0


def train(data: str, family: Family, protocol: Protocol) -> None:
    """Choose and train *family* on each outer fold, and log what came out of it."""
    import submeter

    with submeter.phase("load"):
        x, y = _data(data)
        make = _maker(family)
        splits = list(_splits(y, protocol.folds, protocol.seed, x))
    settings, least_s = families.settings_of(family, protocol), protocol.least_s
    with submeter.phase(families.SELECTION):  # of all folds in one stretch, for the meter's sake
        best, searches = _repeated(
            lambda: [_chosen(make, settings, x[learn], y[learn], protocol) for learn, _ in splits],
            least_s,
        )
    with submeter.phase(families.TRAINING):
        models, trainings = _repeated(
            lambda: [
                make(one).fit(x[learn], y[learn])
                for one, (learn, _) in zip(best, splits, strict=True)
            ],
            least_s,
        )
    with submeter.phase(families.PREDICTION):
        said, predictions = _repeated(
            lambda: [
                model.predict(x[held]) for model, (_, held) in zip(models, splits, strict=True)
            ],
            least_s,
        )
    correct = [
        float((words == y[held]).mean()) for words, (_, held) in zip(said, splits, strict=True)
    ]
    counts: dict[str, Any] = {
        "selections": searches * len(splits),
        "trainings": trainings * len(splits),
        "predictions": predictions * sum(len(held) for _, held in splits),
    }
    chosen = [", ".join(f"{name}={value}" for name, value in one.items()) for one in best]
    by_fold: dict[str, Any] = {
        f"{families.CORRECT}{i}": value for i, value in enumerate(correct, start=1)
    }
    submeter.log(
        **by_fold,
        **counts,
        accuracy=sum(correct) / len(correct),
        chosen=max(chosen, key=chosen.count),
        sklearn=importlib.import_module("sklearn").__version__,
    )


# --- inside -------------------------------------------------------------------------------------


def _data(name: str) -> tuple[Any, Any]:
    sets = importlib.import_module("sklearn.datasets")
    x, y = getattr(sets, _LOADERS[name])(return_X_y=True)
    return x, y


def _maker(family: Family) -> Callable[[dict[str, object]], Any]:
    """A function that makes a model of *family* with some settings, on scaled columns."""
    module, _, name = family.place.partition(":")
    kind = getattr(importlib.import_module(module), name)
    pipeline = importlib.import_module("sklearn.pipeline")
    scaler = importlib.import_module("sklearn.preprocessing").StandardScaler

    def make(settings: dict[str, object]) -> Any:
        return pipeline.make_pipeline(scaler(), kind(**family.fixed, **settings))

    return make


def _splits(y: Any, count: int, seed: int, x: Any) -> Iterator[tuple[Any, Any]]:
    choosing = importlib.import_module("sklearn.model_selection")
    folds = choosing.StratifiedKFold(count, shuffle=True, random_state=seed)
    yield from folds.split(x, y)


def _chosen(
    make: Callable[[dict[str, object]], Any],
    settings: Sequence[dict[str, object]],
    x: Any,
    y: Any,
    protocol: Protocol,
) -> dict[str, object]:
    """The one of *settings* that is right most often on inner folds."""
    scores = []
    for one in settings:
        found = [
            make(one).fit(x[learn], y[learn]).score(x[held], y[held])
            for learn, held in _splits(y, protocol.inner, protocol.seed, x)
        ]
        scores.append(sum(found) / len(found))
    return settings[scores.index(max(scores))]


def _repeated(work: Callable[[], Any], least_s: float) -> tuple[Any, int]:
    """Result of *work*, which was done until so much time had passed, and how often."""
    begin_s, done = time.perf_counter(), 0
    while True:
        result = work()
        done += 1
        if time.perf_counter() - begin_s >= least_s:
            return result, done


if __name__ == "__main__":
    sys.exit(main())
