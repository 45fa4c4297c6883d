# SPDX-License-Identifier: Apache-2.0
"""Families of models beside each other: a table a data set, the words of the JSON, a drawing."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from submeter.comparing.differences import Known
from submeter.comparing.families import DATA_SETS, FAMILIES, Protocol, Result, corrected, pareto
from submeter.comparing.runs import row_of
from submeter.records.amounts import Amount
from submeter.records.figures import Figure, Missing
from submeter.reporting.comparison_charts import Mark, scatter_svg
from submeter.reporting.comparison_words import change_document
from submeter.reporting.footprint_words import figure_words
from submeter.reporting.numbers import (
    MISSING,
    below_resolution,
    interval,
    mark,
    write,
    write_limit,
)
from submeter.reporting.text import fill, fitted, plain
from submeter.reporting.words import JSON_SCHEMA

_SAME: Final = "≈"
_J: Final = "J"


def families_words(
    results: Sequence[Result], protocol: Protocol, notes: Sequence[str], width: int
) -> str:
    """A table for each data set, the most accurate family first."""
    blocks = [
        "\n".join(fill(_rule(protocol).split(" "), width)),
        *("\n".join(_table(data, rows, width)) for data, rows in by_data(results).items()),
    ]
    legend = (
        "* nothing else is as accurate at as little energy of search and training; ≈ not "
        "distinguishable from the most accurate (paired folds, whose training parts overlap); "
        "energy is that of this machine's node"
    )
    blocks += ["\n".join(fill(plain(said).split(" "), width)) for said in (legend, *notes)]
    return "\n\n".join(blocks)


def families_document(
    results: Sequence[Result], protocol: Protocol, notes: Sequence[str]
) -> dict[str, object]:
    """Words of the JSON."""
    return {
        "schema": JSON_SCHEMA,
        "protocol": {
            "folds": protocol.folds,
            "inner_folds": protocol.inner,
            "settings": protocol.settings,
            "seed": protocol.seed,
            "least_s": protocol.least_s,
        },
        "models": [row for found in by_data(results).values() for row in _rows(found)],
        "notes": list(notes),
    }


def families_svg(results: Sequence[Result]) -> Mapping[str, str]:
    """A drawing for each data set: quality against the energy of search and training."""
    drawn = {}
    for data, rows in by_data(results).items():
        marks = [m for r, kept in zip(rows, pareto(rows), strict=True) if (m := _mark(r, kept))]
        if marks:
            title = f"{data}: accuracy against energy of search and training"
            said = f"{title}, 95 % intervals; * nothing else is as good in both"
            drawn[data] = scatter_svg(
                title, said, marks, "energy of one search and one training", "accuracy"
            )
    return drawn


def by_data(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results by data set, the most accurate first."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.data, []).append(result)
    return {data: sorted(rows, key=lambda r: -r.accuracy) for data, rows in found.items()}


# --- inside -------------------------------------------------------------------------------------


def _rows(found: Sequence[Result]) -> list[dict[str, object]]:
    """Words of each family on one data set, beside the most accurate."""
    pairs = zip(found, pareto(found), strict=True)
    return [_row(result, found[0], kept=kept) for result, kept in pairs]


def _row(result: Result, best: Result, *, kept: bool) -> dict[str, object]:
    less, slack = _to_best(result, best)
    whole = row_of("energy", "energy", _J, [Known(best.whole), Known(result.whole)])
    return {
        "data": result.data,
        "family": result.family,
        "model": FAMILIES[result.family].words,
        "accuracy": _quality(*corrected(result.accuracies)),
        "accuracy_to_best": _quality(less, slack),
        "distinguishable": abs(less) > slack,
        "selection": figure_words(result.selection, _J),
        "training": figure_words(result.training, _J),
        "prediction": figure_words(result.prediction, _J),
        "energy_to_best": change_document(whole.changes[1]),
        "pareto": kept,
        "chosen": result.chosen,
        "run": result.run_id,
    }


def _rule(protocol: Protocol) -> str:
    return (
        f"Each family: the same {protocol.folds} folds, {protocol.settings} settings to choose "
        f"from, each on {protocol.inner} inner folds, one thread."
    )


def _table(data: str, rows: Sequence[Result], width: int) -> list[str]:
    heads = ["", "family", "accuracy", "", "95 %", "search", "training", "", "a prediction"]
    cells = [heads]
    for result, kept in zip(rows, pareto(rows), strict=True):
        value, reach = corrected(result.accuracies)
        training = _cell(result.training)
        known = math.isfinite(reach)
        cells.append(
            [
                "*" if kept else "",
                FAMILIES[result.family].words,
                f"{value:.3f}",
                _close(result, rows[0]),
                f"({value - reach:.3f} – {min(1.0, value + reach):.3f})" if known else "",
                _cell(result.selection)[0],
                *training,
                _cell(result.prediction)[0],
            ]
        )
    lines, _ = fitted(cells, width, right=(2, 5, 6, 8), spare=(7, 4))
    head = f"{data}: {DATA_SETS.get(data, '')}".rstrip(": ")
    return [head, *lines, *fill(_share(rows).split(" "), width)]


def _share(rows: Sequence[Result]) -> str:
    """How much of all energy went into choosing."""
    known = [r for r in rows if isinstance(r.selection, Amount) and isinstance(r.training, Amount)]
    chosen = math.fsum(r.selection.value for r in known if isinstance(r.selection, Amount))
    trained = math.fsum(r.training.value for r in known if isinstance(r.training, Amount))
    if trained <= 0:
        return "what choosing took is not known"
    whole = f"{100 * chosen / (chosen + trained):.0f} %"
    searches, trainings = (write(joule, _J, joules=True) for joule in (chosen, trained))
    return (
        f"choosing took {whole} of it: {searches} for the searches of all families, {trainings} "
        "for a training of what each chose"
    )


def _close(result: Result, best: Result) -> str:
    """A mark where it is not distinguishable from the most accurate."""
    if result is best:
        return ""
    value, reach = _to_best(result, best)
    return "" if abs(value) > reach else _SAME


def _to_best(result: Result, best: Result) -> tuple[float, float]:
    pairs = zip(result.accuracies, best.accuracies, strict=False)
    return corrected([a - b for a, b in pairs])


def _cell(amount: Amount | Missing) -> tuple[str, str]:
    if isinstance(amount, Missing):
        return MISSING, ""
    figure = amount.figure(_J)
    if below_resolution(figure):
        return write_limit(figure), ""
    return f"{write(figure, joules=True)}{mark(figure)}", interval(figure, joules=True)


def _quality(value: float, reach: float) -> dict[str, object]:
    if not math.isfinite(reach):
        return {"value": value, "low": {"missing": "one fold"}, "high": {"missing": "one fold"}}
    return {"value": value, "low": value - reach, "high": value + reach}


def _mark(result: Result, kept: bool) -> Mark | None:  # noqa: FBT001  # a row's own
    whole = result.whole
    if isinstance(whole, Missing):
        return None
    figure: Figure = whole.figure(_J)
    value, reach = corrected(result.accuracies)
    words = FAMILIES[result.family].words
    said = f"{words}: accuracy {value:.3f}, {write(figure, joules=True)}; {result.chosen}"
    low = figure.low if figure.low > 0 else figure.value / 10
    return Mark(
        words, figure.value, low, figure.high, value, value - reach, min(1.0, value + reach),
        kept, said,
    )  # fmt: skip
