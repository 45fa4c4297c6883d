# SPDX-License-Identifier: Apache-2.0
"""What a setting will use, from what others used: a setting that cannot win need not be started.

Joules are far smoother in a setting than quality is. The logarithm of the energy is taken as a
sum of effects: of the logarithm of numbers, of each choice that is none; least squares, and the
scatter of what was seen around it says how far it can be trusted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

Value = str | int | float
SPARE: Final = 3  # trials more than effects, before anything is foreseen
SIGMAS: Final = 2.0
RIDGE: Final = 1e-6


def foreseen_least_j(
    settings: Mapping[str, Value], seen: Sequence[tuple[Mapping[str, Value], float]]
) -> float:
    """Energy that *settings* will use at least, by what was *seen* [J]; 0 if nothing can be said.

    Two standard deviations below the expected one, in the logarithm.

    Parameters
    ----------
    seen
        Settings, and the energy of each [J]: of trials that ended, or lower bounds of it.
    """
    seen = [(s, e) for s, e in seen if e > 0]
    columns = _columns([s for s, _ in seen])
    if len(seen) < len(columns) + SPARE:
        return 0.0
    x = [[_entry(column, s) for column in columns] for s, _ in seen]
    y = [math.log(e) for _, e in seen]
    asked = [_entry(column, settings) for column in columns]
    if any(math.isnan(v) for row in (*x, asked) for v in row):
        return 0.0
    effects = _least_squares(x, y)
    errors = [_dot(row, effects) - v for row, v in zip(x, y, strict=True)]
    sd = math.sqrt(math.fsum(e * e for e in errors) / (len(y) - len(columns)))
    return math.exp(_dot(asked, effects) - SIGMAS * sd)


def _columns(seen: Sequence[Mapping[str, Value]]) -> list[tuple[str, str]]:
    """Effects: 1, the logarithm of each number, each choice but one of what is no number."""
    columns = [("", "")]
    for name in seen[0] if seen else ():
        values = sorted({str(s[name]) for s in seen})
        if all(_number(v) for v in values):
            columns += [(name, "")] if len(values) > 1 else []
        else:
            columns += [(name, v) for v in values[1:]]
    return columns


def _entry(column: tuple[str, str], settings: Mapping[str, Value]) -> float:
    name, choice = column
    if not name:
        return 1.0
    if choice:
        return float(str(settings[name]) == choice)
    return math.log(_number(str(settings[name])) or math.nan)


def _number(word: str) -> float:
    """A positive number; 0 if it is none."""
    try:
        value = float(word)
    except ValueError:
        return 0.0
    return value if 0 < value < math.inf else 0.0


def _least_squares(x: Sequence[Sequence[float]], y: Sequence[float]) -> list[float]:
    """Effects that leave the least squares, by the normal equations."""
    size = len(x[0])
    rows = [
        [math.fsum(r[i] * r[j] for r in x) + (RIDGE if i == j else 0.0) for j in range(size)]
        + [math.fsum(r[i] * v for r, v in zip(x, y, strict=True))]
        for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(size):
            if k != i:
                ratio = rows[k][i] / rows[i][i]
                rows[k] = [a - ratio * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
