# SPDX-License-Identifier: Apache-2.0
"""What a setting will use or reach, from what others did: with how much certainty is said, too.

An amount is taken as a sum of effects: of the logarithm of each number and of its square, of each
choice that is none. Least squares; what they leave, and how far from the others the setting that
is asked about lies, give the distribution of what it will come to [1]. Joules are asked about by
their logarithm, for they are products of such effects; qualities by how far they fall short.

[1] Draper and Smith (1998), Applied Regression Analysis, section 5.2: the prediction interval.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self

from submeter.reducing import student

Value = str | int | float
SPARE: Final = 3  # trials more than effects, before anything is foreseen
RIDGE: Final = 1e-9
LEAST_SD: Final = 0.02  # nothing is foreseen nearer than that
ROUGH: Final = 0.01  # what draws the effects of few trials towards none
_CURVED: Final = 3  # values of a number, from which on its square is an effect, too


class Foreseen(NamedTuple):
    """Student's t around a mean."""

    mean: float
    sd: float
    freedom: int

    def below(self, value: float) -> float:
        """Probability that it comes to less than *value*."""
        return student.cdf((value - self.mean) / self.sd, self.freedom)


class Column(NamedTuple):
    """An effect: 1 (no name), a power of a number's logarithm, or a choice."""

    name: str = ""
    exponent: int = 0
    choice: str = ""
    centre: float = 0.0


class Effects:
    """Effects of settings on an amount.

    Parameters
    ----------
    columns
        Effects that are told apart.
    effects
        Their sizes.
    inverse
        Of the normal equations.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        choices: Mapping[str, frozenset[str]],
        effects: Sequence[float],
        inverse: Sequence[Sequence[float]],
        sd: float,
        freedom: int,
    ) -> None:
        self._columns, self._choices = columns, choices
        self._effects, self._inverse = effects, inverse
        self._sd, self._freedom = sd, freedom

    @classmethod
    def of(cls, seen: Sequence[tuple[Mapping[str, Value], float]]) -> Self | None:
        """Effects by what was *seen*: settings, what each came to; None if it is too little."""
        settings = [s for s, _ in seen]
        y = [v for _, v in seen]
        for most in (2, 1):
            columns = _columns(settings, most)
            if len(seen) < len(columns) + SPARE:
                continue
            x = [[_entry(c, s) for c in columns] for s in settings]
            inverse = _inverted(_products(x))
            sums = [_dot(column, y) for column in zip(*x, strict=True)]
            effects = [_dot(row, sums) for row in inverse]
            errors = [_dot(row, effects) - v for row, v in zip(x, y, strict=True)]
            freedom = len(y) - len(columns)
            sd = math.sqrt(math.fsum(e * e for e in errors) / freedom)
            return cls(columns, _choices(settings), effects, inverse, max(sd, LEAST_SD), freedom)
        return None

    @classmethod
    def roughly(cls, seen: Sequence[tuple[Mapping[str, Value], float]]) -> Self | None:
        """Effects by few trials, each drawn towards none: good enough to choose by, no more."""
        settings = [s for s, _ in seen]
        if not settings:
            return None
        columns = _columns(settings, 1)
        x = [[_entry(c, s) for c in columns] for s in settings]
        middle = math.fsum(v for _, v in seen) / len(seen)
        y = [v - middle for _, v in seen]
        inverse = _inverted(_products(x, ROUGH))
        effects = [
            _dot(row, [_dot(column, y) for column in zip(*x, strict=True)]) for row in inverse
        ]
        effects[0] += middle
        return cls(columns, {}, effects, inverse, 1.0, 1)

    def foreseen(self, settings: Mapping[str, Value]) -> Foreseen | None:
        """What *settings* will come to; None if nobody had such a choice."""
        for name, known in self._choices.items():
            if str(settings.get(name)) not in known:
                return None
        row = [_entry(c, settings) for c in self._columns]
        if any(math.isnan(v) for v in row):
            return None
        apart = _dot(row, [_dot(line, row) for line in self._inverse])
        sd = self._sd * math.sqrt(1 + max(0.0, apart))
        return Foreseen(_dot(row, self._effects), sd, self._freedom)


def _columns(settings: Sequence[Mapping[str, Value]], most: int) -> list[Column]:
    """Effects that *settings* tell apart, numbers up to the power *most*."""
    columns = [Column()]
    for name in settings[0] if settings else ():
        values = sorted({str(s.get(name)) for s in settings})
        logs = [math.log(_number(v)) for v in values if _number(v)]
        if len(logs) == len(values):
            powers = range(1, min(most, 2 if len(values) >= _CURVED else 1) + 1)
            columns += [
                Column(name, p, centre=math.fsum(logs) / len(logs))
                for p in powers
                if len(values) > 1
            ]
        else:
            columns += [Column(name, 0, v) for v in values[1:]]
    return columns


def _choices(settings: Sequence[Mapping[str, Value]]) -> dict[str, frozenset[str]]:
    """Values that were seen of what is no number."""
    found = {name: frozenset(str(s.get(name)) for s in settings) for name in settings[0]}
    return {n: values for n, values in found.items() if not all(map(_number, values))}


def _entry(column: Column, settings: Mapping[str, Value]) -> float:
    if not column.name:
        return 1.0
    word = str(settings.get(column.name))
    if column.choice:
        return float(word == column.choice)
    number = _number(word)
    return (math.log(number) - column.centre) ** column.exponent if number else math.nan


def _number(word: str) -> float:
    """A positive number; 0 if it is none."""
    try:
        value = float(word)
    except ValueError:
        return 0.0
    return value if 0 < value < math.inf else 0.0


def _products(x: Sequence[Sequence[float]], ridge: float = 0.0) -> list[list[float]]:
    """``xᵀ x``, with enough on its diagonal that it can be inverted."""
    size = len(x[0])
    products = [[math.fsum(r[i] * r[j] for r in x) for j in range(size)] for i in range(size)]
    for i in range(size):
        products[i][i] += RIDGE * (1 + products[i][i]) + ridge
    return products


def _inverted(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Inverse, by Gauss and Jordan with pivots."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        head = rows[i][i]
        rows[i] = [v / head for v in rows[i]]
        for k in range(size):
            ratio = rows[k][i]
            if k != i and ratio:
                rows[k] = [a - ratio * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[size:] for row in rows]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
