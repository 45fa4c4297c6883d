# SPDX-License-Identifier: Apache-2.0
"""The catalog's CSV files, read only when asked for and no further than needed.

`rows` reads a small table whole and keeps it; `line` finds one row of a large table, sorted by
its first column, without parsing the others (a name is found within a millisecond).
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).parent / "data"


@cache
def rows(name: str) -> tuple[Mapping[str, str], ...]:
    """All rows of the table *name* (without ``.csv``)."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def text(name: str) -> str:
    """Text of the table *name*, whose lines end in a plain newline."""
    return (DATA / f"{name}.csv").read_text(encoding="utf-8")


def line(name: str, key: str) -> Mapping[str, str] | None:
    """Find the row of table *name* whose first column is *key*; None if there is none."""
    if not key or any(c in key for c in ',"\r\n'):
        return None  # such keys are quoted in the file, and no name that we list is
    lines = text(name)
    start = lines.find(f"\n{key},")
    if start < 0:
        return None
    end = lines.find("\n", start + 1)
    head = lines[: lines.index("\n")]
    (row,) = csv.DictReader([head, lines[start + 1 : end if end >= 0 else None]])
    return row
