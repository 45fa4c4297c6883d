# SPDX-License-Identifier: Apache-2.0
"""Formulas of claims: a sum in the names of its numbers, reckoned with units and intervals.

Only numbers, names, ``+ - * /``, whole powers, ``min`` and ``max`` are read, so that a record
from anywhere can do nothing but arithmetic.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from submeter.comparing.claims.measures import NUMBER, Kind, measure, times, words
from submeter.errors import UsageError

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_MOST_POWER: Final = 4
_MOST_DIGITS: Final = 300
_LONGEST: Final = 1000  # characters
_REMEDY: Final = "use names of [numbers], + - * / ( ), min and max"
_SIGNS: Final = {"*": "×", "/": "÷", "-": "−"}
_PICKS: Final[dict[str, Callable[..., float]]] = {"min": min, "max": max}


class Value(NamedTuple):
    """A number in SI, and its kind."""

    number: float
    kind: Kind = NUMBER


class Uncertain(NamedTuple):
    """A number of a claim in its own unit, with its 95 % interval."""

    value: float
    low: float
    high: float
    unit: str

    def si(self, number: float) -> Value:
        """*number* of this unit in SI."""
        one = measure(self.unit)
        return Value(number * one.size, one.kind)


def parsed(formula: str) -> ast.expr:
    """Read *formula*.

    Raises
    ------
    UsageError
        If it is no formula.
    """
    if len(formula) > _LONGEST:
        raise UsageError(f"a formula has {len(formula)} characters", remedy="make it shorter")
    try:
        return ast.parse(formula, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise UsageError(f"“{formula}” is no formula", remedy=_REMEDY) from exc


def names_of(formula: str) -> list[str]:
    """Names of numbers in *formula*, each once, in order."""
    found = [n for n in _NAME.findall(formula) if n not in _PICKS]
    return list(dict.fromkeys(found))


def evaluated(node: ast.expr, values: Mapping[str, Value]) -> Value:
    """Reckon a parsed formula.

    Raises
    ------
    UsageError
        If it adds what does not add up, names what is not given, or divides by nothing.
    """
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return Value(float(number))
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            raise UsageError(f"there is no number “{name}”", remedy=_REMEDY)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            found = evaluated(inner, values)
            return Value(-found.number, found.kind)
        case ast.BinOp(left=left, op=op, right=right):
            return _joined(evaluated(left, values), op, evaluated(right, values))
        case ast.Call(func=ast.Name(id="min" | "max" as pick), args=args, keywords=[]) if args:
            rows = [evaluated(a, values) for a in args]
            _alike(rows)
            return Value(_PICKS[pick](r.number for r in rows), rows[0].kind)
    raise UsageError(f"“{ast.unparse(node)}” is no arithmetic", remedy=_REMEDY)


def reckoned(formula: str, numbers: Mapping[str, Uncertain], unit: str) -> Uncertain:
    """Value of *formula* with its interval, in *unit*.

    Notes
    -----
    Each number is set to either end of its interval, the others left at their values; what that
    moves the result by is added in quadrature, upwards and downwards apart, on a logarithmic
    scale where the result stays above zero. That can be done by hand.

    Raises
    ------
    UsageError
        If the result is no *unit*.
    """
    tree = parsed(formula)
    rows = {name: numbers[name] for name in names_of(formula) if name in numbers}
    best = {name: row.si(row.value) for name, row in rows.items()}
    found, one = evaluated(tree, best), measure(unit)
    if found.kind != one.kind:
        raise UsageError(
            f"“{formula}” gives {words(found.kind)}, not {unit}", remedy="check the units"
        )
    try:
        ends = [
            [evaluated(tree, {**best, name: row.si(end)}).number for end in (row.low, row.high)]
            for name, row in rows.items()
        ]
        low, high = _spread(found.number, ends)
    except OverflowError:
        low = high = math.inf
    if not all(map(math.isfinite, (found.number, low, high))):
        raise UsageError(f"“{formula}” gives no finite number", remedy="check its numbers")
    return Uncertain(found.number / one.size, low / one.size, high / one.size, unit)


def written(formula: str, numbers: Mapping[str, Uncertain]) -> str:
    """*formula* with its numbers in place of their names: ``656 347 kWh × 432.7 g/kWh``."""
    text = formula.replace("**", "^")
    for sign, shown in _SIGNS.items():
        text = re.sub(rf"\s*{re.escape(sign)}\s*", f" {shown} ", text)
    return _NAME.sub(lambda m: _number(numbers.get(m[0]), m[0]), text).strip()


def short(number: float) -> str:
    """*number* as it stands, thousands apart; with an exponent where it is very small or large."""
    if number == 0:
        return "0"
    if abs(number) < 1e-4 or abs(number) >= 1e12:  # noqa: PLR2004
        return f"{number:.4g}".replace("-", "−")
    rounded = float(f"{number:.9g}")
    text = f"{rounded:,.10g}" if rounded != round(rounded) else f"{rounded:,.0f}"
    return text.replace(",", " ").replace("-", "−")


def _number(row: Uncertain | None, name: str) -> str:
    if row is None:
        return name
    return short(row.value) if row.unit == "1" else f"{short(row.value)} {row.unit}"


def _spread(best: float, ends: list[list[float]]) -> tuple[float, float]:
    every = [end for pair in ends for end in pair]
    logarithmic = best > 0 and all(end > 0 for end in every)

    def apart(end: float) -> float:
        return math.log(end / best) if logarithmic else end - best

    up = math.hypot(*(max(0.0, *map(apart, pair)) for pair in ends))
    down = math.hypot(*(max(0.0, *(-apart(e) for e in pair)) for pair in ends))
    if logarithmic:
        return best * math.exp(-down), best * math.exp(up)
    return best - down, best + up


def _joined(a: Value, op: ast.operator, b: Value) -> Value:
    match op:
        case ast.Add():
            _alike([a, b])
            return Value(a.number + b.number, a.kind)
        case ast.Sub():
            _alike([a, b])
            return Value(a.number - b.number, a.kind)
        case ast.Mult():
            return Value(a.number * b.number, times(a.kind, b.kind))
        case ast.Div() if b.number != 0:
            return Value(a.number / b.number, times(a.kind, b.kind, sign=-1))
        case ast.Div():
            raise UsageError("a formula divides by zero", remedy="check its numbers")
        case ast.Pow() if b.kind == NUMBER and b.number in range(_MOST_POWER + 1):
            power = int(b.number)
            if a.number and abs(math.log10(abs(a.number)) * power) > _MOST_DIGITS:
                raise UsageError("a power is too large", remedy="check its numbers")
            return Value(a.number**power, tuple((n, p * power) for n, p in a.kind if power))
    raise UsageError("a formula has an operator that is not read", remedy=_REMEDY)


def _alike(rows: list[Value]) -> None:
    other = next((r for r in rows if r.kind != rows[0].kind), None)
    if other is not None:
        raise UsageError(
            f"{words(rows[0].kind)} and {words(other.kind)} do not add up",
            remedy="check the units of [numbers]",
        )
