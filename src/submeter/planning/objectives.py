# SPDX-License-Identifier: Apache-2.0
"""What is to be made small: carbon, cost, water, or a weighted sum; and the hours for it."""

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np

from submeter.errors import UsageError
from submeter.planning.costs import Bools, Costs
from submeter.planning.single import at_once_slices, priced
from submeter.records.plans import Job
from submeter.records.traces import Kind

Aspect = Literal["carbon", "cost", "water"]
ASPECTS: Final[tuple[Aspect, ...]] = ("carbon", "cost", "water")
_TERM: Final = re.compile(r"(?:(\d+\.?\d*|\.\d+)\s*\*\s*)?([a-z]+)")
_WINDOW: Final = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")
_FINEST_S: Final = 60  # hours of a tariff begin on minutes


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of carbon, cost and water.

    Attributes
    ----------
    weights
        Weight of each aspect, above zero, in the order they were given.
    """

    weights: tuple[tuple[Aspect, float], ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``carbon`` or ``0.7*carbon + 0.3*cost``.

        Raises
        ------
        UsageError
            If an aspect is unknown or named twice, a weight is not above zero, or it is no sum.
        """
        weights: dict[Aspect, float] = {}
        for part in text.lower().split("+"):
            found = _TERM.fullmatch(part.strip())
            name = next((a for a in ASPECTS if found is not None and found[2] == a), None)
            if found is None or name is None:
                raise UsageError(
                    f"'{part.strip()}' is not something that can be made small",
                    remedy="say carbon, cost, water, or a sum like 0.7*carbon+0.3*cost",
                )
            weight = float(found[1] or 1)
            if name in weights or weight <= 0:
                why = "twice" if name in weights else "with a weight of zero"
                raise UsageError(
                    f"the objective has {name} {why}", remedy="give each once, weights above zero"
                )
            weights[name] = weight
        return cls(tuple(weights.items()))

    @property
    def single(self) -> bool:
        """Whether it is one aspect, which keeps its unit."""
        return len(self.weights) == 1

    def __str__(self) -> str:
        if self.single:
            return self.weights[0][0]
        return "+".join(f"{weight:g}*{name}" for name, weight in self.weights)


@dataclass(frozen=True, slots=True)
class Composed:
    """Costs of an objective, and how its parts were made comparable.

    Attributes
    ----------
    costs
        Of one aspect in its unit; of a sum in shares of what starting at once brings.
    scales
        What starting at once brings in each aspect, by which its costs are divided; empty of one
        aspect.
    said
        The same in words, to be shown with the plan.
    """

    costs: Costs
    scales: dict[Aspect, float]
    said: str = ""


def compose(
    objective: Objective,
    by_aspect: Mapping[Aspect, Costs],
    job: Job,
    *,
    kinds: tuple[Kind, ...] = (),
) -> Composed:
    """Costs per kilowatt-hour of *objective*.

    Parameters
    ----------
    by_aspect
        Costs of each aspect that the objective names, in the same slots.
    kinds
        Of the intensities that went into them: one method only.

    Raises
    ------
    UsageError
        If an aspect is absent, slots differ, methods are mixed, or starting at once brings
        nothing in an aspect, so that shares of it cannot be told.

    Notes
    -----
    A gram and a cent have no common unit. ``sum_a w_a c_a / S_a`` over the sum of weights, with
    ``S_a`` what the job brings in aspect *a* if it starts at once: starting at once costs 1, and
    a weight says what a per cent of one is worth against a per cent of another. Embodied carbon
    of hardware that is there already is in no term: no schedule changes it.
    """
    one_method(kinds)
    absent = [name for name, _ in objective.weights if name not in by_aspect]
    if absent:
        raise UsageError(
            f"no {absent[0]} per kilowatt-hour is known for this place",
            remedy=f"leave {absent[0]} out, or give its series",
        )
    parts = [(name, weight, by_aspect[name]) for name, weight in objective.weights]
    if objective.single:
        return Composed(parts[0][2], {})
    same_slots([costs for _, _, costs in parts])
    scales = {name: priced(costs, job, at_once_slices(job)).at_once for name, _, costs in parts}
    nothing = [name for name, scale in scales.items() if not scale > 0]
    if nothing:
        raise UsageError(
            f"starting at once brings no {nothing[0]}, so shares of it cannot be weighed",
            remedy=f"plan by {nothing[0]} alone, or leave it out",
        )
    whole = math.fsum(weight for _, weight, _ in parts)
    per_kwh = sum(
        (weight / whole / scales[name] * costs.per_kwh for name, weight, costs in parts),
        start=np.zeros(parts[0][2].per_kwh.size),
    )
    first = parts[0][2]
    forbidden = np.zeros(first.per_kwh.size, dtype=np.bool_)
    for _, _, costs in parts:
        if costs.forbidden.size:
            forbidden |= costs.forbidden
    said = "each part as a share of what starting at once brings: " + ", ".join(
        f"{weight / whole:.0%} {name}" for name, weight, _ in parts
    )
    costs = Costs(first.start_utc_s, first.step_s, per_kwh, "1/kWh", forbidden)
    return Composed(costs, scales, said)


