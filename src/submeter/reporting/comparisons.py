# SPDX-License-Identifier: Apache-2.0
"""Runs beside runs in words: what is different about them, and what that did."""

import math
from collections.abc import Sequence
from typing import Final

from submeter.comparing.changes import Changed, Group
from submeter.comparing.differences import Change
from submeter.comparing.quality import Quality
from submeter.comparing.runs import Column, Comparison, Row
from submeter.comparing.work import SameWork
from submeter.records.figures import Figure, Missing
from submeter.reporting.numbers import (
    MISSING,
    below_resolution,
    interval,
    mark,
    shared_unit,
    write,
    write_duration,
    write_limit,
)
from submeter.reporting.summary import metric_words
from submeter.reporting.text import columns as columns_of
from submeter.reporting.text import cut, fill, fitted, plain, table

SAME: Final = "the same"
NOT_DISTINGUISHABLE: Final = "not distinguishable"
_INDENT: Final = "  "
_LABEL: Final = 20  # most columns of the name of a run
_NARROW: Final = 13  # and where it is narrow
_WORD: Final = 24  # and of a word that changed
_FACTOR: Final = 3.0  # from here on a ratio is told as a factor
_DIVISOR: Final = 10.0  # and from here on down
_TWO: Final = 2
_ENDS: Final = "95 %"
_MOST_METRICS: Final = 4
_MOST_ROWS: Final = 16  # of what changed
_AT_MOST: Final = 0.0095  # below it a change has a digit behind the point
_LONG: Final = 1e6
_MOST_NAMES: Final = 3
_WIDEST: Final = 1e3  # values of a row that differ by more do not share a unit
_NAMES: Final = {"end": "how it ended", "meter": "how it is known"}


def comparison_words(made: Comparison, width: int) -> str:
    """*made* in lines of at most *width* columns."""
    blocks = [_head(made), _changed(made, width), _did(made, width)]
    if made.parts:
        blocks.append(_table("split", made.columns, made.parts, (), width))
    blocks.append(_notes(made.notes + made.differences.notes, width))
    return _joined(blocks, width)


def same_work_words(made: SameWork, width: int) -> str:
    """The same work in each column, and why some of it cannot be told."""
    found = made.comparison
    reached = (made.reached.energy, made.reached.time) if made.reached else ()
    rows = (*made.per_unit, *reached)
    refused = [line for why in made.refused for line in fill(plain(why).split(" "), width)]
    blocks = [
        _head(found),
        refused,
        _table("the same work", found.columns, rows, (), width) if rows else [],
        _changed(found, width),
        _did(found, width),
        _notes(found.notes + found.differences.notes, width),
    ]
    return _joined(blocks, width)


def change_words(change: Change | Missing) -> tuple[str, str]:
    """The change and its interval: ``−33 %`` and ``(−38 … −28)``."""
    if isinstance(change, Missing):
        return MISSING, ""
    if change.same:
        return SAME, ""
    low, high = change.ratio_low, change.ratio_high
    if low <= 0 and math.isinf(high):
        return _ratio(change.ratio), "(interval not known)"
    if math.isinf(high):
        return (f"at least {_ratio(low)}", "") if low > 1 else (NOT_DISTINGUISHABLE, "")
    if low <= 0:
        return (f"at most {_ratio(high)}", "") if high < 1 else (NOT_DISTINGUISHABLE, "")
    if low == high:
        return _ratio(change.ratio), ""
    factor = _is_factor(change.ratio)
    ends = [_ratio(end, factor=factor, bare=True) for end in (low, high)]
    said = _ratio(change.ratio) if change.distinguishable else NOT_DISTINGUISHABLE
    if ends[0] == ends[1] == _ratio(change.ratio, factor=factor, bare=True):
        return said, ""
    return said, f"({ends[0]} … {ends[1]})"


# --- inside -------------------------------------------------------------------------------------


def _joined(blocks: Sequence[Sequence[str]], width: int) -> str:
    kept = ["\n".join(cut(line, width) for line in block) for block in blocks if block]
    return "\n\n".join(kept)


def _label(column: Column, room: int = _LABEL) -> str:
    times = len(column.runs)
    name = plain(column.label)
    return cut(name, room) if times == 1 else f"{cut(name, room - 4)} ×{times}"


def _head(made: Comparison) -> list[str]:
    first = _label(made.columns[0], 40)
    if len(made.columns) == _TWO:
        return [f"{first} → {_label(made.columns[1], 40)}"]
    return [f"{len(made.columns)} runs beside each other; changes are to {first}"]


def _changed(made: Comparison, width: int) -> list[str]:
    """What is different, one row a thing; with many runs one row a run."""
    found = made.differences
    if not found.changed:
        return ["what changed: nothing that the records tell", *_same(made, width)]
    names = [_label(column) for column in made.columns]
    if len(names) == _TWO:
        rows = [["what changed", "", *names]]
        rows += [
            [
                _INDENT + _NAMES.get(row.group, row.group),
                cut(plain(row.name), _LABEL),
                *_cells(row),
            ]
            for row in found.changed[:_MOST_ROWS]
        ]
        lines = table(rows)
        if max(map(columns_of, lines)) > width:
            lines = _stacked(found.changed[:_MOST_ROWS], names, width)
    else:
        lines = _by_run(found.changed, names, width)
    more = len(found.changed) - _MOST_ROWS
    if more > 0 and len(names) == _TWO:
        lines.append(f"{_INDENT}and {more} more (--json has all)")
    return [*lines, *_same(made, width)]


