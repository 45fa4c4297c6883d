# SPDX-License-Identifier: Apache-2.0
"""Words from elsewhere made safe for a line of a terminal, and lines that fit."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from submeter.storing.wording import safe_text

MOST: Final = 10_000  # characters of one text; what is longer is no name
_WIDE: Final = frozenset({"W", "F"})


def plain(words: str, *, width: int | None = None) -> str:
    """*words* on one line without anything that moves, colours or turns a terminal's text.

    Escape sequences, control characters and direction marks go; white space of any kind becomes
    one space. Longer than *width* columns, the end is cut and marked.
    """
    line = " ".join(safe_text(words, most=MOST).split())
    return line if width is None else cut(line, width)


def columns(line: str) -> int:
    """Columns that *line* takes on a terminal."""
    if line.isascii():
        return len(line)
    return sum(_columns_of(c) for c in line)


def cut(line: str, width: int) -> str:
    """*line* in at most *width* columns, its end marked if something went."""
    if columns(line) <= width:
        return line
    kept: list[str] = []
    room = width - 1
    for c in line:
        room -= _columns_of(c)
        if room < 0:
            break
        kept.append(c)
    return "".join(kept).rstrip() + "…"


def fill(pieces: Iterable[str], width: int, *, between: str = " ") -> list[str]:
    """*pieces* set into lines of at most *width* columns, none of them broken unless too long."""
    lines: list[str] = []
    for piece in pieces:
        one = cut(piece, width)
        if lines and columns(lines[-1]) + columns(between) + columns(one) <= width:
            lines[-1] += between + one
        else:
            lines.append(one)
    return lines


def pad(words: str, width: int, *, right: bool = False) -> str:
    """*words* with spaces up to *width* columns, on the left of them if *right*."""
    spaces = " " * max(0, width - columns(words))
    return spaces + words if right else words + spaces


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """*rows* of cells as lines, columns aligned, two spaces between; *right* ones flush right.

    A row of one cell spans all columns.
    """
    if not rows:
        return []
    flush = frozenset(right)
    count = max(len(row) for row in rows)
    whole = [row for row in rows if len(row) > 1]
    widths = [max((columns(r[i]) for r in whole if i < len(r)), default=0) for i in range(count)]
    return [
        "  ".join(pad(cell, widths[i], right=i in flush) for i, cell in enumerate(row)).rstrip()
        for row in rows
    ]


def fitted(
    rows: Sequence[Sequence[str]], width: int, *, right: Iterable[int] = (), spare: Sequence[int]
) -> tuple[list[str], list[int]]:
    """*rows* as a `table` of at most *width* columns, and what it does without to fit.

    Columns of *spare* go one after the other, the first one first, before anything is cut.
    """
    flush = frozenset(right)
    gone: list[int] = []
    while True:
        kept = [i for i in range(max(map(len, rows), default=0)) if i not in gone]
        cells = [[r[i] for i in kept if i < len(r)] if len(r) > 1 else list(r) for r in rows]
        lines = table(cells, right=[n for n, i in enumerate(kept) if i in flush])
        if len(gone) == len(spare) or max(map(columns, lines), default=0) <= width:
            return lines, gone
        gone.append(spare[len(gone)])


def _columns_of(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in _WIDE else 1
