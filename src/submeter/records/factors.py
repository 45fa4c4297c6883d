# SPDX-License-Identifier: Apache-2.0
"""A cited number by which energy becomes something else: grams, litres, money, kilometres."""

import math
from typing import Final, Literal

import msgspec

from submeter.records.figures import Basis

NORMAL_95: Final = 1.959964  # half width of a normal 95 % interval in standard deviations
HALF_NORMAL_95: Final = 2.241403  # 97.5 % quantile of |Z|: upper end of a 95 % interval from zero

Verified = Literal["copy", "recall", "derived", "assumed", "declared", "live"]
_SOLID: Final = frozenset({"copy", "recall", "derived", "declared", "live"})


class Factor(msgspec.Struct, frozen=True):
    """One number with its interval and where it is from.

    ``key`` names the row that it came from (``grid/DE/average_lifecycle_production_g_per_kwh``)
    and is the key of its doubt: two figures that use one factor are off together. ``low`` and
    ``high`` hold the value with probability ``level``. ``verified`` says how far to trust the row:
    read in the source (*copy*), known from it (*recall*), computed from other rows (*derived*),
    given by the user (*declared*) or a provider (*live*), or nothing but an assumption.
    """

    key: str
    value: float
    low: float
    high: float
    unit: str
    level: float = 0.95
    source: str = ""
    year: int = 0
    licence: str = ""
    verified: Verified = "assumed"
    note: str = ""

    @property
    def log_sd(self) -> float:
        """Standard deviation of the logarithm: the wider side serves for both.

        A factor whose interval reaches to zero has only an upper side.
        """
        if self.value <= 0:
            return 0.0
        up = math.log(self.high / self.value)
        down = math.log(self.value / self.low) if self.low > 0 else up
        return max(up, down) / NORMAL_95

    @property
    def zero_sd(self) -> float:
        """Scale of the half-normal doubt of a factor that is zero, in its unit."""
        return self.high / HALF_NORMAL_95 if self.value <= 0 else 0.0

    @property
    def basis(self) -> Basis:
        """What a product with this factor rests on at best."""
        return Basis.DERIVED if self.verified in _SOLID else Basis.ASSUMED

    def scaled(self, ratio: float, unit: str = "") -> "Factor":
        """Multiply by an exact *ratio* > 0, as when units change; the key stays."""
        return msgspec.structs.replace(
            self,
            value=self.value * ratio,
            low=self.low * ratio,
            high=self.high * ratio,
            unit=unit or self.unit,
        )