def _cells(row: Changed) -> list[str]:
    return [MISSING if v is None else cut(plain(v) or "(empty)", _WORD) for v in row.values]


def _stacked(rows: Sequence[Changed], names: Sequence[str], width: int) -> list[str]:
    """Each thing on lines of its own, where it is narrow."""
    lines = ["what changed"]
    for row in rows:
        lines.append(f"{_INDENT}{_NAMES.get(row.group, row.group)}, {plain(row.name)}")
        pairs = zip(names, row.values, strict=True)
        said = [f"{name}: {MISSING if v is None else plain(v)}" for name, v in pairs]
        lines += [_INDENT * 2 + line for line in fill(said, width - 4, between=" · ")]
    return lines


def _by_run(rows: Sequence[Changed], names: Sequence[str], width: int) -> list[str]:
    """A row for each run, a column for each thing that they differ in."""
    heads = ["what changed", *(cut(plain(row.name), _LABEL) for row in rows)]
    body = [[_INDENT + name, *(_cells(row)[i] for row in rows)] for i, name in enumerate(names)]
    spare = list(range(len(rows), 1, -1))
    lines, gone = fitted([heads, *body], width, spare=spare)
    if gone:
        hidden = " · ".join(heads[i] for i in sorted(gone))
        lines += [_INDENT + x for x in fill(f"also: {hidden} (--json has all)".split(), width - 2)]
    return lines


def _same(made: Comparison, width: int) -> list[str]:
    """Groups of which all say the same, and those of which some say nothing."""
    found, lines = made.differences, []
    by_silent: dict[tuple[int, ...], list[Group]] = {}
    for group, silent in found.partly:
        by_silent.setdefault(silent, []).append(group)
    told: list[tuple[str, Sequence[Group]]] = [("the same: ", found.same)]
    for silent, unsaid in by_silent.items():
        names = ", ".join(_label(made.columns[i]) for i in silent[:_MOST_NAMES])
        more = len(silent) - _MOST_NAMES
        who = f"{names} and {more} more" if more > 0 else names
        told.append((f"not told by {who}: ", unsaid))
    for label, groups in (*told, ("not recorded: ", found.untold)):
        if groups:
            words = " · ".join(_NAMES.get(g, g) for g in groups)
            lines += fill((label + words).split(" "), width)
    return lines


def _did(made: Comparison, width: int) -> list[str]:
    shown = [q for q in made.quality if q.values[0] is not None][:_MOST_METRICS]
    lines = _table("what it did", made.columns, made.rows, shown, width)
    hidden = len(made.quality) - len(shown)
    more = f"{hidden} more metric{'s' if hidden > 1 else ''} (--json has all)"
    return [*lines, f"{_INDENT}{more}"] if hidden else lines


def _table(
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    quality: Sequence[Quality],
    width: int,
) -> list[str]:
    if len(columns) == _TWO:
        return _here_and_there(title, columns, rows, quality, width)
    return _many(title, columns, rows, quality, width)


def _here_and_there(
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    quality: Sequence[Quality],
    width: int,
) -> list[str]:
    """Two columns with their intervals, the change and its; those of values go first."""
    body: list[list[str]] = []
    for row in rows:
        ends = [word for words in _values(row) for word in words]
        body.append([_INDENT + plain(row.name), *ends, *change_words(row.changes[1])])
    for one in quality:
        values = [w for v in one.values for w in (MISSING if v is None else metric_words(v), "")]
        body.append([_INDENT + cut(plain(one.metric), _WORD), *values, *_moved(one, 1)])
    for room in (_LABEL, _NARROW):  # rather a shorter name than another shape
        a, b = (_label(column, room) for column in columns)
        heads = [title, a, "", b, "", "change", _ENDS]
        lines = _fitted([heads, *body], width, right=(1, 3, 5), spare=(4, 2))
        if max(map(columns_of, lines)) <= width:
            return lines
    return _narrow([title, *(_label(column, _NARROW) for column in columns)], body, width)


def _narrow(heads: Sequence[str], body: Sequence[Sequence[str]], width: int) -> list[str]:
    """Two columns with the intervals of changes below them, and values as far as they fit."""
    cells: list[list[str]] = [[*heads, "change, 95 %"]]
    for name, a, _, b, _, change, ends in body:
        cells.append([name, a, b, change])
        if ends:
            cells.append(["", "", "", ends])
    return fitted(cells, width, right=(1, 2, 3), spare=(1,))[0]