def one_method(kinds: tuple[Kind, ...]) -> None:
    """Refuse intensities of which some are location-based and others market-based."""
    if len({kind.method for kind in kinds}) > 1:
        raise UsageError(
            "location-based and market-based carbon are not added or compared",
            remedy="plan by one of them",
        )


def same_slots(rows: list[Costs]) -> None:
    """Refuse costs that are not in the same slots."""
    first = rows[0]
    for costs in rows[1:]:
        same = costs.step_s == first.step_s and costs.start_utc_s == first.start_utc_s
        if not same or costs.per_kwh.size != first.per_kwh.size:
            raise UsageError(
                "the parts of the objective are not in the same slots",
                remedy="bring them into slots of one length that begin together",
            )


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of the day, by the clock on the wall: from, to [minutes after midnight]."""

    from_min: int
    to_min: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``22:00-06:00``.

        Raises
        ------
        UsageError
            If that is no stretch of a day.
        """
        found = _WINDOW.fullmatch(text.strip())
        numbers = [int(n) for n in found.groups()] if found else [99]
        good = len(numbers) == 4 and all(n < 60 for n in numbers[1::2])  # noqa: PLR2004
        if not good or max(numbers[::2]) > 24:  # noqa: PLR2004
            raise UsageError(f"'{text}' is no stretch of a day", remedy="say 22:00-06:00")
        begin, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
        if begin == end or max(begin, end) > 24 * 60:
            raise UsageError(f"'{text}' is no stretch of a day", remedy="say 22:00-06:00")
        return cls(begin, end)

    def marks(self, costs: Costs, zone: dt.tzinfo) -> tuple[Costs, Bools]:
        """Costs in slots as fine as the hours need, and which of them lie within the hours.

        Parameters
        ----------
        zone
            Time zone of the place. On the night when clocks change, the stretch is an hour
            shorter or longer, as on the wall.
        """
        edges_s = self._edges_s(costs, zone)
        fine = costs.finer(self._parts(costs, edges_s))
        middles_s = fine.start_utc_s + (np.arange(fine.per_kwh.size) + 0.5) * fine.step_s
        return fine, np.searchsorted(edges_s, middles_s, side="right") % 2 == 1

    def stretches(
        self, from_utc_s: float, to_utc_s: float, zone: dt.tzinfo
    ) -> list[tuple[float, float]]:
        """Such hours of all days around a span, begin and end of each [s since 1970 UTC].

        Hours that a clock leaves out when it is set forward are none on that day.
        """
        day = dt.datetime.fromtimestamp(from_utc_s, zone).date() - dt.timedelta(days=1)
        last = dt.datetime.fromtimestamp(to_utc_s, zone).date()
        over = 24 * 60 if self.to_min <= self.from_min else 0
        made = []
        while day <= last:
            begin_s = _instant_s(day, self.from_min, zone)
            end_s = _instant_s(day, self.to_min + over, zone)
            if end_s > begin_s:
                made.append((begin_s, end_s))
            day += dt.timedelta(days=1)
        return made

    def _edges_s(self, costs: Costs, zone: dt.tzinfo) -> list[float]:
        """Beginnings and ends of the hours on all days around the costs [s since 1970 UTC]."""
        found = self.stretches(costs.start_utc_s, costs.end_utc_s, zone)
        return [edge_s for pair in found for edge_s in pair]

    def _parts(self, costs: Costs, edges_s: list[float]) -> int:
        """How many times finer slots have to be for edges of the hours to be edges of slots."""
        unit_s = costs.step_s
        for edge_s in edges_s:
            late_s = (edge_s - costs.start_utc_s) % costs.step_s
            unit_s = float(math.gcd(round(unit_s), round(late_s)))
        return max(1, round(costs.step_s / max(unit_s, _FINEST_S)))


def _instant_s(day: dt.date, minute: int, zone: dt.tzinfo) -> float:
    """Seconds since 1970 UTC when clocks show so many minutes after midnight of *day*."""
    days, minute = divmod(minute, 24 * 60)
    clock = dt.time(*divmod(minute, 60), tzinfo=zone)
    return dt.datetime.combine(day + dt.timedelta(days=days), clock).timestamp()


def only_in(costs: Costs, hours: Hours, zone: dt.tzinfo) -> Costs:
    """Costs with work confined to *hours* of each day: off-peak as a constraint."""
    fine, within = hours.marks(costs, zone)
    return fine.allowing(within)


def tariff(
    costs: Costs, hours: Hours, zone: dt.tzinfo, *, within: float, outside: float, unit: str
) -> Costs:
    """Price of two tariffs, in the slots of *costs*: off-peak as money. In *unit* (EUR/kWh)."""
    fine, marks = hours.marks(costs, zone)
    per_kwh = np.where(marks, within, outside)
    return Costs(fine.start_utc_s, fine.step_s, per_kwh, unit)
