# SPDX-License-Identifier: Apache-2.0
"""How well predictions meet published trainings: in words, and as JSON."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from submeter.estimating.validating import Report, Scored, Summary
from submeter.reporting.text import cut, plain, table
from submeter.reporting.words import JSON_SCHEMA

_HEADS: Final = ["", "given", "rows", "error", "coverage", "width"]
_ROWS: Final = ["row", "quantity", "given", "predicted", "", "published", ""]
_GIVEN: Final = {"description": "words", "device-hours": "hours"}
_NAME: Final = 24  # columns of the name of a row


def validation_words(report: Report, width: int) -> str:
    """Errors and coverage in all, by hardware, and row by row."""
    lines = [
        f"Median error, and how many of the {100 * report.level:.0f} % intervals held,",
        "by what was given: a description in words, or device-hours besides.",
    ]
    lines += _summaries("in all", report.overall)
    lines += _summaries("by hardware", report.by_hardware)
    if not all(row.passes for row in (*report.overall, *report.by_hardware)):
        lines.append("! a binomial test at 5 % refuses the nominal coverage")
    cells = [_ROWS, *(_scored(row) for row in report.scored)]
    lines += ["", *table(cells, right=(3, 5))]
    if report.excluded:
        lines += ["", "left out"]
        said = [
            [f"  {plain(r.id)}", r.quantity, r.given, plain(r.reason)] for r in report.excluded
        ]
        lines += table(said)
    return "\n".join(cut(line, width) for line in lines)


def _summaries(title: str, rows: Sequence[Summary]) -> list[str]:
    if not rows:
        return []
    cells = [_HEADS]
    for row in rows:
        ends = f"({100 * row.coverage_low:.0f} – {100 * row.coverage_high:.0f})"
        of = plain(row.group, width=_NAME)
        cells.append(
            [
                f"  {of}, {row.quantity}" if of not in ("", "all") else f"  {row.quantity}",
                _GIVEN.get(row.given, row.given),
                str(row.count),
                f"{100 * row.median_error_ratio:.0f} %",
                f"{100 * row.coverage_ratio:.0f} % {ends}{'' if row.passes else ' !'}",
                f"× {row.median_width_ratio:.2g}",
            ]
        )
    return ["", title, *table(cells, right=(2, 3, 5))]


def _scored(row: Scored) -> list[str]:
    return [
        plain(row.id, width=_NAME),
        row.quantity,
        _GIVEN.get(row.given, row.given),
        f"{row.predicted:.3g} {row.unit}",
        f"({row.low:.3g} – {row.high:.3g})",
        f"{row.published:.3g}",
        "" if row.covered else "outside",
    ]


def validation_document(report: Report) -> dict[str, Any]:
    """Words of the JSON: every row with its interval, and the summaries."""
    words: dict[str, Any] = msgspec.to_builtins(report)
    for row, scored in zip(words["scored"], report.scored, strict=True):
        row |= {"error_ratio": scored.error_ratio, "covered": scored.covered}
    return {"schema": JSON_SCHEMA, **words}
