# SPDX-License-Identifier: Apache-2.0
"""How an NVIDIA board's power sensor behaves: by the board, its architecture, or cautiously."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from submeter.catalog.names import normal_board
from submeter.catalog.tables import line, rows
from submeter.records.figures import ErrorTerm

UNKNOWN = "unknown"


class BoardRow(msgspec.Struct, frozen=True):
    """Sensor of a board, for the power that its driver gives by default.

    ``duty`` is the part of each update period that the average sees. ``counter_update_s`` is 0
    where there is no energy counter (before Volta). ``gain`` is the doubt of power and counter
    alike, which hang on the same shunts.
    """

    name: str
    architecture: str
    update_s: float
    window_s: float
    duty: float
    counter_update_s: float
    gain: ErrorTerm
    source: str
    verified: str
    how: Literal["board", "architecture", "unknown"]
    tdp_w: float | None = None


def match_board(name: str, *, architecture: str = "") -> BoardRow:
    """Find how a board's sensor behaves, by the name that its driver reports.

    Parameters
    ----------
    name
        Such as ``NVIDIA A100-SXM4-80GB``; a MIG instance's suffix is ignored.
    architecture
        As NVML says it (``Hopper``), used where the name is in no table.

    Returns
    -------
    BoardRow
        An unknown board gets the widest behaviour of its architecture, an unknown architecture
        the widest of all since Turing; ``how`` says which.
    """
    key = normal_board(name.partition(" MIG ")[0])
    board = line("boards", key)
    if board is not None:
        return _of_board(board)
    family = _families(key, architecture)
    tables = [row for row in rows("architectures") if row["key"] in family]
    if not tables:
        tables = [row for row in rows("architectures") if row["key"] == UNKNOWN]
    return _widest(name, tables)


def _families(key: str, architecture: str) -> set[str]:
    """Architectures that a board of this name may be of."""
    words = key.split()
    for n in range(len(words) - 1, 0, -1):  # the same chip under a longer name
        board = line("boards", " ".join(words[:n]))
        if board is not None:
            return {board["architecture"]}
    table = rows("architectures")
    named = {row["key"] for row in table if row["regex"] and re.search(row["regex"], key)}
    said = architecture.strip().lower()
    return named or {row["key"] for row in table if said and row["key"].lower().startswith(said)}


def _of_board(board: Mapping[str, str]) -> BoardRow:
    behaviour = next(r for r in rows("architectures") if r["key"] == board["architecture"])
    update_s = float(board["update_s"] or behaviour["update_s"])
    window_s = float(board["window_s"] or behaviour["window_s"])
    sees = float(behaviour["duty"])
    if board["window_s"]:
        sees = min(1.0, round(window_s / update_s, 3))
    return BoardRow(
        name=board["name"],
        architecture=board["architecture"],
        update_s=update_s,
        window_s=window_s,
        duty=sees,
        counter_update_s=float(behaviour["counter_update_s"]),
        gain=_gain(float(behaviour["gain_ratio"])),
        source=f"{board['source']}+{behaviour['source']}",
        verified=board["verified"],
        how="board",
        tdp_w=float(board["tdp_w"]),
    )


def _widest(name: str, tables: Sequence[Mapping[str, str]]) -> BoardRow:
    """Take what holds for each of *tables*: slow update, short sight, wide gain."""
    worst = max(tables, key=lambda row: float(row["gain_ratio"]))
    unknown = worst["key"] == UNKNOWN
    return BoardRow(
        name=name,
        architecture=" or ".join(row["key"] for row in tables),
        update_s=max(float(row["update_s"]) for row in tables),
        window_s=max(float(row["window_s"]) for row in tables),
        duty=min(float(row["duty"]) for row in tables),
        counter_update_s=max(float(row["counter_update_s"]) for row in tables),
        gain=_gain(float(worst["gain_ratio"])),
        source=worst["source"],
        verified="assumed" if unknown else worst["verified"],
        how="unknown" if unknown else "architecture",
    )


def _gain(bound_ratio: float) -> ErrorTerm:
    """Turn a tolerance into an error term; its user puts the board's id into the key."""
    return ErrorTerm("nvml-gain", relative_sd=bound_ratio / math.sqrt(3), shape="uniform")