def _many(
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    quality: Sequence[Quality],
    width: int,
) -> list[str]:
    """A row for each run: the first quantity with its change, the others' values."""
    heads = [title]
    parts: list[list[str]] = [[_INDENT + _label(column)] for column in columns]
    order: list[int] = []  # of columns, those that go first
    for n, row in enumerate(rows):
        values = _values(row)
        heads += [plain(row.name), *(["to first", _ENDS] if n == 0 else [])]
        for i, cells in enumerate(parts):
            cells.append(values[i][0])
            if n == 0:
                cells.extend(change_words(row.changes[i]) if i else ("", ""))
        if n > 1:
            order.append(len(heads) - 1)
    begin = len(heads)
    for one in quality:
        heads.append(cut(plain(one.metric), _LABEL))
        for i, cells in enumerate(parts):
            value = one.values[i]
            cells.append(MISSING if value is None else metric_words(value))
    metrics = list(range(len(heads) - 1, begin, -1))
    spare = [*metrics, *reversed(order), 3]
    lines, gone = fitted([heads, *parts], width, right=range(1, len(heads)), spare=spare)
    if gone:
        hidden = " · ".join(heads[i] for i in sorted(gone) if heads[i] != _ENDS)
        said = f"left out for want of room: {hidden} (wider terminal, or --json)"
        lines += fill(said.split(" "), width) if hidden else []
    return lines


def _fitted(
    cells: Sequence[Sequence[str]], width: int, *, right: Sequence[int], spare: Sequence[int]
) -> list[str]:
    """A table without columns that say nothing, and as few of the others as have to go."""
    empty = {i for i in range(len(cells[0])) if not any(row[i] for row in cells[1:])}
    kept = [i for i in range(len(cells[0])) if i not in empty]
    place = {i: n for n, i in enumerate(kept)}
    rows = [[row[i] for i in kept] for row in cells]
    return fitted(
        rows,
        width,
        right=[place[i] for i in right if i in place],
        spare=[place[i] for i in spare if i in place],
    )[0]


def _values(row: Row) -> list[tuple[str, str]]:
    """Value and interval of each column, in one unit where that can be."""
    base = row.unit.partition(" per ")[0]  # per what stands in the name of the row
    figures = [
        v.amount if isinstance(v.amount, Missing) else v.amount.figure(base) for v in row.values
    ]
    known = [f.value for f in figures if isinstance(f, Figure) and f.low > 0]
    alike = bool(known) and max(known) < _WIDEST * min(known)
    like = shared_unit(known) if alike else None
    pairs = zip(figures, row.values, strict=True)
    return [_value(figure, row, like, least=value.least) for figure, value in pairs]


def _value(
    figure: Figure | Missing, row: Row, like: float | None, *, least: bool
) -> tuple[str, str]:
    """A value and its interval."""
    if isinstance(figure, Missing):
        return MISSING, ""
    if row.key == "time" or row.key.startswith("time_to"):
        return write_duration(figure.value), ""
    if below_resolution(figure):
        return write_limit(figure), ""
    joules = " per " in row.unit
    said = write(figure, joules=joules, like=like)
    sign = "≥ " if least else ""
    return f"{sign}{said}{mark(figure)}", interval(figure, joules=joules, like=like)


def _moved(one: Quality, at: int) -> tuple[str, str]:
    """Difference of a metric, with its interval if it is known."""
    found = one.changes[at]
    if found is None:
        return MISSING, ""
    value, reach = found
    if value == 0 and (isinstance(reach, Missing) or reach == 0):
        return SAME, ""
    said = _signed(value)
    if isinstance(reach, Missing):
        return said, "(one run each)"
    ends = f"({_signed(value - reach)} … {_signed(value + reach)})"
    return (said if abs(value) > reach else NOT_DISTINGUISHABLE), ends


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.3g}"


def _is_factor(ratio: float) -> bool:
    return ratio >= _FACTOR or ratio <= 1 / _DIVISOR


def _ratio(ratio: float, *, factor: bool | None = None, bare: bool = False) -> str:
    """``−33 %``, or ``× 12`` and ``÷ 12`` where that reads better."""
    if _is_factor(ratio) if factor is None else factor:
        sign, size = ("×", ratio) if ratio >= 1 else ("÷", 1 / ratio if ratio > 0 else math.inf)
        return f"{sign} {_short(size)}"
    change = ratio - 1
    digits = 0 if abs(change) >= 10 * _AT_MOST else 1
    if abs(change) < _AT_MOST / 10:
        digits = 2
    words = f"{100 * abs(change):.{digits}f}" if change else "0"
    sign = "" if float(words) == 0 else "−" if change < 0 else "+"
    return f"{sign}{words}" if bare else f"{sign}{words} %"


def _short(size: float) -> str:
    """Two digits, and no exponent below a million: 1200, 8.7e8."""
    rounded = float(f"{size:.2g}")
    if rounded < _LONG:
        return f"{rounded:g}"
    return f"{rounded:.1e}".replace("e+0", "e").replace("e+", "e")


def _notes(notes: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for note in dict.fromkeys(notes):
        said = fill(plain(note).split(" "), width - 6)
        lines += [f"{'note' if i == 0 else '    '}  {line}" for i, line in enumerate(said)]
    return lines
