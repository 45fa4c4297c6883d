# SPDX-License-Identifier: Apache-2.0
"""How well predictions meet published trainings: in words, and as JSON."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from submeter.estimating.validating import Report, Scored, Summary
from submeter.reporting.text import cut, plain, table
from submeter.reporting.words import JSON_SCHEMA

_HEADS: Final = ["", "given", "rows", "median error", "coverage", "width"]
_ROWS: Final = ["row", "quantity", "given", "predicted", "", "published", ""]


def validation_words(report: Report, width: int) -> str:
    """Errors and coverage in all, by hardware, and row by row."""
    lines = [f"Of {report.level:.0%} intervals; coverage with its own 95 % interval."]
    lines += _summaries("in all", report.overall)
    lines += _summaries("by hardware", report.by_hardware)
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
        ends = f"({row.coverage_low:.0%} – {row.coverage_high:.0%})"
        cells.append(
            [
                f"  {plain(row.group)}, {row.quantity}" if row.group else f"  {row.quantity}",
                row.given,
                str(row.count),
                f"{row.median_error_ratio:.0%}",
                f"{row.coverage_ratio:.0%} {ends}{'' if row.passes else ' refused'}",
                f"× {row.median_width_ratio:.2g}",
            ]
        )
    return ["", title, *table(cells, right=(2, 3, 5))]


def _scored(row: Scored) -> list[str]:
    return [
        plain(row.id),
        row.quantity,
        row.given,
        f"{row.predicted:.3g} {row.unit}",
        f"({row.low:.3g} – {row.high:.3g})",
        f"{row.published:.3g}",
        "" if row.covered else "outside",
    ]


def validation_document(report: Report) -> dict[str, Any]:
    """Words of the JSON: every row with its interval, and the summaries."""
    words: dict[str, Any] = msgspec.to_builtins(report)
    return {"schema": JSON_SCHEMA, **words}
