# SPDX-License-Identifier: Apache-2.0
"""How a sentence says a number: its unit, its sign, and whether more or less would do."""

import re
from typing import Final, NamedTuple

from submeter.comparing.claims.measures import measure
from submeter.comparing.claims.records import Relation

_UNITS: Final[dict[str, str]] = {
    "tonne": "t", "ton": "t", "metric ton": "t", "t": "t", "kilogram": "kg", "kilo": "kg",
    "kg": "kg", "gram": "g", "g": "g", "mg": "mg", "kt": "kt", "kilotonne": "kt",
    "megatonne": "Mt", "wh": "Wh", "watt hour": "Wh", "kwh": "kWh", "kilowatt hour": "kWh",
    "mwh": "MWh", "megawatt hour": "MWh", "gwh": "GWh", "gigawatt hour": "GWh", "twh": "TWh",
    "terawatt hour": "TWh", "joule": "J", "j": "J", "kj": "kJ", "mj": "MJ", "gj": "GJ",
    "litre": "L", "liter": "L", "l": "L", "ml": "mL", "millilitre": "mL", "milliliter": "mL",
    "second": "s", "s": "s", "minute": "min", "min": "min", "hour": "h", "h": "h", "day": "d",
}  # fmt: skip
_LONGEST_FIRST: Final = "|".join(sorted(_UNITS, key=len, reverse=True))
_UNIT_BEHIND: Final = re.compile(rf" ?({_LONGEST_FIRST})s?\b(?! (?:per|kwh|each)\b)")
_MORE: Final = "at least|more than|over|above|no less than|not less than"
_LESS: Final = "at most|less than|fewer than|under|below|up to|no more than|not more than"
_RELATION: Final = re.compile(rf"(?:^| )(?:(?P<less>{_LESS})|(?P<more>{_MORE})) $")
_RANGE: Final = re.compile(r"\d[\w%]* (?:\w+ )?(?:to|and) $")
_SIGNS: Final = (("≥", " at least "), (">=", " at least "), ("≤", " at most "),
                 ("<=", " at most "), (">", " more than "), ("<", " less than "))  # fmt: skip


class Said(NamedTuple):
    """A number as a text says it, in the unit of the claim; None where it cannot be told."""

    value: float | None
    relation: Relation | None = None


def spelled(text: str) -> str:
    """*text* with signs of comparison and minus in words, so that they outlast punctuation."""
    for sign, word in _SIGNS:
        text = text.replace(sign, word)
    return re.sub(r"(?<![\w.,])[-−](?=\d)", " minus ", text)


def said_number(said: str, start: int, end: int, value: float, unit: str) -> Said:
    """Read what stands around the number at *start* to *end* of *said*.

    Parameters
    ----------
    said
        Text in small letters, without punctuation.
    value
        The number by itself, in *unit* if no other unit of the same kind stands behind it.

    Returns
    -------
    Said
        Without a value if the number is the end of a range: which of the two is meant is open.
    """
    before = said[:start]
    if _RANGE.search(before):
        return Said(None)
    if before.endswith("minus "):
        return Said(-value * _ratio(said, end, unit))
    found = _RELATION.search(before)
    relation: Relation | None = None
    if found is not None:
        relation = "at most" if found["less"] else "at least"
    return Said(value * _ratio(said, end, unit), relation)


def of_kind(said: str, start: int, unit: str) -> bool:
    """Whether what stands at *start* is a unit of measurement of the kind of *unit*."""
    behind = _UNIT_BEHIND.match(said, start)
    return behind is not None and measure(_UNITS[behind[1]]).kind == measure(unit).kind


def _ratio(said: str, end: int, unit: str) -> float:
    """What one of the unit behind a number is in *unit*; 1 where it is none of its kind."""
    behind = _UNIT_BEHIND.match(said, end)
    if behind is None or not of_kind(said, end, unit):
        return 1.0
    return measure(_UNITS[behind[1]]).size / measure(unit).size
