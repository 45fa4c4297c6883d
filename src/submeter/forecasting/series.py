# SPDX-License-Identifier: Apache-2.0
"""A signal of a grid over time, as forecasters want it: equal slots, gaps known, clock named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from submeter.errors import CoverageError, UsageError
from submeter.records.traces import Kind, Trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
FINEST_S: Final = 1_800  # slots of forecasts; finer readings are averaged into these


@dataclass(frozen=True, eq=False)
class Series:
    """Values of a zone in slots of equal length.

    Attributes
    ----------
    start_utc_s, step_s
        Begin of the first slot [s since 1970 UTC], and the length of each [s].
    values
        Means over the slots, shape (n,), in *unit*; nan is a gap.
    unit
        Such as ``gCO2e/kWh``.
    timezone
        IANA name of the zone's clock, by which its days and weeks go.
    kind
        Of intensities; None of prices and shares.
    """

    start_utc_s: float
    step_s: float
    values: Floats
    unit: str = "gCO2e/kWh"
    zone: str = ""
    timezone: str = "UTC"
    kind: Kind | None = None

    def __post_init__(self) -> None:
        if not len(self.values):
            raise CoverageError(
                f"the series of {self.zone or 'this zone'} holds no value",
                remedy="give readings of at least a day",
            )
        if not 0 < self.step_s <= HOUR_S or HOUR_S % self.step_s:
            raise UsageError(
                f"slots of {self.step_s:g} s do not divide an hour",
                remedy="give readings of an hour, or of 5, 10, 15, 20 or 30 minutes",
            )

    @classmethod
    def of(cls, trace: Trace, timezone: str = "UTC") -> "Series":
        """Series of the values of *trace*, whose zone keeps the clock of *timezone*."""
        values = np.array([np.nan if v is None else v for v in trace.values], dtype=np.float64)
        return cls(
            trace.start_utc_s, trace.step_s, values,
            unit=trace.unit, zone=trace.zone, timezone=timezone, kind=trace.kind,
        )  # fmt: skip

    @property
    def end_utc_s(self) -> float:
        """End of the last slot [s since 1970 UTC]."""
        return self.start_utc_s + self.step_s * len(self.values)

    def until(self, now_utc_s: float) -> "Series":
        """What is known at *now_utc_s*: slots that have ended by then."""
        known = int((now_utc_s - self.start_utc_s) // self.step_s)
        return self.with_values(self.values[: max(0, known)])

    def with_values(self, values: Floats | Sequence[float]) -> "Series":
        """Put other *values* into the same slots."""
        return Series(
            self.start_utc_s, self.step_s, np.asarray(values, dtype=np.float64),
            unit=self.unit, zone=self.zone, timezone=self.timezone, kind=self.kind,
        )  # fmt: skip

    def coarser(self, step_s: float = FINEST_S) -> "Series":
        """Average into slots of *step_s* where these are finer; an unfinished slot is left out.

        Slots begin at whole multiples of *step_s*; one of which no reading is known is a gap.
        """
        if self.step_s >= step_s:
            return self
        many = round(step_s / self.step_s)
        before = round(self.start_utc_s % step_s / self.step_s)
        padded = np.concatenate([np.full(before, np.nan), self.values])
        whole = padded[: len(padded) // many * many].reshape(-1, many)
        known = np.isfinite(whole)
        count = known.sum(axis=1)
        sums = np.where(known, whole, 0.0).sum(axis=1)
        values = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        return Series(
            self.start_utc_s - before * self.step_s, float(step_s), values,
            unit=self.unit, zone=self.zone, timezone=self.timezone, kind=self.kind,
        )  # fmt: skip
