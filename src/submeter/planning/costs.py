# SPDX-License-Identifier: Apache-2.0
"""What a kilowatt-hour costs in each slot: grams, money, litres, or a weighted sum of them."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from submeter.errors import CoverageError, UsageError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_SAME = 1e-6  # of a second: instants that are nearer are one instant


def _nothing() -> Bools:
    return np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Cost of electricity in equal slots, and the slots in which nothing may run.

    Attributes
    ----------
    start_utc_s, step_s
        Beginning of the first slot [s since 1970 UTC] and length of each [s].
    per_kwh
        ``(n,)``, cost of a kilowatt-hour in each slot, in *unit*; nan is a gap.
    unit
        ``g/kWh``, ``EUR/kWh``, ``L/kWh``; ``1/kWh`` of a weighted sum.
    forbidden
        ``(n,)``, slots in which no work may be done (peak hours, a demand response);
        empty if there are none. A paused job may idle through them.
    """

    start_utc_s: float
    step_s: float
    per_kwh: Floats
    unit: str = ""
    forbidden: Bools = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        if not (self.step_s > 0 and math.isfinite(self.step_s)):
            raise UsageError(f"slots of {self.step_s:g} s are none", remedy="give a length > 0")
        if self.per_kwh.ndim != 1 or self.per_kwh.size == 0:
            raise UsageError("costs are one row of slots", remedy="give an array of shape (n,)")
        if self.forbidden.size not in {0, self.per_kwh.size}:
            raise UsageError(
                f"{self.forbidden.size} forbidden marks for {self.per_kwh.size} slots",
                remedy="give one for each slot, or none",
            )

    @property
    def end_utc_s(self) -> float:
        """End of the last slot [s since 1970 UTC]."""
        return self.start_utc_s + self.step_s * self.per_kwh.size

    def edges_s(self) -> Floats:
        """``(n + 1,)`` beginnings and ends of slots, counted from the first beginning [s]."""
        edges_s: Floats = np.arange(self.per_kwh.size + 1, dtype=np.float64) * self.step_s
        return edges_s

    def finer(self, parts: int) -> Self:
        """The same costs in slots that are *parts* times shorter."""
        return type(self)(
            self.start_utc_s,
            self.step_s / parts,
            np.repeat(self.per_kwh, parts),
            self.unit,
            np.repeat(self.forbidden, parts),
        )

    def within(self, start_utc_s: float, end_utc_s: float) -> Self:
        """The slots that overlap a window, whole.

        Raises
        ------
        CoverageError
            If the slots do not reach over the window, or one of them is a gap.
        """
        if start_utc_s < self.start_utc_s - _SAME or end_utc_s > self.end_utc_s + _SAME:
            short_s = max(self.start_utc_s - start_utc_s, end_utc_s - self.end_utc_s)
            raise CoverageError(
                f"the costs end {short_s / 3600:.1f} h short of the time that is planned for",
                remedy="ask for an earlier deadline, or give a longer series",
            )
        first = max(0, math.floor((start_utc_s - self.start_utc_s) / self.step_s + _SAME))
        last = math.ceil((end_utc_s - self.start_utc_s) / self.step_s - _SAME)
        part = slice(first, max(last, first + 1))
        values = self.per_kwh[part]
        if not np.isfinite(values).all():
            raise CoverageError(
                f"{int((~np.isfinite(values)).sum())} of {values.size} slots have no value",
                remedy="fill the gaps of the series first, or plan around them",
            )
        return type(self)(
            self.start_utc_s + first * self.step_s,
            self.step_s,
            values,
            self.unit,
            self.forbidden[part] if self.forbidden.size else self.forbidden,
        )

    def allowing(self, allowed: Bools) -> Self:
        """These costs with work confined to the slots that are marked in *allowed*, ``(n,)``."""
        forbidden = ~allowed | self.forbidden if self.forbidden.size else ~allowed
        return type(self)(self.start_utc_s, self.step_s, self.per_kwh, self.unit, forbidden)


def integral(per_kwh: Floats, step_s: float) -> Floats:
    """Antiderivative of costs at the edges of their slots, ``(n + 1,)`` [cost s/kWh]."""
    out = np.empty(per_kwh.size + 1)
    out[0] = 0.0
    np.cumsum(per_kwh, out=out[1:])
    out *= step_s
    return out


def at(summed: Floats, step_s: float, when_s: Floats) -> Floats:
    """Antiderivative *summed* at instants between its edges; outside it goes on level."""
    place = np.clip(when_s / step_s, 0.0, summed.size - 1)
    index = np.minimum(place.astype(np.int64), summed.size - 2)
    left = summed[index]
    part: Floats = left + (place - index) * (summed[index + 1] - left)
    return part
