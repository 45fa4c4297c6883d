# SPDX-License-Identifier: Apache-2.0
"""Whether a claim holds: its sum under each boundary, against what was said."""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from submeter.comparing.claims.formulas import Uncertain, names_of, reckoned, written
from submeter.comparing.claims.records import Boundary, Number, PublicClaim, Relation
from submeter.errors import UsageError

Meets = Literal["yes", "within doubt", "no"]
Verdict = Literal["holds", "holds only if", "cannot hold"]


class Known(msgspec.Struct, frozen=True):
    """A number as it was found: value and interval in the record's unit, and where it is from."""

    value: float
    low: float
    high: float
    unit: str
    source: str
    year: int = 0
    verified: str = "recall"
    key: str = ""
    what: str = ""

    @property
    def uncertain(self) -> Uncertain:
        """Without its source."""
        return Uncertain(self.value, self.low, self.high, self.unit)


class Sum(msgspec.Struct, frozen=True):
    """The claim under one boundary."""

    boundary: Boundary
    value: float
    low: float
    high: float
    unit: str
    meets: Meets
    arithmetic: str  # the formula with its numbers
    uses: tuple[str, ...]
    beyond: bool = False  # it meets the claim, and its interval reaches where it would not


class Answer(msgspec.Struct, frozen=True):
    """What became of a claim."""

    claim: PublicClaim
    value: float  # claimed, or the number that the text said
    verdict: Verdict
    sums: tuple[Sum, ...]
    numbers: dict[str, Known]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Boundaries under which it holds."""
        return tuple(s.boundary.name for s in self.sums if s.meets == "yes")

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Boundaries under which it can hold, where the figures lie at an end of their doubt."""
        return tuple(s.boundary.name for s in self.sums if s.meets == "within doubt")


def judge(
    claim: PublicClaim, numbers: Mapping[str, Known], *, value: float | None = None
) -> Answer:
    """Reckon *claim* under each of its boundaries.

    Parameters
    ----------
    numbers
        Its numbers by name, as found.
    value
        Of what was said, if another than the record's, in its unit.

    Returns
    -------
    Answer
        *holds* if each boundary meets the claim, *cannot hold* if none does or may, else *holds
        only if*.
    """
    said = claim.value if value is None else value
    plain = {name: row.uncertain for name, row in numbers.items()}
    sums = tuple(_sum(claim, boundary, plain, said) for boundary in claim.boundaries)
    return Answer(claim, said, verdict_of(sums), sums, dict(numbers))


def verdict_of(sums: tuple[Sum, ...]) -> Verdict:
    """Verdict over all boundaries."""
    if all(s.meets == "yes" for s in sums):
        return "holds"
    return "cannot hold" if all(s.meets == "no" for s in sums) else "holds only if"


def asked_range(said: float, relation: Relation, within: float) -> tuple[float, float]:
    """Where a result has to lie to be what was *said*.

    Notes
    -----
    *about*: between said / within and said x within. *at least* and *at most* are taken as they
    stand.
    """
    match relation:
        case "about":
            low, high = sorted((said / within, said * within))
            return low, high
        case "at least":
            return said, math.inf
        case "at most":
            return -math.inf, said


def meets(found: Uncertain, said: float, relation: Relation, within: float) -> Meets:
    """Whether *found* is what was *said*: by its value, by its interval, or not at all."""
    low, high = asked_range(said, relation, within)
    if low <= found.value <= high:
        return "yes"
    return "within doubt" if found.low <= high and found.high >= low else "no"


def declared(number: Number) -> Known:
    """A number that the record itself gives."""
    if number.value is None:
        msg = "the number is to be looked up"
        raise ValueError(msg)
    low = number.value if number.low is None else number.low
    high = number.value if number.high is None else number.high
    return Known(number.value, low, high, number.unit, number.source, number.year,
                 number.verified, what=number.what)  # fmt: skip


def _sum(
    claim: PublicClaim, boundary: Boundary, numbers: Mapping[str, Uncertain], said: float
) -> Sum:
    try:
        found = reckoned(boundary.formula, numbers, claim.unit)
    except UsageError as exc:
        raise UsageError(f"{boundary.name}: {exc}", remedy=exc.remedy) from exc
    low, high = asked_range(said, claim.relation, claim.within)
    met = meets(found, said, claim.relation, claim.within)
    return Sum(
        boundary=boundary,
        value=found.value,
        low=found.low,
        high=found.high,
        unit=claim.unit,
        meets=met,
        arithmetic=written(boundary.formula, numbers),
        uses=tuple(names_of(boundary.formula)),
        beyond=met == "yes" and (found.low < low or found.high > high),
    )
