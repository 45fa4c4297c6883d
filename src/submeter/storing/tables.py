# SPDX-License-Identifier: Apache-2.0
"""Rows of the ledger as JSON (schema 1) and as CSV."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from submeter.storing.documents import RunRow
from submeter.storing.wording import safe_cell

LIST_SCHEMA: Final = 1
COLUMNS: Final = (
    "id", "name", "origin", "status", "exit_code", "started_utc", "duration_s", "devices_j",
    "node_j", "node_low_j", "node_high_j", "node_basis", "incomplete", "project", "user", "tags",
    "facility_j", "facility_low_j", "facility_high_j", "facility_basis",
)  # fmt: skip


class _Ends(msgspec.Struct):
    low: float | None = None
    high: float | None = None


class _Node(msgspec.Struct):
    node: _Ends


def rows_json(rows: Iterable[RunRow], walls: Mapping[str, Mapping[str, object]]) -> bytes:
    """One JSON document of *rows*, each in the words of a single run's document.

    *walls* holds the figure of the facility of each run, by id, in the words of the JSON.
    """
    runs = [
        {
            "run": {
                "id": row.id,
                "name": row.name,
                "origin": row.origin,
                "status": row.status,
                "exit_code": row.exit_code,
                "started_utc": row.started_utc,
                "duration_s": row.duration_s,
                "tags": row.tags,
                "project": row.project,
                "user": row.user,
            },
            "energy": msgspec.json.decode(row.figures) | {"facility": walls[row.id]},
            "incomplete": row.incomplete,
        }
        for row in rows
    ]
    return msgspec.json.encode({"schema": LIST_SCHEMA, "runs": runs})


def rows_csv(rows: Iterable[RunRow], walls: Mapping[str, Mapping[str, object]]) -> str:
    """*rows* as CSV, energies in joules; what is unknown is empty; no cell is a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        ends = msgspec.json.decode(row.figures, type=_Node).node
        tags = ";".join(f"{k}={v}" for k, v in sorted(row.tags.items()))
        cells = (
            row.id, row.name, row.origin, row.status, row.exit_code, row.started_utc,
            row.duration_s, row.devices_j, row.node_j, ends.low, ends.high, row.basis,
            str(row.incomplete).lower(), row.project, row.user, tags,
            *(walls[row.id].get(word) for word in ("value", "low", "high", "basis")),
        )  # fmt: skip
        writer.writerow([safe_cell(c) if isinstance(c, str) else c for c in cells])
    return file.getvalue()
