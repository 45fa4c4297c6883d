# SPDX-License-Identifier: Apache-2.0
"""Runs beside runs in words: what is different about them, and what that did."""

import math
from collections.abc import Sequence
from typing import Final

from submeter.comparing.changes import Changed, Differences
from submeter.comparing.differences import Change, Known
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
_WORD: Final = 24  # and of a word that changed
_FACTOR: Final = 10.0  # from here on a ratio is told as a factor
_TWO: Final = 2
_MOST_ROWS: Final = 16  # of what changed
_AT_MOST: Final = 0.0095  # below it a change has a digit behind the point
_LONG: Final = 1e6
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
    ends = f"({_ratio(low, factor=factor, bare=True)} … {_ratio(high, factor=factor, bare=True)})"
    return (_ratio(change.ratio) if change.distinguishable else NOT_DISTINGUISHABLE), ends


# --- inside -------------------------------------------------------------------------------------


def _joined(blocks: Sequence[Sequence[str]], width: int) -> str:
    kept = ["\n".join(cut(line, width) for line in block) for block in blocks if block]
    return "\n\n".join(kept)


def _label(column: Column, room: int = _LABEL) -> str:
    times = len(column.runs)
    name = plain(column.label)
    return cut(name, room) if times == 1 else f"{cut(name, room - 4)} ({times}×)"


def _head(made: Comparison) -> list[str]:
    first = _label(made.columns[0], 40)
    if len(made.columns) == _TWO:
        return [f"{first} → {_label(made.columns[1], 40)}"]
    return [f"{len(made.columns)} beside each other; changes are to {first}"]


def _changed(made: Comparison, width: int) -> list[str]:
    """What is different, one row a thing; with many runs one row a run."""
    found = made.differences
    if not found.changed:
        return ["what changed: nothing that the records tell", *_same(found, width)]
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
    return [*lines, *_same(found, width)]


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


def _same(found: Differences, width: int) -> list[str]:
    lines = []
    for label, groups in (("the same: ", found.same), ("not recorded: ", found.untold)):
        if groups:
            words = " · ".join(_NAMES.get(g, g) for g in groups)
            lines += fill((label + words).split(" "), width)
    return lines


def _did(made: Comparison, width: int) -> list[str]:
    return _table("what it did", made.columns, made.rows, made.quality, width)


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
    a, b = (_label(column) for column in columns)
    cells = [[title, a, "", b, "", "change", "95 %"]]
    for row in rows:
        like = _like(row)
        ends = [w for value in row.values for w in _value(value, row, like)]
        cells.append([_INDENT + plain(row.name), *ends, *change_words(row.changes[1])])
    for one in quality:
        values = [w for v in one.values for w in (MISSING if v is None else metric_words(v), "")]
        cells.append([_INDENT + cut(plain(one.metric), _WORD), *values, *_moved(one, 1)])
    lines, _ = fitted(cells, width, right=(1, 3, 5), spare=(4, 2, 6))
    return lines


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
        like = _like(row)
        heads += [plain(row.name), *(["to first", "95 %"] if n == 0 else [])]
        for i, cells in enumerate(parts):
            cells.append(_value(row.values[i], row, like)[0])
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
        hidden = " · ".join(heads[i] for i in sorted(gone))
        said = f"left out for want of room: {hidden} (wider terminal, or --json)"
        lines += fill(said.split(" "), width)
    return lines


def _like(row: Row) -> float | None:
    figures = (_figure(value, row.unit) for value in row.values)
    return shared_unit(f.value for f in figures if isinstance(f, Figure) and f.low > 0)


def _figure(value: Known, unit: str) -> Figure | Missing:
    return value.amount if isinstance(value.amount, Missing) else value.amount.figure(unit)


def _value(value: Known, row: Row, like: float | None) -> tuple[str, str]:
    """A value and its interval."""
    figure = _figure(value, row.unit)
    if isinstance(figure, Missing):
        return MISSING, ""
    if row.key == "time" or row.key.startswith("time_to"):
        return write_duration(figure.value), ""
    least = "≥ " if value.least else ""
    if below_resolution(figure):
        return write_limit(figure), ""
    return f"{least}{write(figure, like=like)}{mark(figure)}", interval(figure, like=like)


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
    return ratio >= _FACTOR or ratio <= 1 / _FACTOR


def _ratio(ratio: float, *, factor: bool | None = None, bare: bool = False) -> str:
    """``−33 %``, or ``× 12`` and ``÷ 12`` where it is more than a factor of ten."""
    if _is_factor(ratio) if factor is None else factor:
        sign, size = ("×", ratio) if ratio >= 1 else ("÷", 1 / ratio if ratio > 0 else math.inf)
        return f"{sign} {_short(size)}"
    change = ratio - 1
    digits = 0 if abs(change) >= 10 * _AT_MOST else 1
    if abs(change) < _AT_MOST / 10:
        digits = 2
    words = f"{100 * abs(change):.{digits}f}"
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
