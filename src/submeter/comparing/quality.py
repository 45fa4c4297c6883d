# SPDX-License-Identifier: Apache-2.0
"""What came out of runs: metrics beside each other, and which way is better."""

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from submeter.comparing.spreads import welch
from submeter.records.figures import Missing
from submeter.records.runs import Run

_FALLING: Final = frozenset(
    {"loss", "error", "err", "perplexity", "ppl", "rmse", "mae", "mse", "wer", "cer", "bpb", "nll"}
)
_RISING: Final = frozenset(
    {
        "acc", "accuracy", "f1", "auc", "auroc", "bleu", "map", "score", "precision", "recall",
        "reward", "iou", "dice", "r2", "top1", "top5",
    }
)  # fmt: skip
ONE_EACH: Final = Missing("one run each: what a repetition would differ by is not known")


class Quality(msgspec.Struct, frozen=True):
    """One metric in each column.

    Attributes
    ----------
    values
        Last value, the mean over repetitions; None where it was not logged.
    changes
        Difference to the first column, and half of its 95 % interval or why there is none.
    rising
        Whether more is better; None where its name does not tell.
    """

    metric: str
    values: tuple[float | None, ...]
    changes: tuple[tuple[float, float | Missing] | None, ...]
    rising: bool | None


def direction(metric: str) -> bool | None:
    """Whether more of *metric* is better, by its name; None where it does not tell."""
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    if words & _FALLING:
        return False
    return True if words & _RISING else None


def qualities(columns: Sequence[Sequence[Run]]) -> tuple[Quality, ...]:
    """Metrics of *columns* of repeated runs, what people ask for first.

    That is what says a quality, what all logged, and of ``accuracy`` and ``accuracy_fold_1`` the
    shorter.
    """
    values = [_logged(runs) for runs in columns]
    names = dict.fromkeys(name for column in values for name in column)

    def rank(name: str) -> tuple[bool, int, int, bool]:
        common = sum(name in column for column in values)
        return direction(name) is None, -common, name.count("_"), not direction(name)

    ranked = sorted(names, key=rank)
    return tuple(_quality(name, [column.get(name, ()) for column in values]) for name in ranked)


def _logged(runs: Sequence[Run]) -> Mapping[str, Sequence[float]]:
    """By metric that all *runs* logged, its last values."""
    if not runs:
        return {}
    common = [n for n in runs[0].metrics if all(n in run.metrics for run in runs)]
    found = {name: [run.metrics[name] for run in runs] for name in common}
    return {name: v for name, v in found.items() if all(map(math.isfinite, v))}


def _quality(name: str, columns: Sequence[Sequence[float]]) -> Quality:
    return Quality(
        metric=name,
        values=tuple(statistics.fmean(v) if v else None for v in columns),
        changes=tuple(_changes(columns)),
        rising=direction(name),
    )


def _changes(
    columns: Sequence[Sequence[float]],
) -> Iterable[tuple[float, float | Missing] | None]:
    first = columns[0]
    for i, values in enumerate(columns):
        if not first or not values:
            yield None
        elif i == 0:
            yield 0.0, 0.0
        else:
            value, reach = welch(first, values)
            yield value, reach if math.isfinite(reach) else ONE_EACH
