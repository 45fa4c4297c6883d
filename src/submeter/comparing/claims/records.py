# SPDX-License-Identifier: Apache-2.0
"""A public claim as a record: what was said, its numbers with their sources, its boundaries."""

import math
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError
from submeter.records.factors import Verified

Relation = Literal["about", "at least", "at most"]
RELATIONS: Final[tuple[Relation, ...]] = ("about", "at least", "at most")
REMEDY: Final = "docs/claims/README.md shows a record"


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number of a claim: a row of the catalog, a figure of a run, or a value with its source.

    ``fact`` is ``table/key/quantity``, with ``@year`` where not the latest is meant; ``factor``
    a key of the catalog's factors; ``run`` one of energy, carbon, water, hours. A value without
    ``low`` and ``high`` is taken as exact.
    """

    what: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    fact: str = ""
    factor: str = ""
    run: Literal["", "energy", "carbon", "water", "hours"] = ""
    source: str = ""
    year: int = 0
    verified: Verified = "recall"


class Boundary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to understand the claim, and its sum.

    ``name`` completes the sentence "it holds only if …".
    """

    name: str
    formula: str
    says: str = ""


class PublicClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was said, and all that is needed to reckon it again.

    ``value`` in ``unit`` is what was claimed of ``quantity``; ``within`` is the factor by which
    "about" may be off. ``matches`` are words by which a text is recognised; ``{number}`` in them
    stands for the number that the text says.
    """

    claim: str
    quantity: str
    value: float
    unit: str
    numbers: dict[str, Number]
    boundaries: tuple[Boundary, ...]
    relation: Relation = "about"
    within: float = 1.25
    said_by: str = ""
    year: int = 0
    matches: tuple[str, ...] = ()
    note: str = ""
    id: str = ""
    schema: int = 1


def read_record(text: str, name: str = "") -> PublicClaim:
    """Decode a record in TOML and check what a type cannot.

    Raises
    ------
    UsageError
        With what is wrong in it.
    """
    try:
        found = msgspec.toml.decode(text, type=PublicClaim)
    except (msgspec.DecodeError, ValueError) as exc:
        raise UsageError(f"{name or 'the record'} is no claim: {exc}", remedy=REMEDY) from exc
    except RecursionError as exc:  # the reader of TOML calls itself for each bracket
        why = "it is nested too deeply"
        raise UsageError(f"{name or 'the record'} is no claim: {why}", remedy=REMEDY) from exc
    wrong = _wrong(found)
    if wrong:
        raise UsageError(f"{name or 'the record'} is no claim: {wrong}", remedy=REMEDY)
    return msgspec.structs.replace(found, id=found.id or name)


def _wrong(record: PublicClaim) -> str:
    if record.schema != 1:
        return f"its schema is {record.schema}, and 1 is known here"
    if not record.boundaries:
        return "it has no boundary under which to reckon it"
    if not math.isfinite(record.value) or not (math.isfinite(record.within) and record.within > 1):
        return "its value has to be finite, and within above 1"
    for name, number in record.numbers.items():
        given = [number.value is not None, bool(number.fact), bool(number.factor),
                 bool(number.run)]  # fmt: skip
        if sum(given) != 1:
            return f"{name} needs one of value, fact, factor and run"
        if number.value is not None and not (number.unit and number.source):
            return f"{name} needs a unit and a source"
        if number.value is not None and not _ordered(number):
            return f"{name} is no number between its low and its high"
    return ""


def _ordered(number: Number) -> bool:
    value = number.value if number.value is not None else math.nan
    low = value if number.low is None else number.low
    high = value if number.high is None else number.high
    return math.isfinite(low) and math.isfinite(high) and low <= value <= high
