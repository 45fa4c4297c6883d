# SPDX-License-Identifier: Apache-2.0
"""Runs beside runs for programs and for the command line: labels, groups, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.comparing.runs import Column, Comparison
    from submeter.comparing.work import SameWork
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

__all__ = ["Compared", "compare_runs", "grouped"]

_SUFFIX: Final = 4  # characters of an id that tell runs of one name apart
_NAMED: Final = 6


class Compared:
    """Runs beside each other: ``print`` it, or read its rows.

    Attributes
    ----------
    comparison
        Columns, what is different about them, and rows of quantities with their changes.
    same_work
        The same normalised by the work done, where that was asked for; else None.
    """

    def __init__(self, comparison: Comparison, same_work: SameWork | None = None) -> None:
        self.comparison = comparison
        self.same_work = same_work

    def __repr__(self) -> str:
        labels = ", ".join(column.label for column in self.comparison.columns)
        return f"<Compared: {labels}>"

    def __str__(self) -> str:
        return self.words()

    def words(self, width: int = 80) -> str:
        """What a person is shown, in lines of at most *width* columns."""
        from submeter.reporting.comparisons import comparison_words, same_work_words

        if self.same_work is not None:
            return same_work_words(self.same_work, width)
        return comparison_words(self.comparison, width)

    def to_dict(self) -> dict[str, object]:
        """Words of the JSON (schema 1)."""
        from submeter.reporting.comparison_words import comparison_document, same_work_document

        if self.same_work is not None:
            return same_work_document(self.same_work)
        return comparison_document(self.comparison)


def compare_runs(
    pairs: Sequence[tuple[Run, Footprint]],
    *,
    by: Iterable[str] = (),
    same_work: bool = False,
    metric: str = "",
    target: float | None = None,
) -> Compared:
    """Put runs beside each other, each with what it amounts to.

    Parameters
    ----------
    by
        ``phase`` or ``device`` to split their energy so, or the name of a parameter, tag or
        argument: runs that say the same there are repetitions of each other then.
    same_work, metric, target
        Whether they are normalised by the work that they did, and the quality to reach.

    Raises
    ------
    UsageError
        If there is nothing to compare with.
    """
    from submeter.comparing.runs import WAYS, compare_columns
    from submeter.comparing.work import same_work as normalised

    ways = [word for word in by if word in WAYS]
    names = [word for word in by if word not in WAYS]
    columns = grouped(pairs, names)
    if len(columns) < 2:  # noqa: PLR2004  # here and there
        said = f"all of them say the same of {', '.join(names)}" if names else "there is one run"
        raise UsageError(
            f"{said}: it has nothing beside it", remedy="submeter compare last~1 last"
        )
    if same_work:
        found = normalised(columns, metric=metric, target=target)
        return Compared(found.comparison, found)
    return Compared(compare_columns(columns, by=ways))


def grouped(pairs: Sequence[tuple[Run, Footprint]], names: Sequence[str]) -> list[Column]:
    """Columns of one run each; or of all that say the same of *names*.

    Raises
    ------
    UsageError
        If a name is said by no run.
    """
    from submeter.comparing.runs import Column

    if not names:
        labels = _labels([run for run, _ in pairs])
        return [
            Column(label, (run,), (made,))
            for label, (run, made) in zip(labels, pairs, strict=True)
        ]
    groups: dict[tuple[str, ...], list[tuple[Run, Footprint]]] = {}
    said = [_says(run) for run, _ in pairs]
    for name in names:
        if not any(name in words for words in said):
            raise _unsaid(name, said)
    for pair, words in zip(pairs, said, strict=True):
        groups.setdefault(tuple(words.get(name, "not said") for name in names), []).append(pair)
    return [
        Column(
            ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True)),
            tuple(run for run, _ in group),
            tuple(made for _, made in group),
        )
        for values, group in groups.items()
    ]


# --- inside -------------------------------------------------------------------------------------


def _labels(runs: Sequence[Run]) -> list[str]:
    """Names of *runs*, with the end of the id where that is not enough to tell them apart."""
    names = [run.name or run.id for run in runs]
    return [
        name if names.count(name) == 1 or name == run.id else f"{name} {run.id[-_SUFFIX:]}"
        for name, run in zip(names, runs, strict=True)
    ]


def _says(run: Run) -> dict[str, str]:
    """What *run* says, by the name that a person would type."""
    from submeter.comparing.changes import facts

    words: dict[str, str] = {}
    for told in facts(run).values():
        for name, value in told.items():
            words.setdefault(name.lstrip("-"), value)
    return {**words, "name": run.name or run.id, "project": run.project, "user": run.user}


def _unsaid(name: str, said: Sequence[dict[str, str]]) -> UsageError:
    every = dict.fromkeys(word for words in said for word in words)
    differ = [word for word in every if len({words.get(word) for words in said}) > 1]
    from submeter.catalog.names import near

    told = near(name, every, most=_NAMED) or differ[:_NAMED]
    return UsageError(
        f"no run says “{name[:40]}”",
        remedy=f"--by {' or '.join(told)}" if told else "--by phase, or --by device",
    )
