# SPDX-License-Identifier: Apache-2.0
"""A figure in the words of everyday life: at most three, each with sense and with its source."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from submeter.accounting.ratios import inverse
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.footprints import Equivalent

Dimension = Literal["carbon", "energy", "water"]
DIMENSIONS: Final[tuple[Dimension, ...]] = ("carbon", "energy", "water")
MOST: Final = 3
ONE: Final = 0.95  # is written as 1; less is a part
MOST_PIECES: Final = 1000.0  # more than anybody can picture
EASIEST: Final = 10.0  # the number that is pictured best; the nearest to it is chosen
_WIDE: Final = 2.0  # an interval whose ends differ by more leaves one digit worth writing


class Everyday(msgspec.Struct, frozen=True):
    """Something that people know, and what one of it amounts to (g, J or L).

    From ``least`` of one up to ``most`` it is worth telling; less than one is told in per cent.
    """

    key: str
    dimension: Dimension
    each: Factor
    one: str  # "a car's lifetime including fuel"
    many: str  # "car lifetimes including fuel"
    least: float = ONE
    most: float = MOST_PIECES


def equivalents(
    amounts: Mapping[Dimension, Amount | Missing], known: Sequence[Everyday]
) -> tuple[Equivalent, ...]:
    """Amounts in everyday words: the best of each dimension first, then what is left.

    Parameters
    ----------
    amounts
        Carbon [gCO2e], energy [J], water [L]; what is missing or nothing has no equivalent.
    known
        What to compare with; the order decides between equals.

    Returns
    -------
    tuple
        At most three, in the order of the dimensions. None where no number would make sense:
        too small a part, or more pieces than anybody can picture.

    Notes
    -----
    Of those that make sense the number nearest to ten is chosen, on a logarithmic scale; per
    cents count as written.
    """
    found: dict[Dimension, list[tuple[float, int, Equivalent]]] = {}
    for order, thing in enumerate(known):
        amount = amounts.get(thing.dimension)
        if not isinstance(amount, Amount) or amount.value <= 0 or thing.each.value <= 0:
            continue
        value = amount.times(inverse(thing.each, "1"))
        text = _text(thing, value)
        if text:
            row = (_distance(value.value), order, _equivalent(thing, value, text))
            found.setdefault(thing.dimension, []).append(row)
    ranked = {name: sorted(found[name], key=lambda row: row[:2]) for name in found}
    first = [rows[0] for rows in ranked.values()]
    others = sorted((r for rows in ranked.values() for r in rows[1:]), key=lambda row: row[:2])
    chosen = [row[2] for row in (first + others)[:MOST]]
    places = {thing.key: DIMENSIONS.index(thing.dimension) for thing in known}
    return tuple(sorted(chosen, key=lambda e: places[e.key]))


def written(number: float, low: float, high: float) -> str:
    """*number* with as many digits as its interval is worth: two, or one where it is wide."""
    if number <= 0:
        return "0"
    digits = 1 if low <= 0 or high / low > _WIDE else 2
    power = math.floor(math.log10(number))
    step = 10.0 ** (power - digits + 1)
    rounded = round(number / step) * step
    places = max(0, digits - 1 - math.floor(math.log10(rounded)))
    text = f"{rounded:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _equivalent(thing: Everyday, value: Amount, text: str) -> Equivalent:
    return Equivalent(key=thing.key, text=text, value=value, source=thing.each.source)


def _distance(number: float) -> float:
    """How far the written number is from the easiest one, in powers of ten."""
    shown = 100 * number if number < ONE else number
    return abs(math.log10(shown / EASIEST))


def _text(thing: Everyday, value: Amount) -> str:
    """What is written, or "" where the number would be silly."""
    number = value.value
    if not thing.least <= number <= thing.most:
        return ""
    shown = value.figure("1")
    if number < ONE:
        return f"{written(100 * number, 100 * shown.low, 100 * shown.high)} % of {thing.one}"
    count = written(number, shown.low, shown.high)
    return f"{count} {thing.one.partition(' ')[2] if count == '1' else thing.many}"
