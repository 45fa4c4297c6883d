# SPDX-License-Identifier: Apache-2.0
"""The words of the JSON for runs beside runs. Documented in ``docs/json.md``."""

import math
from collections.abc import Sequence

from submeter.comparing.differences import LEVEL, Change, Known
from submeter.comparing.quality import Quality
from submeter.comparing.runs import Comparison, Row
from submeter.comparing.work import SameWork
from submeter.records.figures import Missing
from submeter.reporting.footprint_words import figure_words, missing
from submeter.reporting.words import JSON_SCHEMA, number

_OPEN = "parts of it are not known"


def comparison_document(made: Comparison) -> dict[str, object]:
    """All of *made*."""
    found = made.differences
    return {
        "schema": JSON_SCHEMA,
        "columns": [
            {"label": c.label, "runs": [run.id for run in c.runs], "origin": c.runs[0].origin}
            for c in made.columns
        ],
        "changed": [
            {
                "group": row.group,
                "name": row.name,
                "values": [missing("not recorded") if v is None else v for v in row.values],
            }
            for row in found.changed
        ],
        "same": list(found.same),
        "not_recorded": list(found.untold),
        "partly_recorded": [
            {"group": group, "not_by": [made.columns[i].label for i in silent]}
            for group, silent in found.partly
        ],
        "rows": _rows(made.rows),
        "quality": [_quality(row) for row in made.quality],
        "parts": _rows(made.parts),
        "notes": [*made.notes, *found.notes],
    }


def same_work_document(made: SameWork) -> dict[str, object]:
    """The same with what the same work takes."""
    reached = made.reached
    return {
        **comparison_document(made.comparison),
        "same_work": {
            "per_unit": _rows(made.per_unit),
            "reached": missing("; ".join(made.refused))
            if reached is None
            else {
                "metric": reached.metric,
                "target": reached.target,
                "more_is_better": reached.rising,
                "rows": _rows((reached.energy, reached.time)),
            },
            "refused": list(made.refused),
        },
    }


def change_document(change: Change | Missing) -> dict[str, object]:
    """Ratio and difference with their intervals, or why there is none."""
    if isinstance(change, Missing):
        return missing(change.why)
    return {
        "ratio": _ends(change.ratio, change.ratio_low, change.ratio_high),
        "difference": _ends(change.difference, change.difference_low, change.difference_high),
        "distinguishable": change.distinguishable,
        "same": change.same,
    }


# --- inside -------------------------------------------------------------------------------------


def _rows(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [
        {
            "key": row.key,
            "name": row.name,
            "values": [_value(value, row.unit) for value in row.values],
            "changes": [change_document(change) for change in row.changes],
        }
        for row in rows
    ]


def _value(value: Known, unit: str) -> dict[str, object]:
    words = figure_words(value.amount, unit)
    return {**words, "at_least": True} if value.least and "value" in words else words


def _ends(value: float, low: float, high: float) -> dict[str, object]:
    return {
        "value": value,
        "low": low if math.isfinite(low) else missing(_OPEN),
        "high": high if math.isfinite(high) else missing(_OPEN),
        "level": LEVEL,
    }


def _quality(row: Quality) -> dict[str, object]:
    return {
        "metric": row.metric,
        "more_is_better": missing("its name does not tell") if row.rising is None else row.rising,
        "values": [missing("not logged") if v is None else number(v) for v in row.values],
        "changes": [_moved(change) for change in row.changes],
    }


def _moved(change: tuple[float, float | Missing] | None) -> dict[str, object]:
    if change is None:
        return missing("not logged by both")
    value, reach = change
    if isinstance(reach, Missing):
        none = missing(reach.why)
        return {"value": value, "low": none, "high": none, "distinguishable": False}
    return {
        "value": value,
        "low": value - reach,
        "high": value + reach,
        "distinguishable": abs(value) > reach,
    }
